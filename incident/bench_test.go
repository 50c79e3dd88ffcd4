package incident_test

import (
	"context"
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
	"azekura/internal/madelog"
	"azekura/internal/pgtest"
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
			if err := madelog.Rows(b.Context(), d, size); err != nil {
				b.Fatal(err)
			}
			b.Logf("%d events in %.0f s", size, time.Since(began).Seconds())
			src := incident.Source{DB: d, LogID: 1, Signed: func() (int64, auditlog.Hash) { return size, auditlog.Hash{} }}
			ask := func(b *testing.B, more ...auditlog.Session) *incident.Exposure {
				e, err := incident.Compute(context.Background(), src, incident.Query{Sessions: append(more, madelog.DeviceSessions...)}, nil)
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
				median(b, func() { ask(b, madelog.EarlySession) })
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
