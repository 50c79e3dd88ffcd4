package value

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"azekura/register/normal"
)

// The longest texts, in characters.
const (
	maxName    = 200
	maxAddress = 300
)

// plain says why s can't be one line of text of at most limit characters.
func plain(s string, limit int) error {
	count := 0
	for i := 0; i < len(s); count++ {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == 0x7F {
				return Control
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError {
			if n == 1 {
				return NotText
			}
			return LostCharacter
		}
		if invisible(r) {
			return Control
		}
		i += n
	}
	if count > limit {
		return TooLong
	}
	return nil
}

// invisible says whether r changes what a reader sees without being seen:
// controls, direction marks, line separators, zero-width characters. Variation
// selectors aren't: they say which drawing of a kanji is meant.
func invisible(r rune) bool {
	if r >= 0x3000 && r <= 0xDFFF {
		return r == 0x3164
	}
	return r < 0xA0 || r == 0x2028 || r == 0x2029 || unicode.Is(unicode.Cf, r)
}

// line is s trimmed, if it is one line of at most limit characters that no
// spreadsheet takes for a formula.
func line(s string, limit int) (string, error) {
	s = trim(s)
	if s == "" {
		return "", Empty
	}
	if err := plain(s, limit); err != nil {
		return "", err
	}
	if formula(s) {
		return "", Formula
	}
	return s, nil
}

// formula says whether s begins as a formula does, in either width: a
// spreadsheet's import folds the width too.
func formula(s string) bool {
	switch r, _ := utf8.DecodeRuneInString(s); r {
	case '=', '+', '-', '@', '＝', '＋', '－', '＠', 0x2212, 0xFE63, 0xFE62, 0xFE66, 0xFE6B:
		return true
	}
	return false
}

// trim takes spaces off both ends, but leaves tabs and line breaks for plain to
// refuse.
func trim(s string) string {
	for s != "" {
		n := leadingSpace(s)
		if n == 0 {
			break
		}
		s = s[n:]
	}
	for s != "" {
		switch c := s[len(s)-1]; {
		case c == ' ':
			s = s[:len(s)-1]
		case c == 0x80 && strings.HasSuffix(s, "\u3000"):
			s = s[:len(s)-len("\u3000")]
		case c == 0xA0 && strings.HasSuffix(s, "\u00a0"):
			s = s[:len(s)-len("\u00a0")]
		default:
			return s
		}
	}
	return s
}

// leadingSpace is the length of the space that s begins with: ASCII's, the
// full-width one or the one that doesn't break.
func leadingSpace(s string) int {
	switch {
	case s[0] == ' ':
		return 1
	case s[0] == 0xE3 && strings.HasPrefix(s, "\u3000"):
		return len("\u3000")
	case s[0] == 0xC2 && strings.HasPrefix(s, "\u00a0"):
		return len("\u00a0")
	}
	return 0
}

// Name is a name as registered, in any script, its spaces and variant
// characters kept as they were written.
type Name struct{ text }

// ParseName reads 1 to 200 characters.
func ParseName(s string) (Name, error) {
	s, err := line(s, maxName)
	if err != nil {
		return Name{}, err
	}
	if normal.Name(s) == "" {
		return Name{}, Empty
	}
	return Name{text{s}}, nil
}

// Kana is a name's reading, in full-width katakana with one full-width space
// between its parts.
type Kana struct{ text }

// ParseKana reads katakana of either width, or hiragana.
func ParseKana(s string) (Kana, error) {
	s, err := line(s, maxName)
	if err != nil {
		return Kana{}, err
	}
	s = spaced(normal.Wide(s), "\u3000")
	kana := false
	for _, r := range s {
		switch {
		case r >= 0x30A1 && r <= 0x30FA:
			kana = true
		case r >= 0x30FB && r <= 0x30FE, r == '\u3000', r == '-', r == '.', r == '．', r == '－', r >= 0x31F0 && r <= 0x31FF:
		case r == 0x2010 || r == 0x2212 || r == 0x2015 || r == '＝' || r == 0x3099 || r == 0x309A:
		default:
			return Kana{}, NotKana
		}
	}
	if !kana {
		return Kana{}, NotKana
	}
	return Kana{text{s}}, nil
}

// spaced is s, which is trimmed, with every run of spaces as one space of the
// given kind.
func spaced(s, space string) string {
	var stack [128]byte
	out := stack[:0]
	for i := 0; i < len(s); {
		n := leadingSpace(s[i:])
		if n == 0 {
			out = append(out, s[i])
			i++
			continue
		}
		if i += n; i == len(s) || leadingSpace(s[i:]) == 0 { // the run's last
			out = append(out, space...)
		}
	}
	if string(out) == s {
		return s
	}
	return string(out)
}

// Romaji is a name in Latin letters, with one space between its parts.
type Romaji struct{ text }

// ParseRomaji reads Latin letters of either width, with accents, and the marks
// of names: space, apostrophe, hyphen, full stop, comma.
func ParseRomaji(s string) (Romaji, error) {
	s, err := line(s, maxName)
	if err != nil {
		return Romaji{}, err
	}
	s = spaced(narrow(s), " ")
	letters := false
	for _, r := range s {
		switch {
		case r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= 0x80 && unicode.Is(unicode.Latin, r):
			letters = true
		case r == ' ', r == '\'', r == '-', r == '.', r == ',', r == 0x2019, r == 0x2010, unicode.Is(unicode.Mn, r):
		default:
			return Romaji{}, NotRomaji
		}
	}
	if !letters {
		return Romaji{}, NotRomaji
	}
	return Romaji{text{s}}, nil
}

// narrow is s with full-width ASCII in one byte each.
func narrow(s string) string {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return strings.Map(func(r rune) rune {
				if r >= 0xFF01 && r <= 0xFF5E {
					return r - 0xFF01 + '!'
				}
				return r
			}, s)
		}
	}
	return s
}

