package access

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"azekura/auditlog"
	"azekura/internal/db"
)

// grant records an event and inserts the row that repeats it, in one commit.
// The row is written when the event's index is known.
func (d *Directory) grant(ctx context.Context, event auditlog.Event, sql string, args ...any) (auditlog.Receipt, error) {
	tx, err := d.db.Begin(ctx)
	if err != nil {
		return auditlog.Receipt{}, err
	}
	event.Outcome = "ok"
	// Once begun it is seen through: what this directory holds in memory must be
	// what the log grants, though the caller has gone.
	receipts, err := d.log.Record(context.WithoutCancel(ctx), auditlog.Entry{Events: []auditlog.Event{event}, Tx: tx,
		Finish: func(ctx context.Context, tx db.Tx, events []auditlog.Event) error {
			_, err := tx.Exec(ctx, sql, append(args, events[0].Index, events[0].Time, d.log.ID())...)
			return err
		}})
	if err != nil {
		return auditlog.Receipt{}, err
	}
	return receipts[0], nil
}

// AddStaff adds a staff member.
func (d *Directory) AddStaff(ctx context.Context, id, role, office string) (Staff, error) {
	if err := checkCode("staff id", id); err != nil {
		return Staff{}, err
	}
	if err := checkCode("office", office); err != nil {
		return Staff{}, err
	}
	if !slices.Contains(Roles, role) {
		return Staff{}, fmt.Errorf("%w: the roles are %s", ErrInvalid, strings.Join(Roles, ", "))
	}
	d.grants.Lock()
	defer d.grants.Unlock()
	if _, taken := d.staff[id]; taken {
		return Staff{}, fmt.Errorf("%w: staff %s", ErrExists, id)
	}
	event := auditlog.Event{Action: auditlog.Grant, Detail: detail(map[string]string{"grants": "staff", "staff": id, "role": role, "office": office})}
	r, err := d.grant(ctx, event, "INSERT INTO access_staff (staff_id, role, office, idx, added_us, log_id) VALUES ($1, $2, $3, $4, $5, $6)", id, role, office)
	if err != nil {
		return Staff{}, fmt.Errorf("add staff %s: %w", id, err)
	}
	staff := Staff{ID: id, Role: role, Office: office, Added: time.UnixMicro(r.Time()).UTC(), Event: r.Index()}
	d.mu.Lock()
	d.staff[id] = staff
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
	event := auditlog.Event{Action: auditlog.Grant, Detail: detail(map[string]string{"grants": "device", "device": id, "office": office})}
	r, err := d.grant(ctx, event, "INSERT INTO access_device (device_id, office, idx, added_us, log_id) VALUES ($1, $2, $3, $4, $5)", id, office)
	if err != nil {
		return Device{}, fmt.Errorf("add device %s: %w", id, err)
	}
	device := Device{ID: id, Office: office, Added: time.UnixMicro(r.Time()).UTC(), Event: r.Index()}
	d.mu.Lock()
	d.devices[id] = device
	d.mu.Unlock()
	return device, nil
}

// OpenSession opens a session and returns its token, which is shown once.
func (d *Directory) OpenSession(ctx context.Context, staff, device string, lasts time.Duration) (SessionInfo, string, error) {
	if lasts <= 0 || lasts > MaxSession {
		return SessionInfo{}, "", fmt.Errorf("%w: a session lasts up to %s", ErrInvalid, MaxSession)
	}
	d.grants.Lock()
	defer d.grants.Unlock()
	if _, ok := d.staff[staff]; !ok {
		return SessionInfo{}, "", fmt.Errorf("staff member %w; azekura staff list shows them", ErrNotFound)
	}
	if _, ok := d.devices[device]; !ok {
		return SessionInfo{}, "", fmt.Errorf("device %w; azekura device list shows them", ErrNotFound)
	}
	token, hash, id, err := d.newToken()
	if err != nil {
		return SessionInfo{}, "", err
	}
	expires := d.log.Now().Add(lasts).UTC()
	event := auditlog.Event{Action: auditlog.Grant, Staff: staff, Device: device, Role: d.staff[staff].Role, Session: id,
		Detail: detail(map[string]string{"grants": "session", "expires": expires.Format(time.RFC3339)})}
	r, err := d.grant(ctx, event, `INSERT INTO access_session (session_id, staff_id, device_id, token_hash, expires_us, closed_us, idx, opened_us, log_id)
		VALUES ($1, $2, $3, $4, $5, 0, $6, $7, $8)`, int64(id), staff, device, hash[:], expires.UnixMicro())
	if err != nil {
		return SessionInfo{}, "", fmt.Errorf("open a session: %w", err)
	}
	row := &sessionRow{session: id, staff: staff, device: device, hash: hash, opened: time.UnixMicro(r.Time()).UTC(), expires: expires, event: r.Index()}
	d.mu.Lock()
	d.sessions[id], d.tokens[hash] = row, row
	d.mu.Unlock()
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
	event := auditlog.Event{Action: auditlog.Contain, Staff: row.staff, Device: row.device, Session: id, Detail: detail(map[string]string{"contains": "session"})}
	_, err := d.grant(ctx, event, "UPDATE access_session SET closed_us = $3 WHERE session_id = $1 AND idx < $2 AND log_id = $4", int64(id))
	if err != nil {
		return SessionInfo{}, fmt.Errorf("close the session: %w", err)
	}
	row.recorded = true
	return row.info(), nil
}

func (d *Directory) loadStaff(ctx context.Context) error {
	rows, err := d.db.Query(ctx, "SELECT staff_id, role, office, added_us, idx FROM access_staff WHERE log_id = $1", d.log.ID())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var s Staff
		var added int64
		if err := rows.Scan(&s.ID, &s.Role, &s.Office, &added, &s.Event); err != nil {
			return err
		}
		s.Added = time.UnixMicro(added).UTC()
		d.staff[s.ID] = s
	}
	return rows.Err()
}

func (d *Directory) loadDevices(ctx context.Context) error {
	rows, err := d.db.Query(ctx, "SELECT device_id, office, added_us, idx FROM access_device WHERE log_id = $1", d.log.ID())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var dev Device
		var added int64
		if err := rows.Scan(&dev.ID, &dev.Office, &added, &dev.Event); err != nil {
			return err
		}
		dev.Added = time.UnixMicro(added).UTC()
		d.devices[dev.ID] = dev
	}
	return rows.Err()
}

func (d *Directory) loadSessions(ctx context.Context) error {
	rows, err := d.db.Query(ctx, `SELECT session_id, staff_id, device_id, token_hash, opened_us, expires_us, closed_us, idx
		FROM access_session WHERE log_id = $1`, d.log.ID())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		row := &sessionRow{}
		var id, opened, expires, closed int64
		var hash []byte
		if err := rows.Scan(&id, &row.staff, &row.device, &hash, &opened, &expires, &closed, &row.event); err != nil {
			return err
		}
		if len(hash) != len(row.hash) {
			return fmt.Errorf("the token of session %s is damaged", auditlog.Session(id))
		}
		row.session, row.hash = auditlog.Session(id), [32]byte(hash)
		row.opened, row.expires = time.UnixMicro(opened).UTC(), time.UnixMicro(expires).UTC()
		if closed != 0 {
			row.closed, row.recorded = time.UnixMicro(closed).UTC(), true
		}
		d.sessions[row.session], d.tokens[row.hash] = row, row
	}
	return rows.Err()
}
