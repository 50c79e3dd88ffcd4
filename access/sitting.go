package access

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"azekura/access/device"
	"azekura/auditlog"
)

// Ways by which a session begins and its holder proves that they are there.
const (
	ViaPasskey = "passkey"
	ViaOIDC    = "oidc"
)

// Rules bound the sessions that staff sign in to.
type Rules struct {
	Lasts  time.Duration // from the sign-in to the end
	Idle   time.Duration // since its last use
	AtOnce int           // of one staff member
}

// DefaultRules are those of an installation that says nothing else.
var DefaultRules = Rules{Lasts: 8 * time.Hour, Idle: 15 * time.Minute, AtOnce: 2}

// Check refuses rules that would bound nothing.
func (r Rules) Check() error {
	switch {
	case r.Lasts < time.Minute || r.Lasts > MaxSession:
		return fmt.Errorf("%w: a session lasts from a minute to %s", ErrInvalid, MaxSession)
	case r.Idle < time.Minute || r.Idle > r.Lasts:
		return fmt.Errorf("%w: a session idles out after a minute or more, and before its end", ErrInvalid)
	case r.AtOnce < 1 || r.AtOnce > 10:
		return fmt.Errorf("%w: a staff member has 1 to 10 sessions at once", ErrInvalid)
	}
	return nil
}

// sitting is what a session that somebody signed in to has besides.
type sitting struct {
	via     string
	idles   time.Duration
	key     []byte // the passkey's id
	used    atomic.Int64
	touched atomic.Int64 // both in microseconds, UTC
}

// entry is how a session began, as the session carries it.
type entry struct {
	via     string
	touched time.Time
}

// Via is how the session began: by passkey, oidc, or by the operator where it is a
// program's or a test's.
func (s Session) Via() string { return s.via }

// Touched is when the session's holder last proved that they are there; zero for
// one that nobody signed in to.
func (s Session) Touched() time.Time { return s.touched }

// Office is the office of the session's staff member.
func (s Session) Office() string { return s.office }

// Staff is the session's staff member.
func (s Session) Staff() string { return s.staff }

// Device is the session's device.
func (s Session) Device() string { return s.device }

// idle tells whether a session was left alone for too long. It doesn't come back:
// what is refused isn't a use.
func (s *sitting) idle(now time.Time) bool {
	return s != nil && !now.Before(time.UnixMicro(s.used.Load()).Add(s.idles))
}

func (s *sitting) use(now time.Time) {
	if s == nil {
		return
	}
	for at := now.UnixMicro(); ; {
		if was := s.used.Load(); was >= at || s.used.CompareAndSwap(was, at) {
			return
		}
	}
}

func (s *sitting) touch(at int64) {
	s.use(time.UnixMicro(at))
	s.touched.Store(at)
}

func (s *sitting) entry() entry {
	if s == nil {
		return entry{via: "operator"}
	}
	return entry{s.via, time.UnixMicro(s.touched.Load()).UTC()}
}

func (s *sitting) tell(info *SessionInfo) {
	info.Via = "operator"
	if s == nil {
		return
	}
	used, touched := time.UnixMicro(s.used.Load()).UTC(), time.UnixMicro(s.touched.Load()).UTC()
	info.Via, info.Used, info.Touched = s.via, &used, &touched
	ends := used.Add(s.idles)
	info.Idles = &ends
}

// signedIn is the part of a session's grant that only a sign-in has.
type signedIn struct {
	Via     string    `json:"via,omitempty"`
	Idle    int64     `json:"idle,omitempty"` // seconds
	Key     []byte    `json:"key,omitempty"`
	Count   uint32    `json:"count,omitempty"`
	Touched time.Time `json:"touched,omitzero"`
}

