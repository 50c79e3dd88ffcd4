package value

import (
	"time"

	"azekura/register/field"
)

// columnOf is the column that a field of one column comes from.
var columnOf = [...]struct {
	field  field.Field
	column Column
}{
	{field.Ref, ColRef}, {field.Number, ColNumber}, {field.Name, ColName}, {field.Kana, ColKana}, {field.Romaji, ColRomaji},
	{field.Birth, ColBirth}, {field.Sex, ColSex}, {field.Phone, ColPhone}, {field.Email, ColEmail},
}

// Parse reads a row. A column that can't be taken is a Problem, and its field is
// absent from the Record; a row with any Problem isn't fit to be stored.
func Parse(raw Raw, now time.Time) (Record, Award, []Problem) {
	var r Record
	var problems []Problem
	report := func(c Column, err error) {
		problems = append(problems, Problem{c.String(), reasonOf(err)})
	}
	for _, c := range columnOf {
		s := raw[c.column]
		if trim(s) == "" {
			if c.column.Required() {
				report(c.column, Missing)
			}
			continue
		}
		stored, err := parseField(c.field, s, now)
		if err != nil {
			report(c.column, err)
			continue
		}
		r.values[c.field] = stored
	}
	if c, err := r.takeAddress(raw[ColPostalCode], raw[ColAddress]); err != nil {
		report(c, err)
	}
	if c, err := r.takeAccount(&raw); err != nil {
		report(c, err)
	}
	award, c, err := parseAward(raw[ColAwardKind], raw[ColAwardAnnualYen])
	if err != nil {
		report(c, err)
	}
	return r, award, problems
}

// ParseFormer reads an earlier name and address: the Record holds those fields
// alone.
func ParseFormer(raw RawFormer) (Record, []Problem) {
	var r Record
	var problems []Problem
	report := func(c Column, err error) {
		problems = append(problems, Problem{"former." + c.String(), reasonOf(err)})
	}
	for _, p := range [...]struct {
		field  field.Field
		column Column
		text   string
	}{{field.Name, ColName, raw.Name}, {field.Kana, ColKana, raw.Kana}, {field.Romaji, ColRomaji, raw.Romaji}} {
		if trim(p.text) == "" {
			continue
		}
		stored, err := parseField(p.field, p.text, time.Time{})
		if err != nil {
			report(p.column, err)
			continue
		}
		r.values[p.field] = stored
	}
	if c, err := r.takeAddress(raw.PostalCode, raw.Address); err != nil {
		report(c, err)
	}
	return r, problems
}

func (r *Record) takeAddress(postal, text string) (Column, error) {
	if trim(postal) == "" && trim(text) == "" {
		return 0, nil
	}
	stored, err := joinParsed(postal, text)
	if err == NotPostal {
		return ColPostalCode, err
	}
	if err != nil {
		return ColAddress, err
	}
	r.values[field.Address] = stored
	return 0, nil
}

func (r *Record) takeAccount(raw *Raw) (Column, error) {
	parts := [5]string(raw[ColBankCode : ColAccountHolder+1])
	if parts == ([5]string{}) {
		return 0, nil
	}
	a, at, err := parseAccount(parts)
	if err != nil {
		return ColBankCode + Column(at), err
	}
	r.values[field.Account] = a.Text()
	return 0, nil
}

// reasonOf is the Reason that err is. Every error of this package is one; were
// one not, its text must still not reach a report.
func reasonOf(err error) Reason {
	if r, ok := err.(Reason); ok {
		return r
	}
	return NotCanonical
}
