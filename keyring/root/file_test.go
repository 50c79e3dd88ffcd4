package root_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"azekura/keyring/root"

	"filippo.io/age"
	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

const (
	passphrase = "a passphrase of tests"
	renewed    = "another passphrase of tests"
)

// options are a root key's with little work, so that tests don't wait.
func options(passphrase string) root.FileOptions {
	return root.FileOptions{Passphrase: []byte(passphrase), WorkFactor: 10}
}

func create(t testing.TB, o root.FileOptions) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := root.CreateFile(dir, o); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t testing.TB, dir, passphrase string) (w wrapping.Wrapper, id string) {
	t.Helper()
	w, err := root.OpenFile(dir, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	id, err = w.KeyId(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return w, id
}

func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(raw)
	}
	return files
}

func newSafe(t testing.TB) *age.X25519Identity {
	t.Helper()
	safe, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return safe
}

func TestFileOpensUnderItsPassphrase(t *testing.T) {
	dir := create(t, options(passphrase))
	w, id := open(t, dir, passphrase)
	mustWrap(t, w)
	if _, again := open(t, dir, passphrase); again != id || !strings.HasPrefix(id, "file:") {
		t.Errorf("id %q, then %q", id, again)
	}
	if _, other := open(t, create(t, options(passphrase)), passphrase); other == id {
		t.Error("two root keys have one id")
	}
}

// TestFileIsAgesOwn: age alone gets the key out, should we be gone.
func TestFileIsAgesOwn(t *testing.T) {
	safe := newSafe(t)
	o := options(passphrase)
	o.Recovery = safe.Recipient().String()
	dir := create(t, o)
	scrypt, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	var keys [][]byte
	for name, identity := range map[string]age.Identity{root.FileName: scrypt, root.RecoveryName: safe} {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := age.Decrypt(f, identity)
		if err != nil {
			t.Fatal(err)
		}
		key, err := io.ReadAll(r)
		if err != nil || len(key) != 32 {
			t.Fatalf("%d bytes, %v", len(key), err)
		}
		keys = append(keys, key)
	}
	if !bytes.Equal(keys[0], keys[1]) {
		t.Error("the recovery copy holds another key")
	}
}

func TestWrongPassphraseSaysSo(t *testing.T) {
	dir := create(t, options(passphrase))
	for _, wrong := range []string{renewed, passphrase + " ", strings.ToUpper(passphrase), "x", ""} {
		w, err := root.OpenFile(dir, []byte(wrong))
		if w != nil || !errors.Is(err, root.ErrPassphrase) {
			t.Errorf("got %v", err)
		}
		mustNotTell(t, err, passphrase, renewed)
	}
}

