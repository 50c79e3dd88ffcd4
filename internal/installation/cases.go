package installation

import "context"

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
