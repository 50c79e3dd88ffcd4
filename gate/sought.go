package gate

import (
	"maps"
	"slices"
	"sync"
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
// an honest case for somebody else. The log holds it too; after a start, and a takeover,
// it begins anew.
type sought struct {
	mu sync.Mutex
	of map[string]*soughtIn // by case
}

type soughtIn struct {
	at     time.Time
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
func (s *sought) other(on cases.Ground, now time.Time, ids ...uuid.UUID) bool {
	if !on.Known() || len(ids) == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[string]*soughtIn{}
	}
	in := s.of[on.Code()]
	if in == nil {
		s.makeRoom(now)
		in = &soughtIn{at: now}
		s.of[on.Code()] = in
	}
	known := slices.ContainsFunc(ids, func(id uuid.UUID) bool { return slices.Contains(in.who, id) })
	if !known {
		in.groups++
	}
	for _, id := range ids {
		if !slices.Contains(in.who, id) && len(in.who) < mostSought {
			in.who = append(in.who, id)
		}
	}
	return !known && in.groups > on.Most()
}

// found tells whether a search of the case found somebody, or they are whom it is about.
func (s *sought) found(on cases.Ground, id uuid.UUID) bool {
	if _, about := on.About(id); about || !on.Known() {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.of[on.Code()]
	return in != nil && slices.Contains(in.who, id)
}

// makeRoom makes room for one more: first of those that are old, then of any.
func (s *sought) makeRoom(now time.Time) {
	if len(s.of) < mostSoughts {
		return
	}
	maps.DeleteFunc(s.of, func(_ string, in *soughtIn) bool { return now.Sub(in.at) > soughtFor })
	for code := range s.of {
		if len(s.of) < mostSoughts {
			return
		}
		delete(s.of, code)
	}
}
