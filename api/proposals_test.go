package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"azekura/access"
	"azekura/api"
	"azekura/approval"
	"azekura/approval/desk"
	"azekura/internal/installation"
	"azekura/internal/insttest"

	"golang.org/x/mod/sumdb/note"
)

// two are an office's approvers, and the sessions of a proposer, of another at another
// device, and of a third at the proposer's.
type two struct {
	*office
	keys       []note.Signer
	a, b, near string
}

func twoPeople(t *testing.T, engine string) *two {
	t.Helper()
	dir, d := insttest.New(t, engine), &two{}
	for _, name := range []string{"hanako", "jiro", "saburo"} {
		key, vkey := insttest.Approver(t, name)
		d.keys = append(d.keys, key)
		if name == "saburo" {
			break // not enrolled
		}
		if _, err := installation.AddApprover(t.Context(), dir, vkey, nil); err != nil {
			t.Fatal(err)
		}
	}
	d.office = newOffice(t, insttest.Open(t, dir))
	d.a = d.token
	_, d.b = insttest.Session(t, d.inst, "s-2", "supervisor", "d-2")
	_, d.near = insttest.Session(t, d.inst, "s-3", "supervisor", "d-1")
	return d
}

// as asks with a session.
func (d *two) as(token, path string, in, out any) int {
	d.t.Helper()
	d.token = token
	defer func() { d.token = d.a }()
	return d.post(path, in, out)
}

func (d *two) shown(id string) (item desk.Item) {
	d.t.Helper()
	w := answer(d.staff, d.request(http.MethodGet, "/v1/proposals/"+id, ""))
	if err := json.Unmarshal(w.Body.Bytes(), &item); w.Code != http.StatusOK || err != nil {
		d.t.Fatal(w.Code, err)
	}
	return item
}

func (d *two) signed(file string, keys ...note.Signer) api.ProposalFile {
	d.t.Helper()
	raw := []byte(file)
	for _, key := range keys {
		var err error
		if raw, err = approval.Sign(raw, key, time.Now()); err != nil {
			d.t.Fatal(err)
		}
	}
	return api.ProposalFile{File: string(raw)}
}

// bears signs whatever the time is, as approval.Sign doesn't.
func (d *two) bears(n *note.Note, keys ...note.Signer) api.ProposalFile {
	d.t.Helper()
	raw, err := note.Sign(n, keys...)
	if err != nil {
		d.t.Fatal(err)
	}
	return api.ProposalFile{File: string(raw)}
}

// proposed drafts a release and brings it.
func (d *two) proposed() (item desk.Item, text string) {
	d.t.Helper()
	var made api.ProposalFile
	in := api.NewProposal{Kind: access.KindRelease, Target: &access.Target{Kind: access.TheDevice, ID: "d-9"}, Why: "found", Hours: 1}
	if status := d.as(d.a, "/v1/proposals/draft", in, &made); status != http.StatusOK {
		d.t.Fatal(status)
	}
	if status := d.as(d.a, "/v1/proposals", d.signed(made.File, d.keys[0]), &item); status != http.StatusOK || item.State != desk.Proposed {
		d.t.Fatal(status, item.State)
	}
	return item, made.File
}

