package witness_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"azekura/witness"

	"golang.org/x/mod/sumdb/note"
)

// upload makes one, signed by the log's key.
func (h *history) upload(t testing.TB, u witness.Upload) []byte {
	t.Helper()
	u.Origin = h.origin
	raw, err := u.Encode(func(text string) ([]byte, error) { return sign(t, text, h.key), nil })
	ok(t, err)
	return raw
}

// cosigned is a head with the witness's signatures, which it advances to.
func (h *history) cosigned(t testing.TB, url string, old, size int64) []byte {
	t.Helper()
	a := post(t, url+"/add-checkpoint", h.request(t, old, size))
	if a.status != 200 {
		t.Fatal(a)
	}
	return append(h.note(t, size), a.body...)
}

// TestMirrorTakes what leads to a head that it cosigned, and nothing else.
func TestMirrorTakes(t *testing.T) {
	h := newHistory(t, origin).grow(t, 100, "entry")
	dir := newFolder(t, h.settings(true))
	_, url := serve(t, dir)
	place := url + "/logs/" + witness.LogName(origin) + "/mirror"
	head := h.cosigned(t, url, 0, 60)
	chain := func(to int64) []byte {
		r := witness.Request{Old: to, Note: head}
		if to < 60 {
			r.Proof = h.proof(t, to, 60)
		}
		return r.Format()
	}
	part := func(from, to int64, part, parts int) witness.Upload {
		u := witness.Upload{From: from, To: to, Part: part, Parts: parts, Sealed: random(100)}
		if part == parts-1 {
			u.Chain, u.Leaves = chain(to), h.leaves(from, to)
		}
		return u
	}
	forger := newHistory(t, origin)
	other := newHistory(t, origin).grow(t, 100, "other")
	other.key = h.key
	change := func(u witness.Upload, f func(*witness.Upload)) witness.Upload { f(&u); return u }
	first := h.upload(t, part(0, 40, 0, 1))
	for _, c := range []struct {
		name string
		body []byte
		want int
	}{
		{"somebody else's", forger.upload(t, part(0, 40, 0, 1)), 403},
		{"not from the beginning", h.upload(t, part(20, 40, 0, 1)), 409},
		{"a second part without the first", h.upload(t, part(0, 40, 1, 2)), 409},
		{"other leaves", h.upload(t, change(part(0, 40, 0, 1), func(u *witness.Upload) { u.Leaves = other.leaves(0, 40) })), 422},
		{"leaves that were swapped", h.upload(t, change(part(0, 40, 0, 1), func(u *witness.Upload) { u.Leaves[3], u.Leaves[4] = u.Leaves[4], u.Leaves[3] })), 422},
		{"under a head that isn't cosigned", h.upload(t, change(part(0, 40, 0, 1), func(u *witness.Upload) {
			u.Chain = h.request(t, 40, 60)
		})), 422},
		{"another history, well signed", h.upload(t, change(part(0, 40, 0, 1), func(u *witness.Upload) {
			u.Leaves, u.Chain = other.leaves(0, 40), other.request(t, 40, 60)
		})), 422},
		{"beyond the head", h.upload(t, part(0, 70, 0, 1)), 422},
		{"beyond the head, by another's chain", h.upload(t, change(part(0, 70, 0, 1), func(u *witness.Upload) { u.Chain = chain(60) })), 422},
		{"cut off", first[:len(first)-1], 400},
		{"with one byte more", append(bytes.Clone(first), 0), 400},
		{"nothing", nil, 400},
		{"the first chunk", first, 200},
		{"the first chunk again", first, 409},
		{"a first part", h.upload(t, part(40, 50, 0, 3)), 200},
		{"the second", h.upload(t, part(40, 50, 1, 3)), 200},
		{"the second again", h.upload(t, part(40, 50, 1, 3)), 200},
		{"of another chunk", h.upload(t, part(40, 51, 2, 3)), 409},
		{"the last", h.upload(t, part(40, 50, 2, 3)), 200},
	} {
		if a := post(t, place, c.body); a.status != c.want {
			t.Errorf("%s: %d %q, want %d", c.name, a.status, a.body, c.want)
		}
	}
	if a := get(t, place); a.body != "{\"size\":50}\n" {
		t.Errorf("it holds %s", a.body)
	}
	if a := get(t, place+"/0/0"); a.body != string(first) {
		t.Errorf("it gives back %d bytes, status %d", len(a.body), a.status)
	}
	for _, path := range []string{"/1/0", "/0/1", "/50/0", "/-1/0", "/0/x", "/..%2f..%2fstate/0"} {
		if a := get(t, place+path); a.status != 404 && a.status != 400 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	heads, err := witness.Heads(dir)
	ok(t, err)
	if heads[0].Mirrored != 50 || heads[0].Size != 60 {
		t.Errorf("%+v", heads[0])
	}
}

// TestMirrorForgetsHalves: after a restart a chunk begins again, and files that a
// kill left uncounted don't hurt.
func TestMirrorForgetsHalves(t *testing.T) {
	h := newHistory(t, origin).grow(t, 100, "entry")
	dir := newFolder(t, h.settings(true))
	w, err := witness.Open(dir)
	ok(t, err)
	r, err := witness.ParseRequest(h.request(t, 0, 60))
	ok(t, err)
	lines, err := w.Cosign(r)
	ok(t, err)
	head := append(h.note(t, 60), lines...)
	name := witness.LogName(origin)
	u := witness.Upload{To: 60, Parts: 2, Sealed: []byte("blocks")}
	_, err = w.Take(name, h.upload(t, u))
	ok(t, err)
	if f, err := w.Upload(name, 0, 0); err == nil {
		f.Close()
		t.Error("half a chunk is given out")
	}
	ok(t, w.Close())

	w, err = witness.Open(dir)
	ok(t, err)
	defer w.Close()
	last := witness.Upload{To: 60, Part: 1, Parts: 2, Sealed: []byte("lines"), Chain: witness.Request{Old: 60, Note: head}.Format(), Leaves: h.leaves(0, 60)}
	if _, err := w.Take(name, h.upload(t, last)); err == nil {
		t.Error("the last part alone is taken")
	}
	for _, u := range []witness.Upload{u, last} {
		_, err = w.Take(name, h.upload(t, u))
		ok(t, err)
	}
	f, err := w.Upload(name, 0, 1)
	ok(t, err)
	f.Close()
	if left, _ := filepath.Glob(filepath.Join(witness.LogDir(dir, origin), witness.MirrorDir, "*", "*.new")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

// TestUploadsAreNoHeads: what the log's key signs for a mirror can't be taken for
// a head, and a head can't be taken for an upload.
func TestUploadsAreNoHeads(t *testing.T) {
	h := newHistory(t, origin).grow(t, 10, "entry")
	raw := h.upload(t, witness.Upload{To: 3, Parts: 2})
	_, signed, err := witness.ParseUpload(raw)
	ok(t, err)
	if c, err := witness.ParseCheckpoint(signed); err == nil && c.Origin == origin {
		t.Error("an upload's note reads as a head of the log")
	}
	key, err := note.NewVerifier(h.vkey)
	ok(t, err)
	ok(t, witness.VerifyUpload(signed, []note.Verifier{key}))
}

// TestMirrorIsAsked: a witness mirrors only what it was told to.
func TestMirrorIsAsked(t *testing.T) {
	h := newHistory(t, origin).grow(t, 10, "entry")
	dir := newFolder(t, h.settings(false))
	_, url := serve(t, dir)
	place := url + "/logs/" + witness.LogName(origin) + "/mirror"
	if a := get(t, place); a.status != 404 {
		t.Error(a)
	}
	if a := post(t, place, h.upload(t, witness.Upload{To: 3, Parts: 2})); a.status != 404 {
		t.Error(a)
	}
	_, err := witness.AddLog(dir, h.settings(true))
	ok(t, err)
	if a := get(t, place); a.status != 200 {
		t.Error(a)
	}
	if _, err := os.Stat(filepath.Join(witness.LogDir(dir, origin), witness.MirrorDir)); err != nil {
		t.Error(err)
	}
	if a := post(t, place, append(h.upload(t, witness.Upload{To: 3, Parts: 2}), make([]byte, witness.MaxUpload)...)); a.status != 413 {
		t.Error(a.status)
	}
}
