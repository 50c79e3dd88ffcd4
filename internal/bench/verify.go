package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/internal/madelog"
)

const verifyTarget = 300_000 // events a second a core

// verifications verify a log that its sequencer wrote, on one core and on all,
// beside a bare read of the same lines.
func verifications(ctx context.Context, b *bench) error {
	for _, engine := range b.engines {
		r, err := b.newRoom(ctx, engine)
		if err != nil {
			return err
		}
		i, err := r.open(ctx)
		if err != nil {
			return err
		}
		b.say("recording %d events on %s", b.scale.Verified, engineNames[engine])
		err = madelog.Record(ctx, i.Log, b.scale.Verified)
		if err == nil && engine == postgresql {
			_, err = i.DB.Exec(ctx, "VACUUM ANALYZE log_event")
		}
		if err == nil {
			err = b.rounds(ctx, "verify on "+engineNames[engine], b.runs, func() error { return r.verify(ctx, i) })
		}
		if err := errors.Join(err, i.Close()); err != nil {
			return err
		}
		if err := r.remove(); err != nil {
			return err
		}
	}
	return nil
}

func (r *room) verify(ctx context.Context, i *installation.Installation) error {
	bare, err := onCores(1, func() (float64, error) {
		return readAll(ctx, i.DB, "SELECT line FROM log_event WHERE log_id = $1 ORDER BY idx", i.Log.ID())
	})
	if err != nil {
		return err
	}
	all := r.bench.machine.Cores
	for _, cores := range []int{1, all} {
		if err := r.verifyOn(ctx, i, cores, bare); err != nil {
			return err
		}
		if all == 1 {
			break
		}
	}
	return nil
}

func (r *room) verifyOn(ctx context.Context, i *installation.Installation, cores int, bare float64) error {
	size, root := i.Signer.Head()
	before := selfCPU() + r.databaseCPU()
	took, err := onCores(cores, func() (time.Duration, error) {
		began := time.Now()
		found, err := auditlog.Verify(ctx, i.DB, i.Log.ID(), size, root, auditlog.VerifyOptions{OpenMembers: i.Gate.OpenMembers, Edge: i.Signer.Edge()})
		if err == nil && !found.OK {
			err = errors.New(found.Problem)
		}
		return time.Since(began), err
	})
	if err != nil {
		return err
	}
	used := selfCPU() + r.databaseCPU() - before
	name := fmt.Sprintf("%s, GOMAXPROCS=%d", engineNames[r.engine], cores)
	r.bench.figure("verify", name, "events/s", target{Least: verifyTarget * float64(cores)}, stick{name: "a bare read of the same lines, GOMAXPROCS=1"},
		float64(size)/took.Seconds(), bare)
	r.bench.figure("verify", name+", for each second of CPU, database included", "events", target{}, stick{}, float64(size)/used.Seconds(), 0)
	return nil
}

// onCores runs f with so many processors for Go code. PostgreSQL's own processes
// go on having all.
func onCores[T any](cores int, f func() (T, error)) (T, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	return f()
}
