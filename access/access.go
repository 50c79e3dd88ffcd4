// Package access knows the staff, the devices and the sessions, and turns a
// token into a Session that the gate accepts.
//
// It promises that every grant is an event of the audit log before it counts, and
// that nothing else grants: there is no table of staff, devices or sessions. At
// the start the Directory is made from the log's own events, which the signer,
// outside the database, says are all and unaltered; so a row that somebody adds,
// alters or puts back grants nothing. A Session can't be made elsewhere: its
// fields are unexported and its zero value is refused. An ended session stays
// ended.
//
// The log holds the SHA-256 of a session's token. A token is 32 random bytes, so
// nobody finds it from that, and the hash opens nothing.
//
// A staff member may have several roles, but never two that must check each other
// (roles.go), and a session acts in one of them. A deputy holds another's role for a
// time, and their own that it excludes rest meanwhile (standing.go). A passkey counts
// once a second person vouched for it (passkey.go). A session that somebody signed in
// to idles out, and knows when its holder last proved that they are there
// (sitting.go); one that the operator opened doesn't, and is for programs and tests. A
// touch for one act gives a code that does just that, once (touch.go).
//
// A session is bound to its device's key (devices.go): with another key, or none, its
// token is refused and an alarm. A session of a device that has no key is bound to
// none; it is listed so, and counts at the operator's socket alone, unless the
// settings of an installation without devices' keys say otherwise.
package access

import (
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"azekura/access/device"
	"azekura/auditlog"
	"azekura/internal/db"
)

//go:embed schema.sql
var schema string

//go:embed migrate.sql
var noTables string

// Migrations made this package's tables, and took them away again.
var Migrations = []db.Migration{{Name: "access/1-first", SQL: schema}, {Name: "access/2-authority", SQL: noTables}}

var (
	// ErrNoSession refuses a request without a live session.
	ErrNoSession = errors.New("no live session; sign in again (a program's account: azekura session open)")
	// ErrNotFound means that no staff member, device or session has that id.
	ErrNotFound = errors.New("not found")
	// ErrExists means that the id is taken.
	ErrExists = errors.New("already exists")
	// ErrInvalid means that an argument isn't of the form it must have.
	ErrInvalid = errors.New("invalid")
)

// Roles are those that a staff member can have; which go together, the table in
// roles.go says.
var Roles = []string{"caseworker", "supervisor", "payment-officer", "security-officer", "auditor", "administrator"}

// MaxSession is the longest that a session may last.
const MaxSession = 12 * time.Hour

// Staff is a staff member.
type Staff struct {
	ID     string    `json:"id"`
	Role   string    `json:"role"`
	Office string    `json:"office"`
	Added  time.Time `json:"added"`
	Event  int64     `json:"event" doc:"index of the grant in the audit log"`
	// Roles are all, where there isn't just the one above; Machine and Left are told
	// of in standing.go.
	Roles   []string   `json:"roles,omitempty" doc:"all roles, where they aren't just the first one"`
	Machine bool       `json:"machine,omitempty" doc:"a program's account: the operator opens its sessions, and nobody signs in to it"`
	Left    *time.Time `json:"left,omitempty" doc:"when the staff member was removed"`
}

// Device is a staff PC.
type Device struct {
	ID     string    `json:"id"`
	Office string    `json:"office"`
	Added  time.Time `json:"added"`
	Event  int64     `json:"event" doc:"index of the grant in the audit log"`
}

// SessionInfo describes a session to those who list them.
type SessionInfo struct {
	ID      string     `json:"id"`
	Staff   string     `json:"staff"`
	Device  string     `json:"device"`
	Opened  time.Time  `json:"opened"`
	Expires time.Time  `json:"expires"`
	Closed  *time.Time `json:"closed,omitempty"`
	Event   int64      `json:"event" doc:"index of the grant in the audit log"`
	Role    string     `json:"role,omitempty" doc:"the role that it acts in"`
	Key     string     `json:"key,omitempty" doc:"the thumbprint of the device's key that it is bound to; absent: it is bound to none"`
	Via     string     `json:"via" doc:"passkey, oidc, or operator for a session that nobody signed in to"`
	Touched *time.Time `json:"touched,omitempty" doc:"when its holder last proved that they are there"`
	Used    *time.Time `json:"used,omitempty" doc:"when it was last used, of one that idles out"`
	Idles   *time.Time `json:"idles,omitempty" doc:"when it idles out, or did"`
}

