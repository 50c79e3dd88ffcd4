package gate_test

import (
	"fmt"
	"sync"
	"testing"

	"azekura/gate"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"
	"azekura/register/field"

	"github.com/google/uuid"
)

const benchPeople = 100_000

func BenchmarkRead(b *testing.B) {
	for _, engine := range []string{"sqlite", "postgresql"} {
		url := ""
		if engine == "postgresql" {
			url = pgtest.New(b, pgtest.Options{Sync: true, Settings: map[string]string{"shared_buffers": "1GB", "max_wal_size": "8GB"}}).URL("postgres")
		}
		i := insttest.Open(b, insttest.NewAt(b, url))
		r := &room{Installation: i, s: insttest.Caseworker(b, i)}
		insttest.Import(b, i, insttest.CSV(b, 1, benchPeople))
		ids := r.ids(b)
		for _, callers := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("%s/%d", engine, callers), func(b *testing.B) {
				r.readAll(b, ids, callers)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
			})
		}
		b.Run(engine+"/set", func(b *testing.B) {
			for range b.N {
				r.openAll(b)
			}
			b.ReportMetric(benchPeople*float64(b.N)/b.Elapsed().Seconds(), "members/s")
		})
	}
}

func (r *room) ids(t testing.TB) (ids []uuid.UUID) {
	t.Helper()
	err := r.Register.EachID(background, func(more []uuid.UUID, _ []int64) error {
		ids = append(ids, more...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func (r *room) readAll(b *testing.B, ids []uuid.UUID, callers int) {
	fields := field.SetOf(field.Name, field.Birth, field.Address)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := c; n < b.N; n += callers {
				who := gate.Who{Participant: ids[(n*7919)%len(ids)]}
				if _, err := r.Gate.Read(background, r.s, gate.ReadRequest{Who: who, Why: why, Fields: fields}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func (r *room) openAll(b *testing.B) {
	fields := field.SetOf(field.Name, field.Address)
	n := 0
	_, err := r.Gate.OpenSet(background, r.s, gate.SetRequest{Why: why, Job: "bench", Fields: fields},
		insttest.Members(background, r.Installation, fields), func(gate.Opened) error { n++; return nil })
	if err != nil || n != benchPeople {
		b.Fatal(err, n)
	}
}
