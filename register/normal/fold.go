package normal

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// mode is which rules apply beside those that always do.
type mode uint8

const (
	tier2    mode = 1 << iota // the looser variants too
	katakana                  // hiragana becomes katakana
)

// maxMarks bounds the combining marks that one character keeps. x/text splits a
// run of more than 30 (UAX 15's stream-safe form), which would make the form of
// a hostile text unstable; no name has more than two or three.
const maxMarks = 10

// fold is the form of s under m. The quick way covers what names and addresses
// are made of; the rest is decomposed, folded and composed again.
func fold(s string, m mode) string {
	if folded(s) {
		return s
	}
	var stack [128]byte
	out, dashes, ok := quick(stack[:0], s, m)
	if !ok {
		return slow(s, m)
	}
	if dashes {
		return longMarks(string(out))
	}
	if string(out) == s {
		return s
	}
	return string(out)
}

// folded says whether s is ASCII that no rule changes.
func folded(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || asciiFold[c] != c || c == 0 {
			return false
		}
	}
	return true
}

// quick folds rune by rune. dashes means that a hyphen follows kana, so that
// longMarks has to look at it; not ok means that a rune needs decomposing.
func quick(out []byte, s string, m mode) (_ []byte, dashes, ok bool) {
	from := len(out)
	for i := 0; i < len(s); {
		if n := unchanged(s[i:]); n > 0 {
			out = append(out, s[i:i+n]...)
			if i += n; i == len(s) {
				break
			}
		}
		var r rune
		if c := s[i]; c < utf8.RuneSelf {
			i++
			switch to := asciiFold[c]; to {
			case 0:
				continue
			case '-':
				r = dash
			default:
				out = append(out, to)
				continue
			}
		} else {
			if c == 0xE3 && strings.HasPrefix(s[i:], "\u3000") {
				i += 3
				continue
			}
			var n int
			r, n = utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				return out, false, false
			}
			i += n
			r = foldRune(r, m)
		}
		switch r {
		case drop:
			continue
		case hard:
			return out, false, false
		case voice:
			r = voiced(lastRune(out[from:]), rune(s[i-1])-0x9E+'ﾞ')
			if r == 0 {
				return out, false, false
			}
			out = out[:len(out)-3]
		case dash:
			dashes = dashes || isKana(lastRune(out[from:]))
			r = '-'
		case long:
			r = longOrHyphen(lastRune(out[from:]))
		}
		out = utf8.AppendRune(out, r)
	}
	return out, dashes, true
}

// lastRune is the last rune that was written, 0 if none was.
func lastRune(out []byte) rune {
	if len(out) == 0 {
		return 0
	}
	r, _ := utf8.DecodeLastRune(out)
	return r
}

// unchanged is how many bytes at the head of s no rule changes: what most names are
// made of.
func unchanged(s string) (n int) {
	for n+3 <= len(s) {
		w := uint32(s[n]) | uint32(s[n+1])<<8 | uint32(s[n+2])<<16
		r := w&0x0F<<12 | w>>8&0x3F<<6 | w>>16&0x3F
		if w&0xC0C0F0 != 0x8080E0 || stays[r>>6]>>(r&63)&1 == 0 {
			break
		}
		n += 3
	}
	return n
}

// stays has a bit for each character that no rule changes, whatever stands around it:
// kanji of one drawing and large katakana.
var stays = func() (bits [0x10000 / 64]uint64) {
	for r := rune(0x30A1); r <= 0x9FFF; r++ {
		kanji := r >= 0x4E00 && inTables[r/64]&(1<<(r%64)) == 0
		if kanji || r <= 0x30F6 && largeKana[r-0x30A1]+0x60 == r {
			bits[r/64] |= 1 << (r % 64)
		}
	}
	return bits
}()

func longOrHyphen(prev rune) rune {
	if isKana(prev) {
		return longMark
	}
	return '-'
}

// foldRune is what a rune above ASCII becomes, or one of the answers beside it.
func foldRune(r rune, m mode) rune {
	switch {
	case r >= 0x4E00 && r <= 0x9FFF || r >= 0x3400 && r <= 0x4DBF:
		return variant(r, m)
	case r >= 0x3041 && r <= 0x3096:
		if m&katakana != 0 {
			return largeKana[r-0x3041] + 0x60
		}
		return largeKana[r-0x3041]
	case r == longMark || r == halfLongMark:
		return long
	case r == 0x309D || r == 0x309E:
		if m&katakana != 0 {
			return r + 0x60
		}
		return r
	case r >= 0x30A1 && r <= 0x30F6:
		return largeKana[r-0x30A1] + 0x60
	case r >= 0x30F7 && r <= 0x30FA || r == 0x30FD || r == 0x30FE || r >= 0x3001 && r <= 0x3020:
		return r
	case r >= 0x31F0 && r <= 0x31FF:
		return largeAinu[r-0x31F0]
	case r >= 0xFF01 && r <= 0xFF5E:
		return foldASCII(r - 0xFF01 + '!')
	case r >= 0xFF61 && r <= 0xFF9F:
		return foldHalf(r)
	}
	return foldRare(r, m)
}

