// Package rules watches the audit log's events for the signs of a thief, and acts
// in the commit that saw one: it notes, asks for a touch, or contains.
//
// A Watch is a judge of the log (auditlog.Judge). Its rules are a file that people
// read (rules.json); its state follows from the log's events alone, so that a
// restart and a failed commit change nothing of what it knows. An alarm is an
// event that names the rule, and stands with what the rule does right behind the
// event that was the sign. Each rule speaks once of a subject in its window, and begins
// anew with whom two people released. What an
// honest member of the staff makes good by their key, some rules take back; malware
// can't touch one.
//
// An opening of a canary is refused, though nothing of a canary is worth hiding:
// what follows a containment gets no plaintext, and that begins with its cause.
// The denial is no different from that of any contained session. Of sets and of
// events without a session, which are the gate's own jobs, no rule hears.
//
// A key that goes on at another address asks its sessions for a touch, since laptops
// roam; one that is used here, there and here again within a minute ends them.
//
// By rule a session, its device and its staff member are contained and no more. Where a
// second device of an office is contained for canaries within an hour, the office is asked
// for a touch before every opening: nobody can stop an office by planting signs.
//
// It sees what the log holds, so neither what a search was for nor which number
// was typed: enumeration shows by its misses, by the canaries that searches name, and
// by the gate's marks on numbers next to each other.
package rules

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"sync"

	"azekura/access"
	"azekura/auditlog"
	"azekura/register/field"
)

// maxSubjects bounds what is remembered of one rule. Past it, the subjects that
// were silent the longest are forgotten.
const maxSubjects = 50_000

// subject is one whom a rule counts: the rule's name, and a session, device or
// staff member.
type subject struct{ Rule, ID string }

// seen is what a rule remembers of a subject.
type seen struct {
	At    []int64  // microseconds, of the last events that count
	Of    []string // whom, or in which case, where the rule asks that
	Fired int64    // when the alarm of this window was, or 0
}

// Watch judges events by rules.
type Watch struct {
	mu      sync.Mutex
	rules   []Rule
	canary  func(auditlog.ID) bool
	state   state
	pending []func() // takes back what was noted since the last Settle
}

type state struct {
	Rules   [sha256.Size]byte
	Seen    map[subject]seen
	Offices map[string]string  // of staff
	Touched map[string][]touch // canaries touched, by office, in the last hour
	Habits  map[string]habit   // what offices read
}

// habit is what an office read.
type habit struct {
	Reads int64
	What  map[string]bool // purpose and field
}

// settled is how many reads of an office tell what it reads.
const settled = 500

// touch is a sign of canaries at a device.
type touch struct {
	At     int64
	Device string
}

// New makes a watch. canary tells who is one.
func New(list []Rule, canary func(auditlog.ID) bool) *Watch {
	raw, err := json.Marshal(list)
	if err != nil { // texts and numbers
		panic(err)
	}
	w := &Watch{rules: list, canary: canary}
	w.state = newState(sha256.Sum256(raw))
	return w
}

func newState(of [sha256.Size]byte) state {
	return state{Rules: of, Seen: map[subject]seen{}, Offices: map[string]string{}, Touched: map[string][]touch{}, Habits: map[string]habit{}}
}

// Name is the judge's.
func (w *Watch) Name() string { return "rules" }

// isCanary tells whether an event is about one.
func (w *Watch) isCanary(e *auditlog.Event) bool {
	return e.Participant != (auditlog.ID{}) && w.canary(e.Participant)
}

// opens tells whether an event opens a canary's fields or compares them.
func opens(e *auditlog.Event) bool {
	return e.Action == auditlog.Read || e.Action == auditlog.Check || e.Action == auditlog.Checked
}

func (r *Rule) subject(e *auditlog.Event) subject {
	switch r.Per {
	case "device":
		return subject{r.Name, e.Device}
	case "staff":
		return subject{r.Name, e.Staff}
	}
	return subject{r.Name, e.Session.String()}
}

// of is what the rule knows an event by: the case, or the participant, or nothing.
func (r *Rule) of(e *auditlog.Event) string {
	switch {
	case r.Mended:
		return e.Case
	case r.Distinct:
		return e.Participant.String()
	}
	return ""
}

// next is what a rule would remember of a subject after an event, and whether
// the event is a sign.
func (r *Rule) next(s seen, e *auditlog.Event) (seen, bool) {
	from, of := e.Time-r.Within*1e6, r.of(e)
	n := s.less(func(i int) bool { return s.At[i] <= from || r.Distinct && s.Of[i] == of })
	n.At = append(n.At, e.Time)
	if r.Distinct || r.Mended {
		n.Of = append(n.Of, of)
	}
	if over := len(n.At) - r.Count; over > 0 {
		n.At = n.At[over:]
		if n.Of != nil {
			n.Of = n.Of[over:]
		}
	}
	if len(n.At) < r.Count || n.Fired > from && n.Fired != 0 {
		return n, false
	}
	n.Fired = e.Time
	return n, true
}

