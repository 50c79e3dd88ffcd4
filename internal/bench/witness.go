package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"azekura/access"
	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/witness"
	"azekura/witness/client"
)

const (
	// overheadTarget is what cosigning may leave of the reads, MACs and tiles
	// being in both.
	overheadTarget = 0.85
	// away is what a distant witness's answers take longer, there and back.
	away = 20 * time.Millisecond
	// Lone events stand so far apart that each is past the client's pace.
	apart = 60 * time.Millisecond
)

// cosigner is a witness in a process of its own.
type cosigner struct {
	cmd     *exec.Cmd
	keys    []string
	address string
}

// witnesses measures reads with and without a witness that mirrors, in turn, and
// how far behind the cosigning is.
func witnesses(ctx context.Context, b *bench) error {
	for _, engine := range b.engines {
		r, err := b.furnished(ctx, engine)
		if err != nil {
			return err
		}
		who := &readers{room: r}
		if err := who.prepare(ctx); err != nil {
			return err
		}
		w, err := r.cosigner(ctx)
		if err != nil {
			return err
		}
		err = b.rounds(ctx, "cosigned reads on "+engineNames[engine], b.runs, func() error { return who.cosigned(ctx, w) })
		if err == nil {
			err = b.rounds(ctx, "lag of cosigning on "+engineNames[engine], b.runs, func() error { return who.lagOf(ctx, w) })
		}
		if err = errors.Join(err, stop(w.cmd), r.trust("")); err != nil {
			return err
		}
	}
	return nil
}

