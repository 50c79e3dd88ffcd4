// Package runs holds June 2015 many times over in memory: the same office and the same
// thief as the drill's, as events, before the real judges of the audit log, without a
// database, HTTP or cryptography.
//
// It promises that what refuses and contains is the judges' own code, under the
// drill's own model of days, so that a quantile over a thousand seeds says what a
// thousand drills would. Who is asked for a touch waits with the thief until the user has given
// it; sessions idle out; who is contained is noticed, served by colleagues, and released
// onto a clean PC, as in the drill. What the cases refuse is no judge's and is taken as
// given, and so is what the policies do: a read of whom a case isn't about, or of fields that it
// isn't for, and whatever is asked in a case without a touch, is a denial. It doesn't promise the attacker's
// cleverness: it is the drill's own thief.
package runs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"azekura/auditlog"
	"azekura/drill/workday"
	"azekura/population"
	"azekura/register/field"
)

// Setup is what a run is held with.
type Setup struct {
	Model    workday.Model
	People   int64
	Days     int
	Staff    int
	Infected int
	Known    int
	Between  time.Duration // two steps of the quiet ways on one PC
	Fast     float64       // searches a second of the fast way; 0 leaves the fast ways out
	Canaries float64       // planted for each person; IsCanary tells their ids
	Spares   int           // PCs that nobody works at, onto which contained staff are released
	Bound    bool          // cases are bound to a search by the strict policies: no other is made in them
	Rides    bool          // the thief only uses its PCs' users' own cases: it guesses and makes up nothing
	// Judges makes those of one run.
	Judges func() []auditlog.Judge
}

// Outcome is how one run ended.
type Outcome struct {
	Seed     uint64 `json:"seed"`
	Stolen   int64  `json:"stolen"` // participants, beyond what infected PCs' users were shown
	Openings int64  `json:"openings"`
	// As the drill's honest work counts them.
	Refused    int64         `json:"openings_refused"`
	AtClean    int64         `json:"openings_refused_at_clean_pcs"`
	AtInfected int64         `json:"openings_refused_at_infected_pcs"`
	NeverDone  int64         `json:"openings_never_done"`
	Contained  int           `json:"contained"` // of the infected
	Wronged    int           `json:"honest_staff_contained"`
	Slowest    time.Duration `json:"slowest"` // from a quiet way's first act at a PC to its containment
}

// act is what somebody does at one moment: an entry of the log for each step.
type act struct {
	at    int64 // microseconds
	staff int
	kind  kind
	place int64
	how   workday.Caller // of an honest caller: what their matter is like
}

type kind uint8

const (
	enquiry kind = iota
	checkOnly
	form
	slip      // a mistyped search before
	madeUp    // a search in a case that nobody touched a key for
	ride      // a look at the user's own cases
	call      // a made-up call, until the thief has learnt that they come to nothing
	insist    // one all the same, where a PC guesses on
	wrongRead // of whom a case isn't about
)

// run is one that is under way.
type run struct {
	Setup
	judges   []auditlog.Judge
	acts     []act
	infected map[int]int64 // since when
	first    map[int]int64 // theft
	caught   map[int]int64 // when each was first contained
	desks    []desk
	offices  map[string]int64 // that are asked for touches, since when
	fast     [2]int           // the PC of each fast way, from its first act on; -1 before
	list     []workday.Infection
	turn     int // of colleagues
	own      map[int64]bool
	masks    map[int64]bool
	whole    map[int64]bool
	known    []int64 // found elsewhere, and not yet tried
	learnt   int     // made-up calls that were refused
	index    int64
	out      Outcome
}

