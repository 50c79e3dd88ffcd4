package rotation_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/keyring/rotation"
	"azekura/population"
	"azekura/register/field"
)

// BenchmarkRotate changes a key of 50,000 people while eight callers read, and
// says what both come to: participants a second, and the reads a second during it
// beside those before, in the same process.
func BenchmarkRotate(b *testing.B) {
	const people = 50_000
	for _, engine := range []string{"sqlite", "postgresql"} {
		for _, kind := range []string{rotation.Data, rotation.Index} {
			for _, readers := range []int{0, 8} {
				name := engine + "/" + kind + "/alone"
				if readers > 0 {
					name = engine + "/" + kind + "/reading"
				}
				b.Run(name, func(b *testing.B) {
					i := insttest.Open(b, insttest.New(b, engine))
					insttest.Import(b, i, insttest.CSV(b, seed, people))
					known := insttest.People(seed, 1000)
					for b.Loop() {
						bench(b, i, kind, known, readers, people)
					}
				})
			}
		}
	}
}

func bench(b *testing.B, i *installation.Installation, kind string, known []population.Person, readers, people int) {
	rate := func(f func()) float64 {
		ctx, cancel := context.WithCancel(context.Background())
		var done atomic.Int64
		var wg sync.WaitGroup
		s := insttest.Caseworker(b, i)
		for n := range readers {
			wg.Go(func() {
				for at := n; ctx.Err() == nil; at += readers {
					r := gate.ReadRequest{Who: gate.Who{Ref: known[at%len(known)].Ref}, Why: why, Fields: field.SetOf(field.Name, field.Birth)}
					if _, err := i.Gate.Read(context.Background(), s, r); err != nil {
						b.Error(err)
						return
					}
					done.Add(1)
				}
			})
		}
		begun := time.Now()
		f()
		cancel()
		wg.Wait()
		return float64(done.Load()) / time.Since(begun).Seconds()
	}
	before := rate(func() {
		if readers > 0 {
			time.Sleep(3 * time.Second)
		}
	})
	begun := time.Now()
	during := rate(func() {
		at, err := i.Rotator.Start(b.Context(), kind)
		if err == nil {
			err = i.Rotator.Run(b.Context(), at.ID)
		}
		if err != nil {
			b.Fatal(err)
		}
	})
	b.ReportMetric(float64(people)/time.Since(begun).Seconds(), "participants/s")
	if readers > 0 {
		b.ReportMetric(before, "reads-before/s")
		b.ReportMetric(during, "reads-during/s")
	}
}
