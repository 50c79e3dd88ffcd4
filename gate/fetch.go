package gate

import (
	"context"
	"errors"
	"sync"

	"azekura/register"

	"github.com/google/uuid"
)

// fetcher reads participants' rows for many callers with few queries: a query
// asks for whoever has queued while the ones before it ran. There is no timer.
type fetcher struct {
	store *register.Store
	mu    sync.Mutex
	queue []*wanted
	wake  *sync.Cond
	ended bool
	done  sync.WaitGroup
}

type wanted struct {
	id    uuid.UUID
	found *register.Sealed
	err   error
	ready chan struct{}
}

const (
	// fetchers run at the same time, so that one's round trip hides another's.
	fetchers = 2
	maxFetch = 256
)

var errClosed = errors.New("the gate is closed")

func newFetcher(store *register.Store) *fetcher {
	f := &fetcher{store: store}
	f.wake = sync.NewCond(&f.mu)
	f.done.Add(fetchers)
	for range fetchers {
		go f.run()
	}
	return f
}

// get returns nil for a participant that doesn't exist.
func (f *fetcher) get(ctx context.Context, id uuid.UUID) (*register.Sealed, error) {
	w := &wanted{id: id, ready: make(chan struct{})}
	f.mu.Lock()
	if f.ended {
		f.mu.Unlock()
		return nil, errClosed
	}
	f.queue = append(f.queue, w)
	f.mu.Unlock()
	f.wake.Signal()
	select {
	case <-w.ready:
		return w.found, w.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *fetcher) run() {
	defer f.done.Done()
	for {
		f.mu.Lock()
		for len(f.queue) == 0 && !f.ended {
			f.wake.Wait()
		}
		n := min(len(f.queue), maxFetch)
		batch := f.queue[:n:n]
		f.queue = f.queue[n:]
		f.mu.Unlock()
		if n == 0 {
			return
		}
		f.answer(batch)
	}
}

func (f *fetcher) answer(batch []*wanted) {
	ids := make([]uuid.UUID, len(batch))
	for i, w := range batch {
		ids[i] = w.id
	}
	// No caller's context: one that goes away must not fail its neighbours.
	found, err := f.store.FetchEach(context.Background(), ids)
	for _, w := range batch {
		if w.found, w.err = found.Sealed[w.id], err; err == nil {
			w.err = found.Wrong[w.id]
		}
		close(w.ready)
	}
}

func (f *fetcher) close() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.wake.Broadcast()
	f.done.Wait()
}