func foldASCII(r rune) rune {
	if r == '-' {
		return dash
	}
	return rune(asciiFold[r])
}

func foldHalf(r rune) rune {
	if r >= 'ﾞ' {
		return voice
	}
	switch r = fullWidth[r-0xFF61]; {
	case r == '・':
		return drop
	case r >= 0x30A1 && r <= 0x30F6:
		return largeKana[r-0x30A1] + 0x60
	}
	return r
}

func foldRare(r rune, m mode) rune {
	switch {
	case isHyphen(r):
		return dash
	case dropped(r):
		return drop
	case r >= 0xE000 && r <= 0xF8FF: // user-defined characters
		return r
	case r == 0x2018 || r == 0x2019 || r == 0x2BC:
		return '\''
	case r == 0x301C: // CP932's ~ is U+FF5E on Windows and U+301C elsewhere
		return '~'
	case r >= 0x20000 && r <= 0x323AF && (r < 0x2F800 || r > 0x2FA1F):
		return variant(r, m)
	}
	switch r { // the twelve of the compatibility block that are no one's variant
	case 0xFA0E, 0xFA0F, 0xFA11, 0xFA13, 0xFA14, 0xFA1F, 0xFA21, 0xFA23, 0xFA24, 0xFA27, 0xFA28, 0xFA29:
		return variant(r, m)
	}
	return hard
}

// slow is fold for any text. It must agree with quick wherever quick answers.
func slow(s string, m mode) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	out := make([]byte, 0, len(s)+16)
	prev, marks := rune(0), 0
	for i := 0; i < len(s); {
		p := norm.NFKD.PropertiesString(s[i:])
		n := max(p.Size(), 1)
		parts := s[i : i+n]
		if d := p.Decomposition(); d != nil {
			parts = string(d)
		}
		i += n
		for _, r := range parts {
			if r = slowRune(r, prev, m); r == drop {
				continue
			}
			if unicode.Is(unicode.M, r) {
				if marks++; marks > maxMarks {
					continue
				}
			} else {
				// Marks may change places when they are composed: what stands
				// before is the character that bears them.
				marks, prev = 0, r
			}
			out = utf8.AppendRune(out, r)
		}
	}
	return longMarks(norm.NFC.String(string(out)))
}

func slowRune(r, prev rune, m mode) rune {
	if r < 0x80 {
		if asciiFold[r] == 0 {
			return drop
		}
		return rune(asciiFold[r])
	}
	switch to := foldRune(r, m); to {
	case dash:
		return '-'
	case long:
		return longOrHyphen(prev)
	case voice: // can't come: decomposed before
		return r
	case hard:
		return unicode.ToLower(r)
	default:
		return to
	}
}

// longMarks turns a hyphen after kana into a long mark, unless a digit follows:
// ジョ-ジ is ジョージ, but マンション-101 is a door.
func longMarks(s string) string {
	if strings.IndexByte(s, '-') < 0 {
		return s
	}
	out := make([]byte, 0, len(s)+16)
	prev := rune(0)
	for i, r := range s {
		if r == '-' && isKana(prev) && (i+1 == len(s) || s[i+1] < '0' || s[i+1] > '9') {
			r = longMark
		}
		out, prev = utf8.AppendRune(out, r), r
	}
	return string(out)
}

// wide is Wide for a text that holds more than ASCII.
func wide(s string) string {
	var stack [128]byte
	out, prev := stack[:0], rune(0)
	for _, r := range s {
		switch {
		case r >= 0x3041 && r <= 0x3096 || r == 0x309D || r == 0x309E:
			r += 0x60
		case r >= 0xFF61 && r <= 0xFF9D:
			r = fullWidth[r-0xFF61]
		case r == 'ﾞ' || r == 'ﾟ' || r == 0x3099 || r == 0x309A:
			if v := voiced(prev, r); v != 0 {
				out = out[:len(out)-3]
				r = v
			}
		}
		out, prev = utf8.AppendRune(out, r), r
	}
	if string(out) == s {
		return s
	}
	return string(out)
}
