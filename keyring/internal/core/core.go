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

// Of gives the opening half the core of a keyring.Ring, whose type this package
// can't name. The keyring sets it.
var Of func(ring any) *Core

// Core holds the domain keys in use.
type Core struct {
	data    map[int64]cipher.AEAD // by epoch
	newest  int64
	members cipher.AEAD
	digest  []byte
	index   []byte
	hmacs   sync.Map // label to *sync.Pool of hash.Hash
}

// New takes the domain keys: data by epoch, and one each of the others.
func New(data map[int64][]byte, members, digest, index []byte) (*Core, error) {
	c := &Core{data: map[int64]cipher.AEAD{}, digest: digest, index: index}
	for epoch, key := range data {
		aead, err := newAEAD(key)
		if err != nil {
			return nil, err
		}
		c.data[epoch] = aead
		c.newest = max(c.newest, epoch)
	}
	if c.newest == 0 {
		return nil, errors.New("the keyring has no data key: it wasn't made yet, or rows of keyring_key are gone")
	}
	// A missing key must not pass for an empty one: HMAC would take that, and
	// make tokens that anybody can.
	if len(digest) != KeySize || len(index) != KeySize || len(members) != KeySize {
		return nil, errors.New("the keyring lacks a key: rows of keyring_key are gone; put them back from a copy")
	}
	var err error
	c.members, err = newAEAD(members)
	return c, err
}

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

// Epoch is the newest data epoch, under which new data keys are wrapped.
func (c *Core) Epoch() int64 { return c.newest }

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
func (c *Core) NewDataKey(id [16]byte, no int64) (key cipher.AEAD, wrapped []byte, err error) {
	raw := make([]byte, KeySize)
	_, _ = rand.Read(raw)
	key, err = newAEAD(raw)
	return key, seal(c.data[c.newest], nil, raw, keyPlace(id, no, c.newest)), err
}

// DataKey unwraps a participant's data key.
func (c *Core) DataKey(id [16]byte, no, epoch int64, wrapped []byte) (cipher.AEAD, error) {
	kek, ok := c.data[epoch]
	if !ok {
		return nil, fmt.Errorf("the data key of epoch %d is destroyed or not in this keyring", epoch)
	}
	var raw [KeySize]byte
	key, err := open(kek, raw[:0], wrapped, keyPlace(id, no, epoch))
	if err != nil {
		return nil, err
	}
	return newAEAD(key)
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

// Token is the blind index token of a normalised text, under the index's own key.
func (c *Core) Token(index, text string) [TokenSize]byte {
	return c.mac("azekura index 1 "+index, c.index, []byte(text))
}

// Digest tells, to the holder of the key alone, whether two records of a
// participant are the same.
func (c *Core) Digest(id [16]byte, record []byte) [TokenSize]byte {
	return c.mac("azekura digest 1", c.digest, append(append(make([]byte, 0, 16+len(record)), id[:]...), record...))
}

// MAC is the gate's word for a row of a table; kind says which table's, so that
// one's doesn't pass for another's. Its key is derived from the digest domain's,
// by a label of its own.
func (c *Core) MAC(kind string, text []byte) [TokenSize]byte {
	return c.mac("azekura authority 1 "+kind, c.digest, text)
}

func (c *Core) mac(label string, secret, text []byte) (token [TokenSize]byte) {
	pool, ok := c.hmacs.Load(label)
	if !ok {
		key, err := hkdf.Key(sha256.New, secret, nil, label, KeySize)
		if err != nil { // only for a length that HKDF can't give
			panic(err)
		}
		pool, _ = c.hmacs.LoadOrStore(label, &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }})
	}
	h := pool.(*sync.Pool).Get().(hash.Hash)
	h.Reset()
	h.Write(text)
	var sum [sha256.Size]byte
	copy(token[:], h.Sum(sum[:0]))
	pool.(*sync.Pool).Put(h)
	return token
}
