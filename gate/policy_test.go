package gate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"azekura/access/policy"
	"azekura/auditlog"
	"azekura/cases"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/register/field"
	"azekura/register/value"
)

// forbids is the permissive text and a policy that forbids what a condition says.
func forbids(when string) string {
	permissive, _, _ := strings.Cut(insttest.Permissive, "//!")
	return permissive + `@id("tested")
@en("For the text's own test.")
@ja("検査用です。")
forbid (principal is Staff, action, resource) when { principal.role == "tested" };
//! refuse tested: role=tested
@id("shut")
@en("This is shut.")
@ja("閉じています。")
forbid (principal is Staff, action, resource) when { ` + when + " };\n"
}

// doors are the ways to an opening.
func (r *room) doors(t *testing.T) map[string]func() error {
	ctx := t.Context()
	return map[string]func() error{
		"read": func() error {
			_, err := r.Gate.Read(ctx, r.s, gate.ReadRequest{Who: r.who(0), Why: why, Fields: field.SetOf(field.Name)})
			return err
		},
		"check": func() error {
			_, err := r.Gate.Check(ctx, r.s, gate.CheckRequest{Who: r.who(0), Why: why, Field: field.Name, Claim: r.people[0].Name})
			return err
		},
		"search": func() error {
			_, err := r.Gate.Search(ctx, r.s, gate.SearchRequest{Why: why, By: value.KindRef, First: r.people[0].Ref, Second: r.people[0].Birth})
			return err
		},
		"change": func() error {
			_, err := r.Gate.Change(ctx, r.s, gate.ChangeRequest{Who: r.who(0), Why: why, Values: map[field.Field]string{field.Email: ""}})
			return err
		},
		"set": func() error {
			fields := field.SetOf(field.Name)
			_, err := r.Gate.OpenSet(ctx, r.s, gate.SetRequest{Why: why, Job: "test", Fields: fields}, insttest.Members(ctx, r.Installation, fields), func(gate.Opened) error { return nil })
			return err
		},
		"shred": func() error {
			_, err := r.Gate.Shred(ctx, r.s, r.who(1), why)
			return err
		},
	}
}

// TestPoliciesAreAsked: each door asks, of its own action; a refusal is one event that
// says all that was asked and which policy refused, and nothing else is recorded; the
// words name the policy in both languages. Another text opens the doors again.
func TestPoliciesAreAsked(t *testing.T) {
	withPeople(t, 3, func(t *testing.T, r *room) {
		for door, open := range r.doors(t) {
			insttest.SetPolicy(t, r.Installation, strings.Replace(forbids("true"), "action, resource) when { true }", `action == Action::"`+door+`", resource)`, 1))
			from := r.size()
			err := open()
			if !errors.Is(err, gate.ErrDenied) || !strings.Contains(err.Error(), "policy shut: This is shut. 閉じています。") {
				t.Errorf("%s: %v", door, err)
			}
			events := r.since(t, from)
			if len(events) != 1 || events[0].Action != auditlog.Deny || events[0].Outcome != "policy" {
				t.Fatalf("%s: %d events", door, len(events))
			}
			var d policy.Denial
			if err := json.Unmarshal(events[0].Detail, &d); err != nil || d.Asked != door || d.Text != r.Policies.Now().Hash || len(d.Policies) != 1 || d.Policies[0] != "shut" ||
				d.Request.Role != "caseworker" || d.Request.Purpose != why.Purpose || len(d.Request.Fields) == 0 {
				t.Errorf("%s: the refusal's event holds %+v, %v", door, d, err)
			}
		}
		insttest.SetPolicy(t, r.Installation, insttest.Permissive)
		for door, open := range r.doors(t) {
			if err := open(); err != nil {
				t.Errorf("%s, permitted: %v", door, err)
			}
		}
	})
}

