package scan_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"azekura/leakscan/leaktest"
	"azekura/leakscan/scan"
)

// FuzzJournal: a journal of whatever bytes is cut off where it isn't one, and the scan
// goes on.
func FuzzJournal(f *testing.F) {
	key := leaktest.Key()
	x := leaktest.Open(f, leaktest.Build(f, seed, 50, key, 1), key)
	dir := f.TempDir()
	path := write(f, dir, "list", []byte(people(seed, 1)[0].Number+","+people(seed, 1)[0].Name+"\n"))
	journal := filepath.Join(f.TempDir(), "journal")
	want := told(f, run(f, x, scan.Options{Paths: []string{path}, Journal: journal}))
	raw, err := os.ReadFile(journal)
	if err != nil || len(raw) == 0 {
		f.Fatal("no journal", err)
	}
	f.Add(raw)
	f.Add(raw[:len(raw)/2])
	f.Add(append(bytes.Clone(raw[:8]), raw...))
	f.Fuzz(func(t *testing.T, b []byte) {
		journal := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(journal, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := told(t, run(t, x, scan.Options{Paths: []string{path}, Journal: journal, Workers: 1})); !bytes.Equal(got, want) {
			t.Error("the result is another")
		}
	})
}
