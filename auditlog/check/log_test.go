package check_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"testing"

	"azekura/auditlog/check"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// sizes are where tiles and levels begin and end.
var sizes = []int64{0, 1, 2, 255, 256, 257, 511, 512, 1000, 65535, 65536, 65537, 66404}

// TestWholeLogs takes what x/mod's tlog made, of any shape, and hands all of it on.
func TestWholeLogs(t *testing.T) {
	signer, vkey := key(t, origin, 1)
	for _, size := range sizes {
		m := logOf(t, size, entry, signer)
		var mu sync.Mutex
		kept, last := map[string][]byte{}, int64(-1)
		r, err := check.Log(t.Context(), check.Dir(m.files), check.Options{Keys: keys(t, vkey), Entries: true,
			Progress: func(done, total int64) {
				if done <= last || done > total || total != size {
					t.Errorf("size %d: progress %d after %d", size, done, last)
				}
				last = done
			},
			Keep: func(path string, data []byte) error {
				mu.Lock()
				defer mu.Unlock()
				kept[path] = bytes.Clone(data)
				return nil
			}})
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		if r.Size != size || r.Entries != size || r.Origin != origin || r.Tiles != int64(len(tlog.NewTiles(8, 0, size))) || r.Since != -1 || size > 0 && last != size {
			t.Errorf("size %d: %+v", size, r)
		}
		for path, file := range m.files {
			if !bytes.Equal(kept[path], file.Data) {
				t.Errorf("size %d: %s isn't handed on", size, path)
			}
		}
		if len(kept) != len(m.files) {
			t.Errorf("size %d: %d files for %d", size, len(kept), len(m.files))
		}
	}
}

// TestEveryFileCounts alters each file of a log in several ways: each is found,
// and named, and so are the entries under it.
func TestEveryFileCounts(t *testing.T) {
	signer, vkey := key(t, origin, 1)
	random := rand.New(rand.NewSource(1))
	m := logOf(t, 65536+2*256+100, entry, signer)
	edge := map[string]bool{"tile/0/258.p/100": true, "tile/1/001.p/2": true, "tile/2/000.p/1": true}
	o := check.Options{Keys: keys(t, vkey), Entries: true}
	for path, file := range m.files {
		if random.Intn(8) > 0 && !edge[path] && path != "tile/entries/258.p/100" && path != "tile/1/000" {
			continue // a whole log is read for each
		}
		for how, data := range map[string][]byte{"a bit": flip(file.Data, random.Intn(len(file.Data))), "cut": file.Data[:len(file.Data)-1],
			"longer": append(bytes.Clone(file.Data), 0), "empty": {}, "gone": nil} {
			_, err := check.Log(t.Context(), m.with(path, data), o)
			if err == nil {
				t.Fatalf("%s, %s: nothing found", path, how)
			}
			if path == "checkpoint" {
				continue
			}
			var fault *check.Fault
			if !errors.As(err, &fault) {
				t.Fatalf("%s, %s: %v", path, how, err)
			}
			named := path
			if edge[path] && how == "a bit" {
				named = "checkpoint" // which of the edge's it is can't be told
			}
			if fault.Path != named {
				if _, entries := strings.CutPrefix(path, "tile/entries/000"); !entries {
					t.Errorf("%s, %s: %v", path, how, fault)
				}
			}
			tile, _ := check.ParsePath(path)
			level := 8 * max(tile.L, 0)
			if first := tile.N << (level + 8); named == path && (fault.First < first || fault.End > first+int64(tile.W)<<level || fault.First >= fault.End) {
				t.Errorf("%s, %s: %v", path, how, fault)
			}
		}
	}
}

// TestFirstFault names the first of several faults, whatever the workers' order.
func TestFirstFault(t *testing.T) {
	signer, vkey := key(t, origin, 1)
	m := logOf(t, 20*256, entry, signer)
	for _, n := range []string{"019", "007", "013", "004"} {
		path := "tile/entries/" + n
		m.put(path, flip(m.files[path].Data, 40))
		for range 5 {
			_, err := check.Log(t.Context(), check.Dir(m.files), check.Options{Keys: keys(t, vkey)})
			var fault *check.Fault
			first := n
			if n == "013" {
				first = "007"
			}
			if !errors.As(err, &fault) || fault.Path != "tile/entries/"+first || fault.End != fault.First+1 {
				t.Fatalf("%s is first: %v", first, err)
			}
		}
	}
}

