package root_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azekura/internal/db"
	"azekura/keyring"
	"azekura/keyring/root"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	"google.golang.org/protobuf/proto"
)

func openTransit(t *testing.T, c root.TransitConfig) wrapping.Wrapper {
	t.Helper()
	w, err := root.OpenTransit(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := root.Close(context.Background(), w); err != nil {
			t.Error(err)
		}
	})
	return w
}

func TestTransitWrapsAndUnwraps(t *testing.T) {
	k := newKMS(t)
	w := openTransit(t, k.config())
	mustWrap(t, w)
	if id, err := w.KeyId(t.Context()); err != nil || id != "transit:agency/transit/azekura" {
		t.Errorf("id %q, %v", id, err)
	}
	k.set(func(k *kms) {
		if k.renewed == 0 {
			t.Error("the token wasn't renewed")
		}
	})
}

// TestTransitNeverSeesADomainKey: an envelope's key goes to the KMS, not what
// is in the envelope.
func TestTransitNeverSeesADomainKey(t *testing.T) {
	k := newKMS(t)
	secret := bytes.Repeat([]byte("domain key"), 3)
	if _, err := openTransit(t, k.config()).Encrypt(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	k.set(func(k *kms) {
		for _, seen := range k.seen {
			if bytes.Contains(seen, secret) {
				t.Error("the KMS was given the key")
			}
		}
	})
}

// TestTransitKeyRotation: what an older version wrapped still opens, and the
// id stays.
func TestTransitKeyRotation(t *testing.T) {
	k := newKMS(t)
	old := openTransit(t, k.config())
	blob, err := old.Encrypt(t.Context(), []byte("key"), wrapping.WithAad([]byte("place")))
	if err != nil {
		t.Fatal(err)
	}
	k.rotate(t)
	w := openTransit(t, k.config())
	if got, err := w.Decrypt(t.Context(), blob, wrapping.WithAad([]byte("place"))); err != nil || string(got) != "key" {
		t.Errorf("%q, %v", got, err)
	}
	newer, err := w.Encrypt(t.Context(), []byte("key"))
	if err != nil || !bytes.HasPrefix(newer.KeyInfo.WrappedKey, []byte("vault:v2:")) || newer.KeyInfo.KeyId != blob.KeyInfo.KeyId {
		t.Errorf("%v, %v", newer, err)
	}
}

// TestTransitKeysCantChangePlaces: the library's transit wrapper alone would let
// a database's administrator put one wrapped domain key in another's row.
func TestTransitKeysCantChangePlaces(t *testing.T) {
	ctx := context.Background()
	d, err := db.Open(ctx, filepath.Join(t.TempDir(), "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := db.Migrate(ctx, d, time.Now(), keyring.Migrations); err != nil {
		t.Fatal(err)
	}
	k := newKMS(t)
	w := openTransit(t, k.config())
	if err := keyring.Create(ctx, d, w, time.Now()); err != nil {
		t.Fatal(err)
	}
	first, err := keyring.Open(ctx, d, w)
	if err != nil {
		t.Fatal(err)
	}
	again, err := keyring.Open(ctx, d, openTransit(t, k.config()))
	if err != nil || first.Token("name", "x") != again.Token("name", "x") {
		t.Fatalf("the keyring, opened again: %v", err)
	}
	if _, err := d.Exec(ctx, `UPDATE keyring_key SET wrapped = (SELECT wrapped FROM keyring_key WHERE domain = 'digest') WHERE domain = 'index'`); err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.Open(ctx, d, w); err == nil {
		t.Error("a domain key opened in another's place")
	}
}

func TestTransitSaysWhatIsWrong(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, c := range []struct {
		name   string
		kms    func(*kms)
		config func(*root.TransitConfig)
		want   string
	}{
		{"nobody listens", nil, func(c *root.TransitConfig) { c.Address = "https://" + closed.Addr().String() }, "can't be reached"},
		{"another CA", nil, func(c *root.TransitConfig) { c.CACert = filepath.Join(newKMS(t).dir, "ca.pem") }, "certificate"},
		{"the system's CAs", nil, func(c *root.TransitConfig) { c.CACert = "" }, "certificate"},
		{"sealed", func(k *kms) { k.health = http.StatusServiceUnavailable }, nil, "unseal"},
		{"not initialised", func(k *kms) { k.health = http.StatusNotImplemented }, nil, "not initialised"},
		{"another key", nil, func(c *root.TransitConfig) { c.Key = "azekura2" }, "encryption key not found"},
		{"another mount", nil, func(c *root.TransitConfig) { c.Mount = "transit2" }, "transit2"},
		{"another namespace", nil, func(c *root.TransitConfig) { c.Namespace = "others" }, "permission denied"},
		{"a token that may not encrypt", func(k *kms) { k.deny["encrypt"] = true }, nil, "permission denied"},
		{"a token that may not decrypt", func(k *kms) { k.deny["decrypt"] = true }, nil, "permission denied"},
		{"a KMS that gives back something else", func(k *kms) { k.lie = true }, nil, "a test of the key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := newKMS(t)
			config := k.config()
			if c.kms != nil {
				k.set(c.kms)
			}
			if c.config != nil {
				c.config(&config)
			}
			w, err := root.OpenTransit(t.Context(), config)
			if w != nil || err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), config.Address) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			mustNotTell(t, err, kmsToken)
		})
	}
}

