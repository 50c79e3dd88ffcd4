// Package workday is the stated model of an office's honest work and of how an
// infection spreads through it: how many callers a staff member has, when they come,
// what is done for them, and which PCs are taken when.
//
// It promises that the same seed gives the same days, whoever asks, so that a drill
// and its model in memory work on the same callers. It doesn't claim to be an agency's
// own: its parameters are printed with every result.
package workday

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Japan is where the office is.
var Japan = time.FixedZone("JST", 9*60*60)

// Model is how an office works.
type Model struct {
	Least    int     `json:"least"`  // participants a day of one staff member
	Most     int     `json:"most"`   // likewise
	Median   float64 `json:"median"` // of that number, lognormal
	Spread   float64 `json:"spread"` // its sigma
	Gap      float64 `json:"gap"`    // sigma of the lognormal times between two callers
	Opens    int     `json:"opens"`  // minutes after midnight
	Closes   int     `json:"closes"`
	Bursts   float64 `json:"bursts"`   // share of a staff member's days with a burst: a third of the callers in an hour
	Mistyped float64 `json:"mistyped"` // share of searches with a slip
	Checked  float64 `json:"checked"`  // share of callers for whom a check is enough
	Forms    float64 `json:"forms"`    // share of applications, which open the account
	Further  float64 `json:"further"`  // share of the other calls that come to need another field than was thought
	Hasty    float64 `json:"hasty"`    // share of those in which it is asked for first, and the key touched when that is refused
	Last     float64 `json:"last"`     // share of callers who are looked for in the last one's case first
}

// Default is the model of the drills.
func Default() Model {
	return Model{Least: 20, Most: 120, Median: 50, Spread: 0.45, Gap: 1, Opens: 8*60 + 30, Closes: 17*60 + 15,
		Bursts: 0.1, Mistyped: 0.08, Checked: 0.2, Forms: 0.15, Further: 0.05, Hasty: 0.3, Last: 0.01}
}

// String prints the parameters.
func (m Model) String() string {
	return fmt.Sprintf("%d to %d participants a day and staff member (lognormal, median %.0f, sigma %.2f), %02d:%02d to %02d:%02d, arrivals lognormal (sigma %.1f), "+
		"bursts (a third within an hour) on %.0f %% of days, %.0f %% of searches mistyped, %.0f %% need a check alone, %.0f %% are applications; "+
		"%.0f %% of calls come to need another field, %.0f %% of those ask before they touch their key; %.0f %% look for the caller in the last one's case first",
		m.Least, m.Most, m.Median, m.Spread, m.Opens/60, m.Opens%60, m.Closes/60, m.Closes%60, m.Gap, 100*m.Bursts, 100*m.Mistyped, 100*m.Checked, 100*m.Forms, 100*m.Further, 100*m.Hasty, 100*m.Last)
}

// What is done for a caller.
type What uint8

// The matters.
const (
	Enquiry What = iota
	CheckOnly
	Form
)

// Caller is one participant's matter.
type Caller struct {
	At       time.Duration // since midnight
	Place    int64         // in the register
	What     What
	Mistyped bool
	Further  bool // another field is needed
	Hasty    bool // and asked for before the key is touched
	Last     bool // looked for in the last caller's case first
}

// Day is a staff member's day, in order. people is how many are in the register.
func (m Model) Day(seed uint64, staff, day int, people int64) []Caller {
	r := rand.New(rand.NewPCG(seed, 1<<63|uint64(staff)<<20|uint64(day)))
	// A staff member is rather busy or rather idle for good; a day only varies that.
	habit := rand.New(rand.NewPCG(seed, 1<<62|uint64(staff))).NormFloat64()
	slips := rand.New(rand.NewPCG(seed, 1<<58|uint64(staff)<<20|uint64(day)))
	n := int(m.Median * math.Exp(m.Spread*(0.9*habit+0.4*r.NormFloat64())))
	list := make([]Caller, min(max(n, m.Least), m.Most))
	times := m.arrivals(r, len(list))
	for i := range list {
		c := &list[i]
		c.At, c.Place, c.Mistyped = times[i], r.Int64N(people), r.Float64() < m.Mistyped
		switch u := r.Float64(); {
		case u < m.Checked:
			c.What = CheckOnly
		case u < m.Checked+m.Forms:
			c.What = Form
		}
		further, hasty, last := slips.Float64() < m.Further, slips.Float64() < m.Hasty, slips.Float64() < m.Last
		c.Further = further && c.What == Enquiry
		c.Hasty, c.Last = c.Further && hasty, last && i > 0
	}
	return list
}

// arrivals are n times within the office's hours.
func (m Model) arrivals(r *rand.Rand, n int) []time.Duration {
	gaps := make([]float64, n+1)
	sum := 0.0
	for i := range gaps {
		gaps[i] = math.Exp(m.Gap * r.NormFloat64())
		sum += gaps[i]
	}
	opens, length := time.Duration(m.Opens)*time.Minute, time.Duration(m.Closes-m.Opens)*time.Minute
	times := make([]time.Duration, n)
	at := 0.0
	for i := range times {
		at += gaps[i] / sum
		times[i] = opens + time.Duration(at*float64(length))
	}
	if r.Float64() < m.Bursts && length > time.Hour {
		begins := opens + time.Duration(r.Int64N(int64(length-time.Hour)))
		for i := range times[:n/3] {
			times[3*i] = begins + time.Duration(r.Int64N(int64(time.Hour)))
		}
		slices.Sort(times)
	}
	return times
}

// Midnight is the beginning of the n-th working day from a first one, a Monday.
func Midnight(first time.Time, n int) time.Time { return first.AddDate(0, 0, n/5*7+n%5) }

// Monday is the midnight, in Japan, of the first Monday after a moment.
func Monday(after time.Time) time.Time {
	t := after.In(Japan)
	midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, Japan)
	for {
		if midnight = midnight.AddDate(0, 0, 1); midnight.Weekday() == time.Monday {
			return midnight
		}
	}
}

// Infection is when a PC is taken: the n-th staff member's.
type Infection struct {
	Staff int
	Day   int
	At    time.Duration // since midnight
}

// Spread is the infection: a mail opened at 10:28 of the first day and the PC
// taken at 10:49, as in 2015; the others follow from it, each taking further ones,
// until half of the days are over.
func Spread(seed uint64, staff, infected, days int) []Infection {
	r := rand.New(rand.NewPCG(seed, 1<<61))
	whose := r.Perm(staff)
	list := make([]Infection, min(infected, staff))
	last := max(days/2, min(1, days-1))
	for i := range list {
		one := &list[i]
		one.Staff = whose[i]
		if i == 0 {
			one.At = 10*time.Hour + 49*time.Minute
			continue
		}
		one.Day = min(last, int(math.Log2(float64(1+i))/math.Log2(float64(len(list)))*float64(last)))
		one.At = 11*time.Hour + time.Duration(r.Int64N(int64(5*time.Hour)))
	}
	return list
}
