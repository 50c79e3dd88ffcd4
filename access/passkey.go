package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"azekura/auditlog"
)

// CodeLasts is how long an enrolment code is good for.
const CodeLasts = 24 * time.Hour

// maxKeys bounds a staff member's passkeys.
const maxKeys = 5

// ErrCode refuses an enrolment.
var ErrCode = errors.New("no such enrolment code, or it was used, or its day is over; ask the administrator for another")

// Passkey is the public half of a key that a staff member signs in with. It counts
// once a second person has vouched for it.
type Passkey struct {
	Staff   string    `json:"staff"`
	Print   string    `json:"print" doc:"its fingerprint, which who vouches for it compares"`
	Added   time.Time `json:"added"`
	Event   int64     `json:"event" doc:"index of its enrolment in the audit log"`
	CodeBy  string    `json:"code_by" doc:"who made the code that it was enrolled with"`
	Vouched string    `json:"vouched,omitempty" doc:"who vouched for it; empty is nobody yet"`

	id, public []byte
	flags      uint8
	count      uint32
}

// sealKey is a passkey in an event.
type sealKey struct {
	ID     []byte `json:"id"`
	Public []byte `json:"public"` // COSE (RFC 9052)
	Flags  uint8  `json:"flags"`  // of the authenticator's data (WebAuthn 6.1)
	Count  uint32 `json:"count"`
}

// Credential is what WebAuthn needs of a passkey.
type Credential struct {
	ID, Public []byte
	Flags      uint8
	Count      uint32
}

// enrolment is a code that was made for a staff member.
type enrolment struct {
	staff   string
	hash    [sha256.Size]byte
	expires time.Time
	by      string
	event   int64
}

// fingerprint is twelve hexadecimal digits, which two people can compare.
func fingerprint(id, public []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "azekura passkey 1\x00%d\x00", len(id))
	h.Write(id)
	h.Write(public)
	text := strings.ToUpper(hex.EncodeToString(h.Sum(nil)[:6]))
	return text[:4] + "-" + text[4:8] + "-" + text[8:]
}

// replayKeys lets an event about passkeys count; mu is held.
func (d *Directory) replayKeys(grants string, g ofPeople, e auditlog.Event, at time.Time) {
	switch grants {
	case "code":
		if len(g.Hash) == sha256.Size {
			d.codes[g.Staff] = &enrolment{g.Staff, [sha256.Size]byte(g.Hash), g.Until, g.By, e.Index}
		}
	case "passkey":
		if g.Key == nil {
			return
		}
		delete(d.codes, g.Staff)
		d.keys[g.Staff] = append(d.keys[g.Staff], &Passkey{Staff: g.Staff, Print: fingerprint(g.Key.ID, g.Key.Public), Added: at, Event: e.Index,
			CodeBy: g.By, id: g.Key.ID, public: g.Key.Public, flags: g.Key.Flags, count: g.Key.Count})
	case "vouch":
		for _, k := range d.keys[g.Staff] {
			if k.Event == g.Of {
				k.Vouched = g.By
			}
		}
		d.settled = d.settled || d.enrolled("administrator") && d.enrolled("security-officer")
	case "passkeys-removed":
		d.forgetKeys(g.Staff)
		d.endSessions(g.Staff, at, func(row *sessionRow) bool { return row.sitting != nil })
	}
}

// enrolled tells whether somebody of a role can sign in by a passkey.
func (d *Directory) enrolled(role string) bool {
	for staff, keys := range d.keys {
		of := d.staff[staff]
		if slices.Contains(of.own(), role) && slices.ContainsFunc(keys, func(k *Passkey) bool { return k.Vouched != "" }) {
			return true
		}
	}
	return false
}

func (d *Directory) forgetKeys(staff string) {
	delete(d.keys, staff)
	delete(d.codes, staff)
}

// counted keeps the newest of a passkey's signature counters; mu is held.
func (d *Directory) counted(staff string, id []byte, count uint32) {
	for _, k := range d.keys[staff] {
		if bytes.Equal(k.id, id) && count > k.count {
			k.count = count
		}
	}
}

