package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	"azekura/access"
	"azekura/api"
	"azekura/drill/schedule"
	"azekura/drill/workday"
	"azekura/internal/clock"
	"azekura/internal/installation"
	"azekura/population"
	"azekura/register/field"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"
)

// days are a drill's working days: honest staff at their desks, an infection that
// spreads, and an attacker who holds the PCs that it took. All sleep and wake on one
// clock, by which the server goes too.
type days struct {
	*drill
	model      workday.Model
	first      time.Time // midnight, in Japan, of the first day
	infections []workday.Infection
	callers    map[int64]*population.Person
	waiting    []int64        // places of callers that are gaps: the next person calls
	elsewhere  map[int64]bool // of whom the attacker knows from another leak
	known      []population.Person

	clock    *clock.Driven
	sched    *schedule.Schedule
	operator *api.Client
	http     *http.Client
	loot     *loot
	beds     *bedroom
	gather   gather

	contained []access.Contained
	ways      []Attempt // that the drill walks itself

	officers []member      // the administrator, and the security officer who vouches
	deciders []note.Signer // the two security officers who release
	lines    []line        // of each office
	spares   sync.Mutex
	spared   int // PCs that were given out
	policies *Policies
}

type infection = workday.Infection

// plan draws the days, before anybody is there.
func (d *drill) plan(at time.Time) (*days, error) {
	p := &days{drill: d, model: workday.Default(), first: workday.Monday(at), infections: workday.Spread(d.Seed, d.Staff, d.Infected, d.Days),
		callers: map[int64]*population.Person{}, elsewhere: map[int64]bool{}, loot: newLoot(d.scene), lines: make([]line, d.Staff/anOffice+1)}
	p.gather = gather{sum: Honest{Hindered: map[string]int64{}, byPolicy: map[string]int64{}}, own: make([]map[uuid.UUID]field.Set, d.Staff)}
	for no := range d.Staff {
		for day := range d.Days {
			for _, c := range p.model.Day(d.Seed, no, day, d.People) {
				p.callers[c.Place] = nil
			}
		}
	}
	r := rand.New(rand.NewPCG(d.Seed, 1<<59))
	for range min(int64(d.Known), d.People/2) {
		p.elsewhere[r.Int64N(d.People)] = true
	}
	var err error
	p.clock, err = installation.CreateClock(d.dir, p.first)
	return p, err
}

// offer shows the next person of the register.
func (d *days) offer(place int64, p *population.Person) {
	_, calls := d.callers[place]
	if population.Gap(d.Seed, place, d.Canaries) { // nobody has that place: the next one calls
		if calls {
			d.waiting = append(d.waiting, place)
		}
		return
	}
	if !calls && !d.elsewhere[place] && d.waiting == nil {
		return
	}
	one := *p
	one.Former = nil
	if calls {
		d.callers[place] = &one
	}
	for _, gap := range d.waiting {
		d.callers[gap] = &one
	}
	d.waiting = nil
	if d.elsewhere[place] {
		d.known = append(d.known, one)
	}
}

// ends is when the last day is over.
func (d *days) ends() time.Time { return d.midnight(d.Days - 1).Add(18 * time.Hour) }

// run lets the days pass. Whatever happens, the attacker has ended when it returns.
func (d *days) run(ctx context.Context) (t theft, err error) {
	d.begin(Stealing)
	if d.operator, err = api.Dial(d.dir); err != nil {
		return t, fmt.Errorf("reach the operator's socket: %w", err)
	}
	if d.http, err = trusting(api.CertFile(d.dir)); err != nil {
		return t, err
	}
	defer d.http.CloseIdleConnections()
	if err := writeKnown(knownFile(d.scene), d.known); err != nil {
		return t, fmt.Errorf("write down who was found elsewhere: %w", err)
	}
	if err := d.enrolKeys(ctx); err != nil { // before the days: the clock stands
		return t, err
	}
	d.sched = schedule.New(d.clock)
	host := d.sched.Join() // holds the clock until all are there
	ctx, cancel := context.WithCancelCause(ctx)
	var all sync.WaitGroup
	do := func(f func(context.Context) error) {
		all.Go(func() {
			if err := f(ctx); err != nil {
				cancel(err)
			}
		})
	}
	for no := range d.Staff {
		w := d.desk(no)
		do(func(ctx context.Context) error {
			defer d.gather.take(w)
			return w.work(ctx)
		})
	}
	do(d.spread(d.sched.Join()))
	t, err = d.haunted(ctx, host)
	if err == nil {
		all.Wait() // who is late finishes
	}
	cancel(err)
	d.sched.Close()
	all.Wait()
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if err != nil {
		return t, err
	}
	d.gather.close(d.lines)
	way, err := d.copied(context.WithoutCancel(ctx))
	if err != nil {
		return t, err
	}
	d.ways = append(d.ways, way)
	d.end(0)
	return t, nil
}

