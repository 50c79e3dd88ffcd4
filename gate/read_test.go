package gate_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"azekura/access"
	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/insttest"
	"azekura/keyring"
	"azekura/register"
	"azekura/register/field"

	"github.com/google/uuid"
)

// door opens one person's name by one of the gate's ways.
type door struct {
	name string
	open func(ctx context.Context, r *room, s access.Session, who gate.Who, w gate.Why) error
}

var doors = []door{
	{"read", func(ctx context.Context, r *room, s access.Session, who gate.Who, w gate.Why) error {
		_, err := r.Gate.Read(ctx, s, gate.ReadRequest{Who: who, Why: w, Fields: field.SetOf(field.Name)})
		return err
	}},
	{"check", func(ctx context.Context, r *room, s access.Session, who gate.Who, w gate.Why) error {
		_, err := r.Gate.Check(ctx, s, gate.CheckRequest{Who: who, Why: w, Field: field.Name, Claim: "髙橋　花子"})
		return err
	}},
	{"search", func(ctx context.Context, r *room, s access.Session, _ gate.Who, w gate.Why) error {
		_, err := r.Gate.Search(ctx, s, gate.SearchRequest{Why: w, By: 2, First: r.people[0].Ref, Second: r.people[0].Birth})
		return err
	}},
	{"set", func(ctx context.Context, r *room, s access.Session, who gate.Who, w gate.Why) error {
		fields := field.SetOf(field.Name)
		_, err := r.Gate.OpenSet(ctx, s, gate.SetRequest{Why: w, Job: "test", Fields: fields}, insttest.Members(ctx, r.Installation, fields),
			func(gate.Opened) error { return nil })
		return err
	}},
	{"change", func(ctx context.Context, r *room, s access.Session, who gate.Who, w gate.Why) error {
		_, err := r.Gate.Change(ctx, s, gate.ChangeRequest{Who: who, Why: w, Values: map[field.Field]string{field.Email: "a@example.invalid"}})
		return err
	}},
	{"shred", func(ctx context.Context, r *room, s access.Session, who gate.Who, w gate.Why) error {
		_, err := r.Gate.Shred(ctx, s, who, w)
		return err
	}},
}

// TestDoorsRefuse tries every door without what it demands.
func TestDoorsRefuse(t *testing.T) {
	withPeople(t, 3, func(t *testing.T, r *room) {
		closed, _ := insttest.Session(t, r.Installation, "s-2", "caseworker", "d-2")
		if _, err := r.Access.CloseSession(t.Context(), closed.ID()); err != nil {
			t.Fatal(err)
		}
		_, token, err := r.Access.OpenSession(t.Context(), "s-2", "d-2", time.Microsecond)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Access.AtSocket(token); !errors.Is(err, access.ErrNoSession) {
			t.Errorf("an expired session is live: %v", err)
		}
		long := string(make([]byte, 65))
		for _, d := range doors {
			for name, c := range map[string]struct {
				s    access.Session
				why  gate.Why
				want error
			}{
				"no session":     {access.Session{}, why, access.ErrNoSession},
				"closed session": {closed, why, access.ErrNoSession},
				"no purpose":     {r.s, gate.Why{Case: "C-1"}, gate.ErrInvalid},
				"odd purpose":    {r.s, gate.Why{Purpose: "curiosity", Case: "C-1"}, gate.ErrInvalid},
				"no case":        {r.s, gate.Why{Purpose: "enquiry"}, gate.ErrInvalid},
				"a name as case": {r.s, gate.Why{Purpose: "enquiry", Case: r.people[0].Name}, gate.ErrInvalid},
				"a long case":    {r.s, gate.Why{Purpose: "enquiry", Case: "C" + long}, gate.ErrInvalid},
				"a long request": {r.s, gate.Why{Purpose: "enquiry", Case: "C-1", Request: long}, gate.ErrInvalid},
			} {
				events := r.size()
				if err := d.open(t.Context(), r, c.s, r.who(0), c.why); !errors.Is(err, c.want) {
					t.Errorf("%s with %s: %v, not %v", d.name, name, err, c.want)
				}
				if n := r.size() - events; n != 0 {
					t.Errorf("%s with %s: %d events", d.name, name, n)
				}
			}
		}
	})
}

// TestRolesRefused: who may not open is told so, and the log first.
func TestRolesRefused(t *testing.T) {
	withPeople(t, 3, func(t *testing.T, r *room) {
		for n, role := range access.Roles {
			if role == "caseworker" || role == "supervisor" {
				continue
			}
			s, _ := insttest.Session(t, r.Installation, "x-"+string(rune('a'+n)), role, "d-3")
			for _, d := range doors {
				events := r.size()
				if err := d.open(t.Context(), r, s, r.who(0), why); !errors.Is(err, gate.ErrDenied) {
					t.Errorf("%s as %s: %v", d.name, role, err)
				}
				now := r.since(t, events)
				if len(now) != 1 || now[0].Action != auditlog.Deny || now[0].Outcome != "role" || now[0].Session != s.ID() || now[0].Role != role {
					t.Errorf("%s as %s: %d events, or another than the refusal", d.name, role, len(now))
				}
			}
		}
	})
}

