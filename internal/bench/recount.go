package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/register/field"
)

const (
	recountTarget  = 60 // seconds, of 10,000,000 events
	snapshotTarget = 2
)

// recounts open an installation whose log has many openings, all of which budgets and
// rules are made from: by the log alone, and by what they saved.
func recounts(ctx context.Context, b *bench) error {
	for _, engine := range b.engines {
		r, err := b.newRoom(ctx, engine)
		if err != nil {
			return err
		}
		b.say("recording %d openings on %s", b.scale.Log, engineNames[engine])
		if err := r.openings(ctx, b.scale.Log); err != nil {
			return err
		}
		if err := b.rounds(ctx, "counting again on "+engineNames[engine], b.importRuns(), func() error { return r.recount(ctx) }); err != nil {
			return err
		}
		if err := r.remove(); err != nil {
			return err
		}
	}
	return nil
}

// honest is opening n of honest work: of 50 participants a day each, by staff at their own
// devices, in a nation of a hundred million, of whom few are met twice.
func honest(r *rand.Rand, of int64, e *auditlog.Event) {
	staff := fmt.Sprint(r.Int64N(max(of/1500, 1)))
	*e = auditlog.Event{Action: auditlog.Read, Outcome: "ok", Purpose: "enquiry", Case: "C-1", Staff: "s-" + staff, Role: "caseworker", Device: "d-" + staff,
		Session: auditlog.Session(1 + r.Int64N(max(of/1500, 1))), Known: auditlog.Known{Valid: true},
		Fields: []auditlog.FieldVersion{{Field: field.Name, Version: 1}, {Field: field.Birth, Version: 1}}}
	binary.BigEndian.PutUint64(e.Participant[:], r.Uint64N(100_000_000)+1)
	e.Participant[8] = 0x80
}

// openings has the log itself record so many.
func (r *room) openings(ctx context.Context, n int64) (err error) {
	i, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	const callers, each = 32, 64
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for c := range int64(callers) {
		wg.Go(func() {
			made := rand.New(rand.NewPCG(seed, uint64(c)))
			for at := c * each; at < n && errs[c] == nil; at += callers * each {
				list := make([]auditlog.Event, min(each, n-at))
				for k := range list {
					honest(made, n, &list[k])
				}
				_, errs[c] = i.Log.Record(ctx, auditlog.Entry{Events: list})
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if r.engine == postgresql {
		_, err = i.DB.Exec(ctx, "VACUUM ANALYZE log_event")
	}
	return err
}

// recount opens it with nothing saved, which saves, and again with that.
func (r *room) recount(ctx context.Context) error {
	i, err := r.open(ctx)
	if err != nil {
		return err
	}
	_, err = i.DB.Exec(ctx, "DELETE FROM log_memory")
	var bare float64
	if err == nil {
		bare, err = readAll(ctx, i.DB, "SELECT line FROM log_event WHERE log_id = $1 ORDER BY idx", i.Log.ID())
	}
	if err := errors.Join(err, i.Close()); err != nil {
		return err
	}
	name := fmt.Sprintf("%s, a log of %s openings", engineNames[r.engine], number(float64(r.bench.scale.Log)))
	// Of a log of few events nothing is saved, and both count it.
	for _, way := range []struct {
		what string
		most float64
	}{{"counted from the log", recountTarget}, {"taken up from what was saved", snapshotTarget}} {
		before := selfCPU() + r.databaseCPU()
		began := time.Now()
		if i, err = r.open(ctx); err != nil {
			return err
		}
		took, used := time.Since(began), selfCPU()+r.databaseCPU()-before
		saved, err := r.saved(ctx, i)
		if err := errors.Join(err, i.Close()); err != nil { // which waits for what is being saved
			return err
		}
		r.bench.figure("recount", name+", "+way.what+", from the folder to the open doors", "s", target{Most: way.most},
			stick{name: "a bare read of the lines"}, took.Seconds(), float64(r.bench.scale.Log)/bare)
		r.bench.figure("recount", name+", "+way.what+", CPU, database included", "s", target{}, stick{}, used.Seconds(), 0)
		if way.most == snapshotTarget {
			r.bench.figure("recount", name+", what is saved", "MB", target{}, stick{}, saved, 0)
		}
	}
	return nil
}

// saved is how much the judges saved, once that is done, and a little where it is
// nothing.
func (r *room) saved(ctx context.Context, i *installation.Installation) (float64, error) {
	var bytes int64
	err := i.DB.QueryRow(ctx, "SELECT coalesce(sum(length(bytes)), 0) FROM log_memory", nil, &bytes)
	return float64(bytes+1) / 1e6, err
}
