// Package alarms lists the alarms, and sends them out of the house: by webhook, by mail and to a syslog.
//
// What is sent are events of the audit log: each alarm, and each containment and
// release. A target's mail waits in the log itself: a small file beside the
// installation says how far a target has been told, so that nothing is lost by a
// crash, and that nobody silences an alarm by a row in the database. A target is
// told in order, again and again until it confirms; so it may be told twice, under
// the same id (the log's name and the event's index).
//
// A notice says which rule, how grave, which session, staff member and device. It
// names no participant: a canary's pseudonym, in a mail, would be a list of
// canaries before long.
package alarms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"azekura/access"
	"azekura/auditlog"
	"azekura/internal/slotfile"
)

// The kinds of notices.
const (
	Alarm       = "alarm"
	Containment = "containment"
	Release     = "release"
	Test        = "test"
	Settings    = "settings" // where alarms go, or who cosigns the log, was changed
)

// Notice is what a target is told.
type Notice struct {
	ID       string    `json:"id"` // of the log and the event
	Log      int64     `json:"log"`
	Event    int64     `json:"event"`
	Time     time.Time `json:"time"`
	Kind     string    `json:"kind"`
	Rule     string    `json:"rule,omitempty"`
	Severity string    `json:"severity"` // low, medium, high, critical
	Says     string    `json:"says"`
	Target   string    `json:"target,omitempty"` // what is contained or released
	Session  string    `json:"session,omitempty"`
	Staff    string    `json:"staff,omitempty"`
	Role     string    `json:"role,omitempty"`
	Device   string    `json:"device,omitempty"`
}

// place is a notice's in the chain of logs.
type place struct {
	Log  int64 `json:"log"`
	Next int64 `json:"next"`
}

func (p place) before(n *Notice) bool { return p.Log < n.Log || p.Log == n.Log && p.Next <= n.Event }

func behind(n *Notice) place { return place{n.Log, n.Event + 1} }

// The purposes of the events that a test of the targets records, and of those that
// say which they are, and which witnesses cosign the log.
const (
	TestPurpose      = "alarms-test"
	TargetsPurpose   = "alarms-to"
	WitnessesPurpose = "cosigned-by"
)

// notice is what is told of an event, if anything is.
func notice(origin string, e *auditlog.Event) (Notice, bool) {
	n := Notice{ID: fmt.Sprintf("%s/%d/%d", origin, e.Log, e.Index), Log: e.Log, Event: e.Index, Time: time.UnixMicro(e.Time).UTC(),
		Staff: e.Staff, Role: e.Role, Device: e.Device, Severity: "high"}
	if e.Session != 0 {
		n.Session = e.Session.String()
	}
	stop, stops := access.StopOf(e)
	switch {
	case e.Action == auditlog.Alarm && (e.Outcome == access.KeyMoved || e.Outcome == access.KeyInterleaved):
		return n, false // the rule's alarm stands behind it
	case e.Action == auditlog.Alarm:
		n.Kind = Alarm
		var d struct{ Rule, Severity, Says, Table, Kind, Alarm string }
		if json.Unmarshal(e.Detail, &d) != nil {
			d.Says = "an alarm that can't be read; look at the audit log"
		}
		n.Rule, n.Says = d.Rule, d.Says
		if d.Severity != "" {
			n.Severity = d.Severity
		}
		if d.Table != "" && d.Alarm == "" {
			n.Rule, n.Says = "tampering", d.Table+": "+d.Kind
		}
		if n.Says == "" {
			n.Rule, n.Says = "elsewhere", "a token or a certificate was used where it doesn't belong"
		}
	case stops && stop.Release:
		n.Kind, n.Rule, n.Target, n.Severity, n.Says = Release, stop.By, stop.Target.String(), "medium", stop.Target.String()+" is released"
	case stops && stop.StepUp:
		n.Kind, n.Rule, n.Target, n.Severity, n.Says = Containment, stop.By, stop.Target.String(), "medium", stop.Target.String()+" is asked for a fresh touch"
	case stops:
		n.Kind, n.Rule, n.Target, n.Says = Containment, stop.By, stop.Target.String(), stop.Target.String()+" is contained"
	case e.Action == auditlog.System && e.Purpose == TestPurpose:
		n.Kind, n.Rule, n.Severity, n.Says = Test, "test", "low", "a test of where alarms go"
	case e.Action == auditlog.System && e.Purpose == TargetsPurpose:
		n.Kind, n.Rule, n.Says = Settings, "targets", "where alarms go is another than before"
	case e.Action == auditlog.System && e.Purpose == WitnessesPurpose:
		n.Kind, n.Rule, n.Says = Settings, "witnesses", "other witnesses cosign the audit log than before, or on other terms"
	default:
		return n, false
	}
	return n, true
}

