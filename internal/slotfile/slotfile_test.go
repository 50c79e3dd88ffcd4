package slotfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func create(t *testing.T, first string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state")
	if err := Create(path, []byte(first)); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, path string) (*File, string) {
	t.Helper()
	f, state, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, string(state)
}

func TestStates(t *testing.T) {
	path := create(t, "0")
	for n := range 5 {
		f, state := open(t, path)
		if state != fmt.Sprint(n) {
			t.Fatalf("state %q after %d", state, n)
		}
		if _, _, err := Open(path); !errors.Is(err, ErrHeld) {
			t.Errorf("a second process: %v", err)
		}
		if err := f.Store([]byte(fmt.Sprint(n + 1))); err != nil {
			t.Fatal(err)
		}
		if seen, err := Read(path); err != nil || string(seen) != fmt.Sprint(n+1) {
			t.Errorf("a reader sees %q, %v", seen, err)
		}
		f.Close()
	}
	if err := Create(path, nil); !errors.Is(err, os.ErrExist) {
		t.Errorf("made twice: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	path := create(t, "first")
	f, _ := open(t, path)
	if err := f.Store(make([]byte, Max+1)); err == nil {
		t.Error("a state larger than its slot was taken")
	}
	if err := f.Store(bytes.Repeat([]byte{0}, Max)); err != nil { // zeros are a state too
		t.Error(err)
	}
	f.Close()
	if _, state := open(t, path); len(state) != Max {
		t.Errorf("%d bytes came back", len(state))
	}
}

// TestTorn cuts the last write off at every length: the state before it or the
// new one is there, and never a third.
func TestTorn(t *testing.T) {
	path := create(t, "a")
	f, _ := open(t, path)
	for _, state := range []string{"before", "after"} {
		if err := f.Store([]byte(state)); err != nil {
			t.Fatal(err)
		}
	}
	newest := f.slot
	f.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range header + len("after") {
		torn := bytes.Clone(whole)
		copy(torn[newest*Size:(newest+1)*Size], make([]byte, Size))
		copy(torn[newest*Size:], whole[newest*Size:][:n])
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		if state, err := Read(path); err != nil || string(state) != "before" {
			t.Fatalf("cut off after %d bytes: %q, %v", n, state, err)
		}
	}
}

func TestDamaged(t *testing.T) {
	path := create(t, "a")
	for name, raw := range map[string][]byte{"empty": nil, "short": make([]byte, Size), "zeros": make([]byte, 2*Size)} {
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Open(path); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, text := range []string{"one", "two"} {
		if err := Replace(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	if left, _ := filepath.Glob(path + ".*"); left != nil {
		t.Errorf("left behind: %v", left)
	}
}