// less is what is remembered, but for some.
func (s *seen) less(gone func(i int) bool) seen {
	n := seen{Fired: s.Fired}
	for i, at := range s.At {
		if gone(i) {
			continue
		}
		n.At = append(n.At, at)
		if s.Of != nil {
			n.Of = append(n.Of, s.Of[i])
		}
	}
	return n
}

// Judge says which signs an entry's events are.
func (w *Watch) Judge(events []auditlog.Event) auditlog.Verdict {
	w.mu.Lock()
	defer w.mu.Unlock()
	var v auditlog.Verdict
	ahead := map[subject]seen{}
	asked := false
	for i := range events {
		e := &events[i]
		canary, touched := w.isCanary(e), false
		for n := range w.rules {
			r := &w.rules[n]
			if !r.counts(e, canary) || r.Novel && !w.novel(e) {
				continue
			}
			key := r.subject(e)
			was, already := ahead[key]
			if !already {
				was = w.state.Seen[key]
			}
			next, sign := r.next(was, e)
			if ahead[key] = next; sign && len(v.Add) <= 8 {
				v.Add = append(v.Add, r.act(e)...)
				touched = touched || r.touches(e)
			}
		}
		if canary && opens(e) && e.Session != 0 && v.Refuse == nil {
			v.Refuse, v.Outcome, touched = access.ErrContained, "contained", true
		}
		if office, second := w.second(e); touched && second && !asked {
			asked = true
			v.Add = append(v.Add, access.StepUpEvent(access.Target{Kind: access.TheOffice, ID: office}, "two devices touched canaries within an hour", "rule "+twoDevices))
		}
	}
	return v
}

// touches tells whether a rule's sign is a canary's that an attacker touched: one that
// was opened or compared, or what else contains.
func (r *Rule) touches(e *auditlog.Event) bool {
	return r.Canary && (opens(e) || r.Action == Contain)
}

const twoDevices = "two-devices"

// sign is the detail of an alarm that a rule gives.
type sign struct {
	Rule     string `json:"rule"`
	Severity string `json:"severity"`
	Says     string `json:"says"`
	// Touch says that a canary was touched: the denial that stands before doesn't.
	Touch   bool   `json:"touch,omitempty"`
	Subject string `json:"subject"`
}

// act is what a rule does about a sign.
func (r *Rule) act(e *auditlog.Event) []auditlog.Event {
	raw, err := json.Marshal(sign{r.Name, r.Severity, r.Says, r.touches(e), r.subject(e).ID})
	if err != nil { // texts
		panic(err)
	}
	list := []auditlog.Event{{Action: auditlog.Alarm, Outcome: auditlog.Rule, Purpose: auditlog.Rule, Staff: e.Staff, Role: e.Role, Device: e.Device, Session: e.Session, Request: e.Request, Detail: raw}}
	session, by := access.Target{Kind: access.TheSession, ID: e.Session.String()}, "rule "+r.Name
	switch r.Action {
	case StepUp:
		list = append(list, access.StepUpEvent(session, r.Says, by))
	case End:
		list = append(list, access.ContainEvent(session, r.Says, by))
	case Contain:
		list = append(list, access.ContainEvent(session, r.Says, by))
		if e.Device != "" {
			list = append(list, access.ContainEvent(access.Target{Kind: access.TheDevice, ID: e.Device}, r.Says, by))
		}
		if e.Staff != "" {
			list = append(list, access.ContainEvent(access.Target{Kind: access.TheStaff, ID: e.Staff}, r.Says, by))
		}
	}
	return list
}

// hour is that of two devices, in microseconds.
const hour = int64(3600 * 1e6)

// second tells whether another device of the event's office touched canaries in
// the last hour.
func (w *Watch) second(e *auditlog.Event) (office string, is bool) {
	office = w.state.Offices[e.Staff]
	return office, office != "" && slices.ContainsFunc(w.state.Touched[office], func(t touch) bool {
		return t.Device != e.Device && t.At > e.Time-hour
	})
}

// Note takes in what is recorded.
func (w *Watch) Note(e *auditlog.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e.Action {
	case auditlog.Grant:
		w.noteOffice(e)
		w.noteRelease(e)
		return
	case auditlog.Alarm:
		w.noteAlarm(e) // and counts, where it is of a key's address
	}
	if e.Session == 0 {
		return
	}
	canary, mended := w.isCanary(e), mends(e)
	defer w.learn(e)
	for n := range w.rules {
		if mended != nil {
			w.mend(&w.rules[n], e, mended)
		}
		if r := &w.rules[n]; r.counts(e, canary) && (!r.Novel || w.novel(e)) {
			key := r.subject(e)
			next, _ := r.next(w.state.Seen[key], e)
			next.Fired = w.state.Seen[key].Fired // the alarm says when
			w.set(key, next)
		}
	}
}

// mend takes back what a rule counted in some cases.
func (w *Watch) mend(r *Rule, e *auditlog.Event, rooms []string) {
	if !r.Mended {
		return
	}
	key := r.subject(e)
	s := w.state.Seen[key]
	if n := s.less(func(i int) bool { return slices.Contains(rooms, s.Of[i]) }); len(n.At) < len(s.At) {
		w.set(key, n)
	}
}

