package rotation_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"azekura/internal/db"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/keyring"
	"azekura/keyring/root"
	"azekura/keyring/rotation"

	"filippo.io/age"
)

var passphrases = [][]byte{[]byte("correct horse battery staple"), []byte("an old raft of cypress logs")}

// openEither opens an installation whose root key is under one of the two.
func openEither(ctx context.Context, dir string) (*installation.Installation, int, error) {
	var errs []error
	for n, p := range passphrases {
		i, err := insttest.OpenWith(ctx, dir, p)
		if err == nil {
			return i, n, nil
		}
		errs = append(errs, err)
	}
	return nil, 0, errors.Join(errs...)
}

// changeRoots changes the root key, from one passphrase to the other and back,
// until it is killed.
func changeRoots(ctx context.Context, dir string) error {
	i, n, err := openEither(ctx, dir)
	if err != nil {
		return err
	}
	insttest.Begun()
	for {
		n = 1 - n
		if _, err := i.Rotator.ChangeRoot(ctx, rotation.RootOptions{Passphrase: passphrases[n], NoRecovery: true, WorkFactor: 10}); err != nil {
			return errors.Join(err, i.Close())
		}
	}
}

// TestRootKilled kills the process that changes the root key at any moment: one of
// the two passphrases opens what it left, and everything reads.
func TestRootKilled(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		dir := insttest.New(t, engine)
		i := insttest.Open(t, dir)
		insttest.Import(t, i, insttest.CSV(t, seed, 20))
		before := insttest.Look(t, i, insttest.Caseworker(t, i)).People
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
		rnd := insttest.Random(t)
		for range insttest.Soak(4, 40) {
			if killed, _ := insttest.InChild(t, dir, "root", time.Duration(1+rnd.Int64N(int64(150*time.Millisecond)))); !killed {
				t.Fatal("the child ended")
			}
		}
		i, _, err := openEither(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if now := insttest.Look(t, i, insttest.Caseworker(t, i)).People; len(now) != len(before) {
			t.Errorf("%d people of %d read", len(now), len(before))
		}
		if err := i.Close(); err != nil {
			t.Error(err)
		}
		nothingStaged(t, dir)
	})
}

func nothingStaged(t *testing.T, dir string) {
	t.Helper()
	if left := insttest.Files(t, dir, "root.next*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestRootCutShort stops a change of the root key where a kill could: before the
// database has it and after, with the same passphrase for both and with another.
func TestRootCutShort(t *testing.T) {
	for _, c := range []struct {
		name      string
		committed bool
		next      []byte
		opens     []byte
		fails     []byte
		says      string
	}{
		{"staged", false, passphrases[1], passphrases[0], passphrases[1], "give the former passphrase"},
		{"staged, the same passphrase", false, passphrases[0], passphrases[0], nil, ""},
		{"committed", true, passphrases[1], passphrases[1], passphrases[0], "give the other passphrase"},
		{"committed, the same passphrase", true, passphrases[0], passphrases[0], nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			insttest.Each(t, func(t *testing.T, engine string) {
				dir := insttest.New(t, engine)
				i := insttest.Open(t, dir)
				insttest.Import(t, i, insttest.CSV(t, seed, 5))
				if err := root.Stage(dir, nil, root.FileOptions{Passphrase: c.next, WorkFactor: 10}); err != nil {
					t.Fatal(err)
				}
				if c.committed {
					underNext(t, i, c.next)
				}
				if err := i.Close(); err != nil {
					t.Fatal(err)
				}
				if c.fails != nil {
					if _, err := insttest.OpenWith(t.Context(), dir, c.fails); err == nil || !strings.Contains(err.Error(), c.says) {
						t.Errorf("%v", err)
					}
				}
				i, err := insttest.OpenWith(t.Context(), dir, c.opens)
				if err != nil {
					t.Fatal(err)
				}
				if n := len(insttest.Look(t, i, insttest.Caseworker(t, i)).People); n != 5 {
					t.Errorf("%d people", n)
				}
				if err := i.Close(); err != nil {
					t.Fatal(err)
				}
				nothingStaged(t, dir)
			})
		})
	}
}

// TestRootLastStep stops a change of the root key when the new one is in its place
// and only the note of it is left: the log doesn't say that it was abandoned.
func TestRootLastStep(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		i.Rotator.Settle = func(root.Config) error { return errors.New("stopped here") }
		o := rotation.RootOptions{Passphrase: passphrases[1], NoRecovery: true, WorkFactor: 10}
		if _, err := i.Rotator.ChangeRoot(t.Context(), o); err == nil {
			t.Fatal("it wasn't stopped")
		}
		if _, staged, err := root.Staged(i.Dir); err != nil || !staged {
			t.Fatalf("nothing is staged any more: %v", err)
		}
		dir := i.Dir
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := insttest.OpenWith(t.Context(), dir, passphrases[1])
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, e := range insttest.Events(t, again) {
			if e.Purpose == "rotate-root" {
				said = append(said, e.Outcome)
			}
		}
		if !slices.Equal(said, []string{"begun", "ok"}) {
			t.Errorf("the log says %v", said)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
		nothingStaged(t, dir)
	})
}

