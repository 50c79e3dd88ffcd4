package check_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"testing/fstest"

	"azekura/auditlog/check"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const origin = "log.example.test/office"

// twos is a source of bytes for keys that guard nothing.
type twos byte

func (n twos) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(n)
	}
	return len(b), nil
}

func key(t testing.TB, name string, n byte) (note.Signer, string) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(twos(n), name)
	ok(t, err)
	s, err := note.NewSigner(skey)
	ok(t, err)
	return s, vkey
}

func keys(t testing.TB, vkey string) check.Keys {
	t.Helper()
	v, err := check.ParseKey(vkey)
	ok(t, err)
	return check.Keys{Log: []note.Verifier{v}}
}

// made is a log that x/mod's tlog builds, as files.
type made struct {
	entries [][]byte
	stored  []tlog.Hash
	files   fstest.MapFS
}

func (m *made) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	list := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		list[i] = m.stored[index]
	}
	return list, nil
}

// entry is what entry n of a made log says.
func entry(n int64) []byte { return fmt.Appendf(nil, "entry %d", n) }

// logOf makes a log of so many entries, signed by who is given.
func logOf(t testing.TB, size int64, entry func(int64) []byte, signers ...note.Signer) *made {
	t.Helper()
	m := &made{files: fstest.MapFS{}}
	for n := range size {
		m.entries = append(m.entries, entry(n))
		hashes, err := tlog.StoredHashesForRecordHash(n, tlog.RecordHash(m.entries[n]), m)
		ok(t, err)
		m.stored = append(m.stored, hashes...)
	}
	for _, tile := range tlog.NewTiles(8, 0, size) {
		data, err := tlog.ReadTileData(tile, m)
		ok(t, err)
		m.put(check.Path(tile), data)
		if tile.L == 0 {
			tile.L = -1
			var bundle []byte
			for _, e := range m.entries[tile.N*256 : tile.N*256+int64(tile.W)] {
				bundle = append(binary.BigEndian.AppendUint16(bundle, uint16(len(e))), e...)
			}
			m.put(check.Path(tile), bundle)
		}
	}
	m.put("checkpoint", m.checkpoint(t, origin, size, signers...))
	return m
}

func (m *made) put(path string, data []byte) { m.files[path] = &fstest.MapFile{Data: data} }

func (m *made) checkpoint(t testing.TB, origin string, size int64, signers ...note.Signer) []byte {
	t.Helper()
	root, err := tlog.TreeHash(size, m)
	ok(t, err)
	return signed(t, fmt.Sprintf("%s\n%d\n%s\n", origin, size, root), signers...)
}

func signed(t testing.TB, text string, signers ...note.Signer) []byte {
	t.Helper()
	raw, err := note.Sign(&note.Note{Text: text}, signers...)
	ok(t, err)
	return raw
}

// with is the log with one file altered; nil takes it away.
func (m *made) with(path string, data []byte) check.Source {
	files := fstest.MapFS{}
	for name, file := range m.files {
		files[name] = file
	}
	if delete(files, path); data != nil {
		files[path] = &fstest.MapFile{Data: data}
	}
	return check.Dir(files)
}

// broken is a source that fails for one path.
type broken struct {
	check.Source
	path string
	err  error
}

func (b broken) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	if path == b.path {
		return nil, b.err
	}
	return b.Source.Read(ctx, path, limit)
}

func flip(data []byte, at int) []byte {
	data = bytes.Clone(data)
	data[at] ^= 1
	return data
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
