package normal

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Address is the form of an address: width, hyphens, spaces and variants as in
// Name, and the numbers of block and house in one notation, so that 二丁目21番9号,
// 2の21の9 and 2-21-9 are equal. It knows no place names: a numeral in kanji
// becomes a digit only where a unit or another number says that it counts, which
// leaves 三番町, 六本木 and 5番地二引ビル's 二引 alone.
func Address(s string) string {
	s = fold(s, 0)
	for {
		// A pass leaves little for the next; it ends, since each change takes
		// a character above ASCII away.
		t := numbers(s)
		if t == s {
			return s
		}
		s = t
	}
}

// numbers rewrites the numbers of s, once.
func numbers(s string) string {
	var stack [256]byte
	out, joined := stack[:0], false // joined: a number was promised here
	for i := 0; i < len(s); {
		text, end := numberAt(s, i)
		if end == i {
			joined = false
			_, n := utf8.DecodeRuneInString(s[i:])
			out = append(out, s[i:i+n]...)
			i += n
			continue
		}
		units, joint := afterNumber(s, end)
		if text == "" || !joined && !isDigit(s[i]) && joint == end {
			out = append(out, s[i:end]...) // a numeral in a name
			i, joined = end, false
			continue
		}
		if n := len(out); n > 0 && isDigit(out[n-1]) && !isDigit(s[i]) {
			out = append(out, '-') // 3十番地: two numbers, not 310
		}
		out = append(out, text...)
		i, joined = joint, joint > units || units > end && countsAt(s, units)
		if joined {
			out = append(out, '-')
		}
	}
	return string(out)
}

// afterNumber looks at what follows a number that ends at end: the units, up to
// units, and a joint (の, ノ, '-') to another number, up to joint. Without a
// number after it, there is no joint.
func afterNumber(s string, end int) (units, joint int) {
	units = end
	for n := unitAt(s, units); n > 0; n = unitAt(s, units) {
		units += n
	}
	for _, j := range [...]string{"-", "の", "ノ"} {
		if strings.HasPrefix(s[units:], j) && countsAt(s, units+len(j)) {
			return units, units + len(j)
		}
	}
	return units, units
}

// countsAt says whether the text at i is a number rather than a name that
// begins with a numeral: digits, or a numeral with a unit, a joint or the end
// after it.
func countsAt(s string, i int) bool {
	text, end := numberAt(s, i)
	switch {
	case text == "":
		return false
	case isDigit(s[i]), end == len(s), unitAt(s, end) > 0:
		return true
	}
	rest := s[end:]
	return rest[0] == '-' || strings.HasPrefix(rest, "の") || strings.HasPrefix(rest, "ノ")
}

// unitAt is the length of the unit at i, 0 if there is none. 番町, 号棟 and the
// like are names.
func unitAt(s string, i int) int {
	for _, u := range [...]struct{ unit, unless string }{
		{"丁目", ""}, {"番地", ""}, {"番", "町丁街館組目台通外場"}, {"号室", ""}, {"号", "棟館線車機地口店"},
	} {
		if !strings.HasPrefix(s[i:], u.unit) {
			continue
		}
		next, _ := utf8.DecodeRuneInString(s[i+len(u.unit):])
		if i+len(u.unit) < len(s) && strings.ContainsRune(u.unless, next) {
			return 0
		}
		return len(u.unit)
	}
	return 0
}

// numberAt reads the number at i, in digits or in kanji, up to end. The text is
// "" where the kanji make no number (十十); end is i where there is none at all.
func numberAt(s string, i int) (text string, end int) {
	end = i
	for end < len(s) && isDigit(s[end]) {
		end++
	}
	if end > i {
		return s[i:end], end
	}
	for end < len(s) {
		r, n := utf8.DecodeRuneInString(s[end:])
		if numeral(r) < 0 {
			break
		}
		end += n
	}
	return kanjiNumber(s[i:end]), end
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// numeral is the value of a numeral in kanji, -1 if r isn't one.
func numeral(r rune) int {
	switch r {
	case '〇':
		return 0
	case '一':
		return 1
	case '二':
		return 2
	case '三':
		return 3
	case '四':
		return 4
	case '五':
		return 5
	case '六':
		return 6
	case '七':
		return 7
	case '八':
		return 8
	case '九':
		return 9
	case '十':
		return 10
	case '百':
		return 100
	case '千':
		return 1000
	}
	return -1
}

// kanjiNumber reads 二十一 and 二一, both 21; "" if s is neither, or longer than
// any number of a house.
func kanjiNumber(s string) string {
	if s == "" || len(s) > 8*len("十") {
		return ""
	}
	if !strings.ContainsAny(s, "十百千") {
		digits := make([]byte, 0, 8)
		for _, r := range s {
			digits = append(digits, byte('0'+numeral(r)))
		}
		return string(digits)
	}
	total, digit, below := 0, -1, 10000
	for _, r := range s {
		n := numeral(r)
		switch {
		case n < 10 && (digit >= 0 || n == 0):
			return ""
		case n < 10:
			digit = n
		case n >= below:
			return ""
		default:
			total, below = total+max(digit, 1)*n, n
			digit = -1
		}
	}
	return strconv.Itoa(total + max(digit, 0))
}