func TestRead(t *testing.T) {
	withPeople(t, 30, func(t *testing.T, r *room) {
		want := insttest.Look(t, r.Installation, r.s).People
		for n := range r.people {
			events := r.size()
			a, err := r.Gate.Read(t.Context(), r.s, gate.ReadRequest{Who: r.who(n), Why: why, Fields: field.SetOf(field.All()...)})
			if err != nil {
				t.Fatal(err)
			}
			if p := want[r.people[n].Ref]; len(a.Values) != len(p.Values) || a.Values[field.Name] != r.people[n].Name {
				t.Errorf("person %d: %d values", n, len(a.Values))
			}
			e := r.since(t, events)
			if len(e) != 1 || e[0].Action != auditlog.Read || e[0].Index != a.Event || e[0].Participant != a.Participant || len(e[0].Fields) != 11 ||
				e[0].Purpose != why.Purpose || e[0].Case != why.Case || e[0].Staff != "s-1" || e[0].Device != "d-1" {
				t.Fatalf("person %d: %+v", n, e)
			}
			// That a field is absent is told too, and so is in the event.
			for _, fv := range e[0].Fields {
				if fv.Version == 0 && a.Values[fv.Field] != "" {
					t.Errorf("person %d: %s was released and isn't in the event", n, fv.Field)
				}
			}
		}
	})
}

// TestMisses: that nobody is there is an answer, and so an event.
func TestMisses(t *testing.T) {
	withPeople(t, 3, func(t *testing.T, r *room) {
		for _, who := range []gate.Who{{Ref: "nobody"}, {Participant: uuid.Must(uuid.NewV7())}} {
			for _, d := range doors {
				if d.name == "search" || d.name == "set" {
					continue
				}
				events := r.size()
				if err := d.open(t.Context(), r, r.s, who, why); !errors.Is(err, register.ErrNotFound) {
					t.Errorf("%s: %v", d.name, err)
				}
				if e := r.since(t, events); len(e) != 1 || e[0].Action != auditlog.Search || e[0].Outcome != "none" || e[0].Session != r.s.ID() {
					t.Errorf("%s: %+v", d.name, e)
				}
			}
		}
		for _, fields := range []field.Set{0, field.SetOf(field.Mask), field.SetOf(field.Award), field.SetOf(field.Name, field.Existence), 1 << 31} {
			if _, err := r.Gate.Read(t.Context(), r.s, gate.ReadRequest{Who: r.who(0), Why: why, Fields: fields}); !errors.Is(err, gate.ErrInvalid) {
				t.Errorf("fields %b: %v", fields, err)
			}
		}
		for _, ref := range []string{"", "-x", "高橋", "a b"} {
			if _, err := r.Gate.Read(t.Context(), r.s, gate.ReadRequest{Who: gate.Who{Ref: ref}, Why: why, Fields: 1}); !errors.Is(err, gate.ErrInvalid) {
				t.Errorf("ref %q: %v", ref, err)
			}
		}
	})
}

// TestVersions reads what was, and finds that asking for what never was tells
// that the participant exists, and is an event.
func TestVersions(t *testing.T) {
	withPeople(t, 3, func(t *testing.T, r *room) {
		p := &r.people[0]
		latest := int64(len(p.Former)) + 1
		for n, name := range []string{"一番　目", "二番　目"} {
			c, err := r.Gate.Change(t.Context(), r.s, gate.ChangeRequest{Who: r.who(0), Why: why, Values: map[field.Field]string{field.Name: name}})
			if err != nil || c.Version != latest+1+int64(n) {
				t.Fatal(err, c.Version)
			}
		}
		for version, name := range map[int64]string{0: "二番　目", latest: p.Name, latest + 1: "一番　目", latest + 2: "二番　目"} {
			a, err := r.Gate.Read(t.Context(), r.s, gate.ReadRequest{Who: r.who(0), Why: why, Fields: field.SetOf(field.Name, field.Birth), Version: version})
			if err != nil || a.Values[field.Name] != name || a.Values[field.Birth] != p.Birth {
				t.Errorf("version %d: %v", version, err)
			}
		}
		for _, version := range []int64{-1, latest + 3, 1 << 62} {
			events := r.size()
			_, err := r.Gate.Read(t.Context(), r.s, gate.ReadRequest{Who: r.who(0), Why: why, Fields: field.SetOf(field.Name), Version: version})
			if !errors.Is(err, gate.ErrInvalid) {
				t.Errorf("version %d: %v", version, err)
			}
			r.toldExistence(t, events, "none", field.Ref)
		}
	})
}

