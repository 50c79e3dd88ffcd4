package desk_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"azekura/access"
	"azekura/access/budget"
	"azekura/approval"
	"azekura/approval/desk"
	"azekura/approval/roll"
	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/keyring/rotation"

	"golang.org/x/mod/sumdb/note"
)

// change brings a proposal to change the approvers, and the consent to it.
func (o *office) change(t *testing.T, kind, who string, a, b note.Signer) string {
	t.Helper()
	file, err := o.i.Propose(t.Context(), installation.Draft{Kind: kind, Approver: who, By: "s-1", Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return o.bring(t, signed(t, file, a), b)
}

// bring brings a signed proposal, and another's consent.
func (o *office) bring(t *testing.T, file []byte, consent note.Signer) string {
	t.Helper()
	item, err := o.i.Desk.Submit(t.Context(), o.a, file)
	if err == nil && consent != nil {
		item, err = o.i.Desk.Submit(t.Context(), o.b, signed(t, []byte(item.File), consent))
	}
	if err != nil {
		t.Fatal(err)
	}
	return item.ID
}

// third enrols the third key by the first two, and returns its public half.
func (o *office) third(t *testing.T) string {
	t.Helper()
	key, vkey := insttest.Approver(t, "shiro")
	o.keys[2] = key
	if _, err := o.i.Enrol(t.Context(), "", vkey); !errors.Is(err, approval.ErrNotApproved) {
		t.Fatal("one person enrolled a third approver:", err)
	}
	if _, err := o.i.Enrol(t.Context(), o.change(t, "approver", vkey, o.keys[0], o.keys[1]), vkey); err != nil {
		t.Fatal(err)
	}
	return vkey
}

// TestStruckOff: on a running server two people strike a third off, at once. What
// the third signed and isn't done is void, for good: after a restart, and once that
// key is enrolled again. What the others signed goes on.
func TestStruckOff(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := open(t, engine)
		vkey := o.third(t)
		others := o.approved(t, "rotate-data")
		proposed := o.bring(t, signed(t, o.draft(t, "rotate-data"), o.keys[2]), nil)
		consented := o.bring(t, signed(t, o.draft(t, "rotate-data"), o.keys[0]), o.keys[2])
		unseen := signed(t, o.draft(t, "rotate-data"), o.keys[2])
		release := o.release(t)
		if _, err := o.i.Strike(t.Context(), "", "shiro"); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("struck off by one person:", err)
		}
		if _, err := o.i.Strike(t.Context(), others, "shiro"); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("struck off by what was approved for something else:", err)
		}
		id := o.change(t, "approver-remove", "shiro", o.keys[0], o.keys[2]) // who goes may agree
		if _, err := o.i.Strike(t.Context(), id, "jiro"); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("another was struck off:", err)
		}
		left, err := o.i.Strike(t.Context(), id, "shiro")
		if err != nil || len(left) != 2 || slices.Contains(left, vkey) {
			t.Fatal(err, left)
		}
		c, err := installation.ReadConfig(o.dir)
		if err != nil || !slices.Equal(c.Approvers, left) {
			t.Error("the settings name", c.Approvers, err)
		}
		look := func(when string) {
			t.Helper()
			for id, want := range map[string]string{id: desk.Used, others: desk.Consented, proposed: desk.Void, consented: desk.Void} {
				if got := o.state(t, id); got != want {
					t.Errorf("%s: %s is %s and not %s", when, id, got, want)
				}
			}
			if _, err := o.i.StartRotation(t.Context(), rotation.Data, consented); !errors.Is(err, desk.ErrRefused) {
				t.Errorf("%s, a void consent counts: %v", when, err)
			}
			if _, err := o.i.Desk.Submit(t.Context(), o.a, unseen); !errors.Is(err, approval.ErrNotApproved) {
				t.Errorf("%s, they propose: %v", when, err)
			}
			if _, err := o.i.Release(t.Context(), signed(t, release, o.keys[0], o.keys[2])); !errors.Is(err, approval.ErrNotApproved) {
				t.Errorf("%s, they release: %v", when, err)
			}
		}
		look("at once")
		if _, err := o.i.Strike(t.Context(), id, "jiro"); !errors.Is(err, installation.ErrApprover) {
			t.Error("one would be left:", err)
		}
		o.again(t)
		look("after a restart")
		if _, err := o.i.Enrol(t.Context(), o.change(t, "approver", vkey, o.keys[0], o.keys[1]), vkey); err != nil {
			t.Fatal(err)
		}
		look("enrolled again")
		o.again(t)
		look("enrolled again, after a restart")
		since := signed(t, o.release(t), o.keys[0], o.keys[2])
		if _, err := o.i.Release(t.Context(), since); err != nil {
			t.Error("enrolled again, they decide nothing:", err)
		}
	})
}

