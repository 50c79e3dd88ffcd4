package auditlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Judge decides, inside the sequencer, what becomes of an entry: so what it
// counts is charged in the commit that records the opening, by one goroutine, in
// the log's order. Its state is made by Note alone, from events that are
// recorded, so it is what a recount of the log gives.
//
// Judge, Note, Settle and Save are called by one goroutine at a time, and must
// wait for nothing: who calls them holds up every receipt. None may record.
type Judge interface {
	// Name is the judge's own among those of a log; its saved state is kept
	// under it.
	Name() string
	// Judge says what is to become of one entry. Its events have their log,
	// index and time; sequence numbers come later. It changes nothing. Where a
	// judge before it refused, what it is shown is the Deny in their place, and
	// it may still add events, but not refuse.
	Judge(events []Event) Verdict
	// Note takes in an event that is to be recorded, in the log's order: every
	// one, added ones and denials too, at the start those of the past. It must
	// not keep e.
	Note(e *Event)
	// Settle makes what was noted since the last Settle stand, or takes it back.
	Settle(committed bool)
	// Save writes all that Note made of the log so far; nothing is unsettled.
	Save(w io.Writer) error
	// Load takes that up again, and reads to its end. After an error the judge is as
	// new, and is told of the whole log instead: what it read may break off anywhere.
	Load(r io.Reader) error
}

// Verdict is what a judge says of an entry. The zero value lets it pass.
type Verdict struct {
	// Refuse, when set, is what the submitter is told in place of receipts. A
	// Deny with the who and why of the entry's first event is recorded instead of
	// its events, and its own transaction is rolled back.
	Refuse error
	// Outcome and Detail are the Deny's: what refused, in a word, and which rule.
	Outcome string
	Detail  json.RawMessage
	// Add are events that are recorded right behind, in the same commit: an
	// alarm, a containment. At most maxAdded.
	Add []Event
}

const maxAdded = 16

// ErrJudge means that a judge failed, so what it had to say is unknown and the
// entry is refused.
var ErrJudge = errors.New("a rule that must be asked has failed, so nothing is opened; tell whoever runs this installation")

// Heed has f hear every event of authority, once it is committed and before any
// receipt of its batch goes out, in the log's order. So what a judge contains is
// contained before whoever read in the same batch sees plaintext. It runs on the
// sequencer's goroutine: it must wait for nothing and record nothing.
func (l *Log) Heed(f func(Event)) {
	l.bench.Lock()
	defer l.bench.Unlock()
	l.heeding = append(l.heeding, f)
}

// Appoint sets the judges of the log, who are asked in turn, after telling each
// what was recorded before: from what it saved, then from the log's own lines,
// which count only if they give the log's root. Nothing is recorded meanwhile.
// It is called once, before the log is used. After an error nothing is opened any
// more, for what the judges would say is unknown; all else is recorded, so that
// who verifies the log, and contains, can work.
func (l *Log) Appoint(ctx context.Context, judges ...Judge) error {
	l.bench.Lock()
	defer l.bench.Unlock()
	if len(l.judges) > 0 {
		return errors.New("the log has its judges already")
	}
	told, err := l.remind(ctx, judges)
	if err != nil {
		l.unjudged = err
		return fmt.Errorf("rebuild from the log what its rules go by: %w", err)
	}
	l.judges = judges
	if told >= saveAtStart {
		l.keepNow()
	}
	return nil
}

// judge asks about an entry whose events are numbered, and leaves in e.recorded
// what is to be recorded for it.
func (l *Log) judge(e *entry) {
	e.recorded = e.Events
	if e.decided {
		return
	}
	e.refused = nil
	if freezes(e.Events) {
		return // nothing may follow it
	}
	if l.unjudged != nil && opens(e.Events) {
		e.refused = fmt.Errorf("%w: what was recorded before can't be read back", ErrJudge)
		e.recorded = []Event{denial(e.Events, Verdict{Outcome: "failed", Detail: json.RawMessage(`{"failed":"log"}`)})}
		return
	}
	for _, j := range l.judges {
		v := ask(j, e.recorded)
		if v.Refuse != nil && e.refused == nil {
			e.refused = v.Refuse
			e.recorded = []Event{denial(e.Events, v)}
		}
		first := e.recorded[0]
		for _, added := range v.Add {
			added.Log, added.Index, added.Time = first.Log, first.Index+int64(len(e.recorded)), first.Time
			e.recorded = append(e.recorded[:len(e.recorded):len(e.recorded)], added)
		}
	}
	if e.refused == nil {
		e.Events = e.recorded[:len(e.Events):len(e.Events)]
	}
}

