package incident_test

import (
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/incident"
	"azekura/internal/db"
	"azekura/internal/pgtest"
	"azekura/register/field"

	"github.com/google/uuid"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// onBoth runs a test on each engine.
func onBoth(t *testing.T, test func(t *testing.T, l *testLog)) {
	t.Run("sqlite", func(t *testing.T) { test(t, openLog(t, filepath.Join(t.TempDir(), "log.db"))) })
	t.Run("postgresql", func(t *testing.T) { test(t, openLog(t, pgtest.URL(t))) })
}

// openDB opens a database that has the log's tables.
func openDB(t testing.TB, url string) db.DB {
	d, err := db.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if err := db.Migrate(t.Context(), d, time.Now(), auditlog.Migrations); err != nil {
		t.Fatal(err)
	}
	return d
}

// testLog is a real log whose clock and randomness are the test's, so that its
// bytes are the same every time.
type testLog struct {
	*auditlog.Log
	db    db.DB
	clock atomic.Int64 // microseconds
}

// start is when the tests' clock stands at first: the minute of the infection.
const start = 1_431_049_740_000_000

func openLog(t testing.TB, url string) *testLog {
	l := &testLog{db: openDB(t, url)}
	l.clock.Store(start)
	dir := filepath.Join(t.TempDir(), "signer")
	if err := auditlog.CreateSigner(dir, "azekura.invalid/test"); err != nil {
		t.Fatal(err)
	}
	signer, err := auditlog.OpenSigner(dir)
	if err != nil {
		t.Fatal(err)
	}
	l.Log, err = auditlog.Open(t.Context(), l.db, auditlog.Options{ID: 1, Signer: signer, Rand: fixedRandom(),
		Now: func() time.Time { return time.UnixMicro(l.clock.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		signer.Close()
	})
	return l
}

func fixedRandom() io.Reader {
	return rand.NewChaCha8([32]byte([]byte("azekura's exposure, seed of 2015")))
}

// at sets the clock to so many microseconds after the start.
func (l *testLog) at(us int64) { l.clock.Store(start + us) }

func when(us int64) time.Time { return time.UnixMicro(start + us).UTC() }

func (l *testLog) record(t testing.TB, events ...auditlog.Event) {
	t.Helper()
	for _, e := range events {
		if _, err := l.RecordOne(context.Background(), e); err != nil {
			t.Fatal(err)
		}
	}
}

// plain stands for the keyring: these members are stored as they are.
func plain(_, _ int64, members []byte) []byte { return append([]byte(nil), members...) }

func unsealed(_, _ int64, sealed []byte) ([]byte, error) { return sealed, nil }

// set records a set event and returns its id.
func (l *testLog) set(t testing.TB, e auditlog.Event, opens bool, members ...auditlog.Member) (id int64) {
	t.Helper()
	id, err := l.NewSetID()
	if err != nil {
		t.Fatal(err)
	}
	w := auditlog.NewSet(id, "letters", opens, plain)
	for _, m := range members {
		w.Add(m)
	}
	if err := w.Finish(t.Context(), l.db, l.ID()); err != nil {
		t.Fatal(err)
	}
	e.Action, e.Set = auditlog.Set, &w.Info
	if _, err := l.Record(t.Context(), auditlog.Entry{Events: []auditlog.Event{e}, Set: w}); err != nil {
		t.Fatal(err)
	}
	return id
}

func (l *testLog) source() incident.Source {
	return incident.Source{DB: l.db, LogID: l.ID(), Signed: l.Signer().Head, OpenMembers: unsealed}
}

func (l *testLog) ask(t testing.TB, q incident.Query) *incident.Exposure {
	t.Helper()
	e, err := incident.Compute(t.Context(), l.source(), q, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (l *testLog) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	if n, err := l.db.Exec(t.Context(), sql, args...); err != nil || n == 0 {
		t.Fatalf("%s: %d rows, %v", sql, n, err)
	}
}

// who is participant n's id.
func who(n int) uuid.UUID {
	return uuid.UUID{0x01, 0x4d, 0x30, 0, 0, 0, 0x70, 0, 0x80, 14: byte(n >> 8), 15: byte(n)}
}

func versions(fields ...field.Field) []auditlog.FieldVersion {
	list := make([]auditlog.FieldVersion, len(fields))
	for i, f := range fields {
		list[i] = auditlog.FieldVersion{Field: f, Version: 1}
	}
	return list
}

// opened is an event that opens fields of a participant in a session.
func opened(s auditlog.Session, n int, fields ...field.Field) auditlog.Event {
	return auditlog.Event{Action: auditlog.Read, Outcome: "ok", Purpose: "enquiry", Session: s, Participant: who(n), Fields: versions(fields...)}
}
