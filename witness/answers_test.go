package witness_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"azekura/witness"

	cosign "github.com/transparency-dev/formats/note"
	merkle "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

const origin = "log.invalid/test"

// TestAnswers is every answer of C2SP tlog-witness, in one life of a witness.
func TestAnswers(t *testing.T) {
	h := newHistory(t, origin).grow(t, 300, "entry")
	other := h.fork().grow(t, 0, "")
	other.size, other.hashes = 0, nil
	other.grow(t, 300, "another")
	stranger := newHistory(t, "log.invalid/stranger").grow(t, 10, "entry")
	forger := newHistory(t, origin).grow(t, 300, "entry") // the same entries, another key
	_, url := serve(t, newFolder(t, h.settings(false)))
	url += "/add-checkpoint"

	wrong := h.proof(t, 100, 200)
	wrong[0][0] ^= 1
	size := func(n int64) answer { return answer{409, witness.SizeType, fmt.Sprintf("%d\n", n)} }
	status := func(n int) answer { return answer{status: n} }
	for _, c := range []struct {
		name string
		body []byte
		want answer
	}{
		{"an unknown log", stranger.request(t, 0, 10), status(404)},
		{"another's signature", forger.request(t, 0, 100), status(403)},
		{"a proof from nothing", witness.Request{Old: 0, Proof: h.proof(t, 50, 100), Note: h.note(t, 100)}.Format(), status(422)},
		{"a size that was never cosigned", h.request(t, 50, 100), size(0)},
		{"the empty log", h.request(t, 0, 0), status(200)},
		{"the first head", h.request(t, 0, 100), status(200)},
		{"the same again, as from the beginning", h.request(t, 0, 100), size(100)},
		{"the same size again", h.request(t, 100, 100), status(200)},
		{"the same size with a proof", witness.Request{Old: 100, Proof: h.proof(t, 50, 100), Note: h.note(t, 100)}.Format(), status(422)},
		{"a fork at the same size", other.request(t, 100, 100), status(409)},
		{"a fork that grows", witness.Request{Old: 100, Proof: other.proof(t, 100, 200), Note: other.note(t, 200)}.Format(), status(422)},
		{"a bad proof", witness.Request{Old: 100, Proof: wrong, Note: h.note(t, 200)}.Format(), status(422)},
		{"no proof", witness.Request{Old: 100, Note: h.note(t, 200)}.Format(), status(422)},
		{"a proof too long", witness.Request{Old: 100, Proof: append(h.proof(t, 100, 200), h.root(t, 1)), Note: h.note(t, 200)}.Format(), status(422)},
		{"an old size above the new", witness.Request{Old: 200, Note: h.note(t, 100)}.Format(), status(400)},
		{"growth", h.request(t, 100, 200), status(200)},
		{"a replay", h.request(t, 100, 200), size(200)},
		{"a shrink", h.request(t, 100, 100), size(200)},
		{"a shrink that says so", witness.Request{Old: 200, Note: h.note(t, 150)}.Format(), status(400)},
		{"a stale size", h.request(t, 150, 250), size(200)},
		{"growth by one", h.request(t, 200, 201), status(200)},
		{"more entries than a log can have", []byte(fmt.Sprintf("old 201\n%s\n\n%s", base64.StdEncoding.EncodeToString(make([]byte, 32)), sign(t,
			fmt.Sprintf("%s\n%d\n%s\n", origin, int64(1)<<62+5, base64.StdEncoding.EncodeToString(make([]byte, 32))), h.key))), status(400)},
		{"growth to the end", h.request(t, 201, 300), status(200)},
		{"nothing", nil, status(400)},
		{"too much", bytes.Repeat([]byte("a"), witness.MaxRequest+1), status(413)},
	} {
		got := post(t, url, c.body)
		if got.status != c.want.status || c.want.kind != "" && (got != c.want) {
			t.Errorf("%s: %d %q %q, want %d %q %q", c.name, got.status, got.kind, got.body, c.want.status, c.want.kind, c.want.body)
		}
		if c.want.kind == "" && got.kind == witness.SizeType {
			t.Errorf("%s: says a size", c.name)
		}
		if (got.status == 200) != strings.HasPrefix(got.body, "— witness.invalid/w1 ") {
			t.Errorf("%s: %d %q", c.name, got.status, got.body)
		}
	}
	if got := get(t, url); got.status != 405 {
		t.Errorf("GET: %d", got.status)
	}
}

