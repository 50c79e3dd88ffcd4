package installation

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"azekura/keyring"
	"azekura/keyring/root"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
)

// rootKeys opens the root key. Where a change of it was cut short there are two,
// and the database says which one it is: the one that wraps the domain keys.
type rootKeys struct {
	inst       *Installation
	passphrase *asked
	present    wrapping.Wrapper
	failed     error // why the present one doesn't open
	next       root.Next
	staged     bool
	discarded  bool // a change that was begun and didn't come about was taken back
}

// asked asks for a passphrase once, and gives it as often as it is wanted.
type asked struct {
	ask  func() ([]byte, error)
	text []byte
	err  error
	done bool
}

func once(ask func() ([]byte, error)) *asked { return &asked{ask: ask} }

func (a *asked) get() ([]byte, error) {
	if !a.done {
		a.text, a.err = a.ask()
		a.done = true
	}
	return bytes.Clone(a.text), a.err
}

func (k *rootKeys) clear() { clear(k.passphrase.text) }

// open opens the present root key before anything else, so that a wrong
// passphrase shows at once; unless there may be another that it opens.
func (k *rootKeys) open(ctx context.Context) error {
	var err error
	if k.next, k.staged, err = root.Staged(k.inst.Dir); err != nil {
		return err
	}
	k.present, k.failed = root.Open(ctx, k.inst.Dir, k.inst.Config.Root, k.passphrase.get)
	if !k.staged {
		return k.failed
	}
	return nil
}

// settle opens the keyring and ends a change of the root key that was cut short.
func (k *rootKeys) settle(ctx context.Context) (wrapping.Wrapper, error) {
	var err error
	if k.failed == nil {
		k.inst.Ring, err = keyring.Open(ctx, k.inst.DB, k.present)
		if err == nil {
			err = k.unstage()
		}
		if !k.staged || !errors.Is(err, root.ErrOtherRoot) {
			return k.kept(ctx, k.present, err)
		}
		closeRoot(ctx, k.present)
	}
	w, err := root.OpenStaged(ctx, k.inst.Dir, k.next, k.passphrase.get)
	if err != nil {
		return nil, fmt.Errorf("the root key was being changed when the process ended, and neither one opens: give the other passphrase: %w", errors.Join(k.failed, err))
	}
	k.inst.Ring, err = keyring.Open(ctx, k.inst.DB, w)
	if errors.Is(err, root.ErrOtherRoot) {
		err = fmt.Errorf("the change of the root key didn't come about: give the former passphrase: %w", err)
	}
	if err == nil {
		err = root.Promote(k.inst.Dir, k.inst.settleRoot)
	}
	return k.kept(ctx, w, err)
}

// unstage clears a change away where the domain keys are under the present root
// key: either it didn't come about, or it did and this is its last step. What was
// cut short before it was staged goes too.
func (k *rootKeys) unstage() error {
	if k.staged && root.Placed(k.inst.Dir, k.next, k.inst.Config.Root) {
		return root.Promote(k.inst.Dir, k.inst.settleRoot)
	}
	k.discarded = k.staged
	return root.Discard(k.inst.Dir)
}

func (k *rootKeys) kept(ctx context.Context, w wrapping.Wrapper, err error) (wrapping.Wrapper, error) {
	if err != nil {
		closeRoot(ctx, w)
		return nil, err
	}
	return w, nil
}

// settleRoot notes in the settings how the root key is kept from now on.
func (i *Installation) settleRoot(c root.Config) error {
	return i.resettle(func(now *Config) { now.Root, i.Config.Root = c, c })
}