// toldExistence wants one event since an index: that a participant exists, and no
// more than those fields, was told.
func (r *room) toldExistence(t *testing.T, index int64, outcome string, more ...field.Field) {
	t.Helper()
	e := r.since(t, index)
	if len(e) == 0 {
		t.Fatal("no event")
	}
	last := e[len(e)-1]
	if last.Action != auditlog.Show || last.Outcome != outcome || last.Opened() != field.SetOf(field.Existence)|field.SetOf(more...) || last.Session != r.s.ID() {
		t.Errorf("%+v", last)
	}
}

// TestEndsWhileRecorded holds the log's writer while a door records, and ends
// the session then: the event comes into the log, and nothing out.
func TestEndsWhileRecorded(t *testing.T) {
	withPeople(t, 3, func(t *testing.T, r *room) {
		for _, d := range doors[:3] {
			for recorded := false; !recorded; {
				s, _ := insttest.Session(t, r.Installation, "s-3", "caseworker", "d-3")
				err := r.endWhile(t, s, func() error { return d.open(t.Context(), r, s, r.who(0), why) })
				if !errors.Is(err, access.ErrNoSession) {
					t.Fatalf("%s: %v", d.name, err)
				}
				// Were it ended before the door was tried, nothing would be recorded.
				recorded = slices.ContainsFunc(r.since(t, 0), func(e auditlog.Event) bool {
					return e.Session == s.ID() && e.Action.String() == d.name
				})
			}
		}
	})
}

// endWhile runs open with the log's writer held, ends the session, and lets go.
func (r *room) endWhile(t *testing.T, s access.Session, open func() error) error {
	t.Helper()
	tx, err := r.DB.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), "UPDATE log_head SET epoch = epoch")
	}
	if err != nil {
		t.Fatal(err)
	}
	opened, closed := make(chan error), make(chan error)
	go func() { opened <- open() }()
	time.Sleep(20 * time.Millisecond) // most likely it is waiting now; if not, the caller tries again
	go func() {
		_, err := r.Access.CloseSession(background, s.ID())
		closed <- err
	}()
	for r.Access.Still(s) == nil {
		time.Sleep(time.Millisecond)
	}
	tx.Rollback()
	err = <-opened
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	return err
}

// TestEndsMeanwhile ends a session between a set's event and its first member:
// none comes out.
func TestEndsMeanwhile(t *testing.T) {
	withPeople(t, 20, func(t *testing.T, r *room) {
		fields := field.SetOf(field.Name)
		events, got := r.size(), 0
		_, err := r.Gate.OpenSet(t.Context(), r.s, gate.SetRequest{Why: why, Job: "test", Fields: fields, Progress: func(recorded, _ int64) {
			if _, err := r.Access.CloseSession(context.Background(), r.s.ID()); err != nil {
				t.Error(err)
			}
		}}, insttest.Members(t.Context(), r.Installation, fields), func(gate.Opened) error { got++; return nil })
		if !errors.Is(err, access.ErrNoSession) || got != 0 {
			t.Errorf("%d members were released after the session's end: %v", got, err)
		}
		if e := r.since(t, events); !slices.ContainsFunc(e, func(e auditlog.Event) bool { return e.Action == auditlog.Set }) {
			t.Error("the set isn't in the log")
		}
	})
}

// TestCancelled: a client that goes away gets nothing, and its event stays.
func TestCancelled(t *testing.T) {
	withPeople(t, 3, func(t *testing.T, r *room) {
		random := insttest.Random(t)
		answered, events := int64(0), r.size()
		for range 200 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.Int64N(int64(2*time.Millisecond))))
			a, err := r.Gate.Read(ctx, r.s, gate.ReadRequest{Who: r.who(0), Why: why, Fields: field.SetOf(field.Name)})
			cancel()
			switch {
			case err == nil:
				answered++
			case !errors.Is(err, context.DeadlineExceeded):
				t.Fatal(err)
			case len(a.Values) > 0:
				t.Fatal("a client that had gone got values")
			}
		}
		// One more, behind all that were given up.
		if err := doors[0].open(t.Context(), r, r.s, r.who(1), why); err != nil {
			t.Fatal(err)
		}
		reads := r.size() - events - 1
		t.Logf("%d answered, %d recorded", answered, reads)
		if reads < answered {
			t.Errorf("%d reads are in the log, %d were answered", reads, answered)
		}
	})
}

// TestShredded destroys somebody's key, and tries every way back.
func TestShredded(t *testing.T) {
	withPeople(t, 3, func(t *testing.T, r *room) {
		a, err := r.Gate.Read(t.Context(), r.s, gate.ReadRequest{Who: r.who(0), Why: why, Fields: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Gate.Shred(t.Context(), r.s, r.who(0), why); err != nil {
			t.Fatal(err)
		}
		for _, d := range doors {
			if d.name == "set" || d.name == "search" {
				continue
			}
			events := r.size()
			if err := d.open(t.Context(), r, r.s, gate.Who{Participant: a.Participant}, why); !errors.Is(err, keyring.ErrShredded) {
				t.Errorf("%s: %v", d.name, err)
			}
			r.toldExistence(t, events, "shredded")
		}
	})
}
