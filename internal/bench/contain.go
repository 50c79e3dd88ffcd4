package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"azekura/access"
	"azekura/api"
	"azekura/internal/installation"
)

// containments stops a device at which sessions read over HTTPS, and looks when the
// last of them was still answered. Besides them the directory holds sessions that
// nobody uses.
func containments(ctx context.Context, b *bench) error {
	for _, engine := range b.engines {
		r, err := b.furnished(ctx, engine)
		if err != nil {
			return err
		}
		who := &readers{room: r}
		if err := who.prepare(ctx); err != nil {
			return err
		}
		run := 0
		if err := b.rounds(ctx, "containment on "+engineNames[engine], b.runs, func() error {
			run++
			return who.contained(ctx, fmt.Sprint("d-stop-", run))
		}); err != nil {
			return err
		}
	}
	return nil
}

func (who *readers) contained(ctx context.Context, device string) error {
	b, engine := who.room.bench, engineNames[who.room.engine]
	idle, busy := b.scale.Sessions*9/10, b.scale.Sessions/10
	busyTokens, took, err := who.openSessions(ctx, device, idle, busy)
	if err != nil {
		return err
	}
	b.figure("contain", fmt.Sprintf("%s, sessions opened", engine), "sessions/s", target{}, stick{}, float64(idle+busy)/took.Seconds(), 0)
	cmd, address, err := who.room.serve(ctx)
	if err != nil {
		return err
	}
	last, rate, err := who.stopAll(ctx, address, device, busyTokens)
	if err = errors.Join(err, stop(cmd)); err != nil {
		return err
	}
	name := fmt.Sprintf("%s, %d sessions read among %d that are open", engine, busy, idle+busy)
	b.figure("contain", name+": from the containment's event to the last answer that opened anything", "ms", target{Most: 1000}, stick{}, last.Seconds()*1000, 0)
	b.figure("contain", name+": requests before it", "requests/s", target{}, stick{}, rate, 0)
	return nil
}

// openSessions opens sessions at a device, most of which nobody will use.
func (who *readers) openSessions(ctx context.Context, device string, idle, busy int) (tokens []string, took time.Duration, err error) {
	i, err := who.room.open(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	if _, err := i.Access.AddDevice(ctx, device, "o-1"); err != nil {
		return nil, 0, err
	}
	if who.pc, err = i.EnrolDevice(ctx, device); err != nil {
		return nil, 0, err
	}
	began := time.Now()
	if err := openMany(ctx, i, "d-1", idle, nil); err != nil {
		return nil, 0, err
	}
	tokens = make([]string, busy)
	err = openMany(ctx, i, device, busy, tokens)
	return tokens, time.Since(began), err
}

func openMany(ctx context.Context, i *installation.Installation, device string, n int, tokens []string) error {
	var wg sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, min(n, 64))
	for w := range errs {
		wg.Go(func() {
			for at := int(next.Add(1)) - 1; at < n; at = int(next.Add(1)) - 1 {
				_, token, err := i.Access.OpenSession(ctx, "s-1", device, access.MaxSession)
				if err != nil {
					errs[w] = err
					return
				}
				if tokens != nil {
					tokens[at] = token
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// stopAll has every session read on a connection of its own until it is refused, and
// contains the device among that.
func (who *readers) stopAll(ctx context.Context, address, device string, tokens []string) (last time.Duration, rate float64, err error) {
	var wg sync.WaitGroup
	var stopped atomic.Bool
	var answered, reading, refused atomic.Int64
	answers := make([]time.Time, len(tokens))
	odd := make([]error, len(tokens))
	began := time.Now()
	for c := range tokens {
		wg.Go(func() {
			one, err := who.dial(address, tokens[c])
			if err != nil {
				odd[c] = err
				refused.Add(1)
				return
			}
			defer one.conn.Close()
			for n := 0; !stopped.Load(); n++ {
				err := one.read(who.id(c, n))
				if err != nil {
					if ctx.Err() == nil && strings.Contains(err.Error(), "the server answered") && !strings.Contains(err.Error(), "401") {
						odd[c] = err
					}
					refused.Add(1) // 401, or the connection is cut
					return
				}
				if answers[c] = time.Now(); n == 0 {
					reading.Add(1)
				}
				answered.Add(1)
			}
		})
	}
	for all := int64(len(tokens)); ctx.Err() == nil && refused.Load() == 0 && (reading.Load() < all || time.Since(began) < who.room.bench.scale.Lasts); {
		time.Sleep(10 * time.Millisecond)
	}
	operator, err := api.Dial(who.room.dir)
	var is access.Contained
	if err == nil {
		rate = float64(answered.Load()) / time.Since(began).Seconds()
		if refused.Load() > 0 {
			err = fmt.Errorf("%d of %d sessions were refused before anything was contained", refused.Load(), len(tokens))
		}
		if err == nil {
			err = operator.Do(ctx, http.MethodPost, "/operator/contain", api.NewContain{Target: access.Target{Kind: access.TheDevice, ID: device}, Why: "a measurement"}, &is)
		}
	}
	stopped.Store(err != nil) // else they end by being refused
	wg.Wait()
	for _, at := range answers {
		last = max(last, at.Sub(is.Since))
	}
	return last, rate, errors.Join(append(odd, err)...)
}
