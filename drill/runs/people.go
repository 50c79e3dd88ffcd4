package runs

import (
	"encoding/json"
	"fmt"
	"time"

	"azekura/access"
	"azekura/auditlog"
	"azekura/register/field"
)

// desk is where a staff member sits, and what their session is asked for.
type desk struct {
	used    int64 // the last use of their session, by them or by the thief; microseconds
	touched int64 // when they last proved that they are there
	asked   int64 // when their session was asked for a touch; 0 is not
	stopped bool  // contained
	noticed int64 // when they found out
	moved   bool  // at a PC that nobody had worked at
	came    int64 // when their newest caller did, whose case is about nobody for a while
	matter  kind  // theirs
	whom    int64 // they are
}

// As the gate has it, and the drill's office.
const (
	idle     = int64(15 * time.Minute / time.Microsecond)
	fresh    = int64(access.TouchLasts / time.Microsecond)
	released = int64(time.Hour / time.Microsecond)
)

// The fast ways' acts are of whichever PC lets them in.
const (
	sweeper = -1
	counter = -2
)

// do is one act before the judges.
func (r *run) do(a *act) {
	switch a.kind {
	case madeUp, ride, call, insist, wrongRead:
		r.thieve(a)
	default:
		r.work(a)
	}
}

// thieve is an act of the thief's, at a PC whose user is signed in, has given the touch
// that was asked for, if any, and isn't contained.
func (r *run) thieve(a *act) {
	if a.staff < 0 && !r.place(a) {
		return
	}
	d := &r.desks[a.staff]
	if since, mine := r.infected[a.staff]; !mine || a.at < since || !r.lets(a.staff, a.at) {
		return
	}
	if asked := r.offices[officeCode(a.staff)]; d.asked != 0 && d.touched <= d.asked || asked != 0 && (d.touched <= asked || a.at-d.touched >= fresh) {
		r.step(a, auditlog.Deny, 0, "touch")
		return
	}
	d.used = a.at
	if _, begun := r.first[a.staff]; !begun {
		r.first[a.staff] = a.at
	}
	r.steal(a)
}

// lets tells whether a PC's session is live, and the thief at it.
func (r *run) lets(staff int, at int64) bool {
	d := &r.desks[staff]
	return !d.stopped && !d.moved && d.used != 0 && at-d.used < idle
}

// place gives a fast way its PC, the next one that lets it in, and keeps it there.
func (r *run) place(a *act) bool {
	way := &r.fast[-a.staff-1]
	for n := 0; *way < 0 && n < len(r.list); n++ {
		one := r.list[(n-a.staff)%len(r.list)].Staff
		if r.lets(one, a.at) && (a.staff == sweeper || r.fast[0] != one) {
			*way = one
		}
	}
	if *way < 0 {
		return false
	}
	a.staff = *way
	return true
}

// work is a caller, at the staff member whom they called or, where that one is contained,
// at a colleague.
func (r *run) work(a *act) {
	opens := a.kind == enquiry || a.kind == form
	if opens {
		r.out.Openings++
	}
	d := &r.desks[a.staff]
	if d.stopped && d.noticed != 0 && a.at-d.noticed >= released && r.Spares > 0 {
		r.Spares--
		*d = desk{moved: true}
		detail, _ := json.Marshal(map[string]any{"grants": "release", "target": access.Target{Kind: access.TheStaff, ID: staffCode(a.staff)}})
		r.record(a.at, []auditlog.Event{{Action: auditlog.Grant, Outcome: "ok", Detail: detail}})
	}
	ok, passed := true, d.stopped && d.noticed != 0
	if !passed {
		if ok = r.serve(a); !ok && opens {
			r.refused(a)
		}
		if d.stopped && d.noticed == 0 {
			d.noticed, passed = a.at, true
		}
	}
	if (passed || !ok) && a.kind != slip {
		ok = r.pass(a)
	}
	if !ok && opens {
		r.out.NeverDone++
	}
}

// pass has colleagues of the same office serve a caller, as the line has them in turn: who
// isn't contained, and whose budget isn't spent either.
func (r *run) pass(a *act) bool {
	of, alarm := a.staff, false
	r.turn++
	from := of / 30 * 30
	most := min(30, r.Staff-from)
	for n := 1; n < most; n++ {
		if a.staff = from + (of-from+1+(r.turn+n)%(most-1))%most; r.serve(a) {
			return true
		}
		// A colleague whose budget is spent is refused at a PC that may be clean.
		if !alarm && a.kind != checkOnly && !r.desks[a.staff].stopped && !r.held(a) {
			alarm = true
			r.out.AtClean++
		}
	}
	return false
}

// serve is an honest caller, by a user who signs in and touches where they must. It
// tells whether they got what they called for.
func (r *run) serve(a *act) bool {
	d := &r.desks[a.staff]
	if d.stopped {
		return false
	}
	if a.at-d.used >= idle { // another session, of which nothing is asked
		d.asked = 0
	}
	d.used, d.touched, d.came, d.matter, d.whom = a.at, a.at+1, a.at, a.kind, a.place
	if a.kind == slip {
		r.step(a, auditlog.Search, 0, "none")
		return true
	}
	var mends []byte
	if last := r.roomOf(a.staff, "last"); a.how.Last {
		if !r.deny(a, last, "case", crossed) {
			return false
		}
		mends = []byte("{" + auditlog.Mends + last + `"}`)
	}
	ok := r.search(a, mends) && r.step(a, auditlog.Check, field.SetOf(field.Number), "ok") && r.step(a, auditlog.Check, field.SetOf(field.Birth), "ok")
	if _, mine := r.infected[a.staff]; ok && mine && !d.moved {
		r.own[a.place] = true
	}
	switch a.kind {
	case enquiry:
		return ok && r.step(a, auditlog.Read, callFields, "ok") && (!a.how.Further || r.further(a))
	case form:
		return ok && r.step(a, auditlog.Check, field.SetOf(field.Name), "ok") && r.step(a, auditlog.Read, formFields, "ok")
	}
	return ok
}

