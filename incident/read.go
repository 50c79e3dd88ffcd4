package incident

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/register/field"

	"github.com/google/uuid"
)

// readers is how many sessions are read at a time: half the connections that
// either engine's pool has at the least, so that the gate goes on working during
// an incident.
const readers = 2

// findings is what the readers bring together.
type findings struct {
	people         *people
	openings, sets int64
	gaps           gaps
	absent         []auditlog.Session // without an event in the log
}

// reader reads sessions, one after another.
type reader struct {
	src          Source
	since, until int64 // microseconds: from since, up to and without until
	progress     *progress
	after        int64 // the least index after the last event of a session
	before       map[auditlog.Session]bool
	findings
}

// readChain reads each log in turn, the oldest first. A session may go on from one
// to the next, where its numbers begin again.
func readChain(ctx context.Context, src Source, q Query, sessions []auditlog.Session, size int64, report func(int64)) (*findings, error) {
	before := map[auditlog.Session]bool{}
	sum := &findings{people: newPeople()}
	logs := append(slices.Clone(src.Earlier), auditlog.Past{LogID: src.LogID, Size: size})
	for i, of := range logs {
		src.LogID = of.LogID
		done := sum.openings
		found, err := read(ctx, src, q, sessions, of.Size, before, func(n int64) {
			if report != nil {
				report(done + n)
			}
		})
		if err != nil {
			return nil, err
		}
		if i < len(logs)-1 {
			found.gaps.of(of.LogID)
			if err := found.lost(ctx, src, q, of, logs[i+1].LogID); err != nil {
				return nil, err
			}
		}
		for _, s := range sessions {
			before[s] = before[s] || !slices.Contains(found.absent, s)
		}
		sum.add(found)
	}
	for _, s := range sessions {
		if !before[s] {
			sum.gaps.add(Gap{Kind: Unknown, Session: s.String()})
		}
	}
	return sum, nil
}

const selectBegin = "SELECT time_us FROM log_event WHERE log_id = $1 AND idx = 0"

// lost notes events that were signed and are gone, unless all that is asked about
// came after the log that says so had begun: whoever sat then sat down anew.
func (f *findings) lost(ctx context.Context, src Source, q Query, of auditlog.Past, next int64) error {
	if !of.Lost() {
		return nil
	}
	var begin int64
	if err := src.DB.QueryRow(ctx, selectBegin, []any{next}, &begin); err != nil {
		return fmt.Errorf("read when log %d began: %w", next, err)
	}
	if since, _ := q.window(); since >= begin {
		return nil
	}
	gap := Gap{Kind: Lost, Log: of.LogID, From: of.Size, To: of.Signed - 1}
	if of.Unknown {
		gap.To = 0
	}
	f.gaps.add(gap)
	return nil
}

