// Package tpm keeps a device's key in the TPM 2.0 of its PC.
//
// It promises a P-256 key that the TPM made itself and doesn't give away (fixed to
// it and to its storage root key), as a crypto.Signer. What is kept in a file is the
// key as the TPM wrapped it, in the form that tpm2-openssl and others read (TSS2
// PRIVATE KEY): no other TPM can load it, and a key that was brought into a TPM, or
// may leave it, isn't taken. It doesn't prove to anybody far away that a TPM has the
// key: that takes the TPM's endorsement certificate, which we don't ask for. Whoever
// has the PC can have its TPM sign, for as long as they have it.
package tpm

import (
	"crypto"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	keyfile "github.com/foxboron/go-tpm-keyfiles"
	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
)

// Default is where Linux has a PC's TPM, behind its resource manager.
const Default = "/dev/tpmrm0"

// PEM is the type of a key's block in a PEM file.
const PEM = "TSS2 PRIVATE KEY"

// ErrOther is of a key that another TPM wrapped.
var ErrOther = errors.New("this TPM doesn't know the key: it is another PC's, or the TPM was cleared")

// Key is a key in a TPM. The TPM is opened for each signature, since others on the
// PC use it too, and it may be restarted.
type Key struct {
	at     string
	key    *keyfile.TPMKey
	public *ecdsa.PublicKey
}

// Make has the TPM at a device's or a socket's path make a key.
func Make(at string) (*Key, error) {
	t, err := open(at)
	if err != nil {
		return nil, err
	}
	key, err := keyfile.NewLoadableKey(t, tpm2.TPMAlgECC, 256, nil)
	if err = errors.Join(err, t.Close()); err != nil {
		return nil, fmt.Errorf("have the TPM %s make a key: %w", at, err)
	}
	return of(at, key)
}

// Read takes up a key from its PEM block's bytes, of the TPM at a path.
func Read(at string, der []byte) (*Key, error) {
	key, err := keyfile.Parse(der)
	if err != nil {
		return nil, fmt.Errorf("read a TPM's key: %w", err)
	}
	return of(at, key)
}

func of(at string, key *keyfile.TPMKey) (*Key, error) {
	area, err := key.Pubkey.Contents()
	if err != nil { // what is asked of a key without them panics
		return nil, errors.New("a TPM's key has no public part that can be read")
	}
	if is := area.ObjectAttributes; !is.FixedTPM || !is.FixedParent || !is.SensitiveDataOrigin { // a TPM loads no key whose public part says otherwise than it was made
		return nil, errors.New("a TPM's key was made elsewhere, or may leave its TPM: as copyable as one in a file; empty the folder and enrol anew")
	}
	public, err := key.PublicKey()
	p256, ok := public.(*ecdsa.PublicKey)
	if err != nil || !ok || p256.Params().BitSize != 256 || !key.HasSigner() || key.HasAuth() {
		return nil, errors.New("a TPM's key isn't one for ECDSA on P-256 without a password")
	}
	return &Key{at, key, p256}, nil
}

// At is the TPM's path.
func (k *Key) At() string { return k.at }

// DER is the key as its TPM wrapped it.
func (k *Key) DER() []byte { return keyfile.Marshal(k.key) }

// Public is crypto.Signer's.
func (k *Key) Public() crypto.PublicKey { return k.public }

// Sign is crypto.Signer's.
func (k *Key) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	t, err := open(k.at)
	if err != nil {
		return nil, err
	}
	signer, err := k.key.Signer(t, nil, nil)
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	signature, err := signer.Sign(rand, digest, opts)
	if err != nil && strings.Contains(err.Error(), "TPM_RC_INTEGRITY") { // the library tells it in words alone
		err = ErrOther
	}
	if err = errors.Join(err, t.Close()); err != nil {
		return nil, fmt.Errorf("have the TPM %s sign: %w", k.at, err)
	}
	return signature, nil
}

func open(at string) (transport.TPMCloser, error) {
	info, err := os.Stat(at)
	if err != nil {
		return nil, fmt.Errorf("open the TPM: %w", err)
	}
	dial := linuxtpm.Open
	if info.Mode().Type() == os.ModeSocket {
		dial = linuxudstpm.Open
	}
	t, err := dial(at)
	if err != nil {
		return nil, fmt.Errorf("open the TPM %s (its device is for the group tss; add who runs the agent): %w", at, err)
	}
	return t, nil
}
