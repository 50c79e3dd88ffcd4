package auditlog

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// Tampering is a row of the database that isn't what this program wrote there,
// or that is gone. Its texts hold no personal data: a key is a pseudonym, a
// number or a code.
type Tampering struct {
	Table string `json:"table"`
	Key   string `json:"key"`
	Kind  string `json:"kind"` // what is wrong with it, in words
}

// String says it in one line.
func (t Tampering) String() string { return t.Table + " " + t.Key + ": " + t.Kind }

// Tampered is the error of who came upon a row that was tampered with; Is is
// what a caller decides on.
type Tampered struct {
	Tampering
	Is error
}

// Error says what was refused, and on which row.
func (t *Tampered) Error() string { return t.Is.Error() + ": " + t.Tampering.String() }

// Unwrap is the sentinel.
func (t *Tampered) Unwrap() error { return t.Is }

const (
	// alarmEvery is how long one alarm stands before it is recorded again.
	alarmEvery = time.Hour
	// maxAlarms bounds the alarms of that time: whoever alters a million rows
	// must not fill the log by having them read.
	maxAlarms = 200
)

// tooMany stands for all that come after maxAlarms.
var tooMany = Tampering{Table: "any", Key: "-", Kind: "more rows than alarms are recorded for in an hour; run azekura verify"}

// alarms remembers what was recorded since a moment.
type alarms struct {
	mu    sync.Mutex
	since time.Time
	last  map[Tampering]bool
}

// due tells whether an alarm is to be recorded, and which, and notes it as such.
func (a *alarms) due(t Tampering, now time.Time) (Tampering, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil || now.Sub(a.since) >= alarmEvery || now.Before(a.since) {
		a.since, a.last = now, map[Tampering]bool{}
	}
	if !a.last[t] && len(a.last) >= maxAlarms {
		t = tooMany
	}
	if a.last[t] {
		return t, false
	}
	a.last[t] = true
	return t, true
}

func (a *alarms) forget(t Tampering) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.last, t)
}

// raiseWait bounds how long an alarm's own recording may hold up who found it.
const raiseWait = 10 * time.Second

// Raise records an alarm, unless the same was recorded within the hour. Whoever
// calls it refuses what the row says, whether or not this succeeds; it must hold
// no transaction.
func (l *Log) Raise(ctx context.Context, t Tampering) error {
	t, due := l.alarms.due(t, l.now())
	if !due {
		return nil
	}
	detail, err := json.Marshal(t)
	if err != nil {
		return err
	}
	// Whoever comes upon the row and goes away must not silence the alarm.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), raiseWait)
	defer cancel()
	if _, err := l.RecordOne(ctx, Event{Action: Alarm, Outcome: "found", Detail: detail}); err != nil {
		l.alarms.forget(t)
		return fmt.Errorf("record the alarm about %s: %w", t.Table, err)
	}
	return nil
}

// Raised is an alarm as the log holds it.
type Raised struct {
	Index int64     `json:"index" doc:"the alarm's index in the audit log"`
	Time  time.Time `json:"time"`
	Tampering
}

// Rule is the outcome of an alarm that a rule over the events gave; any other is
// about a row.
const Rule = "rule"

// Alarms lists the alarms about rows under the signed head, the oldest first. They are
// events of authority: the answer is all of them, or an error.
func (l *Log) Alarms(ctx context.Context) ([]Raised, error) {
	list := []Raised{}
	err := l.Authority(ctx, func(e Event) error {
		if e.Action != Alarm || e.Outcome == Rule {
			return nil
		}
		r := Raised{Index: e.Index, Time: time.UnixMicro(e.Time).UTC()}
		if err := json.Unmarshal(e.Detail, &r.Tampering); err != nil {
			return fmt.Errorf("read the alarm: %w", err)
		}
		list = append(list, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}
