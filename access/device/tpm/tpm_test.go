package tpm_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"azekura/access/device/tpm"
	"azekura/access/device/tpm/tpmtest"

	keyfile "github.com/foxboron/go-tpm-keyfiles"
	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
)

// TestKey: a key signs by its own TPM, again after it is read from its file, and by no
// other TPM.
func TestKey(t *testing.T) {
	mine, other := tpmtest.Start(t), tpmtest.Start(t)
	made, err := tpm.Make(mine)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("what is signed"))
	public, ok := made.Public().(*ecdsa.PublicKey)
	if !ok {
		t.Fatalf("a key of %T", made.Public())
	}
	again, err := tpm.Read(mine, made.DER())
	if err != nil || !public.Equal(again.Public()) || !bytes.Equal(again.DER(), made.DER()) {
		t.Fatalf("read again: %v", err)
	}
	for range 5 { // a TPM holds three keys at a time: none may stay behind
		for _, k := range []*tpm.Key{made, again} {
			signature, err := k.Sign(rand.Reader, digest[:], crypto.SHA256)
			if err != nil || !ecdsa.VerifyASN1(public, digest[:], signature) {
				t.Fatalf("it doesn't sign: %v", err)
			}
		}
	}
	elsewhere, err := tpm.Read(other, made.DER())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := elsewhere.Sign(rand.Reader, digest[:], crypto.SHA256); !errors.Is(err, tpm.ErrOther) {
		t.Errorf("at another TPM: %v", err)
	}
	second, err := tpm.Make(mine)
	if err != nil || public.Equal(second.Public()) {
		t.Errorf("two keys are one: %v", err)
	}
}

// TestNoTPM: a path at which there is none, and a file that is no key, are told.
func TestNoTPM(t *testing.T) {
	if _, err := tpm.Make(filepath.Join(t.TempDir(), "tpmrm0")); err == nil {
		t.Error("a TPM out of nowhere")
	}
	for _, der := range [][]byte{nil, {0x30, 0}, bytes.Repeat([]byte{0x30, 0x80}, 50)} {
		if _, err := tpm.Read(tpm.Default, der); err == nil {
			t.Errorf("%x is read as a key", der)
		}
	}
}

// TestStays: a key that its TPM didn't make, or would give away, isn't taken, and one
// whose file only says that it stays isn't signed with.
func TestStays(t *testing.T) {
	at := tpmtest.Start(t)
	made, err := tpm.Make(at)
	if err != nil {
		t.Fatal(err)
	}
	altered := func(change func(*tpm2.TPMAObject)) []byte {
		key, err := keyfile.Parse(made.DER())
		if err != nil {
			t.Fatal(err)
		}
		area, err := key.Pubkey.Contents()
		if err != nil {
			t.Fatal(err)
		}
		public := *area
		change(&public.ObjectAttributes)
		key.AddOptions(keyfile.WithPubkey(tpm2.New2B(public)))
		return keyfile.Marshal(key)
	}
	for what, change := range map[string]func(*tpm2.TPMAObject){
		"may go to another TPM":    func(is *tpm2.TPMAObject) { is.FixedTPM = false },
		"may go to another parent": func(is *tpm2.TPMAObject) { is.FixedParent = false },
		"was brought in":           func(is *tpm2.TPMAObject) { is.SensitiveDataOrigin = false },
	} {
		if _, err := tpm.Read(at, altered(change)); err == nil || !strings.Contains(err.Error(), "as copyable") {
			t.Errorf("a key that %s: %v", what, err)
		}
	}
	if _, err := tpm.Read(at, altered(func(*tpm2.TPMAObject) {})); err != nil {
		t.Errorf("one that stays: %v", err)
	}
	said, err := tpm.Read(at, altered(func(is *tpm2.TPMAObject) { is.NoDA = !is.NoDA }))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("what is signed"))
	if _, err := said.Sign(rand.Reader, digest[:], crypto.SHA256); !errors.Is(err, tpm.ErrOther) {
		t.Errorf("a public part other than the TPM made: %v", err)
	}
}

// TestOnlySuch: what the TPM made otherwise than Make has it make isn't taken: it would
// fail at its first signature, on a PC that is enrolled already.
func TestOnlySuch(t *testing.T) {
	at := tpmtest.Start(t)
	open, err := linuxudstpm.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	made := func(alg tpm2.TPMAlgID, bits int, options ...keyfile.TPMKeyOption) []byte {
		key, err := keyfile.NewLoadableKey(open, alg, bits, nil, options...)
		if err != nil {
			t.Fatal(err)
		}
		return keyfile.Marshal(key)
	}
	for what, der := range map[string][]byte{
		"with a password":  made(tpm2.TPMAlgECC, 256, keyfile.WithUserAuth([]byte("a password"))),
		"of another curve": made(tpm2.TPMAlgECC, 384),
		"of RSA":           made(tpm2.TPMAlgRSA, 2048),
	} {
		if _, err := tpm.Read(at, der); err == nil || !strings.Contains(err.Error(), "on P-256 without a password") {
			t.Errorf("a key %s: %v", what, err)
		}
	}
	if _, err := tpm.Read(at, made(tpm2.TPMAlgECC, 256)); err != nil {
		t.Errorf("one as Make's: %v", err)
	}
}
