package installation_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"azekura/access"
	"azekura/access/budget"
	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/register/field"

	"github.com/google/uuid"
)

// TestBudgetHolds: many callers at once, restarts in between, and never one
// participant more than the limit; a supervisor elsewhere adds some.
func TestBudgetHolds(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		const limit = 25
		dir := insttest.New(t, engine)
		i, err := insttest.OpenDir(t.Context(), dir)
		must(t, err)
		defer func() { must(t, i.Close()) }()
		max := budget.Limits{{Persons: limit, Points: -1}, {Persons: 1000, Points: -1}, {Persons: 1000, Points: -1}}
		_, err = i.Log.RecordOne(t.Context(), budget.LimitsEvent([]budget.Limit{{Kind: budget.Staff, Max: max}}, "test", "a test", ""))
		must(t, err)
		s, _ := insttest.Session(t, i, "s-1", "caseworker", "d-1")
		var let atomic.Int64
		ask := func(who int) error {
			e := s.Stamp(auditlog.Event{Action: auditlog.Read, Outcome: "ok", Purpose: "enquiry", Case: "C-1",
				Participant: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, who)), Fields: []auditlog.FieldVersion{{Field: field.Name, Version: 1}}})
			_, err := i.Log.RecordOne(t.Context(), e)
			if err == nil {
				let.Add(1)
			} else if !errors.Is(err, budget.ErrSpent) {
				t.Error(err)
			}
			return err
		}
		for round := range 3 {
			done := make(chan error, 20)
			for n := range cap(done) {
				go func() { done <- ask(100*round + n) }()
			}
			for range cap(done) {
				<-done
			}
			must(t, i.Close())
			i, err = insttest.OpenDir(t.Context(), dir)
			must(t, err)
		}
		if let.Load() != limit {
			t.Fatalf("%d were let through by a budget of %d", let.Load(), limit)
		}
		var spent *budget.Refused
		if err := ask(999); !errors.As(err, &spent) || spent.Window != "hour" || spent.Limit != limit || spent.ID != "s-1" {
			t.Fatalf("got %v", err)
		}
		if near := i.Budgets.Near("s-1", "caseworker", "d-1", "enquiry", i.Log.Now()); near == nil || near.Left != 0 {
			t.Fatalf("what is left: %+v", near)
		}
		worker, _ := insttest.Session(t, i, "s-2", "caseworker", "d-2")
		if _, err := i.AddToBudget(t.Context(), worker, "s-1", 5, time.Hour, "a fair"); !errors.Is(err, access.ErrRefused) {
			t.Fatalf("a caseworker added: %v", err)
		}
		same, _ := insttest.Session(t, i, "s-9", "supervisor", "d-1")
		if _, err := i.AddToBudget(t.Context(), same, "s-1", 5, time.Hour, "a fair"); !errors.Is(err, access.ErrRefused) {
			t.Fatalf("a supervisor at the same device added: %v", err)
		}
		// Nobody touched anything: a session that a stolen token could be.
		away, _ := insttest.Session(t, i, "s-8", "supervisor", "d-8")
		if _, err := i.AddToBudget(t.Context(), away, "s-1", 5, time.Hour, "a fair"); !errors.Is(err, access.ErrTouch) {
			t.Fatalf("without a touch: %v", err)
		}
		asked := 0
		for _, e := range insttest.Events(t, i) {
			if e.Action == auditlog.Deny && strings.Contains(string(e.Detail), `"asked":"budget","for":"s-1"`) {
				asked++
			}
		}
		if asked != 3 {
			t.Fatalf("%d of 3 refusals to add are in the log", asked)
		}
	})
}

// TestOneSupervisorIsHeard: of supervisors who add to one budget at once, one adds;
// the others' refusals are in the log.
func TestOneSupervisorIsHeard(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		insttest.Session(t, i, "s-1", "caseworker", "d-1")
		_, err := i.Log.RecordOne(t.Context(), budget.LimitsEvent([]budget.Limit{{Kind: budget.Staff, Max: budget.Limits{{Persons: 9, Points: -1}, {Persons: 9, Points: -1}, {Persons: 9, Points: -1}}}}, "test", "a test", ""))
		must(t, err)
		const supervisors = 8
		sessions := make([]access.Session, supervisors)
		for n := range sessions {
			who, device := fmt.Sprint("v-", n), fmt.Sprint("w-", n)
			insttest.Session(t, i, who, "supervisor", device)
			pc := insttest.Enrol(t, i, device).Peer
			_, token, err := i.Access.SignIn(t.Context(), access.Proof{Staff: who, Via: access.ViaPasskey, Peer: pc}, access.DefaultRules)
			must(t, err)
			sessions[n], err = i.Access.Authenticate(token, pc)
			must(t, err)
		}
		if _, err := i.AddToBudget(t.Context(), sessions[0], "s-1", 10, time.Hour, "a fair"); !errors.Is(err, access.ErrInvalid) {
			t.Fatalf("more than a day's: %v", err)
		}
		done := make(chan error, supervisors)
		for _, s := range sessions {
			go func() {
				_, err := i.AddToBudget(t.Context(), s, "s-1", 9, time.Hour, "a fair")
				done <- err
			}()
		}
		added := 0
		for range supervisors {
			if err := <-done; err == nil {
				added++
			} else if !errors.Is(err, budget.ErrAdded) {
				t.Error(err)
			}
		}
		if list := i.Budgets.Extras(i.Log.Now()); added != 1 || len(list) != 1 || list[0].Persons != 9 {
			t.Errorf("%d added, %+v", added, list)
		}
		denied := 0
		for _, e := range insttest.Events(t, i) {
			if e.Action == auditlog.Deny && strings.Contains(string(e.Detail), `"asked":"budget"`) {
				denied++
			}
		}
		if denied != supervisors {
			t.Errorf("%d of %d refusals are in the log", denied, supervisors)
		}
	})
}

// TestDefaultBudgetsStopASweep: an installation that nobody set up stops one staff
// member's sweep at the default's hour.
func TestDefaultBudgetsStopASweep(t *testing.T) {
	b := budget.New()
	hour := budget.Defaults()[0].Max[0].Persons
	let := int64(0)
	for n := range 1000 {
		e := auditlog.Event{Action: auditlog.Read, Time: 1_700_000_000e6, Staff: "s-1", Role: "caseworker", Purpose: "enquiry",
			Participant: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, n)), Fields: []auditlog.FieldVersion{{Field: field.Name}}}
		if b.Judge([]auditlog.Event{e}).Refuse == nil {
			let++
			b.Note(&e)
			b.Settle(true)
		}
	}
	if let != hour {
		t.Fatalf("%d were let through; the budget is %d", let, hour)
	}
}
