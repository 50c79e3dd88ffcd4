package drill

import (
	"math"
	"sync"
	"time"

	"azekura/drill/workday"
	"azekura/register/field"

	"github.com/google/uuid"
)

// Honest is the honest work of the drill's days, and what of it was refused.
//
// An opening is a caller's matter that needs a record read. It counts once, however
// often it is asked for and wherever. It was refused where any request of it was
// refused for good: neither a sign-in after a pause nor a touch mended it. Then it is
// told apart by where: at a PC that the attacker didn't hold at that time, whatever the
// reason (AtClean: a false alarm), or at one that it did (AtInfected: the containment
// of that very PC, or what the attacker used up there). Who is refused at a PC that is
// stopped passes the caller on; an opening that nobody did in the end was never done.
//
// The bar (fewer than 1 in 10,000) is held against AtClean and NeverDone together:
// false alarms, whoever mended them, and what the public went without. What was refused at a
// PC in the attacker's hands and done elsewhere is the containment doing its work; it
// stands beside, in Refused too.
type Honest struct {
	Callers  int64 `json:"callers"`
	Openings int64 `json:"openings"` // asked for
	Checks   int64 `json:"checks"`
	Mistyped int64 `json:"mistyped"`

	Refused    int64   `json:"openings_refused"` // anywhere, all that follow
	RawPerTenK float64 `json:"openings_refused_per_10000"`
	AtClean    int64   `json:"openings_refused_at_clean_pcs"`
	AtInfected int64   `json:"openings_refused_at_infected_pcs"`
	NeverDone  int64   `json:"openings_never_done"`
	PerTenK    float64 `json:"refused_at_clean_pcs_or_never_done_per_10000"`

	Touches  int64   `json:"touches_to_open_cases"`        // of keys, one a case
	Further  int64   `json:"touches_for_another_field"`    // than was thought when the case was opened
	Slips    int64   `json:"slips_refused"`                // asked before that touch, or in the last caller's case
	Touched  int64   `json:"openings_after_a_touch"`       // that waited some seconds for another
	PassedOn int64   `json:"callers_passed_on"`            // to a colleague
	Longest  float64 `json:"longest_wait_minutes"`         // of a caller who was served
	Moved    int64   `json:"staff_released_to_a_clean_pc"` // by two security officers
	// Hindered are all requests that were refused, mended or not, by what refused.
	Hindered map[string]int64 `json:"requests_refused"`
	byPolicy map[string]int64 // of those, by the policies that refused
	Unknown  int64            `json:"unidentified"` // callers whom their answers didn't identify
}

func (h *Honest) add(o *Honest) {
	h.Callers += o.Callers
	h.Openings += o.Openings
	h.Checks += o.Checks
	h.Mistyped += o.Mistyped
	h.Refused += o.Refused
	h.AtClean += o.AtClean
	h.AtInfected += o.AtInfected
	h.NeverDone += o.NeverDone
	h.Touches += o.Touches
	h.Further += o.Further
	h.Slips += o.Slips
	h.Touched += o.Touched
	h.PassedOn += o.PassedOn
	h.Longest = max(h.Longest, o.Longest)
	h.Moved += o.Moved
	h.Unknown += o.Unknown
	for reason, n := range o.Hindered {
		h.Hindered[reason] += n
	}
	for by, n := range o.byPolicy {
		h.byPolicy[by] += n
	}
	h.rates()
}

func (h *Honest) rates() {
	if h.Openings > 0 {
		h.RawPerTenK = math.Round(1e6*float64(h.Refused)/float64(h.Openings)) / 100
		h.PerTenK = math.Round(1e6*float64(h.AtClean+h.NeverDone)/float64(h.Openings)) / 100
	}
}

// matter is a caller's, from when they call until it is done or never is.
type matter struct {
	workday.Caller
	came                time.Time
	called, opening     bool // counted
	touched             bool
	atClean, atInfected bool // refused there
	passed              bool // to a colleague
	slipped             bool // the search was mistyped once
	last                bool // they were looked for in the last one's case
	done                bool // read, or nothing was to be read
}

// refused counts an opening that was, once for each of where.
func (h *Honest) refused(m *matter, infected bool) {
	if !m.atClean && !m.atInfected {
		h.Refused++
	}
	switch {
	case infected && !m.atInfected:
		m.atInfected = true
		h.AtInfected++
	case !infected && !m.atClean:
		m.atClean = true
		h.AtClean++
	}
}

// unserved counts what nobody will do. A refusal at a clean PC counts already.
func (h *Honest) unserved(m *matter) {
	if m.What == workday.CheckOnly {
		return
	}
	if !m.opening {
		m.opening = true
		h.Openings++
	}
	if !m.atClean {
		h.NeverDone++
	}
}

func (h *Honest) waited(d time.Duration) {
	h.Longest = max(h.Longest, math.Round(d.Minutes()))
}

// gather adds up the desks' work.
type gather struct {
	mu  sync.Mutex
	sum Honest
	own []map[uuid.UUID]field.Set // by place in the team
}

func (g *gather) take(w *desk) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sum.add(&w.did)
	g.own[w.no] = w.own
}

// close counts who still waits when the days are over.
func (g *gather) close(lines []line) {
	for i := range lines {
		for _, m := range lines[i].waiting {
			if !m.called {
				g.sum.Callers++
			}
			g.sum.unserved(m)
		}
	}
	g.sum.rates()
}
