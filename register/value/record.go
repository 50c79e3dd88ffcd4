package value

import (
	"strconv"
	"strings"
	"time"

	"azekura/register/field"
)

// fields is how many fields a record has; a test holds it to field.All.
const fields = int(field.Ref) + 1

// Record is one participant's fields as validated plaintext. What isn't there is
// "". Only canonical text gets in: the fields are unexported, and Set and Parse
// check. The zero Record is an empty one.
//
// It prints as the names of its fields, never their values.
type Record struct{ values [fields]string }

// Get is the canonical text of a field, "" if it is absent.
func (r *Record) Get(f field.Field) string {
	if int(f) >= fields {
		return ""
	}
	return r.values[f]
}

// Set puts in a text that is already canonical, such as one out of an envelope,
// and refuses any other (NotCanonical, or why it isn't a value at all). ""
// takes the field out.
func (r *Record) Set(f field.Field, canonical string) error {
	if int(f) >= fields {
		return NotField
	}
	if canonical != "" {
		// The day on which a birth was accepted is past: it can't be future now.
		stored, err := parseField(f, canonical, endOfTime)
		if err != nil {
			return err
		}
		if stored != canonical {
			return NotCanonical
		}
	}
	r.values[f] = canonical
	return nil
}

var endOfTime = time.Date(9999, 12, 31, 0, 0, 0, 0, jst)

// Fields is the set of fields that the record holds.
func (r *Record) Fields() field.Set {
	var s field.Set
	for f, v := range r.values {
		if v != "" {
			s |= field.SetOf(field.Field(f))
		}
	}
	return s
}

// String names the fields and keeps the values out of logs and errors.
func (r Record) String() string { return "record of " + r.Fields().String() }

// GoString keeps them out of %#v too.
func (r Record) GoString() string { return r.String() }

// ParseField is the canonical text of one field, as it is stored:
//
//	number   ten digits
//	birth    YYYY-MM-DD
//	sex      M or F
//	address  postal code or nothing, tab, text
//	account  bank, branch, type, number, holder, tabs between
//
// and for the others what their types say. An address is read with its postal
// code before it ("100-0005 東京都...", 〒 or not), an account in its stored form.
// Empty text is an error, since it has no canonical form: leave the field out.
func ParseField(f field.Field, text string, now time.Time) (string, error) {
	return parseField(f, text, now)
}

func parseField(f field.Field, s string, now time.Time) (string, error) {
	switch f {
	case field.Number:
		v, err := ParseBasicNumber(s)
		return v.s, err
	case field.Name:
		v, err := ParseName(s)
		return v.s, err
	case field.Kana:
		v, err := ParseKana(s)
		return v.s, err
	case field.Romaji:
		v, err := ParseRomaji(s)
		return v.s, err
	case field.Birth:
		v, err := ParseBirth(s, now)
		if err == nil && v.Format() == s {
			return s, nil // the usual case, without a new string
		}
		return v.Format(), err
	case field.Sex:
		v, err := ParseSex(s)
		return v.s, err
	case field.Address:
		return parseAddress(s)
	case field.Phone:
		v, err := ParsePhone(s)
		return v.s, err
	case field.Email:
		v, err := ParseEmail(s)
		return v.s, err
	case field.Account:
		parts, ok := splitFive(s)
		if !ok {
			return "", NotAccount
		}
		a, _, err := parseAccount(parts)
		return a.Text(), err
	case field.Ref:
		v, err := ParseRef(s)
		return v.s, err
	}
	return "", NotField
}

// JoinAddress writes a postal code (or "") and an address as one canonical text.
func JoinAddress(postal, text string) string { return postal + "\t" + text }

// SplitAddress reads the parts of a canonical text; not ok if it isn't one.
func SplitAddress(canonical string) (postal, text string, ok bool) {
	return strings.Cut(canonical, "\t")
}

// parseAddress reads an address with its postal code before it, or its
// canonical text.
func parseAddress(s string) (string, error) {
	postal, text, ok := SplitAddress(s)
	if !ok {
		postal, text = leadingPostal(trim(s))
	}
	return joinParsed(postal, text)
}

func joinParsed(postal, text string) (string, error) {
	if trim(postal) != "" {
		p, err := ParsePostalCode(postal)
		if err != nil {
			return "", err
		}
		postal = p.s
	} else {
		postal = ""
	}
	if postal != "" && trim(text) == "" {
		return "", NoAddress
	}
	a, err := ParseAddressText(text)
	if err != nil {
		return "", err
	}
	return JoinAddress(postal, a.s), nil
}

// leadingPostal cuts a postal code off the front of s: all that comes before the
// first character that can't be of one, if that holds seven digits or s says 〒.
func leadingPostal(s string) (postal, text string) {
	rest, marked := strings.CutPrefix(s, "〒")
	digits, end := 0, 0
	for i, r := range rest {
		switch {
		case r >= '0' && r <= '9', r >= '０' && r <= '９':
			digits++
			end = i + len(string(r))
			continue
		case (digits == 0 || digits == 3) && (r == ' ' || r == '\u3000'),
			digits == 3 && (r == '-' || r == '－' || r == 'ー' || r == 0x2010 || r == 0x2212):
			continue
		}
		break
	}
	if digits == 7 || marked {
		return rest[:end], rest[end:]
	}
	return "", s
}

// The kinds of award.
const (
	OldAgeBasic         = "old-age-basic"
	OldAgeEmployees     = "old-age-employees"
	DisabilityBasic     = "disability-basic"
	DisabilityEmployees = "disability-employees"
	SurvivorsBasic      = "survivors-basic"
	SurvivorsEmployees  = "survivors-employees"
)

// maxYen is the largest yearly amount of an award, in yen.
const maxYen = 99_999_999

// Award is what a row says is due to a participant; the zero value is none.
type Award struct {
	Kind      string
	AnnualYen int64
}

// ParseAward reads a kind and a yearly amount in whole yen: both, or neither.
func ParseAward(kind, yen string) (Award, error) {
	a, _, err := parseAward(kind, yen)
	return a, err
}

// parseAward also says which column is wrong.
func parseAward(kind, yen string) (Award, Column, error) {
	kind, yen = trim(kind), trim(yen)
	switch kind {
	case OldAgeBasic, OldAgeEmployees, DisabilityBasic, DisabilityEmployees, SurvivorsBasic, SurvivorsEmployees:
	case "":
		if yen == "" {
			return Award{}, 0, nil
		}
		return Award{}, ColAwardKind, PartAward
	default:
		return Award{}, ColAwardKind, NotKind
	}
	if yen == "" {
		return Award{}, ColAwardAnnualYen, PartAward
	}
	for i := range len(yen) {
		if yen[i] < '0' || yen[i] > '9' {
			return Award{}, ColAwardAnnualYen, NotYen
		}
	}
	n, err := strconv.ParseInt(yen, 10, 64)
	if err != nil || n > maxYen {
		return Award{}, ColAwardAnnualYen, NotYen
	}
	return Award{kind, n}, 0, nil
}
