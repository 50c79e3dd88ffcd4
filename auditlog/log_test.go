package auditlog_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/internal/pgtest"
	"azekura/register/field"

	"github.com/google/uuid"
)

func openLog(t testing.TB, url string) (*auditlog.Log, db.DB) {
	ctx := context.Background()
	d, err := db.Open(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(ctx, d, time.Now(), auditlog.Migrations); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "signer")
	if err := auditlog.CreateSigner(dir, "azekura.invalid/test"); err != nil {
		t.Fatal(err)
	}
	s, err := auditlog.OpenSigner(dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := auditlog.Open(ctx, d, auditlog.Options{ID: 1, Signer: s, Now: time.Now, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		s.Close()
		d.Close()
	})
	return l, d
}

func BenchmarkRecord(b *testing.B) {
	for _, engine := range []string{"sqlite", "postgresql"} {
		for _, callers := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("%s/%d", engine, callers), func(b *testing.B) {
				url := filepath.Join(b.TempDir(), "a.db")
				if engine == "postgresql" {
					c, err := pgtest.Start(pgtest.Options{Sync: true})
					if err != nil {
						b.Fatal(err)
					}
					b.Cleanup(func() { c.Stop() })
					url = c.URL("postgres")
				}
				l, _ := openLog(b, url)
				ids := make([]uuid.UUID, 100000)
				for i := range ids {
					ids[i], _ = uuid.NewV7()
				}
				var wg sync.WaitGroup
				b.ResetTimer()
				for c := range callers {
					wg.Add(1)
					go func() {
						defer wg.Done()
						for i := c; i < b.N; i += callers {
							ev := auditlog.Event{Action: auditlog.Read, Outcome: "ok", Purpose: "enquiry", Case: "C-1", Staff: "s-01", Role: "caseworker", Device: "d-01", Session: auditlog.Session(c + 1),
								Participant: ids[(i*7919)%len(ids)], Fields: []auditlog.FieldVersion{{field.Name, 1}, {field.Birth, 1}}, Request: "0123456789abcdef",
								Known: auditlog.Known{Valid: true, AsOf: 0}}
							if _, err := l.RecordOne(context.Background(), ev); err != nil {
								b.Error(err)
								return
							}
						}
					}()
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}
