package auditlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"azekura/auditlog/complete"

	"golang.org/x/mod/sumdb/tlog"
)

// PurposeDaily is the purpose of the system events that hold a day's root over
// sequence numbers (package complete says what they are for).
const PurposeDaily = "daily"

const dayLayout = "2006-01-02"

// Daily records the roots of days that are over and have none yet, one event a
// day, the earliest first, and returns how many it recorded. A day goes from the
// event where the one before ended to the first that was recorded after its
// midnight (UTC), so that every event is in one day, whatever a clock did. It may
// be called at any time and by several callers; a run that was killed leaves
// nothing behind, and days that were missed are caught up with.
func (l *Log) Daily(ctx context.Context) (recorded int, err error) { return l.roots(ctx, false) }

// LastDay records the roots that are due, and that of the day under way, for a log
// that is about to end.
func (l *Log) LastDay(ctx context.Context) (recorded int, err error) { return l.roots(ctx, true) }

func (l *Log) roots(ctx context.Context, ending bool) (recorded int, err error) {
	l.days.Lock()
	defer l.days.Unlock()
	last, err := l.lastDaily(ctx)
	if err != nil {
		return 0, fmt.Errorf("find the last daily root: %w", err)
	}
	for ; ; recorded++ {
		next, err := l.daily(ctx, last, ending)
		if err != nil || next == nil {
			return recorded, err
		}
		detail, err := json.Marshal(next)
		if err != nil {
			return recorded, err
		}
		if _, err := l.RecordOne(ctx, Event{Action: System, Outcome: "ok", Purpose: PurposeDaily, Detail: detail}); err != nil {
			return recorded, fmt.Errorf("record the root of %s: %w", next.Day, err)
		}
		last = next
	}
}

// daily makes the root of the day after last, or nil where that isn't over. For a
// log that ends it is over, if anybody had events on it.
func (l *Log) daily(ctx context.Context, last *complete.Daily, ending bool) (*complete.Daily, error) {
	size, from := l.Signed(), int64(0)
	if last != nil {
		from = last.To
	}
	if from >= size {
		return nil, nil
	}
	first, err := l.eventAt(ctx, from)
	if err != nil {
		return nil, err
	}
	day := time.UnixMicro(first.Time).UTC().Truncate(24 * time.Hour)
	if last != nil {
		before, err := time.Parse(dayLayout, last.Day)
		if err != nil {
			return nil, fmt.Errorf("read the last daily root: %w", err)
		}
		if after := before.AddDate(0, 0, 1); day.Before(after) { // a clock went back
			day = after
		}
	}
	end := day.AddDate(0, 0, 1)
	over := !l.now().Before(end)
	if !over && !ending {
		return nil, nil
	}
	d := &complete.Daily{Day: day.Format(dayLayout), From: from, Salt: make([]byte, 16)}
	if _, err := io.ReadFull(l.rand, d.Salt); err != nil {
		return nil, err
	}
	list, to, err := l.numbers(ctx, [16]byte(d.Salt), from, size, end.UnixMicro(), func(*Event) {})
	if err != nil {
		return nil, fmt.Errorf("make the root of %s: %w", d.Day, err)
	}
	defer list.Close()
	if !over && list.count == 0 {
		return nil, nil
	}
	d.To, d.Count = to, list.count
	d.Root, err = list.root()
	return d, err
}

