package desk_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"azekura/access"
	"azekura/approval"
	"azekura/approval/desk"
	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/keyring/rotation"
	"azekura/register/field"

	"golang.org/x/mod/sumdb/note"
)

// office is an installation with two enrolled approvers, and three sessions: of two
// staff members at two devices, and of a third at the first one's device.
type office struct {
	dir        string
	i          *installation.Installation
	keys       []note.Signer
	a, b, near access.Session
}

func open(t *testing.T, engine string) *office {
	t.Helper()
	o := &office{dir: insttest.New(t, engine)}
	for _, name := range []string{"hanako", "jiro", "saburo"} {
		key, vkey := insttest.Approver(t, name)
		o.keys = append(o.keys, key)
		if name == "saburo" {
			break // not enrolled
		}
		if _, err := installation.AddApprover(t.Context(), o.dir, vkey, nil); err != nil {
			t.Fatal(err)
		}
	}
	o.i = insttest.Open(t, o.dir)
	o.a, _ = insttest.Session(t, o.i, "s-1", "caseworker", "d-1")
	o.b, _ = insttest.Session(t, o.i, "s-2", "supervisor", "d-2")
	o.near, _ = insttest.Session(t, o.i, "s-3", "supervisor", "d-1")
	return o
}

// again opens the installation anew, as after a restart.
func (o *office) again(t *testing.T) {
	t.Helper()
	if err := o.i.Close(); err != nil {
		t.Fatal(err)
	}
	o.i = insttest.Open(t, o.dir)
}

