package scan_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"azekura/internal/insttest"
	"azekura/leakscan"
	"azekura/leakscan/leaktest"
	"azekura/leakscan/scan"
	"azekura/population"
	"azekura/register/field"
)

// BenchmarkScan scans files of about 16 MiB by one worker: people of the register
// with all their fields, strangers, and both in other encodings. wc -l and a plain
// read stand beside.
func BenchmarkScan(b *testing.B) {
	n := insttest.Soak(100_000, 10_000_000)
	x := indexOf(b, n)
	register, strangers := people(seed, 20_000), people(strangerSeed, 20_000)
	numbers := []field.Field{field.Number, field.Ref}
	for _, c := range []struct {
		name  string
		of    []population.Person
		style leaktest.Style
	}{
		{"register/csv", register, leaktest.Style{Format: "csv"}},
		{"register/numbers", register, leaktest.Style{Format: "csv", Columns: numbers}},
		{"register/cp932", register, leaktest.Style{Format: "csv", Encoding: "cp932"}},
		{"register/ndjson", register, leaktest.Style{Format: "ndjson"}},
		{"strangers/csv", strangers, leaktest.Style{Format: "csv"}},
		{"strangers/numbers", strangers, leaktest.Style{Format: "csv", Columns: numbers}},
	} {
		raw, _ := leaktest.Leak(c.style, c.of, own(len(c.of)))
		raw = bytes.Repeat(raw, 16<<20/len(raw)+1)
		path := filepath.Join(b.TempDir(), "leak")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				run(b, x, scan.Options{Paths: []string{path}, Workers: 1})
			}
		})
		if c.name != "register/csv" {
			continue
		}
		b.Run("yardstick/wc -l", func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if err := exec.Command("wc", "-l", path).Run(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("yardstick/read", func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if _, err := os.ReadFile(path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLookUp asks for numbers that aren't there, in batches and one by one.
func BenchmarkLookUp(b *testing.B) {
	x := indexOf(b, insttest.Soak(100_000, 10_000_000))
	random := rand.New(rand.NewPCG(1, 2))
	tokens := make([]uint64, 1<<20)
	for i := range tokens {
		tokens[i] = random.Uint64()
	}
	for name, batch := range map[string]int{"512": leakscan.Batch, "1": 1} {
		b.Run(name, func(b *testing.B) {
			var hits []int32
			at := 0
			for b.Loop() {
				hits = x.Filter(leakscan.Number, tokens[at:at+batch], hits[:0])
				at = (at + batch) & (len(tokens) - 1024)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/token")
		})
	}
}

// BenchmarkBuild makes an index of people that are already in memory.
func BenchmarkBuild(b *testing.B) {
	const n = 50_000
	list := make([]leakscan.Person, n)
	for i, p := range people(seed, n) {
		list[i] = leaktest.Person(i, &p)
	}
	keys, err := leakscan.NewKeys(leaktest.Key())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		path := filepath.Join(b.TempDir(), "index")
		build, err := leakscan.NewBuilder(path, keys, leakscan.BuildOptions{Case: "B", People: n})
		if err != nil {
			b.Fatal(err)
		}
		for i := range list {
			if err := build.Add(list[i]); err != nil {
				b.Fatal(err)
			}
		}
		if err := build.Finish(b.Context()); err != nil {
			b.Fatal(err)
		}
		os.Remove(path)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/person")
}
