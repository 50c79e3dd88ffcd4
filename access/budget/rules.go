package budget

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"azekura/auditlog"
)

// Limit sets the limits of a kind, of a role's staff, or of one subject.
type Limit struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id,omitempty"`   // of one subject
	Role string `json:"role,omitempty"` // of staff who act in a role
	Max  Limits `json:"max"`
}

// Extra adds to a subject's limits for a while, on a person's word.
type Extra struct {
	Subject
	Persons int64     `json:"persons"`
	Percent int64     `json:"percent,omitempty"` // of a surge: what the limits are multiplied by
	Until   time.Time `json:"until"`
	Why     string    `json:"why"`
	By      string    `json:"by"`
	// Approval is the signed proposal of a surge.
	Approval string `json:"approval,omitempty"`
}

// PointsAPerson is how many points go with a person where only persons are named.
const PointsAPerson = 60

func upTo(hour, day, month int64) Limits {
	return Limits{{hour, hour * PointsAPerson}, {day, day * PointsAPerson}, {month, month * PointsAPerson}}
}

// Unlimited counts and refuses nothing: for made-up installations whose tests are
// about something else.
func Unlimited() (list []Limit) {
	for _, kind := range Kinds {
		list = append(list, Limit{Kind: kind, Max: Limits{{-1, -1}, {-1, -1}, {-1, -1}}})
	}
	return list
}

// Defaults hold where the log sets nothing else: honest work is 20 to 120
// participants a day for each staff member. A job has no limit of its own: only
// the operator starts one.
func Defaults() []Limit {
	return []Limit{
		{Kind: Staff, Max: upTo(60, 200, 3_000)},
		{Kind: Device, Max: upTo(80, 250, 4_000)},
		{Kind: Office, Max: upTo(1_500, 8_000, 120_000)},
		{Kind: Purpose, Max: upTo(60_000, 400_000, 6_000_000)},
		{Kind: Job, Max: Limits{{-1, -1}, {-1, -1}, {-1, -1}}},
	}
}

// key names what a limit is for.
type key struct {
	kind     Kind
	id, role string
}

// rules are the limits in force, and the offices by which staff are counted; all
// from the log.
type rules struct {
	max     map[key]Limits
	offices map[string]string
	extras  map[Subject][]Extra
}

func newRules() rules {
	r := rules{max: map[key]Limits{}, offices: map[string]string{}, extras: map[Subject][]Extra{}}
	for _, l := range Defaults() {
		r.max[key{l.Kind, l.ID, l.Role}] = l.Max
	}
	return r
}

// limits are those of one subject at a moment, with what was added to them.
func (r *rules) limits(s Subject, role string, now uint32) Limits {
	max, ok := r.max[key{s.Kind, s.ID, ""}]
	if !ok && s.Kind == Staff {
		max, ok = r.max[key{Staff, "", role}]
	}
	if !ok {
		max = r.max[key{s.Kind, "", ""}]
	}
	for _, x := range r.extras[s] {
		if x.Until.Unix() <= int64(now) {
			continue
		}
		for w := range max {
			if max[w].Persons >= 0 {
				max[w].Persons = max[w].Persons*x.percent()/100 + x.Persons
			}
			if max[w].Points >= 0 {
				max[w].Points = max[w].Points*x.percent()/100 + x.Persons*PointsAPerson
			}
		}
	}
	return max
}

func (x *Extra) percent() int64 {
	if x.Percent == 0 {
		return 100
	}
	return x.Percent
}

// noted is what the events about budgets hold.
type noted struct {
	Grants string  `json:"grants"` // staff (of access), budget-limit, budget-extra
	Staff  string  `json:"staff"`
	Office string  `json:"office"`
	Limits []Limit `json:"limits"` // also of an installation's first event
	Extra  *Extra  `json:"extra"`
}

// LimitsEvent sets limits: an event of authority.
func LimitsEvent(list []Limit, by, why, approval string) auditlog.Event {
	detail, _ := json.Marshal(struct {
		Grants   string  `json:"grants"`
		Limits   []Limit `json:"limits"`
		By       string  `json:"by"`
		Why      string  `json:"why"`
		Approval string  `json:"approval,omitempty"`
	}{"budget-limits", list, by, why, approval})
	return auditlog.Event{Action: auditlog.Grant, Outcome: "ok", Detail: detail}
}

// ExtraEvent adds to a budget: an event of authority.
func ExtraEvent(x Extra) auditlog.Event {
	detail, _ := json.Marshal(struct {
		Grants string `json:"grants"`
		Extra  Extra  `json:"extra"`
	}{"budget-extra", x})
	return auditlog.Event{Action: auditlog.Grant, Outcome: "ok", Detail: detail}
}

// added tells whether a grant would add to a budget that a person added to
// already and that is still added to. A surge, which two people approved, may
// stand beside it.
func (r *rules) added(e *auditlog.Event) bool {
	var n noted
	if json.Unmarshal(e.Detail, &n) != nil || n.Grants != "budget-extra" || n.Extra == nil || n.Extra.Approval != "" {
		return false
	}
	return slices.ContainsFunc(r.extras[n.Extra.Subject], func(x Extra) bool { return x.Approval == "" && x.Until.UnixMicro() > e.Time })
}

// note takes in an event, and returns how to take it back. What it can't read is
// another room's.
func (r *rules) note(e *auditlog.Event) (back func()) {
	if e.Action == auditlog.System && e.Purpose != "init" {
		return nil
	}
	var n noted
	if json.Unmarshal(e.Detail, &n) != nil {
		return nil
	}
	switch {
	case e.Action == auditlog.System, n.Grants == "budget-limits":
		before := maps.Clone(r.max)
		for _, l := range n.Limits {
			r.max[key{l.Kind, l.ID, l.Role}] = l.Max
		}
		return func() { r.max = before }
	case n.Grants == "staff":
		before, was := r.offices[n.Staff]
		r.offices[n.Staff] = n.Office
		return func() {
			if r.offices[n.Staff] = before; !was {
				delete(r.offices, n.Staff)
			}
		}
	case n.Grants == "budget-extra" && n.Extra != nil:
		s := n.Extra.Subject
		before := r.extras[s]
		alive := slices.DeleteFunc(slices.Clone(before), func(x Extra) bool { return x.Until.UnixMicro() <= e.Time })
		r.extras[s] = append(alive, *n.Extra)
		return func() { r.extras[s] = before }
	}
	return nil
}

// Check refuses limits that can't be meant.
func (l *Limit) Check() error {
	if !slices.Contains(Kinds, l.Kind) || l.Role != "" && (l.Kind != Staff || l.ID != "") || len(l.ID) > 64 || len(l.Role) > 32 {
		return fmt.Errorf("a limit is of a staff member or a role, a device, an office, a purpose or a job: %s", strings.TrimSpace(string(l.Kind)+" "+l.ID))
	}
	return nil
}
