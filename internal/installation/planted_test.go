package installation_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"azekura/access"
	"azekura/auditlog"
	"azekura/gate"
	"azekura/incident"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/keyring/rotation"
	"azekura/population"
	"azekura/register"
	"azekura/register/field"
	"azekura/register/value"

	"github.com/google/uuid"
)

// gaps is how many of a hundred refs are nobody's in planted's file.
const gaps = 0.2

// planted is an installation of people with gaps in their refs, and canaries.
func planted(t *testing.T, engine string, people int64) *installation.Installation {
	t.Helper()
	i := insttest.Open(t, insttest.New(t, engine))
	var b bytes.Buffer
	must(t, population.WriteCSVWithGaps(t.Context(), &b, 1, people, gaps, nil))
	at, err := insttest.TryImport(t.Context(), i, insttest.File(t, b.Bytes()), register.ImportOptions{Density: 0.1})
	must(t, err)
	if at.Rejected != 0 || at.Created != at.Rows {
		t.Fatalf("%d made of %d rows", at.Created, at.Rows)
	}
	return i
}

// birds are the canaries of a register, and how many others there are.
func birds(t *testing.T, i *installation.Installation) (list []uuid.UUID, others int) {
	t.Helper()
	must(t, i.Register.EachID(t.Context(), func(ids []uuid.UUID, _ []int64) error {
		for _, id := range ids {
			if i.Gate.IsCanary(id) {
				list = append(list, id)
			} else {
				others++
			}
		}
		return nil
	}))
	return list, others
}

// TestTouch reads one ref after the other, as a thief would, until it meets a canary:
// the refusal, the alarm and the containments stand behind one another in one commit,
// and nothing of the canary was opened.
func TestTouch(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		i := planted(t, engine, 400)
		thief := insttest.Caseworker(t, i)
		beside, _ := insttest.Session(t, i, "s-2", "caseworker", "d-2")
		read := func(s access.Session, ref string) error {
			_, err := i.Gate.Read(t.Context(), s, gate.ReadRequest{Who: gate.Who{Ref: ref}, Why: gate.Why{Purpose: "enquiry", Case: "C-1"}, Fields: field.SetOf(field.Name)})
			return err
		}
		var last error
		stolen, before := 0, int64(0)
		for n := 1; n <= 400 && last == nil; n++ {
			before = i.Log.Committed()
			last = read(thief, fmt.Sprintf("A%07d", n))
			if last == nil {
				stolen++
			} else if errors.Is(last, register.ErrNotFound) {
				last = nil
			}
		}
		if !errors.Is(last, access.ErrContained) || stolen == 0 || stolen > 200 {
			t.Fatalf("after %d people: %v", stolen, last)
		}
		touch := insttest.Events(t, i)[before:]
		contains := 0
		for n, e := range touch {
			if e.Time != touch[0].Time || n == 0 && (e.Action != auditlog.Deny || !i.Gate.IsCanary(e.Participant)) {
				t.Fatalf("event %d is a %s, %d µs after the touch", e.Index, e.Action, e.Time-touch[0].Time)
			}
			if e.Action == auditlog.Contain {
				contains++
			}
		}
		if contains != 3 {
			t.Fatalf("%d containments among %d events", contains, len(touch))
		}
		if err := i.Access.Still(thief); !errors.Is(err, access.ErrContained) {
			t.Fatalf("whoever touched a canary goes on: %v", err)
		}
		must(t, read(beside, firstHonest(t)))
		for _, e := range insttest.Events(t, i) {
			if i.Gate.IsCanary(e.Participant) && e.Action == auditlog.Read {
				t.Fatalf("event %d opened a canary", e.Index)
			}
		}
	})
}

// TestMistypedRef: a search with a mistyped ref that is a canary's tells what one with
// nobody's does, and stops nobody; a check of it stops the session, as operations say.
func TestMistypedRef(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		i := planted(t, engine, 400)
		s := insttest.Caseworker(t, i)
		why := gate.Why{Purpose: "enquiry", Case: "C-1"}
		mistyped := map[bool]string{}                                       // by whether it is a canary's
		for n := int64(9_999); mistyped[true] == ""; n = (n + 1) % 10_000 { // behind the file's first, then its gaps
			if n < 400 && !population.Gap(1, n, gaps) {
				continue
			}
			if n == 400 {
				t.Fatal("no gap holds a canary")
			}
			ref, before := fmt.Sprintf("A%07d", n+1), i.Log.Committed()
			found, err := i.Gate.Search(t.Context(), s, gate.SearchRequest{Why: why, By: value.KindRef, First: ref, Second: "1950-04-13"})
			if err != nil || len(found) != 0 {
				t.Fatalf("%d found, %v", len(found), err)
			}
			events := insttest.Events(t, i)[before:]
			if len(events) != 2 || events[1].Outcome != "none" {
				t.Fatalf("%d events, the last %s", len(events), events[len(events)-1].Outcome)
			}
			mistyped[i.Gate.IsCanary(events[0].Participant)] = ref
		}
		check := func(ref string) error {
			_, err := i.Gate.Check(t.Context(), s, gate.CheckRequest{Who: gate.Who{Ref: ref}, Why: why, Field: field.Birth, Claim: "1950-04-13"})
			return err
		}
		if err := check(mistyped[false]); !errors.Is(err, register.ErrNotFound) {
			t.Fatalf("a check of nobody's ref: %v", err)
		}
		must(t, i.Access.Still(s))
		if err := check(mistyped[true]); !errors.Is(err, access.ErrContained) {
			t.Fatalf("a check of a canary's ref: %v", err)
		}
		if err := i.Access.Still(s); !errors.Is(err, access.ErrContained) {
			t.Fatalf("whoever checked a canary goes on: %v", err)
		}
	})
}

