package leakscan

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"azekura/register/normal"

	"github.com/FastFilter/xorfilter"
	"github.com/google/uuid"
)

// Index is an open index file. Its methods are safe for many callers. A file is
// input from outside: whatever its bytes, a look-up stays within it.
type Index struct {
	keys   *Keys
	head   head
	data   []byte
	unmap  func() error
	shards [Kinds][]shard
}

// shard is one, its parts pointing into the file.
type shard struct {
	filter     xorfilter.BinaryFuse[uint8]
	buckets    []byte
	entries    []byte
	bucketBits uint32
}

// Open maps an index and holds its sum against its head's, which the case's key
// made.
func Open(path string, keys *Keys) (*Index, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the index: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("open the index: %w", err)
	}
	if info.Size() < headSize {
		return nil, fmt.Errorf("%w (it is too short)", ErrIndex)
	}
	data, unmap, err := mapFile(file, info.Size())
	if err != nil {
		return nil, fmt.Errorf("map the index: %w", err)
	}
	x := &Index{keys: keys, data: data, unmap: unmap}
	if err := x.read(); err != nil {
		_ = unmap() // the error that counts is there
		return nil, err
	}
	x.keepFilters()
	return x, nil
}

// mostKept bounds the memory for filters: those of some 100 million people.
const mostKept = 1 << 30

// keepFilters copies the filters to memory with large pages, where the system gives
// it: they are asked at random for all that a scan reads, and on a file's pages of 4
// KiB each look-up would be three walks through the page tables.
func (x *Index) keepFilters() {
	size := 0
	for _, shards := range x.shards {
		for i := range shards {
			size += (len(shards[i].filter.Fingerprints) + 63) &^ 63
		}
	}
	if size == 0 || size > mostKept {
		return
	}
	room, free, err := largePages(size)
	if err != nil {
		return // the file's own pages serve as well, slower
	}
	unmap := x.unmap
	x.unmap = func() error { return errors.Join(unmap(), free()) }
	for _, shards := range x.shards {
		for i := range shards {
			f := &shards[i].filter.Fingerprints
			n := copy(room, *f)
			*f, room = room[:n:n], room[(n+63)&^63:]
		}
	}
}

// CaseOf is the case that a file says it is the index of. Nothing vouches for it
// before Open does.
func CaseOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("open the index: %w", err)
	}
	defer file.Close()
	b := make([]byte, headSize)
	if _, err := io.ReadFull(file, b); err != nil || string(b[:len(magic)]) != magic || b[caseAt] > maxCase {
		return "", fmt.Errorf("%w (it doesn't begin as one)", ErrIndex)
	}
	return string(b[caseAt+1 : caseAt+1+int(b[caseAt])]), nil
}

func (x *Index) read() error {
	var err error
	if x.head, err = decodeHead(x.data, x.keys, uint64(len(x.data))); err != nil {
		return err
	}
	if x.head.normal != normal.Version {
		return fmt.Errorf("the index was made under version %d of the rules for comparing texts, and this program has version %d: make it again with azekura leak index", x.head.normal, normal.Version)
	}
	sum := sha256.New()
	_, _ = io.Copy(sum, bytes.NewReader(x.data[headSize:])) // neither side fails
	if !bytes.Equal(sum.Sum(nil), x.head.sum[:]) {
		return fmt.Errorf("%w (its sum is another)", ErrIndex)
	}
	row := x.data[x.head.table:]
	for kind := range x.shards {
		x.shards[kind] = make([]shard, 1<<x.head.bits[kind])
		for i := range x.shards[kind] {
			if err := x.readShard(&x.shards[kind][i], decodeRow(row)); err != nil {
				return err
			}
			row = row[tableRow:]
		}
	}
	return nil
}

