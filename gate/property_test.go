package gate_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"

	"azekura/access"
	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/insttest"
	"azekura/register"
	"azekura/register/field"
	"azekura/register/value"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// release is one thing that a caller came to know.
type release struct {
	session     auditlog.Session
	participant uuid.UUID
	field       field.Field
}

// released gathers what concurrent callers came to know, each with the event
// that the gate named for it.
type released struct {
	mu     sync.Mutex
	events map[release][]int64
	failed error
}

func (l *released) add(s access.Session, id uuid.UUID, event int64, fields ...field.Field) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range fields {
		k := release{s.ID(), id, f}
		l.events[k] = append(l.events[k], event)
	}
}

// fail keeps an error that no request of this test may meet.
func (l *released) fail(err error) {
	for _, expected := range []error{nil, gate.ErrInvalid, gate.ErrDenied, gate.ErrTooMany, register.ErrNotFound, register.ErrConflict, access.ErrNoSession, access.ErrTouch, context.Canceled} {
		if errors.Is(err, expected) {
			return
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = errors.Join(l.failed, err)
}

// act is one request that a random caller makes.
type act struct {
	Kind, Person, Session, Fields, Version int
	Cancelled                              bool
}

func drawAct(t *rapid.T) act {
	return act{Kind: rapid.IntRange(0, 7).Draw(t, "kind"), Person: rapid.IntRange(0, 11).Draw(t, "person"), Session: rapid.IntRange(0, 3).Draw(t, "session"),
		Fields: rapid.IntRange(0, 1<<12-1).Draw(t, "fields"), Version: rapid.IntRange(0, 3).Draw(t, "version"), Cancelled: rapid.IntRange(0, 9).Draw(t, "cancelled") == 0}
}

// seats are the callers' places. At each a staff member sits until a rule ends that:
// who guesses on and on is asked for a touch, and contained. Then the next one sits down.
type seats struct {
	sessions [4]access.Session
	left     [4]atomic.Bool
	staff    int
}

// sit fills the places that nobody sits at, or from whom nothing is to be had.
func (r *room) sit(t *testing.T, l *seats) {
	t.Helper()
	for n, role := range []string{"caseworker", "supervisor", "auditor", "caseworker"} {
		if l.sessions[n].ID() == 0 || l.left[n].Swap(false) {
			l.sessions[n], _ = insttest.Session(t, r.Installation, fmt.Sprintf("p-%d", l.staff), role, fmt.Sprintf("q-%d", n%2))
			l.staff++
		}
	}
}

// TestReleasedIsLogged: over any requests by any callers at once, what anybody
// came to know is a subset of what the log says.
func TestReleasedIsLogged(t *testing.T) {
	withPeople(t, 10, func(t *testing.T, r *room) {
		var l seats
		rounds, told := 0, 0 // in which anything was
		rapid.Check(t, func(rt *rapid.T) {
			r.sit(t, &l)
			acts := rapid.SliceOfN(rapid.Custom(drawAct), 1, 32).Draw(rt, "acts")
			got := &released{events: map[release][]int64{}}
			var wg sync.WaitGroup
			for _, a := range acts {
				wg.Go(func() {
					err := r.do(a, l.sessions[a.Session], got)
					insttest.Withheld(t, fmt.Sprint(err), r.people)
					if errors.Is(err, access.ErrTouch) || errors.Is(err, access.ErrNoSession) {
						l.left[a.Session].Store(true)
					}
					got.fail(err)
				})
			}
			wg.Wait()
			if got.failed != nil {
				rt.Fatal(got.failed)
			}
			r.covered(t, rt, got)
			rounds++
			if len(got.events) > 0 {
				told++
			}
		})
		if told < rounds/2 {
			t.Errorf("in %d of %d rounds somebody was told something", told, rounds)
		}
	})
}

// do makes the request. Persons past the end don't exist.
func (r *room) do(a act, s access.Session, got *released) error {
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	if a.Cancelled {
		go cancel()
	}
	who, number, birth, name := gate.Who{Ref: "nobody"}, "9999999999", "1950-01-01", "誰　か"
	if a.Person < len(r.people) {
		p := &r.people[a.Person]
		who, number, birth, name = gate.Who{Ref: p.Ref}, p.Number, p.Birth, p.Name
	}
	switch a.Kind {
	case 0, 1:
		answer, err := r.Gate.Read(ctx, s, gate.ReadRequest{Who: who, Why: why, Fields: field.Set(a.Fields), Version: int64(a.Version)})
		for f := range answer.Values {
			got.add(s, answer.Participant, answer.Event, f, field.Existence, field.Ref) // it is by a ref
		}
		return err
	case 2, 3:
		request := gate.SearchRequest{Why: why, By: value.KindNumber, First: number, Second: birth}
		if a.Kind == 3 {
			request = gate.SearchRequest{Why: why, By: value.KindNameBirth, First: name, Second: birth}
		}
		found, err := r.Gate.Search(ctx, s, request)
		for _, c := range found {
			got.add(s, c.Participant, c.Event, append(request.By.Fields().Fields(), field.Existence, field.Mask, field.Birth)...) // what it was for is theirs
		}
		return err
	case 4:
		_, err := r.Gate.Check(ctx, s, gate.CheckRequest{Who: who, Why: why, Field: field.Birth, Claim: birth})
		return err
	case 5:
		_, err := r.Gate.Change(ctx, s, gate.ChangeRequest{Who: who, Why: why, Values: map[field.Field]string{field.Email: fmt.Sprintf("e%d@example.invalid", a.Fields)}})
		return err
	case 6:
		_, err := r.Gate.Change(ctx, s, gate.ChangeRequest{Who: who, Why: why, Values: map[field.Field]string{field.Number: fmt.Sprintf("90000000%02d", a.Fields%100)}})
		return err
	default:
		return r.doSet(ctx, a, s, got)
	}
}

func (r *room) doSet(ctx context.Context, a act, s access.Session, got *released) error {
	fields := field.Set(a.Fields)
	var list []gate.Opened
	event, err := r.Gate.OpenSet(ctx, s, gate.SetRequest{Why: why, Job: "p", Fields: fields}, insttest.Members(ctx, r.Installation, fields), func(o gate.Opened) error {
		list = append(list, o)
		return nil
	})
	for _, o := range list {
		for f := range maps.Keys(o.Values) {
			got.add(s, o.Member.ID, event, f)
		}
	}
	return err
}

// covered holds what was released against the log, and the log's numbers
// against each other.
func (r *room) covered(t *testing.T, rt *rapid.T, got *released) {
	t.Helper()
	logged := map[release]map[int64]bool{}
	participants, sessions := map[uuid.UUID]int64{}, map[auditlog.Session]int64{}
	note := func(e *auditlog.Event, id uuid.UUID, fields field.Set) {
		for _, f := range (fields | field.SetOf(field.Existence)).Fields() {
			k := release{e.Session, id, f}
			if logged[k] == nil {
				logged[k] = map[int64]bool{}
			}
			logged[k][e.Index] = true
		}
	}
	for _, e := range insttest.Events(t, r.Installation) {
		if e.Participant != (uuid.UUID{}) {
			participants[e.Participant]++
			if e.ParticipantSeq != participants[e.Participant] {
				rt.Fatalf("event %d has number %d of its participant, not %d", e.Index, e.ParticipantSeq, participants[e.Participant])
			}
		}
		if e.Session != 0 {
			sessions[e.Session]++
			if e.SessionSeq != sessions[e.Session] {
				rt.Fatalf("event %d has number %d of its session, not %d", e.Index, e.SessionSeq, sessions[e.Session])
			}
		}
		if e.Set != nil && e.Set.Opens {
			r.eachMember(t, &e, func(m auditlog.Member) { note(&e, m.ID, m.Fields) })
		} else if opened := e.Opened(); opened != 0 {
			note(&e, e.Participant, opened)
		}
	}
	for k, events := range got.events {
		for _, event := range events {
			if !logged[k][event] {
				rt.Fatalf("%s of a participant was released, and event %d doesn't say so", k.field, event)
			}
		}
	}
}

func (r *room) eachMember(t *testing.T, e *auditlog.Event, f func(auditlog.Member)) {
	t.Helper()
	err := auditlog.EachBlock(background, r.DB, r.Log.ID(), e.Set.ID, func(block int64, sealed []byte) error {
		encoded, err := r.Gate.OpenMembers(e.Set.ID, block, sealed)
		if err != nil {
			return err
		}
		members, err := auditlog.DecodeMembers(encoded)
		for _, m := range members {
			f(m)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNeighbours: of 64 requests at once one is bad in each way there is, and
// no neighbour notices.
func TestNeighbours(t *testing.T) {
	withPeople(t, 32, func(t *testing.T, r *room) {
		auditor, _ := insttest.Session(t, r.Installation, "a-1", "auditor", "d-1")
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		bad := map[string]func() error{
			"malformed": func() error {
				_, err := r.Gate.Read(t.Context(), r.s, gate.ReadRequest{Who: r.who(0), Why: why})
				return err
			},
			"refused":   func() error { return doors[0].open(t.Context(), r, auditor, r.who(0), why) },
			"cancelled": func() error { return doors[0].open(cancelled, r, r.s, r.who(0), why) },
			"not text": func() error {
				return doors[0].open(t.Context(), r, r.s, r.who(0), gate.Why{Purpose: "enquiry", Case: "C-1", Request: "\xff"})
			},
			"nobody": func() error { return doors[0].open(t.Context(), r, r.s, gate.Who{Ref: "nobody"}, why) },
			"too long a set": func() error {
				_, err := r.Gate.OpenSet(t.Context(), r.s, gate.SetRequest{Why: why, Job: string(make([]byte, 1<<17)), Fields: 1}, insttest.Members(t.Context(), r.Installation, 1),
					func(gate.Opened) error { return nil })
				return err
			},
			"another's number": func() error {
				_, err := r.change(t, r.who(1), map[field.Field]string{field.Number: r.people[2].Number})
				return err
			},
		}
		for name, request := range bad {
			t.Run(name, func(t *testing.T) {
				var wg sync.WaitGroup
				for n := range 64 {
					wg.Go(func() {
						if n == 31 {
							if request() == nil {
								t.Error("the bad request was answered")
							}
							return
						}
						a, err := r.Gate.Read(t.Context(), r.s, gate.ReadRequest{Who: r.who(n % 32), Why: why, Fields: field.SetOf(field.Ref)})
						if err != nil || a.Values[field.Ref] != r.people[n%32].Ref {
							t.Errorf("neighbour %d: %v", n, err)
						}
					})
				}
				wg.Wait()
			})
		}
	})
}
