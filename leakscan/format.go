package leakscan

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// The file, all numbers little-endian:
//
//	head      4,096 bytes: see below
//	people    one record a person: pseudonym (16), mask of the fields with a
//	          current tag (2), number of past tags (1), current tags (2 each, in
//	          the fields' order), past tags (field 1, tag 2)
//	directory for each 16 people 16 bytes: where the first's record begins, from
//	          the file's start (8), and how far behind it the fifth's, ninth's and
//	          thirteenth's do (2 each)
//	shards    for each kind, its shards by the tokens' highest bits: filter,
//	          buckets, entries, each from a multiple of 8
//	table     one row of 64 bytes a shard, kind after kind
//
// A shard's filter is a binary fuse filter with 8 bits a fingerprint
// (FastFilter/xorfilter, its parameters in the table's row). Its buckets are
// chosen by the token's next bits; the bucket list says where each begins (4
// bytes, and one more for the end). An entry is 6 bytes: the 16 bits of the token
// after the bucket's, and the person (31 bits); the highest bit says that the
// entry before has the same token, which is how people share one. What 16 bits let pass by
// chance is found out by the person's tags.
//
// The head: magic, version of the rules of register/normal, people, where the
// directory and the table are, log2 of the number of shards by kind, the case,
// SHA-256 of all that follows the head, and HMAC-SHA-256 over the head under a key of
// the case's. So nothing is believed of a file that the case's key didn't make.
const (
	magic      = "azekura leak index 2\n"
	headSize   = 4096
	macAt      = headSize - 32
	sumAt      = macAt - 32
	tableRow   = 64
	entrySize  = 6
	everyPerch = 16 // people a directory entry
	perchSize  = 16 // its bytes
	everyStep  = 4  // people from one of its places to the next
	maxCase    = 64
	caseAt     = 96 // its length, and the code after it

	// MaxPeople is what 31 bits can number.
	MaxPeople = 1<<31 - 1
)

// head is the file's first page.
type head struct {
	normal    uint32
	people    uint64
	directory uint64
	table     uint64
	end       uint64
	bits      [Kinds]uint8
	name      string // the case
	sum       [32]byte
}

func (h *head) encode(keys *Keys) []byte {
	b := make([]byte, headSize)
	copy(b, magic)
	le := binary.LittleEndian
	le.PutUint32(b[32:], h.normal)
	le.PutUint64(b[40:], h.people)
	le.PutUint64(b[48:], h.directory)
	le.PutUint64(b[56:], h.table)
	le.PutUint64(b[64:], h.end)
	copy(b[72:], h.bits[:])
	b[caseAt] = byte(len(h.name))
	copy(b[caseAt+1:], h.name)
	copy(b[sumAt:], h.sum[:])
	copy(b[macAt:], headMAC(keys, b))
	return b
}

func headMAC(keys *Keys, b []byte) []byte {
	mac := hmac.New(sha256.New, keys.seal)
	mac.Write(b[:macAt])
	return mac.Sum(nil)
}

// ErrIndex means that a file is no index of this case, or was altered.
var ErrIndex = errors.New("the index isn't whole, or wasn't made under this case's key: make it again with azekura leak index")

func decodeHead(b []byte, keys *Keys, size uint64) (head, error) {
	if len(b) < headSize || string(b[:len(magic)]) != magic {
		return head{}, fmt.Errorf("%w (it doesn't begin as one)", ErrIndex)
	}
	if !hmac.Equal(b[macAt:headSize], headMAC(keys, b)) {
		return head{}, ErrIndex
	}
	le := binary.LittleEndian
	h := head{normal: le.Uint32(b[32:]), people: le.Uint64(b[40:]), directory: le.Uint64(b[48:]), table: le.Uint64(b[56:]), end: le.Uint64(b[64:])}
	copy(h.bits[:], b[72:])
	if b[caseAt] > maxCase {
		return head{}, ErrIndex
	}
	h.name = string(b[caseAt+1 : caseAt+1+int(b[caseAt])])
	copy(h.sum[:], b[sumAt:])
	perches := (h.people + everyPerch - 1) / everyPerch
	rows := uint64(0)
	for _, n := range h.bits {
		if n > 20 {
			return head{}, ErrIndex
		}
		rows += 1 << n
	}
	switch {
	case h.end != size, h.people > MaxPeople, h.directory < headSize, h.directory > size, h.table > size,
		perches*perchSize > size-h.directory, rows*tableRow > size-h.table:
		return head{}, fmt.Errorf("%w (it was cut)", ErrIndex)
	}
	return h, nil
}

// shardRow is a row of the table.
type shardRow struct {
	filter, buckets, entries uint64 // where each begins
	filterLen, count         uint32
	bucketBits               uint32
	seed                     uint64
	segment, segmentCount    uint32
}

func (r *shardRow) encode(b []byte) {
	le := binary.LittleEndian
	le.PutUint64(b, r.filter)
	le.PutUint64(b[8:], r.buckets)
	le.PutUint64(b[16:], r.entries)
	le.PutUint64(b[24:], r.seed)
	le.PutUint32(b[32:], r.filterLen)
	le.PutUint32(b[36:], r.count)
	le.PutUint32(b[40:], r.bucketBits)
	le.PutUint32(b[44:], r.segment)
	le.PutUint32(b[48:], r.segmentCount)
}

func decodeRow(b []byte) shardRow {
	le := binary.LittleEndian
	return shardRow{filter: le.Uint64(b), buckets: le.Uint64(b[8:]), entries: le.Uint64(b[16:]), seed: le.Uint64(b[24:]),
		filterLen: le.Uint32(b[32:]), count: le.Uint32(b[36:]), bucketBits: le.Uint32(b[40:]), segment: le.Uint32(b[44:]), segmentCount: le.Uint32(b[48:])}
}