// firstHonest is the first ref that isn't a gap.
func firstHonest(t *testing.T) string {
	t.Helper()
	for n := int64(0); ; n++ {
		if !population.Gap(1, n, gaps) {
			return fmt.Sprintf("A%07d", n+1)
		}
	}
}

// TestCanariesAreNobody: no set, no exposure and no count has them.
func TestCanariesAreNobody(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		i := planted(t, engine, 200)
		list, others := birds(t, i)
		s := insttest.Caseworker(t, i)
		names := field.SetOf(field.Name)
		opened := 0
		_, err := i.Gate.OpenSet(t.Context(), s, gate.SetRequest{Why: gate.Why{Purpose: "audit", Case: "C-1"}, Job: "letters", Fields: names}, insttest.Members(t.Context(), i, names), func(o gate.Opened) error {
			if i.Gate.IsCanary(o.Member.ID) {
				t.Error("a set opens a canary")
			}
			opened++
			return nil
		})
		must(t, err)
		v, err := i.Gate.VerifyRegister(t.Context(), func(int64) {})
		must(t, err)
		if len(list) < 5 || opened != others || v.Participants != int64(others) || !v.OK {
			t.Fatalf("%d opened, %d verified; %d people, %d canaries", opened, v.Participants, others, len(list))
		}
		exposed(t, i, s, list[0])
		officer, _ := insttest.Session(t, i, "s-9", "security-officer", "d-9")
		count, err := i.Gate.CountCanaries(t.Context(), officer, "")
		must(t, err)
		if n, err := count(func(_, _ int64) {}); err != nil || n != int64(len(list)) {
			t.Fatalf("%d counted of %d: %v", n, len(list), err)
		}
		if _, err := i.Gate.CountCanaries(t.Context(), s, ""); !errors.Is(err, gate.ErrDenied) {
			t.Fatalf("a caseworker counts canaries: %v", err)
		}
		tail := insttest.Events(t, i)
		if e := tail[len(tail)-2]; e.Action != auditlog.Export || e.Staff != "s-9" {
			t.Fatalf("counting is a %s of %s", e.Action, e.Staff)
		}
	})
}

// exposed shows a canary's mask beside a person's, and asks whom the session saw.
func exposed(t *testing.T, i *installation.Installation, s access.Session, bird uuid.UUID) {
	t.Helper()
	show := s.Stamp(auditlog.Event{Action: auditlog.Show, Outcome: "ok", Purpose: "enquiry", Case: "C-1", Participant: bird,
		Fields: []auditlog.FieldVersion{{Field: field.Name, Version: 1}}})
	_, err := i.Log.RecordOne(t.Context(), show)
	must(t, err)
	src := incident.Source{DB: i.DB, LogID: i.Log.ID(), Signed: i.Signer.Head, OpenMembers: i.Gate.OpenMembers}
	all, err := incident.Compute(t.Context(), src, incident.Query{Sessions: []auditlog.Session{s.ID()}}, nil)
	must(t, err)
	src.Nobody = i.Gate.IsCanary
	e, err := incident.Compute(t.Context(), src, incident.Query{Sessions: []auditlog.Session{s.ID()}}, nil)
	must(t, err)
	if e.Participants != all.Participants-1 || e.Openings != all.Openings-1 || !e.Complete {
		t.Fatalf("%d people and %d openings are exposed, with canaries %d and %d", e.Participants, e.Openings, all.Participants, all.Openings)
	}
	must(t, e.Each(func(id uuid.UUID, _ field.Set, _, _ time.Time, _ int64) error {
		if i.Gate.IsCanary(id) {
			t.Error("a canary is listed among those who are told")
		}
		return nil
	}))
}

// TestCanariesRotate changes the keys, and shreds a canary as anybody.
func TestCanariesRotate(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		i := planted(t, engine, 200)
		before, others := birds(t, i)
		must(t, i.StartJobs(t.Context()))
		for _, kind := range []string{rotation.Data, rotation.Index} {
			at, err := i.StartRotation(t.Context(), kind, "")
			must(t, err)
			waitRotation(t, i, at.ID)
		}
		after, now := birds(t, i)
		if len(after) != len(before) || now != others {
			t.Fatalf("%d canaries after the rotations, %d before", len(after), len(before))
		}
		if v, err := i.Gate.VerifyRegister(t.Context(), func(int64) {}); err != nil || !v.OK {
			t.Fatalf("%v %v", v.Problems, err)
		}
	})
}

func waitRotation(t *testing.T, i *installation.Installation, id int64) {
	t.Helper()
	for {
		at, err := i.Rotator.Show(t.Context(), id)
		must(t, err)
		if at.Failure != "" {
			t.Fatal(at.Failure)
		}
		if at.Finished {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
