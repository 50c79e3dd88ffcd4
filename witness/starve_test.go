package witness_test

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"azekura/witness"
)

// TestStrangersHoldNobodyUp: who begins uploads and doesn't end them, with nothing,
// with a note of their own, or with one that the mirror took before, takes no place
// from the log.
func TestStrangersHoldNobodyUp(t *testing.T) {
	h := newHistory(t, origin).grow(t, 100, "entry")
	_, url := serve(t, newFolder(t, h.settings(true)))
	place := url + "/logs/" + witness.LogName(origin) + "/mirror"
	head := h.cosigned(t, url, 0, 60)
	whole := func(from, to int64) []byte {
		return h.upload(t, witness.Upload{From: from, To: to, Parts: 1, Sealed: random(100), Leaves: h.leaves(from, to),
			Chain: witness.Request{Old: to, Proof: h.proof(t, to, 60), Note: head}.Format()})
	}
	taken := whole(0, 20)
	if a := post(t, place, taken); a.status != 200 {
		t.Fatal(a)
	}
	stranger := newHistory(t, origin).upload(t, witness.Upload{From: 20, To: 30, Parts: 2, Sealed: random(100)})
	for _, begun := range [][]byte{nil, {0, 0}, stranger[:len(stranger)-50], taken[:len(taken)-50]} {
		for range 8 {
			c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			ok(t, err)
			defer c.Close()
			_, err = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: witness.invalid\r\nContent-Length: %d\r\n\r\n%s", strings.TrimPrefix(place, url), witness.MaxUpload, begun)
			ok(t, err)
		}
	}
	for from := int64(20); from < 60; from += 10 {
		if a := post(t, place, whole(from, from+10)); a.status != 200 {
			t.Errorf("the log's own upload from event %d: %v", from, a)
		}
	}
}

// TestParkedIsBounded: the log's key alone fills no disk with parts whose last one
// never comes, in one try or in many.
func TestParkedIsBounded(t *testing.T) {
	h := newHistory(t, origin).grow(t, 100, "entry")
	dir := newFolder(t, h.settings(true))
	_, url := serve(t, dir)
	t.Cleanup(witness.LimitParked(20_000))
	place := url + "/logs/" + witness.LogName(origin) + "/mirror"
	part := func(n, size int) answer {
		return post(t, place, h.upload(t, witness.Upload{To: 40, Part: n, Parts: 30, Sealed: random(size)}))
	}
	for try, size := range []int{3000, 10} { // smaller parts the second time, so that a larger number would fit
		n := 0
		for ; n < 20; n++ {
			a := part(n, size)
			if a.status == 413 {
				break
			}
			if a.status != 200 {
				t.Fatal(a)
			}
			if a := part(n, size); a.status != 200 {
				t.Errorf("the same part again: %v", a)
			}
		}
		files, err := filepath.Glob(filepath.Join(witness.LogDir(dir, origin), witness.MirrorDir, "*", "*"))
		ok(t, err)
		if len(files) != n || try == 0 && n != 6 || try == 1 && n != 20 {
			t.Errorf("try %d: %d parts were taken, and %d files are there", try, n, len(files))
		}
		if try == 0 {
			if a := part(0, 10); a.status != 200 {
				t.Fatal(a)
			}
			if files, _ := filepath.Glob(filepath.Join(witness.LogDir(dir, origin), witness.MirrorDir, "*", "*")); len(files) != 1 {
				t.Errorf("%d files are left of an earlier try", len(files)-1)
			}
		}
	}
}
