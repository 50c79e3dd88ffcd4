package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"azekura/access/device"
	"azekura/auditlog"
)

// ErrUnbound refuses, on the network, a session that is bound to no device's key.
var ErrUnbound = fmt.Errorf("%w: this session is bound to no device's key, so it counts at the server's own socket alone; enrol the device (azekura device code) and open another", ErrNoSession)

var errMisplaced = fmt.Errorf("%w: this session is bound to another device's key", ErrNoSession)

// misplaced is a session's token that came with another key, or with none.
type misplaced struct {
	session       auditlog.Session
	staff, device string
}

func (m *misplaced) Error() string { return errMisplaced.Error() }
func (m *misplaced) Unwrap() error { return errMisplaced }

const (
	// alarmEvery is how long the same sign isn't recorded again.
	alarmEvery = time.Hour
	// mostSigns bounds the signs of that time.
	mostSigns = 200
	// together is how near in time one key isn't at two addresses.
	together = time.Minute
	// alarmWait bounds how long a sign's recording holds up who gave it.
	alarmWait = 10 * time.Second
)

// elsewhere remembers where keys were seen, and what was recorded of it.
type elsewhere struct {
	mu    *sync.Mutex
	since time.Time
	told  map[string]bool
	seen  map[device.Thumbprint]*places
	salt  []byte
}

// places are where one key was used in the last minute, the latest last. Its lock is
// held while a change is recorded: no request from there is answered before.
type places struct {
	mu   sync.Mutex
	last []seenAt
}

type seenAt struct {
	address string
	at      time.Time
}

// mostPlaces bounds the addresses of one key: who changes faster is asked for a touch
// at every change all the same.
const mostPlaces = 8

func newElsewhere() elsewhere {
	return elsewhere{mu: &sync.Mutex{}, told: map[string]bool{}, seen: map[device.Thumbprint]*places{}, salt: []byte(rand.Text())}
}

func (e *elsewhere) of(key device.Thumbprint) *places {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.seen[key]
	if p == nil {
		p = &places{}
		e.seen[key] = p
	}
	return p
}

// latest is where the key was used last.
func (p *places) latest() (seenAt, bool) {
	if len(p.last) == 0 {
		return seenAt{}, false
	}
	return p.last[len(p.last)-1], true
}

// left tells whether the key was used at an address within the last minute, and
// elsewhere since.
func (p *places) left(address string, now time.Time) bool {
	return slices.ContainsFunc(p.last, func(s seenAt) bool { return s.address == address && now.Sub(s.at) <= together })
}

// put notes a use. What lies further back is forgotten, but for the latest.
func (p *places) put(address string, now time.Time) {
	p.last = slices.DeleteFunc(p.last, func(s seenAt) bool { return s.address == address || now.Sub(s.at) > together })
	if len(p.last) >= mostPlaces {
		p.last = slices.Delete(p.last, 0, 1)
	}
	p.last = append(p.last, seenAt{address, now})
}

// due tells whether a sign is to be recorded, and notes it.
func (e *elsewhere) due(sign string, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now.Sub(e.since) >= alarmEvery || now.Before(e.since) {
		e.since = now
		clear(e.told)
	}
	if e.told[sign] || len(e.told) >= mostSigns {
		return false
	}
	e.told[sign] = true
	return true
}

// sign is an alarm's detail. Its first three say what every alarm says.
type sign struct {
	Table string   `json:"table"`
	Key   string   `json:"key"`
	Kind  string   `json:"kind"`
	Alarm string   `json:"alarm"`           // token-elsewhere, certificate-elsewhere, key-unproven and so on
	Print string   `json:"print,omitempty"` // of the key that came
	At    string   `json:"at,omitempty"`    // the device that came
	Tags  []string `json:"tags,omitempty"`  // of addresses: keyed, so that they tell them apart and nothing more
}

// tokenElsewhere records that a session's token came with a key that isn't its
// device's. Who brought it is refused, whether or not this succeeds.
func (d *Directory) tokenElsewhere(m *misplaced, p device.Peer) {
	s := sign{Table: "session", Key: m.session.String(), Kind: "its token came without its device's key", Alarm: "token-elsewhere"}
	if p.Live() {
		s.Print, s.At = p.Key().String(), p.Device()
		s.Kind = "its token came with another device's key"
	}
	d.alarm(s.Key+s.Print, auditlog.Event{Session: m.session, Staff: m.staff, Device: m.device, Detail: detail(s)})
}

// usedAfter records that a session was used on that is contained, or whose staff
// member, device or office is.
func (d *Directory) usedAfter(row *sessionRow) {
	s := sign{Table: "session", Key: row.session.String(), Kind: "its token came although it is contained", Alarm: "session-contained"}
	d.alarm("stopped "+s.Key, auditlog.Event{Session: row.session, Staff: row.staff, Device: row.device, Detail: detail(s)})
}

