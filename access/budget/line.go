package budget

import "math/bits"

// touch is one charge of a line: 12 bytes.
type touch struct {
	at     uint32 // seconds
	who    uint32 // a participant's number; 0 is none; with bulk set, how many
	points uint32
}

const (
	// bulk marks a touch that counts persons by number.
	bulk = 1 << 31
	// again marks a touch whose participant was touched again since, on the same
	// line: that one counts them.
	again = 1 << 30
)

// persons is how many a touch counts in each window that it is inside of.
func (t touch) persons() int64 {
	switch {
	case t.who&bulk != 0:
		return int64(t.who &^ bulk)
	case t.who == 0 || t.who&again != 0:
		return 0
	}
	return 1
}

// line is what one subject opened in the last thirty days. Touches are in the
// order of their time; each window has its beginning among them. What a window
// uses is the sum of the touches inside it, so what leaves needs no looking up.
type line struct {
	touches []touch
	from    [3]int    // the first touch inside each window
	used    [3]Amount // what is inside
	clock   uint32    // until when windows are advanced
	// index finds each participant's touch that counts: an open-addressed table of
	// places among touches, from 1, with linear probing. It is made when somebody
	// is first looked for. A place whose touch left, was taken back or was followed by
	// another is dead, and stays until another takes it or the table is made anew.
	index  []uint32
	filled int // places that aren't 0, dead ones too
}

// past tells whether a second is out of a window.
func past(at uint32, w int, now uint32) bool { return uint64(at)+uint64(Windows[w]) <= uint64(now) }

// advance lets what is too old leave its windows.
func (l *line) advance(now uint32) {
	if now <= l.clock {
		return
	}
	l.clock = now
	for w := range l.from {
		for l.from[w] < len(l.touches) && past(l.touches[l.from[w]].at, w, now) {
			l.used[w].add(l.touches[l.from[w]], -1)
			l.from[w]++
		}
	}
}

func (a *Amount) add(t touch, sign int64) {
	a.Points += sign * int64(t.points)
	a.Persons += sign * t.persons()
}

// compact gives back the memory of what left all windows. Nothing may be pending.
func (l *line) compact() {
	gone := l.from[len(Windows)-1]
	if gone <= 1024 || gone <= len(l.touches)/2 {
		return
	}
	l.touches = append(make([]touch, 0, len(l.touches)-gone+256), l.touches[gone:]...)
	for w := range l.from {
		l.from[w] -= gone
	}
	l.index, l.filled = nil, 0
}

// find is the place of the touch that counts a participant, or -1, and where in the
// index its place is or may be put.
func (l *line) find(who uint32) (at int, slot uint32) {
	if l.index == nil {
		l.makeIndex()
	}
	mask := uint32(len(l.index) - 1)
	free := int64(-1)
	for slot = l.slot(who); l.index[slot] != 0; slot = (slot + 1) & mask {
		at = int(l.index[slot]) - 1
		if at < len(l.touches) && at >= l.from[len(Windows)-1] {
			if t := l.touches[at].who; t == who {
				return at, slot
			} else if t != 0 && t < again {
				continue // another's
			}
		}
		if free < 0 {
			free = int64(slot)
		}
	}
	if free >= 0 {
		slot = uint32(free)
	}
	return -1, slot
}

// slot is where the search for a participant begins. Numbers are given in turn, so
// nobody can choose them to meet.
func (l *line) slot(who uint32) uint32 {
	return uint32(uint64(who*0x9e3779b1) * uint64(len(l.index)) >> 32)
}

// put sets a slot that find gave to a touch's place.
func (l *line) put(slot uint32, at int) {
	if l.index[slot] == 0 {
		l.filled++
	}
	if l.index[slot] = uint32(at) + 1; l.filled*8 > len(l.index)*5 {
		l.makeIndex()
	}
}

// makeIndex makes the index of what counts in the longest window.
func (l *line) makeIndex() {
	live := l.touches[l.from[len(Windows)-1]:]
	l.filled = 0
	for _, t := range live {
		if t.who != 0 && t.who < again {
			l.filled++
		}
	}
	l.index = make([]uint32, 1<<bits.Len(uint(2*l.filled+4)))
	mask := uint32(len(l.index) - 1)
	for i, t := range live {
		if t.who == 0 || t.who >= again {
			continue
		}
		slot := l.slot(t.who)
		for l.index[slot] != 0 {
			slot = (slot + 1) & mask
		}
		l.index[slot] = uint32(l.from[len(Windows)-1]+i) + 1
	}
}

// undo takes one touch back.
type undo struct {
	l      *line
	before int // the place of the same participant's touch before, or -1
}

// charge adds what an event costs, for a participant of a number, and returns undone
// with how to take it back; a set of more members than a touch holds takes several.
func (l *line) charge(c *charge, id, now uint32, undone []undo) []undo {
	left, points := c.bulk, c.points
	for {
		t := touch{at: now, points: uint32(min(points, 1<<32-1))}
		points -= int64(t.points)
		u := undo{l, -1}
		if left > 0 {
			n := min(left, bulk-1)
			t.who = bulk | uint32(n)
			left -= n
		}
		var slot uint32
		if id != 0 && t.who == 0 {
			u.before, slot = l.find(id)
			if u.before >= 0 && l.touches[u.before].at == now { // once a second is enough
				u.before = -1
			} else {
				t.who = id
				l.again(u.before)
			}
			id = 0
		}
		if l.touches = append(l.touches, t); t.who != 0 && t.who < again {
			l.put(slot, len(l.touches)-1)
		}
		for w := range l.used {
			l.used[w].add(t, 1)
		}
		if undone = append(undone, u); left == 0 && points == 0 {
			return undone
		}
	}
}

// again lets a touch count nobody any more.
func (l *line) again(at int) {
	if at < 0 {
		return
	}
	l.touches[at].who |= again
	for w := range l.used {
		if at >= l.from[w] {
			l.used[w].Persons--
		}
	}
}

// back takes the line's newest touch back. Windows may have advanced since: then
// it, and what was before it, may have left.
func (u *undo) back() {
	l := u.l
	n := len(l.touches) - 1
	t := l.touches[n]
	for w := range l.used {
		if l.from[w] > n {
			l.from[w] = n
		} else {
			l.used[w].add(t, -1)
		}
	}
	l.touches = l.touches[:n]
	if u.before < 0 {
		return
	}
	l.touches[u.before].who &^= again
	for w := range l.used {
		if u.before >= l.from[w] {
			l.used[w].Persons++
		}
	}
	if _, slot := l.find(t.who); u.before >= l.from[len(Windows)-1] {
		l.put(slot, u.before)
	}
}

// frees is when the first of what a window counts leaves it.
func (l *line) frees(w int, measure string, otherwise uint32) uint32 {
	for _, t := range l.touches[l.from[w]:] {
		if measure == "points" && t.points > 0 || t.persons() > 0 {
			return t.at + Windows[w]
		}
	}
	return otherwise
}
