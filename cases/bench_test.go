package cases_test

import (
	"runtime"
	"sync"
	"testing"

	"azekura/cases"
	"azekura/gate"
	"azekura/internal/insttest"
	"azekura/register/field"
)

// BenchmarkAsk asks a case among many that are open, as the gate does for each
// request, and says what a case takes in memory and how long a start takes.
func BenchmarkAsk(b *testing.B) {
	const open = 100_000
	dir := insttest.New(b, "sqlite")
	i := insttest.Open(b, dir)
	s := insttest.Caseworker(b, i)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	codes := make([]string, open)
	var wg sync.WaitGroup
	for w := range 128 {
		wg.Go(func() {
			for n := w; n < open; n += 128 {
				info, err := i.Cases.Open(b.Context(), cases.By{Session: s}, cases.Call, 0, nil, "")
				if err != nil {
					b.Error(err)
					return
				}
				codes[n] = info.Code
			}
		})
	}
	wg.Wait()
	if err := i.Cases.Write(b.Context()); err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.Run("ask", func(b *testing.B) {
		for n := range b.N {
			if _, err := i.Cases.Ask(s, codes[n%open], "enquiry"); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/open, "heap-bytes/case")
	})
	b.Run("load", func(b *testing.B) {
		for range b.N {
			if err := i.Cases.Load(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		people := insttest.People(3, 1)
		insttest.Import(b, i, insttest.NDJSON(b, 3, 1))
		for name, code := range map[string]string{"of-no-case": "K-1", "of-a-case": insttest.Case(b, i, s, cases.Call, "enquiry", &people[0])} {
			b.Run(name, func(b *testing.B) {
				for range b.N {
					_, err := i.Gate.Read(b.Context(), s, gate.ReadRequest{Who: gate.Who{Ref: people[0].Ref}, Why: gate.Why{Purpose: "enquiry", Case: code}, Fields: field.SetOf(field.Name)})
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	})
}
