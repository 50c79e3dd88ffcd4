package register_test

import (
	"strings"
	"testing"

	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/register/field"

	"github.com/google/uuid"
)

// written is what the set events of imports say of a participant: the fields
// and the newest version.
type written struct {
	fields  field.Set
	version int64
	times   int
}

// checkSets holds each import's set events against their sealed members, and
// the members against the register: whoever is in it, and nobody else, in the
// version that it has.
func checkSets(t *testing.T, i *installation.Installation) {
	t.Helper()
	people := map[uuid.UUID]written{}
	for _, e := range insttest.Events(t, i) {
		if e.Action != auditlog.Set || !strings.HasPrefix(e.Set.Job, "import ") {
			continue
		}
		if e.Set.Opens || e.Purpose != "import" {
			t.Errorf("event %d says that an import opens", e.Index)
		}
		for _, m := range setMembers(t, i, e) {
			w := people[m.ID]
			people[m.ID] = written{w.fields | m.Fields, max(w.version, m.Version), w.times + 1}
		}
	}
	found := 0
	err := i.Register.EachID(t.Context(), func(ids []uuid.UUID, versions []int64) error {
		found += len(ids)
		for n, id := range ids {
			if people[id].version != versions[n] {
				t.Errorf("the log knows version %d of a participant, the register has %d", people[id].version, versions[n])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found != len(people) {
		t.Errorf("the log speaks of %d people, the register has %d", len(people), found)
	}
}

// setMembers opens a set event's members and checks them against its root.
func setMembers(t *testing.T, i *installation.Installation, e auditlog.Event) []auditlog.Member {
	t.Helper()
	var list []auditlog.Member
	check := auditlog.NewCheckSet()
	err := auditlog.EachBlock(t.Context(), i.DB, i.Log.ID(), e.Set.ID, func(block int64, sealed []byte) error {
		encoded, err := i.Gate.OpenMembers(e.Set.ID, block, sealed)
		if err != nil {
			return err
		}
		check.Add(encoded)
		members, err := auditlog.DecodeMembers(encoded)
		list = append(list, members...)
		return err
	})
	if err != nil {
		t.Fatalf("event %d: %v", e.Index, err)
	}
	if !check.Agrees(e.Set) {
		t.Errorf("the members of event %d aren't those it was written over", e.Index)
	}
	return list
}
