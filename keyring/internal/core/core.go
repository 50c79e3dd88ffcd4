// Package core is the cryptography that the two halves of the keyring share:
// keyring seals and indexes, keyring/opening opens. It lies in an internal
// folder so that nobody else can reach the keys.
//
// Everything is the standard library's AES-256-GCM with random nonces,
// HMAC-SHA-256 and HKDF. Additional data binds each ciphertext to its place.
package core

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"sync"
	"sync/atomic"

	"azekura/register/field"
)

const (
	// KeySize is the size of every key, in bytes.
	KeySize = 32
	// TokenSize is the size of a blind index token, in bytes.
	TokenSize = 16
	nonceSize = 12
	tagSize   = 16
	// Overhead is what sealing adds to a value, in bytes.
	Overhead = nonceSize + tagSize
)

// ErrOpen means that a ciphertext isn't what was sealed in that place.
var ErrOpen = errors.New("the envelope doesn't open: it was altered, moved, or sealed under another key")

// ErrEpoch means that a key's epoch isn't in the keyring: it was destroyed after
// everything under it had been wrapped anew, so who has read an old row must read
// it again.
var ErrEpoch = errors.New("the domain key of that epoch is destroyed or not in this keyring")

// Of gives the opening half the core of a keyring.Ring, whose type this package
// can't name. The keyring sets it.
var Of func(ring any) *Core

// Core holds the domain keys in use.
type Core struct {
	epochs  atomic.Pointer[epochs]
	members cipher.AEAD
	digest  macs
}

// New takes the domain keys: data and index by epoch, and one each of the
// others.
func New(data map[int64][]byte, members, digest []byte, index map[int64][]byte) (*Core, error) {
	c := &Core{digest: macs{secret: digest}}
	if err := c.Follow(data, index); err != nil {
		return nil, err
	}
	// A missing key must not pass for an empty one: HMAC would take that, and
	// make tokens that anybody can.
	if len(digest) != KeySize || len(members) != KeySize {
		return nil, errLacks
	}
	var err error
	c.members, err = newAEAD(members)
	return c, err
}

var errLacks = errors.New("the keyring lacks a key: rows of keyring_key are gone; put them back from a copy")

func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("a key has %d bytes, not %d", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func seal(aead cipher.AEAD, dst, plaintext, place []byte) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, nonceSize)...)
	// crypto/rand.Read never fails: the program ends instead.
	_, _ = rand.Read(dst[at:])
	return aead.Seal(dst, dst[at:at+nonceSize], plaintext, place)
}

func open(aead cipher.AEAD, dst, sealed, place []byte) ([]byte, error) {
	if len(sealed) < Overhead {
		return nil, ErrOpen
	}
	out, err := aead.Open(dst, sealed[:nonceSize], sealed[nonceSize:], place)
	if err != nil {
		return nil, ErrOpen
	}
	return out, nil
}

func keyPlace(id [16]byte, no, epoch int64) []byte {
	place := append(make([]byte, 0, 64), "azekura data key 1\x00"...)
	place = append(place, id[:]...)
	place = binary.BigEndian.AppendUint64(place, uint64(no))
	return binary.BigEndian.AppendUint64(place, uint64(epoch))
}

// NewDataKey makes a participant's data key and wraps it under the newest epoch.
func (c *Core) NewDataKey(id [16]byte, no int64) (key cipher.AEAD, epoch int64, wrapped []byte, err error) {
	in := c.epochs.Load()
	epoch = in.state.Data
	raw := make([]byte, KeySize)
	_, _ = rand.Read(raw)
	key, err = newAEAD(raw)
	return key, epoch, seal(in.data[epoch], nil, raw, keyPlace(id, no, epoch)), err
}

// DataKey unwraps a participant's data key.
func (c *Core) DataKey(id [16]byte, no, epoch int64, wrapped []byte) (cipher.AEAD, error) {
	var raw [KeySize]byte
	key, err := c.unwrap(raw[:0], id, no, epoch, wrapped)
	if err != nil {
		return nil, err
	}
	return newAEAD(key)
}

