package jobs

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestStopStuck: the engine that never ends, as River's elector in the moment of
// its election, holds nobody up once no job runs; a job that runs does.
func TestStopStuck(t *testing.T) {
	at := &atWork{}
	began, end, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- at.Work(t.Context(), nil, func(context.Context) error {
			close(began)
			<-end
			return nil
		})
	}()
	<-began
	cancelled := make(chan struct{})
	stuck := func(ctx context.Context) error {
		close(cancelled)
		<-ctx.Done() // as StopAndCancel does, where its services never end
		return ctx.Err()
	}
	r := &Runner{stop: stuck, atWork: at, patience: time.Millisecond}
	stopped := make(chan error, 1)
	go func() { stopped <- r.Stop(t.Context()) }()
	<-cancelled
	select {
	case err := <-stopped:
		t.Fatal("stopped while a job runs:", err)
	default:
	}
	if err := at.Work(t.Context(), nil, func(context.Context) error { return nil }); !errors.Is(err, errClosing) {
		t.Error("a job started behind the stop:", err)
	}
	close(end)
	if err := errors.Join(<-ended, <-stopped); err != nil {
		t.Fatal(err)
	}
}
