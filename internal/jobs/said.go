package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// said passes River's warnings and errors on to the server's log. It passes on only
// what it knows to hold nobody's data: which job, of what kind, and errors, which
// never do. A panic's text is of no known kind; a job's arguments River doesn't
// log, and they wouldn't pass.
type said struct {
	river.MiddlewareDefaults
	tell func(error)
	now  func() time.Time

	mu   sync.Mutex
	over bool                 // the engine is being stopped, and says that it is cut off
	last map[string]time.Time // by River's own texts, of which there are few
}

func newSaid(tell func(error)) *said {
	return &said{tell: tell, now: time.Now, last: map[string]time.Time{}}
}

// quiet is how long a trouble of the engine's isn't said again: where the database
// doesn't answer, River says so twice a second.
const quiet = time.Minute

// passed are the attributes that hold nobody's data.
var passed = map[string]bool{"job_id": true, "job_kind": true, "kind": true, "queue": true, "attempt": true, "error": true, "err": true}

// Enabled leaves out what isn't at least a warning.
func (s *said) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle says one of River's lines.
func (s *said) Handle(_ context.Context, r slog.Record) error {
	var line strings.Builder
	line.WriteString("job engine: " + r.Message)
	ofJob := false
	r.Attrs(func(a slog.Attr) bool {
		ofJob = ofJob || a.Key == "job_id"
		// What a job that panicked gives for its error is the panic's text.
		if passed[a.Key] && !(strings.Contains(r.Message, "panic") && (a.Key == "error" || a.Key == "err")) {
			fmt.Fprintf(&line, "; %s %s", a.Key, a.Value)
		}
		return true
	})
	if ofJob || s.due(r.Message) { // a job is tried a few times only
		s.tell(errors.New(line.String()))
	}
	return nil
}

func (s *said) due(message string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.over {
		return false
	}
	if at, told := s.last[message]; told && now.Sub(at) < quiet {
		return false
	}
	s.last[message] = now
	return true
}

// end says no more of the engine's own troubles, which at a stop are the stop.
func (s *said) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

// WithAttrs leaves out what would stand beside every line.
func (s *said) WithAttrs([]slog.Attr) slog.Handler { return s }

// WithGroup leaves groups out.
func (s *said) WithGroup(string) slog.Handler { return s }

// Work says why a job gave up, which River keeps to itself.
func (s *said) Work(ctx context.Context, job *rivertype.JobRow, doInner func(context.Context) error) error {
	err := doInner(ctx)
	var gaveUp *rivertype.JobCancelError
	if errors.As(err, &gaveUp) {
		s.tell(fmt.Errorf("job %d (%s) gave up: %w", job.ID, job.Kind, err))
	}
	return err
}
