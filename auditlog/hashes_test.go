package auditlog_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"math/rand"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/internal/db"

	"golang.org/x/mod/sumdb/tlog"
)

// shadow is the log's tree as x/mod's tlog builds it from the lines.
type shadow struct {
	lines  [][]byte
	stored []tlog.Hash
}

func (s *shadow) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	list := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		list[i] = s.stored[index]
	}
	return list, nil
}

func (in *installation) shadow(t testing.TB) *shadow {
	t.Helper()
	rows, err := in.d.Query(t.Context(), "SELECT line FROM log_event WHERE log_id = 1 ORDER BY idx")
	ok(t, err)
	defer rows.Close()
	s := &shadow{}
	for rows.Next() {
		var line []byte
		ok(t, rows.Scan(&line))
		hashes, err := tlog.StoredHashesForRecordHash(int64(len(s.lines)), tlog.RecordHash(line), s)
		ok(t, err)
		s.lines, s.stored = append(s.lines, line), append(s.stored, hashes...)
	}
	ok(t, rows.Err())
	return s
}

// bundle is an entry bundle as C2SP tlog-tiles has it.
func (s *shadow) bundle(n int64, width int) (bundle []byte) {
	for _, line := range s.lines[n*256 : n*256+int64(width)] {
		bundle = append(binary.BigEndian.AppendUint16(bundle, uint16(len(line))), line...)
	}
	return bundle
}

// TestHashes holds what the readers give against x/mod's tlog: every tile in its
// full width and a random part of it, bundles, leaves, proofs.
func TestHashes(t *testing.T) {
	size := int64(1000)
	if soak {
		size = 65536 + 3*256 + 100
	}
	onBoth(t, func(t *testing.T, in *installation) {
		random := rand.New(rand.NewSource(seed(t)))
		l := in.log
		if _, err := l.Tile(t.Context(), tlog.Tile{H: 8, W: 1}); !errors.Is(err, auditlog.ErrBeyond) {
			t.Errorf("a tile of an empty log: %v", err)
		}
		in.record(t, int(size))
		want := in.shadow(t)
		tiles := tlog.NewTiles(8, 0, size)
		for _, tile := range tiles {
			for _, width := range []int{tile.W, 1 + random.Intn(tile.W)} {
				part := tile
				part.W = width
				data, err := tlog.ReadTileData(part, want)
				ok(t, err)
				if got, err := l.Tile(t.Context(), part); err != nil || !bytes.Equal(got, data) {
					t.Fatalf("tile %+v: %v", part, err)
				}
				if part.L > 0 {
					continue
				}
				part.L = -1
				if got, err := l.Bundle(t.Context(), part); err != nil || !bytes.Equal(got, want.bundle(part.N, width)) {
					t.Fatalf("bundle %+v: %v", part, err)
				}
			}
			wider := tile
			if wider.W++; wider.W > 256 {
				wider = tlog.Tile{H: 8, L: tile.L, N: tile.N + size, W: 1}
			}
			if _, err := l.Tile(t.Context(), wider); !errors.Is(err, auditlog.ErrBeyond) {
				t.Fatalf("tile %+v, which no head needs: %v", wider, err)
			}
		}
		for range 20 {
			to := random.Int63n(size + 1)
			from := random.Int63n(to + 1)
			at := from
			ok(t, l.Leaves(t.Context(), from, to, func(index int64, leaf tlog.Hash) error {
				if index != at || leaf != tlog.RecordHash(want.lines[at]) {
					t.Fatalf("leaf %d in %d to %d is wrong", at, from, to)
				}
				at++
				return nil
			}))
			if at != to {
				t.Fatalf("leaves %d to %d end at %d", from, to, at)
			}
		}
		for range 20 {
			now := 1 + random.Int63n(size)
			before, n := 1+random.Int63n(now), random.Int63n(now)
			root, err := tlog.TreeHash(now, want)
			ok(t, err)
			old, err := tlog.TreeHash(before, want)
			ok(t, err)
			reader, err := l.Hashes(t.Context(), now)
			ok(t, err)
			inclusion, err := tlog.ProveRecord(now, n, reader)
			ok(t, err)
			ok(t, tlog.CheckRecord(inclusion, now, root, n, tlog.RecordHash(want.lines[n])))
			growth, err := tlog.ProveTree(now, before, reader)
			ok(t, err)
			ok(t, tlog.CheckTree(growth, now, root, before, old))
			// Any proof but that of the new leaf itself takes the new leaf's hash.
			if _, err := tlog.ProveRecord(size+1, 0, reader); err == nil {
				t.Fatal("a proof reaches beyond its size")
			}
		}
		for name, err := range map[string]error{
			"hashes":           func() error { _, err := l.Hashes(t.Context(), size+1); return err }(),
			"leaves":           l.Leaves(t.Context(), 0, size+1, nil),
			"backwards":        l.Leaves(t.Context(), 5, 4, nil),
			"level 7":          func() error { _, err := l.Tile(t.Context(), tlog.Tile{H: 8, L: 7, W: 1}); return err }(),
			"height 4":         func() error { _, err := l.Tile(t.Context(), tlog.Tile{H: 4, W: 1}); return err }(),
			"a huge index":     func() error { _, err := l.Tile(t.Context(), tlog.Tile{H: 8, N: 1 << 62, W: 1}); return err }(),
			"an empty tile":    func() error { _, err := l.Tile(t.Context(), tlog.Tile{H: 8}); return err }(),
			"lines for a tile": func() error { _, err := l.Tile(t.Context(), tlog.Tile{H: 8, L: -1, W: 1}); return err }(),
			"a tile for lines": func() error { _, err := l.Bundle(t.Context(), tlog.Tile{H: 8, W: 1}); return err }(),
		} {
			if !errors.Is(err, auditlog.ErrBeyond) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestHashesWhileGrowing reads from a log that grows: whatever head was signed,
// all tiles that it needs are there, and lead to its root.
func TestHashesWhileGrowing(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		grown := make(chan struct{})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for {
					size, root, err := auditlog.OpenCheckpoint(in.log.Checkpoint(), origin, in.signer.VerifierKey())
					if err != nil {
						t.Error(err)
						return
					}
					for _, tile := range tlog.NewTiles(8, 0, size) {
						data, err := in.log.Tile(t.Context(), tile)
						if err != nil || len(data) != tile.W*32 {
							t.Errorf("size %d, tile %+v: %v", size, tile, err)
							return
						}
					}
					reader, err := in.log.Hashes(t.Context(), size)
					if err == nil && size > 0 {
						var got tlog.Hash
						if got, err = tlog.TreeHash(size, reader); err == nil && got != root {
							err = errors.New("another root")
						}
					}
					if err != nil {
						t.Errorf("size %d: %v", size, err)
						return
					}
					select {
					case <-grown:
						return
					default:
					}
				}
			})
		}
		in.record(t, 700)
		close(grown)
		wg.Wait()
	})
}

