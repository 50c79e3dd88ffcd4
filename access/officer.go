package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"azekura/auditlog"
)

var (
	// ErrRefused means that who asks may not grant this.
	ErrRefused = errors.New("not yours to grant")
	// ErrTouch means that the session's holder has to prove first that they are
	// there: what a stolen session can't.
	ErrTouch = errors.New("this takes a fresh touch: confirm with your passkey or your agency's sign-in, then try again")
)

// TouchLasts is how long a touch is fresh.
const TouchLasts = 5 * time.Minute

// Officer is who grants something. The zero value may grant nothing.
type Officer struct {
	session  Session
	operator bool
}

// Operator is whoever holds the installation's own socket.
func Operator() Officer { return Officer{operator: true} }

// Officer is the session's holder as one who grants.
func (s Session) Officer() Officer { return Officer{session: s} }

func (o Officer) by() string {
	if o.operator {
		return "operator"
	}
	return o.session.staff
}

// may refuses an officer who doesn't act in one of the roles, whose touch isn't
// fresh, or who would do it to themselves; what it refuses to a session is in the
// log. The caller holds grants.
func (d *Directory) may(ctx context.Context, o Officer, what, target string, roles ...string) error {
	if o.operator {
		return nil
	}
	err := d.Still(o.session)
	if err != nil {
		return err
	}
	switch {
	case !slices.Contains(roles, o.session.role):
		err = fmt.Errorf("%w: it takes %s", ErrRefused, either(roles))
	case o.session.staff == target:
		err = fmt.Errorf("%w: nobody does this for themselves", ErrRefused)
	case !d.fresh(o.session):
		err = ErrTouch
	}
	if err == nil {
		return nil
	}
	return d.denied(ctx, o, what, target, err)
}

// denied records a refusal before it is told.
func (d *Directory) denied(ctx context.Context, o Officer, what, target string, refused error) error {
	if o.operator {
		return refused
	}
	why := "refused"
	if errors.Is(refused, ErrTouch) {
		why = "touch"
	}
	event := o.session.Stamp(auditlog.Event{Action: auditlog.Deny, Outcome: why, Detail: detail(struct {
		Asked string `json:"asked"`
		For   string `json:"for,omitempty"`
	}{what, target})})
	if _, err := d.log.RecordOne(ctx, event); err != nil {
		return err
	}
	return refused
}

// Refused records what another room refuses to an officer, and returns the
// refusal: an attempt at what isn't theirs to grant is a sign.
func (d *Directory) Refused(ctx context.Context, o Officer, what, target string, refused error) error {
	return d.denied(ctx, o, what, target, refused)
}

func either(roles []string) string {
	text := ""
	for i, r := range roles {
		switch {
		case i == 0:
		case i == len(roles)-1:
			text += " or "
		default:
			text += ", "
		}
		text += r
	}
	return text
}

// settle records an event of authority and lets it count, by the code that
// replays it at the next start. The caller holds grants.
func (d *Directory) settle(ctx context.Context, o Officer, event auditlog.Event) (auditlog.Event, error) {
	if o.session.Live() {
		event = o.session.Stamp(event)
	}
	event.Action = auditlog.Grant
	r, err := d.grant(ctx, event)
	if err != nil {
		return event, fmt.Errorf("record it: %w", err)
	}
	event.Time, event.Index = r.Time(), r.Index()
	d.mu.Lock()
	defer d.mu.Unlock()
	return event, d.replayGrant(event)
}

// known finds a staff member who is a person and hasn't left.
func (d *Directory) person(id string) (Staff, error) {
	s, ok := d.staff[id]
	switch {
	case !ok:
		return s, fmt.Errorf("staff member %w; azekura staff list shows them", ErrNotFound)
	case s.Left != nil:
		return s, fmt.Errorf("%w: staff member %s was removed", ErrInvalid, id)
	case s.Machine:
		return s, fmt.Errorf("%w: %s is a program's account; nobody signs in to it", ErrInvalid, id)
	}
	return s, nil
}