func TestAnotherRootsKeysAreRefused(t *testing.T) {
	one, _ := open(t, create(t, options(passphrase)), passphrase)
	two, _ := open(t, create(t, options(passphrase)), passphrase)
	blob, err := one.Encrypt(t.Context(), []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := two.Decrypt(t.Context(), blob); !errors.Is(err, root.ErrOtherRoot) {
		t.Errorf("got %v", err)
	}
}

func TestFileAlteredKeysAreRefused(t *testing.T) {
	w, _ := open(t, create(t, options(passphrase)), passphrase)
	blob, err := w.Encrypt(t.Context(), []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := w.Decrypt(t.Context(), nil); err == nil || got != nil {
		t.Error("nothing opened")
	}
	rapid.Check(t, func(rt *rapid.T) {
		b := proto.Clone(blob).(*wrapping.BlobInfo)
		at := rapid.IntRange(0, len(b.Ciphertext)-1).Draw(rt, "at")
		if rapid.Bool().Draw(rt, "cut") {
			b.Ciphertext = b.Ciphertext[:at]
		} else {
			b.Ciphertext[at] ^= rapid.ByteRange(1, 255).Draw(rt, "by")
		}
		if got, err := w.Decrypt(t.Context(), b); err == nil || got != nil {
			rt.Fatalf("opened as %q", got)
		}
	})
}

// TestDamagedFileOpensAsNothingElse: a changed bit or a cut gives an error,
// never another key.
func TestDamagedFileOpensAsNothingElse(t *testing.T) {
	dir := create(t, options(passphrase))
	whole := []byte(contents(t, dir)[root.FileName])
	path := filepath.Join(dir, root.FileName)
	rapid.Check(t, func(rt *rapid.T) {
		damaged := bytes.Clone(whole)
		at := rapid.IntRange(0, len(whole)-1).Draw(rt, "at")
		if rapid.Bool().Draw(rt, "cut") {
			damaged = damaged[:at]
		} else {
			damaged[at] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		}
		write(t, path, string(damaged), 0o600)
		if w, err := root.OpenFile(dir, []byte(passphrase)); err == nil || w != nil {
			rt.Fatal("a damaged file opened")
		}
	})
}

func TestFilesThatAreNoRootKey(t *testing.T) {
	encrypted := func(content string, to age.Recipient) string {
		var out bytes.Buffer
		w, err := age.Encrypt(&out, to)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	scrypt := func() age.Recipient {
		r, err := age.NewScryptRecipient(passphrase)
		if err != nil {
			t.Fatal(err)
		}
		r.SetWorkFactor(10)
		return r
	}
	for name, text := range map[string]string{
		"empty":           "",
		"text":            "not a key",
		"a short key":     encrypted(strings.Repeat("k", 31), scrypt()),
		"a long key":      encrypted(strings.Repeat("k", 33), scrypt()),
		"no key":          encrypted("", scrypt()),
		"a big file":      strings.Repeat("x", 1<<20),
		"a recovery copy": encrypted(strings.Repeat("k", 32), newSafe(t).Recipient()),
		"endless work":    "age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 30\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, root.FileName), text, 0o600)
			w, err := root.OpenFile(dir, []byte(passphrase))
			if w != nil || err == nil || !strings.Contains(err.Error(), root.FileName) {
				t.Fatalf("got %v", err)
			}
			mustNotTell(t, err, passphrase, strings.Repeat("k", 31))
		})
	}
	if _, err := root.OpenFile(t.TempDir(), []byte(passphrase)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestCreateReplacesNothing(t *testing.T) {
	o := options(passphrase)
	o.Recovery = newSafe(t).Recipient().String()
	for name, first := range map[string]root.FileOptions{"with a recovery copy": o, "without": options(passphrase)} {
		for again, second := range map[string]root.FileOptions{"with": o, "without": options(renewed)} {
			t.Run(name+", then "+again, func(t *testing.T) {
				dir := create(t, first)
				before := contents(t, dir)
				if err := root.CreateFile(dir, second); !errors.Is(err, fs.ErrExist) {
					t.Errorf("got %v", err)
				}
				mustBe(t, dir, before)
			})
		}
	}
}

func mustBe(t *testing.T, dir string, before map[string]string) {
	t.Helper()
	after := contents(t, dir)
	if len(after) != len(before) {
		t.Errorf("%d files became %d", len(before), len(after))
	}
	for name := range before {
		if after[name] != before[name] {
			t.Errorf("%s was changed", name)
		}
	}
}

// TestCreatedByManyAtOnce: one of them makes the root key, whole.
func TestCreatedByManyAtOnce(t *testing.T) {
	safe := newSafe(t)
	for range 20 {
		dir := t.TempDir()
		var made sync.Map
		var wg sync.WaitGroup
		for _, p := range []string{passphrase, renewed, "a third passphrase"} {
			wg.Go(func() {
				o := options(p)
				if p != renewed {
					o.Recovery = safe.Recipient().String()
				}
				if err := root.CreateFile(dir, o); err == nil {
					made.Store(p, true)
				} else if !errors.Is(err, fs.ErrExist) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		n := 0
		made.Range(func(p, _ any) bool {
			n++
			open(t, dir, p.(string))
			return true
		})
		if n != 1 {
			t.Fatalf("%d root keys were made", n)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	safe := newSafe(t)
	for _, c := range []struct {
		name string
		o    root.FileOptions
		want string
	}{
		{"nothing", root.FileOptions{}, "12 characters"},
		{"a short passphrase", options("elevenchars"), "12 characters"},
		{"a short passphrase of long characters", options("正倉院正倉院正倉院正倉"), "12 characters"},
		{"too little work", root.FileOptions{Passphrase: []byte(passphrase), WorkFactor: 9}, "work factor"},
		{"too much work", root.FileOptions{Passphrase: []byte(passphrase), WorkFactor: 23}, "work factor"},
		{"negative work", root.FileOptions{Passphrase: []byte(passphrase), WorkFactor: -1}, "work factor"},
		{"no recipient", root.FileOptions{Passphrase: []byte(passphrase), WorkFactor: 10, Recovery: "me"}, "age1"},
		{"two recipients", root.FileOptions{Passphrase: []byte(passphrase), WorkFactor: 10,
			Recovery: safe.Recipient().String() + "\n" + newSafe(t).Recipient().String()}, "age1"},
		{"the secret by mistake", root.FileOptions{Passphrase: []byte(passphrase), WorkFactor: 10, Recovery: safe.String()}, "age1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			err := root.CreateFile(dir, c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			mustNotTell(t, err, safe.String())
			mustBe(t, dir, nil)
		})
	}
	if err := root.CreateFile(filepath.Join(t.TempDir(), "none"), options(passphrase)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

func TestRecoverPutsTheSameKeyUnderANewPassphrase(t *testing.T) {
	quantum, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	safe := newSafe(t)
	for _, c := range []struct{ name, recipient, identity string }{
		{"X25519", safe.Recipient().String(), "# made for a safe\n" + safe.String() + "\n"},
		{"post-quantum", quantum.Recipient().String(), quantum.String()},
		{"one of several identities", safe.Recipient().String(), newSafe(t).String() + "\n" + safe.String()},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(passphrase)
			o.Recovery = c.recipient
			dir := create(t, o)
			w, id := open(t, dir, passphrase)
			blob, err := w.Encrypt(t.Context(), []byte("key"))
			if err != nil {
				t.Fatal(err)
			}
			copied := contents(t, dir)[root.RecoveryName]
			if err := root.Recover(dir, strings.NewReader(c.identity), options(renewed)); err != nil {
				t.Fatal(err)
			}
			again, newID := open(t, dir, renewed)
			if got, err := again.Decrypt(t.Context(), blob); err != nil || string(got) != "key" || newID != id {
				t.Errorf("%q, %v, id %q and %q", got, err, id, newID)
			}
			if _, err := root.OpenFile(dir, []byte(passphrase)); !errors.Is(err, root.ErrPassphrase) {
				t.Errorf("the old passphrase: %v", err)
			}
			after := contents(t, dir)
			if len(after) != 2 || after[root.RecoveryName] != copied {
				t.Errorf("%d files; the recovery copy is the same: %v", len(after), after[root.RecoveryName] == copied)
			}
			if info, err := os.Stat(filepath.Join(dir, root.FileName)); err != nil || info.Mode() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
		})
	}
}

// TestRecoverWithANewRecoveryKey, after the old one was used and seen.
func TestRecoverWithANewRecoveryKey(t *testing.T) {
	seen, next := newSafe(t), newSafe(t)
	o := options(passphrase)
	o.Recovery = seen.Recipient().String()
	dir := create(t, o)
	_, id := open(t, dir, passphrase)
	o = options(renewed)
	o.Recovery = next.Recipient().String()
	if err := root.Recover(dir, strings.NewReader(seen.String()), o); err != nil {
		t.Fatal(err)
	}
	if err := root.Recover(dir, strings.NewReader(seen.String()), options(passphrase)); err == nil {
		t.Error("the old recovery key still opens")
	}
	if err := root.Recover(dir, strings.NewReader(next.String()), options(passphrase)); err != nil {
		t.Fatal(err)
	}
	if _, again := open(t, dir, passphrase); again != id {
		t.Errorf("id %q became %q", id, again)
	}
}

// TestRecoverThatFailsChangesNothing.
func TestRecoverThatFailsChangesNothing(t *testing.T) {
	safe := newSafe(t)
	o := options(passphrase)
	o.Recovery = safe.Recipient().String()
	for _, c := range []struct {
		name, identity string
		o              root.FileOptions
		prepare        func(dir string) error
		want           string
	}{
		{"another identity", newSafe(t).String(), options(renewed), nil, "not the one"},
		{"no identity", "", options(renewed), nil, "age identity"},
		{"the recipient by mistake", safe.Recipient().String(), options(renewed), nil, "age identity"},
		{"an endless identity", strings.Repeat("# x\n", 1<<20), options(renewed), nil, "age identity"},
		{"a short passphrase", safe.String(), options("short"), nil, "12 characters"},
		{"a wrong new recipient", safe.String(), root.FileOptions{Passphrase: []byte(renewed), WorkFactor: 10, Recovery: "me"}, nil, "age1"},
		{"no recovery copy", safe.String(), options(renewed), func(dir string) error { return os.Remove(filepath.Join(dir, root.RecoveryName)) }, root.RecoveryName},
		{"a damaged recovery copy", safe.String(), options(renewed), func(dir string) error {
			return os.Truncate(filepath.Join(dir, root.RecoveryName), 150)
		}, root.RecoveryName},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := create(t, o)
			if c.prepare != nil {
				if err := c.prepare(dir); err != nil {
					t.Fatal(err)
				}
			}
			before := contents(t, dir)
			err := root.Recover(dir, strings.NewReader(c.identity), c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			mustNotTell(t, err, safe.String())
			mustBe(t, dir, before)
			open(t, dir, passphrase)
		})
	}
}

// TestRecoverLeavesNoHalfFile where the new file can't take the old one's place.
func TestRecoverLeavesNoHalfFile(t *testing.T) {
	safe := newSafe(t)
	o := options(passphrase)
	o.Recovery = safe.Recipient().String()
	dir := create(t, o)
	path := filepath.Join(dir, root.FileName)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := root.Recover(dir, strings.NewReader(safe.String()), options(renewed)); err == nil {
		t.Fatal("a folder was replaced")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
}
