package roll

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"azekura/approval"
	"azekura/auditlog"

	"golang.org/x/mod/sumdb/note"
)

// people are keys by name.
type people struct {
	t      *testing.T
	signer map[string]note.Signer
	vkey   map[string]string
}

func make3(t *testing.T) *people {
	p := &people{t, map[string]note.Signer{}, map[string]string{}}
	for _, name := range []string{"hanako", "jiro", "saburo"} {
		file, vkey, err := approval.NewKey(name, nil, 0)
		p.must(err)
		p.signer[name], err = approval.OpenKey(file, nil)
		p.must(err)
		p.vkey[name] = vkey
	}
	return p
}

func (p *people) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *people) keys(names ...string) []string {
	list := []string{}
	for _, name := range names {
		list = append(list, p.vkey[name])
	}
	return list
}

// event replays one that concerns people.
func (p *people) event(r *Roll, index int64, purpose string, names ...string) {
	p.t.Helper()
	detail := map[string]any{}
	if purpose == auditlog.PurposeGap {
		detail["approvers"] = p.keys(names...)
	} else if len(names) == 1 {
		detail["approver"] = p.vkey[names[0]]
	}
	raw, err := json.Marshal(detail)
	p.must(err)
	p.must(r.Replay(auditlog.Event{Action: auditlog.System, Outcome: "ok", Purpose: purpose, Detail: raw, Index: index}))
}

// signed is a proposal made when the log had size events, signed by some.
func (p *people) signed(size int64, names ...string) []byte {
	p.t.Helper()
	made, err := approval.New("freeze", "log.example/one", size, "op-1", "words\n", struct{}{}, time.Now(), time.Hour)
	p.must(err)
	file := made.Text()
	for _, name := range names {
		file, err = approval.Sign(file, p.signer[name], time.Now())
		p.must(err)
	}
	return file
}

// TestStruckOff: who is struck off decides nothing; enrolled again, nothing that was
// proposed before; in a later log that is forgotten, whose proposals are other ones.
func TestStruckOff(t *testing.T) {
	p, r := make3(t), new(Roll)
	for n, name := range []string{"hanako", "jiro", "saburo"} {
		p.event(r, int64(n+1), Enrolled, name)
	}
	early := p.signed(2, "jiro", "saburo") // made before saburo was enrolled for the first time: good
	decides := func(when string, file []byte, want bool) {
		t.Helper()
		_, err := r.Check(file, time.Now())
		_, _, signers := r.Signers(file)
		if (err == nil) != want || (signers == nil) != want || err != nil && !errors.Is(err, approval.ErrNotApproved) {
			t.Errorf("%s: %v, %v", when, err, signers)
		}
	}
	decides("enrolled", early, true)
	p.event(r, 4, Removed, "saburo")
	if got := r.List(); !slices.Equal(got, p.keys("hanako", "jiro")) || !slices.Equal(r.Before(), p.keys("hanako", "jiro", "saburo")) || r.Changes() != 4 {
		t.Errorf("%v, before %v, %d changes", got, r.Before(), r.Changes())
	}
	decides("struck off", early, false)
	decides("struck off, and proposed since", p.signed(9, "jiro", "saburo"), false)
	p.event(r, 7, Enrolled, "saburo")
	decides("enrolled again, proposed before", early, false)
	decides("enrolled again, proposed when the event wasn't signed", p.signed(7, "jiro", "saburo"), false)
	decides("enrolled again, proposed since", p.signed(8, "jiro", "saburo"), true)
	decides("of the others, proposed before", p.signed(2, "hanako", "jiro"), true)
	p.event(r, 0, auditlog.PurposeContinue)
	decides("in the next log", p.signed(1, "jiro", "saburo"), true)
}

// TestNotOnTheRoll: what isn't a change of the list changes nothing.
func TestNotOnTheRoll(t *testing.T) {
	p, r := make3(t), new(Roll)
	raw, err := json.Marshal(map[string]any{"approver": p.vkey["hanako"], "approvers": p.keys("hanako", "jiro")})
	p.must(err)
	for _, e := range []auditlog.Event{
		{Action: auditlog.Deny, Outcome: "refused", Purpose: Enrolled},
		{Action: auditlog.System, Outcome: "begun", Purpose: Enrolled},
		{Action: auditlog.System, Outcome: "ok", Purpose: "backup"},
		{Action: auditlog.System, Outcome: "ok", Purpose: auditlog.PurposeContinue},
	} {
		e.Detail = raw
		p.must(r.Replay(e))
	}
	if len(r.List()) != 0 || r.Enough() {
		t.Errorf("%v", r.List())
	}
	if err := r.Replay(auditlog.Event{Action: auditlog.System, Outcome: "ok", Purpose: Removed, Detail: []byte("{")}); err == nil {
		t.Error("an event that can't be read was taken for none")
	}
	p.event(r, 0, auditlog.PurposeGap, "jiro", "saburo")
	if !slices.Equal(r.List(), p.keys("jiro", "saburo")) {
		t.Errorf("%v", r.List())
	}
}

// TestBelieve: where events are lost, the log's part and the settings decide
// together.
func TestBelieve(t *testing.T) {
	for name, c := range map[string]struct {
		log, file, want []string
		err             error
	}{
		"both say the same":                 {[]string{"hanako", "jiro"}, []string{"hanako", "jiro"}, []string{"hanako", "jiro"}, nil},
		"put into the file by hand":         {[]string{"hanako", "jiro"}, []string{"hanako", "jiro", "saburo"}, []string{"hanako", "jiro"}, nil},
		"struck off by a lost event":        {[]string{"hanako", "jiro", "saburo"}, []string{"hanako", "jiro"}, []string{"hanako", "jiro"}, nil},
		"the file emptied":                  {[]string{"hanako", "jiro", "saburo"}, nil, []string{"hanako", "jiro", "saburo"}, nil},
		"too few in common":                 {[]string{"hanako", "jiro"}, []string{"jiro", "saburo"}, []string{"hanako", "jiro"}, ErrFew},
		"the log names one":                 {[]string{"hanako"}, []string{"jiro", "saburo"}, []string{"jiro", "saburo"}, nil},
		"the log names nobody":              {nil, []string{"hanako", "jiro", "saburo"}, []string{"hanako", "jiro", "saburo"}, nil},
		"the log names one, the file none":  {[]string{"hanako"}, nil, []string{"hanako"}, nil},
		"nobody was ever enrolled anywhere": {nil, nil, []string{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p, r := make3(t), new(Roll)
			for n, name := range c.log {
				p.event(r, int64(n+1), Enrolled, name)
			}
			if err := r.Believe(p.keys(c.file...)); !errors.Is(err, c.err) {
				t.Fatal(err)
			}
			if got := r.List(); !slices.Equal(got, p.keys(c.want...)) {
				t.Errorf("%d decide", len(got))
			}
		})
	}
}
