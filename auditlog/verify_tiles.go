package auditlog

import (
	"bytes"
	"context"
	"errors"

	"azekura/internal/db"
)

// badTile is a stored tile that isn't what the rows give. Which of the two is
// wrong, the signed root tells.
type badTile struct {
	level, n int64
	missing  bool
}

// compare holds the stored tiles of a level, from the first up to an end,
// against those that the rows give.
func (v *verifier) compare(ctx context.Context, level, first, end int64, given func(n int64) []byte) error {
	if first >= end {
		return nil
	}
	rows, err := v.q.Query(ctx, "SELECT n, hashes FROM log_tile WHERE log_id = $1 AND level = $2 AND n >= $3 AND n < $4 ORDER BY n",
		v.logID, level, first, end)
	if err != nil {
		return err
	}
	defer rows.Close()
	var bad []badTile
	want := first
	for ; rows.Next(); want++ {
		var n int64
		var hashes []byte
		if err := rows.Scan(&n, &hashes); err != nil {
			return err
		}
		for ; want < n; want++ {
			bad = append(bad, badTile{level, want, true})
		}
		if !bytes.Equal(hashes, given(n)) {
			bad = append(bad, badTile{level, n, false})
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for ; want < end; want++ {
		bad = append(bad, badTile{level, want, true})
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Tiles += end - first
	v.bad = append(v.bad, bad[:min(len(bad), max(maxProblems-len(v.bad), 0))]...)
	return nil
}

// compareTiles compares the levels above the lowest, which is compared while
// its rows are read.
func (v *verifier) compareTiles(ctx context.Context) error {
	for level := int64(1); v.head>>(tileHeight*(level+1)) > 0; level++ {
		full := v.head >> (tileHeight * (level + 1))
		for from := int64(0); from < full; from += rangeTiles {
			to := min(from+rangeTiles, full)
			if err := v.compare(ctx, level, from, to, func(n int64) []byte {
				hashes := make([]byte, 0, tileWidth*hashSize)
				for i := range int64(tileWidth) {
					h := v.given(uint(tileHeight*level), n*tileWidth+i)
					hashes = append(hashes, h[:]...)
				}
				return hashes
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// given is the node that the rows give, zero where a row is missing. Its height
// is a tile's or more, or it lies in a tile that was kept.
func (v *verifier) given(height uint, index int64) Hash {
	if height >= tileHeight {
		width := int64(1) << (height - tileHeight)
		return fold(v.roots[index*width : (index+1)*width])
	}
	first := index << height
	at := first % tileWidth
	return fold(v.kept[first/tileWidth][at : at+1<<height])
}

// fold is the root over a power of two of hashes, zero if one of them is.
func fold(hashes []Hash) Hash {
	if hasZero(hashes) {
		return Hash{}
	}
	raw := make([]byte, 0, len(hashes)*hashSize)
	for i := range hashes {
		raw = append(raw, hashes[i][:]...)
	}
	return subtree(raw)
}

// node is a perfect subtree of the log's tree, with the hash that the signed
// root vouches for.
type node struct {
	height uint
	index  int64
	hash   Hash
}

func (n node) first() int64 { return n.index << n.height }
func (n node) end() int64   { return (n.index + 1) << n.height }

// locate finds the first event whose hash isn't what the signed root vouches
// for. It goes down from the root: what a stored tile says counts where it
// hashes to what is already vouched for, and only there.
func (v *verifier) locate(ctx context.Context) error {
	nodes, ok, err := v.vouched(ctx)
	if err != nil {
		return err
	}
	if !ok {
		return v.unvouched()
	}
	for _, n := range nodes {
		if v.given(n.height, n.index) != n.hash {
			return v.descend(ctx, n)
		}
	}
	v.found(-1, -1, "the signed head's own parts contradict its root")
	return nil
}

// vouched are the perfect subtrees under the signed root: from the signer, or
// from stored tiles and last rows if they give that root.
func (v *verifier) vouched(ctx context.Context) ([]node, bool, error) {
	nodes := perfect(v.size)
	if len(v.o.Edge) == len(nodes) {
		if root, err := edgeRoot(v.size, v.o.Edge); err == nil && root == v.root {
			for i := range nodes {
				nodes[i].hash = v.o.Edge[i]
			}
			return nodes, true, nil
		}
	}
	edge := make([]Hash, len(nodes))
	for i := range nodes {
		n := &nodes[i]
		if n.height < tileHeight {
			n.hash = v.given(n.height, n.index)
		} else {
			entries, err := v.below(ctx, *n, true)
			if err != nil {
				return nil, false, err
			}
			n.hash = fold(entries)
		}
		if edge[i] = n.hash; n.hash == (Hash{}) {
			return nil, false, nil
		}
	}
	root, err := edgeRoot(v.size, edge)
	return nodes, err == nil && root == v.root, nil
}

// perfect are a tree's perfect subtrees, left to right.
func perfect(size int64) (nodes []node) {
	at := int64(0)
	for bit := 62; bit >= 0; bit-- {
		if size>>bit&1 == 1 {
			nodes = append(nodes, node{height: uint(bit), index: at >> bit})
			at += 1 << bit
		}
	}
	return nodes
}

// below is what the stored tiles say of a node: its descendants at the next
// lower tile boundary, zero where no tile says anything. They lie in one tile;
// if that isn't full yet, or doesn't count, the roots of the tiles below it say
// the same. For the lowest level nothing does.
func (v *verifier) below(ctx context.Context, n node, useTile bool) ([]Hash, error) {
	level := int64(n.height-1) / tileHeight
	width := int64(1) << (int64(n.height) - level*tileHeight)
	first := n.index * width
	entries := make([]Hash, width)
	var hashes []byte
	var err error
	if useTile {
		if hashes, err = v.tile(ctx, level, first/tileWidth); err != nil {
			return nil, err
		}
	}
	for i := range entries {
		at := (first + int64(i)) % tileWidth * hashSize
		if hashes != nil {
			entries[i] = Hash(hashes[at : at+hashSize])
			continue
		}
		if level == 0 {
			break
		}
		child, err := v.tile(ctx, level-1, first+int64(i))
		if err != nil {
			return nil, err
		}
		if child != nil {
			entries[i] = subtree(child)
		}
	}
	return entries, nil
}

// tile is a stored tile, or nil where none of the right length is stored.
func (v *verifier) tile(ctx context.Context, level, n int64) ([]byte, error) {
	var hashes []byte
	err := v.q.QueryRow(ctx, "SELECT hashes FROM log_tile WHERE log_id = $1 AND level = $2 AND n = $3", []any{v.logID, level, n}, &hashes)
	if errors.Is(err, db.ErrNoRows) || err == nil && len(hashes) != tileWidth*hashSize {
		return nil, nil
	}
	return hashes, err
}

// descend goes from a node that the rows don't give to the first event that
// makes the difference, as far as stored tiles are vouched for.
func (v *verifier) descend(ctx context.Context, n node) error {
	for n.height > 0 {
		entries, err := v.below(ctx, n, true)
		if err == nil && fold(entries) != n.hash {
			entries, err = v.below(ctx, n, false)
		}
		if err != nil {
			return err
		}
		if fold(entries) != n.hash {
			v.found(n.first(), n.end(), "one of the events %d to %d isn't what was signed; which one can't be told, "+
				"as the tiles over them were altered too, or aren't full yet", n.first(), n.end()-1)
			return nil
		}
		height := (n.height - 1) / tileHeight * tileHeight
		first := n.first() >> height
		given := make([]Hash, len(entries))
		if height > 0 {
			for i := range given {
				given[i] = v.given(height, first+int64(i))
			}
		} else if given, err = leafHashes(ctx, v.q, v.logID, n.first(), n.end()); err != nil {
			return err
		}
		for i := range entries {
			if entries[i] != given[i] {
				n = node{height, first + int64(i), entries[i]}
				break
			}
		}
	}
	v.found(n.first(), n.end(), "event %d isn't what was signed", n.first())
	return nil
}

// unvouched says what can be said when nothing stored leads up to the signed
// root: both rows and tiles were altered, or events behind the last full tile.
func (v *verifier) unvouched() error {
	hint := "the rows agree with all stored tiles, which were altered along with them or end before the event"
	if len(v.bad) > 0 {
		t := v.bad[0]
		for _, other := range v.bad {
			if other.n<<(tileHeight*other.level) < t.n<<(tileHeight*t.level) {
				t = other
			}
		}
		width := int64(1) << (tileHeight * (t.level + 1))
		hint = "rows and stored tiles part first between events " + itoa(t.n*width) + " and " + itoa((t.n+1)*width-1)
	}
	v.found(0, max(v.size, 1), "one of the events 0 to %d isn't what was signed; "+
		"the signer's state, or an earlier checkpoint, can narrow it: %s", v.size-1, hint)
	return nil
}
