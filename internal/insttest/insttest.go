// Package insttest gives tests a whole installation on either engine: real
// tables, keys, log and signer, in a folder that goes away with the test.
//
// It promises that what it makes is what azekura init makes, but for a cheap
// passphrase. It holds made-up people only.
package insttest

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"azekura/access"
	"azekura/access/budget"
	"azekura/internal/installation"
	"azekura/internal/pgtest"
	"azekura/keyring"
	"azekura/keyring/root"
)

var passphrase = []byte("correct horse battery staple")

// Each runs f on each engine.
func Each(t *testing.T, f func(t *testing.T, engine string)) {
	t.Helper()
	for _, engine := range []string{"sqlite", "postgresql"} {
		t.Run(engine, func(t *testing.T) { f(t, engine) })
	}
}

// EachOpen runs f on each engine, with an installation that is open.
func EachOpen(t *testing.T, f func(t *testing.T, i *installation.Installation)) {
	t.Helper()
	Each(t, func(t *testing.T, engine string) { f(t, Open(t, New(t, engine))) })
}

// New makes an installation and returns its folder.
func New(t testing.TB, engine string) string {
	t.Helper()
	url := ""
	if engine == "postgresql" {
		url = pgtest.URL(t)
	}
	return NewAt(t, url)
}

// NewAt makes one on the database of a URL, or on SQLite where it is empty. Its
// budgets have no limits until a test sets some.
func NewAt(t testing.TB, url string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "in[st]allation #1 %41?")
	o := installation.CreateOptions{Database: url, Passphrase: passphrase, WorkFactor: 10, MadeUp: true, Budgets: budget.Unlimited()}
	if _, err := installation.Create(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Files are those in a folder whose names match a pattern (path.Match), whatever
// signs the folder's own name has.
func Files(t testing.TB, dir, pattern string) (paths []string) {
	t.Helper()
	names, err := fs.Glob(os.DirFS(dir), pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		paths = append(paths, filepath.Join(dir, filepath.FromSlash(name)))
	}
	return paths
}

// Open opens an installation until the end of the test.
func Open(t testing.TB, dir string) *installation.Installation {
	t.Helper()
	i, err := OpenDir(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// OpenDir opens one, for a process that isn't a test.
func OpenDir(ctx context.Context, dir string) (*installation.Installation, error) {
	return OpenWith(ctx, dir, passphrase)
}

// Passphrase is that of every installation here.
func Passphrase() ([]byte, error) { return bytes.Clone(passphrase), nil }

// OpenWith opens one whose root key is under another passphrase by now.
func OpenWith(ctx context.Context, dir string, passphrase []byte) (*installation.Installation, error) {
	return installation.Open(ctx, dir, func() ([]byte, error) { return bytes.Clone(passphrase), nil })
}

// Keyring opens the keyring of an installation once more, as it is now, under the
// passphrase that New gave it.
func Keyring(t testing.TB, i *installation.Installation) *keyring.Ring {
	t.Helper()
	w, err := root.OpenFile(i.Dir, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(t.Context(), i.DB, w)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// Session opens a session for a staff member of a role at a device, both made
// where they don't exist, and returns it with its token.
func Session(t testing.TB, i *installation.Installation, staff, role, device string) (access.Session, string) {
	t.Helper()
	if !slices.ContainsFunc(i.Access.Staff(), func(s access.Staff) bool { return s.ID == staff }) {
		if _, err := i.Access.AddStaff(t.Context(), staff, role, "o-1"); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.ContainsFunc(i.Access.Devices(), func(d access.Device) bool { return d.ID == device }) {
		if _, err := i.Access.AddDevice(t.Context(), device, "o-1"); err != nil {
			t.Fatal(err)
		}
	}
	_, token, err := i.Access.OpenSession(t.Context(), staff, device, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s, err := i.Access.AtSocket(token)
	if err != nil {
		t.Fatal(err)
	}
	return s, token
}

// Caseworker opens a session that may open records.
func Caseworker(t testing.TB, i *installation.Installation) access.Session {
	t.Helper()
	s, _ := Session(t, i, "s-1", "caseworker", "d-1")
	return s
}