// TestMalformed sends each part of a request in a spelling that isn't the
// specification's.
func TestMalformed(t *testing.T) {
	h := newHistory(t, origin).grow(t, 10, "entry")
	_, url := serve(t, newFolder(t, h.settings(false)))
	if a := post(t, url+"/add-checkpoint", h.request(t, 0, 5)); a.status != 200 {
		t.Fatal(a)
	}
	good := string(h.request(t, 5, 10))
	proof := strings.Split(good, "\n")[1]
	root := h.root(t, 10)
	text := fmt.Sprintf("%s\n10\n%s\n", origin, base64.StdEncoding.EncodeToString(root[:]))
	signed := func(text string) string {
		return "old 5\n\n" + text + "\n— " + origin + " " + base64.StdEncoding.EncodeToString(random(68)) + "\n"
	}
	for name, body := range map[string]string{
		"zeros before the old size":  strings.Replace(good, "old 5", "old 05", 1),
		"a sign":                     strings.Replace(good, "old 5", "old +5", 1),
		"below 0":                    strings.Replace(good, "old 5", "old -5", 1),
		"two blanks":                 strings.Replace(good, "old 5", "old  5", 1),
		"a carriage return":          strings.Replace(good, "old 5\n", "old 5\r\n", 1),
		"a size of 64 bits":          strings.Replace(good, "old 5", "old 9223372036854775808", 1),
		"another word":               strings.Replace(good, "old", "size", 1),
		"no empty line":              strings.Replace(good, "\n\n", "\n", 1),
		"a short hash":               strings.Replace(good, proof, proof[:40], 1),
		"a hash with a bit too many": strings.Replace(good, proof, proof[:42]+"/=", 1),
		"a hash of the URL alphabet": strings.Replace(good, proof, strings.Repeat("_", 43)+"=", 1),
		"a hash behind a return":     strings.Replace(good, proof, "\r"+proof[:42]+"=", 1),
		"64 lines of proof":          "old 5\n" + strings.Repeat(proof+"\n", 64) + "\n" + strings.SplitN(good, "\n\n", 2)[1],
		"no line end":                strings.TrimSuffix(good, "\n"),
		"no signature":               "old 5\n\n" + text,
		"zeros before the new size":  signed(strings.Replace(text, "\n10\n", "\n010\n", 1)),
		"no root":                    signed(origin + "\n10\n"),
		"no origin":                  signed("\n10\n" + proof + "\n"),
		"an empty extension":         signed(text + "\nmore\n"),
		"a control character":        signed(text + "\x01\n"),
		"no UTF-8":                   signed(text + "\xff\n"),
	} {
		if got := post(t, url+"/add-checkpoint", []byte(body)); got.status != 400 {
			t.Errorf("%s: %d %q", name, got.status, got.body)
		}
	}
	if got := post(t, url+"/add-checkpoint", []byte(good)); got.status != 200 {
		t.Errorf("the good one: %v", got)
	}
}

// TestCosignaturesVerifyElsewhere: with the formats' authors' code, and by the
// specification's own words.
func TestCosignaturesVerifyElsewhere(t *testing.T) {
	h := newHistory(t, origin).grow(t, 7, "entry")
	w, url := serve(t, newFolder(t, h.settings(false)))
	signed := h.note(t, 7)
	a := post(t, url+"/add-checkpoint", h.request(t, 0, 7))
	verifier, err := cosign.NewVerifierForCosignatureV1(w.Keys[0])
	ok(t, err)
	logKey, err := note.NewVerifier(h.vkey)
	ok(t, err)
	n, err := note.Open(append(signed, a.body...), note.VerifierList(verifier, logKey))
	ok(t, err)
	if len(n.Sigs) != 2 || len(n.UnverifiedSigs) != 0 {
		t.Fatalf("%d signatures, %d unknown", len(n.Sigs), len(n.UnverifiedSigs))
	}
	// C2SP tlog-cosignature: key id, time, signature over a header and the text.
	raw, err := base64.StdEncoding.DecodeString(strings.Fields(a.body)[2])
	ok(t, err)
	key, err := base64.StdEncoding.DecodeString(strings.SplitN(w.Keys[0], "+", 3)[2])
	ok(t, err)
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(raw[4:12]), n.Text)
	if key[0] != 4 || !ed25519.Verify(key[1:], []byte(message), raw[12:]) {
		t.Error("the cosignature isn't what the specification has")
	}
	// And the proofs that we take are those of another implementation.
	for _, old := range []int64{1, 3, 4, 6} {
		var proof [][]byte
		for _, hash := range h.proof(t, old, 7) {
			proof = append(proof, hash[:])
		}
		from, to := h.root(t, old), h.root(t, 7)
		ok(t, merkle.VerifyConsistency(rfc6962.DefaultHasher, uint64(old), 7, proof, from[:], to[:]))
	}
	// What is shown can be checked too.
	shown := get(t, url+"/logs/"+witness.LogName(origin)+"/checkpoint")
	if n, err := note.Open([]byte(shown.body), note.VerifierList(verifier, logKey)); err != nil || len(n.Sigs) != 2 {
		t.Errorf("%v: %q", err, shown.body)
	}
	for _, path := range []string{"/", "/.well-known/azekura-witness.json"} {
		if a := get(t, url+path); !strings.Contains(a.body, w.Keys[0]) || !strings.Contains(a.body, origin) {
			t.Errorf("%s says %q", path, a.body)
		}
	}
	for _, path := range []string{"/logs/" + witness.LogName("x") + "/checkpoint", "/logs/..%2f..%2fkey/checkpoint", "/logs/" + witness.LogName(origin) + "/mirror"} {
		if a := get(t, url+path); a.status != 404 {
			t.Errorf("%s: %v", path, a)
		}
	}
}

