// Package normal gives the one form in which a text is compared. A blind index
// and the leak scan both look for equal bytes, so whatever stores a token and
// whatever asks for it must come through here.
//
// It promises that a form is stable (normalising it again changes nothing),
// valid UTF-8, and the same in every process of one Version; that no function
// panics, whatever the bytes; and that user-defined characters (外字, private
// use) stay what they are, because dropping them would make two people one. It
// doesn't promise that a form can be read, printed or turned back: the register
// keeps what was written, and only the index sees this. It validates nothing.
//
// Plain NFKC isn't enough: it leaves 髙 and 﨑, variation selectors, U+2212
// between digits, small kana and the case of letters.
package normal

import "strings"

// Version is the version of these rules. A token made under another one can't
// be compared: change any rule and this number rises, and the indexes are built
// again.
const Version = 2

// Name is the form of a name in kanji or Latin letters: width, spaces out,
// variants of the same character, small kana large, Latin letters in lower case.
func Name(s string) string { return fold(s, 0) }

// NameLoose is Name with tier 2 as well, for a search that found nobody: 斉藤
// finds 齋藤, 冨田 finds 富田.
func NameLoose(s string) string { return fold(s, tier2) }

// Kana is the form of a name in kana: half-width, full-width and hiragana
// become large full-width katakana, the long-vowel marks one mark.
func Kana(s string) string { return fold(s, katakana) }

// Email is the form of an e-mail address: width, spaces out, lower case.
func Email(s string) string { return fold(s, 0) }

// Digits is the digits of s, of any width, without hyphens and spaces between;
// "" if s holds anything else.
func Digits(s string) string {
	if allDigits(s) {
		return s
	}
	return digitsOf(s, "")
}

// Phone is the digits of a Japanese telephone number, as dialled within Japan
// (0312345678), or a foreign one as +1...; "" if s is neither.
func Phone(s string) string {
	s = fold(s, 0)
	foreign := strings.HasPrefix(s, "+")
	digits := digitsOf(strings.TrimPrefix(s, "+"), "().")
	if !foreign && strings.HasPrefix(digits, "00") {
		foreign, digits = true, digits[2:]
	}
	if foreign && strings.HasPrefix(digits, "81") {
		// +81 (0)3 is common on cards, though no one can dial it.
		foreign, digits = false, "0"+strings.TrimPrefix(digits[2:], "0")
	}
	switch {
	case foreign && len(digits) >= 7 && len(digits) <= 15 && digits[0] != '0':
		return "+" + digits
	case !foreign && (len(digits) == 10 || len(digits) == 11) && digits[0] == '0' && digits[1] != '0':
		return digits
	}
	return ""
}

// Postal is the seven digits of a postal code; "" if s isn't one.
func Postal(s string) string {
	if len(s) != 7 || !allDigits(s) {
		s = digitsOf(strings.TrimPrefix(fold(s, 0), "〒"), "")
	}
	if len(s) != 7 {
		return ""
	}
	return s
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// digitsOf drops spaces, hyphens and the bytes of also; anything else that isn't
// a digit makes it "".
func digitsOf(s, also string) string {
	var stack [32]byte
	out := stack[:0]
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			out = append(out, byte(r))
		case r >= '０' && r <= '９':
			out = append(out, byte(r-'０'+'0'))
		case r == ' ' || r == longMark || r == halfLongMark || isHyphen(r) || dropped(r):
		case r < 0x80 && strings.IndexByte(also, byte(r)) >= 0:
		default:
			return ""
		}
	}
	return string(out)
}

// Wide is s with half-width katakana and hiragana as full-width katakana,
// voicing marks composed, and nothing else changed: for display, not for an
// index.
func Wide(s string) string {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return wide(s)
		}
	}
	return s
}
