package installation_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"

	"filippo.io/age"
)

// BenchmarkBackup backs up and restores a register of 20,000, on each engine: rows a
// second, bytes a participant, and beside them how fast the same bytes are copied
// on this disk, synced.
func BenchmarkBackup(b *testing.B) {
	for _, engine := range []string{"sqlite", "postgresql"} {
		b.Run(engine, func(b *testing.B) { benchmarkBackup(b, engine) })
	}
}

const benchPeople = 20_000

func benchmarkBackup(b *testing.B, engine string) {
	i := insttest.Open(b, insttest.New(b, engine))
	insttest.Import(b, i, insttest.CSV(b, 61, benchPeople))
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		b.Fatal(err)
	}
	var backing, restoring, copying time.Duration
	var rows, size int64
	for b.Loop() {
		path := filepath.Join(b.TempDir(), "backup")
		start := time.Now()
		f, err := os.Create(path)
		if err != nil {
			b.Fatal(err)
		}
		end, err := i.Backup(b.Context(), f, []string{identity.Recipient().String()}, nil)
		if err != nil || f.Sync() != nil || f.Close() != nil {
			b.Fatal(err)
		}
		backing += time.Since(start)
		raw, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		rows, size = rows+end.Rows, int64(len(raw))

		start = time.Now()
		if err := copied(raw, path+".copy"); err != nil {
			b.Fatal(err)
		}
		copying += time.Since(start)

		o := installation.RestoreOptions{Dir: filepath.Join(b.TempDir(), "restored"), Identities: []age.Identity{identity}}
		if engine == "postgresql" {
			o.Database = pgtest.URL(b)
		}
		start = time.Now()
		if _, err := installation.Restore(context.Background(), bytes.NewReader(raw), o); err != nil {
			b.Fatal(err)
		}
		restoring += time.Since(start)
	}
	b.ReportMetric(float64(rows)/backing.Seconds(), "rows/s-backup")
	b.ReportMetric(float64(rows)/restoring.Seconds(), "rows/s-restore")
	b.ReportMetric(float64(size)/benchPeople, "bytes/participant")
	b.ReportMetric(float64(backing)/float64(copying), "x-copy")
}

// copied is the yardstick: the same bytes, written and synced.
func copied(raw []byte, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, bytes.NewReader(raw)); err != nil {
		return err
	}
	return f.Sync()
}
