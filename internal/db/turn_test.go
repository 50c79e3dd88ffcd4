package db

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
)

// queued is how many wait.
func (t *turn) queued() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.first) + len(t.others)
}

// waitFor spins until so many wait.
func (t *turn) waitFor(n int) {
	for t.queued() != n {
		runtime.Gosched()
	}
}

// TestTurns: those first by right go first, and each kind in order of arrival.
func TestTurns(t *testing.T) {
	var turns turn
	if err := turns.take(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	var got []string
	var wg sync.WaitGroup
	for i, name := range []string{"other 1", "other 2", "first 1", "other 3", "first 2"} {
		wg.Go(func() {
			if err := turns.take(context.Background(), name[0] == 'f'); err != nil {
				t.Error(err)
			}
			got = append(got, name)
			turns.give()
		})
		turns.waitFor(i + 1)
	}
	turns.give()
	wg.Wait()
	for i, want := range []string{"first 1", "first 2", "other 1", "other 2", "other 3"} {
		if got[i] != want {
			t.Fatalf("the order was %q", got)
		}
	}
	if turns.taken || turns.queued() != 0 {
		t.Error("a turn is still taken")
	}
}

// TestTurnsGivenUp: giving up at the very moment of being served loses no turn.
func TestTurnsGivenUp(t *testing.T) {
	var turns turn
	var wg sync.WaitGroup
	holders := 0
	for i := range 2000 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			if i%2 == 0 {
				go cancel()
			}
			defer cancel()
			err := turns.take(ctx, i%3 == 0)
			if err != nil {
				if !errors.Is(err, context.Canceled) || i%2 != 0 {
					t.Error(err)
				}
				return
			}
			holders++ // the race detector sees two at once
			turns.give()
		})
	}
	wg.Wait()
	if turns.taken || turns.queued() != 0 {
		t.Error("a turn was lost")
	}
	if holders < 1000 {
		t.Errorf("%d turns", holders)
	}
}
