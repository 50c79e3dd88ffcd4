package policy

import (
	"slices"
	"strconv"

	"github.com/cedar-policy/cedar-go"
)

// Request is what a policy decides on. Nothing in it is personal data.
type Request struct {
	Role, Office string // the staff member's
	Action       string
	Purpose      string
	Fields       []string
	Case         bool
	Kind, State  string
	Assigned     bool
	Level        int
	CaseTouch    bool // who opened the case touched their key for it
	Bound        bool // for a search, too, and no other is made in it
	Declared     bool // the fields are among those that this was for
	Touch        bool // who asks touched theirs for this opening
	CaseOffice   string
	Minute       int // of the day, at the installation
	Workday      bool
}

// Decision is what the policies said. Policies are those that decided: the permits
// where it is allowed, the forbids where one or more forbade, and none where nothing
// permitted. Callers don't write into it: it is remembered.
type Decision struct {
	Allowed  bool
	Policies []Words
	Failed   []string // policies that couldn't be evaluated; each refuses
	Missing  []Missing
}

// Missing is what, had it been so and all else as it was, these policies would have
// permitted. It says nothing of what else the case and the budgets ask for.
type Missing struct {
	En, Ja string
}

// key is a request as a map finds it.
type key struct {
	role, office, action, purpose, fields                       string
	kind, state, caseOffice                                     string
	level, minute                                               int
	named, assigned, workday, caseTouch, bound, declared, touch bool
}

// maxSeen bounds what a set remembers. Past it all is forgotten: the minute is part
// of a request, so what was remembered is mostly past.
const maxSeen = 4096

var (
	who  = cedar.NewEntityUID("Staff", "asker")
	what = cedar.NewEntityUID("Participant", "asked")
)

