package witness_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"azekura/witness"

	cosign "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

// TestTessera: a log that others wrote publishes heads that our witness cosigned,
// while it grows and after it was opened again.
func TestTessera(t *testing.T) {
	const name = "tessera.invalid/log"
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	ok(t, err)
	key, err := note.NewSigner(skey)
	ok(t, err)
	w, at := serve(t, newFolder(t, witness.LogSettings{Origin: name, Keys: []string{vkey}}))
	place, err := url.Parse(at)
	ok(t, err)
	ours, err := tessera.NewWitness(w.Keys[0], place)
	ok(t, err)
	logKey, err := note.NewVerifier(vkey)
	ok(t, err)
	cosigner, err := cosign.NewVerifierForCosignatureV1(w.Keys[0])
	ok(t, err)
	dir := filepath.Join(t.TempDir(), "log")
	last := int64(0)
	for run := range 2 {
		grow := func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			driver, err := posix.New(ctx, posix.Config{Path: dir})
			ok(t, err)
			appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
				WithCheckpointSigner(key).WithBatching(64, 10*time.Millisecond).WithCheckpointInterval(100*time.Millisecond).
				WithWitnesses(tessera.NewWitnessGroup(1, ours), &tessera.WitnessOptions{Timeout: 30 * time.Second}))
			ok(t, err)
			awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 10*time.Millisecond)
			for n := range 3 {
				var future tessera.IndexFuture
				for i := range 100 {
					future = appender.Add(ctx, tessera.NewEntry(fmt.Appendf(nil, "entry %d %d %d", run, n, i)))
				}
				_, published, err := awaiter.Await(ctx, future)
				ok(t, err)
				open, err := note.Open(published, note.VerifierList(logKey, cosigner))
				ok(t, err)
				c, err := witness.ParseCheckpoint(published)
				ok(t, err)
				if len(open.Sigs) != 2 || c.Size <= last {
					t.Fatalf("run %d: %d signatures at the size %d, after %d", run, len(open.Sigs), c.Size, last)
				}
				last = c.Size
			}
			ok(t, shutdown(ctx))
		}
		grow()
	}
	kept, err := w.Checkpoint(witness.LogName(name))
	ok(t, err)
	if c, err := witness.ParseCheckpoint(kept); err != nil || c.Size < last {
		t.Errorf("the witness remembers the size %d of %d: %v", c.Size, last, err)
	}
}
