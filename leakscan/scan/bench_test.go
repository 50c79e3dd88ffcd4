package scan_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"azekura/internal/insttest"
	"azekura/leakscan"
	"azekura/leakscan/leaktest"
	"azekura/leakscan/scan"
	"azekura/population"
	"azekura/register/field"
)

// BenchmarkScan scans files by one worker: people of the register with all their
// fields, strangers, and strangers among whom one in a hundred is of the register; in
// other encodings and formats; and bare numbers. wc -l, a plain read and ripgrep with
// as many of the register's numbers as it has people, up to a million, stand beside.
// Nobody is in a file twice. cpu-MB/s is by processor time, which others who use the
// machine disturb less; run it with GOMAXPROCS=1 for a core's figures.
func BenchmarkScan(b *testing.B) {
	n, rows := insttest.Soak(100_000, 10_000_000), insttest.Soak(20_000, 200_000)
	x := indexOf(b, n)
	register, strangers := people(seed, rows), people(strangerSeed, rows)
	mixed := slices.Clone(strangers)
	for i := 0; i < len(mixed); i += 100 {
		mixed[i] = register[i]
	}
	numbers := []field.Field{field.Number, field.Ref}
	for _, c := range []struct {
		name  string
		of    []population.Person
		style leaktest.Style
	}{
		{"strangers/csv", strangers, leaktest.Style{Format: "csv"}},
		{"mixed/csv", mixed, leaktest.Style{Format: "csv"}},
		{"register/csv", register, leaktest.Style{Format: "csv"}},
		{"strangers/cp932", strangers, leaktest.Style{Format: "csv", Encoding: "cp932"}},
		{"register/cp932", register, leaktest.Style{Format: "csv", Encoding: "cp932"}},
		{"strangers/numbers", strangers, leaktest.Style{Format: "csv", Columns: numbers}},
		{"register/numbers", register, leaktest.Style{Format: "csv", Columns: numbers}},
		{"register/ndjson", register, leaktest.Style{Format: "ndjson"}},
		{"strangers/mysql", strangers, leaktest.Style{Format: "mysql"}},
		{"register/xlsx", register[:min(len(register), 50_000)], leaktest.Style{Format: "xlsx"}},
	} {
		raw, _ := leaktest.Leak(c.style, c.of, leaktest.Own(len(c.of)))
		path := write(b, b.TempDir(), "leak", raw)
		size := int64(len(raw))
		if c.style.Format == "xlsx" { // by the text that it holds
			csv, _ := leaktest.Leak(leaktest.Style{Format: "csv"}, c.of, leaktest.Own(len(c.of)))
			size = int64(len(csv))
		}
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(size)
			from := processor(b)
			for b.Loop() {
				run(b, x, scan.Options{Paths: []string{path}, Workers: 1})
			}
			b.ReportMetric(float64(size)*float64(b.N)/1e6/(processor(b)-from).Seconds(), "cpu-MB/s")
		})
		if c.name == "strangers/csv" {
			yardsticks(b, path, size, people(seed, min(n, 1_000_000)))
		}
	}
}

// BenchmarkWorkers scans one file by one worker and by two, on as many processors.
func BenchmarkWorkers(b *testing.B) {
	rows := insttest.Soak(20_000, 200_000)
	x := indexOf(b, insttest.Soak(100_000, 1_000_000))
	raw, _ := leaktest.Leak(leaktest.Style{Format: "csv"}, people(strangerSeed, rows), leaktest.Own(rows))
	path := write(b, b.TempDir(), "leak", raw)
	for workers := 1; workers <= 2; workers++ {
		b.Run(strconv.Itoa(workers), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(workers))
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				run(b, x, scan.Options{Paths: []string{path}, Workers: workers})
			}
		})
	}
}

// BenchmarkFiles scans many small files, of eight strangers each: loose, and in a ZIP.
func BenchmarkFiles(b *testing.B) {
	const each = 8
	n := insttest.Soak(500, 5000)
	x := indexOf(b, insttest.Soak(10_000, 1_000_000))
	list, loose := people(strangerSeed, n*each), b.TempDir()
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	for i := range n {
		raw, _ := leaktest.Leak(leaktest.Style{Format: "csv", Encoding: []string{"utf-8", "cp932"}[i%2]}, list[i*each:(i+1)*each], leaktest.Own(each))
		name := strconv.Itoa(i)
		write(b, loose, name, raw)
		f, err := z.Create(name)
		if err == nil {
			_, err = f.Write(raw)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	for name, path := range map[string]string{"loose": loose, "zip": write(b, b.TempDir(), "zip", packed.Bytes())} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				run(b, x, scan.Options{Paths: []string{path}, Workers: 1})
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "files/s")
		})
	}
}

// BenchmarkPDF scans a printed table, beside pdftotext, which reads it for the scan too.
func BenchmarkPDF(b *testing.B) {
	n := insttest.Soak(500, 5000)
	x := indexOf(b, insttest.Soak(100_000, 1_000_000))
	raw, _ := leaktest.PDF(b, people(seed, n), "")
	path := write(b, b.TempDir(), "leak.pdf", raw)
	b.Run("scan", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			run(b, x, scan.Options{Paths: []string{path}, Workers: 1})
		}
	})
	b.Run("yardstick/pdftotext", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			if err := exec.Command("pdftotext", "-layout", path, "-").Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// yardsticks read the same file by other means.
func yardsticks(b *testing.B, path string, size int64, register []population.Person) {
	var list bytes.Buffer
	for i := range register {
		list.WriteString(register[i].Number + "\n")
	}
	patterns := write(b, b.TempDir(), "numbers", list.Bytes())
	b.Run("yardstick/read", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			if _, err := os.ReadFile(path); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, command := range [][]string{{"wc", "-l", path}, {"rg", "-j1", "-c", "-F", "-f", patterns, path}} {
		b.Run("yardstick/"+command[0], func(b *testing.B) {
			if _, err := exec.LookPath(command[0]); err != nil {
				b.Fatalf("no %s beside which to measure: install it (ripgrep for rg)", command[0])
			}
			b.SetBytes(size)
			used := time.Duration(0)
			for b.Loop() {
				cmd := exec.Command(command[0], command[1:]...)
				var exit *exec.ExitError
				if err := cmd.Run(); err != nil && !errors.As(err, &exit) { // rg says 1 where nothing is found
					b.Fatal(err)
				}
				used += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			}
			b.ReportMetric(float64(size)*float64(b.N)/1e6/used.Seconds(), "cpu-MB/s")
		})
	}
}

// processor is the processor time of this process so far.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
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
