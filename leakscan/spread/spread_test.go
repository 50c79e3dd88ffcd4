package spread_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"azekura/internal/db"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"
	"azekura/leakscan"
	"azekura/leakscan/leaktest"
	"azekura/leakscan/scan"
	"azekura/leakscan/spread"
)

const seed, people = 7, 3000

// order is what a child process is told.
type order struct {
	DB, Index, Dir, Out string // Out "" is a worker
	Journal             string // of a process that scans alone
	Key                 []byte
}

const envOrder = "AZEKURA_TEST_SPREAD"

func TestMain(m *testing.M) {
	if text := os.Getenv(envOrder); text != "" {
		var o order
		err := json.Unmarshal([]byte(text), &o)
		if err == nil {
			err = o.carry(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(pgtest.Main(m))
}

// carry is the child's part.
func (o order) carry(ctx context.Context) error {
	keys, err := leakscan.NewKeys(o.Key)
	if err != nil {
		return err
	}
	x, err := leakscan.Open(o.Index, keys)
	if err != nil {
		return err
	}
	write := func(r *scan.Result) error {
		told, err := told(r)
		if err != nil {
			return err
		}
		return os.WriteFile(o.Out, told, 0o600)
	}
	if o.Journal != "" {
		r, err := scan.Run(ctx, x, scan.Options{Paths: []string{o.Dir}, Workers: 2, Journal: o.Journal})
		if err != nil {
			return err
		}
		return write(r)
	}
	d, err := db.Open(ctx, o.DB)
	if err != nil {
		return err
	}
	quick := spread.Options{Workers: 1, Beat: 50 * time.Millisecond, Dead: 2 * time.Second}
	if o.Out == "" {
		return spread.Work(ctx, d, x, quick)
	}
	return spread.Run(ctx, d, x, scan.Options{Paths: []string{o.Dir}, Workers: 1, Stretch: 1, Passwords: []string{"nenkin"}}, quick, write)
}

func told(r *scan.Result) ([]byte, error) {
	var b bytes.Buffer
	err := errors.Join(r.WriteFindings(&b), r.WriteLedger(&b), json.NewEncoder(&b).Encode(r.Summary))
	return b.Bytes(), err
}

// start begins a child, which doesn't outlive the test.
func (o order) start(t *testing.T) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envOrder+"="+string(text))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	_ = cmd.Wait()
}

// heap is a folder of files, large ones among them, and a scan of it by one process.
func heap(t *testing.T, x *leakscan.Index) (dir string, want []byte) {
	t.Helper()
	dir = t.TempDir()
	list := insttest.People(seed, people)
	own := make([]int, people)
	for i := range own {
		own[i] = i
	}
	for name, style := range map[string]leaktest.Style{"csv": {Format: "csv"}, "cp932": {Format: "csv", Encoding: "cp932"}, "quoted": {Format: "quoted"}, "book.xlsx": {Format: "xlsx"}} {
		raw, _ := leaktest.Leak(style, list[:900], own[:900])
		if name != "book.xlsx" {
			raw = bytes.Repeat(raw, 1+insttest.Soak(3<<20, 12<<20)/len(raw))
		}
		if name == "cp932" {
			raw[len(raw)/2] = 0xFF
		}
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 250 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("s%03d", n)), []byte(list[n].Number+","+list[n].Name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := scan.Run(t.Context(), x, scan.Options{Paths: []string{dir}, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if want, err = told(r); err != nil {
		t.Fatal(err)
	}
	return dir, want
}

// TestKilled: three processes do a scan over one database; one is killed for good at a
// random moment, the others, whoever began the scan among them, are killed now and then
// and come back. The bytes are those of one process.
func TestKilled(t *testing.T) {
	key := leaktest.Key()
	index := leaktest.Build(t, seed, people, key, 2)
	dir, want := heap(t, leaktest.Open(t, index, key))
	for _, engine := range []string{"sqlite", "postgresql"} {
		t.Run(engine, func(t *testing.T) {
			random := insttest.Random(t)
			soon := func() time.Duration { return time.Duration(random.IntN(2500)) * time.Millisecond }
			o := order{DB: filepath.Join(t.TempDir(), "jobs.db"), Index: index, Dir: dir, Key: key}
			if engine == "postgresql" {
				o.DB = pgtest.URL(t)
			}
			for round := range insttest.Soak(1, 50) {
				begin := o
				begin.Out = filepath.Join(t.TempDir(), fmt.Sprint("out", round))
				first, gone, back := begin.start(t), o.start(t), o.start(t)
				time.Sleep(soon())
				kill(gone)
				time.Sleep(soon())
				kill(first)
				kill(back)
				first, back = begin.start(t), o.start(t)
				time.Sleep(soon())
				kill(back)
				back = o.start(t)
				err := first.Wait()
				kill(back)
				if err != nil {
					t.Fatalf("round %d: the scan failed: %v", round, err)
				}
				got, err := os.ReadFile(begin.Out)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					at := 0
					for at < min(len(got), len(want)) && got[at] == want[at] {
						at++
					}
					t.Fatalf("round %d: the bytes are others from %d of %d on: %.300q, not %.300q", round, at, len(want), got[max(0, at-100):], want[max(0, at-100):])
				}
			}
		})
	}
}

// TestKilledAlone: a scan by one process, killed at random moments and begun again
// with its journal, gives the same bytes.
func TestKilledAlone(t *testing.T) {
	key := leaktest.Key()
	index := leaktest.Build(t, seed, people, key, 2)
	dir, want := heap(t, leaktest.Open(t, index, key))
	random := insttest.Random(t)
	for round := range insttest.Soak(2, 100) {
		o := order{Index: index, Dir: dir, Key: key, Out: filepath.Join(t.TempDir(), fmt.Sprint("out", round)), Journal: filepath.Join(t.TempDir(), fmt.Sprint("journal", round))}
		for range 3 {
			child := o.start(t)
			time.Sleep(time.Duration(random.IntN(600)) * time.Millisecond)
			kill(child)
		}
		if err := o.start(t).Wait(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if got, err := os.ReadFile(o.Out); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("round %d: the bytes are others: %v", round, err)
		}
	}
}
