package incident

import (
	"bytes"
	"slices"

	"azekura/register/field"

	"github.com/google/uuid"
)

// person is what was seen of one participant. A million of them should fit
// anywhere, so it is kept small.
type person struct {
	id          uuid.UUID
	fields      field.Set
	openings    uint32
	first, last int64 // microseconds
}

// people gathers persons. The map holds places in the list rather than persons,
// so that seeing someone again is one look-up and no copy.
type people struct {
	at   map[uuid.UUID]uint32
	list []person
}

func newPeople() *people { return &people{at: map[uuid.UUID]uint32{}} }

// saw adds what one or more openings showed of a participant.
func (p *people) saw(seen *person) {
	at, known := p.at[seen.id]
	if !known {
		p.at[seen.id] = uint32(len(p.list))
		p.list = append(p.list, *seen)
		return
	}
	one := &p.list[at]
	one.fields |= seen.fields
	one.openings += seen.openings
	one.first = min(one.first, seen.first)
	one.last = max(one.last, seen.last)
}

// merge adds another's persons to the larger of the two, and returns it.
func (p *people) merge(other *people) *people {
	if len(p.list) < len(other.list) {
		p, other = other, p
	}
	for i := range other.list {
		p.saw(&other.list[i])
	}
	return p
}

// done lets the map go: from here on persons are only listed.
func (p *people) done() { p.at = nil }

func (p *people) sort() {
	slices.SortFunc(p.list, func(a, b person) int { return bytes.Compare(a.id[:], b.id[:]) })
}
