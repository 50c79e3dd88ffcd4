package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
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
	// together is how near in time one certificate isn't at two addresses.
	together = time.Minute
	// alarmWait bounds how long a sign's recording holds up who gave it.
	alarmWait = 10 * time.Second
)

// elsewhere remembers where keys were seen, and what was recorded of it.
type elsewhere struct {
	mu    *sync.Mutex
	since time.Time
	told  map[string]bool
	seen  map[device.Thumbprint]seenAt
	salt  []byte
}

type seenAt struct {
	address string
	at      time.Time
}

func newElsewhere() elsewhere {
	return elsewhere{mu: &sync.Mutex{}, told: map[string]bool{}, seen: map[device.Thumbprint]seenAt{}, salt: []byte(rand.Text())}
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
	Alarm string   `json:"alarm"`           // token-elsewhere, certificate-elsewhere
	Print string   `json:"print,omitempty"` // of the key that came
	At    string   `json:"at,omitempty"`    // the device that came
	Tags  []string `json:"tags,omitempty"`  // of two addresses: keyed, so that they tell them apart and nothing more
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

// SeenAt hears at which address a device's key is used. One key at two addresses
// within a minute is an alarm: a key in a file can be copied.
func (d *Directory) SeenAt(p device.Peer, address string) {
	now := d.log.Now()
	d.elsewhere.mu.Lock()
	was, known := d.elsewhere.seen[p.Key()]
	d.elsewhere.seen[p.Key()] = seenAt{address, now}
	d.elsewhere.mu.Unlock()
	if !known || was.address == address || now.Sub(was.at) > together {
		return
	}
	s := sign{Table: "device", Key: p.Device(), Kind: "its key is used at two addresses within a minute", Alarm: "certificate-elsewhere",
		Print: p.Key().String(), Tags: []string{d.elsewhere.tag(was.address), d.elsewhere.tag(address)}}
	d.alarm("two "+s.Print, auditlog.Event{Device: p.Device(), Detail: detail(s)})
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
