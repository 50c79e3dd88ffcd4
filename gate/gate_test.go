package gate_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"azekura/access"
	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/pgtest"
	"azekura/population"
	"azekura/register"
	"azekura/register/field"
	"azekura/register/value"

	"github.com/google/uuid"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func install(t testing.TB, engine string, o pgtest.Options) *installation.Installation {
	t.Helper()
	ctx := context.Background()
	url := ""
	if engine == "postgresql" {
		url = pgtest.New(t, o).URL("postgres")
	}
	dir := filepath.Join(t.TempDir(), "inst")
	pass := []byte("correct horse battery")
	if _, err := installation.Create(ctx, dir, installation.CreateOptions{Database: url, Passphrase: pass, WorkFactor: 10, MadeUp: true}); err != nil {
		t.Fatal(err)
	}
	i, err := installation.Open(ctx, dir, func() ([]byte, error) { return bytes.Clone(pass), nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

func importPeople(t testing.TB, i *installation.Installation, n int64) register.Import {
	t.Helper()
	path := filepath.Join(t.TempDir(), "people.csv")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := population.WriteCSV(context.Background(), f, 1, n, nil); err != nil {
		t.Fatal(err)
	}
	f.Close()
	file, size, err := register.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	start := time.Now()
	at, err := i.Register.FileImport(context.Background(), file, size)
	if err != nil {
		t.Fatal(err)
	}
	at, err = i.Register.Run(context.Background(), at, file, register.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	size, _ = i.DB.Size(context.Background())
	t.Logf("%+v %.0f/s %d B a participant", at, float64(n)/time.Since(start).Seconds(), size/n)
	return at
}

func session(t testing.TB, i *installation.Installation, staff, device string) access.Session {
	t.Helper()
	ctx := context.Background()
	if _, err := i.Access.AddStaff(ctx, staff, "caseworker", "o-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Access.AddDevice(ctx, device, "o-1"); err != nil {
		t.Fatal(err)
	}
	_, token, err := i.Access.OpenSession(ctx, staff, device, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s, err := i.Access.Authenticate(token)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var why = gate.Why{Purpose: "enquiry", Case: "C-1"}

func TestSpine(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgresql"} {
		t.Run(engine, func(t *testing.T) {
			ctx := context.Background()
			i := install(t, engine, pgtest.Options{})
			importPeople(t, i, 3000)
			importPeople(t, i, 3000)
			s := session(t, i, "s-1", "d-1")
			var p population.Person
			population.New(1).Next(&p)
			a, err := i.Gate.Read(ctx, s, gate.ReadRequest{Who: gate.Who{Ref: p.Ref}, Why: why, Fields: field.SetOf(field.Name, field.Birth)})
			if err != nil || a.Values[field.Name] != p.Name || a.Values[field.Birth] != p.Birth {
				t.Fatal(err, a.Event)
			}
			yes, err := i.Gate.Check(ctx, s, gate.CheckRequest{Who: gate.Who{Ref: p.Ref}, Why: why, Field: field.Birth, Claim: p.Birth})
			if err != nil || !yes {
				t.Fatal(err, yes)
			}
			c, err := i.Gate.Search(ctx, s, gate.SearchRequest{Why: why, By: value.KindNameBirth, First: p.Name, Second: p.Birth})
			if err != nil || len(c) == 0 {
				t.Fatal(err, len(c))
			}
			ch, err := i.Gate.Change(ctx, s, gate.ChangeRequest{Who: gate.Who{Ref: p.Ref}, Why: gate.Why{Purpose: "change", Case: "C-2"}, Values: map[field.Field]string{field.Name: "高田 花"}})
			if err != nil || ch.Version != 2 {
				t.Fatal(err, ch)
			}
			for _, name := range []string{p.Name, "髙田　花"} {
				c, err := i.Gate.Search(ctx, s, gate.SearchRequest{Why: why, By: value.KindNameBirth, First: name, Second: p.Birth})
				if err != nil || len(c) == 0 {
					t.Fatal(err, len(c))
				}
			}
			n := 0
			_, err = i.Gate.OpenSet(ctx, s, gate.SetRequest{Why: why, Job: "test", Fields: field.SetOf(field.Name)}, members(ctx, i, field.SetOf(field.Name)), func(o gate.Opened) error {
				if o.Values[field.Name] != "" {
					n++
				}
				return nil
			})
			if err != nil || n != 3000 {
				t.Fatal(err, n)
			}
			if _, err := i.Gate.Shred(ctx, s, gate.Who{Ref: p.Ref}, why); err != nil {
				t.Fatal(err)
			}
			if _, err := i.Gate.Read(ctx, s, gate.ReadRequest{Who: gate.Who{Ref: p.Ref}, Why: why, Fields: field.SetOf(field.Name)}); err == nil {
				t.Fatal("read a shredded participant")
			}
		})
	}
}

func members(ctx context.Context, i *installation.Installation, fields field.Set) func(yield func(auditlog.Member, error) bool) {
	return func(yield func(auditlog.Member, error) bool) {
		err := i.Register.EachID(ctx, func(ids []uuid.UUID, versions []int64) error {
			for n := range ids {
				if !yield(auditlog.Member{ID: ids[n], Fields: fields, Version: versions[n]}, nil) {
					return context.Canceled
				}
			}
			return nil
		})
		if err != nil {
			yield(auditlog.Member{}, err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for _, engine := range []string{"sqlite", "postgresql"} {
		i := install(b, engine, pgtest.Options{Sync: true, Settings: map[string]string{"shared_buffers": "1GB", "max_wal_size": "8GB"}})
		importPeople(b, i, 100000)
		s := session(b, i, "s-1", "d-1")
		var ids []uuid.UUID
		i.Register.EachID(context.Background(), func(more []uuid.UUID, _ []int64) error { ids = append(ids, more...); return nil })
		for _, callers := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("%s/%d", engine, callers), func(b *testing.B) {
				var wg sync.WaitGroup
				for c := range callers {
					wg.Add(1)
					go func() {
						defer wg.Done()
						for n := c; n < b.N; n += callers {
							_, err := i.Gate.Read(context.Background(), s, gate.ReadRequest{Who: gate.Who{Participant: ids[(n*7919)%len(ids)]}, Why: why, Fields: field.SetOf(field.Name, field.Birth, field.Address)})
							if err != nil {
								b.Error(err)
								return
							}
						}
					}()
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
			})
		}
		b.Run(engine+"/set", func(b *testing.B) {
			for range b.N {
				n := 0
				_, err := i.Gate.OpenSet(context.Background(), s, gate.SetRequest{Why: why, Job: "bench", Fields: field.SetOf(field.Name, field.Address)}, members(context.Background(), i, field.SetOf(field.Name, field.Address)), func(o gate.Opened) error { n++; return nil })
				if err != nil || n != 100000 {
					b.Fatal(err, n)
				}
			}
			b.ReportMetric(100000*float64(b.N)/b.Elapsed().Seconds(), "members/s")
		})
	}
}