// TestPoliciesSeeTheCase: what a policy asks of the case and the person is what the
// case says; notes are asked for too.
func TestPoliciesSeeTheCase(t *testing.T) {
	withPeople(t, 2, func(t *testing.T, r *room) {
		p := &r.people[0]
		code := insttest.Case(t, r.Installation, r.s, cases.Call, "enquiry", p)
		read := func(f field.Field) error {
			_, err := r.Gate.Read(t.Context(), r.s, gate.ReadRequest{Who: r.who(0), Why: gate.Why{Purpose: "enquiry", Case: code}, Fields: field.SetOf(f)})
			return err
		}
		notes := func(field.Field) error {
			_, err := r.Gate.ReadNotes(t.Context(), cases.By{Session: r.s}, code)
			return err
		}
		for _, c := range []struct {
			when    string
			open    func(field.Field) error
			refused bool
		}{
			{`context.kind == "call"`, read, true},
			{`context.kind == "visit"`, read, false},
			{`context.level >= 1`, read, true},
			{`context.level >= 3 || !context.case || !context.assigned || context.state != "open"`, read, false},
			{`context.office == principal.office`, read, true},
			{`context.fields.contains("name")`, read, true},
			{`context.fields.contains("account")`, read, false},
			{`context.minute >= 0`, read, true},
			{`context.purpose == "notes" && context.kind == "call"`, notes, true},
			{`context.purpose != "notes"`, notes, false},
		} {
			insttest.SetPolicy(t, r.Installation, forbids(c.when))
			if err := c.open(field.Name); errors.Is(err, gate.ErrDenied) != c.refused || err != nil && !c.refused {
				t.Errorf("%s: %v", c.when, err)
			}
		}
	})
}

// TestPoliciesFromTheirPlace: nothing is released by an event behind that of policies
// that refuse it, however many read meanwhile; after a restart they refuse still.
func TestPoliciesFromTheirPlace(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		dir := insttest.New(t, engine)
		r := furnish(t, insttest.Open(t, dir), 4)
		var readers sync.WaitGroup
		var stop atomic.Bool
		defer func() { // however the test ends
			stop.Store(true)
			readers.Wait()
		}()
		var place atomic.Int64 // of the policies, once it is known
		var most sync.Map
		begun := make(chan struct{}, 4)
		for n := range 4 {
			readers.Go(func() {
				for !stop.Load() {
					a, err := r.Gate.Read(background, r.s, gate.ReadRequest{Who: r.who(n), Why: why, Fields: field.SetOf(field.Name)})
					if err != nil {
						if !errors.Is(err, gate.ErrDenied) {
							t.Error(err)
						}
						return
					}
					if _, was := most.Swap(n, a.Event); !was {
						begun <- struct{}{}
					}
					if set := place.Load(); set > 0 && a.Event > set {
						return // it is told of below
					}
				}
			})
		}
		for range 4 {
			<-begun
		}
		set := insttest.SetPolicy(t, r.Installation, forbids("true"))
		place.Store(set.Event)
		readers.Wait()
		most.Range(func(n, event any) bool {
			if event.(int64) > set.Event {
				t.Errorf("reader %d was told by event %d, and the policies stand in %d", n, event, set.Event)
			}
			return true
		})
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		r.Installation = insttest.Open(t, dir)
		if now := r.Policies.Now(); now == nil || now.Hash != set.Hash || now.Event != set.Event {
			t.Fatalf("after a restart %+v is in force", now)
		}
		s, _ := insttest.Session(t, r.Installation, "s-9", "caseworker", "d-9")
		if _, err := r.Gate.Read(t.Context(), s, gate.ReadRequest{Who: r.who(0), Why: why, Fields: field.SetOf(field.Name)}); !errors.Is(err, gate.ErrDenied) {
			t.Errorf("after a restart: %v", err)
		}
	})
}

// TestPoliciesThatDontLoad: an event whose text isn't what its hash says, or doesn't
// load, refuses everything until another is set.
func TestPoliciesThatDontLoad(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		r := furnish(t, i, 1)
		for _, text := range []string{"permit (principal, action, resource);", insttest.Permissive} {
			detail := fmt.Sprintf(`{"hash":"00","text":%q}`, text)
			if _, err := i.Log.RecordOne(t.Context(), auditlog.Event{Action: auditlog.System, Outcome: "ok", Purpose: policy.Purpose, Detail: []byte(detail)}); err != nil {
				t.Fatal(err)
			}
			if _, err := i.Gate.Read(t.Context(), r.s, gate.ReadRequest{Who: r.who(0), Why: why, Fields: field.SetOf(field.Name)}); !errors.Is(err, gate.ErrDenied) || i.Policies.Now().Wrong == "" {
				t.Errorf("%v, wrong: %q", err, i.Policies.Now().Wrong)
			}
		}
		insttest.SetPolicy(t, i, insttest.Permissive)
		if _, err := i.Gate.Read(t.Context(), r.s, gate.ReadRequest{Who: r.who(0), Why: why, Fields: field.SetOf(field.Name)}); err != nil {
			t.Error(err)
		}
	})
}
