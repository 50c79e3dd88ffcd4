package scan

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"

	"azekura/register/rowfile"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
)

// charset is one way to read bytes as text. None is guessed by the look of the
// bytes: those that can be read as the sample without a fault are tried, and the
// one that finds the most of the register in it is kept.
type charset uint8

const (
	ascii charset = iota // nothing else so far
	utf8Text
	cp932
	eucJP
	iso2022JP
	utf16LE
	utf16BE
)

var charsetNames = [...]string{"ascii", "utf-8", "cp932", "euc-jp", "iso-2022-jp", "utf-16le", "utf-16be"}

func (c charset) String() string { return charsetNames[c] }

// candidates are tried in this order; the first of equals is kept.
var candidates = [...]charset{utf8Text, cp932, eucJP, iso2022JP}

// append appends b in UTF-8; not ok means that b isn't of the charset.
func (c charset) append(dst, b []byte) (_ []byte, ok bool) {
	switch c {
	case ascii, utf8Text:
		return append(dst, b...), validUTF8(b)
	case cp932:
		return rowfile.AppendCP932(dst, b)
	case eucJP:
		return appendX(dst, b, japanese.EUCJP.NewDecoder())
	case iso2022JP:
		return appendX(dst, b, japanese.ISO2022JP.NewDecoder())
	case utf16LE:
		return appendUTF16(dst, b, binary.LittleEndian)
	case utf16BE:
		return appendUTF16(dst, b, binary.BigEndian)
	}
	return dst, false
}

// validUTF8 is utf8.Valid, quicker on what Japanese texts are made of: ASCII, and
// pairs of characters of three bytes.
func validUTF8(b []byte) bool {
	for len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b)
		if ascii := bits.TrailingZeros64(w&0x8080808080808080) / 8; ascii > 0 {
			b = b[ascii:]
			continue
		}
		// 1110xxxx 10xxxxxx 10xxxxxx; E0 and ED have rules of their own.
		if first := byte(w); w&0xC0C0F0 == 0x8080E0 && first != 0xE0 && first != 0xED {
			b = b[3:]
			if second := byte(w >> 24); w&0xC0C0F0000000 == 0x8080E0000000 && second != 0xE0 && second != 0xED {
				b = b[3:]
			}
			continue
		}
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			return false
		}
		b = b[n:]
	}
	return utf8.Valid(b)
}

// appendX decodes by x/text, which writes U+FFFD for what it can't read: none of
// the encodings has that character, so it marks a fault.
func appendX(dst, b []byte, d *encoding.Decoder) (_ []byte, ok bool) {
	from := len(dst)
	if need := from + 3*len(b) + 16; cap(dst) < need {
		dst = append(make([]byte, 0, need), dst...)
	}
	n, read, err := d.Transform(dst[from:cap(dst)], b, true)
	dst = dst[:from+n]
	return dst, err == nil && read == len(b) && !bytes.Contains(dst[from:], []byte("\uFFFD"))
}

func appendUTF16(dst, b []byte, order binary.ByteOrder) (_ []byte, ok bool) {
	ok = len(b)%2 == 0
	for len(b) >= 2 {
		r := rune(order.Uint16(b))
		b = b[2:]
		if utf16.IsSurrogate(r) {
			if len(b) < 2 {
				return dst, false
			}
			r = utf16.DecodeRune(r, rune(order.Uint16(b)))
			if r == utf8.RuneError {
				ok = false
			}
			b = b[2:]
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, ok
}

// isASCII says whether b is plain ASCII without an escape, which every charset
// reads alike.
func isASCII(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b)&0x8080808080808080 != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// wideText says whether b looks like UTF-16 without a mark: every second byte of
// most ASCII is 0, and text of one byte a character has none.
func wideText(b []byte) (charset, bool) {
	switch {
	case bytes.HasPrefix(b, []byte("\xFF\xFE")):
		return utf16LE, true
	case bytes.HasPrefix(b, []byte("\xFE\xFF")):
		return utf16BE, true
	}
	b = b[:min(len(b), 4096)&^1]
	var zeros [2]int
	for i, c := range b {
		if c == 0 {
			zeros[i&1]++
		}
	}
	for i, z := range zeros {
		if z == 0 || z*20 < len(b) || zeros[1-i]*20 > z {
			continue
		}
		cs := utf16BE
		if i == 1 {
			cs = utf16LE
		}
		if out, ok := cs.append(nil, b); ok && !bytes.ContainsRune(out, 0) {
			return cs, true
		}
	}
	return 0, false
}
