package access

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"azekura/approval"
	"azekura/auditlog"
)

// ErrContained refuses a session that was stopped, or whose device, staff member
// or office was. It is an ErrNoSession too: what was stopped has no session.
var ErrContained = fmt.Errorf("%w: this session, its device, staff member or office is contained; ask the security officer", ErrNoSession)

// What can be contained. StepUp stops nothing: it asks for a touch.
const (
	TheSession = "session"
	TheDevice  = "device"
	TheStaff   = "staff"
	TheOffice  = "office"
	All        = "all"
)

// Targets are the kinds of what can be contained.
var Targets = []string{TheSession, TheDevice, TheStaff, TheOffice, All}

// Target is what is contained, or asked for a touch: a kind and an id; All has
// none.
type Target struct {
	Kind string `json:"kind"`
	ID   string `json:"id,omitempty"`
}

// String names it in words.
func (t Target) String() string { return strings.TrimSpace(t.Kind + " " + t.ID) }

func (t Target) check() error {
	switch t.Kind {
	case TheSession:
		_, err := auditlog.ParseSession(t.ID)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		return nil
	case TheDevice, TheStaff, TheOffice:
		return checkCode(t.Kind+"'s id", t.ID)
	case All:
		if t.ID == "" {
			return nil
		}
	}
	return fmt.Errorf("%w: what can be contained is a session, a device, a staff member, an office, or all", ErrInvalid)
}

// Contained is a target that is stopped now.
type Contained struct {
	Target
	Since time.Time `json:"since"`
	Why   string    `json:"why"`
	By    string    `json:"by" doc:"who did: a staff member, the operator, or the rule's name"`
	// StepUp says that it isn't stopped, but that each opening asks for a fresh
	// touch.
	StepUp bool  `json:"step_up,omitempty"`
	Event  int64 `json:"event" doc:"index of the containment in the audit log"`
}

// stops are what is contained, and until when what was: a session that was opened
// before the last containment of anything about it stays ended.
type stops struct {
	now    map[Target]Contained
	before map[Target]time.Time
	touch  map[Target]Contained
}

func newStops() stops {
	return stops{now: map[Target]Contained{}, before: map[Target]time.Time{}, touch: map[Target]Contained{}}
}

// stop is the detail of an event that contains, or of one that releases.
type stop struct {
	Contains string  `json:"contains,omitempty"`
	Grants   string  `json:"grants,omitempty"` // "release" or "end-step-up"
	Target   *Target `json:"target,omitempty"`
	StepUp   bool    `json:"step_up,omitempty"`
	Why      string  `json:"why,omitempty"`
	By       string  `json:"by,omitempty"`
	Approval string  `json:"approval,omitempty"`
}

// target reads what an event contains. That of a session which was closed in the
// old way is its own.
func (s *stop) target(e *auditlog.Event) (Target, bool) {
	if s.Target == nil {
		return Target{s.Contains, e.Session.String()}, s.Contains == TheSession && e.Session != 0
	}
	return *s.Target, s.Target.check() == nil && s.Contains == s.Target.Kind
}

// ContainEvent is an event that contains a target: what a rule adds to the
// commit that saw the sign. by names the rule or the person; why is a line for
// people, without personal data.
func ContainEvent(t Target, why, by string) auditlog.Event {
	return containEvent(t, stop{Contains: t.Kind, Target: &t, Why: why, By: by})
}

// StepUpEvent is one that asks a target for a fresh touch before each opening.
func StepUpEvent(t Target, why, by string) auditlog.Event {
	return containEvent(t, stop{Contains: t.Kind, Target: &t, StepUp: true, Why: why, By: by})
}

func containEvent(t Target, s stop) auditlog.Event {
	e := auditlog.Event{Action: auditlog.Contain, Outcome: "ok", Detail: detail(s)}
	switch t.Kind {
	case TheSession:
		e.Session, _ = auditlog.ParseSession(t.ID)
	case TheDevice:
		e.Device = t.ID
	case TheStaff:
		e.Staff = t.ID
	}
	return e
}

// take lets a containment count; mu is held. It refuses one that it doesn't
// know: to pass over it would free what somebody stopped.
func (s *stops) take(e *auditlog.Event) error {
	var c stop
	if err := json.Unmarshal(e.Detail, &c); err != nil {
		return fmt.Errorf("read what it contains: %w", err)
	}
	t, ok := c.target(e)
	if !ok {
		return errors.New("it contains something that this program doesn't know of; a newer version wrote it")
	}
	at := time.UnixMicro(e.Time).UTC()
	is := Contained{Target: t, Since: at, Why: c.Why, By: c.By, StepUp: c.StepUp, Event: e.Index}
	switch {
	case c.StepUp:
		s.touch[t] = is
	case t.Kind == TheSession:
		s.before[t] = at // nobody opens it again
	default:
		s.now[t], s.before[t] = is, at
	}
	return nil
}

