package installation

import (
	"context"

	"azekura/cases"
)

// keepCases writes what the cases are, now and then and at the end.
func (i *Installation) keepCases() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		i.Cases.Keep(ctx, func(err error) {
			if i.Trouble != nil {
				i.Trouble(err)
			}
		})
	}()
	i.onClose(func() error {
		cancel()
		<-done
		return nil
	})
}

// RequireCases has every opening take a case that exists, in an installation that
// isn't served: what azekura init does unless it is told not to.
func RequireCases(ctx context.Context, dir string) error {
	_, err := withFolder(ctx, dir, func(f *folder) (struct{}, error) {
		err := f.lead(ctx)
		if err == nil {
			err = cases.RecordRequired(ctx, f.log)
		}
		return struct{}{}, err
	})
	return err
}
