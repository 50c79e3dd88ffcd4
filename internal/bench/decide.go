package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"azekura/access"
	"azekura/access/budget"
	"azekura/access/policy"
	"azekura/auditlog"
	"azekura/cases"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/population"
	"azekura/register/field"

	"github.com/google/uuid"
)

// mostAdded is what cases, policies and budgets together may add to a read, in percent.
const mostAdded = 20

// laps are how often the ways of a run are gone there and back.
const laps = 5

// decisions measure what deciding adds to reads: the gate's reads without a case and
// without policies, with a case, and with the strict policies too, in turn; and what the
// budgets' judge takes of each.
func decisions(ctx context.Context, b *bench) error {
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
		if err := b.rounds(ctx, "decisions on "+engineNames[engine], b.runs, func() error { return who.decided(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// way is one way to have reads decided.
type way struct {
	name  string
	gate  *gate.Gate
	cased bool
	sum   load // of its runs
}

// callersOwn is a caller with a case of its own, about one participant.
type callersOwn struct {
	session access.Session
	who     uuid.UUID
	code    string
}

func (who *readers) decided(ctx context.Context) (err error) {
	i, err := who.room.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	own, err := who.openCases(ctx, i, 64)
	if err != nil {
		return err
	}
	strict, err := strictAnyTime()
	if err != nil {
		return err
	}
	judge, err := judging(who.room.bench.scale.Verified)
	if err != nil {
		return err
	}
	for _, callers := range []int{1, 64} {
		ways := []*way{{name: "no case, no policies"}, {name: "a case", cased: true}, {name: "a case and the strict policies", cased: true}}
		for n, w := range ways {
			rules := new(policy.InForce)
			if n == 2 {
				rules = strict
			}
			w.gate = gate.New(i.DB, i.Ring, i.Log, i.Access, i.Cases, rules, i.Register)
		}
		// There and back, again and again, so that what drifts and what the databases do now
		// and then meets all alike.
		for lap := 0; lap < laps && err == nil; lap++ {
			for _, n := range []int{0, 1, 2, 2, 1, 0} {
				if err = who.readBy(ctx, ways[n], own[:callers]); err != nil {
					break
				}
			}
		}
		for _, w := range ways {
			w.gate.Close()
		}
		if err != nil {
			return err
		}
		who.addDecided(count(callers, "caller"), ways, judge)
	}
	return nil
}

// readBy adds a run of reads, each caller of the participant of its own case, though
// the case may stay unnamed.
func (who *readers) readBy(ctx context.Context, w *way, own []callersOwn) error {
	meter := func() time.Duration { return selfCPU() + who.room.databaseCPU() }
	got, err := drive(ctx, len(own), who.room.bench.scale.Lasts/laps, meter, func(c, _ int) error {
		why := readWhy
		if w.cased {
			why.Case = own[c].code
		}
		_, err := w.gate.Read(ctx, own[c].session, gate.ReadRequest{Who: gate.Who{Participant: own[c].who}, Why: why, Fields: readFields})
		return err
	})
	w.sum.rate += got.rate / (2 * laps)
	w.sum.cpu += got.cpu / (2 * laps)
	return err
}

func (who *readers) addDecided(callers string, ways []*way, judge time.Duration) {
	b, name := who.room.bench, engineNames[who.room.engine]+", "+callers
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	for n, w := range ways {
		s, beside := stick{}, 0.0
		if n > 0 {
			s, beside = stick{name: ways[0].name}, ways[0].sum.rate
		}
		b.figure("decide", name+", "+w.name, "reads/s", target{}, s, w.sum.rate, beside)
		b.figure("decide", name+", "+w.name+", CPU each, database included", "ms", target{}, stick{}, ms(w.sum.cpu), 0)
	}
	bare := ways[0].sum.cpu - judge
	b.figure("decide", name+", budgets of it", "ms", target{}, stick{}, ms(judge), 0)
	share := 0.0
	if bare > 0 { // a tiny run's CPU may round to nothing
		share = float64(ways[2].sum.cpu-bare) / float64(bare) * 100
	}
	b.figure("decide", name+", what cases, policies and budgets add to a read's CPU without them", "%", target{Most: mostAdded}, stick{}, share, 0)
}

// openCases opens for each caller a case about one participant, who has shown a card
// and said their number.
func (who *readers) openCases(ctx context.Context, i *installation.Installation, callers int) ([]callersOwn, error) {
	own := make([]callersOwn, callers)
	made := population.New(seed)
	for c := range own {
		var p population.Person
		made.Next(&p)
		them := gate.Who{Ref: p.Ref}
		s, err := i.Access.AtSocket(who.tokens[c])
		if err != nil {
			return nil, err
		}
		info, err := i.Cases.Open(ctx, cases.By{Session: s}, cases.Visit, 0, nil, "")
		if err != nil {
			return nil, err
		}
		claim := gate.CheckRequest{Who: them, Why: gate.Why{Purpose: readWhy.Purpose, Case: info.Code}, Field: field.Number, Claim: p.Number}
		if yes, err := i.Gate.Check(ctx, s, claim); err != nil || !yes {
			return nil, errors.Join(errors.New("the register doesn't know somebody's own number"), err)
		}
		if _, err := i.Gate.Identify(ctx, s, info.Code, them, "my-number-card", ""); err != nil {
			return nil, err
		}
		a, err := i.Gate.Read(ctx, s, gate.ReadRequest{Who: them, Why: readWhy, Fields: readFields})
		if err != nil {
			return nil, err
		}
		own[c] = callersOwn{s, a.Participant, info.Code}
	}
	return own, nil
}

// strictAnyTime are the strict policies in force, of which the hours, the days off and the touches
// are asked as ever and forbid nothing: a benchmark runs when it is run, and touches no key.
func strictAnyTime() (*policy.InForce, error) {
	text := policy.Strict()
	for old, instead := range map[string]string{"context.minute >= 1320": "context.minute >= 1440", "context.minute < 420": "context.minute < 0", "!context.workday": "context.workday != context.workday",
		"!(context.case_touch && (context.bound || context.kind == \"review\"))": "context.case_touch != (context.case_touch && (context.bound || context.case_touch))", "!context.declared": "context.declared != context.declared"} {
		if bytes.Count(text, []byte(old)) != 1 {
			return nil, fmt.Errorf("the strict policies say %q no more; change this stage with them", old)
		}
		text = bytes.Replace(text, []byte(old), []byte(instead), 1)
	}
	set, err := policy.Load(text)
	if err != nil {
		return nil, err
	}
	detail, err := json.Marshal(map[string]string{"hash": set.Hash(), "text": string(text)})
	if err != nil {
		return nil, err
	}
	f := new(policy.InForce)
	if err := f.Replay(auditlog.Event{Action: auditlog.System, Purpose: policy.Purpose, Outcome: "ok", Detail: detail}); err != nil {
		return nil, err
	}
	if now := f.Now(); now == nil || now.Wrong != "" {
		return nil, errors.New("the strict policies don't come into force")
	}
	return f, nil
}

// judging is what a judge of budgets that has counted so many openings in thirty days
// takes for each more: to decide, to count, and to settle. It runs on the sequencer's
// goroutine, in which nothing waits, so what it takes there is what it takes alone.
func judging(counted int64) (time.Duration, error) {
	book := budget.New()
	limits := budget.LimitsEvent(budget.Unlimited(), "bench", "a benchmark", "")
	book.Note(&limits)
	made := rand.New(rand.NewPCG(seed, 1))
	now := time.Now().AddDate(0, 0, -30).UnixMicro()
	step := 30 * 24 * time.Hour.Microseconds() / counted
	more := max(counted/10, 1000)
	list := make([]auditlog.Event, more)
	var e auditlog.Event
	for range counted {
		honest(made, counted, &e)
		now += step
		e.Time = now
		book.Note(&e)
		book.Settle(true)
	}
	for k := range list {
		honest(made, counted, &list[k])
		now += step
		list[k].Time = now
	}
	before := selfCPU()
	for k := range list {
		if v := book.Judge(list[k : k+1]); v.Refuse != nil {
			return 0, v.Refuse
		}
		book.Note(&list[k])
		book.Settle(true)
	}
	return (selfCPU() - before) / time.Duration(more), nil
}