// TestWithoutEntries: hashes alone are checked where entries can't be read, and
// the report says so.
func TestWithoutEntries(t *testing.T) {
	signer, vkey := key(t, origin, 1)
	m := logOf(t, 700, entry, signer)
	o := check.Options{Keys: keys(t, vkey)}
	refused := broken{check.Dir(m.files), "tile/entries/000", check.ErrRefused}
	for name, src := range map[string]check.Source{"gone": m.with("tile/entries/000", nil), "refused": refused} {
		r, err := check.Log(t.Context(), src, o)
		if err != nil || r.Entries != 0 || r.Tiles != 4 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		strict := o
		strict.Entries = true
		if _, err := check.Log(t.Context(), src, strict); err == nil {
			t.Errorf("%s: entries that were asked for", name)
		}
	}
	if r, err := check.Log(t.Context(), check.Dir(m.files), o); err != nil || r.Entries != 700 {
		t.Errorf("entries are there: %+v, %v", r, err)
	}
	// A network that fails is no fault of the log's, and no success.
	down := errors.New("down")
	for _, path := range []string{"tile/entries/000", "tile/entries/001", "tile/0/001", "tile/1/000.p/2", "checkpoint"} {
		_, err := check.Log(t.Context(), broken{check.Dir(m.files), path, down}, o)
		if fault := (*check.Fault)(nil); !errors.Is(err, down) || errors.As(err, &fault) {
			t.Errorf("%s can't be read: %v", path, err)
		}
	}
}

