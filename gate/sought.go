package gate

import (
	"slices"
	"time"

	"azekura/cases"

	"github.com/google/uuid"
)

// The marks of an event's detail that rules count: a number next to one that was named,
// and a participant other than whom the case was about so far.
const (
	near    = `"near":true`
	crossed = `"crossed":true`
)

// sought remembers for a day whom each open case looked for and found, to tell who uses
// an honest case for somebody else. The log holds it too.
type sought struct {
	by kept[soughtIn] // case
}

type soughtIn struct {
	who    []uuid.UUID
	groups int // of people who have nothing to do with each other
}

const (
	soughtFor   = 24 * time.Hour
	mostSought  = 64 // people of one case
	mostSoughts = 50_000
)

// other tells whether a case found somebody other than it found so far, and more of
// them than it can be about. Who was found together, or is found again, is one.
func (s *sought) other(on cases.Ground, now time.Time, ids ...uuid.UUID) (is bool) {
	if !on.Known() || len(ids) == 0 {
		return false
	}
	s.by.with(on.Code(), now, func(in *soughtIn) {
		known := slices.ContainsFunc(ids, func(id uuid.UUID) bool { return slices.Contains(in.who, id) })
		if !known {
			in.groups++
		}
		for _, id := range ids {
			if !slices.Contains(in.who, id) && len(in.who) < mostSought {
				in.who = append(in.who, id)
			}
		}
		is = !known && in.groups > on.Most()
	})
	return is
}

// found tells whether a search of the case found somebody, or they are whom it is about.
func (s *sought) found(on cases.Ground, now time.Time, id uuid.UUID) (is bool) {
	if _, about := on.About(id); about || !on.Known() {
		return true
	}
	s.by.see(on.Code(), now, func(in *soughtIn) { is = slices.Contains(in.who, id) })
	return is
}
