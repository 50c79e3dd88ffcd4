package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"azekura/population"
)

const (
	sqlite     = "sqlite"
	postgresql = "postgresql"
)

// engineNames are for people.
var engineNames = map[string]string{sqlite: "SQLite", postgresql: "PostgreSQL"}

// scale is how large all is.
type scale struct {
	Name     string        `json:"name"`
	People   int64         `json:"people"`        // of an import, a set, a register that is read
	Few      int64         `json:"few"`           // of the import whose memory is the lesser
	Verified int64         `json:"verified"`      // events of the log that is verified
	Log      int64         `json:"log"`           // events of the log that exposure is asked of, and of that which a sceptic checks
	Grants   int64         `json:"grants"`        // events of authority that a start reads
	Lasts    time.Duration `json:"lasts_ns"`      // of one run of reads, requests or a yardstick
	Sessions int           `json:"sessions"`      // that are open while a tenth of them is contained
	Pgbench  int           `json:"pgbench_scale"` // 100,000 rows each
	runs     int           // of each figure
	full     bool          // whether the targets are meant at these sizes
}

var scales = map[string]scale{
	"tiny":  {Name: "tiny", People: 500, Few: 100, Verified: 2_000, Log: 8_000, Grants: 1_000, Sessions: 40, Lasts: 50 * time.Millisecond, Pgbench: 1, runs: 1},
	"small": {Name: "small", People: 100_000, Few: 20_000, Verified: 200_000, Log: 800_000, Grants: 100_000, Sessions: 10_000, Lasts: 2 * time.Second, Pgbench: 10, runs: 3},
	"full":  {Name: "full", People: 1_000_000, Few: 100_000, Verified: 2_000_000, Log: 10_000_000, Grants: 1_000_000, Sessions: 10_000, Lasts: 5 * time.Second, Pgbench: 50, runs: 5, full: true},
}

// stages are what -only chooses from, in the order of their running.
var stages = []struct {
	name string
	run  func(context.Context, *bench) error
}{
	{"population", population1},
	{"import", imports},
	{"gate", func(ctx context.Context, b *bench) error { return b.doors(ctx, slices.Contains(b.stages, "https")) }},
	{"https", func(ctx context.Context, b *bench) error {
		if slices.Contains(b.stages, "gate") {
			return nil // done, in turn with the gate's reads
		}
		return b.doors(ctx, true)
	}},
	{"decide", decisions},
	{"witness", witnesses},
	{"set", sets},
	{"verify", verifications},
	{"register", registers},
	{"start", starts},
	{"recount", recounts},
	{"check", checks},
	{"exposure", exposures},
	{"contain", containments},
}

func stageNames() (names []string) {
	for _, s := range stages {
		names = append(names, s.name)
	}
	return names
}

// bench is one run of the program.
type bench struct {
	options
	folder   string // of everything that it makes, but for the cluster's own
	progress io.Writer
	began    time.Time
	machine  machine
	server   *server          // PostgreSQL, once it is needed
	rooms    map[string]*room // by engine: the one full of people that stages share
	made     int              // installations so far
	figures  []*figure
}

func newBench(o options, progress io.Writer) (*bench, error) {
	folder, err := os.MkdirTemp(o.dir, "azekura-bench-")
	if err != nil {
		return nil, err
	}
	return &bench{options: o, folder: folder, progress: progress, began: time.Now(), machine: look(folder), rooms: map[string]*room{}}, nil
}

func (b *bench) close() error {
	if b.server == nil {
		return os.RemoveAll(b.folder)
	}
	b.server.cluster.Stop()
	// What is left is an empty folder, where user postgres may not remove it.
	return errors.Join(os.RemoveAll(b.server.cluster.Dir()), os.RemoveAll(b.folder))
}

// say tells whoever waits what is going on.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "%5.0f s  "+format+"\n", append([]any{time.Since(b.began).Seconds()}, args...)...)
}

// rounds calls f for each run, and says so.
func (b *bench) rounds(ctx context.Context, what string, n int, f func() error) error {
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		b.say("%s: run %d of %d", what, i+1, n)
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// importRuns is fewer where a run takes minutes.
func (b *bench) importRuns() int { return min(b.runs, 3) }

// binary builds azekura as make build does, once.
func (b *bench) binary(ctx context.Context) (string, error) {
	path := filepath.Join(b.folder, "azekura")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	b.say("building azekura")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "azekura/cmd/azekura")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build azekura (run this from the repository): %w\n%s", err, out)
	}
	return path, nil
}

// people is a file of so many made-up people, in the import's columns.
func (b *bench) people(ctx context.Context, n int64) (string, error) {
	path := filepath.Join(b.folder, fmt.Sprintf("people-%d.csv", n))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	b.say("making up %d people", n)
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	return path, errors.Join(population.WriteCSV(ctx, f, seed, n, nil), f.Sync(), f.Close())
}

// seed makes the same people every time.
const seed = 2015
