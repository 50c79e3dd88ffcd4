package access

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"azekura/auditlog"
)

// MaxDeputy is the longest that a deputy stands in.
const MaxDeputy = 31 * 24 * time.Hour

// maxReason bounds a reason, in bytes.
const maxReason = 200

// Deputy is one staff member's standing in for another in a role, for a time. Their
// own roles that the role excludes rest meanwhile.
type Deputy struct {
	Staff  string     `json:"staff"`
	For    string     `json:"for"`
	Role   string     `json:"role"`
	From   time.Time  `json:"from"`
	Until  time.Time  `json:"until"`
	Reason string     `json:"reason"`
	By     string     `json:"by"`
	Event  int64      `json:"event" doc:"index of the grant in the audit log"`
	Ended  *time.Time `json:"ended,omitempty" doc:"when it was ended before its time"`
}

func (p *Deputy) until() time.Time {
	if p.Ended != nil && p.Ended.Before(p.Until) {
		return *p.Ended
	}
	return p.Until
}

func (p *Deputy) at(t time.Time) bool { return !t.Before(p.From) && t.Before(p.until()) }

// people is what the directory knows of staff beyond their names.
type people struct {
	deputies map[int64]*Deputy    // by event
	standing map[string][]*Deputy // the same, by who stands in
	keys     map[string][]*Passkey
	codes    map[string]*enrolment // the newest of each staff member
	settled  bool                  // that the operator's first enrolments are over
}

func newPeople() people {
	return people{deputies: map[int64]*Deputy{}, standing: map[string][]*Deputy{}, keys: map[string][]*Passkey{}, codes: map[string]*enrolment{}}
}

// ofPeople is the detail of an event about staff.
type ofPeople struct {
	Grants string    `json:"grants"` // roles, deputy, deputy-end, code, passkey, vouch, passkeys-removed, touch
	Staff  string    `json:"staff,omitempty"`
	Roles  []string  `json:"roles,omitempty"`
	Left   bool      `json:"left,omitempty"`
	For    string    `json:"for,omitempty"`
	Role   string    `json:"role,omitempty"`
	From   time.Time `json:"from,omitzero"`
	Until  time.Time `json:"until,omitzero"`
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by,omitempty"`
	Of     int64     `json:"of,omitempty"` // the event that this one is about
	Key    *sealKey  `json:"key,omitempty"`
	Hash   []byte    `json:"hash,omitempty"` // a code's SHA-256
	Via    string    `json:"via,omitempty"`
	Count  uint32    `json:"count,omitempty"`
}

// replayPeople lets an event about staff count; mu is held.
func (d *Directory) replayPeople(grants string, e auditlog.Event) error {
	switch grants {
	case "roles", "deputy", "deputy-end", "code", "passkey", "vouch", "passkeys-removed", "touch":
	default:
		return nil // another room's
	}
	var g ofPeople
	if err := json.Unmarshal(e.Detail, &g); err != nil {
		return fmt.Errorf("read what it grants: %w", err)
	}
	at := time.UnixMicro(e.Time).UTC()
	switch grants {
	case "roles":
		d.rolesAre(g, at)
	case "deputy":
		p := &Deputy{Staff: g.Staff, For: g.For, Role: g.Role, From: g.From, Until: g.Until, Reason: g.Reason, By: g.By, Event: e.Index}
		d.deputies[e.Index], d.standing[g.Staff] = p, append(d.standing[g.Staff], p)
	case "deputy-end":
		d.endDeputies(at, func(p *Deputy) bool { return p.Event == g.Of })
	case "touch":
		if row := d.sessions[e.Session]; row != nil && row.sitting != nil {
			row.touch(e.Time)
			d.counted(row.staff, row.key, g.Count)
		}
	default:
		d.replayKeys(grants, g, e, at)
	}
	return nil
}

