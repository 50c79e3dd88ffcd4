package sweep_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"azekura/internal/insttest"
	"azekura/leakscan"
	"azekura/leakscan/leaktest"
	"azekura/leakscan/sweep"
)

const seed, people = 11, 200

// share is a shared folder with two lists, a letter, and a file of no concern.
func share(t *testing.T) (dir string, list func(from, to int) []byte) {
	t.Helper()
	dir = t.TempDir()
	all := insttest.People(seed, people)
	list = func(from, to int) []byte {
		var b bytes.Buffer
		for _, p := range all[from:to] {
			b.WriteString(p.Number + "," + p.Name + "," + p.Birth + "\n")
		}
		return b.Bytes()
	}
	put(t, dir, "hall/old/list.csv", list(0, 30))
	put(t, dir, "hall/copy.csv", list(10, 60))
	put(t, dir, "hall/letter.txt", list(5, 6))
	put(t, dir, "minutes.txt", []byte("nothing of anybody\n"))
	return dir, list
}

func put(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func sweepOnce(t *testing.T, x *leakscan.Index, dir, state string) *sweep.Report {
	t.Helper()
	r, err := sweep.Sweep(t.Context(), x, sweep.Options{Paths: []string{dir}, State: state})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func index(t *testing.T) *leakscan.Index {
	key := leaktest.Key()
	return leaktest.Open(t, leaktest.Build(t, seed, people, key, 1), key)
}

// TestSweep: lists are strays and letters aren't; what is as it was isn't read again,
// and what is otherwise in size, time, inode or first bytes is; a stray is news until
// told.
func TestSweep(t *testing.T) {
	x := index(t)
	dir, list := share(t)
	state := filepath.Join(t.TempDir(), "state")
	r := sweepOnce(t, x, dir, state)
	if r.Files != 4 || r.Read != 4 || len(r.Strays) != 2 || r.New != 2 || r.People() != 80 {
		t.Fatalf("%d files, %d read, %d strays, %d new, %d people", r.Files, r.Read, len(r.Strays), r.New, r.People())
	}
	if len(r.Folders) != 2 || r.Folders[0].Folder != filepath.Join(dir, "hall") || r.Folders[0].People != 50 || r.Folders[0].Owner == "" || r.Folders[1].Files != 1 {
		t.Errorf("%+v", r.Folders)
	}
	if r = sweepOnce(t, x, dir, state); r.Read != 0 || r.New != 2 {
		t.Errorf("again: %d read, %d new", r.Read, r.New)
	}
	if err := r.Told(); err != nil {
		t.Fatal(err)
	}
	if r = sweepOnce(t, x, dir, state); r.Read != 0 || r.New != 0 || len(r.Strays) != 2 {
		t.Errorf("told: %d read, %d new, %d strays", r.Read, r.New, len(r.Strays))
	}
	minutes := filepath.Join(dir, "minutes.txt")
	long := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, change := range []struct {
		what string
		do   func()
		news int
	}{
		{"another time", func() { must(t, os.Chtimes(minutes, long, long)) }, 0},
		{"other first bytes, the time put back", func() {
			put(t, dir, "minutes.txt", []byte("nothing of ANYbody\n"))
			must(t, os.Chtimes(minutes, long, long))
		}, 0},
		{"another size", func() {
			put(t, dir, "minutes.txt", list(60, 90))
			must(t, os.Chtimes(minutes, long, long))
		}, 1},
		{"another inode", func() {
			put(t, dir, "minutes.new", list(60, 90))
			must(t, os.Chtimes(filepath.Join(dir, "minutes.new"), long, long))
			must(t, os.Rename(filepath.Join(dir, "minutes.new"), minutes))
		}, 1},
	} {
		change.do()
		if r = sweepOnce(t, x, dir, state); r.Read != 1 || r.New != change.news {
			t.Errorf("%s: %d read, %d new", change.what, r.Read, r.New)
		}
	}
	must(t, os.Remove(minutes))
	if r = sweepOnce(t, x, dir, state); r.Files != 3 || len(r.Strays) != 2 || r.New != 0 {
		t.Errorf("gone: %d files, %d strays, %d new", r.Files, len(r.Strays), r.New)
	}
	if r = sweepOnce(t, index(t), dir, state); r.Read != 3 || r.New != 2 {
		t.Errorf("another index: %d read, %d new", r.Read, r.New)
	}
}

// TestState: what it keeps holds nobody's data; a torn line is read again, and what
// isn't a state is refused.
func TestState(t *testing.T) {
	x := index(t)
	dir, _ := share(t)
	state := filepath.Join(t.TempDir(), "state")
	sweepOnce(t, x, dir, state)
	raw, err := os.ReadFile(state)
	must(t, err)
	for _, p := range insttest.People(seed, 60) {
		if bytes.Contains(raw, []byte(p.Number)) || bytes.Contains(raw, []byte(p.Name)) {
			t.Fatal("the state holds somebody's data")
		}
	}
	lines := slices.Collect(bytes.Lines(raw))
	must(t, os.WriteFile(state, append(bytes.Join(lines[:3], nil), lines[3][:20]...), 0o600))
	if r := sweepOnce(t, x, dir, state); r.Read != 2 {
		t.Errorf("of a torn state %d are read", r.Read)
	}
	must(t, os.WriteFile(state, []byte("a list of something\n"), 0o600))
	if _, err := sweep.Sweep(t.Context(), x, sweep.Options{Paths: []string{dir}, State: state}); err == nil {
		t.Error("any file is taken for a state")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
