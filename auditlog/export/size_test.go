package export_test

import (
	"context"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/auditlog/export"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"
	"azekura/register/field"

	"github.com/google/uuid"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// counter counts bytes, and notes the most that the heap holds.
type counter struct {
	bytes int64
	peak  uint64
}

func (c *counter) Write(b []byte) (int, error) {
	if c.bytes>>24 != (c.bytes+int64(len(b)))>>24 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		c.peak = max(c.peak, m.HeapAlloc)
	}
	c.bytes += int64(len(b))
	return len(b), nil
}

// TestExportAtSize exports a log of many events, 1,000,000 in make soak, in each
// form, and says what it took.
func TestExportAtSize(t *testing.T) {
	n := insttest.Soak(20_000, 1_000_000)
	i := insttest.Open(t, insttest.New(t, "sqlite"))
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for at := w * 64; at < n; at += 16 * 64 {
				list := make([]auditlog.Event, 64)
				for k := range list {
					list[k] = auditlog.Event{Action: auditlog.Read, Outcome: "ok", Purpose: "enquiry", Case: "C-1", Staff: "s-1", Role: "caseworker", Device: "d-1",
						Session: 7, Participant: uuid.Must(uuid.NewV7()), Request: "q-1", Known: auditlog.Known{Valid: true},
						Fields: []auditlog.FieldVersion{{Field: field.Name, Version: 1}, {Field: field.Birth, Version: 1}}}
				}
				if _, err := i.Log.Record(context.Background(), auditlog.Entry{Events: list}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s, _ := insttest.Session(t, i, "s-2", "auditor", "d-1")
	for _, format := range export.Formats {
		began := time.Now()
		ready, err := export.Prepare(t.Context(), export.Source{Log: i.Log, OpenMembers: i.Gate.OpenMembers}, s, export.Query{Format: format})
		if err != nil {
			t.Fatal(err)
		}
		if ready.Rows < int64(n) || ready.Event < ready.Rows {
			t.Errorf("%d rows of %d events", ready.Rows, n)
		}
		var c counter
		if err := ready.Write(t.Context(), &c); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		t.Logf("%s: %d rows, %d MiB in %s (%.0f a second), heap at most %d MiB", format, ready.Rows, c.bytes>>20, took.Round(time.Millisecond),
			float64(ready.Rows)/took.Seconds(), c.peak>>20)
	}
}