func (c *Core) unwrap(into []byte, id [16]byte, no, epoch int64, wrapped []byte) ([]byte, error) {
	kek, ok := c.epochs.Load().data[epoch]
	if !ok {
		return nil, fmt.Errorf("%w: epoch %d", ErrEpoch, epoch)
	}
	return open(kek, into, wrapped, keyPlace(id, no, epoch))
}

// Rewrap wraps a participant's data key under another epoch. The key stays the
// same, and so do the values under it.
func (c *Core) Rewrap(id [16]byte, no, from, to int64, wrapped []byte) ([]byte, error) {
	kek, ok := c.epochs.Load().data[to]
	if !ok {
		return nil, fmt.Errorf("%w: epoch %d", ErrEpoch, to)
	}
	var raw [KeySize]byte
	key, err := c.unwrap(raw[:0], id, no, from, wrapped)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return seal(kek, make([]byte, 0, KeySize+Overhead), key, keyPlace(id, no, to)), nil
}

func fieldPlace(buf *[64]byte, id [16]byte, f field.Field, version, keyNo int64) []byte {
	place := append(buf[:0], "azekura field 1\x00"...)
	place = append(place, id[:]...)
	place = append(place, byte(f))
	place = binary.BigEndian.AppendUint64(place, uint64(version))
	return binary.BigEndian.AppendUint64(place, uint64(keyNo))
}

// SealField appends a sealed value to dst.
func SealField(key cipher.AEAD, dst []byte, id [16]byte, f field.Field, version, keyNo int64, value string) []byte {
	var buf [64]byte
	return seal(key, dst, []byte(value), fieldPlace(&buf, id, f, version, keyNo))
}

// OpenField opens a sealed value.
func OpenField(key cipher.AEAD, id [16]byte, f field.Field, version, keyNo int64, sealed []byte) ([]byte, error) {
	var buf [64]byte
	return open(key, nil, sealed, fieldPlace(&buf, id, f, version, keyNo))
}

func membersPlace(setID, block int64) []byte {
	place := append(make([]byte, 0, 48), "azekura set members 1\x00"...)
	place = binary.BigEndian.AppendUint64(place, uint64(setID))
	return binary.BigEndian.AppendUint64(place, uint64(block))
}

// SealMembers seals a block of a set event's members.
func (c *Core) SealMembers(setID, block int64, members []byte) []byte {
	return seal(c.members, make([]byte, 0, len(members)+Overhead), members, membersPlace(setID, block))
}

// OpenMembers opens one.
func (c *Core) OpenMembers(setID, block int64, sealed []byte) ([]byte, error) {
	return open(c.members, nil, sealed, membersPlace(setID, block))
}

// Digest tells, to the holder of the key alone, whether two records of a
// participant are the same.
func (c *Core) Digest(id [16]byte, record []byte) [TokenSize]byte {
	return c.digest.mac("azekura digest 1", append(append(make([]byte, 0, 16+len(record)), id[:]...), record...))
}

// MAC is the gate's word for a row of a table; kind says which table's, so that
// one's doesn't pass for another's. Its key is derived from the digest domain's,
// by a label of its own.
func (c *Core) MAC(kind string, text []byte) [TokenSize]byte {
	return c.digest.mac("azekura authority 1 "+kind, text)
}

// Mark is a keyed mark of a text, for a job's own notes. It isn't a token of
// the index, and stays the same while the index key is changed.
func (c *Core) Mark(kind, text string) [TokenSize]byte {
	return c.digest.mac("azekura mark 1 "+kind, []byte(text))
}

// macs makes HMACs under keys that are derived from one secret by label.
type macs struct {
	secret []byte
	pools  sync.Map // label to *sync.Pool of hash.Hash
}

func (m *macs) mac(label string, text []byte) (token [TokenSize]byte) {
	pool, ok := m.pools.Load(label)
	if !ok {
		key, err := hkdf.Key(sha256.New, m.secret, nil, label, KeySize)
		if err != nil { // only for a length that HKDF can't give
			panic(err)
		}
		pool, _ = m.pools.LoadOrStore(label, &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }})
	}
	h := pool.(*sync.Pool).Get().(hash.Hash)
	h.Reset()
	h.Write(text)
	var sum [sha256.Size]byte
	copy(token[:], h.Sum(sum[:0]))
	pool.(*sync.Pool).Put(h)
	return token
}
