package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"azekura/access/device"
	"azekura/auditlog"
)

const (
	// DeviceCodeLasts is how long a device's enrolment code is good for.
	DeviceCodeLasts = 24 * time.Hour
	// RenewGrace is how long after its end a certificate may still be renewed: a PC
	// is off for some days, and its key is what proves it.
	RenewGrace = 30 * 24 * time.Hour
	// mostUses bounds how often one key may be enrolled with one code. An agent that
	// was killed before it kept the certificate asks again.
	mostUses = 5
)

// Where a key is kept, by the word of the agent that made it.
const (
	// KindFile is a key in a file, which whoever reads the file can copy.
	KindFile = "file"
	// KindTPM is one in the PC's TPM. Nothing proves it to us: malware that is there
	// before the enrolment can lie, one that comes later finds no key to copy.
	KindTPM = "tpm"
)

var (
	// ErrDeviceCode refuses an enrolment.
	ErrDeviceCode = errors.New("no such device code, or it was used, or its day is over; ask the administrator for another (azekura device code)")
	// ErrNotDue refuses to renew a certificate that was made a short while ago.
	ErrNotDue = errors.New("this certificate was made a short while ago; renew it at half of its life")
)

// DeviceKey is a device's key. Its certificates are renewed; the key stays.
type DeviceKey struct {
	Print   string     `json:"print" doc:"its thumbprint: the SHA-256 of its SubjectPublicKeyInfo"`
	Kind    string     `json:"kind" doc:"file: whoever reads the file can copy it; tpm: in the PC's TPM, by its agent's word"`
	Serial  string     `json:"serial" doc:"of its newest certificate"`
	Until   time.Time  `json:"until" doc:"when its newest certificate ends"`
	Added   time.Time  `json:"added"`
	Revoked *time.Time `json:"revoked,omitempty"`
	Event   int64      `json:"event" doc:"index of its enrolment in the audit log"`

	device  string
	thumb   device.Thumbprint
	renewed time.Time
}

// Copyable tells whether the key can be taken along.
func (k DeviceKey) Copyable() bool { return k.Kind != KindTPM }

type deviceCode struct {
	device  string
	hash    [sha256.Size]byte
	expires time.Time
	event   int64
	used    device.Thumbprint // zero: not yet
	uses    int
}

// devKeys is what the directory knows of devices' keys.
type devKeys struct {
	byPrint map[device.Thumbprint]*DeviceKey
	devCode map[string]*deviceCode // the newest of each device
	// unbound says that sessions without a device's key are taken on the network.
	unbound bool
}

func newDevKeys() devKeys {
	return devKeys{byPrint: map[device.Thumbprint]*DeviceKey{}, devCode: map[string]*deviceCode{}}
}

// ofDevice is the detail of an event about a device's keys.
type ofDevice struct {
	Grants string    `json:"grants"` // device-code, certificate, device-revoked
	Device string    `json:"device"`
	Hash   []byte    `json:"hash,omitempty"` // a code's SHA-256
	Until  time.Time `json:"until,omitzero"`
	Key    []byte    `json:"key,omitempty"` // its thumbprint; none of a revocation is all
	Serial string    `json:"serial,omitempty"`
	Kind   string    `json:"kind,omitempty"`
	Of     int64     `json:"of,omitempty"` // the code's event; none of a renewal
	By     string    `json:"by,omitempty"`
}

// replayDevices lets an event about devices' keys count; mu is held. It says
// whether the event was one.
func (d *Directory) replayDevices(grants string, e auditlog.Event) (bool, error) {
	if grants != "device-code" && grants != "certificate" && grants != "device-revoked" {
		return false, nil
	}
	var g ofDevice
	if err := json.Unmarshal(e.Detail, &g); err != nil {
		return true, fmt.Errorf("read what it grants a device: %w", err)
	}
	at := time.UnixMicro(e.Time).UTC()
	switch {
	case grants == "device-code" && len(g.Hash) == sha256.Size:
		d.devCode[g.Device] = &deviceCode{device: g.Device, hash: [sha256.Size]byte(g.Hash), expires: g.Until, event: e.Index}
	case grants == "certificate" && len(g.Key) == sha256.Size:
		d.certified(g, device.Thumbprint(g.Key), at, e.Index)
	case grants == "device-revoked":
		d.revoked(g, at)
	}
	return true, nil
}

func (d *Directory) certified(g ofDevice, thumb device.Thumbprint, at time.Time, event int64) {
	k := d.byPrint[thumb]
	if k == nil {
		k = &DeviceKey{Print: thumb.String(), Kind: g.Kind, Added: at, Event: event, device: g.Device, thumb: thumb}
		d.byPrint[thumb] = k
	}
	k.Serial, k.Until, k.renewed = g.Serial, g.Until, at
	if c := d.devCode[g.Device]; c != nil && g.Of == c.event {
		c.used = thumb
		c.uses++
	}
}

