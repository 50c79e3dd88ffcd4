package complete

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// golden is a proof that was made once, and its log's key: what was handed out
// must check for ever.
func golden(t testing.TB) (proof []byte, keys []note.Verifier) {
	t.Helper()
	proof, err := os.ReadFile("testdata/proof")
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := os.ReadFile("testdata/vkey")
	if err != nil {
		t.Fatal(err)
	}
	key, err := note.NewVerifier(strings.TrimSpace(string(vkey)))
	if err != nil {
		t.Fatal(err)
	}
	return proof, []note.Verifier{key}
}

func TestGolden(t *testing.T) {
	proof, keys := golden(t)
	var lines int64
	r, err := Check(bytes.NewReader(proof), keys, func(int64, string) error { lines++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if r.Days != 4 || r.Events != 7 || r.First != 1 || r.Last != 7 || r.Sets != 1 || !r.FromOutset || lines != 8 || r.FirstDay != "2026-05-08" {
		t.Errorf("%+v, %d lines", r, lines)
	}
}

// TestEveryBit: whatever is altered in a proof, it is refused, or proves the same.
func TestEveryBit(t *testing.T) {
	proof, keys := golden(t)
	want, err := Check(bytes.NewReader(proof), keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	for at := range proof {
		altered := bytes.Clone(proof)
		altered[at] ^= 1 << (at % 7)
		got, err := Check(bytes.NewReader(altered), keys, nil)
		if err == nil && !same(got, want) {
			t.Fatalf("byte %d altered (%q for %q) proves something else: %+v", at, altered[at], proof[at], got)
		}
	}
}

func same(a, b Result) bool {
	return a.Subject == b.Subject && a.From == b.From && a.To == b.To && a.Events == b.Events && a.First == b.First && a.Last == b.Last &&
		a.Days == b.Days && a.Sets == b.Sets && a.Size == b.Size && a.Origin == b.Origin && a.FirstDay == b.FirstDay && a.LastDay == b.LastDay
}

// FuzzCheck: no file makes the checker fall, or prove more than the log that was
// signed holds.
func FuzzCheck(f *testing.F) {
	proof, keys := golden(f)
	f.Add(proof)
	f.Add([]byte("{}\n"))
	lines := bytes.SplitAfter(proof, []byte("\n"))
	f.Add(bytes.Join(append(lines[:1:1], lines[len(lines)-2:]...), nil))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := Check(bytes.NewReader(file), keys, nil)
		if err == nil && (r.Size == 0 || r.To > r.Size || r.From >= r.To || r.Days == 0) {
			t.Errorf("%+v", r)
		}
	})
}
