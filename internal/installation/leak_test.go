package installation_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/keyring"
	"azekura/leakscan"
	"azekura/leakscan/scan"
	"azekura/register/field"
	"azekura/register/value"
)

// TestLeak: an index out of a register finds a file's people by their present and
// their former data; one set event stands for it; with the key destroyed the index
// is refused.
func TestLeak(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		const n = 300
		insttest.Import(t, i, insttest.NDJSON(t, 3, n))
		s := insttest.Caseworker(t, i)
		path := filepath.Join(t.TempDir(), "index")
		why := gate.Why{Purpose: "review", Case: "L-1"}
		if _, err := i.LeakKey(t.Context(), "L-1"); !errors.Is(err, keyring.ErrNoCase) {
			t.Fatalf("the key of a case that has none: %v", err)
		}
		made, err := i.MakeLeakIndex(t.Context(), s, why, path, func(int64, int64) {})
		if err != nil || made.People != n {
			t.Fatalf("%d people: %v", made.People, err)
		}
		if _, err := i.MakeLeakIndex(t.Context(), s, why, path, func(int64, int64) {}); err == nil {
			t.Error("a file was written over")
		}
		key, err := i.LeakKey(t.Context(), "L-1")
		if err != nil {
			t.Fatal(err)
		}
		keys, err := leakscan.NewKeys(key)
		if err != nil {
			t.Fatal(err)
		}
		x, err := leakscan.Open(path, keys)
		if err != nil {
			t.Fatal(err)
		}
		found := leaked(t, i, x, n)
		if len(found) != n {
			t.Errorf("%d of %d people are found", len(found), n)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		sets, handed := 0, 0
		for _, e := range insttest.Events(t, i) {
			if e.Action == auditlog.Set && e.Set != nil && e.Set.Job == "leak-index" {
				sets++
			}
			if e.Purpose == "leak-key" {
				handed++
			}
		}
		if sets != 1 || handed != 1 {
			t.Errorf("%d set events and %d of the key", sets, handed)
		}
		if err := i.CloseLeak(t.Context(), "L-1"); err != nil {
			t.Fatal(err)
		}
		if _, err := i.LeakKey(t.Context(), "L-1"); !errors.Is(err, keyring.ErrNoCase) {
			t.Errorf("after closing: %v", err)
		}
		again, err := i.Ring.MakeCase(t.Context(), i.DB, "L-1", i.Log.Now())
		if err != nil || bytes.Equal(again, key) {
			t.Fatalf("the destroyed key came back: %v", err)
		}
		if keys, err = leakscan.NewKeys(again); err != nil {
			t.Fatal(err)
		}
		if _, err := leakscan.Open(path, keys); !errors.Is(err, leakscan.ErrIndex) {
			t.Errorf("a closed case's index opens: %v", err)
		}
	})
}

// leaked writes number and former name (or name) of everybody into a file, scans
// it, and returns the surely found.
func leaked(t *testing.T, i *installation.Installation, x *leakscan.Index, n int) map[string]bool {
	var b bytes.Buffer
	former := 0
	for _, p := range insttest.People(3, n) {
		name := p.Name
		for _, was := range p.Former {
			if was.Name != "" {
				name = was.Name
				former++
			}
		}
		if _, err := value.ParseName(name); err != nil {
			name = p.Name
		}
		b.WriteString(p.Number + "," + name + "\n")
	}
	if former == 0 {
		t.Error("nobody has a former name: the test tests less than it says")
	}
	file := filepath.Join(t.TempDir(), "leak")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := scan.Run(t.Context(), x, scan.Options{Paths: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	found, past := map[string]bool{}, 0
	if err := r.Each(func(l scan.Line) error {
		if l.Grade == "A" {
			found[l.Participant.String()] = true
		}
		if len(l.Past) == 1 && l.Past[0] == field.Name.String() {
			past++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if past == 0 {
		t.Error("nobody is found by a former name")
	}
	return found
}
