package rotation_test

import (
	"context"
	"errors"

	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/keyring/rotation"
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
