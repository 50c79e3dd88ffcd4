package leakscan

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"os"
	"slices"

	"github.com/FastFilter/xorfilter"
)

// spill is a file of anchors that are sorted together later.
type spill struct {
	file  *os.File
	w     *bufio.Writer
	count int
	err   error
}

const spilled = 12 // bytes an anchor

func newSpill(path string) (*spill, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make a part of the index: %w", err)
	}
	return &spill{file: file, w: bufio.NewWriterSize(file, 1<<15)}, nil
}

func (s *spill) add(a anchor) {
	var b [spilled]byte
	binary.LittleEndian.PutUint64(b[:], a.token)
	binary.LittleEndian.PutUint32(b[8:], a.person)
	if _, err := s.w.Write(b[:]); err != nil && s.err == nil {
		s.err = err
	}
	s.count++
}

// flush writes what is buffered.
func (s *spill) flush() error {
	if s.err == nil {
		s.err = s.w.Flush()
	}
	if s.err != nil {
		return fmt.Errorf("write a part of the index: %w", s.err)
	}
	return nil
}

// sorted reads a shard's anchors back in order of token and person, each once. All that
// was spilled is read for it: a part may hold several shards, and memory only one.
func (s *spill) sorted(shard uint64, shardBits uint8, about int) ([]anchor, error) {
	list := make([]anchor, 0, about+about/32)
	in := bufio.NewReaderSize(io.NewSectionReader(s.file, 0, int64(s.count)*spilled), 1<<18)
	var b [spilled]byte
	for range s.count {
		if _, err := io.ReadFull(in, b[:]); err != nil {
			return nil, fmt.Errorf("read a part of the index: %w", err)
		}
		if token := binary.LittleEndian.Uint64(b[:]); shardOf(token, shardBits) == shard {
			list = append(list, anchor{token, binary.LittleEndian.Uint32(b[8:])})
		}
	}
	slices.SortFunc(list, func(a, b anchor) int {
		if a.token != b.token {
			return cmp.Compare(a.token, b.token)
		}
		return cmp.Compare(a.person, b.person)
	})
	return slices.Compact(list), nil
}

type madeShard struct {
	row                      shardRow
	filter, buckets, entries []byte
	err                      error
}

func shardOf(token uint64, shardBits uint8) uint64 {
	return token >> 1 >> (63 - shardBits) // a shift by 64 for no bits at all
}

// perBucket is about how many entries lie in a bucket.
const perBucket = 16

func makeShard(list []anchor, shardBits uint8) madeShard {
	if len(list) == 0 {
		return madeShard{}
	}
	bucketBits := uint32(bits.Len(uint(len(list)) / perBucket))
	s := madeShard{row: shardRow{count: uint32(len(list)), bucketBits: bucketBits}}
	keys := make([]uint64, 0, len(list))
	s.entries = make([]byte, 0, len(list)*entrySize)
	starts := make([]uint32, 1<<bucketBits+1)
	for i, a := range list {
		person := a.person
		if i > 0 && list[i-1].token == a.token {
			person |= 1 << 31
		} else {
			keys = append(keys, a.token)
		}
		bucket, rest := place(a.token, shardBits, bucketBits)
		starts[bucket+1]++
		s.entries = append(s.entries, byte(rest), byte(rest>>8))
		s.entries = binary.LittleEndian.AppendUint32(s.entries, person)
	}
	for i := range starts[1:] {
		starts[i+1] += starts[i]
	}
	for _, start := range starts {
		s.buckets = binary.LittleEndian.AppendUint32(s.buckets, start)
	}
	filter, err := xorfilter.NewBinaryFuse[uint8](keys)
	if err != nil {
		return madeShard{err: fmt.Errorf("make a filter of the index: %w", err)}
	}
	s.filter = filter.Fingerprints
	s.row.filterLen, s.row.seed = uint32(len(filter.Fingerprints)), filter.Seed
	s.row.segment, s.row.segmentCount = filter.SegmentLength, filter.SegmentCount
	return s
}

// place is a token's bucket in its shard, and the 16 bits after the bucket's.
func place(token uint64, shardBits uint8, bucketBits uint32) (bucket uint64, rest uint32) {
	t := token << shardBits
	bucket = t >> 1 >> (63 - bucketBits)
	return bucket, uint32(t << bucketBits >> 48)
}
