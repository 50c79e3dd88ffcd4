package access

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"azekura/access/device"
	"azekura/auditlog"
)

// granted is a grant event's detail.
type granted struct {
	Grants  string    `json:"grants"` // staff, device, session; others are other rooms'
	Staff   string    `json:"staff,omitempty"`
	Device  string    `json:"device,omitempty"`
	Role    string    `json:"role,omitempty"`
	Office  string    `json:"office,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	Token   []byte    `json:"token,omitempty"` // a session's token's SHA-256
	Machine bool      `json:"machine,omitempty"`
	Bound   []byte    `json:"bound,omitempty"` // the thumbprint of the device's key that a session is bound to
}

// contained is a contain event's detail.
type contained struct {
	Contains string `json:"contains"`
	By       string `json:"by,omitempty"` // the staff member who closed a session
	// Target is set by a containment, and not by a session's closing.
	Target *Target `json:"target,omitempty"`
}

// Replay takes an event of authority into the directory, in the log's order. It
// is for the start, before anything else is asked of the directory; what came of
// it counts only once auditlog.Log.Authority says that the events were all.
func (d *Directory) Replay(e auditlog.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch e.Action {
	case auditlog.Grant:
		return d.replayGrant(e)
	case auditlog.System:
		// What was lost may have ended any of them.
		if before := auditlog.Follows(&e); before != nil && before.Lost() {
			d.endAll(time.UnixMicro(e.Time).UTC())
		}
	case auditlog.Contain:
		var c contained
		if err := json.Unmarshal(e.Detail, &c); err != nil {
			return fmt.Errorf("read what it contains: %w", err)
		}
		if c.Contains != "session" || c.Target != nil {
			return d.stops.take(&e)
		}
		if row := d.sessions[e.Session]; row != nil && !row.recorded {
			row.closed, row.recorded = time.UnixMicro(e.Time).UTC(), true
		}
	}
	return nil
}

// endAll ends every session; mu is held.
func (d *Directory) endAll(at time.Time) {
	for _, row := range d.sessions {
		if !row.recorded {
			row.closed, row.recorded = at, true
		}
	}
}

func (d *Directory) replayGrant(e auditlog.Event) error {
	var g granted
	if err := json.Unmarshal(e.Detail, &g); err != nil {
		return fmt.Errorf("read what it grants: %w", err)
	}
	at := time.UnixMicro(e.Time).UTC()
	switch g.Grants {
	case "staff":
		d.staff[g.Staff] = Staff{ID: g.Staff, Role: g.Role, Office: g.Office, Added: at, Event: e.Index, Machine: g.Machine}
	case "device":
		d.devices[g.Device] = Device{ID: g.Device, Office: g.Office, Added: at, Event: e.Index}
	case "session":
		row := &sessionRow{session: e.Session, staff: e.Staff, device: e.Device, opened: at, expires: g.Expires, event: e.Index, role: e.Role}
		if len(g.Bound) == sha256.Size {
			row.bound = device.Thumbprint(g.Bound)
		}
		if err := d.replaySitting(row, e); err != nil {
			return err
		}
		if d.log.Now().Sub(row.expires) > keepEnded {
			return nil
		}
		if len(g.Token) == sha256.Size {
			row.hash = [sha256.Size]byte(g.Token)
		}
		d.take(row)
	case "release", "end-step-up":
		return d.stops.release(&e)
	default:
		if of, err := d.replayDevices(g.Grants, e); of {
			return err
		}
		return d.replayPeople(g.Grants, e)
	}
	return nil
}

// take lets a session count that was just opened; mu is held. One that was opened
// under a containment, in the moment between its check and its event, is over: the
// containment's release, which lets new ones open, doesn't wake it.
func (d *Directory) take(row *sessionRow) {
	d.sessions[row.session] = row
	if d.now(row) {
		row.closed, row.recorded = row.opened, true
	}
	// A session without a token was opened before the log held them: it can be
	// listed and closed, and opens nothing.
	if row.hash != [sha256.Size]byte{} {
		d.tokens[row.hash] = row
	}
}

// sweep forgets sessions that ended long ago; mu is held.
func (d *Directory) sweep(now time.Time) {
	if now.Sub(d.swept) < time.Hour {
		return
	}
	d.swept = now
	for id, row := range d.sessions {
		over := row.expires
		if row.recorded && row.closed.Before(over) {
			over = row.closed
		}
		if now.Sub(over) > keepEnded {
			delete(d.sessions, id)
			delete(d.tokens, row.hash)
		}
	}
}

// Of lists every session that a staff member or a device ever had, from the
// log's own events; an empty id stands for any. It is all of them, or an error.
func (d *Directory) Of(ctx context.Context, staff, device string) ([]auditlog.Session, error) {
	var list []auditlog.Session
	err := d.log.Authority(ctx, func(e auditlog.Event) error {
		if e.Action == auditlog.Grant && e.Session != 0 && (staff == "" || e.Staff == staff) && (device == "" || e.Device == device) {
			list = append(list, e.Session)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the sessions: %w", err)
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}