// Run holds one.
func Run(s Setup, seed uint64, first time.Time) Outcome {
	r := &run{Setup: s, judges: s.Judges(), infected: map[int]int64{}, first: map[int]int64{}, caught: map[int]int64{},
		desks: make([]desk, s.Staff), offices: map[string]int64{}, fast: [2]int{-1, -1}, own: map[int64]bool{},
		masks: map[int64]bool{}, whole: map[int64]bool{}, out: Outcome{Seed: seed}}
	r.enrol(first)
	r.honest(seed, first)
	r.thief(seed, first)
	slices.SortStableFunc(r.acts, func(a, b act) int { return cmp.Compare(a.at, b.at) })
	for i := range r.acts {
		r.do(&r.acts[i])
	}
	for place := range r.masks {
		if !r.own[place] && !r.whole[place] {
			r.out.Stolen++
		}
	}
	r.out.Stolen += int64(len(r.whole))
	for staff, at := range r.caught {
		if since, infected := r.infected[staff]; !infected || at < since {
			r.out.Wronged++
			continue
		}
		r.out.Contained++
		if _, acted := r.first[staff]; !acted || slices.Contains(r.fast[:], staff) {
			continue // contained for what its user did, or for what is fast, where it had been only quiet
		}
		r.out.Slowest = max(r.out.Slowest, time.Duration(at-r.first[staff])*time.Microsecond)
	}
	return r.out
}

// enrol tells the judges who there is.
func (r *run) enrol(first time.Time) {
	for i := range r.Staff {
		detail, _ := json.Marshal(map[string]string{"grants": "staff", "staff": staffCode(i), "office": officeCode(i), "role": "caseworker"})
		r.record(first.UnixMicro(), []auditlog.Event{{Action: auditlog.Grant, Outcome: "ok", Detail: detail}})
	}
}

func staffCode(i int) string  { return fmt.Sprintf("s-%03d", i+1) }
func deviceCode(i int) string { return fmt.Sprintf("pc-%03d", i+1) }
func officeCode(i int) string { return fmt.Sprintf("o-%02d", i/30+1) }

func (r *run) honest(seed uint64, first time.Time) {
	for no := range r.Staff {
		for day := range r.Days {
			midnight := workday.Midnight(first, day).UnixMicro()
			for _, c := range r.Model.Day(seed, no, day, r.People) {
				a := act{midnight + c.At.Microseconds(), no, kind(c.What), c.Place, c}
				if c.Mistyped {
					r.acts = append(r.acts, act{at: a.at, staff: no, kind: slip, place: c.Place})
				}
				r.acts = append(r.acts, a)
			}
		}
	}
}

// thief does what the drill's own thief does.
func (r *run) thief(seed uint64, first time.Time) {
	random := rand.New(rand.NewPCG(seed, 7))
	infections := workday.Spread(seed, r.Staff, r.Infected, r.Days)
	for n, one := range infections {
		since := workday.Midnight(first, one.Day).Add(one.At)
		r.infected[one.Staff] = since.UnixMicro()
		// A third of the PCs guesses, a third is left for the fast ways, as the drill's thief
		// has it.
		does := [][]kind{{ride, madeUp, insist}, {ride, call}, {}}[n%3]
		if r.Rides {
			does = []kind{ride}
		}
		for day := one.Day; day < r.Days; day++ {
			midnight := workday.Midnight(first, day)
			for at := midnight.Add(9 * time.Hour); at.Before(midnight.Add(17 * time.Hour)); at = at.Add(r.Between + time.Duration(random.Int64N(int64(r.Between/3+1)))) {
				for n, what := range does {
					if at.After(since) {
						r.acts = append(r.acts, act{at: at.UnixMicro() + int64(n), staff: one.Staff, kind: what})
					}
				}
			}
		}
	}
	r.known = elsewhere(seed, r.People, r.Known, r.Canaries)
	r.list = infections
	if r.Fast <= 0 {
		return
	}
	loud := workday.Midnight(first, r.Days-1).Add(16 * time.Hour).UnixMicro()
	step := int64(1e6 / r.Fast)
	for i := range int64(300) {
		r.acts = append(r.acts, act{at: loud + i*step, staff: sweeper, kind: wrongRead, place: i})
	}
	// The rules end it within 100 searches; where nothing does, the register's end.
	for i := range min(r.People, 20_000) {
		r.acts = append(r.acts, act{at: loud + 300*step + i*step, staff: counter, kind: madeUp, place: i})
	}
}

