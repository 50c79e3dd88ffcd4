package installation

import (
	"context"
	"errors"
	"time"

	"azekura/auditlog"
)

const (
	// watchEvery is how often the events that grant are read again and held
	// against the signer's sum.
	watchEvery = time.Minute
	// watchShare keeps that to a hundredth of the time.
	watchShare = 100
)

// watch compares until the installation is closed. What it finds is an alarm and
// no more: what is granted stands in memory, made from what was proven.
func (i *Installation) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	i.onClose(func() error {
		cancel()
		<-done
		return nil
	})
	go func() {
		defer close(done)
		for wait := watchEvery; ; {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
			began := time.Now()
			// What isn't ErrAuthority is the database being away; others say so.
			if wait = watchEvery; errors.Is(i.CheckAuthority(ctx), auditlog.ErrAuthority) {
				wait = time.Hour // to name what is wrong, every event was read
			}
			wait = max(wait, watchShare*time.Since(began))
		}
	}()
}

// CheckAuthority holds the events that grant, as the database gives them now,
// against the signer's sum. A difference is an alarm.
func (i *Installation) CheckAuthority(ctx context.Context) error {
	err := i.Log.Authority(ctx, nil)
	var wrong *auditlog.Tampered
	if errors.As(err, &wrong) {
		return errors.Join(err, i.Log.Raise(ctx, wrong.Tampering))
	}
	return err
}
