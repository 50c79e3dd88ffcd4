package auditlog

import (
	"crypto/sha256"
	"errors"

	"azekura/register/field"
)

// ErrNoReceipt refuses an opening for which no receipt speaks.
var ErrNoReceipt = errors.New("no receipt covers this opening; nothing is opened unlogged")

// Receipt proves that an event is committed and covered by a synced, signed
// head. Only the log makes one; the zero value covers nothing.
type Receipt struct {
	durable bool
	index   int64
	time    int64
	id      ID
	exact   []FieldVersion // these fields as set in these versions
	upTo    field.Set      // and these as set in version or before
	version int64
	blocks  [][32]byte // of a set event that opens: the hash of each block of members
}

// masked are the fields of whose shortened forms a candidate's mask is made.
var masked = field.SetOf(field.Name, field.Birth, field.Address, field.Number)

// receipt is called by the sequencer alone, after the signer's sync.
func receipt(e *Event, blocks [][32]byte) Receipt {
	r := Receipt{durable: true, index: e.Index, time: e.Time, id: e.Participant}
	switch e.Action {
	case Read, Check, Index:
		r.exact = e.Fields
	case Show, Shred:
		for _, fv := range e.Fields {
			r.version = max(r.version, fv.Version)
			r.upTo |= field.SetOf(fv.Field)
		}
		if r.upTo.Has(field.Mask) {
			r.upTo |= masked
		}
	case Set:
		if e.Set.Opens || e.Set.Inside {
			r.blocks = blocks
		}
	}
	return r
}

// Index is the event's index in its log.
func (r Receipt) Index() int64 { return r.index }

// Time is the event's time in microseconds, UTC.
func (r Receipt) Time() int64 { return r.time }

// Covers refuses unless the receipt's event names this field of this
// participant as set in this version.
func (r Receipt) Covers(id ID, f field.Field, version int64) error {
	if !r.durable || id == (ID{}) || r.id != id {
		return ErrNoReceipt
	}
	for _, fv := range r.exact {
		if fv.Field == f && fv.Version == version {
			return nil
		}
	}
	if r.upTo.Has(f) && version > 0 && version <= r.version {
		return nil
	}
	return ErrNoReceipt
}

// Of refuses unless the receipt's event is about this participant.
func (r Receipt) Of(id ID) error {
	if !r.durable || id == (ID{}) || r.id != id {
		return ErrNoReceipt
	}
	return nil
}

// Members turns the receipt of a set event into one for each member of a block,
// after checking that the block is the one the event speaks of.
func (r Receipt) Members(block int, encoded []byte) ([]Member, []Receipt, error) {
	if !r.durable || block < 0 || block >= len(r.blocks) || sha256.Sum256(encoded) != r.blocks[block] {
		return nil, nil, ErrNoReceipt
	}
	members, err := DecodeMembers(encoded)
	if err != nil {
		return nil, nil, err
	}
	receipts := make([]Receipt, len(members))
	for i, m := range members {
		receipts[i] = Receipt{durable: true, index: r.index, time: r.time, id: m.ID, upTo: m.Fields, version: m.Version}
	}
	return members, receipts, nil
}
