package auditlog

import (
	"context"
	"math"

	"azekura/auditlog/complete"
)

// ForgetAuthority stores a state as a version of this program did that knew no
// sum of the events of authority.
func (s *Signer) ForgetAuthority() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Authority = nil
	return s.store(s.state)
}

// SelectAuthority is the query that must go by its index.
const SelectAuthority = selectAuthority

// SetRunLeaves has a day's numbers sorted in runs of a few.
func SetRunLeaves(n int) (reset func()) {
	before := runLeaves
	runLeaves = n
	return func() { runLeaves = before }
}

// Beside are the entries before and behind a token in a day's list, the token's
// own left out.
func Beside(ctx context.Context, l *Log, d *complete.Daily, token complete.Token) (left, right *complete.Place, err error) {
	list, _, err := l.numbers(ctx, [16]byte(d.Salt), d.From, d.To, math.MaxInt64, func(*Event) {})
	if err != nil {
		return nil, nil, err
	}
	defer list.Close()
	place, found, err := list.find(token)
	if err != nil {
		return nil, nil, err
	}
	if place > 0 {
		if left, err = list.place(place - 1); err != nil {
			return nil, nil, err
		}
	}
	if found {
		place++
	}
	if place < list.count {
		right, err = list.place(place)
	}
	return left, right, err
}

// SaveMemory saves what the judges know, at once.
func (l *Log) SaveMemory(ctx context.Context) error {
	l.bench.Lock()
	defer l.bench.Unlock()
	save, err := l.memory()
	if err != nil {
		return err
	}
	return save(ctx)
}