// TestPartialTilesGone: a log that has grown may serve the full tiles alone.
func TestPartialTilesGone(t *testing.T) {
	signer, vkey := key(t, origin, 1)
	m, grown := logOf(t, 700, entry, signer), logOf(t, 1024, entry, signer)
	for _, path := range []string{"tile/0/002", "tile/entries/002"} {
		delete(m.files, path+".p/188")
		m.files[path] = grown.files[path]
	}
	r, err := check.Log(t.Context(), check.Dir(m.files), check.Options{Keys: keys(t, vkey), Entries: true, Since: logOf(t, 690, entry, signer).files["checkpoint"].Data})
	if err != nil || r.Size != 700 || r.Entries != 700 || r.Since != 690 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestSince holds a log against what was seen of it before.
func TestSince(t *testing.T) {
	signer, vkey := key(t, origin, 1)
	other, _ := key(t, "log.example.test/other", 2)
	m := logOf(t, 1000, entry, signer)
	rewritten := logOf(t, 1000, func(n int64) []byte {
		if n == 300 {
			return []byte("another past")
		}
		return entry(n)
	}, signer)
	for _, size := range []int64{0, 1, 255, 256, 300, 301, 999, 1000} {
		o := check.Options{Keys: keys(t, vkey), Since: m.checkpoint(t, origin, size, signer)}
		if r, err := check.Log(t.Context(), check.Dir(m.files), o); err != nil || r.Since != size {
			t.Errorf("since %d: %+v, %v", size, r, err)
		}
		_, err := check.Log(t.Context(), check.Dir(rewritten.files), o)
		if fault := (*check.Fault)(nil); (size > 300) != errors.As(err, &fault) {
			t.Errorf("rewritten since %d: %v", size, err)
		}
	}
	for name, since := range map[string][]byte{
		"shorter than it was":  logOf(t, 1001, entry, signer).files["checkpoint"].Data,
		"the empty log's root": signed(t, strings.Join([]string{origin, "0", tlog.Hash{1}.String(), ""}, "\n"), signer),
		"not signed":           m.checkpoint(t, "log.example.test/other", 10, other),
		"another log's":        m.checkpoint(t, "log.example.test/other", 10, signer),
		"empty":                {},
	} {
		if _, err := check.Log(t.Context(), check.Dir(m.files), check.Options{Keys: keys(t, vkey), Since: since}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestCheckpoints takes one spelling, the log's own signature, and as many
// witnesses as are wanted.
func TestCheckpoints(t *testing.T) {
	signer, vkey := key(t, origin, 1)
	other, otherKey := key(t, origin, 2) // the log's next key, say
	stranger, _ := key(t, "stranger.example.test", 3)
	m := logOf(t, 5, entry, signer)
	root, err := tlog.TreeHash(5, m)
	ok(t, err)
	k := keys(t, vkey)
	text := origin + "\n5\n" + root.String() + "\n"
	for name, c := range map[string][]byte{
		"right": signed(t, text, signer), "a stranger's beside it": signed(t, text, stranger, signer), "with a line of the log's own": signed(t, text+"mood good\n", signer),
	} {
		if head, err := k.Open(c); err != nil || head.Size != 5 || head.Root != root || head.Origin != origin {
			t.Errorf("%s: %+v, %v", name, head, err)
		}
	}
	both := k
	both.Log = append(both.Log, keys(t, otherKey).Log...)
	for name, c := range map[string][]byte{"the old key": signed(t, text, signer), "the new key": signed(t, text, other), "both": signed(t, text, other, signer)} {
		if _, err := both.Open(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string][]byte{
		"another's key":   signed(t, text, other),
		"a stranger's":    signed(t, text, stranger),
		"another origin":  signed(t, "log.example.test/other\n5\n"+root.String()+"\n", signer),
		"zeros":           signed(t, origin+"\n05\n"+root.String()+"\n", signer),
		"a sign":          signed(t, origin+"\n+5\n"+root.String()+"\n", signer),
		"negative":        signed(t, origin+"\n-5\n"+root.String()+"\n", signer),
		"too large":       signed(t, origin+"\n9223372036854775808\n"+root.String()+"\n", signer),
		"a short root":    signed(t, origin+"\n5\n"+root.String()[:40]+"\n", signer),
		"two lines":       signed(t, origin+"\n5\n", signer),
		"an empty line":   signed(t, text+"\nmore\n", signer),
		"a damaged one":   flip(signed(t, text, signer), 2),
		"nothing":         nil,
		"far too long":    signed(t, text+strings.Repeat("x", 200<<10)+"\n", signer),
		"unsigned":        []byte(text + "\n"),
		"a damaged known": flip(signed(t, text, signer), len(signed(t, text, signer))-9),
	} {
		if head, err := k.Open(c); err == nil {
			t.Errorf("%s: taken as %+v", name, head)
		}
	}
	if _, err := (check.Keys{}).Open(signed(t, text, signer)); err == nil {
		t.Error("no key at all takes a checkpoint")
	}
	k.Log, k.Witnesses = nil, k.Log
	if _, err := k.Open(signed(t, text, signer)); err == nil {
		t.Error("a witness stands for the log")
	}
	_ = []note.Verifier(nil)
}

func TestPaths(t *testing.T) {
	for path, tile := range map[string]tlog.Tile{
		"tile/0/000":                      {H: 8, W: 256},
		"tile/63/000":                     {H: 8, L: 63, W: 256},
		"tile/0/x001/x234/067":            {H: 8, N: 1234067, W: 256},
		"tile/2/x001/x234/067.p/8":        {H: 8, L: 2, N: 1234067, W: 8},
		"tile/entries/999.p/255":          {H: 8, L: -1, N: 999, W: 255},
		"tile/entries/x001/000":           {H: 8, L: -1, N: 1000, W: 256},
		"tile/1/x009/x223/x372/x036/854":  {H: 8, L: 1, N: 9223372036854, W: 256},
		"tile/entries/x001/x234/067.p/16": {H: 8, L: -1, N: 1234067, W: 16},
	} {
		if got, err := check.ParsePath(path); err != nil || got != tile || check.Path(tile) != path {
			t.Errorf("%s: %+v, %v; written %s", path, got, err, check.Path(tile))
		}
	}
	for _, path := range []string{"", "tile", "tile/0", "tile/00/000", "tile/64/000", "tile/-1/000", "tile/+1/000", "tile/0/0", "tile/0/0000", "tile/0/x000/001",
		"tile/0/001/002", "tile/0/x001", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p", "tile/0/000.p/", "tile/data/000",
		"tile/8/0/000", "tile/entries/x999/x999/x999/x999/x999/x999/x999/999", "/tile/0/000", "tile/0/000/", "tile/0/../0/000", "tile/entries/-01", "tiles/0/000"} {
		if got, err := check.ParsePath(path); err == nil {
			t.Errorf("%q is taken as %+v", path, got)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	f.Add("tile/2/x001/x234/067.p/8")
	f.Add("tile/entries/000")
	f.Fuzz(func(t *testing.T, path string) {
		if tile, err := check.ParsePath(path); err == nil && check.Path(tile) != path {
			t.Errorf("%q is taken as %+v", path, tile)
		}
	})
}

// TestHugeClaims: a log that says it has more entries than anybody could write is
// a fault or an error, and no panic and no wait.
func TestHugeClaims(t *testing.T) {
	signer, vkey := key(t, origin, 1)
	m := logOf(t, 256, entry, signer)
	for _, size := range []int64{1 << 40, 1 << 55, 1 << 56, 1 << 62, 1<<63 - 1} {
		claim := signed(t, fmt.Sprintf("%s\n%d\n%s\n", origin, size, tlog.Hash{1}), signer)
		for _, since := range [][]byte{nil, m.files["checkpoint"].Data, claim} {
			if _, err := check.Log(t.Context(), m.with("checkpoint", claim), check.Options{Keys: keys(t, vkey), Since: since}); err == nil {
				t.Errorf("%d entries are taken", size)
			}
		}
		for _, n := range []int64{0, 255, size / 2, size - 1} {
			if _, err := check.Prove(t.Context(), m.with("checkpoint", claim), n); err == nil {
				t.Errorf("entry %d of %d is proved", n, size)
			}
			p := check.Proof{Index: n, Path: make([]tlog.Hash, 62), Checkpoint: claim}
			if _, _, err := keys(t, vkey).CheckProof(p.Format(), entry(0)); err == nil {
				t.Errorf("entry %d of %d is taken as proved", n, size)
			}
			_, _ = check.Entry(t.Context(), m.with("checkpoint", claim), p)
		}
	}
}
