package value

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"azekura/register/normal"
)

// text is what the types have in common: one canonical text, which only the
// package's constructors write, and which no format verb shows.
type text struct{ s string }

// Text is the canonical text, personal data in most types.
func (t text) Text() string { return t.s }

// IsZero says that the value is absent.
func (t text) IsZero() bool { return t.s == "" }

// Valid says that a constructor made the value.
func (t text) Valid() bool { return t.s != "" }

// String keeps the value out of logs and errors; Text gives it.
func (t text) String() string { return "[withheld]" }

// GoString keeps it out of %#v too.
func (t text) GoString() string { return "[withheld]" }

// BasicNumber is a basic pension number: ten digits. It has no check digit, so
// its shape is all that can be held against a mistake.
type BasicNumber struct{ text }

// ParseBasicNumber reads 1234567890 or 1234-567890, in any width. What looks
// like another scheme's number, a certificate's or an individual number is
// refused by a Reason that says so.
func ParseBasicNumber(s string) (BasicNumber, error) {
	if len(s) == 10 && normal.Digits(s) == s && s != "0000000000" {
		return BasicNumber{text{s}}, nil
	}
	if s == "" {
		return BasicNumber{}, Empty
	}
	if err := plain(s, 64); err != nil {
		return BasicNumber{}, err
	}
	digits := normal.Digits(s)
	if digits == "" {
		return BasicNumber{}, notDigits(s)
	}
	return basicNumber(digits, normal.Name(s))
}

func basicNumber(digits, folded string) (BasicNumber, error) {
	switch len(digits) {
	case 10:
	case 11:
		return BasicNumber{}, EmployeesNumber
	case 12:
		return BasicNumber{}, TwelveDigits
	case 14:
		return BasicNumber{}, CertificateNumber
	default:
		if len(digits) < 10 {
			return BasicNumber{}, ShortNumber
		}
		return BasicNumber{}, LongNumber
	}
	if folded != digits && folded != digits[:4]+"-"+digits[4:] {
		return BasicNumber{}, SplitNumber
	}
	if digits == "0000000000" {
		return BasicNumber{}, ZeroNumber
	}
	return BasicNumber{text{digits}}, nil
}

// notDigits tells a symbol beside a number from what is no number at all.
func notDigits(s string) error {
	letter, digit := false, false
	for _, r := range s {
		letter = letter || unicode.IsLetter(r)
		digit = digit || unicode.IsDigit(r)
	}
	if letter && digit {
		return SymbolNumber
	}
	return NotNumber
}

// OldSchemeNumber is a number of another type: an older scheme's, or one that
// isn't known to be a basic pension number. Nothing turns it into one.
type OldSchemeNumber struct{ text }

// ParseOldSchemeNumber reads letters (kanji and kana too), digits and hyphens.
func ParseOldSchemeNumber(s string) (OldSchemeNumber, error) {
	if err := plain(s, 64); err != nil {
		return OldSchemeNumber{}, err
	}
	folded := strings.ToUpper(normal.Name(s))
	digit := false
	for _, r := range folded {
		if r != '-' && !unicode.IsLetter(r) && (r < '0' || r > '9') {
			return OldSchemeNumber{}, NotOldNumber
		}
		digit = digit || r <= '9' && r >= '0'
	}
	if !digit || utf8.RuneCountInString(folded) > 20 || folded[0] == '-' {
		return OldSchemeNumber{}, NotOldNumber
	}
	return OldSchemeNumber{text{folded}}, nil
}

// Ref is the agency's own key of a participant: opaque, compared byte by byte.
type Ref struct{ text }

// ParseRef reads 1 to 32 ASCII letters, digits, '-', '_', '.' and '/'.
func ParseRef(s string) (Ref, error) {
	s = trim(s)
	if s == "" || len(s) > 32 || s[0] == '-' {
		return Ref{}, NotRef
	}
	for i := range len(s) {
		if !refByte[s[i]] {
			return Ref{}, NotRef
		}
	}
	return Ref{text{s}}, nil
}

var refByte = func() (t [256]bool) {
	for c := range t {
		switch c := byte(c); {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z':
			t[c] = true
		case c == '-', c == '_', c == '.', c == '/':
			t[c] = true
		}
	}
	return t
}()