// numbers gathers the first and the last number of each subject of the events
// from one index up to the first that has a time of end or later, or to size.
// each hears of every event, without its texts.
func (r *Reader) numbers(ctx context.Context, salt [16]byte, from, size, end int64, each func(*Event)) (list *sorted, to int64, err error) {
	s := newSorter()
	defer s.Close()
	to = size
	var e Event
	err = r.TrueLines(ctx, from, size, func(index int64, line []byte) error {
		if !e.parse(line, "") || e.Index != index {
			return fmt.Errorf("event %d: %w; run azekura log verify", index, errLine)
		}
		if e.Time >= end {
			to = index
			return errEnough
		}
		each(&e)
		if e.Session != 0 {
			id := sessionID(e.Session)
			if err := s.add(complete.Leaf{Token: complete.TokenOf(salt, 'z', id[:]), First: e.SessionSeq, Last: e.SessionSeq}); err != nil {
				return err
			}
		}
		if e.Participant != (ID{}) {
			return s.add(complete.Leaf{Token: complete.TokenOf(salt, 'p', e.Participant[:]), First: e.ParticipantSeq, Last: e.ParticipantSeq})
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, 0, err
	}
	list, err = s.sort()
	return list, to, err
}

var errEnough = errors.New("that is enough")

func sessionID(s Session) (id [8]byte) {
	for i := range id {
		id[i] = byte(uint64(s) >> (56 - 8*i))
	}
	return id
}

// chunkLines is how many lines TrueLines reads in one query.
const chunkLines = 4096

// TrueLines calls f with the lines of signed events from one index up to another, each
// compared with its leaf in the tiles, so that what rests on them rests on what
// was recorded. It holds none of the database's connections while f runs.
func (r *Reader) TrueLines(ctx context.Context, from, to int64, f func(index int64, line []byte) error) error {
	for at := from; at < to; {
		end := min(at+chunkLines-at%chunkLines, to)
		lines := make([][]byte, 0, end-at)
		err := eachLine(ctx, r.q, r.logID, at, end, func(_ int64, line []byte) error {
			lines = append(lines, append([]byte(nil), line...))
			return nil
		})
		if err != nil {
			return err
		}
		first := at
		err = r.Leaves(ctx, at, end, func(index int64, leaf Hash) error {
			line := lines[index-first]
			if tlog.RecordHash(line) != leaf {
				return fmt.Errorf("%w: event %d isn't what was recorded; run azekura log verify", ErrSigner, index)
			}
			return f(index, line)
		})
		if err != nil {
			return err
		}
		at = end
	}
	return nil
}

func (r *Reader) eventAt(ctx context.Context, index int64) (e Event, err error) {
	err = eachLine(ctx, r.q, r.logID, index, index+1, func(_ int64, line []byte) error {
		if e, err = ParseLine(line); err != nil {
			return fmt.Errorf("event %d: %w; run azekura log verify", index, err)
		}
		return nil
	})
	return e, err
}

// The actions are spelt out twice so that both engines see that an index over
// the first list serves.
const (
	selectDailies = "SELECT idx, line FROM log_event WHERE log_id = $1 AND action IN (9, 10, 11, 12, 14) AND action = 12 AND idx < $2"
	dailyPage     = 256
)

// lastDaily is the newest daily root's detail, or nil.
func (r *Reader) lastDaily(ctx context.Context) (*complete.Daily, error) {
	for before := r.Signed(); ; {
		list, next, err := r.dailies(ctx, selectDailies+" ORDER BY idx DESC LIMIT 256", before)
		if err != nil || len(list) > 0 {
			if err != nil {
				return nil, err
			}
			return &list[0].Daily, nil
		}
		if next < 0 {
			return nil, nil
		}
		before = next
	}
}

// dailyEvent is a daily root as the log has it.
type dailyEvent struct {
	complete.Daily
	index int64
	line  []byte
}

// dailies picks the daily roots out of a page of system events, and says which
// index the page ended with, or -1 where it was the last.
func (r *Reader) dailies(ctx context.Context, sql string, args ...any) (list []dailyEvent, end int64, err error) {
	rows, err := r.q.Query(ctx, sql, append([]any{r.logID}, args...)...)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var d dailyEvent
		if err := rows.Scan(&d.index, &d.line); err != nil {
			return nil, 0, err
		}
		end = d.index
		e, err := ParseLine(d.line)
		if err != nil {
			return nil, 0, fmt.Errorf("event %d: %w; run azekura log verify", d.index, err)
		}
		if e.Action != System || e.Purpose != PurposeDaily {
			continue
		}
		if err := json.Unmarshal(e.Detail, &d.Daily); err != nil {
			return nil, 0, fmt.Errorf("the daily root of event %d can't be read: %w", d.index, err)
		}
		d.line = append([]byte(nil), d.line...)
		list = append(list, d)
	}
	if n < dailyPage {
		end = -1
	}
	return list, end, rows.Err()
}