// AddressText is the text of an address, without its postal code.
type AddressText struct{ text }

// ParseAddressText reads 1 to 300 characters.
func ParseAddressText(s string) (AddressText, error) {
	s, err := line(s, maxAddress)
	if err != nil {
		return AddressText{}, err
	}
	return AddressText{text{s}}, nil
}

// Sex is a sex as registered: M or F, or the zero value where the register holds
// none.
type Sex struct{ text }

// ParseSex reads M, F, 男, 女, 1, 2, male or female.
func ParseSex(s string) (Sex, error) {
	switch s {
	case "M", "F":
		return Sex{text{s}}, nil
	}
	if len(s) > 64 {
		return Sex{}, NotSex
	}
	switch normal.Name(s) {
	case "m", "male", "男", "男性", "1":
		return Sex{text{"M"}}, nil
	case "f", "female", "女", "女性", "2":
		return Sex{text{"F"}}, nil
	}
	return Sex{}, NotSex
}

// PostalCode is seven digits.
type PostalCode struct{ text }

// ParsePostalCode reads 1000005, 100-0005 or 〒100-0005, in any width.
func ParsePostalCode(s string) (PostalCode, error) {
	if len(s) > 64 {
		return PostalCode{}, NotPostal
	}
	if p := normal.Postal(s); p != "" {
		return PostalCode{text{p}}, nil
	}
	return PostalCode{}, NotPostal
}

// Phone is a telephone number as dialled within Japan, digits only, or a foreign
// one with its + and country code.
type Phone struct{ text }

// ParsePhone reads a number of any width, with hyphens, spaces and brackets.
func ParsePhone(s string) (Phone, error) {
	if len(s) > 128 {
		return Phone{}, NotPhone
	}
	if p := normal.Phone(s); p != "" {
		return Phone{text{p}}, nil
	}
	return Phone{}, NotPhone
}

// Email is an e-mail address, its domain in lower case.
type Email struct{ text }

// ParseEmail reads an address of the plain kind (no comments, quotes or address
// literals). Dots may stand anywhere before the @: Japanese carriers gave such
// addresses out.
func ParseEmail(s string) (Email, error) {
	s = narrow(trim(s))
	local, domain, found := strings.Cut(s, "@")
	if !found || len(s) > 254 || local == "" || len(local) > 64 {
		return Email{}, NotEmail
	}
	if formula(s) {
		return Email{}, Formula
	}
	for i := range len(local) {
		if c := local[i]; c <= ' ' || c >= 0x7F || strings.IndexByte(`"(),:;<>[\]`, c) >= 0 {
			return Email{}, NotEmail
		}
	}
	domain = strings.ToLower(domain)
	if !isDomain(domain) {
		return Email{}, NotEmail
	}
	return Email{text{local + "@" + domain}}, nil
}

func isDomain(s string) bool {
	dots, label := 0, 0 // label: length of the one being read
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
		case c == '-' && label > 0:
		case c == '.' && label > 0 && s[i-1] != '-':
			dots, label = dots+1, -1
		default:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return dots > 0 && label > 0 && s[len(s)-1] != '-'
}
