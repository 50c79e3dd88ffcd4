package value

import (
	"fmt"
	"time"

	"azekura/register/field"
	"azekura/register/normal"
)

// Kind is one blind index. The numbers are stored beside the tokens: never
// renumber, only add.
type Kind uint8

// The indexes. A birth has 40,000 values and is never indexed alone: together
// with a name or a postal code it narrows, by itself it would sort the register
// into groups that anyone could guess.
const (
	KindNumber      Kind = 1 // basic pension number
	KindRef         Kind = 2 // the agency's own key
	KindKanaBirth   Kind = 3 // name in kana, and birth
	KindNameBirth   Kind = 4 // name, and birth
	KindPostalBirth Kind = 5 // postal code, and birth
	KindPhone       Kind = 6 // telephone number
)

// Kinds lists the indexes.
func Kinds() []Kind {
	return []Kind{KindNumber, KindRef, KindKanaBirth, KindNameBirth, KindPostalBirth, KindPhone}
}

// String is the index's name.
func (k Kind) String() string {
	switch k {
	case KindNumber:
		return "number"
	case KindRef:
		return "ref"
	case KindKanaBirth:
		return "kana_birth"
	case KindNameBirth:
		return "name_birth"
	case KindPostalBirth:
		return "postal_birth"
	case KindPhone:
		return "phone"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Fields is the fields that a hit in the index tells.
func (k Kind) Fields() field.Set {
	switch k {
	case KindNumber:
		return field.SetOf(field.Number)
	case KindRef:
		return field.SetOf(field.Ref)
	case KindKanaBirth:
		return field.SetOf(field.Kana, field.Birth)
	case KindNameBirth:
		return field.SetOf(field.Name, field.Birth)
	case KindPostalBirth:
		return field.SetOf(field.Address, field.Birth)
	case KindPhone:
		return field.SetOf(field.Phone)
	}
	return 0
}

// Form is a normalised text to be made a token of, under the key of its index.
// It is personal data.
type Form struct {
	Kind Kind
	Text string
}

// String keeps the text out of logs and errors.
func (f Form) String() string { return "[withheld " + f.Kind.String() + "]" }

// GoString keeps it out of %#v too.
func (f Form) GoString() string { return f.String() }

// separator stands between two texts of a form; no field can hold it.
const separator = "\x1f"

// IndexForms is the forms of a record, in the order of their kinds; a kind whose
// fields are absent has none.
func IndexForms(r *Record) []Form { return AppendIndexForms(make([]Form, 0, 6), r) }

// AppendIndexForms is IndexForms onto forms, for a caller with many records.
func AppendIndexForms(forms []Form, r *Record) []Form {
	add := func(k Kind, text string) {
		if text != "" {
			forms = append(forms, Form{k, text})
		}
	}
	birth := r.values[field.Birth]
	withBirth := func(k Kind, text string) {
		if text != "" && birth != "" {
			add(k, text+separator+birth)
		}
	}
	postal, _, _ := SplitAddress(r.values[field.Address])
	add(KindNumber, r.values[field.Number])
	add(KindRef, r.values[field.Ref])
	withBirth(KindKanaBirth, normal.Kana(r.values[field.Kana]))
	withBirth(KindNameBirth, normal.Name(r.values[field.Name]))
	withBirth(KindPostalBirth, postal)
	add(KindPhone, r.values[field.Phone])
	return forms
}

// QueryForm is the form of a search, made as IndexForms makes it: a is the
// number, ref, kana, name, postal code or telephone number, b the birth where
// the index has one and "" elsewhere.
func QueryForm(k Kind, a, b string, now time.Time) (Form, error) {
	single := k == KindNumber || k == KindRef || k == KindPhone
	if single && b != "" {
		return Form{}, OneText
	}
	text, err := queryText(k, a)
	if err != nil {
		return Form{}, err
	}
	if !single {
		birth, err := ParseBirth(b, now)
		if err != nil {
			return Form{}, err
		}
		text += separator + birth.Format()
	}
	return Form{k, text}, nil
}

func queryText(k Kind, a string) (string, error) {
	switch k {
	case KindNumber:
		v, err := ParseBasicNumber(a)
		return v.s, err
	case KindRef:
		v, err := ParseRef(a)
		return v.s, err
	case KindKanaBirth:
		v, err := ParseKana(a)
		return normal.Kana(v.s), err
	case KindNameBirth:
		v, err := ParseName(a)
		return normal.Name(v.s), err
	case KindPostalBirth:
		v, err := ParsePostalCode(a)
		return v.s, err
	case KindPhone:
		v, err := ParsePhone(a)
		return v.s, err
	}
	return "", NotQuery
}
