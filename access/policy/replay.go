package policy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"azekura/auditlog"
	"azekura/register/field"
)

// Replay asks a text about the openings of a log's stretch, as far as their events
// tell: role, action, purpose, fields, time and, where a case of ours stands behind,
// its kind and office. The staff's office is that of their newest grant before, and
// how well a person was identified isn't in an opening's event: an answer that hangs
// on what isn't known is counted as unknown, and neither as refused nor as allowed.
type Replay struct {
	set      *Set
	from, to time.Time
	offices  map[string]string // of staff
	cases    map[string]caseOf
	seen     map[key]answer
	stopped  map[Stopped]int
	out      Replayed
}

type caseOf struct {
	kind, office string
	touch, bound bool
	fields       field.Set // for which it was
}

type answer struct {
	verdict string
	by      string
}

// Stopped is honest work that a text would have stopped.
type Stopped struct {
	Staff   string `json:"staff"`
	Purpose string `json:"purpose"`
	Policy  string `json:"policy" doc:"which forbade it; empty: none permitted it"`
}

// StoppedCount is how often.
type StoppedCount struct {
	Stopped
	Openings int `json:"openings"`
}

// Replayed is what a replay found.
type Replayed struct {
	Hash     string         `json:"hash"`
	Openings int            `json:"openings" doc:"that the log let be"`
	Refused  int            `json:"refused" doc:"of them, by this text"`
	Unknown  int            `json:"unknown" doc:"of them: their events don't hold what decides"`
	Denied   int            `json:"denied" doc:"refusals of the policies in force then"`
	Allowed  int            `json:"allowed" doc:"of them, by this text"`
	Stopped  []StoppedCount `json:"stopped" doc:"the openings that it would have refused, most first, at most 200 rows"`
}

// maxRows bounds the rows of an answer.
const maxRows = 200

// NewReplay begins one; a zero moment bounds nothing.
func NewReplay(set *Set, from, to time.Time) *Replay {
	return &Replay{set: set, from: from, to: to, offices: map[string]string{}, cases: map[string]caseOf{}, seen: map[key]answer{}, stopped: map[Stopped]int{},
		out: Replayed{Hash: set.Hash()}}
}

// Add takes an event in, in the log's order and from its beginning.
func (r *Replay) Add(e *auditlog.Event) {
	switch e.Action {
	case auditlog.Grant:
		var g struct{ Grants, Staff, Office string }
		if json.Unmarshal(e.Detail, &g) == nil && g.Office != "" && g.Staff != "" {
			r.offices[g.Staff] = g.Office
		}
	case auditlog.Case:
		var a struct {
			Act, Kind, Office, Fields string
			Touch                     bool
			For                       []string
		}
		if json.Unmarshal(e.Detail, &a) == nil && e.Outcome == "ok" {
			of := r.cases[e.Case]
			of = caseOf{cmp.Or(a.Kind, of.kind), cmp.Or(a.Office, of.office), of.touch, of.bound, of.fields}
			switch a.Act {
			case "open":
				of.touch, of.bound = a.Touch, a.Touch && len(a.For) > 0
				of.fields, _ = field.ParseSet(a.Fields) // what can't be read declares nothing
			case "reopen":
				of.touch, of.bound = a.Touch, a.Touch && of.bound
			}
			r.cases[e.Case] = of
		}
	}
	at := time.UnixMicro(e.Time)
	if e.Staff == "" || at.Before(r.from) || !r.to.IsZero() && !at.Before(r.to) {
		return
	}
	if e.Action == auditlog.Search && e.Outcome == "asked" {
		return // a birth that is compared inside is part of the search
	}
	switch e.Action {
	case auditlog.Read, auditlog.Check, auditlog.Search, auditlog.Change, auditlog.Set, auditlog.Shred:
		r.opening(e, at)
	case auditlog.Deny:
		if e.Outcome == "policy" {
			r.denied(e)
		}
	}
}

// denied asks again about a refusal, whose event holds all that was asked.
func (r *Replay) denied(e *auditlog.Event) {
	var d Denial
	if json.Unmarshal(e.Detail, &d) != nil {
		return
	}
	at := time.UnixMicro(e.Time)
	if r.out.Denied++; r.set.ask(r.set.At(d.Request, at)).Allowed {
		r.out.Allowed++
	}
}

func (r *Replay) opening(e *auditlog.Event, at time.Time) {
	r.out.Openings++
	asked := fieldsOf(e)
	q := r.set.At(Request{Role: e.Role, Office: r.offices[e.Staff], Action: e.Action.String(), Purpose: e.Purpose, Fields: asked.Names()}, at)
	if of, known := r.cases[e.Case]; known {
		// The gate let none be but for an open case of theirs.
		q.Case, q.Kind, q.State, q.Assigned, q.CaseOffice, q.CaseTouch = true, of.kind, "open", true, of.office, of.touch
		q.Bound, q.Declared = of.bound, of.touch && of.fields.Contains(asked)
	}
	q.Touch = bytes.Contains(e.Detail, []byte(auditlog.ByTouch))
	k := q.key()
	a, ok := r.seen[k]
	if !ok {
		if len(r.seen) >= 16*maxSeen {
			clear(r.seen)
		}
		a = r.answer(q)
		r.seen[k] = a
	}
	switch a.verdict {
	case "refuse":
		r.out.Refused++
		r.stopped[Stopped{e.Staff, e.Purpose, a.by}]++
	case "unknown":
		r.out.Unknown++
	}
}

// answer asks for each level that the person may have been of: the log doesn't say.
func (r *Replay) answer(q Request) answer {
	var got answer
	levels := 4
	if !q.Case {
		levels = 1
	}
	for level := range levels {
		q.Level = level
		d := r.set.ask(q)
		var by []string
		for _, w := range d.Policies {
			by = append(by, w.ID)
		}
		this := answer{d.Verdict(), strings.Join(append(by, d.Failed...), " ")}
		if level > 0 && this.verdict != got.verdict {
			return answer{verdict: "unknown"}
		}
		got = this
	}
	return got
}

// fieldsOf are the fields that were asked for. A search's event names none: it asks
// for what a mask is made of.
func fieldsOf(e *auditlog.Event) (set field.Set) {
	switch {
	case e.Set != nil:
		return e.Set.Union
	case e.Action == auditlog.Search:
		return field.SetOf(field.Name, field.Birth, field.Address)
	case e.Action == auditlog.Shred:
		return field.SetOf(field.All()...)
	}
	for _, f := range e.Fields {
		set |= field.SetOf(f.Field)
	}
	return set
}

// Result is what was found.
func (r *Replay) Result() Replayed {
	out := r.out
	out.Stopped = []StoppedCount{}
	for s, n := range r.stopped {
		out.Stopped = append(out.Stopped, StoppedCount{s, n})
	}
	slices.SortFunc(out.Stopped, func(a, b StoppedCount) int {
		return cmp.Or(cmp.Compare(b.Openings, a.Openings), cmp.Compare(a.Staff, b.Staff), cmp.Compare(a.Purpose, b.Purpose), cmp.Compare(a.Policy, b.Policy))
	})
	out.Stopped = out.Stopped[:min(len(out.Stopped), maxRows)]
	return out
}
