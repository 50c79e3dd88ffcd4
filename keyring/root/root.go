// Package root keeps an installation's root key, which wraps the keyring's
// domain keys, and opens it as a wrapping.Wrapper in one of two ways:
//
//   - a file under a passphrase (root.age), with a second copy for a recovery
//     key that lies in a safe (root.recovery.age): the default, for one machine;
//   - a remote KMS that speaks the transit protocol (OpenBao, Vault): the root key
//     never leaves it, and its operators can see and stop its use.
//
// It promises that who has the files and the database, without passphrase,
// recovery key or the KMS's consent, has nothing; that a wrapped key opens only
// in its place (the additional data) and only under the root key that wrapped
// it; and that no error carries a key, a token or a passphrase.
//
// It doesn't promise anything against who reads the memory of the host that holds
// the opened key: keys are overwritten where Go lets us, and it made copies.
// A passphrase in a file protects backups of the other disk, no more. Neither
// copy of the root key says who wrote it: whoever can write both the folder and the
// database can put an installation of their own in place, which opens nothing old.
//
// The half that speaks to a KMS is tested against a server of our own, which
// follows the published transit protocol over TLS; neither OpenBao nor Vault can be
// had where the tests run. Try yours before you rely on it: OpenTransit does so
// at every start.
package root

import (
	"context"
	"errors"
	"fmt"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
)

// The kinds of root key.
const (
	KindFile    = "file"
	KindTransit = "transit"
)

var (
	// ErrPassphrase means that the root key's file doesn't open under the
	// passphrase.
	ErrPassphrase = errors.New("the passphrase doesn't open the root key")
	// ErrOtherRoot means that a key was wrapped by another root key than the
	// one at hand.
	ErrOtherRoot = errors.New("the keyring belongs to another root key")
)

// Config says how the root key is kept. The zero value is refused.
type Config struct {
	Kind    string         `json:"kind"` // KindFile or KindTransit
	Transit *TransitConfig `json:"transit,omitempty"`
}

// Open opens the root key: a file in dir under what passphrase returns, or a
// KMS, for which passphrase isn't called. Close ends its use.
func Open(ctx context.Context, dir string, c Config, passphrase func() ([]byte, error)) (wrapping.Wrapper, error) {
	switch {
	case c.Kind == KindFile && c.Transit == nil:
		p, err := passphrase()
		if err != nil {
			return nil, err
		}
		defer clear(p)
		return OpenFile(dir, p)
	case c.Kind == KindTransit && c.Transit != nil:
		return OpenTransit(ctx, *c.Transit)
	}
	return nil, fmt.Errorf("the root key's kind %q is not one we know, or its settings are another kind's: it is %q without settings, or %q with them",
		c.Kind, KindFile, KindTransit)
}

// Close ends the use of a root key: a KMS's token is no longer renewed.
func Close(ctx context.Context, w wrapping.Wrapper) error {
	if f, ok := w.(wrapping.InitFinalizer); ok {
		return f.Finalize(ctx)
	}
	return nil
}

// owned is what both kinds share: a wrapper whose configuration is fixed and
// which says when a key isn't one of its own, instead of that it failed.
type owned struct{ id string }

func (o owned) KeyId(context.Context) (string, error) { return o.id, nil }

func (owned) SetConfig(context.Context, ...wrapping.Option) (*wrapping.WrapperConfig, error) {
	return nil, errors.New("a root key that is open can't be configured again")
}

func (o owned) check(in *wrapping.BlobInfo) error {
	if in == nil {
		return errors.New("there is no wrapped key to open")
	}
	if by := in.GetKeyInfo().GetKeyId(); by != o.id {
		return fmt.Errorf("%w: %.100q wrapped it, and this is %q", ErrOtherRoot, by, o.id)
	}
	return nil
}
