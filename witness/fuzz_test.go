package witness_test

import (
	"bytes"
	"testing"

	"azekura/witness"
)

func FuzzParseRequest(f *testing.F) {
	h := newHistory(f, origin).grow(f, 20, "entry")
	f.Add(h.request(f, 0, 3))
	f.Add(h.request(f, 7, 20))
	f.Add([]byte("old 0\n\nx\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— x AAAA\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := witness.ParseRequest(body)
		if err != nil {
			return
		}
		// There is one spelling, so what is read is what would be written.
		if !bytes.Equal(r.Format(), body) {
			t.Fatalf("read %q, written %q", body, r.Format())
		}
	})
}

func FuzzParseUpload(f *testing.F) {
	h := newHistory(f, origin).grow(f, 20, "entry")
	for _, u := range []witness.Upload{
		{Origin: origin, From: 3, To: 5, Part: 0, Parts: 2, Sealed: []byte("sealed")},
		{Origin: origin, From: 3, To: 5, Part: 1, Parts: 2, Sealed: []byte("sealed"), Chain: h.request(f, 5, 7), Leaves: h.leaves(3, 5)},
	} {
		raw, err := u.Encode(func(text string) ([]byte, error) { return sign(f, text, h.key), nil })
		ok(f, err)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		u, signed, err := witness.ParseUpload(raw)
		if err != nil {
			return
		}
		again, err := u.Encode(func(string) ([]byte, error) { return signed, nil })
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("%v: read %q, written %q", err, raw, again)
		}
	})
}
