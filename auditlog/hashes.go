package auditlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"azekura/internal/db"

	"golang.org/x/mod/sumdb/tlog"
)

// ErrBeyond refuses what no signed head covers, or what no tree has.
var ErrBeyond = errors.New("no signed head of the log reaches that far")

// Reader reads a log's tree and lines, as far as a signed head covers them: an
// event that is committed and not signed yet isn't shown. A Log has one of its
// own, and can make one of a log that it continues.
type Reader struct {
	q         db.Querier
	logID     int64
	signed    func() int64
	committed func() int64 // full tiles up to here are stored
	edge      edge
}

func (l *Log) reader() *Reader {
	signed := func() int64 {
		size, _ := l.signer.Head()
		return size
	}
	return &Reader{q: l.db, logID: l.id, signed: signed, committed: l.Committed}
}

// Former reads a log that this one continues, of which nothing is lost.
func (l *Log) Former(p Past) *Reader {
	size := func() int64 { return p.Size }
	return &Reader{q: l.db, logID: p.LogID, signed: size, committed: size}
}

// Signed is the size of the last signed head.
func (r *Reader) Signed() int64 { return r.signed() }

// Hashes reads nodes of the tree of a size that was signed, as x/mod's tlog
// asks for them: tlog.ProveRecord and tlog.ProveTree take it. It keeps the tiles
// that it has read, so make one for a proof, or a few, and throw it away.
func (r *Reader) Hashes(ctx context.Context, size int64) (tlog.HashReader, error) {
	if size < 0 || size > r.Signed() {
		return nil, ErrBeyond
	}
	tiles := map[tlog.Tile][]byte{}
	return tlog.HashReaderFunc(func(indexes []int64) ([]Hash, error) {
		hashes := make([]Hash, len(indexes))
		for i, index := range indexes {
			if index < 0 || index >= tlog.StoredHashIndex(0, size) {
				return nil, ErrBeyond
			}
			t := tlog.TileForIndex(tileHeight, index)
			wide := t // the whole of it, so that a second look finds it
			wide.W = int(min(tileWidth, size>>(tileHeight*t.L)-t.N<<tileHeight))
			if tiles[wide] == nil {
				data, err := r.Tile(ctx, wide)
				if err != nil {
					return nil, err
				}
				tiles[wide] = data
			}
			var err error
			if hashes[i], err = tlog.HashFromTile(wide, tiles[wide], index); err != nil {
				return nil, err
			}
		}
		return hashes, nil
	}), nil
}

// Tile is a hash tile of height 8 (C2SP tlog-tiles), full or as far as t.W says:
// t.W hashes of 32 bytes. ErrBeyond says that no signed head needs it.
func (r *Reader) Tile(ctx context.Context, t tlog.Tile) ([]byte, error) {
	if !r.covers(t) || t.L < 0 {
		return nil, ErrBeyond
	}
	if r.committed()>>(tileHeight*(t.L+1)) <= t.N { // it isn't full, so it isn't stored
		return r.edge.read(ctx, r, int64(t.L), t.N, int64(t.W))
	}
	var hashes []byte
	err := eachTile(ctx, r.q, r.logID, int64(t.L), t.N, t.N+1, func(_ int64, stored []byte) error {
		hashes = stored[:t.W*hashSize]
		return nil
	})
	return hashes, err
}

// covers tells whether the signed head has all of a tile.
func (r *Reader) covers(t tlog.Tile) bool {
	// 256^7 events are more than an int64 counts.
	if t.H != tileHeight || t.L < -1 || t.L > 6 || t.N < 0 || t.W < 1 || t.W > tileWidth {
		return false
	}
	have := r.Signed() >> (tileHeight * max(t.L, 0))
	return t.N <= have/tileWidth && t.N*tileWidth+int64(t.W) <= have
}

// Bundle is an entry bundle (C2SP tlog-tiles): the lines of t.W events from
// t.N*256 on, each behind its length in two bytes, big-endian. t.L is -1.
func (r *Reader) Bundle(ctx context.Context, t tlog.Tile) ([]byte, error) {
	if !r.covers(t) || t.L != -1 {
		return nil, ErrBeyond
	}
	first := t.N * tileWidth
	bundle := make([]byte, 0, t.W*512)
	err := eachLine(ctx, r.q, r.logID, first, first+int64(t.W), func(index int64, line []byte) error {
		if len(line) > maxLine {
			return fmt.Errorf("%w: event %d is longer than a line may be; run azekura log verify", ErrSigner, index)
		}
		bundle = append(append(bundle, byte(len(line)>>8), byte(len(line))), line...)
		return nil
	})
	return bundle, err
}

// leafTiles is how many tiles Leaves reads in one query.
const leafTiles = 64

// Leaves calls f with the leaf hashes from one event up to another, in order.
// It holds none of the database's connections while f runs.
func (r *Reader) Leaves(ctx context.Context, from, to int64, f func(index int64, leaf Hash) error) error {
	if from < 0 || from > to || to > r.Signed() {
		return ErrBeyond
	}
	for at := from; at < to; {
		n, full := at/tileWidth, r.committed()/tileWidth
		var hashes []byte
		var err error
		if n >= full {
			hashes, err = r.edge.read(ctx, r, 0, n, to-n*tileWidth)
		} else {
			end := min(full, n+leafTiles, (to+tileWidth-1)/tileWidth)
			err = eachTile(ctx, r.q, r.logID, 0, n, end, func(_ int64, stored []byte) error {
				hashes = append(hashes, stored...)
				return nil
			})
		}
		if err != nil {
			return err
		}
		for i := (at - n*tileWidth) * hashSize; i < int64(len(hashes)) && at < to; i += hashSize {
			if err := f(at, Hash(hashes[i:i+hashSize])); err != nil {
				return err
			}
			at++
		}
	}
	return nil
}

// edge keeps each level's last, unfilled tile as far as it was asked for, since
// it isn't stored: it would be made again from up to 255 lines or tiles for each
// request. What it holds never changes; it grows with the log.
type edge struct {
	mu     sync.Mutex
	levels [7]struct {
		n      int64
		hashes []byte
	}
}

// read gives the first width hashes of a tile that isn't full.
func (e *edge) read(ctx context.Context, r *Reader, level, n, width int64) ([]byte, error) {
	hashes := e.known(level, n)
	if have := int64(len(hashes)) / hashSize; have < width {
		first := n * tileWidth
		hashes = append(make([]byte, 0, width*hashSize), hashes...)
		if err := edgeHashes(ctx, r.q, r.logID, level, first+have, first+width, func(h Hash) { hashes = append(hashes, h[:]...) }); err != nil {
			return nil, err
		}
		e.learn(level, n, hashes)
	}
	return slices.Clone(hashes[:width*hashSize]), nil
}

func (e *edge) known(level, n int64) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	if at := &e.levels[level]; at.n == n {
		return at.hashes
	}
	return nil
}

func (e *edge) learn(level, n int64, hashes []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if at := &e.levels[level]; n > at.n || n == at.n && len(hashes) > len(at.hashes) {
		at.n, at.hashes = n, hashes
	}
}

// edgeHashes reads hashes of a level from what stands below it: lines, or full
// tiles.
func edgeHashes(ctx context.Context, q db.Querier, logID, level, from, to int64, f func(Hash)) error {
	if level == 0 {
		return eachLine(ctx, q, logID, from, to, func(_ int64, line []byte) error {
			f(tlog.RecordHash(line))
			return nil
		})
	}
	return eachTile(ctx, q, logID, level-1, from, to, func(_ int64, stored []byte) error {
		f(subtree(stored))
		return nil
	})
}
