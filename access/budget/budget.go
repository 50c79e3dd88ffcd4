// Package budget counts whom and what each staff member, device, office, purpose
// and job opens, over an hour, a day and thirty days at once, and refuses what is
// past the limits.
//
// A Book is a judge of the audit log (auditlog.Judge): it counts in the commit
// that records the opening, and its state follows from the log's events alone. So
// a budget is never exceeded by callers at once, never lost by a failed commit, a
// crash or a restart, and equal to a recount of the log.
//
// It counts two things. Persons are distinct participants of whom something was told,
// exactly: whom a read opened, a search showed, or a check asked about. Points are the
// weights of the opened fields, each time; a check, a search and a mask cost a few. A set
// event is charged to its job's line by its members, not to a staff member's.
//
// A window is measured in whole seconds of the log's own time, which never goes
// back here: an opening in second t counts until t+3600 exclusive for an hour.
// A participant costs some 25 bytes for each line that they are counted on, for
// thirty days, and some 30 once.
//
// It isn't a guard against slow reading by many: that is the canaries' work.
package budget

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"azekura/auditlog"
	"azekura/register/field"
)

// ErrSpent refuses an opening that is past a budget; the refusal is in the log.
var ErrSpent = errors.New("the budget is used up")

// ErrAdded refuses what a supervisor adds to a budget that something is added to
// already. It is decided in the commit that would add it, so that of supervisors
// at once one is heard.
var ErrAdded = errors.New("something is added to this budget already; wait until it ends, or let two people raise the budget (azekura budget surge)")

// Kind is what a line of the book belongs to.
type Kind string

// The kinds.
const (
	Staff   Kind = "staff"
	Device  Kind = "device"
	Office  Kind = "office"
	Purpose Kind = "purpose"
	Job     Kind = "job" // by the purpose of its set events
)

// Kinds lists them.
var Kinds = []Kind{Staff, Device, Office, Purpose, Job}

