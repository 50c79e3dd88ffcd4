package rowfile

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/encoding/japanese"
)

// CP932 is what Windows makes of Shift_JIS: with NEC's and IBM's characters, and
// 1,880 user-defined ones (lead bytes F0 to F9), which Windows maps to U+E000 to
// U+E757. x/text's decoder knows all but the last, which it turns into U+FFFD:
// so its table is taken and those are added.
const (
	firstUser = 0xF0
	lastUser  = 0xF9
	trails    = 0xFC - 0x40 + 1 // second bytes, 7F being none
)

// cp932Table gives the rune of a lead byte from 81 on and a trail byte from 40
// on; 0 where there is none. All of them are below U+10000.
var cp932Table = sync.OnceValue(func() *[(0x100 - 0x81) * trails]uint16 {
	table := new([(0x100 - 0x81) * trails]uint16)
	decoder := japanese.ShiftJIS.NewDecoder()
	var out [8]byte
	for lead := 0x81; lead <= 0xFC; lead++ {
		if lead >= 0xA0 && lead <= 0xDF {
			continue // half-width kana: one byte
		}
		for trail := 0x40; trail <= 0xFC; trail++ {
			if trail == 0x7F {
				continue
			}
			at := (lead-0x81)*trails + trail - 0x40
			if lead >= firstUser && lead <= lastUser {
				n := trail - 0x40
				if trail > 0x7F {
					n--
				}
				table[at] = uint16(0xE000 + (lead-firstUser)*(trails-1) + n)
				continue
			}
			decoder.Reset()
			n, used, err := decoder.Transform(out[:], []byte{byte(lead), byte(trail)}, true)
			r, size := utf8.DecodeRune(out[:n])
			if err == nil && used == 2 && size == n && r != utf8.RuneError {
				table[at] = uint16(r)
			}
		}
	}
	return table
})

// cp932Prefix is how much of b is CP932. A character cut off at the end isn't
// counted, and is no error unless it is the file's end.
func cp932Prefix(b []byte, end bool) (n int, ok bool) {
	table := cp932Table()
	for n < len(b) {
		c := b[n]
		switch {
		case c < utf8.RuneSelf, c >= 0xA1 && c <= 0xDF:
			n++
		case c < 0x81 || c == 0xA0 || c > 0xFC:
			return n, false
		case n+1 == len(b):
			return n, !end
		case b[n+1] < 0x40 || b[n+1] > 0xFC || table[(int(c)-0x81)*trails+int(b[n+1])-0x40] == 0:
			return n, false
		default:
			n += 2
		}
	}
	return n, true
}

// utf8Prefix is cp932Prefix for UTF-8.
func utf8Prefix(b []byte, end bool) (n int, ok bool) {
	for n < len(b) {
		if b[n] < utf8.RuneSelf {
			n++
			continue
		}
		r, size := utf8.DecodeRune(b[n:])
		if r == utf8.RuneError && size == 1 {
			return n, !end && !utf8.FullRune(b[n:])
		}
		n += size
	}
	return n, true
}

// AppendCP932 appends b, which is CP932, to out in UTF-8, user-defined characters
// as U+E000 to U+E757. Not ok means that a byte isn't CP932's.
func AppendCP932(out, b []byte) (_ []byte, ok bool) {
	const widest = 3 // a byte of half-width kana
	table, at := cp932Table(), len(out)
	out = slices.Grow(out, widest*len(b)+8)
	out = out[:cap(out)]
	for i := 0; i < len(b); {
		if i+8 <= len(b) { // eight bytes are written, of which those count that are ASCII
			w := binary.LittleEndian.Uint64(b[i:])
			binary.LittleEndian.PutUint64(out[at:], w)
			n := bits.TrailingZeros64(w&0x8080808080808080) / 8
			i, at = i+n, at+n
			if n == 8 {
				continue
			}
		}
		c, r := b[i], rune(0)
		switch {
		case c < utf8.RuneSelf:
			out[at] = c
			i, at = i+1, at+1
			continue
		case c >= 0xA1 && c <= 0xDF:
			r = 0xFF61 + rune(c) - 0xA1
			i++
		default:
			if c < 0x81 || i+1 == len(b) || b[i+1] < 0x40 || b[i+1] > 0xFC {
				return out[:at], false
			}
			r = rune(table[(int(c)-0x81)*trails+int(b[i+1])-0x40])
			i += 2
		}
		if r < 0x800 {
			if r == 0 {
				return out[:at], false
			}
			at += utf8.EncodeRune(out[at:], r)
			continue
		}
		three := out[at : at+3]
		three[0], three[1], three[2] = 0xE0|byte(r>>12), 0x80|byte(r>>6)&0x3F, 0x80|byte(r)&0x3F
		at += 3
	}
	return out[:at], true
}