// underNext puts the domain keys under the staged root key, as a change does.
func underNext(t *testing.T, i *installation.Installation, passphrase []byte) {
	t.Helper()
	from, err := root.OpenFile(i.Dir, passphrases[0])
	if err != nil {
		t.Fatal(err)
	}
	next, _, err := root.Staged(i.Dir)
	if err != nil {
		t.Fatal(err)
	}
	to, err := root.OpenStaged(t.Context(), i.Dir, next, func() ([]byte, error) { return bytes.Clone(passphrase), nil })
	if err != nil {
		t.Fatal(err)
	}
	stmts, err := keyring.UnderRoot(t.Context(), i.DB, from, to)
	if err == nil {
		err = i.DB.Apply(t.Context(), stmts)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestRoot changes the root key with people at work: the old passphrase, the old
// recovery key and a copy of the old file open nothing any more, and the new
// recovery key does.
func TestRoot(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		insttest.Import(t, i, insttest.NDJSON(t, seed, 60))
		safe, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		old, err := root.OpenFile(i.Dir, passphrases[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := keyring.Fits(t.Context(), i.DB, old); err != nil {
			t.Fatal(err)
		}
		if _, err := i.Rotator.ChangeRoot(t.Context(), rotation.RootOptions{Passphrase: passphrases[1], WorkFactor: 10}); !errors.Is(err, rotation.ErrInvalid) {
			t.Errorf("without a word on the escrow: %v", err)
		}
		s := insttest.Caseworker(t, i)
		o := rotation.RootOptions{Passphrase: passphrases[1], Recovery: safe.Recipient().String(), WorkFactor: 10}
		acts, err := under(i, s, insttest.People(seed, 60), func() error {
			done, err := i.Rotator.ChangeRoot(t.Context(), o)
			if err == nil && (done.From == done.To || done.Keys < 4) {
				t.Errorf("%+v", done)
			}
			return err
		})
		if err != nil {
			t.Fatalf("%d acts: %v", acts, err)
		}
		if err := keyring.Fits(t.Context(), i.DB, old); !errors.Is(err, root.ErrOtherRoot) {
			t.Errorf("the old root key: %v", err)
		}
		// The new root key is the one that wraps the next domain key.
		at, err := i.Rotator.Start(t.Context(), rotation.Data)
		if err == nil {
			err = i.Rotator.Run(t.Context(), at.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
		want := len(insttest.Look(t, i, s).People)
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
		nothingStaged(t, i.Dir)
		if _, err := insttest.OpenWith(t.Context(), i.Dir, passphrases[0]); !errors.Is(err, root.ErrPassphrase) {
			t.Errorf("the old passphrase: %v", err)
		}
		if err := os.Remove(filepath.Join(i.Dir, root.FileName)); err != nil {
			t.Fatal(err)
		}
		third := []byte("a third raft of cypress logs")
		if err := root.Recover(i.Dir, strings.NewReader(safe.String()), root.FileOptions{Passphrase: third, WorkFactor: 10}); err != nil {
			t.Fatal(err)
		}
		again, err := insttest.OpenWith(t.Context(), i.Dir, third)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(insttest.Look(t, again, insttest.Caseworker(t, again)).People); n != want || n != 60 {
			t.Errorf("%d people read after the recovery", n)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestKeysPutBack: a key that was destroyed and is put back into the database, or
// one that is taken out, is refused, and an alarm.
func TestKeysPutBack(t *testing.T) {
	for _, kind := range []string{rotation.Data, rotation.Index} {
		t.Run(kind, func(t *testing.T) {
			insttest.Each(t, func(t *testing.T, engine string) {
				dir := insttest.New(t, engine)
				i := insttest.Open(t, dir)
				insttest.Import(t, i, insttest.CSV(t, seed, 5))
				var created int64
				var wrapped []byte
				if err := i.DB.QueryRow(t.Context(), "SELECT created_us, wrapped FROM keyring_key WHERE domain = $1", []any{kind}, &created, &wrapped); err != nil {
					t.Fatal(err)
				}
				wrapped = bytes.Clone(wrapped)
				at, err := i.Rotator.Start(t.Context(), kind)
				if err == nil {
					err = i.Rotator.Run(t.Context(), at.ID)
				}
				if err != nil {
					t.Fatal(err)
				}
				if _, err := i.DB.Exec(t.Context(), "INSERT INTO keyring_key (domain, epoch, created_us, wrapped) VALUES ($1, 1, $2, $3)", kind, created, wrapped); err != nil {
					t.Fatal(err)
				}
				if err := i.Close(); err != nil {
					t.Fatal(err)
				}
				if _, err := insttest.OpenDir(t.Context(), dir); !errors.Is(err, rotation.ErrKeys) {
					t.Fatalf("the old %s key was put back: %v", kind, err)
				}
				takeOut(t, i, kind)
				again := insttest.Open(t, dir)
				alarms, err := again.Log.Alarms(t.Context())
				if err != nil || len(alarms) != 1 || alarms[0].Tampering.Table != "keyring_key" {
					t.Errorf("%v %v", alarms, err)
				}
			})
		})
	}
}

// takeOut deletes the old key again, behind the installation's back.
func takeOut(t *testing.T, i *installation.Installation, kind string) {
	t.Helper()
	url := i.Config.Database
	if url == "" {
		url = filepath.Join(i.Dir, "azekura.db")
	}
	d, err := db.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if n, err := d.Exec(t.Context(), "DELETE FROM keyring_key WHERE domain = $1 AND epoch = 1", kind); err != nil || n != 1 {
		t.Fatal(n, err)
	}
}