// Subject is whose budget a line is.
type Subject struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`
}

// String names it in words.
func (s Subject) String() string { return string(s.Kind) + " " + s.ID }

// Windows are the spans over which all is counted, in seconds, and their names.
var (
	Windows = [3]uint32{3600, 24 * 3600, 30 * 24 * 3600}
	Names   = [3]string{"hour", "day", "30 days"}
)

// Amount is how much was opened, or may be. As a limit, below 0 is without one.
type Amount struct {
	Persons int64 `json:"persons"`
	Points  int64 `json:"points"`
}

// Limits are the most of each window: hour, day, thirty days.
type Limits [3]Amount

// Refused says which budget refused, in words for the staff member.
type Refused struct {
	Subject
	Window  string    `json:"window"`
	Measure string    `json:"measure"` // persons or points
	Limit   int64     `json:"limit"`
	Frees   time.Time `json:"frees"` // when something of it frees up
}

// Error is for the staff member whom it stops.
func (r *Refused) Error() string {
	what := map[string]string{"persons": "participants", "points": "points of fields"}[r.Measure]
	return fmt.Sprintf("%s: %s may open %d %s in %s; something frees up at %s, or ask a supervisor to add to it",
		ErrSpent, r.Subject, r.Limit, what, map[string]string{"hour": "an hour", "day": "a day", "30 days": "30 days"}[r.Window], r.Frees.Format("2006-01-02 15:04:05 UTC"))
}

// Is makes it an ErrSpent.
func (r *Refused) Is(target error) bool { return target == ErrSpent }

// Weights are what an opened field costs, in points. What isn't listed costs 1.
var Weights = map[field.Field]int64{field.Number: 10, field.Name: 5, field.Kana: 3, field.Romaji: 3, field.Birth: 5, field.Sex: 1,
	field.Address: 10, field.Phone: 5, field.Email: 5, field.Account: 20, field.Ref: 2}

// charge is what one event costs on each of its lines.
type charge struct {
	who    auditlog.ID // counted as a person, unless zero
	bulk   int64       // persons of a set, counted by number
	points int64
}

func chargeOf(e *auditlog.Event) charge {
	switch e.Action {
	case auditlog.Read:
		c := charge{who: e.Participant}
		for _, f := range e.Fields {
			w, ok := Weights[f.Field]
			if !ok {
				w = 1
			}
			c.points += w
		}
		return c
	case auditlog.Check:
		return charge{who: e.Participant, points: 2}
	case auditlog.Change, auditlog.Shred:
		return charge{points: 2}
	case auditlog.Show:
		return charge{who: e.Participant, points: 1}
	case auditlog.Search:
		return charge{points: 1}
	case auditlog.Set:
		if e.Set != nil && e.Set.Opens {
			return charge{bulk: e.Set.Count, points: e.Set.Count * int64(e.Set.Union.Len())}
		}
	}
	return charge{}
}

func (c *charge) none() bool { return c.points == 0 && c.bulk == 0 && c.who == (auditlog.ID{}) }

// Book holds the lines. Its methods are safe for many callers; those of a judge
// are the log's.
type Book struct {
	mu      sync.Mutex
	clock   uint32 // seconds; it never goes back
	people  people
	lines   map[Subject]*line
	rules   rules
	pending []undo
	changed []func() // takes back what the pending events did to rules
	swept   uint32   // when idle lines were dropped
}

// New makes an empty book with the default limits.
func New() *Book {
	return &Book{people: newPeople(), lines: map[Subject]*line{}, rules: newRules()}
}

// Name is the judge's.
func (b *Book) Name() string { return "budget" }

// subjects are the lines that an event is charged to.
func (b *Book) subjects(e *auditlog.Event) (list [4]Subject) {
	if e.Action == auditlog.Set {
		return [4]Subject{{Job, e.Purpose}}
	}
	list = [4]Subject{{Staff, e.Staff}, {Device, e.Device}, {Office, b.rules.offices[e.Staff]}, {Purpose, e.Purpose}}
	return list
}

// need is what an entry would add to a line.
type need struct {
	of      Subject
	role    string
	persons [3]int64
	points  int64
	seen    []uint32
	fresh   []auditlog.ID // not interned: never counted yet
}

// Judge refuses an entry that is past a limit of any of its lines.
func (b *Book) Judge(events []auditlog.Event) auditlog.Verdict {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(&events[0])
	var needs []need
	for i := range events {
		e := &events[i]
		if e.Action == auditlog.Grant && b.rules.added(e) {
			detail, _ := json.Marshal(map[string]string{"asked": "budget"})
			return auditlog.Verdict{Refuse: ErrAdded, Outcome: "refused", Detail: detail}
		}
		c := chargeOf(e)
		if c.none() {
			continue
		}
		for _, s := range b.subjects(e) {
			if s.ID != "" {
				needs = b.add(needs, s, e, &c)
			}
		}
	}
	for i := range needs {
		if r := b.over(&needs[i]); r != nil {
			detail, _ := json.Marshal(struct {
				Asked string `json:"asked"`
				*Refused
			}{events[0].Action.String(), r})
			return auditlog.Verdict{Refuse: r, Outcome: "budget", Detail: detail}
		}
	}
	return auditlog.Verdict{}
}

func (b *Book) add(needs []need, s Subject, e *auditlog.Event, c *charge) []need {
	at := -1
	for i := range needs {
		if needs[i].of == s {
			at = i
		}
	}
	if at < 0 {
		at, needs = len(needs), append(needs, need{of: s, role: e.Role})
	}
	n := &needs[at]
	n.points += c.points
	for w := range n.persons {
		n.persons[w] += c.bulk
	}
	if c.who == (auditlog.ID{}) {
		return needs
	}
	id, _ := b.people.find(&c.who)
	if id != 0 {
		if slices.Contains(n.seen, id) {
			return needs
		}
		n.seen = append(n.seen, id)
	} else {
		if slices.Contains(n.fresh, c.who) {
			return needs
		}
		n.fresh = append(n.fresh, c.who)
	}
	l, before := b.lines[s], -1
	if id != 0 && l != nil {
		before, _ = l.find(id)
	}
	for w := range n.persons {
		if before < 0 || past(l.touches[before].at, w, b.clock) {
			n.persons[w]++
		}
	}
	return needs
}

// over finds the first limit that a line would pass.
func (b *Book) over(n *need) *Refused {
	limits := b.rules.limits(n.of, n.role, b.clock)
	l := b.lines[n.of]
	for w, limit := range limits {
		var used Amount
		if l != nil {
			l.advance(b.clock)
			used = l.used[w]
		}
		r := Refused{Subject: n.of, Window: Names[w]}
		switch {
		case limit.Persons >= 0 && n.persons[w] > 0 && used.Persons+n.persons[w] > limit.Persons:
			r.Measure, r.Limit = "persons", limit.Persons
		case limit.Points >= 0 && n.points > 0 && used.Points+n.points > limit.Points:
			r.Measure, r.Limit = "points", limit.Points
		default:
			continue
		}
		frees := b.clock + 1
		if l != nil {
			frees = l.frees(w, r.Measure, frees)
		}
		r.Frees = time.Unix(int64(frees), 0).UTC()
		return &r
	}
	return nil
}

// advance moves the book's clock on to an event's time.
func (b *Book) advance(e *auditlog.Event) {
	b.clock = max(b.clock, uint32(e.Time/1e6))
}

// Note charges an event, and takes in what it says of limits.
func (b *Book) Note(e *auditlog.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(e)
	if e.Action == auditlog.Grant || e.Action == auditlog.System {
		if back := b.rules.note(e); back != nil {
			b.changed = append(b.changed, back)
		}
		return
	}
	c := chargeOf(e)
	if c.none() {
		return
	}
	var id uint32
	if c.who != (auditlog.ID{}) {
		id = b.people.touch(c.who, b.clock)
	}
	for _, s := range b.subjects(e) {
		if s.ID == "" {
			continue
		}
		l := b.lines[s]
		if l == nil {
			l = &line{}
			b.lines[s] = l
		}
		l.advance(b.clock)
		b.pending = l.charge(&c, id, b.clock, b.pending)
	}
}

// Settle makes what was noted stand, or takes it back.
func (b *Book) Settle(committed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !committed {
		for i := len(b.pending) - 1; i >= 0; i-- {
			b.pending[i].back()
		}
		for i := len(b.changed) - 1; i >= 0; i-- {
			b.changed[i]()
		}
	}
	b.pending, b.changed = b.pending[:0], nil
	if b.clock-b.swept >= Windows[0] {
		b.sweep()
	}
}

// sweep drops what no longer counts: the lines of those who opened nothing for
// thirty days, and what was added to budgets until a time that is over. So the
// book is no larger than what its windows hold. Nothing may be pending, since what
// is taken back holds on to its line.
func (b *Book) sweep() {
	since := b.swept
	b.swept = b.clock
	for s, l := range b.lines {
		l.advance(b.clock)
		if l.from[len(Windows)-1] == len(l.touches) {
			delete(b.lines, s)
		}
		l.compact()
	}
	b.people.sweep(since, b.clock)
	for s, list := range b.rules.extras {
		alive := slices.DeleteFunc(slices.Clone(list), func(x Extra) bool { return x.Until.Unix() <= int64(b.clock) })
		if b.rules.extras[s] = alive; len(alive) == 0 {
			delete(b.rules.extras, s)
		}
	}
}