// replaySitting gives a session what its sign-in gave it. Its use isn't in the log:
// after a restart it counts from the last touch, so one that might have idled out
// has. mu is held.
func (d *Directory) replaySitting(row *sessionRow, e auditlog.Event) error {
	var g signedIn
	if err := json.Unmarshal(e.Detail, &g); err != nil {
		return fmt.Errorf("read how the session began: %w", err)
	}
	if g.Via == "" {
		return nil
	}
	row.sitting = &sitting{via: g.Via, idles: time.Duration(g.Idle) * time.Second, key: g.Key}
	row.used.Store(e.Time)
	row.touched.Store(g.Touched.UnixMicro())
	d.counted(row.staff, g.Key, g.Count)
	return nil
}

// fresh tells whether a session's holder proved a short while ago that they are
// there. The touch is looked up now: the session may be older than it.
func (d *Directory) fresh(s Session) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	row := d.sessions[s.id]
	return row != nil && row.sitting != nil && d.log.Now().Sub(time.UnixMicro(row.touched.Load())) < TouchLasts
}

// Fresh refuses a session without a fresh touch.
func (d *Directory) Fresh(s Session) error {
	if !d.fresh(s) {
		return ErrTouch
	}
	return nil
}

// Proof is what a sign-in or a step-up proved: who, and by what.
type Proof struct {
	Staff string
	Via   string
	Key   []byte      // the passkey's id
	Count uint32      // its signature counter
	Peer  device.Peer // of the connection
}

// SignIn opens a session for whom a proof names. Where they have as many as they may,
// the oldest ends.
func (d *Directory) SignIn(ctx context.Context, p Proof, r Rules) (SessionInfo, string, error) {
	if err := d.Admit(p.Peer); err != nil {
		return SessionInfo{}, "", err
	}
	return d.openSitting(ctx, p, place{p.Peer.Device(), p.Peer.Key()}, r, "", time.Time{}, d.log.Now())
}

// ActAs ends a session and opens another like it that acts in another role of the
// same staff member. It ends when the first would have.
func (d *Directory) ActAs(ctx context.Context, s Session, role string, r Rules) (SessionInfo, string, error) {
	d.mu.RLock()
	row := d.sessions[s.id]
	if row == nil || row.sitting == nil || !row.live(d.log.Now()) || !d.stands(row, d.log.Now()) {
		d.mu.RUnlock()
		return SessionInfo{}, "", ErrNoSession
	}
	held := slices.Contains(d.held(row.staff, d.log.Now()), role)
	p, at := Proof{Staff: row.staff, Via: row.via, Key: row.key}, place{row.device, row.bound}
	expires, touched := row.expires, time.UnixMicro(row.touched.Load()).UTC()
	d.mu.RUnlock()
	if !held {
		return SessionInfo{}, "", d.denied(ctx, s.Officer(), "act as", s.staff, fmt.Errorf("%w: you don't have that role now", ErrRefused))
	}
	if _, err := d.CloseSession(ctx, s.id); err != nil {
		return SessionInfo{}, "", err
	}
	return d.openSitting(ctx, p, at, r, role, expires, touched)
}

// place is where a session sits: a device, and its key.
type place struct {
	device string
	key    device.Thumbprint
}