// TestTransitStandbyIsGoodEnough: a standby answers for the active node.
func TestTransitStandbyIsGoodEnough(t *testing.T) {
	k := newKMS(t)
	k.set(func(k *kms) { k.health = http.StatusTooManyRequests })
	mustWrap(t, openTransit(t, k.config()))
}

// TestTransitThatHangsIsGivenUp at the caller's deadline.
func TestTransitThatHangsIsGivenUp(t *testing.T) {
	k := newKMS(t)
	hang := make(chan struct{})
	defer close(hang)
	w := openTransit(t, k.config())
	k.set(func(k *kms) { k.hang = hang })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := root.OpenTransit(ctx, k.config()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("open: %v", err)
	}
	if _, err := w.Encrypt(ctx, []byte("key")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("encrypt: %v", err)
	}
}

// TestTransitSealedLater: the keyring's keys can't be unwrapped any more.
func TestTransitSealedLater(t *testing.T) {
	t.Parallel() // the library tries three times, some seconds
	k := newKMS(t)
	w := openTransit(t, k.config())
	blob, err := w.Encrypt(t.Context(), []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	k.set(func(k *kms) { k.sealed = true })
	if _, err := w.Decrypt(t.Context(), blob); err == nil || !strings.Contains(err.Error(), "sealed") {
		t.Errorf("got %v", err)
	}
}

// TestTransitAlteredKeysAreRefused without a panic, part by part.
func TestTransitAlteredKeysAreRefused(t *testing.T) {
	k := newKMS(t)
	w := openTransit(t, k.config())
	blob, err := w.Encrypt(t.Context(), []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := w.Encrypt(t.Context(), []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	for name, alter := range map[string]func(*wrapping.BlobInfo){
		"no nonce":              func(b *wrapping.BlobInfo) { b.Iv = nil },
		"a long nonce":          func(b *wrapping.BlobInfo) { b.Iv = append(b.Iv, 0) },
		"another nonce":         func(b *wrapping.BlobInfo) { b.Iv[0]++ },
		"no ciphertext":         func(b *wrapping.BlobInfo) { b.Ciphertext = nil },
		"another ciphertext":    func(b *wrapping.BlobInfo) { b.Ciphertext[0]++ },
		"another wrapped key":   func(b *wrapping.BlobInfo) { b.KeyInfo.WrappedKey = other.KeyInfo.WrappedKey },
		"a damaged wrapped key": func(b *wrapping.BlobInfo) { b.KeyInfo.WrappedKey[20]++ },
		"no wrapped key":        func(b *wrapping.BlobInfo) { b.KeyInfo.WrappedKey = nil },
		"a short key inside":    func(b *wrapping.BlobInfo) { b.KeyInfo.WrappedKey = k.wrapOutside(t, w, []byte("short")) },
		"another root's":        func(b *wrapping.BlobInfo) { b.KeyInfo.KeyId = "transit:another" },
		"nobody's":              func(b *wrapping.BlobInfo) { b.KeyInfo = nil },
	} {
		b := proto.Clone(blob).(*wrapping.BlobInfo)
		alter(b)
		if got, err := w.Decrypt(t.Context(), b); err == nil || got != nil {
			t.Errorf("%s: opened as %q", name, got)
		}
	}
	if _, err := w.Decrypt(t.Context(), nil); err == nil {
		t.Error("nothing opened")
	}
}

// wrapOutside is what somebody else with a right to the key could make.
func (k *kms) wrapOutside(t *testing.T, w wrapping.Wrapper, plain []byte) (wrapped []byte) {
	t.Helper()
	k.set(func(k *kms) {
		nonce := make([]byte, 12)
		wrapped = append([]byte("vault:v1:"), base64Text(k.keys[0].Seal(nonce, nonce, plain, nil))...)
	})
	return wrapped
}

func TestTransitSettingsAreChecked(t *testing.T) {
	k := newKMS(t)
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), name)
		write(t, path, text, mode)
		return path
	}
	for _, c := range []struct {
		name   string
		change func(*root.TransitConfig)
		want   string
	}{
		{"nothing", func(c *root.TransitConfig) { *c = root.TransitConfig{} }, "address"},
		{"in the clear", func(c *root.TransitConfig) { c.Address = "http://127.0.0.1:8200" }, "https"},
		{"a password in the address", func(c *root.TransitConfig) { c.Address = "https://a:b@127.0.0.1:8200" }, "address"},
		{"no host", func(c *root.TransitConfig) { c.Address = "https://" }, "address"},
		{"no key", func(c *root.TransitConfig) { c.Key = "" }, "key"},
		{"a key in a folder", func(c *root.TransitConfig) { c.Key = "a/b" }, "key"},
		{"a key above", func(c *root.TransitConfig) { c.Key = ".." }, "key"},
		{"a mount above", func(c *root.TransitConfig) { c.Mount = "transit/../sys" }, "mount"},
		{"a namespace above", func(c *root.TransitConfig) { c.Namespace = "a b" }, "namespace"},
		{"no token file", func(c *root.TransitConfig) { c.TokenFile = "" }, "token_file"},
		{"a token file that isn't there", func(c *root.TransitConfig) { c.TokenFile = filepath.Join(t.TempDir(), "none") }, "none"},
		{"a token that others read", func(c *root.TransitConfig) { c.TokenFile = file("token", kmsToken, 0o644) }, "chmod 600"},
		{"an empty token", func(c *root.TransitConfig) { c.TokenFile = file("token", "\n", 0o600) }, "no token"},
		{"a token that points elsewhere", func(c *root.TransitConfig) { c.TokenFile = file("token", "env://HOME", 0o600) }, "no token"},
		{"two tokens", func(c *root.TransitConfig) { c.TokenFile = file("token", kmsToken+"\n"+kmsToken, 0o600) }, "no token"},
		{"a file for a token", func(c *root.TransitConfig) {
			c.TokenFile = file("token", strings.Repeat("x", 8<<10+1), 0o600)
		}, "longer"},
		{"no CA file", func(c *root.TransitConfig) { c.CACert = filepath.Join(t.TempDir(), "none.pem") }, "none.pem"},
		{"an empty CA file", func(c *root.TransitConfig) { c.CACert = file("ca.pem", "", 0o644) }, "PEM"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := k.config()
			c.change(&config)
			w, err := root.OpenTransit(t.Context(), config)
			if w != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			mustNotTell(t, err, kmsToken)
		})
	}
}

func TestTransitMountHasADefault(t *testing.T) {
	c := newKMS(t).config()
	c.Mount = ""
	mustWrap(t, openTransit(t, c))
	c.Mount = "/transit/"
	mustWrap(t, openTransit(t, c))
}

// TestEnvironmentCantOverrideTheKMS: the library's own variables could
// redirect it, or turn off the check of the certificate.
func TestEnvironmentCantOverrideTheKMS(t *testing.T) {
	k := newKMS(t)
	for _, name := range []string{"VAULT_ADDR", "VAULT_AGENT_ADDR", "VAULT_SKIP_VERIFY", "VAULT_TOKEN", "VAULT_NAMESPACE", "VAULT_PROXY_ADDR"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "true")
			if _, err := root.OpenTransit(t.Context(), k.config()); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Setenv("TRANSIT_WRAPPER_KEY_NAME", "another")
	t.Setenv("TRANSIT_WRAPPER_MOUNT_PATH", "another")
	mustWrap(t, openTransit(t, k.config()))
}
