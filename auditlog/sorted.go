package auditlog

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"azekura/auditlog/complete"

	"github.com/transparency-dev/merkle/compact"
	"golang.org/x/mod/sumdb/tlog"
)

// leafSize is the size of a complete.Leaf as it is hashed and stored.
const leafSize = 32

// runLeaves is how many leaves a sorter holds in memory; it is a variable so that
// tests can make it sort in many runs.
var runLeaves = 1 << 18

// sorter sorts a day's leaves in runs, in a temporary file that has no name, so
// that memory doesn't grow with the day. What the file holds are salted tokens.
type sorter struct {
	leaves []complete.Leaf
	file   *os.File
	ends   []int64 // of the runs, in bytes
}

func newSorter() *sorter { return &sorter{} }

// nameless makes a temporary file that goes with this process.
func nameless() (*os.File, error) {
	f, err := os.CreateTemp("", "azekura-daily-")
	if err != nil {
		return nil, fmt.Errorf("make room for a day's numbers: %w", err)
	}
	return f, errors.Join(os.Remove(f.Name()))
}

func (s *sorter) add(l complete.Leaf) error {
	s.leaves = append(s.leaves, l)
	if len(s.leaves) < runLeaves {
		return nil
	}
	return s.spill()
}

// merged sorts leaves and makes one of those with one token.
func merged(leaves []complete.Leaf) []complete.Leaf {
	slices.SortFunc(leaves, func(a, b complete.Leaf) int { return bytes.Compare(a.Token[:], b.Token[:]) })
	n := 0
	for _, l := range leaves {
		if n > 0 && leaves[n-1].Token == l.Token {
			join(&leaves[n-1], l)
			continue
		}
		leaves[n] = l
		n++
	}
	return leaves[:n]
}

func join(into *complete.Leaf, l complete.Leaf) {
	into.First, into.Last = min(into.First, l.First), max(into.Last, l.Last)
}

func (s *sorter) spill() (err error) {
	if s.file == nil {
		if s.file, err = nameless(); err != nil {
			return err
		}
	}
	w := bufio.NewWriterSize(s.file, 1<<16)
	list := merged(s.leaves)
	for i := range list {
		if _, err := w.Write(list[i].Append(make([]byte, 0, leafSize))); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write a day's numbers: %w", err)
	}
	end := int64(len(list)) * leafSize
	if len(s.ends) > 0 {
		end += s.ends[len(s.ends)-1]
	}
	s.ends, s.leaves = append(s.ends, end), s.leaves[:0]
	return nil
}

// sort merges the runs into a list.
func (s *sorter) sort() (list *sorted, err error) {
	if err := s.spill(); err != nil {
		return nil, err
	}
	list = &sorted{}
	if list.file, err = nameless(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			list.Close()
		}
	}()
	w := bufio.NewWriterSize(list.file, 1<<16)
	var last *complete.Leaf
	put := func() error {
		if last == nil {
			return nil
		}
		list.count++
		_, err := w.Write(last.Append(make([]byte, 0, leafSize)))
		return err
	}
	err = s.merge(func(l complete.Leaf) error {
		if last != nil && last.Token == l.Token {
			join(last, l)
			return nil
		}
		if err := put(); err != nil {
			return err
		}
		last = &l
		return nil
	})
	return list, errors.Join(err, put(), w.Flush())
}

// merge calls f with the leaves of all runs in order.
func (s *sorter) merge(f func(complete.Leaf) error) error {
	var h runs
	begin := int64(0)
	for _, end := range s.ends {
		r := &run{from: bufio.NewReaderSize(io.NewSectionReader(s.file, begin, end-begin), 1<<15)}
		if ok, err := r.next(); err != nil {
			return err
		} else if ok {
			h = append(h, r)
		}
		begin = end
	}
	heap.Init(&h)
	for len(h) > 0 {
		if err := f(h[0].leaf); err != nil {
			return err
		}
		ok, err := h[0].next()
		if err != nil {
			return err
		}
		if ok {
			heap.Fix(&h, 0)
		} else {
			heap.Pop(&h)
		}
	}
	return nil
}