// revoked ends a device's keys, and the sessions that are bound to them, for good.
func (d *Directory) revoked(g ofDevice, at time.Time) {
	for thumb, k := range d.byPrint {
		if k.device == g.Device && k.Revoked == nil && (len(g.Key) == 0 || bytes.Equal(thumb[:], g.Key)) {
			k.Revoked = &at
			for _, row := range d.sessions {
				if row.bound == thumb && !row.recorded {
					row.closed, row.recorded = at, true
				}
			}
		}
	}
	if len(g.Key) == 0 {
		delete(d.devCode, g.Device)
	}
}

// newest is a device's newest key that isn't revoked; known says that it has had
// any. mu or grants is held.
func (d *Directory) newest(id string) (key *DeviceKey, known bool) {
	for _, k := range d.byPrint {
		if k.device != id {
			continue
		}
		known = true
		if k.Revoked == nil && (key == nil || k.Added.After(key.Added)) {
			key = k
		}
	}
	return key, known
}

// Keys lists a device's keys, the oldest first.
func (d *Directory) Keys(id string) []DeviceKey {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := []DeviceKey{}
	for _, k := range d.byPrint {
		if k.device == id {
			list = append(list, *k)
		}
	}
	slices.SortFunc(list, func(a, b DeviceKey) int { return int(a.Event - b.Event) })
	return list
}

// Admit refuses a connection whose key isn't enrolled, or is revoked, or whose
// device, or all, is contained.
func (d *Directory) Admit(p device.Peer) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if !p.Live() || !d.log.Now().Before(p.Until()) {
		return device.ErrNoDevice
	}
	return d.admit(p.Key(), p.Device())
}

// admit is Admit for a key; mu is held.
func (d *Directory) admit(key device.Thumbprint, id string) error {
	k := d.byPrint[key]
	of, known := d.devices[id]
	if k == nil || k.Revoked != nil || k.device != id || !known {
		return device.ErrNoDevice
	}
	for _, t := range [3]Target{{TheDevice, id}, {TheOffice, of.Office}, {Kind: All}} {
		if _, stopped := d.stops.now[t]; stopped {
			return ErrContained
		}
	}
	return nil
}

// NewDeviceCode makes a one-time code with which a device's agent enrols a key. It
// replaces an older one.
func (d *Directory) NewDeviceCode(ctx context.Context, o Officer, id string) (code string, expires time.Time, err error) {
	d.grants.Lock()
	defer d.grants.Unlock()
	if _, ok := d.devices[id]; !ok {
		return "", expires, fmt.Errorf("device %w; azekura device list shows them", ErrNotFound)
	}
	if err := d.may(ctx, o, "device code", id, "administrator"); err != nil {
		return "", expires, err
	}
	var raw [16]byte
	if _, err := io.ReadFull(d.rand, raw[:]); err != nil {
		return "", expires, err
	}
	code = "azd_" + base64.RawURLEncoding.EncodeToString(raw[:])
	expires = d.log.Now().Add(DeviceCodeLasts).UTC().Truncate(time.Microsecond)
	hash := sha256.Sum256([]byte(code))
	g := ofDevice{Grants: "device-code", Device: id, Hash: hash[:], Until: expires, By: o.by()}
	if _, err := d.settle(ctx, o, auditlog.Event{Detail: detail(g)}); err != nil {
		return "", expires, fmt.Errorf("make a device's code: %w", err)
	}
	return code, expires, nil
}

// EnrolDevice uses a code up, for the key of a certificate request, which is kept as
// kind says, and has the authority sign the key's first certificate. The same key with
// the same code gets another: its agent may have been killed before it kept the first.
func (d *Directory) EnrolDevice(ctx context.Context, a *device.Authority, code, kind string, request []byte) (device.Issued, string, error) {
	if kind != KindFile && kind != KindTPM {
		return device.Issued{}, "", fmt.Errorf("%w: a key is kept in a %s or a %s", ErrInvalid, KindFile, KindTPM)
	}
	d.grants.Lock()
	defer d.grants.Unlock()
	c := d.deviceCode(strings.TrimSpace(code))
	if c == nil {
		return device.Issued{}, "", ErrDeviceCode
	}
	key, err := device.KeyOf(request)
	if err != nil {
		return device.Issued{}, "", err
	}
	known := d.byPrint[key]
	switch {
	case c.used != (device.Thumbprint{}) && (c.used != key || c.uses >= mostUses):
		return device.Issued{}, "", ErrDeviceCode
	case known != nil && (known.Revoked != nil || known.device != c.device):
		return device.Issued{}, "", fmt.Errorf("%w: this key was revoked, or is another device's; make a new one", ErrInvalid)
	case known != nil && known.Kind != kind: // else one that was copied out of its file would be listed as one that can't be
		return device.Issued{}, "", fmt.Errorf("%w: this key is enrolled as one in a %s, and can't become one in a %s; make a new one", ErrInvalid, known.Kind, kind)
	case d.deviceStopped(c.device):
		return device.Issued{}, "", ErrContained
	}
	issued, err := a.Issue(request, c.device, d.rand, d.log.Now(), device.Lasts)
	if err != nil {
		return device.Issued{}, "", err
	}
	return issued, c.device, d.certify(ctx, c.device, kind, issued, c.event)
}

