package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"azekura/access"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/register/field"

	"github.com/google/uuid"
)

// door is what reads by so many callers must reach.
type door struct {
	callers int
	least   map[string]float64 // reads a second
	pgbench float64            // times pgbench -N, at clients
	clients int
}

func (d door) String() string { return count(d.callers, "caller") }

// count is so many of a thing.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

var doors = []door{
	{callers: 1, least: map[string]float64{sqlite: 1_800, postgresql: 1_300}, pgbench: 1, clients: 1},
	{callers: 64, least: map[string]float64{sqlite: 12_000, postgresql: 15_000}, pgbench: 2.5, clients: 64},
	{callers: 256, least: map[string]float64{sqlite: 16_000, postgresql: 25_000}, pgbench: 4, clients: 64},
}

const (
	mostCallers = 256
	cpuTarget   = 0.12 // ms a read, where reads share commits
	wireShare   = 0.6  // of the gate's rate that whole requests must reach
)

var (
	readFields = field.SetOf(field.Name, field.Birth, field.Address)
	readWhy    = gate.Why{Purpose: "enquiry", Case: "C-1"}
)

// readers are who reads: a session for each caller, and everybody's ids.
type readers struct {
	room   *room
	pc     tls.Certificate // the device's at which all sit
	tokens []string
	ids    []uuid.UUID
	line   int // bytes of an event's line
	// sticks are the yardsticks of this round, in turn with the reads.
	sticks map[int]float64
	rates  map[int]float64 // of the gate, by callers
}

