package scan

import (
	"fmt"

	"azekura/leakscan"
	"azekura/register/field"
	"azekura/register/normal"
)

// Grade is how sure a finding is. The order is from the surest down.
type Grade uint8

// The grades.
const (
	// Confirmed (A): the number and one more field of the same person.
	Confirmed Grade = iota + 1
	// Strong (B): name and birth, or name and address, that nobody else in the
	// register shares, and a third field that doesn't follow from the name.
	Strong
	// Likely (C): a number alone in a column of them; name and birth or address
	// that nobody else shares, without a third field; a telephone number, e-mail
	// address or account of one person beside their name, birth or address.
	Likely
	// Candidate (D): a number, telephone number, e-mail address or account alone.
	Candidate
	// Ambiguous: several people share what was found, and nothing tells them
	// apart. All are listed.
	Ambiguous
	// Conflict: the number says one person and the name another. For a human.
	Conflict
	grades

	// numberAlone waits for what its column says: C or D.
	numberAlone Grade = 100
)

var gradeNames = [...]string{"", "A", "B", "C", "D", "ambiguous", "conflict"}

// String is the grade's letter.
func (g Grade) String() string {
	if int(g) < len(gradeNames) {
		return gradeNames[g]
	}
	return fmt.Sprintf("grade(%d)", uint8(g))
}

// Finding is one person in one record.
type Finding struct {
	Row    int64
	Person uint32
	Fields field.Set // in this record
	Past   field.Set // those of them that are the person's past values only
	Col    int32     // of the cell that led to the person
	Shared uint32    // people who share it, for Ambiguous
	Grade  Grade
	Kinds  uint8 // the anchors that hit, a bit each
	Tier   normal.Tier
}

// person is a candidate of a record that is being judged.
type person struct {
	row    leakscan.Row
	number uint32
	kinds  uint8 // anchors confirmed
	alone  uint8 // of these, those that nobody else in the register shares
	fields field.Set
	past   field.Set
	tier   normal.Tier
	col    int32
	shared uint32
	known  bool // the fields were tested
}

// judge decides on one record at a time.
type judge struct {
	m      *matcher
	people []person
	form   []byte
}

var (
	nameFields    = field.SetOf(field.Name, field.Kana, field.Romaji)
	contactKinds  = kindBit(leakscan.Phone) | kindBit(leakscan.Email) | kindBit(leakscan.Account)
	nameKinds     = kindBit(leakscan.NameBirth) | kindBit(leakscan.KanaBirth) | kindBit(leakscan.NameAddress)
	birthKinds    = kindBit(leakscan.NameBirth) | kindBit(leakscan.KanaBirth)
	contactFields = field.SetOf(field.Phone, field.Email, field.Account)
)

func kindBit(k leakscan.Kind) uint8 { return 1 << k }

// confirmed judges a record whose number has been looked up, if that and one more
// field settle it: no need then to look names up.
func (j *judge) confirmed(r *record) bool {
	j.people = j.people[:0]
	for at := r.first; at >= 0; at = j.m.hits[at].next {
		h := &j.m.hits[at]
		if h.kind == leakscan.Number {
			j.candidates(r, h)
		}
	}
	settled := len(j.people) > 0
	for i := range j.people {
		settled = settled && j.people[i].confirmed()
	}
	if !settled {
		return false
	}
	for i := range j.people {
		j.emit(r, &j.people[i], Confirmed)
	}
	return true
}

// confirmed says whether the number and one more field are the person's.
func (p *person) confirmed() bool {
	return p.kinds&kindBit(leakscan.Number) != 0 && p.fields&^field.SetOf(field.Number, field.Sex) != 0
}