func (x *Index) readShard(s *shard, r shardRow) error {
	if r.count == 0 {
		return nil
	}
	segment, segments := uint64(r.segment), uint64(r.segmentCount)
	ok := r.bucketBits <= 31 && segment != 0 && segment&(segment-1) == 0 && segment <= 1<<18 &&
		(segments+2)*segment <= uint64(r.filterLen) && segments > 0
	if !ok {
		return ErrIndex
	}
	var errs [3]error
	var filter []byte
	filter, errs[0] = x.cut(r.filter, uint64(r.filterLen))
	s.buckets, errs[1] = x.cut(r.buckets, (1<<r.bucketBits+1)*4)
	s.entries, errs[2] = x.cut(r.entries, uint64(r.count)*entrySize)
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	s.bucketBits = r.bucketBits
	s.filter = xorfilter.BinaryFuse[uint8]{Seed: r.seed, SegmentLength: r.segment, SegmentLengthMask: r.segment - 1,
		SegmentCount: r.segmentCount, SegmentCountLength: r.segmentCount * r.segment, Fingerprints: filter}
	return nil
}

func (x *Index) cut(from, size uint64) ([]byte, error) {
	if from > uint64(len(x.data)) || size > uint64(len(x.data))-from {
		return nil, ErrIndex
	}
	return x.data[from : from+size : from+size], nil
}

// Close gives the file back.
func (x *Index) Close() error { return x.unmap() }

// People is how many people the index holds.
func (x *Index) People() int64 { return int64(x.head.people) }

// Case is the case that it was made for.
func (x *Index) Case() string { return x.head.name }

// Sum names the index: SHA-256 of its content.
func (x *Index) Sum() [32]byte { return x.head.sum }

// Size is the file's size in bytes.
func (x *Index) Size() int64 { return int64(len(x.data)) }

// Keys are the keys it was opened with.
func (x *Index) Keys() *Keys { return x.keys }

// Find appends the people who have a token: nobody, one, or all who share it. A
// token that isn't in the index finds somebody once in two million times: let
// Match confirm them.
func (x *Index) Find(kind Kind, token uint64, people []uint32) []uint32 {
	s := &x.shards[kind][shardOf(token, x.head.bits[kind])]
	if len(s.entries) == 0 {
		return people
	}
	bucket, rest := place(token, x.head.bits[kind], s.bucketBits)
	le := binary.LittleEndian
	return x.inBucket(s, le.Uint32(s.buckets[bucket*4:]), le.Uint32(s.buckets[bucket*4+4:]), rest, len(people)+int(x.head.people), people)
}

// FindAll is Find for those of the tokens that at names, most people of each at most:
// what it loads for one waits for no other. ends says where each one's people end.
func (x *Index) FindAll(kind Kind, tokens []uint64, at []int32, most int, people []uint32, ends []int32) ([]uint32, []int32) {
	type bucket struct {
		s        *shard
		from, to uint32
		rest     uint32
	}
	const group = 32
	var in [group]bucket
	shardBits := x.head.bits[kind]
	for len(at) > 0 {
		some := at[:min(group, len(at))]
		at = at[len(some):]
		for i, n := range some {
			s := &x.shards[kind][shardOf(tokens[n], shardBits)]
			in[i] = bucket{s: s}
			if len(s.entries) == 0 {
				continue
			}
			where, rest := place(tokens[n], shardBits, s.bucketBits)
			in[i].rest = rest
			in[i].from, in[i].to = binary.LittleEndian.Uint32(s.buckets[where*4:]), binary.LittleEndian.Uint32(s.buckets[where*4+4:])
		}
		loaded := byte(0)
		for i := range some {
			b := &in[i]
			if at := (uint64(b.from) + uint64(b.to-b.from)*uint64(b.rest)>>16) * entrySize; at < uint64(len(b.s.entries)) {
				loaded |= b.s.entries[at]
			}
		}
		keep(loaded)
		for i := range some {
			b := &in[i]
			people = x.inBucket(b.s, b.from, b.to, b.rest, len(people)+most, people)
			ends = append(ends, int32(len(people)))
		}
	}
	return people, ends
}

// keep makes a load that was for the cache's sake count, so that it is made.
//
//go:noinline
func keep(byte) {}

// inBucket appends those of a bucket's people whose token goes on with rest, until
// there are most people.
func (x *Index) inBucket(s *shard, from, to, rest uint32, most int, people []uint32) []uint32 {
	if most := uint32(len(s.entries) / entrySize); to > most || from > to {
		return people
	}
	found := false
	e := s.entries[uint64(from)*entrySize : uint64(to)*entrySize]
	for e = e[before(e, rest)*entrySize:]; len(e) > 0; e = e[entrySize:] {
		person := binary.LittleEndian.Uint32(e[2:])
		switch same := uint32(e[0])|uint32(e[1])<<8 == rest; {
		case same && (person>>31 == 0 || found):
			found = true
			if person &^= 1 << 31; uint64(person) < x.head.people {
				people = append(people, person)
			}
			if len(people) == most {
				return people
			}
		case found || uint32(e[0])|uint32(e[1])<<8 > rest:
			return people
		}
	}
	return people
}