// first refuses the operator what only the first administrator's and the first
// security officer's enrolment needs of them. The caller holds grants.
func (d *Directory) first(o Officer, staff string) error {
	if !o.operator {
		return nil
	}
	of := d.staff[staff]
	switch {
	case d.settled:
		return fmt.Errorf("%w: an administrator and a security officer have passkeys, so an administrator makes codes and a security officer or a supervisor vouches (give their session's token with --token-file)", ErrRefused)
	case !slices.Contains(of.own(), "administrator") && !slices.Contains(of.own(), "security-officer"):
		return fmt.Errorf("%w: the operator enrols the first administrator and the first security officer only; they enrol the others", ErrRefused)
	}
	return nil
}

// NewCode makes a one-time code with which a staff member enrols a passkey. It
// replaces an older one.
func (d *Directory) NewCode(ctx context.Context, o Officer, staff string) (code string, expires time.Time, err error) {
	d.grants.Lock()
	defer d.grants.Unlock()
	if _, err := d.person(staff); err != nil {
		return "", expires, err
	}
	if err := d.may(ctx, o, "code", staff, "administrator"); err != nil {
		return "", expires, err
	}
	if err := d.first(o, staff); err != nil {
		return "", expires, err
	}
	if len(d.keys[staff]) >= maxKeys {
		return "", expires, fmt.Errorf("%w: %s has %d passkeys, which is the most; reset them first", ErrInvalid, staff, maxKeys)
	}
	var raw [10]byte
	if _, err := io.ReadFull(d.rand, raw[:]); err != nil {
		return "", expires, err
	}
	plain := base32.StdEncoding.EncodeToString(raw[:])
	expires = d.log.Now().Add(CodeLasts).UTC().Truncate(time.Microsecond)
	hash := sha256.Sum256([]byte(plain))
	g := ofPeople{Grants: "code", Staff: staff, Until: expires, By: o.by(), Hash: hash[:]}
	if _, err := d.settle(ctx, o, auditlog.Event{Detail: detail(g)}); err != nil {
		return "", expires, fmt.Errorf("make an enrolment code: %w", err)
	}
	return plain[:4] + "-" + plain[4:8] + "-" + plain[8:12] + "-" + plain[12:], expires, nil
}

// codeOf finds a code as somebody typed it. mu or grants is held.
func (d *Directory) codeOf(typed string) *enrolment {
	if len(typed) > 64 {
		return nil
	}
	typed = strings.NewReplacer("-", "", " ", "").Replace(strings.ToUpper(typed))
	hash := sha256.Sum256([]byte(typed))
	for _, c := range d.codes { // of 80 random bits: that a look-up's time tells of the hash helps nobody
		if c.hash == hash && d.log.Now().Before(c.expires) {
			return c
		}
	}
	return nil
}

// CodeFor tells whose enrolment a code is for.
func (d *Directory) CodeFor(code string) (Staff, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	c := d.codeOf(code)
	if c == nil {
		return Staff{}, ErrCode
	}
	return d.person(c.staff)
}

// Enrol adds a passkey to the staff member that a code is for, and uses the code up.
func (d *Directory) Enrol(ctx context.Context, code, device string, key Credential) (Passkey, error) {
	d.grants.Lock()
	defer d.grants.Unlock()
	c := d.codeOf(code)
	if c == nil {
		return Passkey{}, ErrCode
	}
	if _, err := d.person(c.staff); err != nil {
		return Passkey{}, err
	}
	if len(key.ID) == 0 || len(key.ID) > 1023 || len(key.Public) == 0 || len(key.Public) > 4096 {
		return Passkey{}, fmt.Errorf("%w: the passkey isn't of the size that one has (WebAuthn 4)", ErrInvalid)
	}
	for _, keys := range d.keys {
		if slices.ContainsFunc(keys, func(k *Passkey) bool { return bytes.Equal(k.id, key.ID) }) {
			return Passkey{}, fmt.Errorf("%w: this passkey", ErrExists)
		}
	}
	g := ofPeople{Grants: "passkey", Staff: c.staff, By: c.by, Of: c.event, Key: &sealKey{key.ID, key.Public, key.Flags, key.Count}}
	if _, err := d.settle(ctx, Officer{}, auditlog.Event{Staff: c.staff, Device: device, Detail: detail(g)}); err != nil {
		return Passkey{}, fmt.Errorf("enrol a passkey: %w", err)
	}
	keys := d.keys[c.staff]
	return *keys[len(keys)-1], nil
}