// maxWaiting bounds the notices that are held in memory for a target. What comes
// after them is read from the log again once they are sent.
var maxWaiting = 10_000

// Outbox sends.
type Outbox struct {
	origin  string
	dir     string // of the targets' places
	targets []*target
	// again reads all events of authority, proven; trouble hears what fails.
	again   func(context.Context, func(auditlog.Event) error) error
	trouble func(error)
}

// target is one that is told, and how that goes.
type target struct {
	Target
	send sender
	poke chan struct{}

	mu    sync.Mutex
	at    place // what comes next
	list  []Notice
	more  bool  // what came after the list was let go,
	heard place // and reaches to here
	sent  time.Time
	fails string
	since time.Time // of the failing
}

// Told is how far a target has been told.
type Told struct {
	Name    string     `json:"name"`
	Kind    string     `json:"kind"`
	Where   string     `json:"where"`
	Log     int64      `json:"log"`
	Next    int64      `json:"next" doc:"the index of the first event of which it wasn't told"`
	Waiting int        `json:"waiting" doc:"what is held for it in memory"`
	Sent    *time.Time `json:"sent,omitempty"`
	Fails   string     `json:"fails,omitempty"`
	Since   *time.Time `json:"since,omitempty" doc:"since when it fails"`
}

// New makes an outbox for an installation's folder. It sends nothing yet. After an
// error it has no targets.
func New(dir, origin string, targets []Target, again func(context.Context, func(auditlog.Event) error) error) (*Outbox, error) {
	o := &Outbox{origin: origin, dir: filepath.Join(dir, "outbox"), again: again, trouble: func(error) {}}
	names := map[string]bool{}
	for _, t := range targets {
		send, err := t.open(dir)
		if err == nil && names[t.Name] {
			err = errors.New("its name is another's, too")
		}
		if err != nil {
			o.targets = nil
			return o, fmt.Errorf("read where alarms go (%q): %w", t.Name, err)
		}
		names[t.Name] = true
		o.targets = append(o.targets, &target{Target: t, send: send, poke: make(chan struct{}, 1), more: true})
	}
	return o, nil
}

// Named are the targets as the log names them: without secrets.
func (o *Outbox) Named() []string {
	list := []string{}
	for _, t := range o.targets {
		list = append(list, t.Name+" "+t.Kind()+" "+t.Where())
	}
	return list
}

// Heed takes an event of authority in, in the log's order. It waits for nothing.
func (o *Outbox) Heed(e auditlog.Event) {
	if len(o.targets) == 0 {
		return
	}
	n, ok := notice(o.origin, &e)
	if !ok {
		return
	}
	for _, t := range o.targets {
		t.mu.Lock()
		t.take(n)
		t.heard = behind(&n)
		t.mu.Unlock()
		select {
		case t.poke <- struct{}{}:
		default:
		}
	}
}

// take holds a notice for sending, if there is room; mu is held.
func (t *target) take(n Notice) {
	if t.more = t.more || len(t.list) >= maxWaiting; !t.more {
		t.list = append(t.list, n)
	}
}

// Start sends until ctx ends, from each target's place on; to a target that has none,
// what comes behind the first next events of a log. It returns at once.
func (o *Outbox) Start(ctx context.Context, log, next int64, trouble func(error)) (*sync.WaitGroup, error) {
	o.trouble = trouble
	if len(o.targets) == 0 {
		return &sync.WaitGroup{}, nil
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the outbox: %w", err)
	}
	for _, t := range o.targets {
		if err := o.place(t, place{log, next}); err != nil {
			return nil, fmt.Errorf("read how far %s was told of alarms: %w", t.Name, err)
		}
	}
	var running sync.WaitGroup
	for _, t := range o.targets {
		running.Go(func() { o.run(ctx, t) })
	}
	return &running, nil
}

