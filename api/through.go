package api

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// errMayCome is the answer to whoever a grant kept waiting too long.
var errMayCome = errors.New("the audit log or the database didn't answer in time; what was asked for may be granted yet, so list what there is before asking again; nothing is opened")

// seenThrough lets a caller go when the time is up, while the work goes on to its
// end. It is for grants: what the directory holds in memory must be what the log
// grants, so a grant that has begun waits for a database that is away, however
// long; whoever asked for it needn't. They may find it granted later.
func seenThrough[In, Out any](s *Server, f func(context.Context, *In) (*Out, error)) func(context.Context, *In) (*Out, error) {
	type outcome struct {
		out *Out
		err error
	}
	return func(ctx context.Context, in *In) (*Out, error) {
		done := make(chan outcome, 1)
		go func() {
			o := outcome{err: errFallen}
			defer func() {
				if p := recover(); p != nil {
					s.logError(request(ctx), fmt.Errorf("panic: a %T\n%s", p, debug.Stack()))
				}
				done <- o
			}()
			o.out, o.err = f(ctx, in)
		}()
		select {
		case o := <-done:
			return o.out, o.err
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil, errMayCome
			}
			return nil, ctx.Err()
		}
	}
}
