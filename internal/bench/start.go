package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"time"

	"azekura/auditlog"
	"azekura/internal/installation"
)

// registers verify a register that was imported, as azekura verify and the daily
// look do: log, versions, members and index, against each other.
func registers(ctx context.Context, b *bench) error {
	for _, engine := range b.engines {
		r, err := b.furnished(ctx, engine)
		if err != nil {
			return err
		}
		err = b.rounds(ctx, "verifying the register on "+engineNames[engine], b.importRuns(), func() error { return r.verifyAll(ctx) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *room) verifyAll(ctx context.Context) (err error) {
	i, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	bare, err := readAll(ctx, i.DB, "SELECT packed FROM register_version ORDER BY participant_id, version")
	if err != nil {
		return err
	}
	before, size := selfCPU()+r.databaseCPU(), i.Log.Committed()
	began := time.Now()
	log, _, err := auditlog.VerifyAll(ctx, i.DB, i.Log.ID(), i.Signer, auditlog.VerifyOptions{OpenMembers: i.Gate.OpenMembers})
	if err == nil && !log.OK {
		err = errors.New(log.Problem)
	}
	if err != nil {
		return err
	}
	found, err := i.Gate.VerifyRegister(ctx, nil)
	if err == nil && !found.OK {
		err = fmt.Errorf("the register isn't what was imported: %v", found.Problems[:1])
	}
	if err != nil {
		return err
	}
	took, cpu, n := time.Since(began), selfCPU()+r.databaseCPU()-before, float64(found.Participants)
	name := engineNames[r.engine] + fmt.Sprintf(", %s people", number(n))
	r.bench.figure("register", name+": log, versions, members, index", "people/s", target{}, stick{name: "a bare read of the versions' rows"}, n/took.Seconds(), bare)
	r.bench.figure("register", name+", CPU a participant, database included", "ms", target{}, stick{}, cpu.Seconds()*1000/n, 0)
	r.bench.figure("register", name+", events that it adds to the log", "events", target{}, stick{}, float64(i.Log.Committed()-size), 0)
	return nil
}

// starts open an installation whose log has many events of authority, all of
// which a start reads.
func starts(ctx context.Context, b *bench) error {
	for _, engine := range b.engines {
		r, err := b.newRoom(ctx, engine)
		if err != nil {
			return err
		}
		b.say("recording %d grants on %s", b.scale.Grants, engineNames[engine])
		if err := r.grants(ctx, b.scale.Grants); err != nil {
			return err
		}
		if err := b.rounds(ctx, "starting on "+engineNames[engine], b.runs, func() error { return r.start(ctx) }); err != nil {
			return err
		}
		if err := r.remove(); err != nil {
			return err
		}
	}
	return nil
}

// grants records sessions that were opened and are over, in lines as access
// writes them.
func (r *room) grants(ctx context.Context, n int64) (err error) {
	i, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	const batch = 64 // what an entry holds
	for at := int64(0); at < n; at += batch {
		var e auditlog.Entry
		for k := at; k < min(at+batch, n); k++ {
			detail, err := json.Marshal(map[string]any{"grants": "session", "expires": time.Now().AddDate(-1, 0, 0).UTC(), "token": make([]byte, 32)})
			if err != nil {
				return err
			}
			e.Events = append(e.Events, auditlog.Event{Action: auditlog.Grant, Outcome: "ok", Session: auditlog.Session(k + 1), Staff: fmt.Sprint("s-", k%500), Role: "caseworker", Device: fmt.Sprint("d-", k%500), Detail: detail})
		}
		if _, err := i.Log.Record(ctx, e); err != nil {
			return err
		}
	}
	if r.engine == postgresql {
		_, err = i.DB.Exec(ctx, "VACUUM ANALYZE log_event")
	}
	return err
}

func (r *room) start(ctx context.Context) error {
	began := time.Now()
	i, err := r.open(ctx)
	if err != nil {
		return err
	}
	took := time.Since(began)
	rate, err := r.authority(ctx, i)
	if err := errors.Join(err, i.Close()); err != nil {
		return err
	}
	name := fmt.Sprintf("%s, %s events of authority", engineNames[r.engine], number(float64(r.bench.scale.Grants)))
	r.bench.figure("start", name+", from the folder to the open doors", "s", target{}, stick{name: "a bare read of the same lines"}, took.Seconds(), rate)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	r.bench.figure("start", name+", the heap's peak so far", "MB", target{}, stick{}, float64(m.HeapSys)/1e6, 0)
	return nil
}

// authority is how long a bare read of the lines takes.
func (r *room) authority(ctx context.Context, i *installation.Installation) (float64, error) {
	began := time.Now()
	_, err := readAll(ctx, i.DB, "SELECT line FROM log_event WHERE log_id = $1 AND action IN (9, 10, 11, 12, 14) ORDER BY idx", i.Log.ID())
	return time.Since(began).Seconds(), err
}