// haunted lets the attacker in with the first infection, and waits for the end.
func (d *days) haunted(ctx context.Context, host *schedule.Actor) (t theft, err error) {
	defer host.Leave()
	one := d.infections[0]
	if err := host.Until(ctx, d.midnight(one.Day).Add(one.At+time.Second)); err != nil {
		return t, context.Cause(ctx)
	}
	if d.beds, err = newBedroom(d.sched); err != nil {
		return t, err
	}
	defer d.beds.close()
	attacker, err := d.attack(d.loot.tokens[d.team[one.Staff].device], "AZEKURA_DRILL_PCS="+d.loot.path, "AZEKURA_DRILL_CLOCK="+d.beds.url(),
		"AZEKURA_DRILL_KNOWN="+knownFile(d.scene), "AZEKURA_DRILL_UNTIL="+d.ends().Format(time.RFC3339))
	if err != nil {
		return t, err
	}
	over := make(chan error, 1)
	began := d.sched.Now()
	go func() { over <- host.Until(ctx, d.ends()) }()
	err = d.look(ctx, attacker, over, &t)
	t.lasted = d.sched.Now().Sub(began)
	return t, errors.Join(err, attacker.stop(thiefGrace))
}

// look watches the days and the attacker.
func (d *days) look(ctx context.Context, attacker *process, over <-chan error, t *theft) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	done := attacker.done
	for {
		select {
		case err := <-over:
			if t.stoppedBy == "" && done != nil {
				t.stoppedBy = byEnd
			}
			if err != nil {
				return context.Cause(ctx)
			}
			return nil
		case <-d.server.done:
			return d.server.ended()
		case <-done:
			done = nil
			d.beds.close()
			if info, err := os.Stat(tallyFile(d.scene)); err != nil || info.Size() == 0 {
				return attacker.ended() // one that wrote nothing down didn't play
			}
		case <-tick.C:
			d.Tell(Progress{Stage: Stealing, Done: int64(d.sched.Now().Sub(d.first)), Total: int64(d.ends().Sub(d.first)), Took: time.Since(d.began)})
			if done != nil && d.beds.held() > d.Theft {
				done = nil
				t.stoppedBy = byTime
				if err := attacker.stop(thiefGrace); err != nil {
					return err
				}
				d.beds.close()
			}
		}
	}
}

// byTime stops an attacker that kept the drill in real time for longer than it may.
const byTime = "the drill: its real time was over"

// furnished opens the books on what only an installation that is open can tell.
func (d *days) furnished(ctx context.Context, inst *installation.Installation) error {
	for place, p := range d.callers {
		if p == nil && len(d.known) == 0 {
			return fmt.Errorf("caller %d isn't in the register", place)
		}
		if p == nil { // of the last places, where nobody comes after
			d.callers[place] = &d.known[0]
		}
	}
	// From here on every opening takes a case: the drill goes by the strict rules.
	return inst.Cases.Require(ctx)
}

// devices are those that were infected.
func (d *days) devices() (list []string) {
	for _, one := range d.infections {
		list = append(list, d.team[one.Staff].device)
	}
	return list
}

// ownWork is what the infected PCs' users were told in honest cases.
func (d *days) ownWork(t *truth) []field.Set {
	own := make([]field.Set, len(t.people))
	for _, one := range d.infections {
		for id, fields := range d.gather.own[one.Staff] {
			if i, ok := t.byID[id]; ok {
				own[i] |= fields
			}
		}
	}
	return own
}
