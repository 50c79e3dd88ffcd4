// Package schedule drives a drill's clock: many actors, honest and not, each
// awake or asleep until a moment.
//
// It promises one rule: while anyone is awake the clock goes as real time does; when
// all sleep it jumps to the first who wakes. So days of honest work pass in minutes,
// what takes a second takes a second, nobody is late for what they meant to do by
// more than others' work held the clock back, and an actor that never sleeps (an
// attacker that knows nothing of this) lives in real time. It doesn't promise an
// order among those who wake at the same moment.
package schedule

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"
)

// Clock is what is driven.
type Clock interface {
	Now() time.Time
	Set(time.Time)
}

// pace is how often the clock is moved while somebody is awake.
const pace = 5 * time.Millisecond

// Schedule moves a clock. Close ends it.
type Schedule struct {
	clock Clock

	mu      sync.Mutex
	awake   int
	asleep  sleepers
	ended   bool
	stopped chan struct{}
	ticking sync.WaitGroup
}

// New begins to drive a clock. Nobody is awake yet and the clock stands until an
// actor joins.
func New(clock Clock) *Schedule {
	s := &Schedule{clock: clock, stopped: make(chan struct{})}
	s.ticking.Go(s.tick)
	return s
}

// tick lets real time pass while somebody is awake.
func (s *Schedule) tick() {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-s.stopped:
			return
		case now := <-ticker.C:
			s.mu.Lock()
			if s.awake > 0 {
				s.clock.Set(s.clock.Now().Add(now.Sub(last)))
				s.wake()
			}
			s.mu.Unlock()
			last = now
		}
	}
}

// Now is the clock's time.
func (s *Schedule) Now() time.Time { return s.clock.Now() }

// ErrEnded means that the drill is over.
var ErrEnded = errors.New("the drill has ended")

// Close ends the schedule: whoever sleeps is woken with ErrEnded.
func (s *Schedule) Close() {
	s.mu.Lock()
	if !s.ended {
		s.ended = true
		close(s.stopped)
		for _, one := range s.asleep {
			close(one.up)
		}
	}
	s.mu.Unlock()
	s.ticking.Wait()
}

// Actor is somebody who is awake or asleep. Its methods are for one goroutine.
type Actor struct {
	s    *Schedule
	gone bool
}

// Join makes an actor, awake.
func (s *Schedule) Join() *Actor {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awake++
	return &Actor{s: s}
}

// Leave takes the actor out for good.
func (a *Actor) Leave() {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	if a.gone {
		return
	}
	a.gone = true
	a.s.sleep()
}

// Sleep waits for a time on the clock.
func (a *Actor) Sleep(ctx context.Context, d time.Duration) error {
	return a.Until(ctx, a.s.clock.Now().Add(d))
}

// Until waits until the clock shows a time; one that is past doesn't wait. The
// actor is awake again when it returns, unless the drill has ended.
func (a *Actor) Until(ctx context.Context, at time.Time) error {
	s := a.s
	// The clock counts microseconds: set to a moment between two it would show the
	// earlier one, and nobody would wake.
	if whole := at.Truncate(time.Microsecond); whole.Before(at) {
		at = whole.Add(time.Microsecond)
	}
	s.mu.Lock()
	if a.gone {
		s.mu.Unlock()
		return errors.New("an actor that left can't sleep")
	}
	if s.ended {
		s.mu.Unlock()
		return ErrEnded
	}
	if !at.After(s.clock.Now()) {
		s.mu.Unlock()
		return ctx.Err()
	}
	one := &sleeper{at: at, up: make(chan struct{})}
	heap.Push(&s.asleep, one)
	s.sleep()
	s.mu.Unlock()
	select {
	case <-one.up:
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		if one.index >= 0 { // not woken meanwhile
			heap.Remove(&s.asleep, one.index)
			s.awake++
		}
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return ErrEnded
	}
	return nil
}

// sleep counts one out, and jumps if it was the last; mu is held.
func (s *Schedule) sleep() {
	s.awake--
	if s.awake == 0 && len(s.asleep) > 0 && !s.ended {
		s.clock.Set(s.asleep[0].at)
		s.wake()
	}
}

// wake lets those up whose time has come; mu is held.
func (s *Schedule) wake() {
	now := s.clock.Now()
	for len(s.asleep) > 0 && !s.ended && !s.asleep[0].at.After(now) {
		one := heap.Pop(&s.asleep).(*sleeper)
		s.awake++
		close(one.up)
	}
}

type sleeper struct {
	at    time.Time
	up    chan struct{}
	index int // in the heap; -1 when it is out of it
}

// sleepers is a heap by time.
type sleepers []*sleeper

func (h sleepers) Len() int           { return len(h) }
func (h sleepers) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h sleepers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *sleepers) Push(x any) {
	one := x.(*sleeper)
	one.index = len(*h)
	*h = append(*h, one)
}
func (h *sleepers) Pop() any {
	old := *h
	one := old[len(old)-1]
	one.index = -1
	*h = old[:len(old)-1]
	return one
}
