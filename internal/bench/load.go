package main

import (
	"context"
	"slices"
	"sync"
	"time"
)

// load is what some callers did together.
type load struct {
	rate     float64 // a second
	p50, p99 time.Duration
	cpu      time.Duration // of what the meter reads, for each
}

// drive has so many callers call do over and over, for some time after a
// shorter time that doesn't count. meter reads the CPU used so far.
func drive(ctx context.Context, callers int, lasts time.Duration, meter func() time.Duration, do func(caller, n int) error) (load, error) {
	if _, _, err := callAll(ctx, callers, lasts/4, 0, do); err != nil {
		return load{}, err
	}
	before := meter()
	took, all, err := callAll(ctx, callers, lasts, 1<<20, do)
	used := meter() - before
	if err != nil {
		return load{}, err
	}
	n := len(all)
	slices.Sort(all)
	return load{rate: float64(n) / took.Seconds(), p50: all[n/2], p99: all[n*99/100], cpu: used / time.Duration(n)}, nil
}

// callAll returns how long it took to the last call's end, and how long each
// call did. Numbers begin at from, so that a second run asks for others.
func callAll(ctx context.Context, callers int, lasts time.Duration, from int, do func(caller, n int) error) (time.Duration, []time.Duration, error) {
	took := make([][]time.Duration, callers)
	errs := make([]error, callers)
	var wg sync.WaitGroup
	began := time.Now()
	for c := range callers {
		wg.Go(func() {
			list := make([]time.Duration, 0, 1<<12)
			at := began
			for n := from; at.Sub(began) < lasts && errs[c] == nil; n++ {
				if errs[c] = ctx.Err(); errs[c] == nil {
					errs[c] = do(c, n)
				}
				now := time.Now()
				list, at = append(list, now.Sub(at)), now
			}
			took[c] = list
		})
	}
	wg.Wait()
	end := time.Since(began)
	for _, err := range errs {
		if err != nil {
			return 0, nil, err
		}
	}
	return end, slices.Concat(took...), nil
}