// rolesAre sets a staff member's roles; what stood on those that they don't have
// any more ends.
func (d *Directory) rolesAre(g ofPeople, at time.Time) {
	s := d.staff[g.Staff]
	s.Roles = g.Roles
	if len(g.Roles) > 0 {
		s.Role = g.Roles[0]
	}
	if g.Left {
		s.Roles, s.Left = nil, &at
		d.forgetKeys(g.Staff)
	}
	d.staff[g.Staff] = s
	d.endDeputies(at, func(p *Deputy) bool {
		return g.Left && p.Staff == g.Staff || p.For == g.Staff && !slices.Contains(g.Roles, p.Role)
	})
	d.endSessions(g.Staff, at, func(row *sessionRow) bool { return g.Left || !slices.Contains(d.held(g.Staff, at), row.role) })
}

// endDeputies ends deputies' standing now; what ended stays ended.
func (d *Directory) endDeputies(at time.Time, which func(*Deputy) bool) {
	for _, p := range d.deputies {
		if which(p) && p.Ended == nil && at.Before(p.Until) {
			p.Ended = &at
		}
	}
}

func (d *Directory) endSessions(staff string, at time.Time, which func(*sessionRow) bool) {
	for _, row := range d.sessions {
		if row.staff == staff && !row.recorded && which(row) {
			row.closed, row.recorded = at, true
		}
	}
}

// AddMachine adds a program's account: the operator opens its sessions, and nobody
// signs in to it.
func (d *Directory) AddMachine(ctx context.Context, id, role, office string) (Staff, error) {
	return d.addStaff(ctx, granted{Grants: "staff", Staff: id, Role: role, Office: office, Machine: true})
}

// IsMachine tells whether a staff member is a program's account.
func (d *Directory) IsMachine(staff string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.staff[staff].Machine
}

// SetRoles gives a staff member these roles and no others.
func (d *Directory) SetRoles(ctx context.Context, o Officer, staff string, roles []string) (Staff, error) {
	if err := checkRoles(roles); err != nil {
		return Staff{}, err
	}
	if len(roles) == 0 {
		return Staff{}, fmt.Errorf("%w: name one role or more; azekura staff remove takes all of them", ErrInvalid)
	}
	return d.setRoles(ctx, o, ofPeople{Grants: "roles", Staff: staff, Roles: roles})
}

// RemoveStaff takes a staff member's roles, passkeys and sessions. Their id stays
// theirs.
func (d *Directory) RemoveStaff(ctx context.Context, o Officer, staff string) (Staff, error) {
	return d.setRoles(ctx, o, ofPeople{Grants: "roles", Staff: staff, Left: true})
}

func (d *Directory) setRoles(ctx context.Context, o Officer, g ofPeople) (Staff, error) {
	d.grants.Lock()
	defer d.grants.Unlock()
	of, ok := d.staff[g.Staff]
	if !ok {
		return Staff{}, fmt.Errorf("staff member %w; azekura staff list shows them", ErrNotFound)
	}
	if of.Left != nil {
		return Staff{}, fmt.Errorf("%w: staff member %s was removed", ErrInvalid, g.Staff)
	}
	what := "roles"
	if g.Left {
		what = "remove staff"
	}
	if err := d.may(ctx, o, what, g.Staff, "administrator"); err != nil {
		return Staff{}, err
	}
	g.By = o.by()
	if _, err := d.settle(ctx, o, auditlog.Event{Detail: detail(g)}); err != nil {
		return Staff{}, fmt.Errorf("change staff %s: %w", g.Staff, err)
	}
	return d.staff[g.Staff], nil
}

