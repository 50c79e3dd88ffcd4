package auditlog

import (
	"bytes"
	"fmt"
	"math/rand"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// reference is the tree as x/mod's tlog stores it.
type reference []tlog.Hash

func (r reference) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	list := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		list[i] = r[index]
	}
	return list, nil
}

// TestTreeAgainstTlog grows our tree and x/mod's side by side, past the first
// tile of the second level.
func TestTreeAgainstTlog(t *testing.T) {
	const size = 70_000
	random := rand.New(rand.NewSource(1))
	spots := map[int64]bool{0: true, 1: true, 2: true, 3: true, 255: true, 256: true, 257: true, 511: true, 512: true, 65535: true, 65536: true,
		65537: true, 65536 + 256: true, size: true}
	for range 60 {
		spots[random.Int63n(size)] = true
	}
	ours, tiles := newTree(), map[[2]int64][]byte{}
	var stored reference
	for n := int64(0); ; n++ {
		if spots[n] {
			checkTree(t, ours, stored, n, tiles)
		}
		if n == size {
			break
		}
		leaf := tlog.RecordHash(fmt.Append(nil, "event ", n))
		hashes, err := tlog.StoredHashesForRecordHash(n, leaf, stored)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
		grown := ours
		if random.Intn(1000) == 0 { // a batch that is thrown away leaves no trace
			ours.clone().append(tlog.Hash{1})
			grown = ours.clone()
		}
		grown.append(leaf)
		for _, full := range grown.full {
			tiles[[2]int64{full.level, full.n}] = full.hashes
		}
		grown.full = nil
		ours = grown
	}
	for at, hashes := range tiles {
		want, err := tlog.ReadTileData(tlog.Tile{H: tileHeight, L: int(at[0]), N: at[1], W: tileWidth}, stored)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(hashes, want) {
			t.Errorf("tile %d of level %d differs", at[1], at[0])
		}
	}
	if len(tiles) != size/tileWidth+1 {
		t.Errorf("%d full tiles", len(tiles))
	}
}

func checkTree(t *testing.T, ours *tree, stored reference, n int64, tiles map[[2]int64][]byte) {
	t.Helper()
	want, err := tlog.TreeHash(n, stored)
	if err != nil {
		t.Fatal(err)
	}
	if ours.size() != n || ours.root() != want {
		t.Fatalf("at %d our root differs", n)
	}
	// Restored from what a database holds, it is the same tree.
	var partial [][]byte
	for level, width := 0, int64(1); n/width > 0; level, width = level+1, width*tileWidth {
		if in := n / width % tileWidth; in == 0 {
			partial = append(partial, nil)
		} else {
			data, err := tlog.ReadTileData(tlog.Tile{H: tileHeight, L: level, N: n / width / tileWidth, W: int(in)}, stored)
			if err != nil {
				t.Fatal(err)
			}
			partial = append(partial, data)
		}
	}
	restored, err := restoreTree(n, partial)
	if err != nil {
		t.Fatal(err)
	}
	other := ours.clone()
	for range 300 { // and stays it
		restored.append(tlog.Hash{2})
		other.append(tlog.Hash{2})
	}
	if restored.root() != other.root() || len(restored.full) != len(other.full) {
		t.Fatalf("at %d the restored tree grows otherwise", n)
	}
	for i, full := range restored.full {
		if !bytes.Equal(full.hashes, other.full[i].hashes) || full.level != other.full[i].level || full.n != other.full[i].n {
			t.Fatalf("at %d the restored tree cuts other tiles", n)
		}
	}
	if len(partial) > 0 && len(partial[0]) > 0 {
		partial[0] = partial[0][hashSize:]
		if _, err := restoreTree(n, partial); err == nil {
			t.Fatalf("at %d a level that is too short is taken", n)
		}
	}
}