func (d *Directory) openSitting(ctx context.Context, p Proof, at place, r Rules, role string, expires, touched time.Time) (SessionInfo, string, error) {
	if err := r.Check(); err != nil {
		return SessionInfo{}, "", err
	}
	d.grants.Lock()
	defer d.grants.Unlock()
	if _, err := d.person(p.Staff); err != nil {
		return SessionInfo{}, "", err
	}
	if _, ok := d.devices[at.device]; !ok {
		return SessionInfo{}, "", fmt.Errorf("device %w; azekura device list shows them", ErrNotFound)
	}
	if d.stopped(p.Staff, at.device) {
		return SessionInfo{}, "", ErrContained
	}
	now := d.log.Now()
	held := d.held(p.Staff, now)
	if role == "" && len(held) > 0 {
		role = held[0]
	}
	if !slices.Contains(held, role) {
		return SessionInfo{}, "", fmt.Errorf("%w: %s has no role to act in now", ErrRefused, p.Staff)
	}
	if err := d.makeRoom(ctx, p.Staff, r.AtOnce, now); err != nil {
		return SessionInfo{}, "", err
	}
	token, hash, id, err := d.newToken()
	if err != nil {
		return SessionInfo{}, "", err
	}
	if expires.IsZero() {
		expires = now.Add(r.Lasts).UTC().Truncate(time.Microsecond)
	}
	touched = touched.UTC().Truncate(time.Microsecond)
	event := auditlog.Event{Staff: p.Staff, Device: at.device, Role: role, Session: id, Detail: detail(struct {
		granted
		signedIn
	}{granted{Grants: "session", Expires: expires, Token: hash[:], Bound: at.key[:]}, signedIn{p.Via, int64(r.Idle / time.Second), p.Key, p.Count, touched}})}
	if _, err := d.settle(ctx, Officer{}, event); err != nil {
		return SessionInfo{}, "", fmt.Errorf("open a session: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sweep(now)
	row := d.sessions[id]
	if row.recorded {
		return SessionInfo{}, "", ErrContained
	}
	return row.info(), token, nil
}

// makeRoom ends a staff member's oldest sessions until one more may be opened. The
// caller holds grants.
func (d *Directory) makeRoom(ctx context.Context, staff string, most int, now time.Time) error {
	var open []*sessionRow
	for _, row := range d.sessions {
		if row.staff == staff && row.sitting != nil && row.live(now) {
			open = append(open, row)
		}
	}
	slices.SortFunc(open, func(a, b *sessionRow) int { return int(a.event - b.event) })
	for len(open) >= most {
		if _, err := d.closeSession(ctx, Officer{}, open[0]); err != nil {
			return err
		}
		open = open[1:]
	}
	return nil
}

// Touch records that a session's holder proved that they are there.
func (d *Directory) Touch(ctx context.Context, s Session, p Proof) error {
	d.grants.Lock()
	defer d.grants.Unlock()
	if err := d.Still(s); err != nil {
		return err
	}
	if !s.touchedBy(p) {
		return d.denied(ctx, s.Officer(), "touch", s.staff, errOthersTouch)
	}
	g := ofPeople{Grants: "touch", Staff: s.staff, Via: p.Via, Count: p.Count}
	if _, err := d.settle(ctx, s.Officer(), auditlog.Event{Detail: detail(g)}); err != nil {
		return fmt.Errorf("record the touch: %w", err)
	}
	return nil
}

// End closes a session at its holder's wish or a security officer's.
func (d *Directory) End(ctx context.Context, o Officer, id auditlog.Session) (SessionInfo, error) {
	d.grants.Lock()
	defer d.grants.Unlock()
	row := d.sessions[id]
	own := row != nil && row.staff == o.session.staff
	if !o.operator && !own {
		if err := d.may(ctx, o, "close session", "", "security-officer"); err != nil {
			return SessionInfo{}, err
		}
	}
	if own {
		if err := d.Still(o.session); err != nil {
			return SessionInfo{}, err
		}
	}
	if row == nil {
		return SessionInfo{}, fmt.Errorf("session %w; azekura session list shows them", ErrNotFound)
	}
	return d.closeSession(ctx, o, row)
}

// SessionsOf lists a staff member's sessions, as Sessions does.
func (d *Directory) SessionsOf(staff string) []SessionInfo {
	return slices.DeleteFunc(d.Sessions(), func(s SessionInfo) bool { return s.Staff != staff })
}

// Refusal is a sign-in that failed.
type Refusal struct {
	Staff  string // whom it was for, where that is known
	Device string
	Via    string
	Why    string // one word
	Passed int    // failures before it that weren't recorded
}

// Refuse records a sign-in that failed.
func (d *Directory) Refuse(ctx context.Context, r Refusal) error {
	if d.Known(r.Staff, "") != nil {
		r.Staff = "" // what a stranger wrote stays out of the log
	}
	_, err := d.log.RecordOne(ctx, auditlog.Event{Action: auditlog.Deny, Outcome: "signin", Staff: r.Staff, Device: r.Device, Detail: detail(struct {
		Via    string `json:"via"`
		Why    string `json:"why"`
		Passed int    `json:"passed,omitempty"`
	}{r.Via, r.Why, r.Passed})})
	return err
}
