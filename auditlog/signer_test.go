package auditlog

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func newSigner(t *testing.T) *Signer {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "signer")
	if err := CreateSigner(dir, "azekura.invalid/test"); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSigner(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSignerIsNotMadeTwice(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "signer")
	if err := CreateSigner(dir, "azekura.invalid/test"); err != nil {
		t.Fatal(err)
	}
	if err := CreateSigner(dir, "azekura.invalid/test"); err == nil {
		t.Error("a signer's key was overwritten")
	}
}

// TestSignerExtendsOnly: it signs what follows from what it signed, and
// otherwise stands still.
func TestSignerExtendsOnly(t *testing.T) {
	s := newSigner(t)
	grown := newTree()
	grow := func(n int) (leaves []Leaf) {
		for i := range n {
			leaf := tlog.RecordHash([]byte{byte(i)})
			leaves = append(leaves, Leaf{Hash: leaf})
			grown.append(leaf)
		}
		return leaves
	}
	leaves := grow(300)
	if err := s.Extend(leaves, 300, grown.root()); err != nil {
		t.Fatal(err)
	}
	signed := string(s.Checkpoint())
	for name, err := range map[string]error{
		"another root":  s.Extend(nil, 300, Hash{1}),
		"a smaller log": s.Extend(nil, 200, grown.root()),
		"a larger one":  s.Extend(nil, 301, grown.root()),
		"other leaves":  s.Extend([]Leaf{{Hash: Hash{1}}}, 300, grown.root()),
	} {
		if !errors.Is(err, ErrSigner) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if size, root := s.Head(); size != 300 || root != grown.root() || string(s.Checkpoint()) != signed {
		t.Error("a refusal moved the signer")
	}
	if root, err := edgeRoot(300, s.Edge()); err != nil || root != grown.root() {
		t.Errorf("the edge gives another root: %v", err)
	}
}

// TestCheckpointsVerifyElsewhere with the code of the formats' authors.
func TestCheckpointsVerifyElsewhere(t *testing.T) {
	s := newSigner(t)
	leaf := tlog.RecordHash([]byte("event"))
	if err := s.Extend([]Leaf{{Hash: leaf}}, 1, leaf); err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(s.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(s.Checkpoint(), note.VerifierList(verifier))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + strings.SplitN(n.Text, "\n", 2)[1]))
	if err != nil || tree.N != 1 || tree.Hash != leaf {
		t.Errorf("x/mod reads %+v, %v", tree, err)
	}
	cp, _, _, err := log.ParseCheckpoint(s.Checkpoint(), s.Origin(), verifier)
	if err != nil || cp.Size != 1 || !bytes.Equal(cp.Hash, leaf[:]) {
		t.Errorf("formats reads %+v, %v", cp, err)
	}
	size, root, err := OpenCheckpoint(s.Checkpoint(), s.Origin(), s.VerifierKey())
	if err != nil || size != 1 || root != leaf {
		t.Errorf("we read %d, %v, %v", size, root, err)
	}
}

// TestOpenCheckpointIsStrict: well signed texts that no signer writes, and
// signed heads that somebody added to.
func TestOpenCheckpointIsStrict(t *testing.T) {
	s := newSigner(t)
	other := newSigner(t) // the same origin, another key
	const root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	sign := func(text string, by ...note.Signer) string {
		signed, err := note.Sign(&note.Note{Text: text}, by...)
		if err != nil {
			t.Fatal(err)
		}
		return string(signed)
	}
	const right = "azekura.invalid/test\n5\n" + root + "\n"
	for name, text := range map[string]string{
		"zeros before the size": "azekura.invalid/test\n05\n" + root + "\n",
		"a sign":                "azekura.invalid/test\n+5\n" + root + "\n",
		"a size below 0":        "azekura.invalid/test\n-5\n" + root + "\n",
		"too large a size":      "azekura.invalid/test\n9223372036854775808\n" + root + "\n",
		"an extension":          right + "extension\n",
		"an empty extension":    right + "\n",
		"a short root":          "azekura.invalid/test\n5\nAAAA\n",
		"a root with a bit on":  "azekura.invalid/test\n5\n" + root[:42] + "V=\n",
		"another origin":        "azekura.invalid/other\n5\n" + root + "\n",
		"no root":               "azekura.invalid/test\n5\n",
		"carriage returns":      "azekura.invalid/test\r\n5\r\n" + root + "\r\n",
		"blanks":                "azekura.invalid/test\n5 \n" + root + "\n",
	} {
		if size, _, err := OpenCheckpoint([]byte(sign(text, s.key)), s.Origin(), s.VerifierKey()); err == nil {
			t.Errorf("%s: taken, size %d", name, size)
		}
	}
	good := sign(right, s.key)
	signature := strings.SplitAfter(good, "\n\n")[1]
	witness, _, err := note.GenerateKey(twos{}, "witness.invalid")
	if err != nil {
		t.Fatal(err)
	}
	cosigner, err := note.NewSigner(witness)
	if err != nil {
		t.Fatal(err)
	}
	damaged := []byte(signature)
	damaged[len(damaged)-6] ^= 1
	for name, checkpoint := range map[string]string{
		"another key":          sign(right, other.key),
		"no signature":         right + "\n",
		"signed twice":         good + signature,
		"a damaged duplicate":  good + string(damaged),
		"a damaged signature":  right + "\n" + string(damaged),
		"two keys, one origin": sign(right, s.key, other.key),
		"text behind":          good + "text\n",
		"another text":         strings.Replace(good, "\n5\n", "\n6\n", 1),
	} {
		if size, _, err := OpenCheckpoint([]byte(checkpoint), s.Origin(), s.VerifierKey()); err == nil {
			t.Errorf("%s: taken, size %d", name, size)
		}
	}
	for name, checkpoint := range map[string]string{"plain": good, "cosigned": sign(right, s.key, cosigner), "cosigned first": sign(right, cosigner, s.key)} {
		if size, _, err := OpenCheckpoint([]byte(checkpoint), s.Origin(), s.VerifierKey()); err != nil || size != 5 {
			t.Errorf("%s: %d, %v", name, size, err)
		}
	}
}

// twos is a source of bytes for a key that guards nothing.
type twos struct{}

func (twos) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 2
	}
	return len(b), nil
}

func FuzzOpenCheckpoint(f *testing.F) {
	dir := filepath.Join(f.TempDir(), "signer")
	if err := CreateSigner(dir, "azekura.invalid/test"); err != nil {
		f.Fatal(err)
	}
	s, err := OpenSigner(dir)
	if err != nil {
		f.Fatal(err)
	}
	defer s.Close()
	f.Add(s.Checkpoint())
	text := string(s.Checkpoint())
	f.Fuzz(func(t *testing.T, checkpoint []byte) {
		size, _, err := OpenCheckpoint(checkpoint, s.Origin(), s.VerifierKey())
		if err == nil && (size != 0 || !strings.HasPrefix(string(checkpoint), text[:strings.Index(text, "— ")])) {
			t.Fatalf("forged: %q", checkpoint)
		}
	})
}