// record judges one for good.
func (j *judge) record(r *record) {
	j.people = j.people[:0]
	for at := r.first; at >= 0; at = j.m.hits[at].next {
		j.candidates(r, &j.m.hits[at])
	}
	best := grades
	numberless := false // somebody whose name is here, and not their number
	for i := range j.people {
		g := j.people[i].grade()
		best = min(best, g)
		numberless = numberless || j.people[i].kinds&nameKinds != 0 && j.people[i].kinds&kindBit(leakscan.Number) == 0
	}
	for i := range j.people {
		p := &j.people[i]
		g := p.grade()
		onlyNumber := g == numberAlone
		switch {
		case best > Confirmed && numberless && j.anyAlone() && (onlyNumber || p.kinds&nameKinds != 0):
			g = Conflict
		case g > best && p.kinds&^contactKinds == 0 && best <= Likely:
			continue // whoever shares the telephone with the one whose row it is
		case g == Ambiguous && best <= Strong:
			continue // another field has told them apart
		}
		j.emit(r, p, g)
	}
}

// anyAlone says whether somebody is there by their number alone.
func (j *judge) anyAlone() bool {
	for i := range j.people {
		if j.people[i].grade() == numberAlone {
			return true
		}
	}
	return false
}

// grade is what the candidate's own fields say.
func (p *person) grade() Grade {
	has, alone := p.kinds, p.alone
	switch {
	case p.confirmed():
		return Confirmed
	case alone&birthKinds != 0 && p.fields&^(nameFields|field.SetOf(field.Birth)) != 0,
		alone&kindBit(leakscan.NameAddress) != 0 && p.fields&^(nameFields|field.SetOf(field.Address)) != 0:
		return Strong
	case alone&nameKinds != 0, alone&contactKinds != 0 && p.fields&^contactFields != 0:
		return Likely
	case has&kindBit(leakscan.Number) != 0:
		return numberAlone
	case has&nameKinds == 0 && alone&contactKinds != 0:
		return Candidate
	}
	return Ambiguous
}

// candidates takes a hit's people in, those whose tags bear the hit out, and
// counts how many share it.
func (j *judge) candidates(r *record, h *hit) {
	first, count := len(j.people), uint32(0)
	for i, number := range j.m.people[h.from:h.to] {
		at := j.at(number)
		if at < 0 {
			row, ok := j.m.index.PersonFrom(number, j.m.perches[int(h.from)+i])
			if !ok {
				continue
			}
			j.people = append(j.people, person{row: row, number: number})
			at = len(j.people) - 1
		}
		p := &j.people[at]
		if !p.known {
			j.test(r, p)
		}
		if !p.bears(h.kind) {
			if p.kinds == 0 && at >= first {
				j.people = j.people[:len(j.people)-1]
			}
			continue
		}
		count++
		if p.kinds == 0 || h.kind == leakscan.Number {
			p.col = j.m.cells[h.cell].col
		}
		p.kinds |= kindBit(h.kind)
	}
	for _, number := range j.m.people[h.from:h.to] {
		if at := j.at(number); at >= 0 && j.people[at].bears(h.kind) {
			p := &j.people[at]
			if count == 1 && !h.beyond {
				p.alone |= kindBit(h.kind)
			}
			if p.shared == 0 || count < p.shared {
				p.shared = count
			}
		}
	}
}

func (j *judge) at(number uint32) int {
	for i := range j.people {
		if j.people[i].number == number {
			return i
		}
	}
	return -1
}

// bears says whether the person's own tags bear out an anchor.
func (p *person) bears(kind leakscan.Kind) bool {
	switch kind {
	case leakscan.Number:
		return p.fields.Has(field.Number)
	case leakscan.Account:
		return p.fields.Has(field.Account)
	case leakscan.NameBirth, leakscan.KanaBirth:
		return p.fields&nameFields != 0 && p.fields.Has(field.Birth)
	case leakscan.NameAddress:
		return p.fields&nameFields != 0 && p.fields.Has(field.Address)
	case leakscan.Phone:
		return p.fields.Has(field.Phone)
	case leakscan.Email:
		return p.fields.Has(field.Email)
	}
	return false
}

func (j *judge) emit(r *record, p *person, g Grade) {
	j.m.found = append(j.m.found, Finding{Row: r.row, Person: p.number, Fields: p.fields, Past: p.past, Col: p.col, Shared: p.shared,
		Grade: g, Kinds: p.kinds, Tier: p.tier})
	if j.m.shown != nil {
		j.m.shown(r, p.number)
	}
	if r.structured && p.kinds&kindBit(leakscan.Number) != 0 {
		j.m.column(p.col).Hits++
	}
}
