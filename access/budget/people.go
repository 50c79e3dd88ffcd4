package budget

import (
	"hash/maphash"
	"math/bits"

	"azekura/auditlog"
)

// people numbers the participants that any line counts, so that a line needs four
// bytes for one: 20 bytes for each, and 4 for each place of a table that is up to five
// eighths full. A number that no line counts any more is given again.
type people struct {
	list  []auditlog.ID // by number; 0 is nobody
	last  []uint32      // when each was touched last, on any line
	free  []uint32
	slots []uint32 // an open-addressed table of numbers, with linear probing; 0 is none
	held  int
	seed  maphash.Seed
	swept int // up to which number
}

func newPeople() people {
	return people{list: make([]auditlog.ID, 1), last: make([]uint32, 1), slots: make([]uint32, 16), seed: maphash.MakeSeed()}
}

// slot is where the search for somebody begins.
func (p *people) slot(who *auditlog.ID) uint64 {
	high, _ := bits.Mul64(maphash.Bytes(p.seed, who[:]), uint64(len(p.slots)))
	return high
}

// find is somebody's number, or 0, and the slot that it is in or may be put in.
func (p *people) find(who *auditlog.ID) (id uint32, slot uint64) {
	mask := uint64(len(p.slots) - 1)
	for slot = p.slot(who); ; slot = (slot + 1) & mask {
		if id = p.slots[slot]; id == 0 || p.list[id] == *who {
			return id, slot
		}
	}
}

// touch is somebody's number from a moment on, given where they had none.
func (p *people) touch(who auditlog.ID, now uint32) uint32 {
	id, slot := p.find(&who)
	if id == 0 {
		id = p.number()
		p.list[id], p.slots[slot] = who, id
		if p.held++; p.held*8 > len(p.slots)*5 {
			p.makeSlots()
		}
	}
	p.last[id] = now
	return id
}

// number is one that nobody has.
func (p *people) number() uint32 {
	if n := len(p.free); n > 0 {
		id := p.free[n-1]
		p.free = p.free[:n-1]
		return id
	}
	id := uint32(len(p.list))
	if id >= again {
		panic("budget: more participants than can be numbered") // then the log refuses
	}
	p.list, p.last = append(p.list, auditlog.ID{}), append(p.last, 0)
	return id
}

// makeSlots makes the table anew for those who are in the list.
func (p *people) makeSlots() {
	p.slots = make([]uint32, 1<<bits.Len(uint(2*p.held+8)))
	mask := uint64(len(p.slots) - 1)
	for id := 1; id < len(p.list); id++ {
		if p.list[id] == (auditlog.ID{}) {
			continue
		}
		slot := p.slot(&p.list[id])
		for p.slots[slot] != 0 {
			slot = (slot + 1) & mask
		}
		p.slots[slot] = uint32(id)
	}
}

// sweep takes their numbers from those whom no window counts any more. It goes over
// the list once a day of the log's time, a part at a time, so that nobody waits long.
// Every line must be advanced, since a number's next holder isn't its last.
func (p *people) sweep(since, now uint32) {
	const day = 24 * 3600
	for n := int(uint64(len(p.list))*uint64(min(now-since, day))/day) + 1; n > 0; n-- {
		if p.swept++; p.swept >= len(p.list) {
			p.swept = 0
			continue
		}
		id := uint32(p.swept)
		if p.list[id] != (auditlog.ID{}) && past(p.last[id], len(Windows)-1, now) {
			p.drop(id)
		}
	}
}

// drop takes a number back, and closes the gap that its slot would leave (Knuth,
// The Art of Computer Programming, 6.4, algorithm R).
func (p *people) drop(id uint32) {
	_, gap := p.find(&p.list[id])
	mask := uint64(len(p.slots) - 1)
	for slot := (gap + 1) & mask; p.slots[slot] != 0; slot = (slot + 1) & mask {
		if home := p.slot(&p.list[p.slots[slot]]); (slot-home)&mask >= (slot-gap)&mask {
			p.slots[gap], gap = p.slots[slot], slot
		}
	}
	p.slots[gap] = 0
	p.list[id] = auditlog.ID{}
	p.free = append(p.free, id)
	p.held--
}
