package alarms

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"azekura/auditlog"
)

// away is a target that takes nothing until it is let.
type away struct {
	mu   sync.Mutex
	lets bool
	got  []int64
}

func (a *away) send(_ context.Context, n *Notice) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.lets {
		return errors.New("away")
	}
	a.got = append(a.got, n.Event)
	return nil
}

func (*away) close() {}

// TestManyWaiting: more alarms come than are held in memory for a target that is
// away; the rest are read from the log, those that aren't signed yet included, and
// another target doesn't wait.
func TestManyWaiting(t *testing.T) {
	before := maxWaiting
	maxWaiting = 7
	t.Cleanup(func() { maxWaiting = before })
	var mu sync.Mutex
	var log []auditlog.Event
	signed := 0
	o := &Outbox{origin: "log.invalid/x", dir: t.TempDir(), again: func(_ context.Context, f func(auditlog.Event) error) error {
		mu.Lock()
		list := slices.Clone(log[:signed])
		mu.Unlock()
		for _, e := range list {
			if err := f(e); err != nil {
				return err
			}
		}
		return nil
	}}
	slow, fast := &away{}, &away{lets: true}
	for name, s := range map[string]*away{"slow": slow, "fast": fast} {
		o.targets = append(o.targets, &target{Target: Target{Name: name, Syslog: &Syslog{}}, send: s, poke: make(chan struct{}, 1), more: true})
	}
	ctx, cancel := context.WithCancel(t.Context())
	running, err := o.Start(ctx, 1, 0, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); running.Wait() }()
	const n = 100
	var want []int64
	for i := range int64(n) {
		e := auditlog.Event{Action: auditlog.Alarm, Log: 1, Index: 2 * i, Outcome: "found", Detail: []byte(`{"table":"t"}`)}
		want = append(want, e.Index)
		mu.Lock()
		log = append(log, e)
		signed = max(len(log)-2, signed) // the last ones are committed, and not signed
		mu.Unlock()
		o.Heed(e)
	}
	has := func(a *away, want []int64) func() bool {
		return func() bool { a.mu.Lock(); defer a.mu.Unlock(); return slices.Equal(a.got, want) }
	}
	wait := func(what string, f func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: slow got %v, fast %v", what, slow.got, fast.got)
			}
		}
	}
	wait("what is held", func() bool { s := o.Status(); return max(s[0].Waiting, s[1].Waiting) <= maxWaiting })
	time.AfterFunc(50*time.Millisecond, func() {
		mu.Lock()
		signed = len(log)
		mu.Unlock()
	})
	wait("the fast one", has(fast, want))
	slow.mu.Lock()
	slow.lets = true
	slow.mu.Unlock()
	wait("the slow one", has(slow, want))
}
