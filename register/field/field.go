// Package field is the vocabulary of what a register holds about a
// participant: eleven fields, the award that no read opens, and two pseudo-fields
// for what a search gives away by itself. The audit log, the gate, the exposure and the API all name
// fields by it, so that a person x field means the same thing everywhere.
//
// It holds no values and depends on nothing.
package field

import (
	"fmt"
	"math/bits"
	"strings"
)

// Field is one item (項目) of a participant's record. The numbers are part of
// the stored formats (envelopes, events): never renumber, only add.
type Field uint8

// The fields of a record.
const (
	Number  Field = iota // basic pension number, 10 digits
	Name                 // name as registered
	Kana                 // name in katakana
	Romaji               // name in Latin letters
	Birth                // date of birth
	Sex                  // sex as registered
	Address              // postal code and text
	Phone                // telephone number
	Email                // e-mail address
	Account              // payee account: bank, branch, type, number, holder
	Ref                  // the agency's own key

	count

	// Award is the award (kind and yen a year) that came with an import. It is
	// sealed like a field and kept for the payments room; no read opens it.
	Award Field = 15
	// Existence is what a hit tells by itself: this person is in the register.
	Existence Field = 16
	// Mask is the shortened form of a candidate that a search shows.
	Mask Field = 17
)

var names = map[Field]string{
	Number: "number", Name: "name", Kana: "kana", Romaji: "romaji", Birth: "birth", Sex: "sex",
	Address: "address", Phone: "phone", Email: "email", Account: "account", Ref: "ref",
	Award: "award", Existence: "existence", Mask: "mask",
}

// All lists the fields of a record, in their stored order.
func All() []Field {
	all := make([]Field, count)
	for i := range all {
		all[i] = Field(i)
	}
	return all
}

// String is the field's name as events, the API and the import's columns use it.
func (f Field) String() string {
	if n, ok := names[f]; ok {
		return n
	}
	return fmt.Sprintf("field(%d)", uint8(f))
}

// Parse reads a field of a record by its name.
func Parse(name string) (Field, error) {
	for f := Number; f < count; f++ {
		if names[f] == name {
			return f, nil
		}
	}
	return 0, fmt.Errorf("no field has that name; the fields are %s", SetOf(All()...))
}

// Set is a set of fields as a bit mask, bit i for field i.
type Set uint32

// SetOf makes a set.
func SetOf(fields ...Field) Set {
	var s Set
	for _, f := range fields {
		s |= 1 << f
	}
	return s
}

// ParseSet reads names separated by commas.
func ParseSet(list string) (Set, error) {
	var s Set
	for _, name := range strings.Split(list, ",") {
		f, err := Parse(strings.TrimSpace(name))
		if err != nil {
			return 0, err
		}
		s |= 1 << f
	}
	return s, nil
}

// Has says whether f is in the set.
func (s Set) Has(f Field) bool { return s&(1<<f) != 0 }

// Contains says whether every field of t is in s.
func (s Set) Contains(t Set) bool { return s&t == t }

// Len is the number of fields in the set.
func (s Set) Len() int { return bits.OnesCount32(uint32(s)) }

// Fields lists the set in stored order.
func (s Set) Fields() []Field {
	list := make([]Field, 0, s.Len())
	for ; s != 0; s &= s - 1 {
		list = append(list, Field(bits.TrailingZeros32(uint32(s))))
	}
	return list
}

// Names lists the names in stored order; nil of none.
func (s Set) Names() (list []string) {
	for _, f := range s.Fields() {
		list = append(list, f.String())
	}
	return list
}

// String is the names, separated by commas; ParseSet reads it back where it
// holds no pseudo-field.
func (s Set) String() string {
	var b strings.Builder
	for i, f := range s.Fields() {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(f.String())
	}
	return b.String()
}
