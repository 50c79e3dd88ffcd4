// Package opening is the only code that decrypts a participant's fields. The
// gate alone imports it; a test holds that line.
//
// It opens nothing without a receipt (auditlog.Receipt) that names the very
// participant, field and version: forgetting to log doesn't compile, and a zero
// receipt is refused.
package opening

import (
	"crypto/cipher"
	"crypto/subtle"

	"azekura/auditlog"
	"azekura/keyring"
	"azekura/keyring/internal/core"
	"azekura/register/field"
)

// Opener opens envelopes. Its zero value can open nothing.
type Opener struct{ core *core.Core }

// New gives the opening half of a ring.
func New(r *keyring.Ring) Opener { return Opener{core.Of(r)} }

// Value is one sealed field, and after Open its plaintext.
type Value struct {
	Field   field.Field
	Version int64
	Sealed  []byte
	Plain   string
}

// Open opens values of one participant. Each must be covered by the receipt;
// if one isn't, or one doesn't open, none is.
func (o Opener) Open(receipt auditlog.Receipt, k keyring.DataKey, values []Value) error {
	for _, v := range values {
		if err := receipt.Covers(k.ID, v.Field, v.Version); err != nil {
			return err
		}
	}
	if k.Wrapped == nil {
		return keyring.ErrShredded
	}
	key, err := o.core.DataKey(k.ID, k.No, k.Epoch, k.Wrapped)
	if err != nil {
		return err
	}
	for i := range values {
		if err := openOne(key, k, &values[i]); err != nil {
			for j := range values[:i] {
				values[j].Plain = ""
			}
			return err
		}
	}
	return nil
}

func openOne(key cipher.AEAD, k keyring.DataKey, v *Value) error {
	plain, err := core.OpenField(key, k.ID, v.Field, v.Version, k.No, v.Sealed)
	if err != nil {
		return err
	}
	v.Plain = string(plain)
	return nil
}

// Is tells whether one of a participant's sealed values is a text. The values
// don't leave; but a yes tells as much as a reading would, so it takes the
// receipt of an event about the participant, and is for a text that found them.
func (o Opener) Is(receipt auditlog.Receipt, k keyring.DataKey, values []Value, text string) (bool, error) {
	if err := receipt.Of(k.ID); err != nil {
		return false, err
	}
	if k.Wrapped == nil {
		return false, keyring.ErrShredded
	}
	key, err := o.core.DataKey(k.ID, k.No, k.Epoch, k.Wrapped)
	if err != nil {
		return false, err
	}
	found := 0
	for _, v := range values {
		plain, err := core.OpenField(key, k.ID, v.Field, v.Version, k.No, v.Sealed)
		if err != nil {
			return false, err
		}
		found |= subtle.ConstantTimeCompare(plain, []byte(text))
	}
	return found == 1, nil
}

// Members opens a block of a set event's members: pseudonyms and fields, no
// plaintext, so it needs no receipt. auditlog.Receipt.Members or
// auditlog.CheckSet tell whether the block is the event's.
func (o Opener) Members(setID, block int64, sealed []byte) ([]byte, error) {
	return o.core.OpenMembers(setID, block, sealed)
}
