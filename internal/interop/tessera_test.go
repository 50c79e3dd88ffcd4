package interop_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azekura/auditlog/check"
	"azekura/internal/insttest"

	formats "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

// twos is a source of bytes for keys that guard nothing.
type twos byte

func (n twos) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(n)
	}
	return len(b), nil
}

// tesseraLog has Tessera's POSIX driver write a log of so many entries.
func tesseraLog(t *testing.T, dir string, size int) (vkey string) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(twos(1), "tessera.example.test/log")
	ok(t, err)
	signer, err := note.NewSigner(skey)
	ok(t, err)
	driver, err := posix.New(t.Context(), posix.Config{Path: dir})
	ok(t, err)
	appender, shutdown, reader, err := tessera.NewAppender(t.Context(), driver, tessera.NewAppendOptions().
		WithCheckpointSigner(signer).WithBatching(256, 50*time.Millisecond).WithCheckpointInterval(100*time.Millisecond))
	ok(t, err)
	await := tessera.NewPublicationAwaiter(t.Context(), reader.ReadCheckpoint, 50*time.Millisecond)
	var added []tessera.IndexFuture
	for n := range size {
		added = append(added, appender.Add(t.Context(), tessera.NewEntry(entry(n))))
	}
	for _, f := range added {
		_, _, err := await.Await(t.Context(), f)
		ok(t, err)
	}
	ok(t, shutdown(t.Context()))
	return vkey
}

// TestTesseraLog checks a log that Tessera wrote, as it is and altered.
func TestTesseraLog(t *testing.T) {
	size := insttest.Soak(600, 66_000)
	dir := t.TempDir()
	v, err := check.ParseKey(tesseraLog(t, dir, size))
	ok(t, err)
	o := check.Options{Keys: check.Keys{Log: []note.Verifier{v}}, Entries: true}
	src := check.Dir(os.DirFS(dir))
	r, err := check.Log(t.Context(), src, o)
	if err != nil || r.Size != int64(size) || r.Entries != r.Size || r.Origin != "tessera.example.test/log" {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, n := range []int64{0, 300, int64(size) - 1} {
		p, err := check.Prove(t.Context(), src, n)
		ok(t, err)
		if _, _, err := o.Keys.CheckProof(p.Format(), p.Extra); err == nil {
			t.Error("a hash is taken for an entry")
		}
		e, err := check.Entry(t.Context(), src, p)
		ok(t, err)
		if _, _, err := o.Keys.CheckProof(p.Format(), e); err != nil {
			t.Error(err)
		}
	}
	for _, path := range []string{"tile/0/000", "tile/0/001", "tile/entries/000", "tile/entries/001"} {
		full := filepath.Join(dir, filepath.FromSlash(path))
		good, err := os.ReadFile(full)
		ok(t, err)
		bad := bytes.Clone(good)
		bad[len(bad)-1] ^= 1
		ok(t, os.WriteFile(full, bad, 0o644))
		_, err = check.Log(t.Context(), src, o)
		var fault *check.Fault
		if !errors.As(err, &fault) || fault.Path != path {
			t.Errorf("%s altered: %v", path, err)
		}
		ok(t, os.Remove(full))
		if _, err = check.Log(t.Context(), src, check.Options{Keys: o.Keys, Entries: true}); err == nil {
			t.Errorf("%s is gone, and nothing found", path)
		}
		ok(t, os.WriteFile(full, good, 0o644))
	}
	_, err = check.Log(t.Context(), src, o)
	ok(t, err)
	if _, err := os.Stat(filepath.Join(dir, "tile", "1")); errors.Is(err, fs.ErrNotExist) {
		t.Error("Tessera's folder isn't laid out as we think")
	}
}

// TestCosignatures counts what formats' signers cosigned, on Ed25519 and on
// ML-DSA-44, whose verifier comes from there too: a key is an interface.
func TestCosignatures(t *testing.T) {
	skey, vkey, err := note.GenerateKey(twos(1), "log.example.test")
	ok(t, err)
	signer, err := note.NewSigner(skey)
	ok(t, err)
	logKey, err := check.ParseKey(vkey)
	ok(t, err)
	witnessKey, witnessVkey, err := note.GenerateKey(twos(2), "w1.example.test")
	ok(t, err)
	w1, err := formats.NewSignerForCosignatureV1(witnessKey)
	ok(t, err)
	timed, err := formats.VKeyToCosignatureV1(witnessVkey)
	ok(t, err)
	quantumKey, quantumVkey, err := formats.GenerateMLDSAKey("w2.example.test")
	ok(t, err)
	w2, err := formats.NewSignerForCosignatureV1(quantumKey)
	ok(t, err)
	if _, err := check.ParseWitnessKey(quantumVkey); !errors.Is(err, check.ErrKeyKind) {
		t.Errorf("a key of a kind that the package doesn't know: %v", err)
	}
	v2, err := formats.NewVerifierForCosignatureV1(quantumVkey)
	ok(t, err)
	text := "log.example.test\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
	sign := func(signers ...note.Signer) []byte {
		raw, err := note.Sign(&note.Note{Text: text}, signers...)
		ok(t, err)
		return raw
	}
	for _, known := range []string{witnessVkey, timed} {
		v1, err := check.ParseWitnessKey(known)
		ok(t, err)
		k := check.Keys{Log: []note.Verifier{logKey}, Witnesses: []note.Verifier{v1, v2}, Need: 2}
		head, err := k.Open(sign(signer, w1, w2))
		if err != nil || strings.Join(head.Witnesses, " ") != "w1.example.test w2.example.test" {
			t.Errorf("%v, %v", head, err)
		}
		for name, checkpoint := range map[string][]byte{"one": sign(signer, w1), "the other": sign(signer, w2), "none": sign(signer), "not the log": sign(w1, w2)} {
			if _, err := k.Open(checkpoint); err == nil {
				t.Errorf("%s: taken", name)
			}
		}
		k.Need = 1
		if _, err := k.Open(sign(signer, w2)); err != nil {
			t.Error(err)
		}
		// A second signature by one witness is none by another.
		k.Need = 2
		if _, err := k.Open(append(sign(signer, w1), sign(w1)[len(text)+1:]...)); err == nil {
			t.Error("one witness counts twice")
		}
		// Nor is one by another of its keys, of the same name.
		third, again, err := note.GenerateKey(twos(3), "w1.example.test")
		ok(t, err)
		v3, err := check.ParseWitnessKey(again)
		ok(t, err)
		w3, err := formats.NewSignerForCosignatureV1(third)
		ok(t, err)
		both := k
		both.Witnesses = []note.Verifier{v1, v3}
		if head, err := both.Open(sign(signer, w1, w3)); err == nil {
			t.Errorf("one witness with two keys counts twice: %+v", head)
		}
		damaged := sign(signer, w1)
		damaged[len(damaged)-9] ^= 1
		if _, err := k.Open(damaged); err == nil {
			t.Error("a damaged cosignature is taken")
		}
		plain, err := note.NewSigner(witnessKey) // the witness's key over the text alone, without a time
		ok(t, err)
		k.Need = 1
		if _, err := k.Open(sign(signer, plain)); err == nil {
			t.Error("a plain signature is taken for a cosignature")
		}
	}
}
