package root_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"azekura/keyring/root"

	"github.com/google/go-cmp/cmp"
	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
)

func base64Text(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// mustWrap holds a root key to what the keyring relies on.
func mustWrap(t *testing.T, w wrapping.Wrapper) {
	t.Helper()
	ctx := t.Context()
	secret, place := []byte("0123456789abcdef0123456789abcdef"), wrapping.WithAad([]byte("place"))
	blob, err := w.Encrypt(ctx, secret, place)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(blob.Ciphertext, secret) {
		t.Error("the key lies in the clear")
	}
	if got, err := w.Decrypt(ctx, blob, place); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("unwrapped %x, %v", got, err)
	}
	for _, other := range [][]wrapping.Option{nil, {wrapping.WithAad([]byte("another"))}} {
		if got, err := w.Decrypt(ctx, blob, other...); err == nil || got != nil {
			t.Error("a key opened out of its place")
		}
	}
	if _, err := w.SetConfig(ctx, wrapping.WithKeyId("another")); err == nil {
		t.Error("an open root key was configured again")
	}
	if e, ok := w.(wrapping.KeyExporter); ok {
		t.Errorf("%T gives its key to whoever asks", e)
	}
}

func mustNotTell(t *testing.T, err error, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
}

func TestConfigChoosesTheKind(t *testing.T) {
	dir := t.TempDir()
	if err := root.CreateFile(dir, options(passphrase)); err != nil {
		t.Fatal(err)
	}
	k := newKMS(t)
	transit := k.config()
	given := []byte(passphrase)
	w, err := root.Open(t.Context(), dir, root.Config{Kind: root.KindFile}, func() ([]byte, error) { return given, nil })
	if err != nil {
		t.Fatal(err)
	}
	mustWrap(t, w)
	if err := root.Close(t.Context(), w); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(given, make([]byte, len(given))) {
		t.Error("the passphrase was left in memory")
	}

	w, err = root.Open(t.Context(), dir, root.Config{Kind: root.KindTransit, Transit: &transit}, nil)
	if err != nil {
		t.Fatal(err)
	}
	mustWrap(t, w)
	if err := root.Close(t.Context(), w); err != nil {
		t.Error(err)
	}

	for _, c := range []root.Config{{}, {Kind: "hsm"}, {Kind: root.KindTransit}, {Kind: root.KindFile, Transit: &transit}} {
		if w, err := root.Open(t.Context(), dir, c, nil); err == nil || w != nil {
			t.Errorf("%+v: opened", c)
		}
	}
	none := errors.New("nobody is there")
	if _, err := root.Open(t.Context(), dir, root.Config{Kind: root.KindFile}, func() ([]byte, error) { return nil, none }); !errors.Is(err, none) {
		t.Errorf("got %v", err)
	}
}

func TestConfigIsJSON(t *testing.T) {
	const text = `{"kind":"transit","transit":{"address":"https://kms.example.invalid:8200","mount":"transit","key":"azekura","namespace":"agency","ca_cert":"/etc/azekura/kms.pem","token_file":"/run/azekura/token"}}`
	var c root.Config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text, string(again)); diff != "" {
		t.Error(diff)
	}
	if file, err := json.Marshal(root.Config{Kind: root.KindFile}); err != nil || string(file) != `{"kind":"file"}` {
		t.Errorf("%s, %v", file, err)
	}
}
