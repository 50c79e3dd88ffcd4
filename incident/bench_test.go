package incident_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/incident"
	"azekura/internal/db"
	"azekura/internal/pgtest"
	"azekura/register/field"

	"github.com/google/uuid"
)

// benchEvents is the size of the log that is searched. One event in eight is
// of the device in question.
func benchEvents() int64 {
	if os.Getenv("AZEKURA_SOAK") != "" {
		return 10_000_000
	}
	return 200_000
}

// BenchmarkExposure asks what one device saw. AZEKURA_SOAK=1 makes it the full
// size, 1.25 million openings among 10 million events, which fills 7 GB under
// TMPDIR on PostgreSQL, and as much on SQLite, for some minutes. The log's rows
// are written straight to its table, as loading them by the sequencer would take
// longer than all the rest; their lines are the size of real ones.
func BenchmarkExposure(b *testing.B) {
	for _, engine := range []db.Engine{db.PostgreSQL, db.SQLite} {
		b.Run(string(engine), func(b *testing.B) {
			url := filepath.Join(b.TempDir(), "log.db")
			if engine == db.PostgreSQL {
				// What an installation gets that follows PostgreSQL's own advice on
				// memory, a quarter of it, on a machine of 4 GB.
				c := pgtest.New(b, pgtest.Options{Settings: map[string]string{"shared_buffers": "1GB", "max_wal_size": "8GB"}})
				if err := c.CreateDB("log"); err != nil {
					b.Fatal(err)
				}
				url = c.URL("log")
			}
			d := openDB(b, url)
			size := benchEvents()
			began := time.Now()
			fill(b, d, size)
			b.Logf("%d events in %.0f s", size, time.Since(began).Seconds())
			src := incident.Source{DB: d, LogID: 1, Signed: func() (int64, auditlog.Hash) { return size, auditlog.Hash{} }}
			ask := func(b *testing.B, more ...auditlog.Session) *incident.Exposure {
				e, err := incident.Compute(context.Background(), src, incident.Query{Sessions: append(more, deviceSessions...)}, nil)
				if err != nil {
					b.Fatal(err)
				}
				if want := size/8 + int64(len(more)); e.Openings != want || !e.Complete {
					b.Fatalf("%d openings of %d, gaps %v", e.Openings, want, e.Gaps)
				}
				return e
			}
			ask(b)
			b.Run("figures", func(b *testing.B) {
				var e *incident.Exposure
				median(b, func() { e = ask(b) })
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				b.ReportMetric(float64(m.HeapAlloc)/1e6, "MB-kept")
				runtime.KeepAlive(e)
			})
			// A session that ended at the log's beginning takes a count of all events
			// since: the most that a question can ask for.
			b.Run("counted", func(b *testing.B) {
				median(b, func() { ask(b, earlySession) })
			})
			b.Run("csv", func(b *testing.B) {
				median(b, func() {
					if err := ask(b).WriteCSV(io.Discard); err != nil {
						b.Fatal(err)
					}
				})
			})
		})
	}
}

// median adds the median of the runs: their mean holds the neighbours' noise too.
func median(b *testing.B, f func()) {
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		f()
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds(), "median-s")
}

// deviceSessions are three sessions at the infected device.
var deviceSessions = []auditlog.Session{0x1001, 0x1002, 0x1003}

// earlySession is one of theirs too, of one event.
const earlySession auditlog.Session = 0x1000

// honestSessions is how many other sessions go on beside them.
const honestSessions = 21

var logEvent = &db.Insert{Table: "log_event", Columns: []string{"log_id", "idx", "time_us", "action", "session_id", "session_seq",
	"participant_id", "participant_seq", "fields", "line"}}

