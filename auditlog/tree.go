package auditlog

import (
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"golang.org/x/mod/sumdb/tlog"
)

// Hash is a node of the tree, SHA-256 as RFC 6962 2.1 has it.
type Hash = tlog.Hash

const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
	hashSize   = tlog.HashSize
)

var ranges = compact.RangeFactory{Hash: func(left, right []byte) []byte {
	sum := tlog.NodeHash(Hash(left), Hash(right))
	return sum[:]
}}

// tile is a full hash tile, ready to be stored.
type tile struct {
	level, n int64
	hashes   []byte
}

// tree is the right edge of a log's tree: enough to grow it, to tell its root
// and to cut full tiles, whatever its size.
type tree struct {
	rng     *compact.Range
	partial [][]byte // per tile level, the hashes of its last, unfilled tile
	full    []tile   // cut since take
}

func newTree() *tree { return &tree{rng: ranges.NewEmptyRange(0)} }

func (t *tree) size() int64 { return int64(t.rng.End()) }

// clone lets a batch be built and thrown away if it doesn't commit.
func (t *tree) clone() *tree {
	c := &tree{partial: make([][]byte, len(t.partial))}
	// The edge is that of a valid range, so it makes one again.
	c.rng, _ = ranges.NewRange(0, t.rng.End(), append([][]byte(nil), t.rng.Hashes()...))
	for level, hashes := range t.partial {
		c.partial[level] = append(make([]byte, 0, tileWidth*hashSize), hashes...)
	}
	return c
}

func (t *tree) append(leaf Hash) {
	// Append fails only for a range that doesn't adjoin; this one does.
	_ = t.rng.Append(append([]byte(nil), leaf[:]...), func(id compact.NodeID, hash []byte) {
		if id.Level%tileHeight == 0 {
			t.put(int(id.Level/tileHeight), int64(id.Index), hash)
		}
	})
}

func (t *tree) put(level int, index int64, hash []byte) {
	for len(t.partial) <= level {
		t.partial = append(t.partial, make([]byte, 0, tileWidth*hashSize))
	}
	t.partial[level] = append(t.partial[level], hash...)
	if len(t.partial[level]) == tileWidth*hashSize {
		t.full = append(t.full, tile{int64(level), index / tileWidth, t.partial[level]})
		t.partial[level] = make([]byte, 0, tileWidth*hashSize)
	}
}

func (t *tree) root() Hash {
	if t.rng.End() == 0 {
		// RFC 6962 2.1: the hash of an empty string.
		root, _ := tlog.TreeHash(0, nil)
		return root
	}
	// Without a visitor and over one's own range this can't fail.
	root, _ := t.rng.GetRootHash(nil)
	return Hash(root)
}

// subtree is the root over a power of two of hashes that lie side by side.
func subtree(hashes []byte) Hash {
	level := append([]byte(nil), hashes...)
	for len(level) > hashSize {
		for i := 0; i < len(level); i += 2 * hashSize {
			sum := tlog.NodeHash(Hash(level[i:i+hashSize]), Hash(level[i+hashSize:i+2*hashSize]))
			copy(level[i/2:], sum[:])
		}
		level = level[:len(level)/2]
	}
	return Hash(level)
}

// restoreTree rebuilds the edge of a tree of a size from what each level's
// last, unfilled tile holds.
func restoreTree(size int64, partial [][]byte) (*tree, error) {
	t := &tree{partial: make([][]byte, len(partial))}
	var hashes [][]byte
	for bit := 62; bit >= 0; bit-- {
		if size>>bit&1 == 0 {
			continue
		}
		level, width := bit/tileHeight, int64(1)<<(bit%tileHeight)
		// Within its tile, the subtree starts where the higher bits end.
		first := (size >> (level * tileHeight)) % tileWidth &^ (2*width - 1)
		if level >= len(partial) || (first+width)*hashSize > int64(len(partial[level])) {
			return nil, fmt.Errorf("level %d of the log's tiles is too short for %d events", level, size)
		}
		root := subtree(partial[level][first*hashSize : (first+width)*hashSize])
		hashes = append(hashes, root[:])
	}
	for level, p := range partial {
		t.partial[level] = append(make([]byte, 0, tileWidth*hashSize), p...)
	}
	var err error
	t.rng, err = ranges.NewRange(0, uint64(size), hashes)
	return t, err
}