// TestHashesOfAnAlteredLog: a row or a tile that is gone is an error, and not
// another log.
func TestHashesOfAnAlteredLog(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		in.record(t, 600)
		tx, err := in.d.Begin(t.Context())
		ok(t, err)
		h := hand{t, tx}
		h.exec("DELETE FROM log_event WHERE idx = 590")
		h.exec("DELETE FROM log_tile WHERE n = 1")
		ok(t, tx.Commit(t.Context()))
		for name, tile := range map[string]tlog.Tile{"a row": {H: 8, L: -1, N: 2, W: 88}, "a row under a part": {H: 8, N: 2, W: 88},
			"a tile": {H: 8, N: 1, W: 256}, "a tile under a part": {H: 8, L: 1, W: 2}} {
			read := in.log.Tile
			if tile.L < 0 {
				read = in.log.Bundle
			}
			if _, err := read(t.Context(), tile); !errors.Is(err, auditlog.ErrSigner) {
				t.Errorf("%s is gone: %v", name, err)
			}
		}
	})
}

// TestFormer reads a log that another continues, as it was when that began.
func TestFormer(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		in.record(t, 600)
		want := in.shadow(t)
		size, root := in.signer.Head()
		past := auditlog.Past{Kind: auditlog.Continue, LogID: 1, Origin: origin, Key: in.signer.VerifierKey(), Size: size, Root: root, Signed: size,
			Checkpoint: string(in.signer.Checkpoint())}
		ok(t, in.log.Close())
		ok(t, in.signer.Close())
		dir := filepath.Join(t.TempDir(), "signer")
		_, err := auditlog.PrepareNext(dir, auditlog.NextOrigin(origin, 2), 2)
		ok(t, err)
		ok(t, auditlog.CreateNext(dir, []auditlog.Past{past}))
		in.signer, err = auditlog.OpenSigner(dir)
		ok(t, err)
		in.log, err = auditlog.Open(t.Context(), in.d, auditlog.Options{ID: 2, Signer: in.signer, Now: time.Now, Rand: rand.New(rand.NewSource(1))})
		ok(t, err)
		_, err = in.log.RecordOne(t.Context(), event(person(1), 1))
		ok(t, err)
		former := in.log.Former(in.log.Past()[0])
		if former.Signed() != size || in.log.Signed() != 1 {
			t.Errorf("%d and %d events", former.Signed(), in.log.Signed())
		}
		for _, tile := range tlog.NewTiles(8, 0, size) {
			data, err := tlog.ReadTileData(tile, want)
			ok(t, err)
			if got, err := former.Tile(t.Context(), tile); err != nil || !bytes.Equal(got, data) {
				t.Errorf("tile %+v: %v", tile, err)
			}
		}
		if got, err := former.Bundle(t.Context(), tlog.Tile{H: 8, L: -1, N: 2, W: 88}); err != nil || !bytes.Equal(got, want.bundle(2, 88)) {
			t.Errorf("its last bundle: %v", err)
		}
		if _, err := former.Tile(t.Context(), tlog.Tile{H: 8, N: 2, W: 89}); !errors.Is(err, auditlog.ErrBeyond) {
			t.Errorf("a tile of the next log's size: %v", err)
		}
	})
}

// TestGoldenBundle: what is served of a line stays what it is, byte for byte.
func TestGoldenBundle(t *testing.T) {
	in := install(t, databaseURL(t, db.SQLite))
	ok(t, in.log.Close())
	var err error
	clock := func() time.Time { return time.Date(2015, 5, 8, 1, 28, 0, 0, time.UTC) }
	in.log, err = auditlog.Open(t.Context(), in.d, auditlog.Options{ID: 1, Signer: in.signer, Now: clock, Rand: rand.New(rand.NewSource(1))})
	ok(t, err)
	in.record(t, 3)
	bundle, err := in.log.Bundle(t.Context(), tlog.Tile{H: 8, L: -1, W: 3})
	ok(t, err)
	tile, err := in.log.Tile(t.Context(), tlog.Tile{H: 8, W: 3})
	ok(t, err)
	// As hex, so that a change can be read in a review.
	got := "tile/entries/000.p/3\n" + hex.Dump(bundle) + "tile/0/000.p/3\n" + hex.Dump(tile)
	const golden = "testdata/tiles.golden"
	if flag.Lookup("update").Value.String() == "true" {
		ok(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	ok(t, err)
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
