// Package keyring seals a register's values and makes its blind indexes.
//
// A root key (a file under a passphrase, or a remote KMS) wraps the domain keys,
// which lie wrapped in the database; the data domain wraps each participant's
// own data key, in a row of its own, so that destroying that row shreds the
// person. Values are AES-256-GCM, bound to participant, field, version and key;
// index tokens are HMAC-SHA-256 under a key per index, cut to 16 bytes.
//
// It promises that what it stores tells nothing to who lacks the root key: no
// value, and no name or number testable by guessing. It can't protect against
// the host that holds the opened keys in memory. This half only seals; opening
// is in keyring/opening, which the gate alone imports and which wants a receipt.
package keyring

import (
	"context"
	"crypto/cipher"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"azekura/internal/db"
	"azekura/keyring/internal/core"
	"azekura/register/field"

	"github.com/google/uuid"
	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
)

//go:embed schema.sql
var schema string

// Migrations make this package's tables.
var Migrations = []db.Migration{{Name: "keyring/1-first", SQL: schema}, {Name: "keyring/2-cases", SQL: casesSchema}}

// The domains of keys.
const (
	domainData    = "data"    // wraps participants' data keys
	domainIndex   = "index"   // blind indexes, one derived key each
	domainMembers = "members" // seals set events' members
	domainDigest  = "digest"  // compares imported records
)

// ErrEpoch means that a data key is wrapped under an epoch that was destroyed
// meanwhile: it has been wrapped anew, so read its row again.
var ErrEpoch = core.ErrEpoch

// ErrOpen means that a ciphertext isn't what was sealed in that place.
var ErrOpen = core.ErrOpen

// ErrShredded means that the participant's data key was destroyed.
var ErrShredded = errors.New("the participant's data key was destroyed; nothing of theirs can be opened here")

func init() {
	core.Of = func(ring any) *core.Core { return ring.(*Ring).core }
}

// Ring holds the opened keys of an installation. Its zero value can do nothing.
type Ring struct{ core *core.Core }

// TokenSize is the size of a blind index token in bytes.
const TokenSize = core.TokenSize

// Token is a blind index token.
type Token = [TokenSize]byte

// Create makes the domain keys and stores them wrapped. An installation's
// keys are made once.
func Create(ctx context.Context, q db.Querier, root wrapping.Wrapper, now time.Time) error {
	for _, domain := range []string{domainData, domainIndex, domainMembers, domainDigest} {
		e, err := NewEpoch(ctx, root, domain, 1, now)
		if err == nil {
			err = e.Store(ctx, q)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func domainPlace(domain string, epoch int64) []byte {
	return binary.BigEndian.AppendUint64([]byte("azekura domain key 1\x00"+domain+"\x00"), uint64(epoch))
}

// Open unwraps the domain keys.
func Open(ctx context.Context, q db.Querier, root wrapping.Wrapper) (*Ring, error) {
	keys, err := domainKeys(ctx, q, root, func(string, int64) bool { return false })
	if err != nil {
		return nil, err
	}
	c, err := core.New(keys[domainData], keys[domainMembers][1], keys[domainDigest][1], keys[domainIndex])
	if err != nil {
		return nil, fmt.Errorf("open the keyring: %w", err)
	}
	return &Ring{core: c}, nil
}

// domainKeys unwraps the stored keys, by domain and epoch. Of those that are
// held already it says only that they are there.
func domainKeys(ctx context.Context, q db.Querier, root wrapping.Wrapper, held func(domain string, epoch int64) bool) (map[string]map[int64][]byte, error) {
	list, err := stored(ctx, q)
	if err != nil {
		return nil, err
	}
	keys := map[string]map[int64][]byte{}
	for _, s := range list {
		if keys[s.domain] == nil {
			keys[s.domain] = map[int64][]byte{}
		}
		if keys[s.domain][s.epoch] = nil; held(s.domain, s.epoch) {
			continue
		}
		if keys[s.domain][s.epoch], err = s.unwrap(ctx, root); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// DataKey is a participant's data key as it is stored: wrapped.
type DataKey struct {
	ID      uuid.UUID
	No      int64 // 1, and one more each time the participant is re-keyed
	Epoch   int64 // the data domain's epoch that wraps it
	Wrapped []byte
}

// Sealing seals the values of one participant.
type Sealing struct {
	key cipher.AEAD
	id  uuid.UUID
	no  int64
}

// NewParticipant makes a participant's data key, and the means to seal under it.
func (r *Ring) NewParticipant(id uuid.UUID) (DataKey, Sealing, error) {
	key, epoch, wrapped, err := r.core.NewDataKey(id, 1)
	if err != nil {
		return DataKey{}, Sealing{}, err
	}
	return DataKey{ID: id, No: 1, Epoch: epoch, Wrapped: wrapped}, Sealing{key: key, id: id, no: 1}, nil
}

// Participant gives the means to seal more under a stored data key.
func (r *Ring) Participant(k DataKey) (Sealing, error) {
	key, err := r.core.DataKey(k.ID, k.No, k.Epoch, k.Wrapped)
	if err != nil {
		return Sealing{}, err
	}
	return Sealing{key: key, id: k.ID, no: k.No}, nil
}

// Append packs a field's sealed value into a version's row: the field's number,
// the length as two bytes, and the envelope.
func (s Sealing) Append(packed []byte, f field.Field, version int64, value string) ([]byte, error) {
	n := len(value) + core.Overhead
	if n > 1<<16-1 {
		return nil, fmt.Errorf("the %s is too long to seal", f)
	}
	packed = append(packed, byte(f), byte(n>>8), byte(n))
	return core.SealField(s.key, packed, s.id, f, version, s.no, value), nil
}

// Unpack calls f with each field of a version's row and its envelope.
func Unpack(packed []byte, each func(f field.Field, sealed []byte)) error {
	for len(packed) > 0 {
		if len(packed) < 3 {
			return core.ErrOpen
		}
		n := int(packed[1])<<8 | int(packed[2])
		if len(packed) < 3+n {
			return core.ErrOpen
		}
		each(field.Field(packed[0]), packed[3:3+n])
		packed = packed[3+n:]
	}
	return nil
}

// Index makes the tokens of one epoch of the index key.
type Index = core.Index

// Indexes are the epochs of the index in use: the complete one, in which look-ups
// are made, and then, while the index key is changed, the one that is being
// built. What is written is written for each.
func (r *Ring) Indexes() []*Index { return r.core.Indexes() }

// Token is the blind index token of a normalised text in the complete index;
// index names the index.
func (r *Ring) Token(index, text string) Token { return r.core.Token(index, text) }

// Digest tells whether two records of a participant are the same, without
// opening either.
func (r *Ring) Digest(id uuid.UUID, record []byte) Token { return r.core.Digest(id, record) }

// MAC is the gate's word for a row of a table of a kind: who can't make it can't
// alter the row unnoticed, nor insert one.
func (r *Ring) MAC(kind string, text []byte) Token { return r.core.MAC(kind, text) }

// Mark is a keyed mark of a text, for a job's own notes. A change of the index
// key leaves it as it is.
func (r *Ring) Mark(kind, text string) Token { return r.core.Mark(kind, text) }

// SealMembers seals a block of a set event's members (auditlog.Sealer).
func (r *Ring) SealMembers(setID, block int64, members []byte) []byte {
	return r.core.SealMembers(setID, block, members)
}

// Epoch is the data epoch under which new data keys are wrapped.
func (r *Ring) Epoch() int64 { return r.core.Epoch() }