// fill writes a log of so many reads, two loaders at a time.
func fill(b *testing.B, d db.DB, size int64) {
	ctx := context.Background()
	if _, err := d.Exec(ctx, "INSERT INTO log_head (log_id, size, root, epoch) VALUES (1, $1, $2, 1)", size, make([]byte, 32)); err != nil {
		b.Fatal(err)
	}
	const batch = 20_000
	todo := make(chan int64)
	failed := make(chan error, 2)
	for range cap(failed) {
		go func() {
			var err error
			for from := range todo {
				if err == nil {
					err = insertEvents(ctx, d, from, min(from+batch, size), size)
				}
			}
			failed <- err
		}()
	}
	for from := int64(0); from < size; from += batch {
		todo <- from
	}
	close(todo)
	for range cap(failed) {
		if err := <-failed; err != nil {
			b.Fatal(err)
		}
	}
	// What autovacuum does to a log in the course of its growth.
	sql := "ANALYZE"
	if d.Engine() == db.PostgreSQL {
		sql = "VACUUM ANALYZE log_event"
	}
	if _, err := d.Exec(ctx, sql); err != nil {
		b.Fatal(err)
	}
}

func insertEvents(ctx context.Context, d db.DB, from, to, size int64) error {
	var logs, idx, at, action, session, seq, participantSeq, fields []int64
	var who, lines [][]byte
	for i := from; i < to; i++ {
		e := benchEvent(i, size)
		logs, idx, at, action = append(logs, 1), append(idx, i), append(at, e.Time), append(action, int64(e.Action))
		session, seq = append(session, int64(e.Session)), append(seq, e.SessionSeq)
		who, participantSeq = append(who, e.Participant[:]), append(participantSeq, e.ParticipantSeq)
		fields = append(fields, int64(e.Opened()))
		lines = append(lines, benchLine(&e))
	}
	return d.Insert(ctx, logEvent, logs, idx, at, action, session, seq, who, participantSeq, fields, lines)
}

// benchEvent is event i. The device's openings repeat people and mix fields as
// those of 2015 did: 1.25 million of 1,014,653 people.
func benchEvent(i, size int64) auditlog.Event {
	e := auditlog.Event{Action: auditlog.Read, Index: i, Time: 1_431_000_000_000_000 + 40*i, ParticipantSeq: 1 + i%3}
	n := i / 8 // of the device's openings
	switch {
	case i == 1:
		e.Session, e.SessionSeq, e.Participant = earlySession, 1, benchID(0)
	case i%8 != 0:
		n = i - n - 2
		e.Session, e.SessionSeq = auditlog.Session(0x2001+n%honestSessions), 1+n/honestSessions
		e.Participant = benchID(mix(uint64(n)) % uint64(size/2))
	default:
		e.Session, e.SessionSeq = deviceSessions[n%3], 1+n/3
		e.Participant = benchID(mix(uint64(n%(1+size*1014653/10_000_000))) % (1 << 40))
	}
	for _, f := range benchFields(n) {
		e.Fields = append(e.Fields, auditlog.FieldVersion{Field: f, Version: 1})
	}
	return e
}

func benchFields(n int64) []field.Field {
	all := []field.Field{field.Number, field.Name, field.Birth, field.Address}
	switch k := n % 1000; {
	case k < 25:
		return all[:2]
	case k < 67:
		return all
	}
	return all[:3]
}

// benchID is participant n's, a UUIDv7 as an import makes them.
func benchID(n uint64) (id uuid.UUID) {
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

// benchLine is as long as a line of the log, which nobody reads here.
func benchLine(e *auditlog.Event) []byte {
	return fmt.Appendf(make([]byte, 0, 384), `{"v":1,"log":1,"index":%d,"time":"2015-05-21T00:00:00.%06dZ","action":"read","outcome":"ok","purpose":"enquiry","case":"C-%d",`+
		`"staff":"s-%d","role":"caseworker","device":"pc-%d","session":"%s","session_seq":%d,"participant":"%s","participant_seq":%d,`+
		`"fields":{"number":1,"name":1,"birth":1},"request":"%016x","salt":"%016xABCDEF"}`,
		e.Index, e.Index%1e6, e.Index%1e5, e.Session%100, e.Session%100, e.Session, e.SessionSeq, e.Participant, e.ParticipantSeq, e.Index, mix(uint64(e.Index)))
}
