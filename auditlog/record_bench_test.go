package auditlog_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"azekura/auditlog"
	"azekura/internal/pgtest"
	"azekura/register/field"

	"github.com/google/uuid"
)

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
				l := install(b, url).log
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
								Participant: ids[(i*7919)%len(ids)], Fields: []auditlog.FieldVersion{{Field: field.Name, Version: 1}, {Field: field.Birth, Version: 1}}, Request: "0123456789abcdef",
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