// Close gives the file back.
func (s *sorter) Close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

type run struct {
	from io.Reader
	leaf complete.Leaf
}

func (r *run) next() (bool, error) {
	var raw [leafSize]byte
	if _, err := io.ReadFull(r.from, raw[:]); err == io.EOF {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("read a day's numbers: %w", err)
	}
	copy(r.leaf.Token[:], raw[:])
	r.leaf.First = int64(binary.BigEndian.Uint64(raw[16:]))
	r.leaf.Last = int64(binary.BigEndian.Uint64(raw[24:]))
	return true, nil
}

// runs is a heap, the least token first.
type runs []*run

func (h runs) Len() int           { return len(h) }
func (h runs) Less(i, j int) bool { return bytes.Compare(h[i].leaf.Token[:], h[j].leaf.Token[:]) < 0 }
func (h runs) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *runs) Push(x any)        { *h = append(*h, x.(*run)) }
func (h *runs) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// sorted is a day's list: leaves in the order of their tokens, one a token.
type sorted struct {
	file  *os.File
	count int64
}

// Close gives the file back.
func (s *sorted) Close() error { return s.file.Close() }

// at is the leaf at a place.
func (s *sorted) at(place int64) (complete.Leaf, error) {
	r := &run{from: io.NewSectionReader(s.file, place*leafSize, leafSize)}
	_, err := r.next()
	return r.leaf, err
}

// find is the place of a token, or the one that it would have.
func (s *sorted) find(t complete.Token) (place int64, found bool, err error) {
	low, high := int64(0), s.count
	for low < high {
		middle := (low + high) / 2
		l, err := s.at(middle)
		if err != nil {
			return 0, false, err
		}
		switch bytes.Compare(l.Token[:], t[:]) {
		case 0:
			return middle, true, nil
		case -1:
			low = middle + 1
		default:
			high = middle
		}
	}
	return low, false, nil
}

func leafHash(l complete.Leaf) []byte {
	sum := tlog.RecordHash(l.Append(make([]byte, 0, leafSize)))
	return sum[:]
}

func (s *sorted) root() (Hash, error) { return s.subroot(0, s.count) }

// subroot is the root over the leaves from one place up to another.
func (s *sorted) subroot(from, to int64) (Hash, error) {
	if from == to { // RFC 6962 2.1: the hash of an empty string
		return tlog.TreeHash(0, nil)
	}
	rng := ranges.NewEmptyRange(0)
	r := &run{from: bufio.NewReaderSize(io.NewSectionReader(s.file, from*leafSize, (to-from)*leafSize), 1<<16)}
	for range to - from {
		if ok, err := r.next(); err != nil || !ok {
			return Hash{}, errors.Join(err, errors.New("a day's numbers end too early"))
		}
		if err := rng.Append(leafHash(r.leaf), nil); err != nil {
			return Hash{}, err
		}
	}
	return rootOf(rng)
}

func rootOf(rng *compact.Range) (Hash, error) {
	root, err := rng.GetRootHash(nil)
	if err != nil {
		return Hash{}, err
	}
	return Hash(root), nil
}

// place proves the leaf at a place: its path, the lowest sibling first (RFC 6962
// 2.1.1).
func (s *sorted) place(at int64) (*complete.Place, error) {
	l, err := s.at(at)
	if err != nil {
		return nil, err
	}
	path, err := s.path(0, s.count, at)
	if err != nil {
		return nil, err
	}
	return &complete.Place{Place: at, Token: l.Token[:], First: l.First, Last: l.Last, Path: path}, nil
}

func (s *sorted) path(from, to, at int64) ([]Hash, error) {
	if to-from <= 1 {
		return []Hash{}, nil
	}
	half := int64(1)
	for half*2 < to-from {
		half *= 2
	}
	middle := from + half
	inner, outer := [2]int64{from, middle}, [2]int64{middle, to}
	if at >= middle {
		inner, outer = outer, inner
	}
	path, err := s.path(inner[0], inner[1], at)
	if err != nil {
		return nil, err
	}
	sibling, err := s.subroot(outer[0], outer[1])
	return append(path, sibling), err
}