// Deputise lets a staff member stand in for another in a role that the other has.
// A zero From is now.
func (d *Directory) Deputise(ctx context.Context, o Officer, p Deputy) (Deputy, error) {
	d.grants.Lock()
	defer d.grants.Unlock()
	now := d.log.Now().UTC().Truncate(time.Microsecond)
	if p.From.IsZero() {
		p.From = now
	}
	p.From, p.Until = p.From.UTC().Truncate(time.Microsecond), p.Until.UTC().Truncate(time.Microsecond)
	if err := d.checkDeputy(p, now); err != nil {
		return Deputy{}, err
	}
	if err := d.may(ctx, o, "deputy", p.Staff, "administrator"); err != nil {
		return Deputy{}, err
	}
	if !o.operator && o.session.staff == p.For {
		return Deputy{}, d.denied(ctx, o, "deputy", p.For, fmt.Errorf("%w: nobody names their own deputy", ErrRefused))
	}
	g := ofPeople{Grants: "deputy", Staff: p.Staff, For: p.For, Role: p.Role, From: p.From, Until: p.Until, Reason: p.Reason, By: o.by()}
	e, err := d.settle(ctx, o, auditlog.Event{Detail: detail(g)})
	if err != nil {
		return Deputy{}, fmt.Errorf("name a deputy: %w", err)
	}
	return *d.deputies[e.Index], nil
}

func (d *Directory) checkDeputy(p Deputy, now time.Time) error {
	if _, err := d.person(p.Staff); err != nil {
		return err
	}
	of, err := d.person(p.For)
	if err != nil {
		return err
	}
	switch {
	case p.Staff == p.For:
		return fmt.Errorf("%w: a deputy is another person", ErrInvalid)
	case !slices.Contains(of.own(), p.Role):
		return fmt.Errorf("%w: %s hasn't the role %s to be stood in for", ErrInvalid, p.For, p.Role)
	case p.From.Before(now.Add(-time.Minute)):
		return fmt.Errorf("%w: a deputy stands in from now on or later", ErrInvalid)
	case !p.Until.After(p.From) || !p.Until.After(now) || p.Until.Sub(p.From) > MaxDeputy:
		return fmt.Errorf("%w: a deputy stands in for up to %d days", ErrInvalid, MaxDeputy/(24*time.Hour))
	case !plainReason(p.Reason):
		return fmt.Errorf("%w: a reason is one line of up to %d bytes, without anybody's data", ErrInvalid, maxReason)
	}
	for _, q := range d.standing[p.Staff] {
		if !q.From.Before(p.Until) || !p.From.Before(q.until()) {
			continue
		}
		if why := excluded(q.Role, p.Role); why != "" {
			return fmt.Errorf("%w: %s stands in as %s in that time, and nobody is %s and %s: %s", ErrInvalid, p.Staff, q.Role, q.Role, p.Role, why)
		}
	}
	return nil
}

func plainReason(text string) bool {
	return strings.TrimSpace(text) != "" && len(text) <= maxReason && utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// EndDeputy ends a deputy's standing before its time. event is its grant's.
func (d *Directory) EndDeputy(ctx context.Context, o Officer, event int64) (Deputy, error) {
	d.grants.Lock()
	defer d.grants.Unlock()
	p := d.deputies[event]
	if p == nil {
		return Deputy{}, fmt.Errorf("deputy %w; azekura staff deputies shows them", ErrNotFound)
	}
	if p.Ended != nil || !d.log.Now().Before(p.Until) {
		return *p, nil
	}
	if err := d.may(ctx, o, "deputy", p.Staff, "administrator", "security-officer"); err != nil {
		return Deputy{}, err
	}
	if _, err := d.settle(ctx, o, auditlog.Event{Detail: detail(ofPeople{Grants: "deputy-end", Staff: p.Staff, Of: event, By: o.by()})}); err != nil {
		return Deputy{}, fmt.Errorf("end a deputy: %w", err)
	}
	return *p, nil
}

// Deputies lists who stands in, stood in or is to stand in for whom, by event.
func (d *Directory) Deputies() []Deputy {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := make([]Deputy, 0, len(d.deputies))
	for _, p := range sorted(d.deputies, func(a, b *Deputy) int { return int(a.Event - b.Event) }) {
		list = append(list, *p)
	}
	return list
}
