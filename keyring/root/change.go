package root

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"azekura/internal/slotfile"

	"filippo.io/age"
	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
)

// A root key is changed in three steps: the next one is staged beside the present
// one; the keyring is put under it, in one transaction; and it takes the present
// one's place, whose file goes. Killed in between, the next start finds both, sees
// under which the keyring is, and goes back (Discard) or on (Promote).
const (
	nextName         = "root.next.json" // how the next root key is kept; written last when it is staged
	nextFileName     = "root.next.age"
	nextRecoveryName = "root.next.recovery.age"
)

// Next is how a staged root key is kept.
type Next struct {
	Config
	Copied bool `json:"copied"` // a recovery copy of it was made
}

// Stage keeps the next root key beside the present one: a KMS's, or where
// transit is nil a new one in a file.
func Stage(dir string, transit *TransitConfig, o FileOptions) error {
	if err := Discard(dir); err != nil {
		return err
	}
	c := Next{Config: Config{Kind: KindTransit, Transit: transit}}
	if transit == nil {
		c = Next{Config: Config{Kind: KindFile}, Copied: o.Recovery != ""}
		if err := createFile(dir, nextFileName, nextRecoveryName, o); err != nil {
			return err
		}
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	// Half a file here would keep the installation shut.
	return slotfile.Replace(filepath.Join(dir, nextName), append(raw, '\n'))
}

// Staged tells how the next root key is kept, if one is staged.
func Staged(dir string) (c Next, ok bool, err error) {
	raw, err := readBounded(filepath.Join(dir, nextName), maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil {
		return c, false, fmt.Errorf("read %s: %w", nextName, err)
	}
	return c, true, nil
}

// OpenStaged opens the next root key.
func OpenStaged(ctx context.Context, dir string, c Next, passphrase func() ([]byte, error)) (wrapping.Wrapper, error) {
	if c.Kind != KindFile {
		return Open(ctx, dir, c.Config, passphrase)
	}
	p, err := passphrase()
	if err != nil {
		return nil, err
	}
	defer clear(p)
	name := nextFileName
	if _, err := os.Stat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) {
		name = FileName // it has taken its place already
	}
	return openFile(filepath.Join(dir, name), p)
}

// Placed tells whether the staged root key has taken the present one's place
// already, and only its note is left. present is how the settings say that the
// root key is kept.
func Placed(dir string, c Next, present Config) bool {
	if c.Kind != KindFile {
		return reflect.DeepEqual(c.Config, present)
	}
	_, err := os.Stat(filepath.Join(dir, nextFileName))
	return errors.Is(err, fs.ErrNotExist)
}

// Discard takes the staged root key away, or what is there of it. It is for when
// the keyring is under the present one.
func Discard(dir string) error {
	cut, err := fs.Glob(os.DirFS(dir), "root.next.*.new*") // half written
	if err != nil {
		return err
	}
	return remove(dir, append([]string{nextName, nextRecoveryName, nextFileName}, cut...)...)
}

// Promote puts the staged root key in the present one's place, whose copies in dir
// go with it. It is for when the keyring is under the staged one. settle notes
// in the installation's settings how it is kept. Killed anywhere, it can be run
// again.
func Promote(dir string, settle func(Config) error) error {
	c, ok, err := Staged(dir)
	if err != nil || !ok {
		return err
	}
	if c.Kind == KindFile {
		err = promoteFile(dir, c.Copied)
	} else {
		err = remove(dir, FileName, RecoveryName)
	}
	if err == nil {
		err = settle(c.Config)
	}
	if err != nil {
		return fmt.Errorf("put the new root key in its place: %w", err)
	}
	return remove(dir, nextName)
}

func promoteFile(dir string, copied bool) error {
	if _, err := os.Stat(filepath.Join(dir, nextFileName)); errors.Is(err, fs.ErrNotExist) {
		return nil // done before
	}
	// The copy first: where the staged root key is gone, all is in its place.
	if copied {
		err := os.Rename(filepath.Join(dir, nextRecoveryName), filepath.Join(dir, RecoveryName))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // not there: done before
			return err
		}
	} else if err := remove(dir, RecoveryName); err != nil { // it is the old root key's
		return err
	}
	if err := os.Rename(filepath.Join(dir, nextFileName), filepath.Join(dir, FileName)); err != nil {
		return err
	}
	return slotfile.SyncDir(dir)
}

// remove deletes files that may be there, in this order.
func remove(dir string, names ...string) error {
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return slotfile.SyncDir(dir)
}

// HasRecovery tells whether a recovery copy of the present root key is in dir.
func HasRecovery(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, RecoveryName))
	return err == nil
}

func openFile(path string, passphrase []byte) (wrapping.Wrapper, error) {
	if len(passphrase) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrPassphrase)
	}
	identity, err := age.NewScryptIdentity(string(passphrase))
	if err != nil {
		return nil, err
	}
	identity.SetMaxWorkFactor(maxWork)
	key, err := unseal(path, identity)
	if errors.Is(err, age.ErrIncorrectIdentity) {
		return nil, fmt.Errorf("%w in %s", ErrPassphrase, path)
	}
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return newLocal(key)
}
