package rowfile

import (
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

// appendCP932 appends b in UTF-8; not ok if a byte isn't CP932's.
func appendCP932(out, b []byte) (_ []byte, ok bool) {
	table := cp932Table()
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case c < utf8.RuneSelf:
			out = append(out, c)
		case c >= 0xA1 && c <= 0xDF:
			out = utf8.AppendRune(out, 0xFF61+rune(c)-0xA1)
		default:
			if c < 0x81 || i+1 == len(b) || b[i+1] < 0x40 || b[i+1] > 0xFC {
				return out, false
			}
			i++
			r := table[(int(c)-0x81)*trails+int(b[i])-0x40]
			if r == 0 {
				return out, false
			}
			out = utf8.AppendRune(out, rune(r))
		}
	}
	return out, true
}

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
	for len(b) > 0 {
		n := 0
		for n < len(b) && b[n] < utf8.RuneSelf {
			n++
		}
		out = append(out, b[:n]...)
		from := n
		for n < len(b) && b[n] >= utf8.RuneSelf {
			if b[n] < 0xA0 || b[n] > 0xDF {
				n++ // the trail byte, which may be ASCII
			}
			n++
		}
		if out, ok = appendCP932(out, b[from:min(n, len(b))]); !ok {
			return out, false
		}
		b = b[min(n, len(b)):]
	}
	return out, true
}