// TestSeveralKeys: an ML-DSA cosignature beside the Ed25519 one, and a log with
// two keys, one of which was added while the witness ran.
func TestSeveralKeys(t *testing.T) {
	h := newHistory(t, origin).grow(t, 7, "entry")
	dir := filepath.Join(t.TempDir(), "witness")
	ok(t, witness.Create(dir, "witness.invalid/w2", true))
	if err := witness.Create(dir, "witness.invalid/w2", true); err == nil {
		t.Error("a witness's key was overwritten")
	}
	_, err := witness.AddLog(dir, h.settings(false))
	ok(t, err)
	w, url := serve(t, dir)
	if _, err := witness.Open(dir); err == nil {
		t.Error("two witnesses run in one folder")
	}
	a := post(t, url+"/add-checkpoint", h.request(t, 0, 5))
	if strings.Count(a.body, "\n") != 2 || len(w.Keys) != 2 {
		t.Fatalf("%d keys, %v", len(w.Keys), a)
	}
	for _, vkey := range w.Keys {
		verifier, err := cosign.NewVerifierForCosignatureV1(vkey)
		ok(t, err)
		if _, err := note.Open(append(h.note(t, 5), a.body...), note.VerifierList(verifier)); err != nil {
			t.Error(err)
		}
	}
	rotated := newHistory(t, origin) // a new key over the same tree
	rotated.hashes, rotated.size = h.hashes, h.size
	if a := post(t, url+"/add-checkpoint", rotated.request(t, 5, 6)); a.status != 403 {
		t.Error(a)
	}
	_, err = witness.AddLog(dir, rotated.settings(false))
	ok(t, err)
	for _, body := range [][]byte{rotated.request(t, 5, 6), h.request(t, 6, 7)} {
		if a := post(t, url+"/add-checkpoint", body); a.status != 200 {
			t.Error(a)
		}
	}
	stranger := newHistory(t, "log.invalid/later").grow(t, 3, "entry")
	if a := post(t, url+"/add-checkpoint", stranger.request(t, 0, 3)); a.status != 404 {
		t.Error(a)
	}
	_, err = witness.AddLog(dir, stranger.settings(false))
	ok(t, err)
	if a := post(t, url+"/add-checkpoint", stranger.request(t, 0, 3)); a.status != 200 {
		t.Error(a)
	}
}

// TestTwoClients race for the same log, each with a history of its own that
// begins alike: only one history is ever cosigned.
func TestTwoClients(t *testing.T) {
	common := newHistory(t, origin).grow(t, 10, "entry")
	_, url := serve(t, newFolder(t, common.settings(false)))
	if a := post(t, url+"/add-checkpoint", common.request(t, 0, 10)); a.status != 200 {
		t.Fatal(a)
	}
	clients := []*history{common.fork().grow(t, 40, "one"), common.fork().grow(t, 40, "two")}
	bodies := make([][][]byte, 2)
	for c, h := range clients {
		for n := int64(10); n < h.size; n++ {
			bodies[c] = append(bodies[c], h.request(t, n, n+1))
		}
	}
	signed := make([]map[int64]bool, 2)
	var wg sync.WaitGroup
	for c := range clients {
		signed[c] = map[int64]bool{}
		wg.Go(func() {
			for n, body := range bodies[c] {
				a, err := tryPost(url+"/add-checkpoint", body)
				if err != nil {
					t.Error(err)
					return
				}
				signed[c][int64(n)] = a.status == 200
			}
		})
	}
	wg.Wait()
	for n := range int64(40) {
		if signed[0][n] && signed[1][n] {
			t.Fatalf("at the size %d two histories are cosigned", n+11)
		}
	}
	if signed[0][39] == signed[1][39] {
		t.Error("neither history reached its end, or both did")
	}
}