// Session is a live sitting of one staff member at one device. Only a
// Directory makes one; the zero value is refused by the gate.
type Session struct {
	id     auditlog.Session
	staff  string
	role   string
	office string
	device string
	key    device.Thumbprint
	entry
}

// Live refuses the zero value.
func (s Session) Live() bool { return s.id != 0 }

// ID is the session's id.
func (s Session) ID() auditlog.Session { return s.id }

// Role is the role that the session acts in.
func (s Session) Role() string { return s.role }

// Stamp fills who, on what and in which sitting into an event.
func (s Session) Stamp(e auditlog.Event) auditlog.Event {
	e.Session, e.Staff, e.Role, e.Device = s.id, s.staff, s.role, s.device
	return e
}

type sessionRow struct {
	session auditlog.Session
	staff   string
	device  string
	hash    [sha256.Size]byte
	opened  time.Time
	expires time.Time
	closed  time.Time
	event   int64
	// recorded says that the closing is in the log; whoever holds grants may
	// look.
	recorded bool
	role     string
	bound    device.Thumbprint // the device's key; zero for a session that is bound to none
	*sitting
}

func (r *sessionRow) live(now time.Time) bool {
	return r.closed.IsZero() && now.Before(r.expires) && !r.idle(now)
}

func (r *sessionRow) info() SessionInfo {
	info := SessionInfo{ID: r.session.String(), Staff: r.staff, Device: r.device, Opened: r.opened, Expires: r.expires, Event: r.event, Role: r.role}
	if r.bound != (device.Thumbprint{}) {
		info.Key = r.bound.String()
	}
	r.tell(&info)
	if closed := r.closed; !closed.IsZero() {
		info.Closed = &closed
	}
	return info
}

// keepEnded is how long a session that has ended stays in memory, to be listed.
// Whom it saw is asked of the log.
const keepEnded = 24 * time.Hour

// Directory holds staff, devices and the sessions that are live or ended a short
// while ago, as the log grants them. One process leads a log, so what it holds is
// what counts. A new one knows nobody until the log's events are replayed into it.
type Directory struct {
	log  *auditlog.Log
	rand io.Reader

	grants   sync.Mutex // one grant at a time; whoever holds it may read without mu
	mu       sync.RWMutex
	staff    map[string]Staff
	devices  map[string]Device
	sessions map[auditlog.Session]*sessionRow
	tokens   map[[sha256.Size]byte]*sessionRow
	swept    time.Time
	people
	devKeys
	elsewhere elsewhere
	stops     stops
	actCodes  actCodes
}

// New makes a directory that knows nobody yet.
func New(log *auditlog.Log, rand io.Reader) *Directory {
	return &Directory{log: log, rand: rand, staff: map[string]Staff{}, devices: map[string]Device{},
		sessions: map[auditlog.Session]*sessionRow{}, tokens: map[[sha256.Size]byte]*sessionRow{}, people: newPeople(), devKeys: newDevKeys(), elsewhere: newElsewhere(), stops: newStops(),
		actCodes: actCodes{of: map[[sha256.Size]byte]actCode{}}}
}

// Authenticate turns a token into its live session, for a connection at whose other
// end a device was proven; the zero Peer is of a connection without a certificate.
// A session is bound to its device's key (RFC 8705): at any other it is refused, and
// an alarm. One that is bound to none opens nothing on the network, unless the
// settings say so (AcceptUnbound).
func (d *Directory) Authenticate(token string, p device.Peer) (Session, error) {
	var at *sessionRow
	s, err := d.find(token, func(row *sessionRow) error {
		at = row
		switch {
		case row.bound == (device.Thumbprint{}) && d.unbound:
			return nil
		case row.bound == (device.Thumbprint{}):
			return ErrUnbound
		case !p.Live() || p.Key() != row.bound || p.Device() != row.device:
			return &misplaced{row.session, row.staff, row.device}
		}
		return d.admit(p.Key(), p.Device())
	})
	var away *misplaced
	if errors.As(err, &away) {
		d.tokenElsewhere(away, p)
	}
	if errors.Is(err, ErrContained) {
		d.usedAfter(at)
	}
	return s, err
}

