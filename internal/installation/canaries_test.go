package installation_test

import (
	"errors"
	"testing"

	"azekura/access"
	"azekura/auditlog"
	"azekura/cases"
	"azekura/gate"
	"azekura/gate/canary"
	"azekura/internal/insttest"
	"azekura/register"
	"azekura/register/field"

	"github.com/google/uuid"
)

// TestCanaryStopsItsReader plants every tenth of some people, reads an honest one
// and then a canary, and asks on.
func TestCanaryStopsItsReader(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		dir := insttest.New(t, engine)
		i, err := insttest.OpenDir(t.Context(), dir)
		must(t, err)
		defer func() { must(t, i.Close()) }()
		marks := canary.New(i.Ring)
		planted := map[uuid.UUID]bool{}
		_, err = insttest.TryImport(t.Context(), i, insttest.File(t, insttest.CSV(t, 1, 60)), register.ImportOptions{
			Name: func(row int64, id uuid.UUID) uuid.UUID {
				if row%10 == 0 {
					id = marks.Of(id)
					planted[id] = true
				}
				if marks.Is(id) != planted[id] || id.Version() != 7 || id.Variant() != uuid.RFC4122 {
					t.Errorf("row %d: taken for a canary: %t", row, marks.Is(id))
				}
				return id
			}})
		must(t, err)
		if len(planted) != 6 {
			t.Fatalf("%d canaries", len(planted))
		}
		people := insttest.People(1, 60)
		thief := insttest.Caseworker(t, i)
		beside, _ := insttest.Session(t, i, "s-2", "caseworker", "d-2")
		check := func(s access.Session, n int) error {
			code := insttest.OpenCase(t, i, s, cases.Call)
			_, err := i.Gate.Check(t.Context(), s, gate.CheckRequest{Who: gate.Who{Ref: people[n].Ref}, Why: gate.Why{Purpose: "enquiry", Case: code}, Field: field.Birth, Claim: people[n].Birth})
			return err
		}
		must(t, check(thief, 3))
		canaryRow := -1
		for n := range people {
			if (n+1)%10 == 0 {
				canaryRow = n
				break
			}
		}
		if err := check(thief, canaryRow); !errors.Is(err, access.ErrContained) {
			t.Fatalf("a canary was opened: %v", err)
		}
		if err := i.Access.Still(thief); !errors.Is(err, access.ErrContained) {
			t.Fatalf("whoever opened a canary goes on: %v", err)
		}
		must(t, check(beside, 3))
		kinds := map[string]bool{}
		for _, c := range i.Access.Contained() {
			kinds[c.String()] = true
		}
		if len(kinds) != 2 || !kinds["device d-1"] || !kinds["staff s-1"] { // a session that ended isn't listed
			t.Fatalf("contained: %v", kinds)
		}
		for _, e := range insttest.Events(t, i) {
			if planted[e.Participant] && e.Action != auditlog.Deny {
				t.Fatalf("event %d is a %s of a canary", e.Index, e.Action)
			}
		}
		if list, err := i.Log.Alarms(t.Context()); err != nil || len(list) != 0 {
			t.Fatalf("a rule's alarm is taken for one about a row: %v %v", list, err)
		}
		must(t, i.Close())
		i, err = insttest.OpenDir(t.Context(), dir)
		must(t, err)
		if !canary.New(i.Ring).Is(first(planted)) || len(i.Access.Contained()) != 2 {
			t.Fatal("a restart forgot a canary, or whom it stopped")
		}
	})
}

func first(of map[uuid.UUID]bool) uuid.UUID {
	for id := range of {
		return id
	}
	return uuid.UUID{}
}