// RenewDevice has the authority sign another certificate for a key that is
// enrolled. The request's signature is the proof that the asker has the key, and
// only who has it can use what comes of it.
func (d *Directory) RenewDevice(ctx context.Context, a *device.Authority, request []byte) (device.Issued, string, error) {
	d.grants.Lock()
	defer d.grants.Unlock()
	now := d.log.Now()
	key, err := device.KeyOf(request)
	if err != nil {
		return device.Issued{}, "", err
	}
	k := d.byPrint[key]
	switch {
	case k == nil || k.Revoked != nil || now.After(k.Until.Add(RenewGrace)):
		return device.Issued{}, "", device.ErrNoDevice
	case d.deviceStopped(k.device):
		return device.Issued{}, "", ErrContained
	case now.Before(k.renewed.Add(device.Lasts / 4)):
		return device.Issued{}, "", ErrNotDue
	}
	issued, err := a.Issue(request, k.device, d.rand, now, device.Lasts)
	if err != nil {
		return device.Issued{}, "", err
	}
	return issued, k.device, d.certify(ctx, k.device, k.Kind, issued, 0)
}

// certify records a certificate before anybody has it.
func (d *Directory) certify(ctx context.Context, id, kind string, i device.Issued, code int64) error {
	g := ofDevice{Grants: "certificate", Device: id, Key: i.Key[:], Serial: i.Serial, Until: i.Until, Kind: kind, Of: code}
	if _, err := d.settle(ctx, Officer{}, auditlog.Event{Device: id, Detail: detail(g)}); err != nil {
		return fmt.Errorf("record a device's certificate: %w", err)
	}
	return nil
}

// deviceCode finds a code that is good. grants is held.
func (d *Directory) deviceCode(code string) *deviceCode {
	if len(code) > 64 {
		return nil
	}
	hash := sha256.Sum256([]byte(code))
	for _, c := range d.devCode { // of 128 random bits: a look-up's time helps nobody
		if c.hash == hash && d.log.Now().Before(c.expires) {
			return c
		}
	}
	return nil
}

func (d *Directory) deviceStopped(id string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, t := range [3]Target{{TheDevice, id}, {TheOffice, d.devices[id].Office}, {Kind: All}} {
		if _, now := d.stops.now[t]; now {
			return true
		}
	}
	return false
}

// RevokeDevice ends all of a device's keys, its code, and the sessions that are
// bound to the keys, for good. It comes back with a new key alone.
func (d *Directory) RevokeDevice(ctx context.Context, o Officer, id string) (Device, error) {
	d.grants.Lock()
	defer d.grants.Unlock()
	of, ok := d.devices[id]
	if !ok {
		return Device{}, fmt.Errorf("device %w; azekura device list shows them", ErrNotFound)
	}
	if err := d.may(ctx, o, "revoke device", id, "administrator", "security-officer"); err != nil {
		return Device{}, err
	}
	g := ofDevice{Grants: "device-revoked", Device: id, By: o.by()}
	if _, err := d.settle(ctx, o, auditlog.Event{Detail: detail(g)}); err != nil {
		return Device{}, fmt.Errorf("revoke device %s: %w", id, err)
	}
	return of, nil
}

// bound is what a session's grant says of its key.
func (k *DeviceKey) bound() []byte {
	if k == nil {
		return nil
	}
	return k.thumb[:]
}

// gone tells whether the key that a session is bound to doesn't count any more; mu
// is held.
func (d *Directory) gone(row *sessionRow) bool {
	if row.bound == (device.Thumbprint{}) {
		return false
	}
	k := d.byPrint[row.bound]
	return k == nil || k.Revoked != nil
}

// AcceptUnbound has sessions that are bound to no device's key count on the network.
// It is for installations whose devices have none; whoever has such a session's token
// uses it from anywhere.
func (d *Directory) AcceptUnbound() { d.unbound = true }