// TestProposals: a proposal's whole way over the API, and what is refused on it.
func TestProposals(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		d := twoPeople(t, engine)
		if _, err := d.inst.Access.AddDevice(t.Context(), "d-9", "o-1"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.inst.Access.Contain(t.Context(), access.Operator(), access.Target{Kind: access.TheDevice, ID: "d-9"}, "lost"); err != nil {
			t.Fatal(err)
		}
		item, text := d.proposed()
		for _, words := range []string{"device d-9", "解除します", "found"} {
			if !strings.Contains(d.shown(item.ID).Words, words) {
				t.Errorf("the words don't say %s", words)
			}
		}
		both, step := d.signed(text, d.keys[0], d.keys[1]), "/v1/proposals/"+item.ID
		for name, c := range map[string]struct {
			token, path string
			in          any
			want        int
		}{
			"a consent by the proposer":             {d.a, "/v1/proposals", both, http.StatusConflict},
			"a consent from the proposer's device":  {d.near, "/v1/proposals", both, http.StatusConflict},
			"a consent without another's key":       {d.b, "/v1/proposals", d.signed(text, d.keys[0]), http.StatusConflict},
			"a consent with a stranger's key":       {d.b, "/v1/proposals", d.signed(text, d.keys[0], d.keys[2]), http.StatusForbidden},
			"a consent without a session":           {"", "/v1/proposals", both, http.StatusUnauthorized},
			"an act before the consent":             {d.a, step + "/carry", nil, http.StatusConflict},
			"a withdrawal by another":               {d.b, step + "/withdraw", nil, http.StatusConflict},
			"a refusal by the proposer":             {d.a, step + "/refuse", nil, http.StatusConflict},
			"a step of a proposal that there isn't": {d.a, "/v1/proposals/" + strings.Repeat("0", 32) + "/carry", nil, http.StatusNotFound},
		} {
			if got := d.as(c.token, c.path, c.in, nil); got != c.want {
				t.Errorf("%s: %d", name, got)
			}
		}
		if got := d.shown(item.ID).State; got != desk.Proposed {
			t.Fatal(got)
		}
		if got := d.as(d.b, "/v1/proposals", both, &item); got != http.StatusOK || item.State != desk.Consented {
			t.Fatal(got, item.State)
		}
		if got := d.as(d.near, step+"/carry", nil, nil); got != http.StatusConflict {
			t.Error("carried out by a third:", got)
		}
		if got := d.as(d.b, step+"/carry", nil, &item); got != http.StatusOK || item.State != desk.Used || len(d.inst.Access.Contained()) != 0 {
			t.Error(got, item.State)
		}
		if got := d.as(d.b, step+"/carry", nil, nil); got == http.StatusOK {
			t.Error("carried out twice")
		}
		d.ends()
		d.whole()
	})
}

// ends: withdrawn, refused and expired proposals take no consent, and are listed as
// what they are.
func (d *two) ends() {
	d.t.Helper()
	if _, err := d.inst.Access.Contain(d.t.Context(), access.Operator(), access.Target{Kind: access.TheDevice, ID: "d-9"}, "lost again"); err != nil {
		d.t.Fatal(err)
	}
	withdrawn, _ := d.proposed()
	refused, text := d.proposed()
	if got := d.as(d.a, "/v1/proposals/"+withdrawn.ID+"/withdraw", nil, &withdrawn); got != http.StatusOK || withdrawn.State != desk.Withdrawn {
		d.t.Error(got, withdrawn.State)
	}
	if got := d.as(d.b, "/v1/proposals/"+refused.ID+"/refuse", nil, &refused); got != http.StatusOK || refused.State != desk.Refused {
		d.t.Error(got, refused.State)
	}
	p, err := approval.Parse([]byte(text))
	if err != nil {
		d.t.Fatal(err)
	}
	// One that was made almost an hour ago, and has seconds left; a busy machine takes
	// some more to bring it.
	p.Nonce = strings.Repeat("ab", 16)
	var late *note.Note
	var item desk.Item
	for left, got := 2*time.Second, 0; got != http.StatusOK; left *= 2 {
		if left > patience {
			d.t.Fatal("a proposal isn't taken:", got)
		}
		p.Expires = time.Now().UTC().Truncate(time.Second).Add(left)
		p.Made = p.Expires.Add(-time.Hour)
		late = &note.Note{Text: string(p.Text())}
		got = d.as(d.a, "/v1/proposals", d.bears(late, d.keys[0]), &item)
	}
	for end := time.Now().Add(patience); d.shown(item.ID).State != desk.Expired; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatal("a proposal doesn't expire")
		}
	}
	if got := d.as(d.b, "/v1/proposals", d.bears(late, d.keys[0], d.keys[1]), nil); got != http.StatusConflict {
		d.t.Error("a consent to what expired:", got)
	}
	var all api.Proposals
	w := answer(d.staff, d.request(http.MethodGet, "/v1/proposals", ""))
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil {
		d.t.Fatal(err)
	}
	states := map[string]string{}
	for _, one := range all.Proposals {
		states[one.ID] = one.State
	}
	if len(states) != 4 || states[withdrawn.ID] != desk.Withdrawn || states[refused.ID] != desk.Refused || states[item.ID] != desk.Expired {
		d.t.Error(states)
	}
}
