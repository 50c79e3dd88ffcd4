// Package plan says what a density of canaries is worth: how many people readers
// obtain before each of them has touched one and is stopped, in the middle and once
// in a thousand times.
//
// Where canaries are spread as people are, whoever reads meets one with each record
// with the same chance, whatever the order: what R readers obtain is negative
// binomial. Where strata matter the readers are played, on made-up people among whom
// canaries stand as an import plants them.
//
// It promises numbers for readers who don't know who is real. Who has a list of real
// people from elsewhere meets no canary at all, and only budgets and cases hold them.
package plan

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"azekura/gate/canary"
	"azekura/population"
)

// Options say what is planned.
type Options struct {
	Density float64 // canaries for each person
	People  int64   // in the register
	Readers int     // at once, each of whom goes on until their own first canary
	Gaps    float64 // the share of the file's refs that are nobody's
	Runs    int     // of each reader that is played
	Seed    uint64
}

// The bounds of Options, and how many people at most are made up to play on.
const (
	MaxPeople  = 1_000_000_000
	MaxReaders = 10_000
	MaxRuns    = 1_000_000
	played     = 50_000
)

// ErrOptions refuses what can't be planned.
var ErrOptions = errors.New("plan a density above 0 up to 0.2, 100 to 1,000,000,000 people, 1 to 10,000 readers, gaps from 0 to 0.5, 1,000 to 1,000,000 runs")

// Check refuses it.
func (o Options) Check() error {
	if !(o.Density > 0 && o.Density <= canary.MaxDensity) || o.People < 100 || o.People > MaxPeople ||
		o.Readers < 1 || o.Readers > MaxReaders || !(o.Gaps >= 0 && o.Gaps <= 0.5) || o.Runs < 1000 || o.Runs > MaxRuns {
		return ErrOptions
	}
	return nil
}

// Quantiles are of people obtained before every reader has touched a canary.
type Quantiles struct {
	Median   int64 `json:"median"`
	Thousand int64 `json:"q999" doc:"99.9 %"`
}

// Row is one kind of reader.
type Row struct {
	Reader string    `json:"reader"`
	People Quantiles `json:"people"`
	How    string    `json:"how"` // computed, or played
}

// Plan is the table.
type Plan struct {
	Options
	Canaries int64 `json:"canaries"` // expected
	Rows     []Row `json:"rows"`
}

// Make computes and plays it.
func Make(o Options) (Plan, error) {
	if err := o.Check(); err != nil {
		return Plan{}, err
	}
	p := Plan{Options: o, Canaries: int64(math.Round(o.Density * float64(o.People)))}
	p.Rows = append(p.Rows, Row{"any, if canaries are spread as people are", Closed(o.Density, o.Readers), "computed"})
	rng := rand.New(rand.NewPCG(o.Seed, 1))
	r := makeRegister(o, rng)
	for _, reader := range []struct {
		name  string
		order func(*rand.Rand) order
	}{
		{"random", r.random}, {"sequential, from any ref on", r.sequential},
		{"targeted: one prefecture and year of birth after the other", r.byPlace}, {"targeted: one surname after the other", r.byName},
	} {
		p.Rows = append(p.Rows, Row{reader.name, r.play(o, rng, reader.order), "played"})
	}
	return p, nil
}

// Closed is the quantiles of what readers obtain who meet a canary at each record
// with the same chance.
func Closed(density float64, readers int) Quantiles {
	touch := density / (1 + density)
	log := float64(readers) * math.Log(touch)
	var sum float64
	var q Quantiles
	found := false
	for k := int64(0); ; k++ {
		sum += math.Exp(log)
		if sum >= 0.5 && !found {
			q.Median, found = k, true
		}
		if sum >= 0.999 {
			q.Thousand = k
			return q
		}
		log += math.Log(float64(k)+float64(readers)) - math.Log(float64(k)+1) + math.Log(1-touch)
	}
}

// record is a person or a canary, as a reader who looks for it sees it.
type record struct {
	bird    bool
	ref     string
	place   string // prefecture and year of birth
	surname string
}

// register is what readers are played on.
type register struct {
	list   []record // by ref
	places []stratum
	names  []stratum
}

type stratum []int32

// makeRegister plants as an import does: beside each person with one chance, with the
// name and year of birth of one and the place of another.
func makeRegister(o Options, rng *rand.Rand) *register {
	n := min(o.People, played)
	g := population.New(o.Seed)
	refs, taken := canary.Refs{}, map[string]bool{}
	r := &register{}
	var p population.Person
	for i := range n {
		g.Next(&p)
		if population.Gap(o.Seed, i, o.Gaps) {
			continue
		}
		refs.Add(p.Ref)
		taken[p.Ref] = true
		r.list = append(r.list, record{ref: p.Ref, place: prefecture(p.Address) + p.Birth[:4], surname: surname(p.Name)})
	}
	people := r.list
	one := func() record { return people[rng.IntN(len(people))] }
	for _, beside := range people {
		if rng.Float64() >= o.Density {
			continue
		}
		draw := refs.Near(rng, beside.ref, int64(2*o.Density*float64(len(people))))
		for try := range canary.RefTries {
			ref := draw(try)
			if ref == "" || taken[ref] {
				continue
			}
			taken[ref] = true
			model, home := one(), one().place
			r.list = append(r.list, record{bird: true, ref: ref, place: home[:len(home)-4] + model.place[len(model.place)-4:], surname: model.surname})
			break
		}
	}
	slices.SortFunc(r.list, func(a, b record) int {
		if len(a.ref) != len(b.ref) {
			return len(a.ref) - len(b.ref)
		}
		return strings.Compare(a.ref, b.ref)
	})
	r.places, r.names = r.strata(func(x record) string { return x.place }), r.strata(func(x record) string { return x.surname })
	return r
}

func (r *register) strata(of func(record) string) []stratum {
	at := map[string]int{}
	var list []stratum
	for i, x := range r.list {
		n, ok := at[of(x)]
		if !ok {
			n = len(list)
			at[of(x)], list = n, append(list, nil)
		}
		list[n] = append(list[n], int32(i))
	}
	return list
}

// prefecture is an address up to its first administrative word; abroad it is nothing.
func prefecture(address string) string {
	for i, c := range address {
		if c == '都' && i > 0 || c == '道' || c == '府' && i > 3 || c == '県' {
			return address[:i]
		}
	}
	return ""
}

// surname is a name up to its gap, or its first two characters.
func surname(name string) string {
	n := 0
	for i, c := range name {
		if c == ' ' || c == '　' || n == 2 {
			return name[:i]
		}
		n++
	}
	return name
}