// opens tells whether an entry's receipts open anything.
func opens(events []Event) bool {
	for i := range events {
		e := &events[i]
		if e.Opened() != 0 || e.Action == Index || e.Set != nil && e.Set.Inside {
			return true
		}
	}
	return false
}

// ask asks one judge. One that fails, or adds what can't be recorded, refuses.
func ask(j Judge, events []Event) (v Verdict) {
	defer func() {
		if recover() != nil {
			v = failed(j)
		}
	}()
	v = j.Judge(events)
	if len(v.Add) > maxAdded {
		return failed(j)
	}
	for i := range v.Add {
		added := &v.Add[i]
		if int(added.Action) >= len(actionNames) || actionNames[added.Action] == "" || added.Set != nil || added.Opened() != 0 || added.check() != nil {
			return failed(j)
		}
	}
	return v
}

func failed(j Judge) Verdict {
	detail, _ := json.Marshal(map[string]string{"failed": j.Name()})
	return Verdict{Refuse: fmt.Errorf("%w (%s)", ErrJudge, j.Name()), Outcome: "failed", Detail: detail}
}

// denial stands in the log for events that were refused. It names a participant
// only if all of them were about the same.
func denial(events []Event, v Verdict) Event {
	of := &events[0]
	d := Event{Action: Deny, Outcome: v.Outcome, Purpose: of.Purpose, Case: of.Case, Staff: of.Staff, Role: of.Role, Device: of.Device,
		Session: of.Session, Participant: of.Participant, Known: of.Known, Request: of.Request, Detail: v.Detail,
		Log: of.Log, Index: of.Index, Time: of.Time}
	for i := range events {
		if events[i].Participant != of.Participant {
			d.Participant, d.Known = ID{}, Known{}
		}
	}
	if d.check() != nil {
		d.Outcome, d.Detail = "refused", nil
	}
	return d
}

// note tells the judges what is to be recorded. One that fails has lost count,
// and the log stops.
func (l *Log) note(events []Event) (err error) {
	name := ""
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("%w: %s lost count of the log", ErrJudge, name)
			l.stop(err)
			err = l.Err()
		}
	}()
	for _, j := range l.judges {
		name = j.Name()
		for i := range events {
			j.Note(&events[i])
		}
	}
	return nil
}

// rule ends a batch for the judges.
func (l *Log) rule(committed bool) {
	name := ""
	defer func() {
		if recover() != nil {
			l.stop(fmt.Errorf("%w: %s lost count of the log", ErrJudge, name))
		}
	}()
	for _, j := range l.judges {
		name = j.Name()
		j.Settle(committed)
	}
}

// drop gives up the transaction of an entry that is refused, before the batch
// is written without it: on SQLite it is the one writer there is. From then on
// the entry is its denial, whatever becomes of the batch.
func (b *batch) drop() {
	for _, e := range b.entries {
		if e.refused == nil || e.Tx == nil {
			continue
		}
		e.Tx.Rollback()
		e.decided, e.Events, e.Tx, e.Finish, e.Set = true, e.recorded, nil, nil, nil
	}
}

// Recorded calls f with every event under the signed head, those of the logs
// before too, in order. What f made of them counts only if the answer is nil.
func (l *Log) Recorded(ctx context.Context, f func(*Event)) error {
	size, root := l.signer.Head()
	for _, of := range append(l.signer.Past(), Past{LogID: l.id, Size: size, Root: root}) {
		if err := replay(ctx, l.db, of, 0, func(e *Event, _ int64) { f(e) }); err != nil {
			return err
		}
	}
	return nil
}
