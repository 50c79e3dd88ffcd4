package madelog_test

import (
	"crypto/rand"
	"os"
	"testing"

	"azekura/auditlog/check"
	"azekura/internal/madelog"

	"golang.org/x/mod/sumdb/note"
)

// TestTiles: what is written checks, at sizes where tiles and levels end.
func TestTiles(t *testing.T) {
	skey, vkey, err := note.GenerateKey(rand.Reader, "madelog.invalid")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	v, err := check.ParseKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{0, 1, 255, 256, 257, 1000, 65536, 65537} {
		dir := t.TempDir()
		if err := madelog.Tiles(dir, size, signer); err != nil {
			t.Fatal(err)
		}
		r, err := check.Log(t.Context(), check.Dir(os.DirFS(dir)), check.Options{Keys: check.Keys{Log: []note.Verifier{v}}, Entries: size > 0})
		if err != nil || r.Size != size || size > 0 && r.Entries != size {
			t.Errorf("%d: %+v, %v", size, r, err)
		}
	}
}