func (o *office) draft(t *testing.T, kind string) []byte {
	t.Helper()
	r := installation.Draft{Kind: kind, By: "s-1", Life: time.Hour}
	if kind == "leak-index" {
		r.Purpose, r.Case = "review", "L-1"
	}
	file, err := o.i.Propose(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func signed(t *testing.T, file []byte, keys ...note.Signer) []byte {
	t.Helper()
	for _, key := range keys {
		var err error
		if file, err = approval.Sign(file, key, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// approved brings a proposal and the consent to it.
func (o *office) approved(t *testing.T, kind string) string {
	t.Helper()
	one := signed(t, o.draft(t, kind), o.keys[0])
	item, err := o.i.Desk.Submit(t.Context(), o.a, one)
	if err != nil || item.State != desk.Proposed {
		t.Fatal(item.State, err)
	}
	if item, err = o.i.Desk.Submit(t.Context(), o.b, signed(t, []byte(item.File), o.keys[1])); err != nil || item.State != desk.Consented {
		t.Fatal(item.State, err)
	}
	return item.ID
}

func (o *office) state(t *testing.T, id string) string {
	t.Helper()
	item, err := o.i.Desk.Show(id)
	if err != nil {
		t.Fatal(err)
	}
	return item.State
}

// TestRotation: a key is changed by two people's approval of this change of this
// key, once, also after a restart, and its event holds what they signed.
func TestRotation(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := open(t, engine)
		if _, err := o.i.StartRotation(t.Context(), rotation.Data, ""); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("a key was changed by one person:", err)
		}
		id := o.approved(t, "rotate-data")
		o.again(t)
		if err := o.i.StartJobs(t.Context()); err != nil {
			t.Fatal(err)
		}
		if o.state(t, id) != desk.Consented {
			t.Fatal("the consent is forgotten")
		}
		if _, err := o.i.StartRotation(t.Context(), rotation.Index, id); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("another key was changed by it:", err)
		}
		at, err := o.i.StartRotation(t.Context(), rotation.Data, id)
		if err != nil {
			t.Fatal(err)
		}
		for !at.Finished {
			time.Sleep(10 * time.Millisecond)
			if at, err = o.i.Rotator.Show(t.Context(), at.ID); err != nil || at.Failure != "" {
				t.Fatal(err, at.Failure)
			}
		}
		item, err := o.i.Desk.Show(id)
		if err != nil || item.State != desk.Used {
			t.Fatal(item.State, err)
		}
		if !o.holds(t, item) {
			t.Error("the event of the change doesn't hold what was signed")
		}
		for range 2 {
			if _, err := o.i.StartRotation(t.Context(), rotation.Data, id); !errors.Is(err, desk.ErrRefused) {
				t.Error("an approval was used twice:", err)
			}
			o.again(t)
		}
	})
}

// holds tells whether the log has the item's file in the event that used it.
func (o *office) holds(t *testing.T, item desk.Item) bool {
	found := false
	err := o.i.Log.Authority(t.Context(), func(e auditlog.Event) error {
		found = found || e.Index == item.Event && e.Purpose == "rotate-data" && strings.Contains(string(e.Detail), item.ID)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestStateHasMoved: what was approved on a state that has gone by is good for
// nothing.
func TestStateHasMoved(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := open(t, engine)
		first, second := o.approved(t, "rotate-root"), o.approved(t, "rotate-root")
		other := rotation.RootOptions{Passphrase: []byte("another raft of logs"), NoRecovery: true, WorkFactor: 10}
		if _, err := o.i.ChangeRoot(t.Context(), first, rotation.RootOptions{Passphrase: []byte("x"), Recovery: "nobody"}); err == nil {
			t.Fatal("a root key was changed to one that can't be")
		}
		if o.state(t, first) != desk.Consented {
			t.Error("an act that didn't come about used the approval up")
		}
		if _, err := o.i.ChangeRoot(t.Context(), first, other); err != nil {
			t.Fatal(err)
		}
		if _, err := o.i.ChangeRoot(t.Context(), second, other); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("a root key was changed that nobody had in mind:", err)
		}
		if o.state(t, first) != desk.Used || o.state(t, second) != desk.Consented {
			t.Error(o.state(t, first), o.state(t, second))
		}
	})
}

// TestTwoStaffTwoDevices: each step that isn't another person's, at another device,
// over the same bytes, is refused, and leaves things as they were.
func TestTwoStaffTwoDevices(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := open(t, engine)
		draft := o.draft(t, "rotate-index")
		one := signed(t, draft, o.keys[0])
		both := signed(t, one, o.keys[1])
		otherLog := []byte(strings.Replace(string(draft), "log "+o.i.Config.Origin, "log "+o.i.Config.Origin+"x", 1))
		submit := func(s access.Session, file []byte) error { _, err := o.i.Desk.Submit(t.Context(), s, file); return err }
		for name, c := range map[string]struct {
			s    access.Session
			file []byte
		}{
			"unsigned":             {o.a, draft},
			"by a stranger":        {o.a, signed(t, draft, o.keys[2])},
			"with both signatures": {o.a, both},
			"of another log":       {o.a, signed(t, otherLog, o.keys[0])},
			"without a session":    {access.Session{}, one},
		} {
			if submit(c.s, c.file) == nil {
				t.Errorf("a proposal %s was taken", name)
			}
		}
		if err := submit(o.a, one); err != nil {
			t.Fatal(err)
		}
		p, _, err := approval.Read(one)
		if err != nil {
			t.Fatal(err)
		}
		longer := p
		longer.Expires = p.Expires.Add(time.Hour)
		for name, c := range map[string]struct {
			s    access.Session
			file []byte
		}{
			"by the proposer":                 {o.a, both},
			"from the proposer's device":      {o.near, both},
			"without the consenter's key":     {o.b, one},
			"without the proposer's key":      {o.b, signed(t, draft, o.keys[1])},
			"with a stranger's key":           {o.b, signed(t, one, o.keys[2])},
			"with a third key":                {o.b, signed(t, both, o.keys[2])},
			"to the same for longer":          {o.b, signed(t, longer.Text(), o.keys[0], o.keys[1])},
			"to bytes that nobody signed":     {o.b, []byte(strings.Replace(string(both), "index key", "other key", 1))},
			"with the signatures of another ": {o.b, []byte(string(o.draft(t, "rotate-index")) + string(both[len(draft):]))},
		} {
			if submit(c.s, c.file) == nil {
				t.Errorf("a consent %s was taken", name)
			}
		}
		if got := o.state(t, p.Nonce); got != desk.Proposed {
			t.Fatal(got)
		}
		if _, err := o.i.StartRotation(t.Context(), rotation.Index, p.Nonce); !errors.Is(err, desk.ErrRefused) {
			t.Error("carried out before the consent:", err)
		}
		if err := submit(o.b, both); err != nil {
			t.Error("the consent was refused:", err)
		}
		if err := submit(o.b, both); !errors.Is(err, desk.ErrRefused) {
			t.Error("a consent was taken twice:", err)
		}
	})
}

// TestEnds: withdrawn by its proposer or refused by another, a proposal is over for
// good, with a consent or without.
func TestEnds(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := open(t, engine)
		first, second := o.approved(t, "rotate-data"), o.approved(t, "rotate-data")
		if _, err := o.i.Desk.Withdraw(t.Context(), o.b, first); !errors.Is(err, desk.ErrRefused) {
			t.Error("withdrawn by another:", err)
		}
		if _, err := o.i.Desk.Refuse(t.Context(), o.a, first); !errors.Is(err, desk.ErrRefused) {
			t.Error("refused by its proposer:", err)
		}
		if _, err := o.i.Desk.Withdraw(t.Context(), o.a, first); err != nil {
			t.Fatal(err)
		}
		if _, err := o.i.Desk.Refuse(t.Context(), o.b, second); err != nil {
			t.Fatal(err)
		}
		o.again(t)
		for id, want := range map[string]string{first: desk.Withdrawn, second: desk.Refused} {
			if got := o.state(t, id); got != want {
				t.Errorf("%s: %s", want, got)
			}
			if _, err := o.i.StartRotation(t.Context(), rotation.Data, id); !errors.Is(err, desk.ErrRefused) {
				t.Errorf("%s, and carried out: %v", want, err)
			}
		}
	})
}

