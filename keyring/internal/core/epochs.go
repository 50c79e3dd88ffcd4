package core

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// epochs are the keys that a rotation changes. They are never altered, only
// replaced whole, so whoever has loaded them has one state.
type epochs struct {
	data  map[int64]cipher.AEAD
	index []*Index // oldest first: the complete one, and perhaps the one being built
	state State
}

// State says which epochs are in use. Epochs only grow, so two equal states mean
// that nothing changed between them.
type State struct {
	Data     int64 // wraps new data keys
	Index    int64 // its tokens are complete: look-ups use it
	Building int64 // its tokens are being made; 0 when none is
}

// Index makes the tokens of one epoch of the index key. Who holds it may use it
// even after the keyring has forgotten the epoch.
type Index struct {
	epoch int64
	macs  macs
}

// Epoch is the index key's epoch.
func (x *Index) Epoch() int64 { return x.epoch }

// Token is the blind index token of a normalised text, under the named index's
// own key.
func (x *Index) Token(index, text string) [TokenSize]byte {
	return x.macs.mac("azekura index 1 "+index, []byte(text))
}

// Follow makes the keys in use those given, by epoch: new ones are taken up and
// missing ones forgotten. Of an epoch that is held already the key isn't read
// and may be nil.
func (c *Core) Follow(data, index map[int64][]byte) error {
	old := c.epochs.Load()
	if old == nil {
		old = &epochs{}
	}
	next := &epochs{data: map[int64]cipher.AEAD{}}
	for epoch, key := range data {
		aead, held := old.data[epoch]
		if !held {
			var err error
			if aead, err = newAEAD(key); err != nil {
				return err
			}
		}
		next.data[epoch] = aead
		next.state.Data = max(next.state.Data, epoch)
	}
	if next.state.Data == 0 {
		return errors.New("the keyring has no data key: it wasn't made yet, or rows of keyring_key are gone")
	}
	for _, epoch := range slices.Sorted(maps.Keys(index)) {
		x := old.holds(epoch)
		if x == nil {
			if len(index[epoch]) != KeySize {
				return errLacks
			}
			x = &Index{epoch: epoch, macs: macs{secret: index[epoch]}}
		}
		next.index = append(next.index, x)
	}
	switch len(next.index) {
	case 0:
		return errLacks
	case 1:
	case 2:
		next.state.Building = next.index[1].epoch
	default:
		return fmt.Errorf("the keyring has %d index keys, and two at most are in use at a time", len(next.index))
	}
	next.state.Index = next.index[0].epoch
	c.epochs.Store(next)
	return nil
}

func (e *epochs) holds(epoch int64) *Index {
	for _, x := range e.index {
		if x.epoch == epoch {
			return x
		}
	}
	return nil
}

// State says which epochs are in use.
func (c *Core) State() State { return c.epochs.Load().state }

// HoldsData tells whether the data key of an epoch is here.
func (c *Core) HoldsData(epoch int64) bool {
	_, ok := c.epochs.Load().data[epoch]
	return ok
}

// HoldsIndex tells whether the index key of an epoch is here.
func (c *Core) HoldsIndex(epoch int64) bool { return c.epochs.Load().holds(epoch) != nil }

// Indexes are the index keys in use: the complete one first, and then, while the
// index is made anew, the one that is being built.
func (c *Core) Indexes() []*Index { return c.epochs.Load().index }

// Epoch is the newest data epoch, under which new data keys are wrapped.
func (c *Core) Epoch() int64 { return c.State().Data }

// Token is the blind index token of a normalised text in the complete index.
func (c *Core) Token(index, text string) [TokenSize]byte { return c.Indexes()[0].Token(index, text) }
