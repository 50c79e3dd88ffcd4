// Package madelog makes up audit logs for benchmarks: one in which a device's
// openings stand among everybody else's, as in June 2015, in tables or as tiles,
// and one of many reads that the sequencer itself wrote.
//
// It promises that the same size gives the same openings. Rows's lines are no
// events, only as long as real ones, and nobody signed them: what is made so can
// be asked about exposures, and not verified. Tiles's are the same lines, signed
// by whom it is told to. Record's is a log like any other.
package madelog

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/register/field"

	"github.com/google/uuid"
)

// DeviceSessions are three sessions at the infected device. One event in eight
// is of theirs.
var DeviceSessions = []auditlog.Session{0x1001, 0x1002, 0x1003}

// EarlySession is at that device too. It has one event, the log's second.
const EarlySession auditlog.Session = 0x1000

// honestSessions is how many other sessions go on beside them.
const honestSessions = 21

var logEvent = &db.Insert{Table: "log_event", Columns: []string{"log_id", "idx", "time_us", "action", "session_id", "session_seq",
	"participant_id", "participant_seq", "fields", "line"}}

// Rows writes a log of so many reads straight to its tables, which must be
// empty, two loaders at a time: by the sequencer it would take longer than all
// that is asked of it.
func Rows(ctx context.Context, d db.DB, size int64) error {
	if _, err := d.Exec(ctx, "INSERT INTO log_head (log_id, size, root, epoch) VALUES (1, $1, $2, 1)", size, make([]byte, 32)); err != nil {
		return fmt.Errorf("make up a log: %w", err)
	}
	if err := load(ctx, d, size); err != nil {
		return fmt.Errorf("make up a log: %w", err)
	}
	// What autovacuum does to a log in the course of its growth.
	sql := "ANALYZE"
	if d.Engine() == db.PostgreSQL {
		sql = "VACUUM ANALYZE log_event"
	}
	_, err := d.Exec(ctx, sql)
	return err
}

func load(ctx context.Context, d db.DB, size int64) error {
	const batch = 20_000
	todo := make(chan int64)
	failed := make(chan error, 2)
	for range cap(failed) {
		go func() {
			var err error
			for from := range todo {
				if err == nil {
					err = insert(ctx, d, from, min(from+batch, size), size)
				}
			}
			failed <- err
		}()
	}
	for from := int64(0); from < size; from += batch {
		todo <- from
	}
	close(todo)
	var err error
	for range cap(failed) {
		if e := <-failed; e != nil {
			err = e
		}
	}
	return err
}

func insert(ctx context.Context, d db.DB, from, to, size int64) error {
	var logs, idx, at, action, session, seq, participantSeq, fields []int64
	var who, lines [][]byte
	for i := from; i < to; i++ {
		e := event(i, size)
		logs, idx, at, action = append(logs, 1), append(idx, i), append(at, e.Time), append(action, int64(e.Action))
		session, seq = append(session, int64(e.Session)), append(seq, e.SessionSeq)
		who, participantSeq = append(who, e.Participant[:]), append(participantSeq, e.ParticipantSeq)
		fields = append(fields, int64(e.Opened()))
		lines = append(lines, line(&e))
	}
	return d.Insert(ctx, logEvent, logs, idx, at, action, session, seq, who, participantSeq, fields, lines)
}

// event is event i. The device's openings repeat people and mix fields as those
// of 2015 did: 1.25 million of 1,014,653 people.
func event(i, size int64) auditlog.Event {
	e := auditlog.Event{Action: auditlog.Read, Index: i, Time: 1_431_000_000_000_000 + 40*i, ParticipantSeq: 1 + i%3}
	n := i / 8 // of the device's openings
	switch {
	case i == 1:
		e.Session, e.SessionSeq, e.Participant = EarlySession, 1, ID(0)
	case i%8 != 0:
		n = i - n - 2
		e.Session, e.SessionSeq = auditlog.Session(0x2001+n%honestSessions), 1+n/honestSessions
		e.Participant = ID(mix(uint64(n)) % uint64(size/2))
	default:
		e.Session, e.SessionSeq = DeviceSessions[n%3], 1+n/3
		e.Participant = ID(mix(uint64(n%(1+size*1014653/10_000_000))) % (1 << 40))
	}
	for _, f := range fieldsOf(n) {
		e.Fields = append(e.Fields, auditlog.FieldVersion{Field: f, Version: 1})
	}
	return e
}

func fieldsOf(n int64) []field.Field {
	all := []field.Field{field.Number, field.Name, field.Birth, field.Address}
	switch k := n % 1000; {
	case k < 25:
		return all[:2]
	case k < 67:
		return all
	}
	return all[:3]
}

// ID is participant n's, a UUIDv7 as an import makes them.
func ID(n uint64) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:8], (1_420_000_000_000+n%(1<<40)/15)<<16|0x7000|mix(n)>>52)
	binary.BigEndian.PutUint64(id[8:], mix(n+1)>>2|1<<63)
	return id
}

// mix is splitmix64's finalizer: numbers that look random and repeat by run.
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// line is as long as a line of the log.
func line(e *auditlog.Event) []byte {
	return fmt.Appendf(make([]byte, 0, 384), `{"v":1,"log":1,"index":%d,"time":"2015-05-21T00:00:00.%06dZ","action":"read","outcome":"ok","purpose":"enquiry","case":"C-%d",`+
		`"staff":"s-%d","role":"caseworker","device":"pc-%d","session":"%s","session_seq":%d,"participant":"%s","participant_seq":%d,`+
		`"fields":{"number":1,"name":1,"birth":1},"request":"%016x","salt":"%016xABCDEF"}`,
		e.Index, e.Index%1e6, e.Index%1e5, e.Session%100, e.Session%100, e.Session, e.SessionSeq, e.Participant, e.ParticipantSeq, e.Index, mix(uint64(e.Index)))
}

// Record has the log itself write so many reads, in entries of 64, with 32
// callers.
func Record(ctx context.Context, l *auditlog.Log, events int64) error {
	const callers, each = 32, 64
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for c := range int64(callers) {
		wg.Go(func() {
			for at := c * each; at < events && errs[c] == nil; at += callers * each {
				_, errs[c] = l.Record(ctx, auditlog.Entry{Events: reads(c, at, min(each, events-at))})
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("make up a log: %w", err)
		}
	}
	return nil
}

func reads(caller, at, n int64) []auditlog.Event {
	list := make([]auditlog.Event, n)
	for i := range list {
		list[i] = auditlog.Event{Action: auditlog.Read, Outcome: "ok", Purpose: "enquiry", Case: "C-2015-0061", Staff: "s-01", Role: "caseworker",
			Device: "d-01", Session: auditlog.Session(caller + 1), Participant: ID(mix(uint64(at+int64(i))) % 100_000),
			Fields:  []auditlog.FieldVersion{{Field: field.Name, Version: 1}, {Field: field.Birth, Version: 1}},
			Request: "0123456789abcdef", Known: auditlog.Known{Valid: true}}
	}
	return list
}
