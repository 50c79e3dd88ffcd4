package budget

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Line is a budget as it stands: what is used in each window, and the limits.
type Line struct {
	Subject
	Used Limits `json:"used" doc:"hour, day, 30 days"`
	Max  Limits `json:"max" doc:"below 0 is without a limit"`
}

// Left is what is left of the budget that is nearest its end.
type Left struct {
	Subject
	Window  string `json:"window"`
	Measure string `json:"measure"`
	Left    int64  `json:"left"`
	Of      int64  `json:"of"`
}

// Lines lists the budgets that were used within thirty days, by kind and id.
func (b *Book) Lines(now time.Time) []Line {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := max(b.clock, uint32(now.Unix()))
	list := make([]Line, 0, len(b.lines))
	for s, l := range b.lines {
		list = append(list, Line{s, l.at(at), b.rules.limits(s, "", at)})
	}
	slices.SortFunc(list, func(a, b Line) int {
		return cmp.Or(cmp.Compare(slices.Index(Kinds, a.Kind), slices.Index(Kinds, b.Kind)), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// at is what a line counts at a later moment, without moving it on.
func (l *line) at(now uint32) Limits {
	used := Limits(l.used)
	for w := range used {
		for _, t := range l.touches[l.from[w]:] {
			if !past(t.at, w, now) {
				break
			}
			used[w].add(t, -1)
		}
	}
	return used
}

// Limits lists the limits that are set, the general ones first.
func (b *Book) Limits() []Limit {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]Limit, 0, len(b.rules.max))
	for k, m := range b.rules.max {
		list = append(list, Limit{k.kind, k.id, k.role, m})
	}
	slices.SortFunc(list, func(a, b Limit) int {
		return cmp.Or(cmp.Compare(slices.Index(Kinds, a.Kind), slices.Index(Kinds, b.Kind)), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Role, b.Role))
	})
	return list
}

// Extras lists what is added to budgets now.
func (b *Book) Extras(now time.Time) []Extra {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []Extra{}
	for _, s := range slices.SortedFunc(maps.Keys(b.rules.extras), func(a, b Subject) int { return cmp.Compare(a.String(), b.String()) }) {
		for _, x := range b.rules.extras[s] {
			if x.Until.After(now) {
				list = append(list, x)
			}
		}
	}
	return list
}

// Near tells a staff member what is left where less than a fifth is, of the
// budget that is nearest its end; nil where there is plenty.
func (b *Book) Near(staff, role, device, purpose string, now time.Time) *Left {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := max(b.clock, uint32(now.Unix()))
	var nearest *Left
	for _, s := range []Subject{{Staff, staff}, {Device, device}, {Office, b.rules.offices[staff]}, {Purpose, purpose}} {
		l := b.lines[s]
		if s.ID == "" || l == nil {
			continue
		}
		used, limits := l.at(at), b.rules.limits(s, role, at)
		for w, limit := range limits {
			for _, m := range []Left{{s, Names[w], "persons", limit.Persons - used[w].Persons, limit.Persons},
				{s, Names[w], "points", limit.Points - used[w].Points, limit.Points}} {
				if m.Of < 0 || m.Left*5 >= m.Of {
					continue
				}
				m.Left = max(m.Left, 0)
				if nearest == nil || m.Left*nearest.Of < nearest.Left*m.Of {
					nearest = &m
				}
			}
		}
	}
	return nearest
}

// DayOf is how many participants a staff member's budget of a day has without
// what is added to it; below 0 is without a limit.
func (b *Book) DayOf(staff string, roles []string) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	role := ""
	if len(roles) > 0 {
		role = roles[0]
	}
	plain := b.rules
	plain.extras = nil
	return plain.limits(Subject{Staff, staff}, role, b.clock)[1].Persons
}
