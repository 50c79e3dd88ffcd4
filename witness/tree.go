package witness

import (
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"golang.org/x/mod/sumdb/tlog"
)

var ranges = compact.RangeFactory{Hash: func(left, right []byte) []byte {
	sum := tlog.NodeHash(tlog.Hash(left), tlog.Hash(right))
	return sum[:]
}}

// Tree is the right edge of a log's tree: what it takes to append to it and to
// tell its root. The zero value is the empty tree.
type Tree struct {
	size int64
	edge [][]byte
}

// NewTree makes a tree of the roots of its perfect subtrees, left to right.
func NewTree(size int64, edge [][]byte) (Tree, error) {
	for _, hash := range edge {
		if len(hash) != tlog.HashSize {
			return Tree{}, errors.New("a hash of the tree's edge has another length than 32 bytes")
		}
	}
	if _, err := ranges.NewRange(0, uint64(size), edge); err != nil {
		return Tree{}, fmt.Errorf("the tree's edge: %w", err)
	}
	return Tree{size, edge}, nil
}

// Size is how many leaves the tree has.
func (t Tree) Size() int64 { return t.size }

// Edge are the roots of its perfect subtrees.
func (t Tree) Edge() [][]byte { return t.edge }

// Append makes a larger tree, and leaves this one as it is.
func (t Tree) Append(leaves []tlog.Hash) (Tree, error) {
	rng, err := ranges.NewRange(0, uint64(t.size), append([][]byte(nil), t.edge...))
	if err != nil {
		return Tree{}, err
	}
	for i := range leaves {
		if err := rng.Append(append([]byte(nil), leaves[i][:]...), nil); err != nil {
			return Tree{}, err
		}
	}
	return Tree{int64(rng.End()), append([][]byte(nil), rng.Hashes()...)}, nil
}

// Root is the tree's root (RFC 6962 2.1).
func (t Tree) Root() tlog.Hash {
	if t.size == 0 {
		return emptyRoot
	}
	// NewTree and Append saw to it that this is a range.
	rng, err := ranges.NewRange(0, uint64(t.size), append([][]byte(nil), t.edge...))
	if err != nil {
		return tlog.Hash{}
	}
	root, err := rng.GetRootHash(nil)
	if err != nil {
		return tlog.Hash{}
	}
	return tlog.Hash(root)
}