// cosigner starts azekura witness serve for a room's log.
func (r *room) cosigner(ctx context.Context) (*cosigner, error) {
	dir := r.dir + ".witness"
	if err := witness.Create(dir, "witness.invalid/bench", false); err != nil {
		return nil, err
	}
	vkey, err := os.ReadFile(filepath.Join(r.dir, "signer", "vkey"))
	if err != nil {
		return nil, err
	}
	config, err := installation.ReadConfig(r.dir)
	if err != nil {
		return nil, err
	}
	if _, err := witness.AddLog(dir, witness.LogSettings{Origin: config.Origin, Keys: []string{strings.TrimSpace(string(vkey))}, Mirror: true}); err != nil {
		return nil, err
	}
	cmd, err := r.azekura(ctx, "witness", "serve", "--dir", dir, "--listen", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	_, at, ok := strings.Cut(strings.TrimSpace(line), "http://")
	if !ok {
		return nil, errors.Join(errors.New("the witness doesn't start"), err, stop(cmd))
	}
	keys, err := witness.ReadKeys(dir)
	if err != nil {
		return nil, errors.Join(err, stop(cmd))
	}
	return &cosigner{cmd, keys, at}, nil
}

// trust has a room's log cosigned at an address, or by nobody.
func (r *room) trust(address string, keys ...string) error {
	_, err := installation.ChangeWitnesses(r.dir, func(client.Settings) (client.Settings, error) {
		s := client.Defaults()
		if address != "" {
			s = s.Trust(client.Witness{URL: "http://" + address, Keys: keys, Mirror: true})
		}
		return s, nil
	})
	return err
}

// cosigned reads with and without the witness.
func (who *readers) cosigned(ctx context.Context, w *cosigner) error {
	b, engine := who.room.bench, engineNames[who.room.engine]
	for _, callers := range []int{1, 64} {
		if err := who.room.trust(""); err != nil {
			return err
		}
		without, _, err := who.loaded(ctx, callers)
		if err != nil {
			return err
		}
		if err := who.room.trust(w.address, w.keys...); err != nil {
			return err
		}
		with, lag, err := who.loaded(ctx, callers)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%s, %s, with a witness and mirror on this machine", engine, count(callers, "caller"))
		b.figure("witness", name, "reads/s", target{}, stick{"the same reads without", target{Least: overheadTarget}}, with, without)
		b.quantiles(name+": lag of the cosigned head", lag)
	}
	return nil
}

// loaded is how many reads a second so many callers make, and, where there is a
// witness, how long heads waited meanwhile until they were cosigned.
func (who *readers) loaded(ctx context.Context, callers int) (rate float64, lag []time.Duration, err error) {
	i, err := who.room.open(ctx)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	sessions := make([]access.Session, callers)
	for c := range sessions {
		if sessions[c], err = i.Access.AtSocket(who.tokens[c]); err != nil {
			return 0, nil, err
		}
	}
	over, stop := context.WithCancel(ctx)
	sampled := make(chan []time.Duration, 1)
	go func() { sampled <- sample(over, i) }()
	got, err := drive(ctx, callers, who.room.bench.scale.Lasts, selfCPU, func(c, n int) error {
		_, err := i.Gate.Read(ctx, sessions[c], gate.ReadRequest{Who: gate.Who{Participant: who.id(c, n)}, Why: readWhy, Fields: readFields})
		return err
	})
	stop()
	return got.rate, <-sampled, err
}

// sample takes the head every few milliseconds, if there is a new one, and waits
// for its cosignature beside the others.
func sample(ctx context.Context, i *installation.Installation) (list []time.Duration) {
	if i.Witnesses == nil {
		return nil
	}
	var mu sync.Mutex
	var waiting sync.WaitGroup
	defer waiting.Wait()
	last := int64(0)
	for tick := time.Tick(5 * time.Millisecond); ; {
		select {
		case <-tick:
		case <-ctx.Done():
			waiting.Wait()
			return list
		}
		if size, _ := i.Signer.Head(); size != last {
			last = size
			waiting.Go(func() {
				if took, err := waited(ctx, i); err == nil {
					mu.Lock()
					defer mu.Unlock()
					list = append(list, took)
				}
			})
		}
	}
}

// waited is how long the head that is signed now waits until it is cosigned.
func waited(ctx context.Context, i *installation.Installation) (time.Duration, error) {
	size, _ := i.Signer.Head()
	began := time.Now()
	err := i.Witnesses.AwaitSize(ctx, size)
	return time.Since(began), err
}

// lagOf records events one by one, and waits for the cosignature of each: near,
// and behind a slow network.
func (who *readers) lagOf(ctx context.Context, w *cosigner) error {
	run, stop := context.WithCancel(ctx)
	defer stop()
	far, err := relay(run, w.address, away/2)
	if err != nil {
		return err
	}
	for _, place := range []struct{ name, address string }{{"on loopback", w.address}, {"20 ms away", far}} {
		if err := who.room.trust(place.address, w.keys...); err != nil {
			return err
		}
		list, err := who.alone(ctx)
		if err != nil {
			return err
		}
		who.room.bench.quantiles(fmt.Sprintf("%s, events alone, the witness %s: lag of the cosigned head", engineNames[who.room.engine], place.name), list)
	}
	return nil
}

func (who *readers) alone(ctx context.Context) (list []time.Duration, err error) {
	i, err := who.room.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	if _, err := waited(ctx, i); err != nil {
		return nil, err
	}
	for range max(5, who.room.bench.scale.Lasts/(20*time.Millisecond)) {
		if _, err := i.Log.RecordOne(ctx, auditlog.Event{Action: auditlog.Search, Outcome: "none", Purpose: "enquiry", Case: "C-1", Staff: "s-1"}); err != nil {
			return nil, err
		}
		took, err := waited(ctx, i)
		if err != nil {
			return nil, err
		}
		list = append(list, took)
		time.Sleep(apart)
	}
	return list, nil
}

// quantiles adds a run's p50 and p99, if there is anything.
func (b *bench) quantiles(name string, list []time.Duration) {
	if len(list) == 0 {
		return
	}
	slices.Sort(list)
	for _, q := range []int{50, 99} {
		b.figure("witness", fmt.Sprintf("%s, p%d", name, q), "ms", target{}, stick{}, list[len(list)*q/100].Seconds()*1000, 0)
	}
}
