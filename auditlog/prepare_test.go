package auditlog_test

import (
	"os"
	"path/filepath"
	"testing"

	"azekura/auditlog"

	"golang.org/x/mod/sumdb/note"
)

// TestPrepareCutOff: wherever the making of a next log's key was cut off, the next try
// ends with a key, and gives the same one from then on.
func TestPrepareCutOff(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "next")
	next := auditlog.NextOrigin(origin, 2)
	if _, err := auditlog.PrepareNext(whole, next, 2); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(whole)
	if err != nil || len(entries) != 4 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	for _, e := range entries {
		for _, left := range []string{"none", "empty"} {
			dir := filepath.Join(t.TempDir(), "next")
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			err := os.Remove(filepath.Join(dir, "vkey")) // which comes last
			if e.Name() != "vkey" {
				err = os.Remove(filepath.Join(dir, e.Name()))
			}
			if err == nil && left == "empty" {
				err = os.WriteFile(filepath.Join(dir, e.Name()), nil, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			first, err := auditlog.PrepareNext(dir, next, 2)
			if err != nil {
				t.Fatalf("%s is %s: %v", e.Name(), left, err)
			}
			again, err := auditlog.PrepareNext(dir, next, 2)
			if v, bad := note.NewVerifier(again); err != nil || bad != nil || v.Name() != next || again != first {
				t.Errorf("%s is %s: %q after %q, %v", e.Name(), left, again, first, err)
			}
		}
	}
}

// TestSuccessorIsAKey: a log doesn't name a next that has no key, or another's.
func TestSuccessorIsAKey(t *testing.T) {
	vkey, err := auditlog.PrepareNext(filepath.Join(t.TempDir(), "next"), "a.example/log", 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := auditlog.Successor("", "a.example/log", vkey); err != nil {
		t.Error(err)
	}
	for next, key := range map[string]string{"a.example/log": "", "b.example/log": vkey} {
		if _, err := auditlog.Successor("", next, key); err == nil {
			t.Errorf("%q is named as the key of %s", key, next)
		}
	}
}