// TurnedAway records that Admit refused a device whose key was proven.
func (d *Directory) TurnedAway(p device.Peer, why error) {
	if !p.Live() || !d.log.Now().Before(p.Until()) {
		return // its certificate ended while it was connected
	}
	s := sign{Table: "device", Key: p.Device(), Print: p.Key().String(), Kind: "its key came although it is revoked, or isn't enrolled", Alarm: "device-revoked"}
	if errors.Is(why, ErrContained) {
		s.Kind, s.Alarm = "its key came although it is contained", "device-contained"
	}
	d.alarm(s.Alarm+s.Print, auditlog.Event{Device: p.Device(), Detail: detail(s)})
}

// HandshakeRefused records that a connection came to nothing for a reason that may
// mean a theft. Strangers can't fill the log by it: what isn't about a key of ours
// is one sign for all of them.
func (d *Directory) HandshakeRefused(r device.Refused) {
	s := sign{Table: "device", Key: "-", Tags: []string{d.elsewhere.tag(addressOf(r.From))}}
	switch r.Fault {
	case device.Unproven:
		s.Key, s.Print = r.Device, r.Key.String()
		s.Kind, s.Alarm = "its certificate came without a proof of its key", "key-unproven"
	case device.Altered:
		s.Kind, s.Alarm = "a connection's bytes were sent again, or changed on their way", "handshake-altered"
	case device.Foreign:
		s.Kind, s.Alarm = "a certificate came that another authority signed", "certificate-foreign"
	default:
		return
	}
	d.alarm(s.Alarm+s.Print, auditlog.Event{Device: r.Device, Detail: detail(s)})
}

// addressOf is an address without its port.
func addressOf(a net.Addr) string {
	if a == nil {
		return ""
	}
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

// Signs of a key's address, for the rules: an alarm's outcome.
const (
	// KeyMoved is a session that goes on at another address than before. A laptop
	// does; so does who copied its key and its token.
	KeyMoved = "moved"
	// KeyInterleaved is one whose key is used at one address, at another, and at the
	// first again within a minute: two use it.
	KeyInterleaved = "interleaved"
)

// ErrUnjudged refuses a request whose change of address can't be recorded.
var ErrUnjudged = errors.New("this device's address changed, and that can't be recorded now; try again in a while")

// SeenAt hears at which address a device's key is used, before the request counts. A
// change is an event for each live session of the key, which rules judge in the
// same commit; one within a minute is an alarm with or without a session.
//
// Addresses are in memory alone: after a start, and a takeover, the first is taken for
// the key's own.
func (d *Directory) SeenAt(p device.Peer, address string) error {
	places := d.elsewhere.of(p.Key())
	places.mu.Lock()
	defer places.mu.Unlock()
	now := d.log.Now()
	was, known := places.latest()
	if known && was.address != address {
		if err := d.changed(p, was, seenAt{address, now}, places.left(address, now)); err != nil {
			return ErrUnjudged
		}
	}
	places.put(address, now)
	return nil
}

func (d *Directory) changed(p device.Peer, was, is seenAt, back bool) error {
	s := sign{Table: "device", Key: p.Device(), Kind: "its key is used at another address than before", Alarm: "certificate-moved",
		Print: p.Key().String(), Tags: []string{d.elsewhere.tag(was.address), d.elsewhere.tag(is.address)}}
	outcome, soon := KeyMoved, is.at.Sub(was.at) <= together
	if soon {
		s.Kind, s.Alarm = "its key is used at two addresses within a minute", "certificate-elsewhere"
	}
	if back {
		outcome = KeyInterleaved
	}
	rows := d.boundTo(p.Key(), is.at)
	if len(rows) == 0 && soon {
		d.alarm("two "+s.Print, auditlog.Event{Device: p.Device(), Detail: detail(s)})
	}
	ctx, cancel := context.WithTimeout(context.Background(), alarmWait)
	defer cancel()
	for _, row := range rows { // an entry each: a rule's acts are bounded by entry
		e := auditlog.Event{Action: auditlog.Alarm, Outcome: outcome, Session: row.session, Staff: row.staff, Role: row.role, Device: row.device, Detail: detail(s)}
		if _, err := d.log.RecordOne(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// boundTo are the sessions of a key that live and aren't contained.
func (d *Directory) boundTo(key device.Thumbprint, now time.Time) (rows []*sessionRow) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, row := range d.sessions {
		if row.bound == key && row.live(now) && !d.contained(row) {
			rows = append(rows, row)
		}
	}
	return rows
}

func (e *elsewhere) tag(address string) string {
	h := hmac.New(sha256.New, e.salt)
	h.Write([]byte(address))
	return hex.EncodeToString(h.Sum(nil)[:4])
}

func (d *Directory) alarm(about string, e auditlog.Event) {
	if !d.elsewhere.due(about, d.log.Now()) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), alarmWait)
	defer cancel()
	e.Action, e.Outcome = auditlog.Alarm, "found"
	if _, err := d.log.RecordOne(ctx, e); err != nil && !errors.Is(err, context.Canceled) {
		d.elsewhere.mu.Lock()
		delete(d.elsewhere.told, about) // the next one tries again
		d.elsewhere.mu.Unlock()
	}
}
