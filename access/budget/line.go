package budget

import (
	"azekura/auditlog"
)

// touch is one charge of a line: 12 bytes.
type touch struct {
	at     uint32 // seconds
	who    uint32 // a participant; 0 is none; with bulk set, how many
	points uint32
}

// bulk marks a touch that counts persons by number.
const bulk = 1 << 31

// line is what one subject opened in the last thirty days. Touches are in the
// order of their time; each window has its beginning among them.
type line struct {
	touches []touch
	from    [3]int            // the first touch inside each window
	used    [3]Amount         // what is inside
	last    map[uint32]uint32 // when each participant was touched last
	clock   uint32            // until when windows are advanced
}

func newLine() *line { return &line{last: map[uint32]uint32{}} }

// past tells whether a second is out of a window.
func past(at uint32, w int, now uint32) bool { return uint64(at)+uint64(Windows[w]) <= uint64(now) }

// inside tells whether a participant is counted in a window.
func (l *line) inside(who uint32, w int, now uint32) bool {
	at, ok := l.last[who]
	return ok && !past(at, w, now)
}

// advance lets what is too old leave its windows.
func (l *line) advance(now uint32, p *people) {
	if now <= l.clock {
		return
	}
	l.clock = now
	for w := range l.from {
		for l.from[w] < len(l.touches) && past(l.touches[l.from[w]].at, w, now) {
			l.leave(w, l.touches[l.from[w]], p)
			l.from[w]++
		}
	}
	if gone := l.from[2]; gone > 1024 && gone > len(l.touches)/2 {
		l.touches = append(make([]touch, 0, len(l.touches)-gone+256), l.touches[gone:]...)
		for w := range l.from {
			l.from[w] -= gone
		}
	}
}

func (l *line) leave(w int, t touch, p *people) {
	l.used[w].Points -= int64(t.points)
	switch {
	case t.who&bulk != 0:
		l.used[w].Persons -= int64(t.who &^ bulk)
	case t.who != 0 && l.last[t.who] == t.at: // else they were touched again
		l.used[w].Persons--
		if w == len(Windows)-1 {
			delete(l.last, t.who)
			p.drop(t.who)
		}
	}
}

// undo takes one touch back.
type undo struct {
	l      *line
	who    uint32
	before uint32 // when who was touched before
	known  bool   // at all
	person bool   // that the touch counts one
}

// charge adds what an event costs; a set of more members than a touch holds takes
// several.
func (l *line) charge(c *charge, now uint32, p *people) (undone []undo) {
	left, points := c.bulk, c.points
	for {
		t := touch{at: now, points: uint32(min(points, 1<<32-1))}
		points -= int64(t.points)
		u := undo{l: l}
		switch {
		case left > 0:
			n := min(left, bulk-1)
			t.who = bulk | uint32(n)
			left -= n
		case c.who != (auditlog.ID{}) && undone == nil:
			id := p.intern(c.who)
			u.before, u.known = l.last[id]
			u.who = id
			if !u.known || u.before != now { // once a second is enough
				t.who, u.person = id, true
				if !u.known {
					p.keep(id)
				}
				l.last[id] = now
			}
		}
		for w := range l.used {
			l.used[w].Points += int64(t.points)
			switch {
			case t.who&bulk != 0:
				l.used[w].Persons += int64(t.who &^ bulk)
			case u.person && (!u.known || past(u.before, w, now)):
				l.used[w].Persons++
			}
		}
		l.touches = append(l.touches, t)
		undone = append(undone, u)
		if left == 0 && points == 0 {
			return undone
		}
	}
}

// back takes the line's newest touch back. Windows may have advanced since: then
// what was before it may have left.
func (u *undo) back(p *people) {
	l := u.l
	n := len(l.touches) - 1
	t := l.touches[n]
	l.touches = l.touches[:n]
	for w := range l.used {
		if l.from[w] > n { // it left the window already
			l.from[w] = n
			continue
		}
		l.used[w].Points -= int64(t.points)
		switch {
		case t.who&bulk != 0:
			l.used[w].Persons -= int64(t.who &^ bulk)
		case u.person && (!u.known || past(u.before, w, l.clock)):
			l.used[w].Persons--
		}
	}
	if !u.person {
		return
	}
	if u.known && !past(u.before, len(Windows)-1, l.clock) {
		l.last[u.who] = u.before
		return
	}
	if _, held := l.last[u.who]; held {
		delete(l.last, u.who)
		p.drop(u.who)
	}
}

// frees is when the first of what a window counts leaves it.
func (l *line) frees(w int, measure string, otherwise uint32) uint32 {
	for _, t := range l.touches[l.from[w]:] {
		if measure == "points" && t.points > 0 || t.who&bulk != 0 || t.who != 0 && l.last[t.who] == t.at {
			return t.at + Windows[w]
		}
	}
	return otherwise
}

// people numbers the participants that any line counts, so that a line needs four
// bytes for one.
type people struct {
	ids  map[auditlog.ID]uint32
	list []auditlog.ID // by number; 0 is nobody
	refs []uint32      // on how many lines
	free []uint32
}

func newPeople() people {
	return people{ids: map[auditlog.ID]uint32{}, list: make([]auditlog.ID, 1), refs: make([]uint32, 1)}
}

func (p *people) intern(who auditlog.ID) uint32 {
	if id, ok := p.ids[who]; ok {
		return id
	}
	var id uint32
	if n := len(p.free); n > 0 {
		id, p.free = p.free[n-1], p.free[:n-1]
		p.list[id] = who
	} else {
		id = uint32(len(p.list))
		if id >= bulk {
			panic("budget: more participants than can be numbered") // then the log refuses
		}
		p.list, p.refs = append(p.list, who), append(p.refs, 0)
	}
	p.ids[who] = id
	return id
}

func (p *people) keep(id uint32) { p.refs[id]++ }

func (p *people) drop(id uint32) {
	if p.refs[id]--; p.refs[id] == 0 {
		delete(p.ids, p.list[id])
		p.list[id] = auditlog.ID{}
		p.free = append(p.free, id)
	}
}