// elsewhere are those whom the drill of this seed gives its attacker, in its order.
func elsewhere(seed uint64, people int64, known int, canaries float64) (list []int64) {
	r := rand.New(rand.NewPCG(seed, 1<<59))
	for range min(int64(known), people) {
		if place := r.Int64N(people); !population.Gap(seed, place, canaries) {
			list = append(list, place)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

var (
	callFields = field.SetOf(field.Name, field.Birth, field.Address)
	formFields = callFields | field.SetOf(field.Account, field.Phone)
)

// canaryMark tells the canaries of a run.
const canaryMark = 0xcc

// IsCanary tells a run's canaries, to its judges.
func IsCanary(who auditlog.ID) bool { return who[15] == canaryMark }

func id(n int64) auditlog.ID {
	place := uint64(max(n, -n) + 1)
	return auditlog.ID{0: byte(place >> 40), 1: byte(place >> 32), 2: byte(place >> 24), 3: byte(place >> 16), 4: byte(place >> 8), 5: byte(place), 6: 0x70, 8: 0x80}
}

// search is one that finds its one person: two events of one entry.
func (r *run) search(a *act, detail []byte) bool {
	found, shown := r.event(a, auditlog.Search, 0, "ok"), r.event(a, auditlog.Show, field.SetOf(field.Existence, field.Mask), "ok")
	found.Detail = detail
	return r.record(a.at, []auditlog.Event{found, shown})
}

func (r *run) step(a *act, action auditlog.Action, fields field.Set, outcome string) bool {
	return r.record(a.at, []auditlog.Event{r.event(a, action, fields, outcome)})
}

func (r *run) event(a *act, action auditlog.Action, fields field.Set, outcome string) auditlog.Event {
	e := auditlog.Event{Action: action, Outcome: outcome, Purpose: "enquiry", Staff: staffCode(a.staff), Role: "caseworker", Device: r.device(a.staff),
		Session: auditlog.Session(a.staff + 1)}
	if fields != 0 {
		e.Participant = id(a.place)
		for _, f := range fields.Fields() {
			e.Fields = append(e.Fields, auditlog.FieldVersion{Field: f, Version: 1})
		}
	}
	return e
}

// record puts an entry before the judges, as the sequencer does.
func (r *run) record(at int64, events []auditlog.Event) bool {
	for i := range events {
		events[i].Log, events[i].Index, events[i].Time = 1, r.index+int64(i), at
	}
	passed := true
	for _, j := range r.judges {
		v := j.Judge(events)
		if v.Refuse != nil && passed {
			passed = false
			of := events[0]
			of.Action, of.Outcome, of.Detail, of.Fields = auditlog.Deny, v.Outcome, v.Detail, nil
			events = []auditlog.Event{of}
		}
		for _, added := range v.Add {
			added.Log, added.Index, added.Time = 1, r.index+int64(len(events)), at
			events = append(events, added)
		}
	}
	for _, j := range r.judges {
		for i := range events {
			j.Note(&events[i])
		}
		j.Settle(true)
	}
	for i := range events {
		if events[i].Action == auditlog.Contain {
			r.contain(&events[i])
			passed = false
		}
	}
	r.index += int64(len(events))
	return passed
}

// Many holds n runs, from a seed on, on all processors.
func Many(ctx context.Context, s Setup, seed uint64, n int, tell func(done int)) ([]Outcome, error) {
	list := make([]Outcome, n)
	first := workday.Monday(time.Date(2015, 5, 8, 0, 0, 0, 0, workday.Japan))
	todo := make(chan int)
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range todo {
				list[i] = Run(s, seed+uint64(i), first)
				mu.Lock()
				done++
				tell(done)
				mu.Unlock()
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		todo <- i
	}
	close(todo)
	wg.Wait()
	return list, ctx.Err()
}