// doors measures reads in this process and, if wire, whole requests to a server.
func (b *bench) doors(ctx context.Context, wire bool) error {
	defer installation.TradeMemoryForTime()() // as a server does
	for _, engine := range b.engines {
		r, err := b.furnished(ctx, engine)
		if err != nil {
			return err
		}
		who := &readers{room: r}
		if err := who.prepare(ctx); err != nil {
			return err
		}
		err = b.rounds(ctx, "reads on "+engineNames[engine], b.runs, func() error { return who.round(ctx, wire) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (who *readers) round(ctx context.Context, wire bool) error {
	if err := who.measureSticks(ctx); err != nil {
		return err
	}
	if err := who.inProcess(ctx); err != nil || !wire {
		return err
	}
	return who.overHTTPS(ctx)
}

// prepare opens the sessions. Their tokens outlive this process's hold of the
// installation, which a server must have for itself.
func (who *readers) prepare(ctx context.Context) error {
	i, err := who.room.open(ctx)
	if err != nil {
		return err
	}
	if _, err := i.Access.AddStaff(ctx, "s-1", "caseworker", "o-1"); err != nil && !errors.Is(err, access.ErrExists) {
		return errors.Join(err, i.Close())
	}
	if _, err := i.Access.AddDevice(ctx, "d-1", "o-1"); err != nil && !errors.Is(err, access.ErrExists) {
		return errors.Join(err, i.Close())
	}
	if who.pc, err = i.EnrolDevice(ctx, "d-1"); err != nil {
		return errors.Join(err, i.Close())
	}
	for range mostCallers {
		_, token, err := i.Access.OpenSession(ctx, "s-1", "d-1", access.MaxSession)
		if err != nil {
			return errors.Join(err, i.Close())
		}
		who.tokens = append(who.tokens, token)
	}
	err = i.Register.EachID(ctx, func(more []uuid.UUID, _ []int64) error {
		who.ids = append(who.ids, more...)
		return nil
	})
	if err == nil {
		who.line, err = who.lineLength(ctx, i)
	}
	return errors.Join(err, i.Close())
}

// lineLength reads one participant and looks how long the event is.
func (who *readers) lineLength(ctx context.Context, i *installation.Installation) (length int, err error) {
	s, err := i.Access.AtSocket(who.tokens[0])
	if err != nil {
		return 0, err
	}
	a, err := i.Gate.Read(ctx, s, gate.ReadRequest{Who: gate.Who{Participant: who.ids[0]}, Why: readWhy, Fields: readFields})
	if err != nil {
		return 0, err
	}
	var bytes int64
	err = i.DB.QueryRow(ctx, "SELECT length(line) FROM log_event WHERE log_id = $1 AND idx = $2", []any{i.Log.ID(), a.Event}, &bytes)
	return int(bytes), err
}

// id is whom caller c reads as its nth: everybody, far apart.
func (who *readers) id(c, n int) uuid.UUID {
	return who.ids[uint(c*1_000_003+n*7919)%uint(len(who.ids))]
}

// measureSticks takes this round's yardsticks: pgbench on the same server, or
// the same events appended to a bare file.
func (who *readers) measureSticks(ctx context.Context) error {
	who.sticks = map[int]float64{}
	b := who.room.bench
	for _, d := range doors {
		perSecond, err := b.appends(who.line, d.callers)
		if err != nil {
			return err
		}
		who.sticks[d.callers] = perSecond
		b.figure(yardsticks, fmt.Sprintf("append and fsync of events of %d bytes, %d a sync, beside %s", who.line, d.callers, engineNames[who.room.engine]),
			"events/s", target{}, stick{}, perSecond, 0)
	}
	if who.room.engine == sqlite {
		return nil
	}
	for _, clients := range []int{1, 64} {
		for _, script := range []struct{ name, builtin, protocol string }{
			{"pgbench -S", "-S", "simple"}, {"pgbench -N", "-N", "simple"}, {"pgbench -N -M prepared", "-N", "prepared"}} {
			tps, err := b.server.transactions(ctx, script.builtin, clients, "-M", script.protocol)
			if err != nil {
				return err
			}
			b.figure(yardsticks, script.name+", "+count(clients, "client"), "tps", target{}, stick{}, tps, 0)
			if script.name != "pgbench -N" {
				continue
			}
			for _, d := range doors {
				if d.clients == clients {
					who.sticks[d.callers] = tps
				}
			}
		}
	}
	return nil
}

func (who *readers) stick(d door) stick {
	if who.room.engine == postgresql {
		return stick{"pgbench -N, " + count(d.clients, "client"), target{Least: d.pgbench}}
	}
	return stick{name: "append and fsync, " + count(d.callers, "event") + " a sync"}
}

// inProcess reads through the gate, all callers in this process.
func (who *readers) inProcess(ctx context.Context) error {
	i, err := who.room.open(ctx)
	if err != nil {
		return err
	}
	who.rates = map[int]float64{}
	for _, d := range doors {
		if err = who.readAll(ctx, i, d); err != nil {
			break
		}
	}
	return errors.Join(err, i.Close())
}

func (who *readers) readAll(ctx context.Context, i *installation.Installation, d door) error {
	sessions := make([]access.Session, d.callers)
	for c := range sessions {
		var err error
		if sessions[c], err = i.Access.AtSocket(who.tokens[c]); err != nil {
			return err
		}
	}
	meter := func() time.Duration { return selfCPU() + who.room.databaseCPU() }
	got, err := drive(ctx, d.callers, who.room.bench.scale.Lasts, meter, func(c, n int) error {
		_, err := i.Gate.Read(ctx, sessions[c], gate.ReadRequest{Who: gate.Who{Participant: who.id(c, n)}, Why: readWhy, Fields: readFields})
		return err
	})
	if err != nil {
		return err
	}
	who.rates[d.callers] = got.rate
	who.add("gate", "reads", d, got, target{Least: d.least[who.room.engine]}, who.stick(d), who.sticks[d.callers])
	return nil
}

// add adds a run's figures: rate, latency, CPU.
func (who *readers) add(stage, what string, d door, got load, t target, s stick, beside float64) {
	b := who.room.bench
	name := fmt.Sprintf("%s, %s", engineNames[who.room.engine], d)
	b.figure(stage, name, what+"/s", t, s, got.rate, beside)
	b.figure(stage, name+", latency p50", "ms", target{}, stick{}, got.p50.Seconds()*1000, 0)
	b.figure(stage, name+", latency p99", "ms", target{}, stick{}, got.p99.Seconds()*1000, 0)
	cpu := target{}
	if d.callers > 1 && stage == "gate" {
		cpu.Most = cpuTarget
	}
	b.figure(stage, name+", CPU each, database included", "ms", cpu, stick{}, got.cpu.Seconds()*1000, 0)
}
