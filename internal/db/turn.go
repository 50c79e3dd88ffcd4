package db

import (
	"context"
	"sync"
)

// turn orders the callers that want SQLite's one writer: those who come first
// by right (the log's sequencer) before the others, each in order of arrival.
type turn struct {
	mu            sync.Mutex
	taken         bool
	first, others []chan struct{}
}

func (t *turn) take(ctx context.Context, first bool) error {
	t.mu.Lock()
	if !t.taken {
		t.taken = true
		t.mu.Unlock()
		return nil
	}
	ready := make(chan struct{})
	if first {
		t.first = append(t.first, ready)
	} else {
		t.others = append(t.others, ready)
	}
	t.mu.Unlock()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-ready: // it came after all: pass it on
		t.next()
	default:
		t.first = without(t.first, ready)
		t.others = without(t.others, ready)
	}
	return ctx.Err()
}

func (t *turn) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next()
}

func (t *turn) next() {
	queue := &t.first
	if len(*queue) == 0 {
		queue = &t.others
	}
	if len(*queue) == 0 {
		t.taken = false
		return
	}
	close((*queue)[0])
	*queue = (*queue)[1:]
}

func without(queue []chan struct{}, gone chan struct{}) []chan struct{} {
	for i, c := range queue {
		if c == gone {
			return append(queue[:i:i], queue[i+1:]...)
		}
	}
	return queue
}
