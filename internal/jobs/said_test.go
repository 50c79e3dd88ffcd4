package jobs

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"azekura/internal/db"
	"azekura/internal/pgtest"

	"github.com/riverqueue/river"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// each runs f on an empty database of either engine.
func each(t *testing.T, f func(t *testing.T, d db.DB)) {
	for engine, url := range map[string]func(t *testing.T) string{
		"sqlite":     func(t *testing.T) string { return t.TempDir() + "/jobs.db" },
		"postgresql": func(t *testing.T) string { return pgtest.URL(t) },
	} {
		t.Run(engine, func(t *testing.T) {
			d, err := db.Open(t.Context(), url(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			})
			f(t, d)
		})
	}
}

// trial is a job that does as it is told; it holds what no log may.
type trial struct {
	Does string `json:"does"`
	Name string `json:"name"`
}

func (trial) Kind() string { return "trial" }

const secret = "山田はる"

func (a trial) do() error {
	switch a.Does {
	case "panic":
		panic("cannot write " + a.Name)
	case "give up":
		return river.JobCancel(errors.New("the file is gone"))
	default:
		return errors.New("the disk is full")
	}
}

// TestFailuresAreSaid: what a job failed of reaches the server's log, whether it is
// tried again or gave up; what it was given doesn't, a panic's text neither.
func TestFailuresAreSaid(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		lines := make(chan string, 64)
		workers := river.NewWorkers()
		river.AddWorker(workers, river.WorkFunc(func(_ context.Context, job *river.Job[trial]) error { return job.Args.do() }))
		r, err := Start(t.Context(), d, workers, Guard{MAC: func([]byte) [16]byte { return [16]byte{} }}, func(err error) { lines <- err.Error() })
		if err != nil {
			t.Fatal(err)
		}
		for does, want := range map[string]string{"fail": "the disk is full", "give up": "the file is gone", "panic": "Job panicked"} {
			if err := r.Insert(t.Context(), trial{does, secret}); err != nil {
				t.Fatal(err)
			}
			for found := false; !found; {
				select {
				case line := <-lines:
					found = strings.Contains(line, want) && strings.Contains(line, "trial")
					if strings.Contains(line, secret) {
						t.Error("the log has what the job was given:", line)
					}
				case <-time.After(time.Minute):
					t.Fatalf("nobody said that a job was told to %s", does)
				}
			}
		}
		if err := r.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		for len(lines) > 0 { // a job may have been tried again
			if line := <-lines; !strings.Contains(line, "trial") {
				t.Error("an engine that stops as it should complains:", line)
			}
		}
	})
}

// TestEngineTroubles: the same trouble of the engine's is said once a minute, and
// each job's own every time; what isn't known to hold nobody's data isn't said.
func TestEngineTroubles(t *testing.T) {
	var lines []string
	now := time.Unix(1_700_000_000, 0)
	s := newSaid(func(err error) { lines = append(lines, err.Error()) })
	s.now = func() time.Time { return now }
	log := slog.New(s).With("args", secret).WithGroup("of")
	for range 3 {
		log.Error("fetching failed", "err", errors.New("no answer"), "payload", secret)
		log.Warn("job errored", "job_id", 7, "error", "no room")
		log.Info("started")
	}
	if got := strings.Join(lines, "\n"); len(lines) != 4 || strings.Contains(got, secret) || !strings.Contains(got, "no answer") {
		t.Fatal(got)
	}
	now = now.Add(quiet)
	if log.Error("fetching failed"); len(lines) != 5 {
		t.Error("a trouble that lasts isn't said again")
	}
	now = now.Add(quiet)
	s.end()
	log.Error("fetching failed", "err", context.Canceled)
	log.Error("job errored", "job_id", 8, "error", "no room")
	if len(lines) != 6 || !strings.Contains(lines[5], "job_id 8") {
		t.Error("at a stop:", lines[5:])
	}
}

// TestNoReindexer: the engine rebuilds no indexes, in our lifetime.
func TestNoReindexer(t *testing.T) {
	c := config(river.NewWorkers(), &atWork{}, Guard{}, newSaid(func(error) {}))
	if c.ReindexerSchedule == nil {
		t.Fatal("the engine's own schedule: each midnight")
	}
	if at := c.ReindexerSchedule.Next(time.Now()); time.Until(at) < 100*365*24*time.Hour {
		t.Error(at)
	}
}
