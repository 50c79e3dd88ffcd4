package installation_test

import (
	"errors"
	"path/filepath"
	"testing"

	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/keyring"
	"azekura/register/field"

	"github.com/google/uuid"
)

// TestResolve: pseudonyms become refs against one set event, only in a case that has
// an index; who isn't there is left out, and a list of nobody or of one twice is
// refused before anything is opened.
func TestResolve(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		insttest.Import(t, i, insttest.NDJSON(t, 5, 30))
		s := insttest.Caseworker(t, i)
		why := gate.Why{Purpose: "review", Case: "L-2"}
		var ids []uuid.UUID
		if err := i.Register.EachID(t.Context(), func(some []uuid.UUID, _ []int64) error {
			ids = append(ids, some...)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := i.Resolve(t.Context(), s, why, ids); !errors.Is(err, keyring.ErrNoCase) {
			t.Fatalf("a case without an index: %v", err)
		}
		if _, err := i.MakeLeakIndex(t.Context(), s, why, filepath.Join(t.TempDir(), "index"), func(int64, int64) {}); err != nil {
			t.Fatal(err)
		}
		before := len(insttest.Events(t, i))
		for _, bad := range [][]uuid.UUID{nil, {uuid.Nil}, {ids[0], ids[0]}, make([]uuid.UUID, installation.MostResolved+1)} {
			if _, _, err := i.Resolve(t.Context(), s, why, bad); !errors.Is(err, installation.ErrResolve) {
				t.Errorf("%d pseudonyms: %v", len(bad), err)
			}
		}
		if n := len(insttest.Events(t, i)); n != before {
			t.Errorf("what was refused wrote %d events", n-before)
		}
		list, _, err := i.Resolve(t.Context(), s, why, append([]uuid.UUID{uuid.Must(uuid.NewV7())}, ids...))
		if err != nil || len(list) != len(ids) {
			t.Fatalf("%d of %d: %v", len(list), len(ids), err)
		}
		refs := map[string]bool{}
		for _, r := range list {
			refs[r.Ref] = true
		}
		for _, p := range insttest.People(5, 30) {
			if !refs[p.Ref] {
				t.Error("somebody's ref is missing")
			}
		}
		events := insttest.Events(t, i)[before:]
		if len(events) != 1 || events[0].Action != auditlog.Set || events[0].Set.Job != "leak-resolve" || events[0].Set.Count != int64(len(ids)) ||
			events[0].Set.Union != field.SetOf(field.Ref) || events[0].Case != "L-2" {
			t.Errorf("it wrote %d events, or not one of this set", len(events))
		}
	})
}
