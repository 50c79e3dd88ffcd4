package normal

import (
	"strings"
	"unicode/utf8"
)

// walk is headEnds and headOf for a head of the usual kind, in one pass and without
// memory: kanji and kana that mean the same whatever stands around them, numerals that
// are part of a name, and then a digit. at is where that stands; not ok means that
// only headOf knows. The head is good until the next one.
func (p *Places) walk(s string) (h head, at int, ok bool) {
	table := towns()
	i := table.prefectureEnds(s)
	if i < 0 || len(s) > 4*maxAddressText {
		return head{}, 0, false
	}
	from, rest, last := i, i, rune(0)
	text, hash := p.text[:0], uint64(hashStart)
	for i+2 < len(s) && s[i] >= 0xE3 && s[i] <= 0xE9 {
		r := rune(s[i]&0x0F)<<12 | rune(s[i+1]&0x3F)<<6 | rune(s[i+2]&0x3F)
		if (s[i+1]^0x80)|(s[i+2]^0x80) > 0x3F {
			return head{}, 0, false
		}
		to := table.plain[r]
		last = r
		i += 3
		if to == 0 || h.steps >= longestTown {
			return head{}, 0, false
		}
		switch to {
		case isNumeral:
			var number string
			if number, i = numberAt(s, i-3); number == "" || table.counts(s[i:]) {
				return head{}, 0, false
			}
			for _, b := range []byte(number) {
				hash = hashed(hash, rune(b))
			}
			text = append(text, number...)
		default:
			hash = hashed(hash, rune(to))
			text = append(text, 0xE0|byte(to>>12), 0x80|byte(to>>6)&0x3F, 0x80|byte(to)&0x3F)
		}
		if h.steps++; table.has(hash) {
			rest, h.town = i, len(text)
			h.steps = max(h.steps-1, longestTown-pastTown) + 1
		}
	}
	p.text = text
	if i == len(s) || i == from || !headMayEnd(last) {
		return head{}, 0, false
	}
	if _, n := digitAt(s, i); n == 0 {
		return head{}, 0, false
	}
	h.whole, h.hash, h.goesOn = str(text), hash, table.goesOn(hash)
	h.bare = h.town > 0 && strings.TrimPrefix(s[rest:i], "字") == ""
	h.slow = h.town == 0 && h.steps >= longestTown
	return h, i, true
}

// headMayEnd says whether a digit after a character of a head begins the numbers,
// as headEnds has it.
func headMayEnd(last rune) bool {
	switch last {
	case '目', '地', '番', '号', '室', 'の', 'ノ', '々':
		return false
	}
	return numeral(last) < 0
}

// counts says whether what follows a numeral in kanji may make it a number: a unit, a
// joint, or a digit.
func (t *townTable) counts(rest string) bool {
	r, n := utf8.DecodeRuneInString(rest)
	if n != 3 || r > 0xFFFF {
		return true
	}
	switch t.plain[r] {
	case 0, '丁', '番', '号', 'の':
		return true
	}
	return false
}

// prefectureEnds is where the prefecture that an address begins with ends, 0 if it
// begins with none; below 0, only withoutPrefecture knows.
func (t *townTable) prefectureEnds(s string) int {
	if len(s) < 12 {
		return -1
	}
	for i := 0; i < 12; i += 3 {
		if s[i] < 0xE3 || s[i] > 0xE9 || s[i+1]&0xC0 != 0x80 || s[i+2]&0xC0 != 0x80 {
			return -1
		}
		r := rune(s[i]&0x0F)<<12 | rune(s[i+1]&0x3F)<<6 | rune(s[i+2]&0x3F)
		if to := t.plain[r]; to != isNumeral && rune(to) != r {
			return -1
		}
	}
	if strings.HasPrefix(s, "北海道") {
		return len("北海道")
	}
	for _, at := range [...]int{6, 9} {
		switch end := s[at : at+3]; end {
		case "都", "府", "県":
			if prefectures[s[:at]] && (end != "都" || s[:at] != "京都") {
				return at + 3
			}
		}
	}
	return 0
}
