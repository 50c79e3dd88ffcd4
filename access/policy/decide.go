package policy

import (
	"slices"

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
	CaseOffice   string
	Minute       int // of the day, at the installation
	Workday      bool
}

// Decision is what the policies said. Policies are those that permitted or forbade;
// where none permitted it is empty, and Missing tells what alone would have sufficed.
type Decision struct {
	Allowed  bool
	Policies []Words
	Failed   []string // policies that couldn't be evaluated; each refuses
	Missing  []Missing
}

// Missing is one attribute that, changed to this, would have let the request pass.
type Missing struct {
	En, Ja string
}

var (
	who  = cedar.NewEntityUID("Staff", "asker")
	what = cedar.NewEntityUID("Participant", "asked")
)

// Decide asks the policies. What can't be evaluated refuses.
func (s *Set) Decide(r Request) Decision {
	d := s.ask(r)
	if !d.Allowed {
		d.Missing = s.nearest(r)
	}
	return d
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
		"workday": cedar.Boolean(r.Workday)})
}

// nearest asks again with one thing at a time as it might have been. It tells what
// the policies answered to that, and guesses nothing; two things missing at once
// give an empty answer.
func (s *Set) nearest(r Request) (missing []Missing) {
	try := func(with Request, en, ja string) bool {
		if !s.ask(with).Allowed {
			return false
		}
		missing = append(missing, Missing{En: en, Ja: ja})
		return true
	}
	if !r.Case {
		with := r
		with.Case, with.State, with.Assigned, with.CaseOffice = true, "open", true, r.Office
		for level := r.Level; level <= 3; level++ {
			with.Level = level
			if try(with, "an open case that is assigned to you, with identification of level "+digit(level), "自分に割り当てられた受付中の案件と、レベル"+digit(level)+"の本人確認") {
				return missing
			}
		}
	}
	for level := r.Level + 1; level <= 3; level++ {
		with := r
		with.Level = level
		if try(with, "identification of level "+digit(level), "レベル"+digit(level)+"の本人確認") {
			break
		}
	}
	with := r
	if with.State = "open"; r.Case && r.State != "open" {
		try(with, "the case open", "案件が受付中であること")
	}
	if with = r; r.Case && !r.Assigned {
		with.Assigned = true
		try(with, "the case assigned to you", "案件が自分に割り当てられていること")
	}
	if with = r; r.Case && r.CaseOffice != r.Office {
		with.CaseOffice = r.Office
		try(with, "a case of your own office", "自分の事務所の案件")
	}
	with = r
	with.Minute, with.Workday = 12*60, true
	if with.Minute != r.Minute || !r.Workday {
		try(with, "another time: noon of a working day", "開庁日の正午など別の時間")
	}
	return missing
}

func digit(level int) string { return string(rune('0' + max(0, min(level, 9)))) }
