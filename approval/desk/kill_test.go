package desk_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"azekura/access"
	"azekura/approval/desk"
	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/keyring"
	"azekura/register/field"

	"github.com/google/uuid"
)

func TestMain(m *testing.M) { insttest.Main(m, child) }

// child carries out what was approved, in a process that may be killed.
func child(ctx context.Context, dir, arg string) error {
	var id, participant string
	if _, err := fmt.Sscan(arg, &id, &participant); err != nil {
		return err
	}
	i, err := insttest.OpenDir(ctx, dir)
	if err != nil {
		return err
	}
	_, token, err := i.Access.OpenSession(ctx, "s-1", "d-1", time.Hour)
	if err != nil {
		return err
	}
	s, err := i.Access.AtSocket(token)
	if err != nil {
		return err
	}
	insttest.Begun()
	_, err = i.Shred(ctx, s, id, gate.Who{Participant: uuid.MustParse(participant)}, insttest.Why)
	return errors.Join(err, i.Close())
}

// known reads the first n of the people, and names them.
func (o *office) known(t *testing.T, n int) (list []gate.Who) {
	t.Helper()
	for _, p := range insttest.People(7, n) {
		got, err := o.i.Gate.Read(t.Context(), o.a, gate.ReadRequest{Who: gate.Who{Ref: p.Ref}, Why: insttest.Why, Fields: field.SetOf(field.Name)})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, gate.Who{Participant: got.Participant})
	}
	return list
}

// acts counts the events that stand for an act by a proposal.
func (o *office) acts(t *testing.T, id string) (n int) {
	t.Helper()
	for _, e := range insttest.Events(t, o.i) {
		if e.Action == auditlog.Shred && e.Outcome == "ok" && desk.UsedBy(e) == id {
			n++
		}
	}
	return n
}

// shredded tells whether a participant can be read no more.
func (o *office) shredded(t *testing.T, who gate.Who) bool {
	t.Helper()
	_, err := o.i.Gate.Read(t.Context(), o.a, gate.ReadRequest{Who: who, Why: insttest.Why, Fields: field.SetOf(field.Name)})
	if err != nil && !errors.Is(err, keyring.ErrShredded) {
		t.Fatal(err)
	}
	return err != nil
}

// TestKilled: a process is killed at any moment between the consent and behind the
// act. The act is done once or not at all, and the proposal is used up exactly when
// its event stands; not done, it can be done by the same consent.
func TestKilled(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		rnd := insttest.Random(t)
		rounds := insttest.Soak(2, 30)
		o := open(t, engine)
		insttest.Import(t, o.i, insttest.CSV(t, 7, int64(rounds+1)))
		who := o.known(t, rounds+1)
		all, took := o.killed(t, who[0], 0)
		if !all {
			t.Fatal("a child that wasn't killed did nothing")
		}
		done := 0
		for _, one := range who[1:] {
			if did, _ := o.killed(t, one, 1+time.Duration(rnd.Int64N(int64(took)))); did {
				done++
			}
		}
		t.Logf("%d of %d kills came behind the act, which takes up to %s", done, rounds, took)
	})
}

// killed has a child that is killed after a while carry out a shredding, and holds
// what is left against what may be.
func (o *office) killed(t *testing.T, who gate.Who, after time.Duration) (did bool, took time.Duration) {
	t.Helper()
	item := o.decided(t, installation.Draft{Kind: "shred", Participant: who.Participant.String(), Purpose: insttest.Why.Purpose, Case: insttest.Why.Case})
	if err := o.i.Close(); err != nil {
		t.Fatal(err)
	}
	_, took = insttest.InChild(t, o.dir, item.ID+" "+who.Participant.String(), after)
	o.i = insttest.Open(t, o.dir)
	o.a, o.b = renewed(t, o.i)
	acts, gone, state := o.acts(t, item.ID), o.shredded(t, who), o.state(t, item.ID)
	if acts > 1 || gone != (acts == 1) || (state == desk.Used) != (acts == 1) {
		t.Fatalf("killed after %s: %d events, shredded %v, the proposal is %s", after, acts, gone, state)
	}
	if acts == 0 {
		if _, err := o.i.Shred(t.Context(), o.a, item.ID, who, insttest.Why); err != nil || o.acts(t, item.ID) != 1 || !o.shredded(t, who) {
			t.Errorf("killed after %s before the act, the consent is lost: the proposal is %s: %v", after, state, err)
		}
	}
	if _, err := o.i.Shred(t.Context(), o.a, item.ID, who, insttest.Why); !errors.Is(err, desk.ErrRefused) {
		t.Error("done twice:", err)
	}
	return acts == 1, took
}

// renewed are sessions of the two at an installation that was opened anew.
func renewed(t *testing.T, i *installation.Installation) (a, b access.Session) {
	t.Helper()
	a, _ = insttest.Session(t, i, "s-1", "caseworker", "d-1")
	b, _ = insttest.Session(t, i, "s-2", "supervisor", "d-2")
	return a, b
}