// release lets a release count; mu is held.
func (s *stops) release(e *auditlog.Event) error {
	var c stop
	if err := json.Unmarshal(e.Detail, &c); err != nil || c.Target == nil {
		return errors.New("it releases something that this program doesn't know of")
	}
	if c.Grants != "end-step-up" {
		delete(s.now, *c.Target)
	}
	delete(s.touch, *c.Target)
	return nil
}

// Heed hears what the log contains and releases, as soon as it is committed
// (auditlog.Log.Heed): who read in the same batch gets no plaintext any more.
func (d *Directory) Heed(e auditlog.Event) {
	if e.Action == auditlog.Grant && bytes.Contains(e.Detail, []byte(`"device-revoked"`)) {
		d.mu.Lock()
		defer d.mu.Unlock()
		_ = d.replayGrant(e) // who revoked it does it again, and hears the error
	}
	if e.Action != auditlog.Contain {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var c contained
	if json.Unmarshal(e.Detail, &c) == nil && c.Contains == TheSession && c.Target == nil {
		if row := d.sessions[e.Session]; row == nil || !row.closed.IsZero() {
			return // closed by who closes sessions here
		}
	}
	if d.stops.take(&e) != nil {
		// What can't be understood stops everybody, since it may stop anybody.
		d.stops.now[Target{Kind: All}] = Contained{Target: Target{Kind: All}, Since: time.UnixMicro(e.Time).UTC(), Event: e.Index}
	}
}

// contained tells whether a session is stopped; mu is held.
func (d *Directory) contained(row *sessionRow) bool {
	if len(d.stops.before) == 0 {
		return false
	}
	if d.now(row) {
		return true
	}
	for _, t := range d.about(row) {
		if at, was := d.stops.before[t]; was && !row.opened.After(at) {
			return true
		}
	}
	return false
}

// stopped tells whether a session of a staff member at a device would be stopped
// from its beginning. The caller holds grants.
func (d *Directory) stopped(staff, device string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.now(&sessionRow{staff: staff, device: device})
}

// now tells whether anything about a session is contained at this moment; mu is
// held.
func (d *Directory) now(row *sessionRow) bool {
	for _, t := range d.about(row) {
		if _, is := d.stops.now[t]; is {
			return true
		}
	}
	return false
}

// about are the targets that a session belongs to. Its office is its staff
// member's and its device's.
func (d *Directory) about(row *sessionRow) [6]Target {
	return [6]Target{{TheSession, row.session.String()}, {TheDevice, row.device}, {TheStaff, row.staff},
		{TheOffice, d.staff[row.staff].Office}, {TheOffice, d.devices[row.device].Office}, {Kind: All}}
}

// MayOpen refuses a session that is asked for a touch and hasn't given it: one
// since it was asked, where the session alone is; a fresh one for every opening
// otherwise.
func (d *Directory) MayOpen(s Session) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	row := d.sessions[s.id]
	if row == nil || len(d.stops.touch) == 0 {
		return nil
	}
	touched := time.Time{}
	if row.sitting != nil {
		touched = time.UnixMicro(row.touched.Load())
	}
	for _, t := range d.about(row) {
		asked, is := d.stops.touch[t]
		if !is {
			continue
		}
		if !touched.After(asked.Since) || t.Kind != TheSession && d.log.Now().Sub(touched) >= TouchLasts {
			return ErrTouch
		}
	}
	return nil
}

// Contained lists what is stopped, and what is asked for a touch, the oldest
// first.
func (d *Directory) Contained() []Contained {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := []Contained{}
	for _, c := range d.stops.now {
		list = append(list, c)
	}
	for _, c := range d.stops.touch {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Contained) int {
		if a.Event != b.Event {
			return int(a.Event - b.Event)
		}
		return strings.Compare(a.String(), b.String())
	})
	return list
}

// Contain stops a session, a device, a staff member, an office or all, on a
// person's word. Their sessions end at once and for good.
func (d *Directory) Contain(ctx context.Context, o Officer, t Target, why string) (Contained, error) {
	if err := t.check(); err != nil {
		return Contained{}, err
	}
	if !plainReason(why) {
		return Contained{}, fmt.Errorf("%w: say why it is contained, in one line of up to 200 bytes", ErrInvalid)
	}
	if err := d.may(ctx, o, "contain", t.String(), "security-officer"); err != nil {
		return Contained{}, err
	}
	if err := d.exists(t); err != nil {
		return Contained{}, err
	}
	event := ContainEvent(t, why, o.by())
	// It is in force before the receipt is here: the directory heeds the log.
	r, err := d.grant(ctx, event)
	if err != nil {
		return Contained{}, fmt.Errorf("contain %s: %w", t, err)
	}
	return Contained{Target: t, Since: time.UnixMicro(r.Time()).UTC(), Why: why, By: o.by(), Event: r.Index()}, nil
}