func (o *Outbox) file(t *target) string { return filepath.Join(o.dir, t.Name+".json") }

// place reads where a target stands, or puts it at a new one's place.
func (o *Outbox) place(t *target, fresh place) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	raw, err := os.ReadFile(o.file(t))
	if errors.Is(err, os.ErrNotExist) {
		t.at = fresh
		return o.keep(t)
	}
	if err == nil {
		err = json.Unmarshal(raw, &t.at)
	}
	return err
}

func (o *Outbox) keep(t *target) error {
	raw, err := json.Marshal(t.at)
	if err == nil {
		err = slotfile.Replace(o.file(t), append(raw, '\n'))
	}
	return err
}

// Pauses between tries, and how long one may take.
const (
	firstPause = 500 * time.Millisecond
	lastPause  = 5 * time.Minute
	patience   = 30 * time.Second
)

func (o *Outbox) run(ctx context.Context, t *target) {
	defer t.send.close()
	for pause := firstPause; ctx.Err() == nil; {
		n, err := o.next(ctx, t)
		if n != nil && err == nil {
			err = o.tell(ctx, t, n)
		}
		t.note(err, n != nil, o.trouble)
		switch {
		case err != nil:
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(2*pause, lastPause)
			continue
		case n == nil:
			select {
			case <-t.poke:
			case <-ctx.Done():
			}
		}
		pause = firstPause
	}
}

// tell sends a notice, and lets it go when it is taken.
func (o *Outbox) tell(ctx context.Context, t *target, n *Notice) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := t.send.send(ctx, n); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = behind(n)
	if err := o.keep(t); err != nil {
		return fmt.Errorf("note how far it was told: %w", err)
	}
	return nil
}

// note says once that a target fails.
func (t *target) note(err error, told bool, trouble func(error)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case errors.Is(err, context.Canceled):
	case err != nil:
		if t.fails != err.Error() {
			trouble(fmt.Errorf("send an alarm to %s: %w; it is tried again until it is taken", t.Name, err))
		}
		if t.fails == "" {
			t.since = time.Now()
		}
		t.fails = err.Error()
	case told:
		t.fails, t.sent = "", time.Now()
	}
}

// next is the next notice for a target, if there is one.
func (o *Outbox) next(ctx context.Context, t *target) (*Notice, error) {
	for {
		t.mu.Lock()
		for len(t.list) > 0 && !t.at.before(&t.list[0]) {
			t.list = t.list[1:]
		}
		more := t.more
		if len(t.list) > 0 {
			n := t.list[0]
			t.mu.Unlock()
			return &n, nil
		}
		t.list = nil
		t.mu.Unlock()
		if !more {
			return nil, nil
		}
		if wait, err := o.reread(ctx, t); err != nil {
			return nil, err
		} else if wait {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// reread fills a target's list from the log again. While it reads, what is heard is
// let go; it is over when it has read that too. It says whether that is committed
// and not signed yet.
func (o *Outbox) reread(ctx context.Context, t *target) (wait bool, err error) {
	var got []Notice
	full := false
	at := t.at // which this goroutine alone changes
	err = o.again(ctx, func(e auditlog.Event) error {
		if n, ok := notice(o.origin, &e); ok && at.before(&n) {
			if full = full || len(got) >= maxWaiting; !full {
				got = append(got, n)
			}
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	reached := at
	if len(got) > 0 {
		reached = behind(&got[len(got)-1])
	}
	t.list = got
	t.more = full || reached.Log < t.heard.Log || reached.Log == t.heard.Log && reached.Next < t.heard.Next
	return t.more && len(got) == 0, nil
}

// Status tells how far each target has been told.
func (o *Outbox) Status() []Told {
	list := []Told{}
	for _, t := range o.targets {
		t.mu.Lock()
		s := Told{Name: t.Name, Kind: t.Kind(), Where: t.Where(), Log: t.at.Log, Next: t.at.Next, Fails: t.fails}
		if sent := t.sent; !sent.IsZero() {
			s.Sent = &sent
		}
		if since := t.since; t.fails != "" {
			s.Since = &since
		}
		for i := range t.list {
			if t.at.before(&t.list[i]) {
				s.Waiting++
			}
		}
		t.mu.Unlock()
		list = append(list, s)
	}
	return list
}
