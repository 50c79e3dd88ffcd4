package scan_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"azekura/internal/insttest"
	"azekura/leakscan/leaktest"
	"azekura/leakscan/scan"
	"azekura/population"
)

// BenchmarkNation makes an index of AZEKURA_PEOPLE made-up people (10,000,000 in soak)
// out of a stream, and scans rows of theirs and of strangers with it, by all cores
// that there are. Making the people up is measured by itself before, on the first of
// them, and reported beside; it is in the time of building.
func BenchmarkNation(b *testing.B) {
	n := insttest.Soak(100_000, 10_000_000)
	if text := os.Getenv("AZEKURA_PEOPLE"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	key := leaktest.Key()
	for b.Loop() {
		madeUp := makingUp(b, min(n, 200_000)) * time.Duration(max(n/200_000, 1))
		at, used := time.Now(), processor(b)
		path := leaktest.Build(b, seed, n, key, runtime.GOMAXPROCS(0))
		took, cpu := time.Since(at), processor(b)-used
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(took.Seconds(), "build-s")
		b.ReportMetric(cpu.Seconds(), "build-cpu-s")
		b.ReportMetric(madeUp.Seconds(), "of-it-making-people-up-cpu-s")
		b.ReportMetric(float64(info.Size())/float64(n), "B/person")
		b.ReportMetric(float64(peak(b))/1e6, "peak-MB")
		x := leaktest.Open(b, path, key)
		rows := min(n, 200_000)
		for name, list := range map[string][]population.Person{"strangers": people(strangerSeed, rows), "register": people(seed, rows)} {
			raw, _ := leaktest.Leak(leaktest.Style{Format: "csv"}, list, leaktest.Own(rows))
			leak := write(b, b.TempDir(), "leak", raw)
			used := processor(b)
			run(b, x, scan.Options{Paths: []string{leak}, Workers: runtime.GOMAXPROCS(0)})
			b.ReportMetric(float64(len(raw))/1e6/(processor(b)-used).Seconds(), name+"-cpu-MB/s")
		}
	}
}

// makingUp is the processor time that making n people up takes, as leaktest.Build does.
func makingUp(b *testing.B, n int) time.Duration {
	b.Helper()
	used := processor(b)
	g := population.New(seed)
	var p population.Person
	for i := range n {
		g.Next(&p)
		leaktest.Person(i, &p)
	}
	return processor(b) - used
}

// peak is the most memory that this process has had resident so far, in bytes; what
// it mapped and read of files is in it.
func peak(b *testing.B) int64 {
	b.Helper()
	f, err := os.Open(filepath.Join("/proc", "self", "status"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kB int64
		if rest, found := strings.CutPrefix(lines.Text(), "VmHWM:"); found {
			if _, err := fmt.Sscan(rest, &kB); err != nil {
				b.Fatal(err)
			}
			return kB << 10
		}
	}
	b.Fatal("no VmHWM among the process's figures")
	return 0
}
