package budget

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/register/field"
)

// month makes n reads over thirty days by staff of fifty to an office, of whom
// each has a device, and calls f with each.
func month(n int, f func(e *auditlog.Event)) {
	r := rand.New(rand.NewPCG(1, 2))
	staff := max(n/1500, 1) // 50 participants a day each
	e := auditlog.Event{Action: auditlog.Read, Role: "caseworker", Purpose: "enquiry", Fields: []auditlog.FieldVersion{{Field: field.Name}, {Field: field.Birth}}}
	names, devices := make([]string, staff), make([]string, staff)
	for i := range names {
		names[i], devices[i] = fmt.Sprint("s-", i), fmt.Sprint("d-", i)
	}
	for i := range n {
		who := r.IntN(staff)
		e.Staff, e.Device = names[who], devices[who]
		e.Time = (start + int64(i)*30*86400/int64(n)) * 1e6
		binary.BigEndian.PutUint64(e.Participant[:], r.Uint64N(100_000_000)+1)
		f(&e)
	}
}

// BenchmarkJudge is what a judge adds to one read: Judge, Note and Settle.
func BenchmarkJudge(b *testing.B) {
	book := New()
	book.rules.max[key{Office, "", ""}] = Limits{{-1, -1}, {-1, -1}, {-1, -1}}
	month(1_000_000, func(e *auditlog.Event) { book.Note(e); book.Settle(true) })
	var list [][]auditlog.Event
	month(200_000, func(e *auditlog.Event) {
		again := *e
		again.Time += 30 * 86400 * 1e6
		list = append(list, []auditlog.Event{again})
	})
	b.ResetTimer()
	for i := range b.N {
		events := list[i%len(list)]
		if book.Judge(events).Refuse == nil {
			book.Note(&events[0])
		}
		book.Settle(true)
	}
}

// BenchmarkRebuild counts ten million reads, and saves and loads what came of it.
func BenchmarkRebuild(b *testing.B) {
	const n = 10_000_000
	for range b.N {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		book := New()
		from := time.Now()
		month(n, func(e *auditlog.Event) { book.Note(e); book.Settle(true) })
		b.ReportMetric(time.Since(from).Seconds(), "s/recount")
		runtime.GC()
		runtime.ReadMemStats(&after)
		pairs := 0
		for _, l := range book.lines {
			for _, t := range l.touches[l.from[2]:] {
				if t.who != 0 && t.who < again {
					pairs++
				}
			}
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(pairs), "B/pair")
		b.ReportMetric(float64(pairs)/1e6, "Mpairs")
		var kept bytes.Buffer
		from = time.Now()
		if err := book.Save(&kept); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(from).Seconds(), "s/save")
		b.ReportMetric(float64(kept.Len())/1e6, "MB/saved")
		book = nil
		runtime.GC()
		from = time.Now()
		if err := New().Load(&kept); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(from).Seconds(), "s/load")
	}
}