// before is how many of a bucket's entries surely stand before rest's: they are in
// order, and spread evenly, so most of them needn't be looked at.
func before(e []byte, rest uint32) int {
	n := len(e) / entrySize
	at := int(uint64(rest) * uint64(n) >> 16)
	for at > 0 && uint32(e[at*entrySize])|uint32(e[at*entrySize+1])<<8 >= rest {
		at--
	}
	return at
}

// Row is a person's record in the index.
type Row struct {
	person  uint32
	id      uuid.UUID
	mask    uint16
	current []byte
	past    []byte
}

// Person reads a person's record; not ok if the index has no such person.
func (x *Index) Person(person uint32) (r Row, ok bool) {
	if uint64(person) >= x.head.people {
		return Row{}, false
	}
	return x.PersonFrom(person, x.perch(person))
}

// perch is where the four records that a person's is among begin.
func (x *Index) perch(person uint32) uint64 {
	entry := x.data[x.head.directory+uint64(person/everyPerch)*perchSize:][:perchSize]
	at := binary.LittleEndian.Uint64(entry)
	if step := person % everyPerch / everyStep; step > 0 {
		at += uint64(binary.LittleEndian.Uint16(entry[6+2*step:]))
	}
	return at
}

// Perches appends where to look for each of the people, for PersonFrom, and loads what
// is there: the loads of one wait for no other's.
func (x *Index) Perches(people []uint32, at []uint64) []uint64 {
	from := len(at)
	for _, person := range people {
		where := uint64(0)
		if uint64(person) < x.head.people {
			where = x.perch(person)
		}
		at = append(at, where)
	}
	const line, usual = 64, 56 // bytes of a processor's line, and of a record
	loaded := byte(0)
	for i, where := range at[from:] {
		for n := where; n < where+uint64(people[i]%everyStep+1)*usual && n < x.head.directory; n += line {
			loaded |= x.data[n]
		}
	}
	keep(loaded)
	return at
}

// PersonFrom is Person where it is known what Perches says.
func (x *Index) PersonFrom(person uint32, at uint64) (r Row, ok bool) {
	if uint64(person) >= x.head.people {
		return Row{}, false
	}
	for n := uint32(0); ; n++ {
		if at > x.head.directory || x.head.directory-at < 19 {
			return Row{}, false
		}
		b := x.data[at:x.head.directory]
		mask := binary.LittleEndian.Uint16(b[16:])
		current := 2 * bits16(mask)
		size := 19 + current + 3*int(b[18])
		if size > len(b) {
			return Row{}, false
		}
		if n == person%everyStep {
			return Row{person, uuid.UUID(b[:16]), mask, b[19 : 19+current], b[19+current : size]}, true
		}
		at += uint64(size)
	}
}

// ID is the person's pseudonym.
func (r *Row) ID() uuid.UUID { return r.id }

// Match says whether a form is one of the person's, and whether a past one only.
func (x *Index) Match(r *Row, tag Tag, form []byte) (match, past bool) {
	t := x.keys.tagOf(r.person, tag, form)
	if r.mask>>tag&1 != 0 {
		at := 2 * bits16(r.mask&(1<<tag-1))
		if binary.LittleEndian.Uint16(r.current[at:]) == t {
			return true, false
		}
	}
	for p := r.past; len(p) > 0; p = p[3:] {
		if Tag(p[0]) == tag && binary.LittleEndian.Uint16(p[1:]) == t {
			return true, true
		}
	}
	return false, false
}

// Has says whether the index knows a current or a past value of the field.
func (r *Row) Has(tag Tag) bool {
	if r.mask>>tag&1 != 0 {
		return true
	}
	for p := r.past; len(p) > 0; p = p[3:] {
		if Tag(p[0]) == tag {
			return true
		}
	}
	return false
}
