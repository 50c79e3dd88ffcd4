package thief

import (
	"encoding/json"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// line is one thing obtained, or a count of what was tried.
type line struct {
	Attempt     string                     `json:"attempt"`
	Participant string                     `json:"participant,omitempty"`
	Ref         string                     `json:"ref,omitempty"`
	Fields      []string                   `json:"fields,omitempty"`
	None        []string                   `json:"none,omitempty"`
	Values      map[string]json.RawMessage `json:"values,omitempty"`
	Mask        json.RawMessage            `json:"mask,omitempty"`
	Tried       *int64                     `json:"tried,omitempty"`
	Stopped     string                     `json:"stopped,omitempty"`
	PC          string                     `json:"pc,omitempty"`
	At          *time.Time                 `json:"at,omitempty"`
}

// tally appends lines, each by one write, so that a kill between two leaves
// whole lines.
type tally struct {
	mu  sync.Mutex
	w   io.Writer
	err error
}

func (t *tally) add(l *line) {
	raw, err := json.Marshal(l)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		_, err = t.w.Write(append(raw, '\n'))
	}
	if t.err == nil {
		t.err = err
	}
}

func (t *tally) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// countEvery is how often, in things obtained, the tally says what was tried.
const countEvery = 100

// attempt is one way of stealing.
type attempt struct {
	name  string
	out   *tally
	tried atomic.Int64
	got   atomic.Int64

	mu   sync.Mutex
	held map[string]bool // by PC: whether it was refused since it last got something there
}

// begins says when the way was first tried at a PC.
func (a *attempt) begins(pc string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held == nil {
		a.held = map[string]bool{}
	}
	if _, begun := a.held[pc]; begun || pc == "" {
		return
	}
	a.held[pc] = false
	tried := a.tried.Load()
	a.out.add(&line{Attempt: a.name, Tried: &tried, PC: pc, At: &now})
}

// heldUp says when, and by what, the way was stopped at a PC: once, until it gets
// something there again.
func (a *attempt) heldUp(pc, why string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	stopped, begun := a.held[pc]
	if stopped {
		return
	}
	if !begun { // nothing was tried there: it couldn't even begin
		a.stopped(why)
		return
	}
	a.held[pc] = true
	tried := a.tried.Load()
	a.out.add(&line{Attempt: a.name, Tried: &tried, Stopped: why, PC: pc, At: &now})
}

// obtainedAt is obtained, at a PC.
func (a *attempt) obtainedAt(pc string, l *line) {
	a.mu.Lock()
	if a.held[pc] {
		a.held[pc] = false
	}
	a.mu.Unlock()
	a.obtained(l)
}

func (a *attempt) obtained(l *line) {
	a.out.add(l)
	if a.got.Add(1)%countEvery == 0 {
		a.count()
	}
}

func (a *attempt) count() { a.stopped("") }

// stopped says what was tried so far, and what stopped it, if anything.
func (a *attempt) stopped(why string) {
	tried := a.tried.Load()
	a.out.add(&line{Attempt: a.name, Tried: &tried, Stopped: why})
}