// TestShredByTwo: what two people approved names one participant, and shreds no
// other.
func TestShredByTwo(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := open(t, engine)
		people := insttest.People(7, 2)
		insttest.Import(t, o.i, insttest.CSV(t, 7, 2))
		why := insttest.Why
		id := func(n int) gate.Who {
			got, err := o.i.Gate.Read(t.Context(), o.a, gate.ReadRequest{Who: gate.Who{Ref: people[n].Ref}, Why: why, Fields: field.SetOf(field.Name)})
			if err != nil {
				t.Fatal(err)
			}
			return gate.Who{Participant: got.Participant}
		}
		one, other := id(0), id(1)
		file, err := o.i.Propose(t.Context(), installation.Draft{Kind: "shred", Participant: one.Participant.String(), Purpose: why.Purpose, Case: why.Case, By: "s-1", Life: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		item, err := o.i.Desk.Submit(t.Context(), o.a, signed(t, file, o.keys[0]))
		if err == nil {
			item, err = o.i.Desk.Submit(t.Context(), o.b, signed(t, []byte(item.File), o.keys[1]))
		}
		if err != nil {
			t.Fatal(err)
		}
		for name, who := range map[string]gate.Who{"another": other, "by ref": {Ref: people[0].Ref}} {
			if _, err := o.i.Shred(t.Context(), o.a, item.ID, who, why); err == nil {
				t.Errorf("%s: shredded", name)
			}
		}
		if _, err := o.i.Shred(t.Context(), o.a, "", one, why); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("shredded by one person:", err)
		}
		if _, err := o.i.Shred(t.Context(), o.a, item.ID, one, why); err != nil {
			t.Fatal(err)
		}
		if got := o.state(t, item.ID); got != desk.Used {
			t.Error(got)
		}
	})
}

// seen is the act that a proposal is for, to the byte.
type seen struct{ approval.Proposal }

func (s seen) Kind() string                 { return s.Proposal.Kind }
func (s seen) Words() string                { return s.Proposal.Words }
func (s seen) MarshalJSON() ([]byte, error) { return s.Body, nil }

func (o *office) act(t *testing.T, id string) approval.Act {
	t.Helper()
	item, err := o.i.Desk.Show(id)
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := approval.Read([]byte(item.File))
	if err != nil {
		t.Fatal(err)
	}
	return seen{p}
}

type nothing struct{}

func (nothing) Kind() string  { return "rotate-data" }
func (nothing) Words() string { return "nothing" }

// TestCutOff: an act that fails before its event leaves the approval good; one whose
// event stands has used it up, whatever the act itself says.
func TestCutOff(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := open(t, engine)
		id := o.approved(t, "leak-index")
		act := o.act(t, id)
		stopped := errors.New("stopped")
		carry := func(do func(context.Context, approval.Approved) error) error {
			return o.i.Desk.Carry(t.Context(), id, act, do)
		}
		if err := carry(func(context.Context, approval.Approved) error { return stopped }); !errors.Is(err, stopped) || o.state(t, id) != desk.Consented {
			t.Fatal(err, o.state(t, id))
		}
		if err := o.i.Desk.Carry(t.Context(), id, nothing{}, nil); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("another act was carried out:", err)
		}
		err := carry(func(ctx context.Context, by approval.Approved) error {
			if err := carry(nil); !errors.Is(err, desk.ErrRefused) {
				t.Error("carried out twice at once:", err)
			}
			detail, err := json.Marshal(map[string]string{"approval": by.Note()})
			if err != nil {
				return err
			}
			_, err = o.i.Log.RecordOne(ctx, auditlog.Event{Action: auditlog.System, Outcome: "begun", Purpose: "leak-index", Detail: detail})
			return errors.Join(err, stopped)
		})
		if !errors.Is(err, stopped) || o.state(t, id) != desk.Used {
			t.Error(err, o.state(t, id))
		}
		o.again(t)
		if o.state(t, id) != desk.Used {
			t.Error("a restart forgot that it was used")
		}
	})
}