// release contains a third staff member and drafts the release.
func (o *office) release(t *testing.T) []byte {
	t.Helper()
	target := access.Target{Kind: access.TheStaff, ID: "s-3"}
	if _, err := o.i.Access.Contain(t.Context(), access.Operator(), target, "a test"); err != nil && !errors.Is(err, access.ErrContained) {
		t.Fatal(err)
	}
	file, err := o.i.ProposeRelease(target, "cleaned", "op-1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestChangedMeanwhile: what was approved for another list changes nothing.
func TestChangedMeanwhile(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := open(t, engine)
		vkey := o.third(t)
		early := o.change(t, "approver-remove", "shiro", o.keys[0], o.keys[1])
		_, fourth := insttest.Approver(t, "goro")
		if _, err := o.i.Enrol(t.Context(), o.change(t, "approver", fourth, o.keys[0], o.keys[1]), fourth); err != nil {
			t.Fatal(err)
		}
		if _, err := o.i.Strike(t.Context(), early, "shiro"); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("struck off from another list than they saw:", err)
		}
		if got := o.i.Approvers(); len(got) != 4 || !slices.Contains(got, vkey) {
			t.Errorf("%v", got)
		}
	})
}

// TestSettingsEdited: who writes the settings of a running server adds nobody and
// brings nobody back: not to the desk, a release, a budget or an enrolment.
func TestSettingsEdited(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := open(t, engine)
		mallory, vkey := insttest.Approver(t, "mallory")
		oscar, other := insttest.Approver(t, "oscar")
		o.i.Config.Approvers = []string{vkey, other}
		forged := func(file []byte, err error) []byte {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			return signed(t, file, mallory, oscar)
		}
		_, submitted := o.i.Desk.Submit(t.Context(), o.a, signed(t, o.draft(t, "rotate-data"), mallory))
		_, released := o.i.Release(t.Context(), forged(o.release(t), nil))
		surge := installation.BudgetChange{Why: "a test", Surge: &budget.Extra{Subject: budget.Subject{Kind: budget.Staff, ID: "s-1"}, Percent: 200, Until: time.Now().Add(time.Hour).UTC().Truncate(time.Second)}}
		_, changed := o.i.ChangeBudget(t.Context(), forged(o.i.ProposeBudget(surge, "op-1", time.Hour)))
		for name, err := range map[string]error{"submitted": submitted, "released": released, "changed a budget": changed} {
			if !errors.Is(err, approval.ErrNotApproved) {
				t.Errorf("%s: %v", name, err)
			}
		}
		o.i.Config.Approvers, o.i.Config.MadeUp = nil, true // as if nobody were enrolled
		if _, err := o.i.StartRotation(t.Context(), rotation.Data, ""); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("one person changed a key:", err)
		}
		if _, err := o.i.Enrol(t.Context(), "", vkey); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("one person enrolled an approver:", err)
		}
	})
}