func (d *Directory) exists(t Target) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var found bool
	switch t.Kind {
	case TheSession:
		id, _ := auditlog.ParseSession(t.ID)
		_, found = d.sessions[id]
	case TheDevice:
		_, found = d.devices[t.ID]
	case TheStaff:
		_, found = d.staff[t.ID]
	case TheOffice:
		for _, s := range d.staff {
			found = found || s.Office == t.ID
		}
		for _, p := range d.devices {
			found = found || p.Office == t.ID
		}
	default:
		found = true
	}
	if !found {
		return fmt.Errorf("%s %w; azekura %s list shows what there is", t, ErrNotFound, map[bool]string{true: "staff", false: t.Kind}[t.Kind == TheOffice])
	}
	return nil
}

// KindRelease is the kind of the proposal to release what is contained.
const KindRelease = "release"

// Releasing is what two people approve: that a target is released.
type Releasing struct {
	Log    string `json:"log"`
	Target Target `json:"target"`
	Event  int64  `json:"event"` // that contained it
	Why    string `json:"why"`
}

// Kind is that of its proposal.
func (r Releasing) Kind() string { return KindRelease }

// Words are what they read.
func (r Releasing) Words() string {
	return fmt.Sprintf("What is contained at %s is released: %s, contained by event %d of the log.\nSessions that ended by it stay ended; new ones may be opened.\nReason: %s\n", r.Log, r.Target, r.Event, r.Why) +
		fmt.Sprintf("%s での封じ込めを解除します：%s（ログの事象 %d による）。終了したセッションは戻らず、新たに開くことができます。\n理由：%s\n", r.Log, r.Target, r.Event, r.Why)
}

// ProposeRelease makes what is to be approved, as things stand now.
func (d *Directory) ProposeRelease(log string, t Target, why string) (Releasing, error) {
	if !plainReason(why) {
		return Releasing{}, fmt.Errorf("%w: say why it is released, in one line of up to 200 bytes", ErrInvalid)
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	is, ok := d.stops.now[t]
	if !ok {
		is, ok = d.stops.touch[t]
	}
	if !ok {
		return Releasing{}, fmt.Errorf("%s is contained: %w; azekura contain list shows what is", t, ErrNotFound)
	}
	return Releasing{log, t, is.Event, why}, nil
}

// Releases refuses unless a release of what is contained now was approved. What they
// approved is this containment's end and no later one's.
func (d *Directory) Releases(log string, a approval.Approved) error {
	_, err := d.releases(log, a)
	return err
}

func (d *Directory) releases(log string, a approval.Approved) (r Releasing, err error) {
	err = a.For(KindRelease, log, approval.AnySize, &r, func() (string, error) {
		now, err := d.ProposeRelease(log, r.Target, r.Why)
		return now.Words(), err
	})
	return r, err
}

// Release lets a target open sessions again, as two people approved it.
func (d *Directory) Release(ctx context.Context, log string, a approval.Approved) (Target, error) {
	d.grants.Lock()
	defer d.grants.Unlock()
	r, err := d.releases(log, a)
	if err != nil {
		return Target{}, err
	}
	event := auditlog.Event{Detail: detail(stop{Grants: "release", Target: &r.Target, Why: r.Why, Approval: a.Note()})}
	if _, err := d.settle(ctx, Operator(), event); err != nil {
		return Target{}, fmt.Errorf("release %s: %w", r.Target, err)
	}
	return r.Target, nil
}

// Stop is what an event contains or releases.
type Stop struct {
	Target  Target
	StepUp  bool // it asks for a touch, or asks no more
	Release bool
	By      string
}

// StopOf tells what an event contains or releases, if it does either. Who closes a
// session contains nothing.
func StopOf(e *auditlog.Event) (Stop, bool) {
	var s stop
	if e.Action != auditlog.Contain && e.Action != auditlog.Grant || json.Unmarshal(e.Detail, &s) != nil || s.Target == nil {
		return Stop{}, false
	}
	release := s.Grants == "release" || s.Grants == "end-step-up"
	if e.Action == auditlog.Grant && !release {
		return Stop{}, false
	}
	return Stop{*s.Target, s.StepUp || s.Grants == "end-step-up", release, s.By}, true
}