func readFor(e *auditlog.Event, f field.Field) string { return e.Purpose + " " + f.String() }

// novel tells whether a read is of a field that its office, whose habits are known,
// never read for that purpose.
func (w *Watch) novel(e *auditlog.Event) bool {
	h := w.state.Habits[w.state.Offices[e.Staff]]
	return e.Action == auditlog.Read && h.Reads >= settled && slices.ContainsFunc(e.Fields, func(f auditlog.FieldVersion) bool { return !h.What[readFor(e, f.Field)] })
}

// learn adds a read to its office's habits.
func (w *Watch) learn(e *auditlog.Event) {
	office := w.state.Offices[e.Staff]
	if e.Action != auditlog.Read || office == "" {
		return
	}
	h := w.state.Habits[office]
	if h.What == nil {
		h.What = map[string]bool{}
	}
	h.Reads++
	w.state.Habits[office] = h
	var first []string
	for _, f := range e.Fields {
		if what := readFor(e, f.Field); !h.What[what] {
			h.What[what] = true
			first = append(first, what)
		}
	}
	w.pending = append(w.pending, func() {
		for _, what := range first {
			delete(h.What, what)
		}
		h := w.state.Habits[office]
		h.Reads--
		w.state.Habits[office] = h
	})
}

// noteAlarm remembers that a rule spoke, and who touched canaries: the denial that
// stands in the log for it tells neither.
func (w *Watch) noteAlarm(e *auditlog.Event) {
	var s sign
	if e.Outcome != auditlog.Rule || json.Unmarshal(e.Detail, &s) != nil || s.Rule == "" {
		return
	}
	key := subject{s.Rule, s.Subject}
	next := w.state.Seen[key]
	next.Fired = e.Time
	w.set(key, next)
	office := w.state.Offices[e.Staff]
	if !s.Touch || office == "" {
		return
	}
	before := w.state.Touched[office]
	after := slices.DeleteFunc(slices.Clone(before), func(t touch) bool { return t.At <= e.Time-hour || t.Device == e.Device })
	w.state.Touched[office] = append(after, touch{e.Time, e.Device})
	w.pending = append(w.pending, func() {
		if w.state.Touched[office] = before; before == nil {
			delete(w.state.Touched, office)
		}
	})
}

// noteRelease begins anew with whom two people released: what was counted before is what
// they looked at, and what comes after speaks again.
func (w *Watch) noteRelease(e *auditlog.Event) {
	stop, is := access.StopOf(e)
	if !is || !stop.Release || stop.StepUp {
		return
	}
	for n := range w.rules {
		if key := (subject{w.rules[n].Name, stop.Target.ID}); w.state.Seen[key].last() != 0 {
			w.set(key, seen{})
		}
	}
}

func (w *Watch) noteOffice(e *auditlog.Event) {
	var g struct{ Grants, Staff, Office string }
	if json.Unmarshal(e.Detail, &g) != nil || g.Grants != "staff" {
		return
	}
	before, was := w.state.Offices[g.Staff]
	w.state.Offices[g.Staff] = g.Office
	w.pending = append(w.pending, func() {
		if w.state.Offices[g.Staff] = before; !was {
			delete(w.state.Offices, g.Staff)
		}
	})
}

func (w *Watch) set(key subject, next seen) {
	before, was := w.state.Seen[key]
	w.state.Seen[key] = next
	w.pending = append(w.pending, func() {
		if w.state.Seen[key] = before; !was {
			delete(w.state.Seen, key)
		}
	})
}

// Settle makes it stand, or takes it back, the last first.
func (w *Watch) Settle(committed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !committed {
		for n := len(w.pending) - 1; n >= 0; n-- {
			w.pending[n]()
		}
	}
	clear(w.pending)
	w.pending = w.pending[:0]
	if len(w.state.Seen) > maxSubjects {
		w.forget()
	}
}

func (s seen) last() int64 {
	if len(s.At) == 0 {
		return s.Fired
	}
	return max(s.Fired, s.At[len(s.At)-1])
}

// forget drops the silent half.
func (w *Watch) forget() {
	times := make([]int64, 0, len(w.state.Seen))
	for _, s := range w.state.Seen {
		times = append(times, s.last())
	}
	slices.Sort(times)
	for key, s := range w.state.Seen {
		if s.last() <= times[len(times)/2] {
			delete(w.state.Seen, key)
		}
	}
}

// Save writes what is remembered.
func (w *Watch) Save(to io.Writer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return gob.NewEncoder(to).Encode(w.state)
}

// Load takes it up again, unless it is of other rules.
func (w *Watch) Load(from io.Reader) error {
	raw, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := newState([sha256.Size]byte{})
	if err := gob.NewDecoder(bytes.NewReader(raw)).Decode(&s); err != nil {
		return err
	}
	if s.Rules != w.state.Rules {
		return errors.New("it was remembered for other rules")
	}
	w.state = s
	return nil
}
