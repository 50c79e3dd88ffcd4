package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// patience is how long Stop waits for River's own services, once no job runs. They
// end within milliseconds, or never: River's elector tells of an election while it
// holds the lock that its listener needs to go, so that a client that is stopped
// in the moment of its election waits for itself for good.
const patience = 5 * time.Second

// Stop ends the running jobs where they are; they are taken up at the next start.
// It returns when none of them runs any more, and doesn't wait for ever for the
// engine, which has nothing left to do then.
func (r *Runner) Stop(ctx context.Context) error {
	r.atWork.close()
	bounded, cancel := context.WithCancel(ctx)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop(bounded) }()
	select {
	case err := <-stopped:
		return err
	case <-r.atWork.none:
	case <-ctx.Done():
		return fmt.Errorf("stop the running jobs: %w", ctx.Err())
	}
	wait := time.NewTimer(r.patience)
	defer wait.Stop()
	select {
	case err := <-stopped:
		return err
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop the job engine: %w", ctx.Err())
	}
}

// errClosing turns away a job that was fetched as the process ended.
var errClosing = errors.New("the process is ending; the job is taken up at the next start")

// atWork counts the jobs that run.
type atWork struct {
	river.MiddlewareDefaults
	mu      sync.Mutex
	running int
	none    chan struct{} // made by close; closed when no job runs
}

// Work counts a job for as long as it runs; none starts behind close.
func (a *atWork) Work(ctx context.Context, job *rivertype.JobRow, doInner func(context.Context) error) error {
	if !a.enter() {
		return errors.Join(errClosing, river.JobSnooze(0))
	}
	defer a.leave()
	return doInner(ctx)
}

func (a *atWork) enter() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.none != nil {
		return false
	}
	a.running++
	return true
}

func (a *atWork) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running--
	if a.none != nil && a.running == 0 {
		close(a.none)
	}
}

// close lets no job start any more.
func (a *atWork) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.none != nil {
		return
	}
	a.none = make(chan struct{})
	if a.running == 0 {
		close(a.none)
	}
}
