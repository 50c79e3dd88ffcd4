package schedule

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

type made struct{ micros atomic.Int64 }

func (m *made) Now() time.Time { return time.UnixMicro(m.micros.Load()) }
func (m *made) Set(t time.Time) {
	m.micros.Store(max(t.UnixMicro(), m.micros.Load()))
}

var start = time.Date(2015, 5, 8, 0, 0, 0, 0, time.UTC)

func begin(t *testing.T) *Schedule {
	clock := &made{}
	clock.Set(start)
	s := New(clock)
	t.Cleanup(s.Close)
	return s
}

// TestDaysPass: actors with plans of their own wake in the order of the clock, none
// before its time.
func TestDaysPass(t *testing.T) {
	s := begin(t)
	var mu sync.Mutex
	var woken []time.Time
	var all sync.WaitGroup
	host := s.Join() // keeps the clock from jumping before all are there
	for i := range 50 {
		a := s.Join()
		all.Go(func() {
			defer a.Leave()
			random := rand.New(rand.NewPCG(1, uint64(i)))
			at := start
			for range 40 {
				at = at.Add(time.Hour + time.Duration(random.IntN(86400))*time.Second)
				if err := a.Until(t.Context(), at); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				woken = append(woken, at)
				now := s.Now()
				mu.Unlock()
				if now.Before(at) {
					t.Errorf("woken at %s, before %s", now, at)
				}
			}
		})
	}
	host.Leave()
	all.Wait()
	if len(woken) != 50*40 {
		t.Fatalf("%d wakings of %d", len(woken), 50*40)
	}
	// Those of one moment's real time may cross; a day never passes a day.
	if !slices.IsSortedFunc(woken, func(a, b time.Time) int { return int(a.Sub(b) / time.Minute) }) {
		t.Error("some woke far out of the clock's order")
	}
}

// TestAwakeHoldsTheClock: while one is awake, time goes as real time does.
func TestAwakeHoldsTheClock(t *testing.T) {
	s := begin(t)
	busy, idle := s.Join(), s.Join()
	woke := make(chan error, 1)
	go func() { woke <- idle.Sleep(t.Context(), 24*time.Hour) }()
	time.Sleep(100 * time.Millisecond)
	select {
	case <-woke:
		t.Fatal("a day passed while somebody was awake for a tenth of a second")
	default:
	}
	if passed := s.Now().Sub(start); passed <= 0 || passed > time.Hour {
		t.Errorf("%s passed on the clock while somebody was awake for a tenth of a second", passed)
	}
	busy.Leave()
	if err := <-woke; err != nil {
		t.Error(err)
	}
	idle.Leave()
}

// TestAwakeLetsOthersWake: a short sleep ends though somebody never sleeps.
func TestAwakeLetsOthersWake(t *testing.T) {
	s := begin(t)
	busy, idle := s.Join(), s.Join()
	defer busy.Leave()
	defer idle.Leave()
	if err := idle.Sleep(t.Context(), 30*time.Millisecond); err != nil {
		t.Error(err)
	}
}

// TestBetweenMicroseconds: a jump to a moment that the clock can't show exactly wakes
// who waits for it.
func TestBetweenMicroseconds(t *testing.T) {
	s := begin(t)
	a := s.Join()
	defer a.Leave()
	at := start.Add(time.Hour + 7*time.Nanosecond)
	if err := a.Until(t.Context(), at); err != nil || s.Now().Before(at) {
		t.Errorf("woken at %s (%v)", s.Now(), err)
	}
}

func TestEnds(t *testing.T) {
	s := begin(t)
	busy, idle := s.Join(), s.Join()
	defer busy.Leave()
	woke := make(chan error, 2)
	go func() { woke <- idle.Sleep(t.Context(), 24*time.Hour) }()
	other := s.Join()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := other.Sleep(ctx, 24*time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled sleep ended with %v", err)
	}
	s.Close()
	if err := <-woke; !errors.Is(err, ErrEnded) {
		t.Errorf("a sleep ended with %v when the schedule did", err)
	}
	if err := idle.Sleep(t.Context(), time.Hour); !errors.Is(err, ErrEnded) {
		t.Errorf("a sleep after the end ended with %v", err)
	}
}
