package madelog

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"azekura/auditlog/check"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Tiles writes a log of Rows's lines as a folder of C2SP tlog-tiles, signed, of
// any size and without a database.
func Tiles(dir string, size int64, signer note.Signer) error {
	w := &tileWriter{dir: dir}
	var bundle []byte
	for i := range size {
		e := event(i, max(size, 2))
		entry := line(&e)
		bundle = append(binary.BigEndian.AppendUint16(bundle, uint16(len(entry))), entry...)
		w.add(0, tlog.RecordHash(entry))
		if i%256 == 255 || i == size-1 {
			w.write(tlog.Tile{H: 8, L: -1, N: i / 256, W: int(i%256) + 1}, bundle)
			bundle = bundle[:0]
		}
	}
	for level, l := range w.levels {
		if len(l.hashes) > 0 {
			w.write(tlog.Tile{H: 8, L: level, N: l.n, W: len(l.hashes) / tlog.HashSize}, l.hashes)
		}
	}
	root, err := tlog.TreeHash(size, w)
	if err != nil {
		return fmt.Errorf("make up a log: %w", err)
	}
	signed, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", signer.Name(), size, root)}, signer)
	if err != nil {
		return fmt.Errorf("make up a log: %w", err)
	}
	w.file("checkpoint", signed)
	return w.err
}

// tileWriter holds the unfilled tile of each level.
type tileWriter struct {
	dir    string
	levels []struct {
		n      int64
		hashes []byte
	}
	err error
}

func (w *tileWriter) add(level int, hash tlog.Hash) {
	if level == len(w.levels) {
		w.levels = append(w.levels, struct {
			n      int64
			hashes []byte
		}{})
	}
	l := &w.levels[level]
	l.hashes = append(l.hashes, hash[:]...)
	if len(l.hashes) < 256*tlog.HashSize {
		return
	}
	tile := tlog.Tile{H: 8, L: level, N: l.n, W: 256}
	w.write(tile, l.hashes)
	whole, err := tlog.HashFromTile(tile, l.hashes, tlog.StoredHashIndex(8*level+7, 2*l.n))
	right, err2 := tlog.HashFromTile(tile, l.hashes, tlog.StoredHashIndex(8*level+7, 2*l.n+1))
	if w.err == nil && err != nil || err2 != nil {
		w.err = fmt.Errorf("make up a log: %v, %v", err, err2)
	}
	l.n, l.hashes = l.n+1, l.hashes[:0]
	w.add(level+1, tlog.NodeHash(whole, right))
}

// ReadHashes reads the perfect subtrees that the root is made of: they lie in
// the unfilled tiles.
func (w *tileWriter) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		t := tlog.TileForIndex(8, index)
		var err error
		if hashes[i], err = tlog.HashFromTile(t, w.levels[t.L].hashes, index); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}

func (w *tileWriter) write(t tlog.Tile, data []byte) { w.file(check.Path(t), data) }

func (w *tileWriter) file(path string, data []byte) {
	if w.err != nil {
		return
	}
	full := filepath.Join(w.dir, filepath.FromSlash(path))
	if w.err = os.MkdirAll(filepath.Dir(full), 0o755); w.err == nil {
		w.err = os.WriteFile(full, data, 0o644)
	}
}