// Decide asks the policies. What can't be evaluated refuses. A refusal costs some
// dozens of evaluations, for what is missing, the first time it is given.
func (s *Set) Decide(r Request) Decision {
	k := r.key()
	s.mu.Lock()
	d, ok := s.seen[k]
	s.mu.Unlock()
	if ok {
		return d
	}
	if d = s.ask(r); !d.Allowed {
		d.Missing = s.nearest(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) >= maxSeen {
		clear(s.seen)
	}
	s.seen[k] = d
	return d
}

// key tells requests apart by all that the policies see of them.
func (r Request) key() key {
	var b []byte
	for _, f := range r.Fields {
		b = strconv.AppendInt(b, int64(len(f)), 10)
		b = append(append(b, ':'), f...)
	}
	return key{r.Role, r.Office, r.Action, r.Purpose, string(b), r.Kind, r.State, r.CaseOffice,
		r.Level, r.Minute, r.Case, r.Assigned, r.Workday, r.CaseTouch, r.Bound, r.Declared, r.Touch}
}

func (s *Set) ask(r Request) Decision {
	staff := cedar.Entity{UID: who, Attributes: cedar.NewRecord(cedar.RecordMap{
		"role": cedar.String(r.Role), "office": cedar.String(r.Office)})}
	entities := cedar.EntityMap{who: staff, what: cedar.Entity{UID: what}}
	verdict, diag := cedar.Authorize(s.set, entities, cedar.Request{
		Principal: who, Action: cedar.NewEntityUID("Action", cedar.String(r.Action)), Resource: what, Context: r.context()})
	d := Decision{Allowed: verdict == cedar.Allow && len(diag.Errors) == 0}
	for _, e := range diag.Errors {
		d.Failed = append(d.Failed, string(e.PolicyID))
	}
	slices.Sort(d.Failed)
	var ids []cedar.PolicyID
	for _, reason := range diag.Reasons {
		ids = append(ids, reason.PolicyID)
	}
	d.Policies = s.sorted(ids)
	return d
}

func (r Request) context() cedar.Record {
	fields := make([]cedar.Value, len(r.Fields))
	for i, f := range r.Fields {
		fields[i] = cedar.String(f)
	}
	return cedar.NewRecord(cedar.RecordMap{
		"purpose": cedar.String(r.Purpose), "fields": cedar.NewSet(fields...), "case": cedar.Boolean(r.Case),
		"kind": cedar.String(r.Kind), "state": cedar.String(r.State), "assigned": cedar.Boolean(r.Assigned),
		"level": cedar.Long(r.Level), "office": cedar.String(r.CaseOffice), "minute": cedar.Long(r.Minute),
		"workday": cedar.Boolean(r.Workday), "case_touch": cedar.Boolean(r.CaseTouch), "bound": cedar.Boolean(r.Bound), "declared": cedar.Boolean(r.Declared), "touch": cedar.Boolean(r.Touch)})
}

// change is one thing that might have been otherwise.
type change struct {
	Missing
	with func(*Request)
}

// kinds are the kinds that a case may be of.
var kinds = []string{"call", "visit", "letter", "application", "death", "merge", "representative", "review"}

// maxAsked bounds what a refusal costs: how many policies are evaluated to find what
// is missing. Long texts hear of single things only, or of the first of them.
const maxAsked = 1000

// nearest asks again with one thing as it might have been, and, where no single one
// suffices, with two. It tells what the policies answered to that and guesses nothing.
func (s *Set) nearest(r Request) (missing []Missing) {
	left := maxAsked / len(s.words)
	allowed := func(r Request) bool {
		left--
		return left >= 0 && s.ask(r).Allowed
	}
	all := r.changes()
	for _, c := range all {
		with := r
		if c.with(&with); allowed(with) {
			missing = append(missing, c.Missing)
		}
	}
	if len(missing) > 0 {
		return missing
	}
	for i, a := range all {
		for _, b := range all[i+1:] {
			one, other, both := r, r, r
			a.with(&one)
			b.with(&other)
			a.with(&both)
			b.with(&both)
			// Two that set the same thing aren't a pair: the second is alone.
			if both.key() != one.key() && both.key() != other.key() && allowed(both) {
				missing = append(missing, Missing{En: a.En + ", and " + b.En, Ja: a.Ja + "、および" + b.Ja})
			}
		}
	}
	return missing
}

// changes are the things that a staff member, or time, could have otherwise. The role
// and the purpose aren't among them: nobody should be told to take another.
func (r Request) changes() (all []change) {
	add := func(differs bool, en, ja string, with func(*Request)) {
		if differs {
			all = append(all, change{Missing{en, ja}, with})
		}
	}
	for _, kind := range kinds {
		if !r.Case {
			add(true, "an open "+kind+" case of your office, assigned to you", "自分に割り当てられた自分の事務所の受付中の案件（"+kind+"）", func(r *Request) {
				r.Case, r.Kind, r.State, r.Assigned, r.CaseOffice, r.CaseTouch, r.Bound, r.Declared = true, kind, "open", true, r.Office, true, true, true
			})
		} else {
			add(r.Kind != kind, "a case of the kind "+kind, "種別が"+kind+"の案件", func(r *Request) { r.Kind = kind })
		}
	}
	add(r.Case && r.State != "open", "the case open", "案件が受付中であること", func(r *Request) { r.State = "open" })
	add(r.Case && !r.Assigned, "the case assigned to you", "案件が自分に割り当てられていること", func(r *Request) { r.Assigned = true })
	add(r.Case && !r.CaseTouch, "a case for whose opening, and for whose search, the key was touched", "検索を示し、鍵に触れて開いた案件", func(r *Request) { r.CaseTouch, r.Bound = true, true })
	add(r.Case && r.CaseTouch && !r.Bound, "a case that was opened for one search", "一つの検索を示して開いた案件", func(r *Request) { r.Bound = true })
	add(r.Case && !r.Declared && r.Action == "read", "a case for whose opening the key was touched with these fields named", "これらの項目を示し、鍵に触れて開いた案件", func(r *Request) { r.CaseTouch, r.Declared = true, true })
	add(!r.Touch && r.Action == "read", "a touch of your key for this very opening", "この閲覧のために鍵に触れること", func(r *Request) { r.Touch = true })
	add(r.Case && r.CaseOffice != r.Office, "a case of your own office", "自分の事務所の案件", func(r *Request) { r.CaseOffice = r.Office })
	for level := r.Level + 1; level <= 3; level++ {
		n := strconv.Itoa(level)
		add(true, "identification of level "+n, "レベル"+n+"の本人確認", func(r *Request) { r.Level = level })
	}
	add(r.Minute != 12*60, "another hour: noon", "正午など別の時刻", func(r *Request) { r.Minute = 12 * 60 })
	add(!r.Workday, "a working day", "開庁日であること", func(r *Request) { r.Workday = true })
	return all
}