// read asks every session, several at a time, and then whether the log lacks
// anything after the last event of any. Numbers show what is missing inside a
// session; what is missing after its last event, only the log's own count does.
func read(ctx context.Context, src Source, q Query, sessions []auditlog.Session, size int64, before map[auditlog.Session]bool, report func(int64)) (*findings, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo := make(chan auditlog.Session, len(sessions))
	for _, s := range sessions {
		todo <- s
	}
	close(todo)
	since, until := q.window()
	p := &progress{report: report}
	all := make([]*reader, max(1, min(readers, runtime.GOMAXPROCS(0), len(sessions))))
	var wg sync.WaitGroup
	for i := range all {
		r := &reader{src: src, since: since, until: until, progress: p, after: size, before: before, findings: findings{people: newPeople()}}
		all[i] = r
		wg.Go(func() {
			for s := range todo {
				if err := r.session(ctx, s); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	sum := &all[0].findings
	for _, r := range all[1:] {
		sum.add(&r.findings)
		all[0].after = min(all[0].after, r.after)
	}
	if err := sum.gaps.findCuts(ctx, src.DB, src.LogID, all[0].after, size); err != nil {
		return nil, err
	}
	p.end(sum.openings)
	return sum, nil
}

func (f *findings) add(other *findings) {
	f.people = f.people.merge(other.people)
	f.openings += other.openings
	f.sets += other.sets
	f.gaps.merge(other.gaps)
	f.absent = append(f.absent, other.absent...)
}

// leaveOut forgets those who are nobody.
func (f *findings) leaveOut(nobody func(uuid.UUID) bool) {
	if nobody == nil {
		return
	}
	f.people.list = slices.DeleteFunc(f.people.list, func(p person) bool {
		if !nobody(p.id) {
			return false
		}
		f.openings -= int64(p.openings)
		return true
	})
}

// window is the query's, in microseconds. An end within a microsecond is
// moved outwards, so that nothing is lost.
func (q Query) window() (since, until int64) {
	since, until = math.MinInt64, math.MaxInt64
	if !q.Since.IsZero() {
		since = q.Since.UnixMicro()
	}
	if !q.Until.IsZero() {
		until = q.Until.Add(time.Microsecond - time.Nanosecond).UnixMicro()
	}
	return since, until
}

// selectSession is answered from the index log_event_session alone.
const selectSession = "SELECT session_seq, time_us, fields, participant_id FROM log_event WHERE log_id = $1 AND session_id = $2 ORDER BY session_seq"

// event is a row of selectSession.
type event struct {
	seq, time, fields int64
	who               participant
}

// session reads one session to its end. Set events are expanded after that, so
// that a reader never holds one connection and waits for another.
func (r *reader) session(ctx context.Context, s auditlog.Session) error {
	sets, last, err := r.stream(ctx, s)
	if err == nil {
		err = r.end(ctx, s, last)
	}
	if err != nil {
		return fmt.Errorf("session %s: %w", s, err)
	}
	for _, set := range sets {
		if err := r.expand(ctx, s, set); err != nil {
			return fmt.Errorf("session %s: %w", s, err)
		}
	}
	return nil
}

const selectIndex = "SELECT idx FROM log_event WHERE log_id = $1 AND session_id = $2 AND session_seq = $3 ORDER BY idx LIMIT 1"

// end notes where a session's last event stands.
func (r *reader) end(ctx context.Context, s auditlog.Session, last int64) error {
	var index int64
	err := r.src.DB.QueryRow(ctx, selectIndex, []any{r.src.LogID, int64(s), last}, &index)
	if errors.Is(err, db.ErrNoRows) {
		r.absent = append(r.absent, s)
		if r.before[s] { // it may have gone on here
			r.after = 0
		}
		return nil
	}
	r.after = min(r.after, index+1)
	return err
}

// stream adds up a session's openings, and returns its set events and its last
// number.
func (r *reader) stream(ctx context.Context, s auditlog.Session) (sets []event, last int64, err error) {
	rows, err := r.src.DB.Query(ctx, selectSession, r.src.LogID, int64(s))
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	var e event
	into := []any{&e.seq, &e.time, &e.fields, &e.who}
	for n := 0; rows.Next(); n++ {
		if n%progressEvery == 0 {
			if err := ctx.Err(); err != nil {
				return nil, 0, err
			}
		}
		if err := rows.Scan(into...); err != nil {
			return nil, 0, err
		}
		if e.seq != last+1 {
			r.gaps.number(s, last+1, e.seq)
		}
		last = max(last, e.seq)
		if e.fields == 0 || e.time < r.since || e.time >= r.until {
			continue
		}
		if !e.who.known {
			sets = append(sets, e)
			continue
		}
		if e.fields < 0 || e.fields > math.MaxUint32 {
			return nil, 0, fmt.Errorf("event %d opened fields that don't exist; run azekura log verify", e.seq)
		}
		r.saw(e.who.id, field.Set(e.fields), e.time)
	}
	return sets, last, rows.Err()
}

func (r *reader) saw(id uuid.UUID, fields field.Set, at int64) {
	r.people.saw(&person{id: id, fields: fields, openings: 1, first: at, last: at})
	if r.openings++; r.openings%progressEvery == 0 {
		r.progress.add(progressEvery)
	}
}

// number notes that a session's events don't go on with the number that was due.
func (g *gaps) number(s auditlog.Session, due, got int64) {
	if got > due {
		g.add(Gap{Kind: Missing, Session: s.String(), From: due, To: got - 1})
	} else {
		g.add(Gap{Kind: Repeated, Session: s.String(), From: got, To: got})
	}
}

// participant takes the id out of the driver's memory, without one of its own.
type participant struct {
	id    uuid.UUID
	known bool
}

// ScanBytes is how pgx hands over a BYTEA.
func (p *participant) ScanBytes(raw []byte) error {
	switch len(raw) {
	case 0:
		p.known = false
	case len(p.id):
		p.id, p.known = uuid.UUID(raw), true
	default:
		return fmt.Errorf("a participant's id has %d bytes; run azekura log verify", len(raw))
	}
	return nil
}

// Scan is how database/sql does.
func (p *participant) Scan(src any) error {
	raw, ok := src.([]byte)
	if !ok && src != nil {
		return fmt.Errorf("a participant's id is %T; run azekura log verify", src)
	}
	return p.ScanBytes(raw)
}

const progressEvery = 1 << 14

// progress sums what the readers have done.
type progress struct {
	mu     sync.Mutex
	done   int64
	report func(done int64)
}

func (p *progress) add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	if p.report != nil {
		p.report(p.done)
	}
}

func (p *progress) end(done int64) {
	p.done = 0
	p.add(done)
}
