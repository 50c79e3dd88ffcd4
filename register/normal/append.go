package normal

import (
	"strings"
	"unicode/utf8"
)

// AppendName appends Name(s) to dst, without a string in between: what a scan of
// many gigabytes needs of the same rules.
func AppendName(dst []byte, s string) []byte { return appendFold(dst, s, 0) }

// AppendNameLoose appends NameLoose(s).
func AppendNameLoose(dst []byte, s string) []byte { return appendFold(dst, s, tier2) }

// AppendKana appends Kana(s).
func AppendKana(dst []byte, s string) []byte { return appendFold(dst, s, katakana) }

// AppendLoose appends what tier 2 makes of a text that Name has folded already:
// NameLoose without folding again.
func AppendLoose(dst []byte, folded []byte) []byte {
	for i := 0; i < len(folded); {
		if c := folded[i]; c < 0xE0 { // below U+0800 there is no kanji
			dst = append(dst, c)
			i++
			continue
		}
		n := 3
		if folded[i] >= 0xF0 {
			n = 4
		}
		n = min(n, len(folded)-i)
		r, _ := utf8.DecodeRune(folded[i : i+n])
		if to := variant(r, tier2); to != r {
			dst = utf8.AppendRune(dst, to)
		} else {
			dst = append(dst, folded[i:i+n]...)
		}
		i += n
	}
	return dst
}

func appendFold(dst []byte, s string, m mode) []byte {
	if n := unchanged(s); n > 0 { // a surname, a blank and a given name
		given := s[n:]
		if strings.HasPrefix(given, "\u3000") {
			given = given[len("\u3000"):]
		} else if strings.HasPrefix(given, " ") {
			given = given[1:]
		}
		if unchanged(given) == len(given) {
			return append(append(dst, s[:n]...), given...)
		}
	}
	if folded(s) {
		return append(dst, s...)
	}
	from := len(dst)
	out, dashes, ok := quick(dst, s, m)
	if !ok {
		return append(dst[:from], slow(s, m)...)
	}
	if dashes {
		return append(out[:from], longMarks(string(out[from:]))...)
	}
	return out
}

// Tier says how two names are the same.
type Tier uint8

// The tiers, the surest first. The zero Tier is no match.
const (
	Different Tier = iota
	Written        // byte for byte
	Same           // the same characters in other drawings, widths or spacing
	Loose          // characters that some registers keep apart
)

// String is the tier's name in evidence.
func (t Tier) String() string {
	return [...]string{"different", "written", "same", "loose"}[min(t, Loose)]
}

// Compare tells by which tier two names are the same.
func Compare(a, b string) Tier {
	switch {
	case a == b:
		return Written
	case Name(a) == Name(b):
		return Same
	case NameLoose(a) == NameLoose(b):
		return Loose
	}
	return Different
}
