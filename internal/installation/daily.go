package installation

import (
	"context"
	"errors"
	"sync"
	"time"

	"azekura/auditlog"
)

// The daily root is due once a day has ended. Whoever serves looks now and then;
// looking costs one look-up.
const (
	dailyEvery = 10 * time.Minute
	dailyAgain = time.Minute
)

// startDaily sees to it that each day that is over gets its root over sequence
// numbers, those that went by while no process ran too.
func (i *Installation) startDaily(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var done sync.WaitGroup
	done.Go(func() {
		for {
			wait := dailyEvery
			if _, err := i.Log.Daily(ctx); err != nil {
				if errors.Is(err, auditlog.ErrStopped) || ctx.Err() != nil {
					return
				}
				i.tell(err)
				wait = dailyAgain
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
		}
	})
	i.onClose(func() error {
		cancel()
		done.Wait()
		return nil
	})
}

// tell says what went wrong in the background to whoever listens.
func (i *Installation) tell(err error) {
	if i.Trouble != nil {
		i.Trouble(err)
	}
}
