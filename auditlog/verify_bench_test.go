package auditlog_test

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/register/field"

	"github.com/google/uuid"
)

// fill records events as a gate's reads would be, in entries of 64.
func fill(b *testing.B, l *auditlog.Log, events int) {
	b.Helper()
	ids := make([]uuid.UUID, 100000)
	for i := range ids {
		ids[i], _ = uuid.NewV7()
	}
	var wg sync.WaitGroup
	const callers = 32
	for c := range callers {
		wg.Go(func() {
			for at := c * 64; at < events; at += callers * 64 {
				list := make([]auditlog.Event, min(64, events-at))
				for i := range list {
					list[i] = auditlog.Event{Action: auditlog.Read, Outcome: "ok", Purpose: "enquiry", Case: "C-2015-0061", Staff: "s-01",
						Role: "caseworker", Device: "d-01", Session: auditlog.Session(c + 1), Participant: ids[(at+i)*7919%len(ids)],
						Fields:  []auditlog.FieldVersion{{Field: field.Name, Version: 1}, {Field: field.Birth, Version: 1}},
						Request: "0123456789abcdef", Known: auditlog.Known{Valid: true}}
				}
				if _, err := l.Record(context.Background(), auditlog.Entry{Events: list}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkVerify reports events verified a second. Run it with -cpu 1,2.
func BenchmarkVerify(b *testing.B) {
	const events = 1 << 20
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		in := install(b, databaseURL(b, engine))
		fill(b, in.log, events)
		size, root := in.signer.Head()
		b.Run(fmt.Sprintf("%s/%d", engine, events), func(b *testing.B) {
			before := cpuTime(b)
			b.ResetTimer()
			for range b.N {
				r, err := auditlog.Verify(context.Background(), in.d, in.log.ID(), size, root, auditlog.VerifyOptions{})
				if err != nil || !r.OK || r.Events != events {
					b.Fatal(r, err)
				}
			}
			b.ReportMetric(float64(b.N)*events/b.Elapsed().Seconds(), "events/s")
			// On a busy machine, or beside a database server, this is the
			// steadier figure. It leaves out PostgreSQL's own work.
			b.ReportMetric(float64(b.N)*events/(cpuTime(b)-before).Seconds(), "events/cpu-s")
		})
	}
}

// cpuTime is what this process has used of its processors.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
