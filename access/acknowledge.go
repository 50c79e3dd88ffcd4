package access

import (
	"context"
	"fmt"

	"azekura/auditlog"
)

// Acknowledged is the purpose of the event that says that somebody has looked at an
// alarm.
const Acknowledged = "alarm-ack"

// Acknowledgement is that event's detail.
type Acknowledgement struct {
	Log   int64  `json:"log"`
	Event int64  `json:"event"` // the alarm's
	Why   string `json:"why"`   // what was found
	By    string `json:"by"`
}

// Acknowledge records that a security officer, or the operator, has looked at an
// alarm. It ends nothing.
func (d *Directory) Acknowledge(ctx context.Context, o Officer, log, event int64, found string) (Acknowledgement, error) {
	a := Acknowledgement{log, event, found, o.by()}
	if !plainReason(found) {
		return a, fmt.Errorf("%w: say what was found, in one line of up to 200 bytes", ErrInvalid)
	}
	if err := d.may(ctx, o, "acknowledge an alarm", fmt.Sprint("event ", event), "security-officer"); err != nil {
		return a, err
	}
	if _, err := d.grant(ctx, auditlog.Event{Action: auditlog.System, Outcome: "ok", Purpose: Acknowledged, Detail: detail(a)}); err != nil {
		return a, fmt.Errorf("acknowledge event %d: %w", event, err)
	}
	return a, nil
}
