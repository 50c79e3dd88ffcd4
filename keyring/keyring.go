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
	"crypto/rand"
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
	"google.golang.org/protobuf/proto"
)

//go:embed schema.sql
var schema string

// Migrations make this package's tables.
var Migrations = []db.Migration{{Name: "keyring/1-first", SQL: schema}}

// The domains of keys.
const (
	domainData    = "data"    // wraps participants' data keys
	domainIndex   = "index"   // blind indexes, one derived key each
	domainMembers = "members" // seals set events' members
	domainDigest  = "digest"  // compares imported records
)

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
		key := make([]byte, core.KeySize)
		_, _ = rand.Read(key) // never fails: the program ends instead
		const epoch = 1
		blob, err := root.Encrypt(ctx, key, wrapping.WithAad(domainPlace(domain, epoch)))
		if err != nil {
			return fmt.Errorf("wrap the %s key: %w", domain, err)
		}
		raw, err := proto.Marshal(blob)
		if err != nil {
			return err
		}
		if _, err := q.Exec(ctx, "INSERT INTO keyring_key (domain, epoch, created_us, wrapped) VALUES ($1, $2, $3, $4)",
			domain, epoch, now.UnixMicro(), raw); err != nil {
			return fmt.Errorf("store the %s key: %w", domain, err)
		}
	}
	return nil
}

func domainPlace(domain string, epoch int64) []byte {
	return binary.BigEndian.AppendUint64([]byte("azekura domain key 1\x00"+domain+"\x00"), uint64(epoch))
}

// Open unwraps the domain keys.
func Open(ctx context.Context, q db.Querier, root wrapping.Wrapper) (*Ring, error) {
	keys, err := domainKeys(ctx, q, root)
	if err != nil {
		return nil, err
	}
	c, err := core.New(keys[domainData], keys[domainMembers][1], keys[domainDigest][1], keys[domainIndex][1])
	if err != nil {
		return nil, fmt.Errorf("open the keyring: %w", err)
	}
	return &Ring{core: c}, nil
}

func domainKeys(ctx context.Context, q db.Querier, root wrapping.Wrapper) (map[string]map[int64][]byte, error) {
	rows, err := q.Query(ctx, "SELECT domain, epoch, wrapped FROM keyring_key ORDER BY domain, epoch")
	if err != nil {
		return nil, fmt.Errorf("read the keyring: %w", err)
	}
	defer rows.Close()
	keys := map[string]map[int64][]byte{}
	for rows.Next() {
		var domain string
		var epoch int64
		var raw []byte
		if err := rows.Scan(&domain, &epoch, &raw); err != nil {
			return nil, err
		}
		blob := &wrapping.BlobInfo{}
		if err := proto.Unmarshal(raw, blob); err != nil {
			return nil, fmt.Errorf("read the %s key of epoch %d: %w", domain, epoch, err)
		}
		key, err := root.Decrypt(ctx, blob, wrapping.WithAad(domainPlace(domain, epoch)))
		if err != nil {
			return nil, fmt.Errorf("unwrap the %s key of epoch %d: the root key or the row is not the right one: %w", domain, epoch, err)
		}
		if keys[domain] == nil {
			keys[domain] = map[int64][]byte{}
		}
		keys[domain][epoch] = key
	}
	return keys, rows.Err()
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
	key, wrapped, err := r.core.NewDataKey(id, 1)
	if err != nil {
		return DataKey{}, Sealing{}, err
	}
	return DataKey{ID: id, No: 1, Epoch: r.core.Epoch(), Wrapped: wrapped}, Sealing{key: key, id: id, no: 1}, nil
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

// Token is the blind index token of a normalised text; index names the index.
func (r *Ring) Token(index, text string) Token { return r.core.Token(index, text) }

// Digest tells whether two records of a participant are the same, without
// opening either.
func (r *Ring) Digest(id uuid.UUID, record []byte) Token { return r.core.Digest(id, record) }

// MAC is the gate's word for a row of a table of a kind: who can't make it can't
// alter the row unnoticed, nor insert one.
func (r *Ring) MAC(kind string, text []byte) Token { return r.core.MAC(kind, text) }

// SealMembers seals a block of a set event's members (auditlog.Sealer).
func (r *Ring) SealMembers(setID, block int64, members []byte) []byte {
	return r.core.SealMembers(setID, block, members)
}

// Epoch is the data epoch under which new data keys are wrapped.
func (r *Ring) Epoch() int64 { return r.core.Epoch() }
