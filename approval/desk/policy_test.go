package desk_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"azekura/access/policy"
	"azekura/approval"
	"azekura/approval/desk"
	"azekura/internal/installation"
	"azekura/internal/insttest"
)

// TestPolicies: a text comes into force by two people who read it, once, as it was
// signed and on the one that it replaces; its event holds both, and a restart knows it.
func TestPolicies(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := open(t, engine)
		strict := string(policy.Strict())
		approve := func(text string) string {
			t.Helper()
			file, err := o.i.Propose(t.Context(), installation.Draft{Kind: policy.Purpose, Text: text, By: "s-1", Life: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(file), "| @id(") || !strings.Contains(string(file), "これ") && !strings.Contains(string(file), "方針") {
				t.Error("the proposal doesn't show the text, or not in both languages")
			}
			if _, err := o.i.Desk.Submit(t.Context(), o.a, signed(t, file, o.keys[0])); err != nil {
				t.Fatal(err)
			}
			item, err := o.i.Desk.Submit(t.Context(), o.b, signed(t, file, o.keys[0], o.keys[1]))
			if err != nil || item.State != desk.Consented {
				t.Fatal(item.State, err)
			}
			return item.ID
		}
		refused := func(id, text string, why error) {
			t.Helper()
			before := o.i.Policies.Now()
			if _, err := o.i.SetPolicy(t.Context(), id, text); !errors.Is(err, why) || o.i.Policies.Now() != before {
				t.Errorf("set all the same: %v", err)
			}
		}
		refused("", strict, approval.ErrNotApproved)
		id, stale := approve(strict), approve(strict)
		refused(id, insttest.Permissive, approval.ErrNotApproved)
		now, err := o.i.SetPolicy(t.Context(), id, strict)
		if err != nil || now.Text != strict {
			t.Fatal(err)
		}
		refused(id, strict, desk.ErrRefused)            // it was used
		refused(stale, strict, approval.ErrNotApproved) // it was instead of none
		e, err := o.i.Log.Event(t.Context(), now.Event)
		if err != nil || !strings.Contains(string(e.Detail), now.Hash) || !strings.Contains(string(e.Detail), "azekura approval 1") {
			t.Errorf("the event doesn't hold what was signed: %v", err)
		}
		o.again(t)
		if again := o.i.Policies.Now(); again == nil || again.Hash != now.Hash || again.Event != now.Event || o.state(t, id) != desk.Used {
			t.Errorf("after a restart %+v is in force", again)
		}
		// The longest text still has its place in one event.
		long := strict + strings.Repeat("// && <\"あ\"> && \"x\"\n", (policy.MaxInForce-len(strict))/24)
		o.a, _ = insttest.Session(t, o.i, "s-11", "caseworker", "d-11")
		o.b, _ = insttest.Session(t, o.i, "s-12", "supervisor", "d-12")
		if _, err := o.i.SetPolicy(t.Context(), approve(long), long); err != nil {
			t.Errorf("a text of %d bytes: %v", len(long), err)
		}
	})
}
