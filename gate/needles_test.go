package gate_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"golang.org/x/text/encoding/japanese"
)

// shortest is the length in bytes from which a needle is looked for. Some 2^17
// needles against 2^27 bytes of ciphertext would hit by chance once in 2^12
// runs at seven bytes, and each byte more makes that 2^8 times rarer.
const shortest = 7

// haystack looks for many needles at once.
type haystack struct {
	needles map[[shortest]byte][]needle
	// starts says of three bytes whether a needle begins with them: almost
	// every place of a file ends there.
	starts [1 << 24 / 8]byte
	seen   map[string]bool
}

type needle struct {
	bytes  string
	form   string
	digits bool // only hexadecimal digits: no find inside a longer run of them
}

func newHaystack(texts []string) *haystack {
	h := &haystack{needles: map[[shortest]byte][]needle{}, seen: map[string]bool{}}
	for _, text := range texts {
		h.add("UTF-8", text)
		h.add("UTF-16LE", wide(text, 0))
		h.add("UTF-16BE", wide(text, 1))
		if cp932, err := japanese.ShiftJIS.NewEncoder().String(text); err == nil {
			h.add("CP932", cp932)
		}
		h.add("hexadecimal", hex.EncodeToString([]byte(text)))
		h.add("HEXADECIMAL", strings.ToUpper(hex.EncodeToString([]byte(text))))
		for shift := range 3 {
			h.add("base64", inBase64(text, shift, base64.StdEncoding))
			h.add("base64url", inBase64(text, shift, base64.URLEncoding))
		}
	}
	return h
}

func (h *haystack) add(form, s string) {
	if len(s) < shortest || h.seen[s] {
		return
	}
	h.seen[s] = true
	key := [shortest]byte([]byte(s))
	h.needles[key] = append(h.needles[key], needle{s, form, strings.Trim(s, "0123456789abcdef") == ""})
	n := first3(key[:])
	h.starts[n/8] |= 1 << (n % 8)
}

func first3(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }

// find is the first needle in b, by its form and place; never by itself.
func (h *haystack) find(b []byte) (form string, at int) {
	for at := 0; at+shortest <= len(b); at++ {
		if n := first3(b[at:]); h.starts[n/8]&(1<<(n%8)) == 0 {
			continue
		}
		for _, n := range h.needles[[shortest]byte(b[at:])] {
			if bytes.HasPrefix(b[at:], []byte(n.bytes)) && !(n.digits && h.inRun(b, at, len(n.bytes))) {
				return n.form, at
			}
		}
	}
	return "", -1
}

// inRun says whether digits stand within a longer run of hexadecimal digits,
// where chance puts them: the log's lines are full of them.
func (h *haystack) inRun(b []byte, at, length int) bool {
	isHex := func(i int) bool { return i >= 0 && i < len(b) && strings.IndexByte("0123456789abcdef", b[i]) >= 0 }
	return isHex(at-1) || isHex(at+length)
}

func wide(s string, high int) string {
	var out []byte
	for _, u := range utf16.Encode([]rune(s)) {
		pair := [2]byte{byte(u), byte(u >> 8)}
		out = append(out, pair[high], pair[1-high])
	}
	return string(out)
}

// inBase64 is what s looks like in base64 when shift bytes more than a multiple
// of three stand before it, without the characters that its neighbours share.
func inBase64(s string, shift int, enc *base64.Encoding) string {
	out := enc.EncodeToString([]byte(strings.Repeat("\x00", shift) + s))
	return out[[]int{0, 2, 3}[shift] : (len(s)+shift)*8/6]
}

// files are the bytes of each file under a folder.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		found[path] = content
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestHaystackFinds shows the search what it must find, so that finding nothing
// means something.
func TestHaystackFinds(t *testing.T) {
	h := newHaystack([]string{"髙橋　花子", "石橋　花子", "1234567890", "KOBAYASHI"})
	for name, b := range map[string][]byte{
		"UTF-8":       []byte("..髙橋　花子.."),
		"UTF-16BE":    []byte("\x9a\xd9\x6a\x4b\x30\x00\x82\xb1\x5b\x50"),
		"CP932":       []byte("\x90\xce\x8b\xb4\x81\x40\x89\xd4\x8e\x71"),
		"hexadecimal": []byte(`\x` + hex.EncodeToString([]byte("KOBAYASHI"))),
		"base64":      []byte(base64.StdEncoding.EncodeToString([]byte("a 1234567890 b"))),
	} {
		if form, at := h.find(b); form != name {
			t.Errorf("%s: found %q at %d", name, form, at)
		}
	}
	for _, clean := range []string{"", "髙橋", "123456789", "a1234567890f", "kobayashi"} {
		if form, _ := h.find([]byte(clean)); form != "" {
			t.Errorf("%q: found %s", clean, form)
		}
	}
}
