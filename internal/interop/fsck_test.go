package interop_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"azekura/auditlog"
	"azekura/auditlog/check"
	"azekura/internal/insttest"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// tessera's hasher of bundles is its own affair, but for this default.
func hashBundle(bundle []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	var leaves [][]byte
	for _, e := range b.Entries {
		leaves = append(leaves, rfc6962.DefaultHasher.HashLeaf(e))
	}
	return leaves, nil
}

func (s served) fsck(t *testing.T) error {
	t.Helper()
	root, err := url.Parse(s.url)
	ok(t, err)
	fetcher, err := client.NewHTTPFetcher(root, nil)
	ok(t, err)
	fetcher.SetAuthorizationHeader("Bearer " + s.token)
	verifier, err := note.NewVerifier(s.Signer.VerifierKey())
	ok(t, err)
	return fsck.New(s.Signer.Origin(), verifier, fetcher, hashBundle, fsck.Opts{N: 4}).Check(t.Context())
}

// TestFsck has Tessera's fsck read our log over HTTP, and ours beside it; both
// must find what a database's administrator alters.
func TestFsck(t *testing.T) {
	each(t, int64(insttest.Soak(1000, 66_000)), func(t *testing.T, s served) {
		ok(t, s.fsck(t))
		src := check.Web(s.url, http.DefaultClient, s.token)
		r, err := check.Log(t.Context(), src, check.Options{Keys: s.keys(t), Entries: true})
		if err != nil || r.Entries != r.Size || r.Size < 1000 {
			t.Fatalf("%+v, %v", r, err)
		}
		plain, err := check.Log(t.Context(), check.Web(s.url, http.DefaultClient, ""), check.Options{Keys: s.keys(t), Since: r.Signed})
		if err != nil || plain.Entries != 0 || plain.Since != r.Size {
			t.Fatalf("without a token: %+v, %v", plain, err)
		}
		var line []byte
		ok(t, s.DB.QueryRow(t.Context(), "SELECT line FROM log_event WHERE idx = 700", nil, &line))
		s.alter(t, "UPDATE log_event SET line = $1 WHERE idx = 700", []byte(strings.Replace(string(line), `"outcome":"ok"`, `"outcome":"no"`, 1)))
		if s.fsck(t) == nil {
			t.Error("fsck passes over an altered event")
		}
		_, err = check.Log(t.Context(), src, check.Options{Keys: s.keys(t), Entries: true})
		if fault := (*check.Fault)(nil); !errors.As(err, &fault) || fault.First != 700 || fault.End != 701 || fault.Path != "tile/entries/002" {
			t.Errorf("an altered event: %v", err)
		}
	})
}

// TestTesseraClient proves inclusion and growth by Tessera's client from our
// tiles.
func TestTesseraClient(t *testing.T) {
	each(t, 800, func(t *testing.T, s served) {
		root, err := url.Parse(s.url)
		ok(t, err)
		fetcher, err := client.NewHTTPFetcher(root, nil)
		ok(t, err)
		src := check.Web(s.url, http.DefaultClient, s.token)
		for _, n := range []uint64{0, 255, 256, 799} {
			ours, err := check.Prove(t.Context(), src, int64(n))
			ok(t, err)
			size, top, err := auditlog.OpenCheckpoint(ours.Checkpoint, s.Signer.Origin(), s.Signer.VerifierKey())
			ok(t, err)
			builder, err := client.NewProofBuilder(t.Context(), uint64(size), fetcher.ReadTile)
			ok(t, err)
			theirs, err := builder.InclusionProof(t.Context(), n)
			ok(t, err)
			ok(t, proof.VerifyInclusion(rfc6962.DefaultHasher, n, uint64(size), ours.Extra, theirs, top[:]))
			var list [][]byte
			for _, hash := range ours.Path {
				list = append(list, hash[:])
			}
			ok(t, proof.VerifyInclusion(rfc6962.DefaultHasher, n, uint64(size), ours.Extra, list, top[:]))
			ok(t, tlog.CheckRecord(ours.Path, size, top, int64(n), tlog.Hash(ours.Extra)))
			// x/mod's note opens what the file ends with.
			v, err := note.NewVerifier(s.Signer.VerifierKey())
			ok(t, err)
			_, err = note.Open(ours.Checkpoint, note.VerifierList(v))
			ok(t, err)
			e, err := check.Entry(t.Context(), src, ours)
			ok(t, err)
			if _, _, err := s.keys(t).CheckProof(ours.Format(), e); err != nil {
				t.Error(err)
			}
			if len(e) == 0 || len(ours.Format()) > 2048 {
				t.Errorf("event %d: %d bytes, its proof %d", n, len(e), len(ours.Format()))
			}
		}
	})
}