// Vouch lets a passkey count: a second person says that the key of this fingerprint
// is the staff member's. Who made the code can't.
func (d *Directory) Vouch(ctx context.Context, o Officer, staff, print string) (Passkey, error) {
	d.grants.Lock()
	defer d.grants.Unlock()
	of, err := d.person(staff)
	if err != nil {
		return Passkey{}, err
	}
	if err := d.may(ctx, o, "vouch", staff, "security-officer", "supervisor"); err != nil {
		return Passkey{}, err
	}
	if err := d.first(o, staff); err != nil {
		return Passkey{}, err
	}
	if o.session.role == "supervisor" && o.session.office != of.Office {
		return Passkey{}, d.denied(ctx, o, "vouch", staff, fmt.Errorf("%w: a supervisor vouches for their own office", ErrRefused))
	}
	for _, k := range d.keys[staff] {
		if k.Print != strings.ToUpper(strings.TrimSpace(print)) || k.Vouched != "" {
			continue
		}
		if !o.operator && k.CodeBy == o.session.staff {
			return Passkey{}, d.denied(ctx, o, "vouch", staff, fmt.Errorf("%w: who made the code doesn't vouch for what was enrolled with it", ErrRefused))
		}
		if _, err := d.settle(ctx, o, auditlog.Event{Detail: detail(ofPeople{Grants: "vouch", Staff: staff, Of: k.Event, By: o.by()})}); err != nil {
			return Passkey{}, fmt.Errorf("vouch for a passkey: %w", err)
		}
		return *k, nil
	}
	return Passkey{}, fmt.Errorf("passkey %w: %s has none of that fingerprint that waits; look at the fingerprint on their screen again", ErrNotFound, staff)
}

// RemovePasskeys takes all of a staff member's passkeys and ends the sessions that
// were signed in to. A new one takes a code and a second person again, so what one
// person does here lets nobody in.
func (d *Directory) RemovePasskeys(ctx context.Context, o Officer, staff string) error {
	d.grants.Lock()
	defer d.grants.Unlock()
	if _, err := d.person(staff); err != nil {
		return err
	}
	if o.operator {
		return fmt.Errorf("%w: an administrator or a security officer resets passkeys", ErrRefused)
	}
	if err := d.may(ctx, o, "reset", staff, "administrator", "security-officer"); err != nil {
		return err
	}
	if _, err := d.settle(ctx, o, auditlog.Event{Detail: detail(ofPeople{Grants: "passkeys-removed", Staff: staff, By: o.by()})}); err != nil {
		return fmt.Errorf("remove passkeys: %w", err)
	}
	return nil
}

// Passkeys lists the passkeys, those of one staff member or, for an empty id, all.
func (d *Directory) Passkeys(staff string) []Passkey {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := []Passkey{}
	for of, keys := range d.keys {
		if staff != "" && of != staff {
			continue
		}
		for _, k := range keys {
			list = append(list, *k)
		}
	}
	slices.SortFunc(list, func(a, b Passkey) int { return int(a.Event - b.Event) })
	return list
}

// Credentials are the passkeys by which a staff member can sign in: those that were
// vouched for.
func (d *Directory) Credentials(staff string) []Credential {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var list []Credential
	if _, err := d.person(staff); err != nil {
		return nil
	}
	for _, k := range d.keys[staff] {
		if k.Vouched != "" {
			list = append(list, Credential{k.id, k.public, k.flags, k.count})
		}
	}
	return list
}
