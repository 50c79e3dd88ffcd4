package access

import (
	"context"
	"fmt"
	"time"

	"azekura/auditlog"
)

// grant records an event. Once begun it is seen through: what this directory
// holds in memory must be what the log grants, though the caller has gone.
func (d *Directory) grant(ctx context.Context, event auditlog.Event) (auditlog.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return auditlog.Receipt{}, err
	}
	event.Outcome = "ok"
	return d.log.RecordOne(context.WithoutCancel(ctx), event)
}

// AddStaff adds a staff member.
func (d *Directory) AddStaff(ctx context.Context, id, role, office string) (Staff, error) {
	return d.addStaff(ctx, granted{Grants: "staff", Staff: id, Role: role, Office: office})
}

func (d *Directory) addStaff(ctx context.Context, g granted) (Staff, error) {
	if err := checkCode("staff id", g.Staff); err != nil {
		return Staff{}, err
	}
	if err := checkCode("office", g.Office); err != nil {
		return Staff{}, err
	}
	if err := checkRoles([]string{g.Role}); err != nil {
		return Staff{}, err
	}
	d.grants.Lock()
	defer d.grants.Unlock()
	if _, taken := d.staff[g.Staff]; taken {
		return Staff{}, fmt.Errorf("%w: staff %s", ErrExists, g.Staff)
	}
	r, err := d.grant(ctx, auditlog.Event{Action: auditlog.Grant, Detail: detail(g)})
	if err != nil {
		return Staff{}, fmt.Errorf("add staff %s: %w", g.Staff, err)
	}
	staff := Staff{ID: g.Staff, Role: g.Role, Office: g.Office, Added: time.UnixMicro(r.Time()).UTC(), Event: r.Index(), Machine: g.Machine}
	d.mu.Lock()
	d.staff[g.Staff] = staff
	d.mu.Unlock()
	return staff, nil
}

// AddDevice adds a device.
func (d *Directory) AddDevice(ctx context.Context, id, office string) (Device, error) {
	if err := checkCode("device id", id); err != nil {
		return Device{}, err
	}
	if err := checkCode("office", office); err != nil {
		return Device{}, err
	}
	d.grants.Lock()
	defer d.grants.Unlock()
	if _, taken := d.devices[id]; taken {
		return Device{}, fmt.Errorf("%w: device %s", ErrExists, id)
	}
	event := auditlog.Event{Action: auditlog.Grant, Detail: detail(granted{Grants: "device", Device: id, Office: office})}
	r, err := d.grant(ctx, event)
	if err != nil {
		return Device{}, fmt.Errorf("add device %s: %w", id, err)
	}
	device := Device{ID: id, Office: office, Added: time.UnixMicro(r.Time()).UTC(), Event: r.Index()}
	d.mu.Lock()
	d.devices[id] = device
	d.mu.Unlock()
	return device, nil
}

// OpenSession opens a session and returns its token, which is shown once. It is
// bound to the device's newest key; to none where the device never had one.
func (d *Directory) OpenSession(ctx context.Context, staff, device string, lasts time.Duration) (SessionInfo, string, error) {
	if lasts <= 0 || lasts > MaxSession {
		return SessionInfo{}, "", fmt.Errorf("%w: a session lasts up to %s", ErrInvalid, MaxSession)
	}
	d.grants.Lock()
	defer d.grants.Unlock()
	if of, ok := d.staff[staff]; !ok || of.Left != nil {
		return SessionInfo{}, "", fmt.Errorf("staff member %w; azekura staff list shows them", ErrNotFound)
	}
	if _, ok := d.devices[device]; !ok {
		return SessionInfo{}, "", fmt.Errorf("device %w; azekura device list shows them", ErrNotFound)
	}
	if d.stopped(staff, device) {
		return SessionInfo{}, "", ErrContained
	}
	key, known := d.newest(device)
	if known && key == nil {
		return SessionInfo{}, "", fmt.Errorf("%w: device %s was revoked; enrol it again (azekura device code)", ErrInvalid, device)
	}
	token, hash, id, err := d.newToken()
	if err != nil {
		return SessionInfo{}, "", err
	}
	expires := d.log.Now().Add(lasts).UTC().Truncate(time.Microsecond)
	event := auditlog.Event{Action: auditlog.Grant, Staff: staff, Device: device, Role: d.staff[staff].Role, Session: id,
		Detail: detail(granted{Grants: "session", Expires: expires, Token: hash[:], Bound: key.bound()})}
	r, err := d.grant(ctx, event)
	if err != nil {
		return SessionInfo{}, "", fmt.Errorf("open a session: %w", err)
	}
	row := &sessionRow{session: id, staff: staff, device: device, hash: hash, opened: time.UnixMicro(r.Time()).UTC(), expires: expires, event: r.Index(), role: event.Role}
	if key != nil {
		row.bound = key.thumb
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.take(row)
	d.sweep(row.opened)
	if row.recorded {
		return SessionInfo{}, "", ErrContained
	}
	return row.info(), token, nil
}

// CloseSession ends a session.
func (d *Directory) CloseSession(ctx context.Context, id auditlog.Session) (SessionInfo, error) {
	d.grants.Lock()
	defer d.grants.Unlock()
	row := d.sessions[id]
	if row == nil {
		return SessionInfo{}, fmt.Errorf("session %w; azekura session list shows them", ErrNotFound)
	}
	return d.closeSession(ctx, Officer{}, row)
}

// closeSession ends a session on an officer's word. The caller holds grants.
func (d *Directory) closeSession(ctx context.Context, o Officer, row *sessionRow) (SessionInfo, error) {
	if row.recorded {
		return row.info(), nil
	}
	// It ends for readers at once, whether or not the rest succeeds; until it is
	// recorded, closing again tries again.
	d.mu.Lock()
	if row.closed.IsZero() {
		row.closed = d.log.Now().UTC()
	}
	d.mu.Unlock()
	event := auditlog.Event{Action: auditlog.Contain, Staff: row.staff, Device: row.device, Session: row.session, Detail: detail(contained{Contains: "session", By: o.session.staff})}
	if _, err := d.grant(ctx, event); err != nil {
		return SessionInfo{}, fmt.Errorf("close the session: %w", err)
	}
	row.recorded = true
	return row.info(), nil
}