// AtSocket is Authenticate for who holds the installation's own socket, or its
// folder. They are at no device; they open sessions for programs anyway, so those
// count. One that a person signed in to counts at that person's device alone.
func (d *Directory) AtSocket(token string) (Session, error) {
	return d.find(token, func(row *sessionRow) error {
		if row.sitting != nil {
			return fmt.Errorf("%w: a session that a person signed in to counts at their device alone", ErrNoSession)
		}
		return nil
	})
}

func (d *Directory) find(token string, may func(*sessionRow) error) (Session, error) {
	hash := sha256.Sum256([]byte(token))
	d.mu.RLock()
	defer d.mu.RUnlock()
	row := d.tokens[hash]
	if row == nil || subtle.ConstantTimeCompare(row.hash[:], hash[:]) != 1 || !row.live(d.log.Now()) {
		return Session{}, ErrNoSession
	}
	if err := may(row); err != nil {
		return Session{}, err
	}
	s, err := d.session(row)
	if err == nil {
		row.use(d.log.Now())
	}
	return s, err
}

// Still refuses a session that ended since it was authenticated, or whose device's
// key was revoked.
func (d *Directory) Still(s Session) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if row := d.sessions[s.id]; row == nil || !row.live(d.log.Now()) || !d.stands(row, d.log.Now()) || d.gone(row) {
		return ErrNoSession
	} else if d.contained(row) {
		return ErrContained
	}
	return nil
}

func (d *Directory) session(row *sessionRow) (Session, error) {
	staff, ok := d.staff[row.staff]
	if _, known := d.devices[row.device]; !ok || !known || !d.stands(row, d.log.Now()) || d.gone(row) {
		return Session{}, ErrNoSession
	}
	if d.contained(row) {
		return Session{}, ErrContained
	}
	return Session{id: row.session, staff: staff.ID, role: row.role, office: staff.Office, device: row.device, key: row.bound, entry: row.entry()}, nil
}

// Staff lists the staff members by id.
func (d *Directory) Staff() []Staff {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return sorted(d.staff, func(a, b Staff) int { return strings.Compare(a.ID, b.ID) })
}

// Devices lists the devices by id.
func (d *Directory) Devices() []Device {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return sorted(d.devices, func(a, b Device) int { return strings.Compare(a.ID, b.ID) })
}

// Sessions lists the sessions that are live or ended within a day, the oldest
// first.
func (d *Directory) Sessions() []SessionInfo {
	d.mu.RLock()
	defer d.mu.RUnlock()
	rows := sorted(d.sessions, func(a, b *sessionRow) int { return int(a.event - b.event) })
	list := make([]SessionInfo, len(rows))
	for i, r := range rows {
		list[i] = r.info()
		if at := d.log.Now().UTC(); r.closed.IsZero() && d.contained(r) {
			list[i].Closed = &at
		}
	}
	return list
}

func sorted[K comparable, V any](m map[K]V, by func(a, b V) int) []V {
	list := make([]V, 0, len(m))
	for _, v := range m {
		list = append(list, v)
	}
	slices.SortFunc(list, by)
	return list
}

var code = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,31}$`)

func checkCode(what, id string) error {
	if !code.MatchString(id) {
		return fmt.Errorf("%w: a %s is 1 to 32 small letters, digits, dots, dashes or underscores", ErrInvalid, what)
	}
	return nil
}

// newToken makes a session's bearer token; only its hash is kept.
func (d *Directory) newToken() (token string, hash [sha256.Size]byte, id auditlog.Session, err error) {
	var raw [40]byte
	if _, err := io.ReadFull(d.rand, raw[:]); err != nil {
		return "", hash, 0, err
	}
	token = "azs_" + base64.RawURLEncoding.EncodeToString(raw[:32])
	return token, sha256.Sum256([]byte(token)), auditlog.Session(binary.BigEndian.Uint64(raw[32:])>>1 | 1), nil
}

func detail(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil { // the values are structs of strings
		panic(err)
	}
	return raw
}

// Known refuses a staff member or a device that was never added; an empty id
// is not asked about.
func (d *Directory) Known(staff, device string) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if _, ok := d.staff[staff]; staff != "" && !ok {
		return fmt.Errorf("staff member %w; azekura staff list shows them", ErrNotFound)
	}
	if _, ok := d.devices[device]; device != "" && !ok {
		return fmt.Errorf("device %w; azekura device list shows them", ErrNotFound)
	}
	return nil
}
