package root_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/keyring/root"
	"azekura/keyring/rotation"
)

// TestMove moves a root key from a file to a KMS, under the newest version of the
// KMS's key, and back to a file.
func TestMove(t *testing.T) {
	dir := insttest.New(t, "sqlite")
	k := newKMS(t)
	i := insttest.Open(t, dir)
	insttest.Import(t, i, insttest.CSV(t, 3, 10))
	config := k.config()
	change(t, i, rotation.RootOptions{Transit: &config})
	kept(t, dir, root.KindTransit, false)

	// Without a passphrase, from here on.
	open := func(passphrase []byte) *installation.Installation {
		t.Helper()
		i, err := installation.Open(t.Context(), dir, func() ([]byte, error) {
			if passphrase == nil {
				t.Error("a passphrase is asked for")
			}
			return bytes.Clone(passphrase), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(insttest.Look(t, i, insttest.Caseworker(t, i)).People); n != 10 {
			t.Errorf("%d people", n)
		}
		return i
	}
	i = open(nil)
	k.rotate(t)
	done, err := i.Rotator.ChangeRoot(t.Context(), rotation.RootOptions{})
	if err != nil || done.From != done.To {
		t.Fatalf("under the KMS's newest version: %+v, %v", done, err)
	}
	k.set(func(k *kms) { k.keys[0] = k.keys[1] }) // the KMS forgets the older version
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	i = open(nil)
	passphrase := []byte("an old raft of cypress logs")
	change(t, i, rotation.RootOptions{Passphrase: passphrase, NoRecovery: true, WorkFactor: 10})
	kept(t, dir, root.KindFile, true)
	if err := open(passphrase).Close(); err != nil {
		t.Error(err)
	}
}

func change(t *testing.T, i *installation.Installation, o rotation.RootOptions) {
	t.Helper()
	done, err := i.Rotator.ChangeRoot(t.Context(), o)
	if err != nil || done.From == done.To {
		t.Fatalf("%+v, %v", done, err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
}

func kept(t *testing.T, dir, kind string, file bool) {
	t.Helper()
	c, err := installation.ReadConfig(dir)
	if err != nil || c.Root.Kind != kind {
		t.Errorf("the settings say %+v, %v", c.Root, err)
	}
	if _, err := os.Stat(filepath.Join(dir, root.FileName)); errors.Is(err, fs.ErrNotExist) == file {
		t.Errorf("%s: %v", root.FileName, err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "root.next*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