// TestStrikeWaits: who is struck off decides nothing afterwards: a decision of theirs
// that is under way ends before.
func TestStrikeWaits(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := open(t, engine)
		o.third(t)
		strike := o.change(t, "approver-remove", "shiro", o.keys[0], o.keys[1])
		id := o.bring(t, signed(t, o.draft(t, "leak-index"), o.keys[0]), o.keys[2])
		struck := make(chan error, 1)
		err := o.i.Desk.Carry(t.Context(), id, o.act(t, id), func(ctx context.Context, by approval.Approved) error {
			go func() {
				_, err := o.i.Strike(ctx, strike, "shiro")
				struck <- err
			}()
			select {
			case <-struck:
				t.Error("struck off in the middle of a decision of theirs")
				struck <- nil
			case <-time.After(100 * time.Millisecond): // it waits; had it not to, it were done
			}
			detail, err := json.Marshal(map[string]string{"approval": by.Note()})
			if err != nil {
				return err
			}
			_, err = o.i.Log.RecordOne(ctx, auditlog.Event{Action: auditlog.System, Outcome: "begun", Purpose: "leak-index", Detail: detail})
			return err
		})
		if err := errors.Join(err, <-struck); err != nil {
			t.Fatal(err)
		}
		var order []string
		if err := o.i.Log.Authority(t.Context(), func(e auditlog.Event) error {
			if e.Purpose == "leak-index" || e.Purpose == roll.Removed {
				order = append(order, e.Purpose)
			}
			return nil
		}); err != nil || !slices.Equal(order, []string{"leak-index", roll.Removed}) {
			t.Error(order, err)
		}
		if o.state(t, id) != desk.Used {
			t.Error(o.state(t, id))
		}
	})
}

// TestTwoChangesAtOnce: of two changes that were approved for one list, and are
// carried out at the same moment, one comes about.
func TestTwoChangesAtOnce(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := open(t, engine)
		o.third(t)
		_, fourth := insttest.Approver(t, "goro")
		if _, err := o.i.Enrol(t.Context(), o.change(t, "approver", fourth, o.keys[0], o.keys[1]), fourth); err != nil {
			t.Fatal(err)
		}
		first := o.change(t, "approver-remove", "shiro", o.keys[0], o.keys[1])
		second := o.change(t, "approver-remove", "goro", o.keys[0], o.keys[1])
		id := o.approved(t, "leak-index")
		done := make(chan error, 2)
		stopped := errors.New("stopped")
		err := o.i.Desk.Carry(t.Context(), id, o.act(t, id), func(ctx context.Context, _ approval.Approved) error {
			for who, proposal := range map[string]string{"shiro": first, "goro": second} {
				go func() {
					_, err := o.i.Strike(ctx, proposal, who)
					done <- err
				}()
			}
			time.Sleep(100 * time.Millisecond) // both have seen the list by now; else one sees the other's, and is refused too
			return stopped
		})
		if !errors.Is(err, stopped) {
			t.Fatal(err)
		}
		one, other := <-done, <-done
		if (one == nil) == (other == nil) || !errors.Is(errors.Join(one, other), approval.ErrNotApproved) || len(o.i.Approvers()) != 3 {
			t.Errorf("%v, %v: %d are left", one, other, len(o.i.Approvers()))
		}
	})
}

// TestDecisionsWait: while the list is being changed nobody brings a proposal,
// releases or changes a budget by the list of before.
func TestDecisionsWait(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := open(t, engine)
		id := o.approved(t, "leak-index")
		proposal := signed(t, o.draft(t, "rotate-data"), o.keys[0])
		release := signed(t, o.release(t), o.keys[0], o.keys[1])
		surge := installation.BudgetChange{Why: "a test", Surge: &budget.Extra{Subject: budget.Subject{Kind: budget.Staff, ID: "s-1"}, Percent: 200, Until: time.Now().Add(time.Hour).UTC().Truncate(time.Second)}}
		more, err := o.i.ProposeBudget(surge, "op-1", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		more = signed(t, more, o.keys[0], o.keys[1])
		decisions := []func() error{
			func() error { _, err := o.i.Desk.Submit(t.Context(), o.a, proposal); return err },
			func() error { _, err := o.i.Release(t.Context(), release); return err },
			func() error { _, err := o.i.ChangeBudget(t.Context(), more); return err },
		}
		done := make(chan error, len(decisions))
		stopped := errors.New("stopped")
		err = o.i.Desk.Change(t.Context(), id, o.act(t, id), func(context.Context, approval.Approved) error {
			for _, decide := range decisions {
				go func() { done <- decide() }()
			}
			time.Sleep(100 * time.Millisecond) // they wait; had they not to, one were done
			if len(done) > 0 {
				t.Errorf("%d decisions didn't wait", len(done))
			}
			return stopped
		})
		if !errors.Is(err, stopped) {
			t.Fatal(err)
		}
		for range decisions {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}
