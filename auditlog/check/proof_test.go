package check_test

import (
	"bytes"
	"flag"
	"math/rand"
	"os"
	"strings"
	"testing"

	"azekura/auditlog/check"

	"golang.org/x/mod/sumdb/tlog"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestProofs makes proofs from tiles and holds them against x/mod's tlog.
func TestProofs(t *testing.T) {
	signer, vkey := key(t, origin, 1)
	k := keys(t, vkey)
	random := rand.New(rand.NewSource(1))
	for _, size := range sizes[1:] {
		m := logOf(t, size, entry, signer)
		src := check.Dir(m.files)
		for _, n := range []int64{0, size - 1, random.Int63n(size), random.Int63n(size)} {
			p, err := check.Prove(t.Context(), src, n)
			ok(t, err)
			want, err := tlog.ProveRecord(size, n, m)
			ok(t, err)
			root, err := tlog.TreeHash(size, m)
			ok(t, err)
			ok(t, tlog.CheckRecord(p.Path, size, root, n, tlog.RecordHash(entry(n))))
			if len(want) != len(p.Path) {
				t.Errorf("entry %d of %d: %d hashes for %d", n, size, len(p.Path), len(want))
			}
			file := p.Format()
			if len(file) >= 2048 {
				t.Errorf("a proof of %d bytes", len(file))
			}
			e, err := check.Entry(t.Context(), src, p)
			if err != nil || !bytes.Equal(e, entry(n)) {
				t.Errorf("entry %d of %d is read as %q, %v", n, size, e, err)
			}
			for _, e := range [][]byte{nil, entry(n)} {
				got, head, err := k.CheckProof(file, e)
				if err != nil || got.Index != n || head.Size != size {
					t.Errorf("entry %d of %d: %+v, %v", n, size, head, err)
				}
			}
			if _, _, err := k.CheckProof(file, entry(n+1)); err == nil {
				t.Error("another entry is proved")
			}
			if _, _, err := k.CheckProof(file, []byte{}); err == nil {
				t.Error("an empty entry is proved")
			}
		}
		for _, n := range []int64{-1, size, 1 << 62} {
			if _, err := check.Prove(t.Context(), src, n); err == nil {
				t.Errorf("entry %d of %d is proved", n, size)
			}
		}
	}
}

// TestFalseProofs: whatever is changed in a proof's file, it proves nothing
// else.
func TestFalseProofs(t *testing.T) {
	signer, vkey := key(t, origin, 1)
	k := keys(t, vkey)
	m := logOf(t, 1000, entry, signer)
	p, err := check.Prove(t.Context(), check.Dir(m.files), 300)
	ok(t, err)
	file := string(p.Format())
	for at := range len(file) {
		for bit := range 8 {
			altered := []byte(file)
			altered[at] ^= 1 << bit
			if _, _, err := k.CheckProof(altered, nil); err == nil {
				t.Fatalf("byte %d, bit %d: a false proof is taken", at, bit)
			}
		}
	}
	lines := strings.SplitAfter(file, "\n")
	without := func(i int) string {
		return strings.Join(append(append([]string(nil), lines[:i]...), lines[i+1:]...), "")
	}
	other := logOf(t, 1000, func(n int64) []byte { return entry(n + 1) }, signer)
	for name, text := range map[string]string{
		"empty": "", "no header": without(0), "no leaf": without(1), "no index": without(2), "a hash less": without(3), "no blank line": without(13),
		"a hash more":            strings.Replace(file, "\n\n", "\n"+lines[3]+"\n", 1),
		"carriage returns":       strings.ReplaceAll(file, "\n", "\r\n"),
		"an extra line twice":    strings.Replace(file, lines[1], lines[1]+lines[1], 1),
		"an empty extra line":    strings.Replace(file, lines[1], "extra \n", 1),
		"another log's head":     file[:strings.Index(file, "\n\n")+2] + string(other.files["checkpoint"].Data),
		"no head":                file[:strings.Index(file, "\n\n")+2],
		"an index that is later": strings.Replace(file, "index 300\n", "index 1300\n", 1),
		"zeros before the index": strings.Replace(file, "index 300\n", "index 0300\n", 1),
		"another version":        strings.Replace(file, "@v1", "@v2", 1),
		"too long":               file + strings.Repeat("x", check.MaxProof),
	} {
		if text == file {
			t.Fatalf("%s: the test alters nothing", name)
		}
		if _, _, err := k.CheckProof([]byte(text), nil); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, _, err := k.CheckProof([]byte(without(1)), entry(300)); err != nil {
		t.Errorf("without the leaf's hash, and with the entry: %v", err)
	}
}

// TestGoldenProof: a proof's file stays what it is, byte for byte.
func TestGoldenProof(t *testing.T) {
	signer, vkey := key(t, origin, 1)
	m := logOf(t, 600, entry, signer)
	p, err := check.Prove(t.Context(), check.Dir(m.files), 300)
	ok(t, err)
	const golden = "testdata/300-of-600.tlog-proof"
	if *update {
		ok(t, os.MkdirAll("testdata", 0o755))
		ok(t, os.WriteFile(golden, p.Format(), 0o644))
	}
	want, err := os.ReadFile(golden)
	ok(t, err)
	if got := p.Format(); !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if _, _, err := keys(t, vkey).CheckProof(want, entry(300)); err != nil {
		t.Error(err)
	}
}

func FuzzParseProof(f *testing.F) {
	signer, vkey := key(f, origin, 1)
	k := keys(f, vkey)
	m := logOf(f, 300, entry, signer)
	for _, n := range []int64{0, 299} {
		p, err := check.Prove(f.Context(), check.Dir(m.files), n)
		ok(f, err)
		f.Add(p.Format())
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := check.ParseProof(file)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Format(), file) {
			t.Fatalf("%q has two spellings", file)
		}
		if _, head, err := k.CheckProof(file, nil); err == nil {
			// Only the log's own head, and a leaf that is in it.
			if head.Size != 300 || tlog.Hash(p.Extra) != tlog.RecordHash(entry(p.Index)) {
				t.Fatalf("forged: %q", file)
			}
		}
	})
}
