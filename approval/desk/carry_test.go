package desk_test

import (
	"errors"
	"testing"
	"time"

	"azekura/access"
	"azekura/access/budget"
	"azekura/approval"
	"azekura/approval/desk"
	"azekura/internal/installation"
	"azekura/internal/insttest"
)

// decided brings a proposal of a draft, and the consent to it.
func (o *office) decided(t *testing.T, r installation.Draft) desk.Item {
	t.Helper()
	r.By, r.Life = "s-1", time.Hour
	file, err := o.i.Propose(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	item, err := o.i.Desk.Submit(t.Context(), o.a, signed(t, file, o.keys[0]))
	if err == nil {
		item, err = o.i.Desk.Submit(t.Context(), o.b, signed(t, []byte(item.File), o.keys[1]))
	}
	if err != nil || item.State != desk.Consented {
		t.Fatal(item.State, err)
	}
	return item
}

func contained(i *installation.Installation, target access.Target) bool {
	for _, c := range i.Access.Contained() {
		if c.Target == target {
			return true
		}
	}
	return false
}

// TestRelease: what is contained is released while the server runs, by one of the two
// who brought it, once; a later containment of the same isn't ended by it.
func TestRelease(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := open(t, engine)
		if _, err := o.i.Access.AddDevice(t.Context(), "d-9", "o-1"); err != nil {
			t.Fatal(err)
		}
		target := access.Target{Kind: access.TheDevice, ID: "d-9"}
		contain := func() {
			if _, err := o.i.Access.Contain(t.Context(), access.Operator(), target, "lost"); err != nil {
				t.Fatal(err)
			}
		}
		draft := installation.Draft{Kind: access.KindRelease, Target: &target, Why: "found"}
		if _, err := o.i.Propose(t.Context(), draft); err == nil {
			t.Error("a release was proposed of what isn't contained")
		}
		contain()
		item, spare := o.decided(t, draft), o.decided(t, draft)
		if _, err := o.i.CarryOut(t.Context(), o.near, item.ID); !errors.Is(err, desk.ErrRefused) || !contained(o.i, target) {
			t.Error("carried out by a third:", err)
		}
		if _, err := o.i.CarryOut(t.Context(), access.Session{}, item.ID); err == nil || !contained(o.i, target) {
			t.Error("carried out without a session")
		}
		o.again(t)
		if _, err := o.i.CarryOut(t.Context(), o.a, item.ID); err != nil || contained(o.i, target) {
			t.Fatal(err)
		}
		contain()
		for _, id := range []string{item.ID, spare.ID} {
			if _, err := o.i.CarryOut(t.Context(), o.a, id); err == nil || !contained(o.i, target) {
				t.Error("a later containment was ended by it:", err)
			}
		}
		if o.state(t, item.ID) != desk.Used || o.state(t, spare.ID) != desk.Consented {
			t.Error(o.state(t, item.ID), o.state(t, spare.ID))
		}
	})
}

// TestSurge: a surge and limits are put by two people while the server runs, each
// once, whether the desk has the consent or a file bears both signatures.
func TestSurge(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := open(t, engine)
		x := budget.Extra{Subject: budget.Subject{Kind: budget.Office, ID: "o-1"}, Percent: 300, Until: o.i.Log.Now().Add(time.Hour).UTC().Truncate(time.Second)}
		surge := o.decided(t, installation.Draft{Kind: "budget", Budget: &installation.BudgetChange{Surge: &x}, Why: "hotline"})
		for n := range 2 {
			if _, err := o.i.CarryOut(t.Context(), o.b, surge.ID); (err == nil) != (n == 0) {
				t.Error(n, err)
			}
			if got := o.i.Budgets.Extras(o.i.Log.Now()); len(got) != 1 || got[0].Percent != 300 {
				t.Fatal(got)
			}
			o.again(t)
		}
		change := installation.BudgetChange{Limits: budget.Unlimited(), Why: "a new year"}
		file, err := o.i.ProposeBudget(change, "op-1", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		both := signed(t, file, o.keys[0], o.keys[1])
		for n := range 3 {
			if _, err := o.i.ChangeBudget(t.Context(), both); (err == nil) != (n == 0) || n > 0 && !errors.Is(err, desk.ErrRefused) {
				t.Errorf("a file, the time %d: %v", n+1, err)
			}
			if n == 1 {
				o.again(t)
			}
		}
		withdrawn := o.decided(t, installation.Draft{Kind: "budget", Budget: &installation.BudgetChange{Limits: budget.Unlimited()}, Why: "another"})
		if _, err := o.i.Desk.Withdraw(t.Context(), o.a, withdrawn.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := o.i.ChangeBudget(t.Context(), []byte(withdrawn.File)); !errors.Is(err, desk.ErrRefused) {
			t.Error("what was withdrawn at the desk was done by its file:", err)
		}
		o.others(t)
	})
}

// others: a kind that takes more than the proposal says is carried out by its own
// command.
func (o *office) others(t *testing.T) {
	t.Helper()
	id := o.approved(t, "rotate-data")
	if _, err := o.i.CarryOut(t.Context(), o.a, id); !errors.Is(err, desk.ErrRefused) || o.state(t, id) != desk.Consented {
		t.Error(err)
	}
}

// TestGateRefuses: the gate itself shreds nothing without an approval, once two are
// enrolled.
func TestGateRefuses(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := open(t, engine)
		insttest.Import(t, o.i, insttest.CSV(t, 7, 2))
		who := o.known(t, 2)[0]
		if _, err := o.i.Gate.Shred(t.Context(), o.a, who, insttest.Why); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("shredded:", err)
		}
		o.known(t, 2) // they can be read still
	})
}
