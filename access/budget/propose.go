package budget

import (
	"slices"

	"azekura/auditlog"
)

// Proposal is what limits a log's history asks for, and what they would have hurt.
type Proposal struct {
	Limits []Limit `json:"limits"`
	// Days are the days on which a staff member opened anything; Hurt those on
	// which the proposed limits would have refused them something.
	Days int64 `json:"days" doc:"days of work of a staff member, a device or an office"`
	Hurt int64 `json:"hurt" doc:"of these, days on which the proposed limits would have refused something"`
	// HurtNow counts the same for the limits that are in force.
	HurtNow int64 `json:"hurt_now"`
}

// worked is a subject's day.
type worked struct {
	s   Subject
	day int64
}

// History gathers what a log's events say of honest work.
type History struct {
	book  *Book
	role  map[Subject]string
	peaks map[worked]Limits
}

// NewHistory makes one that knows nothing.
func NewHistory() *History {
	return &History{book: New(), role: map[Subject]string{}, peaks: map[worked]Limits{}}
}

// Add takes the next event.
func (h *History) Add(e *auditlog.Event) {
	h.book.Note(e)
	h.book.Settle(true)
	c := chargeOf(e)
	if c.none() {
		return
	}
	for _, s := range h.book.subjects(e) {
		if s.ID == "" || s.Kind == Job || s.Kind == Purpose {
			continue
		}
		at := worked{s, e.Time / 1e6 / 86400}
		peak := h.peaks[at]
		for w, used := range h.book.lines[s].used {
			peak[w].Persons = max(peak[w].Persons, used.Persons)
			peak[w].Points = max(peak[w].Points, used.Points)
		}
		h.peaks[at] = peak
		h.role[s] = e.Role
	}
}

// Propose derives limits: for each kind and window a quarter more than all but
// one in a thousand of its days needed, rounded up to tens.
func (h *History) Propose() Proposal {
	p := Proposal{Days: int64(len(h.peaks))}
	proposed := newRules()
	for _, kind := range []Kind{Staff, Device, Office} {
		var limit Limits
		for w := range limit {
			limit[w] = Amount{h.quantile(kind, func(l Limits) int64 { return l[w].Persons }), h.quantile(kind, func(l Limits) int64 { return l[w].Points })}
		}
		if limit != (Limits{}) {
			p.Limits = append(p.Limits, Limit{Kind: kind, Max: limit})
			proposed.max[key{kind, "", ""}] = limit
		}
	}
	for at, peak := range h.peaks {
		if over(peak, proposed.limits(at.s, h.role[at.s], 0)) {
			p.Hurt++
		}
		if over(peak, h.book.rules.limits(at.s, h.role[at.s], 0)) {
			p.HurtNow++
		}
	}
	return p
}

func over(used, limits Limits) bool {
	for w, limit := range limits {
		if limit.Persons >= 0 && used[w].Persons > limit.Persons || limit.Points >= 0 && used[w].Points > limit.Points {
			return true
		}
	}
	return false
}

func (h *History) quantile(kind Kind, of func(Limits) int64) int64 {
	var list []int64
	for at, peak := range h.peaks {
		if at.s.Kind == kind {
			list = append(list, of(peak))
		}
	}
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	at := list[len(list)-1-len(list)/1000]
	return (at*5/4 + 10) / 10 * 10
}
