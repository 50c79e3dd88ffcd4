package drill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"sync"
	"time"

	"azekura/drill/schedule"
)

// bedroom lets an attacker, in whatever language, sleep on the drill's clock: an
// actor a PC, and one for the attacker itself that is there from the start. While any
// of them is awake the clock goes as real time does, so an attacker that knows nothing
// of this lives in real time.
type bedroom struct {
	sched    *schedule.Schedule
	listener net.Listener
	server   *http.Server
	ctx      context.Context
	cancel   context.CancelFunc

	mu     sync.Mutex
	actors map[string]*bed
	first  map[string]time.Time // when each was first awake, by the drill's clock
	awake  int
	since  time.Time
	spent  time.Duration // of real time, with any of them awake
	closed bool
}

type bed struct {
	turn  sync.Mutex
	actor *schedule.Actor
	gone  bool
}

// maxBeds bounds how many actors an attacker may have.
const maxBeds = 1000

// itself is the attacker's own actor.
const itself = ""

func newBedroom(sched *schedule.Schedule) (*bedroom, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the attacker's sleep: %w", err)
	}
	b := &bedroom{sched: sched, listener: l, actors: map[string]*bed{}, first: map[string]time.Time{}}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /now", func(w http.ResponseWriter, _ *http.Request) { b.now(w) })
	mux.HandleFunc("POST /join", b.post(func(_ context.Context, in *nap) error { return b.join(in.PC) }))
	mux.HandleFunc("POST /sleep", b.post(b.sleep))
	mux.HandleFunc("POST /leave", b.post(func(_ context.Context, in *nap) error { return b.leave(in.PC) }))
	b.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return b.ctx }}
	go func() { _ = b.server.Serve(l) }()
	return b, b.join(itself)
}

func (b *bedroom) url() string { return "http://" + b.listener.Addr().String() }

// nap is what is posted. Seconds or until says how long.
type nap struct {
	PC      string    `json:"pc"`
	Seconds float64   `json:"seconds"`
	Until   time.Time `json:"until"`
}

var bedName = regexp.MustCompile(`^[a-z0-9._-]{0,32}$`)

func (b *bedroom) post(f func(context.Context, *nap) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in nap
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&in); err != nil || !bedName.MatchString(in.PC) {
			http.Error(w, `post {"pc": "…", "seconds": 60} or {"pc": "…", "until": "2026-01-05T09:00:00+09:00"}`, http.StatusUnprocessableEntity)
			return
		}
		if err := f(r.Context(), &in); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		b.now(w)
	}
}

func (b *bedroom) now(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]time.Time{"now": b.sched.Now()})
}

var errBed = errors.New("nobody of that name is there; POST /join first, and leave once")

func (b *bedroom) join(pc string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.actors[pc] != nil || b.closed || len(b.actors) == maxBeds {
		return errors.New("somebody of that name is there already, or too many are")
	}
	b.actors[pc] = &bed{actor: b.sched.Join()}
	if _, known := b.first[pc]; !known {
		b.first[pc] = b.sched.Now()
	}
	b.up(1)
	return nil
}

// up counts who is awake; mu is held.
func (b *bedroom) up(n int) {
	if b.awake == 0 {
		b.since = time.Now()
	}
	if b.awake += n; b.awake == 0 {
		b.spent += time.Since(b.since)
	}
}

// held is how long the attacker has held the clock to real time.
func (b *bedroom) held() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.awake > 0 {
		return b.spent + time.Since(b.since)
	}
	return b.spent
}

// bed finds an actor and takes its turn; its caller gives it back.
func (b *bedroom) bed(pc string) (*bed, error) {
	b.mu.Lock()
	one := b.actors[pc]
	b.mu.Unlock()
	if one == nil {
		return nil, errBed
	}
	one.turn.Lock()
	if one.gone {
		one.turn.Unlock()
		return nil, errBed
	}
	return one, nil
}

func (b *bedroom) sleep(ctx context.Context, in *nap) error {
	one, err := b.bed(in.PC)
	if err != nil {
		return err
	}
	defer one.turn.Unlock()
	until := in.Until
	if until.IsZero() {
		until = b.sched.Now().Add(time.Duration(in.Seconds * float64(time.Second)))
	}
	b.mu.Lock()
	b.up(-1)
	b.mu.Unlock()
	err = one.actor.Until(ctx, until)
	b.mu.Lock()
	b.up(1)
	b.mu.Unlock()
	return err
}

func (b *bedroom) leave(pc string) error {
	one, err := b.bed(pc)
	if err != nil {
		return err
	}
	defer one.turn.Unlock()
	one.gone = true
	one.actor.Leave()
	b.mu.Lock()
	delete(b.actors, pc)
	b.up(-1)
	b.mu.Unlock()
	return nil
}

// close takes all of the attacker's actors out.
func (b *bedroom) close() {
	b.cancel()
	_ = b.server.Close()
	b.mu.Lock()
	b.closed = true
	var names []string
	for name := range b.actors {
		names = append(names, name)
	}
	b.mu.Unlock()
	for _, name := range names {
		_ = b.leave(name) // one that left by itself is gone
	}
}
