package scan

import (
	"bytes"
	"encoding/binary"
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
		if !eucBytes(b) {
			return dst, false
		}
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
// characters of three bytes.
func validUTF8(b []byte) bool {
	for at := usualUTF8(b); ; at += usualUTF8(b[at:]) {
		for to := at + 8; at < to; { // past what is rarer, and on
			if at == len(b) {
				return true
			}
			r, n := utf8.DecodeRune(b[at:])
			if r == utf8.RuneError && n == 1 {
				return false
			}
			at += n
		}
	}
}

// usualUTF8 is how much of b, up to the end of a character, is surely UTF-8: eight
// bytes at a time, by the highest bit of each. It stops at characters of two and of
// four bytes, at lead bytes that have rules of their own (E0, ED), at faults, and
// close to the end.
func usualUTF8(b []byte) (at int) {
	const high = 0x8080808080808080
	follow := uint64(0) // where bytes of a character that began before must stand
	for ; at+8 <= len(b); at += 8 {
		w := binary.LittleEndian.Uint64(b[at:])
		if w&high == 0 && follow == 0 {
			continue
		}
		bit6, bit5, bit4 := w<<1, w<<2, w<<3
		lead := w & bit6 & high
		low := w<<4 | w<<5 | w<<6 | w<<7
		ed := w << 4 & (w << 5) & (w << 7) &^ (w << 6)
		rare := lead & (^bit5 | bit4 | ^low | ed)
		if rare != 0 || lead<<8|lead<<16|follow != w&^bit6&high {
			break
		}
		follow = lead>>56 | lead>>48
	}
	for follow != 0 { // back to the first byte of the character that isn't whole yet
		if at--; b[at] >= 0xC0 {
			break
		}
	}
	return at
}

// eucBytes says whether b is made as EUC-JP is: what is of another charset mostly isn't,
// and needn't be decoded to see that.
func eucBytes(b []byte) bool {
	high := func(i int, to byte) bool { return i < len(b) && b[i] >= 0xA1 && b[i] <= to }
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case c < utf8.RuneSelf:
			i++
		case c == 0x8E && high(i+1, 0xDF), c >= 0xA1 && c <= 0xFE && high(i+1, 0xFE):
			i += 2
		case c == 0x8F && high(i+1, 0xFE) && high(i+2, 0xFE):
			i += 3
		default:
			return false
		}
	}
	return true
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