// further is a reading of another field than the case is for, by a touch of the key; who
// is hasty asks for it first.
func (r *run) further(a *act) bool {
	room := r.roomOf(a.staff, fmt.Sprint(a.at))
	if a.how.Hasty && r.Bound && !r.deny(a, room, "policy", fieldsByTouch) {
		return false
	}
	e := r.event(a, auditlog.Read, field.SetOf(field.Phone), "ok")
	e.Case, e.Detail = room, []byte("{"+auditlog.ByTouch+"}")
	return r.record(a.at, []auditlog.Event{e})
}

// roomOf names a case of a staff member's.
func (r *run) roomOf(staff int, which string) string { return staffCode(staff) + "/" + which }

// refused counts an opening that was, by whether the thief held the PC then.
func (r *run) refused(a *act) {
	r.out.Refused++
	if r.held(a) {
		r.out.AtInfected++
	} else {
		r.out.AtClean++
	}
}

// held tells whether the thief holds the PC of an act then.
func (r *run) held(a *act) bool {
	since, infected := r.infected[a.staff]
	return infected && a.at >= since && !r.desks[a.staff].moved
}

// talk is how long a caller's case is about nobody, on average: the talk between two of the
// drill's steps.
const talk = int64(23 * time.Second / time.Microsecond)

// byTouch is the denial of what is asked in a case that nobody touched a key for,
// fieldsByTouch that of fields that it isn't for, crossed the mark of somebody else than a
// case was about, and beyond that of another search than it is bound to.
var (
	byTouch       = []byte(`{"policies":["case-by-touch"]}`)
	fieldsByTouch = []byte(`{"policies":["fields-by-touch"],"beyond":true}`)
	crossed       = []byte(`{"crossed":true}`)
	beyond        = []byte(`{"crossed":true,"beyond":true}`)
)

// enough made-up calls that were refused teach the thief, as they do the drill's.
const enough = 20

// steal is the thief's request.
func (r *run) steal(a *act) {
	switch a.kind {
	case wrongRead:
		r.deny(a, "", "case", nil)
	case call, insist:
		if a.kind == call && r.learnt >= enough {
			return
		}
		r.learnt++
		r.deny(a, "", "policy", byTouch)
	case madeUp:
		r.deny(a, "", "policy", byTouch)
	case ride:
		r.ride(a)
	}
}

func (r *run) deny(a *act, room, by string, detail []byte) bool {
	e := r.event(a, auditlog.Deny, 0, by)
	e.Case, e.Detail = room, detail
	return r.record(a.at, []auditlog.Event{e})
}

// ride makes a case that the user has just opened be about the next one who is known
// from elsewhere, unless it is bound to the user's search. The user, whose own caller it
// refuses then, opens another. Of whom the case is about by then it reads what it can.
func (r *run) ride(a *act) {
	d := &r.desks[a.staff]
	if d.came == 0 {
		return
	}
	room := r.roomOf(a.staff, fmt.Sprint(d.came))
	since := a.at - d.came
	if r.Bound && since >= talk && since < 2*talk && (d.matter == enquiry || d.matter == form) && !r.deny(a, room, "policy", fieldsByTouch) {
		r.whole[d.whom] = true // whom its user had not read yet, and won't
		r.refused(a)
	}
	if since >= talk || len(r.known) == 0 {
		return
	}
	if r.Bound {
		r.deny(a, room, "case", beyond)
		return
	}
	a.place, r.known = r.known[0], r.known[1:]
	r.masks[a.place] = r.search(a, crossed)
	if !r.masks[a.place] {
		delete(r.masks, a.place)
		return
	}
	if r.step(a, auditlog.Check, field.SetOf(field.Number), "ok") && r.step(a, auditlog.Check, field.SetOf(field.Birth), "ok") &&
		r.step(a, auditlog.Read, callFields, "ok") {
		r.whole[a.place] = true
	}
	r.deny(a, room, "case", crossed) // of the user's
	if d.came = a.at; d.matter == enquiry || d.matter == form {
		r.refused(a)
	}
}

// contain stops, or asks for a touch, whom an event does.
func (r *run) contain(e *auditlog.Event) {
	var detail struct {
		Target *access.Target `json:"target"`
		StepUp bool           `json:"step_up"`
	}
	if json.Unmarshal(e.Detail, &detail) != nil || detail.Target == nil {
		return
	}
	id := detail.Target.ID
	if detail.StepUp && detail.Target.Kind == access.TheOffice {
		r.offices[id] = e.Time
		return
	}
	for i := range r.desks {
		d := &r.desks[i]
		switch {
		case id != staffCode(i) && id != r.device(i) && id != auditlog.Session(i+1).String():
		case detail.StepUp:
			d.asked = e.Time
		default:
			d.stopped = true
			if _, already := r.caught[i]; !already {
				r.caught[i] = e.Time
			}
		}
	}
}

// device is where a staff member sits.
func (r *run) device(staff int) string {
	if r.desks[staff].moved {
		return deviceCode(1000 + staff)
	}
	return deviceCode(staff)
}
