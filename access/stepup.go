package access

import (
	"context"
	"fmt"

	"azekura/auditlog"
)

// EndStepUp ends a step-up on one security officer's word and reason, after a fresh
// touch of theirs: it stopped nobody, so it doesn't take two to end it. It doesn't
// end by itself, since who waits would outwait it; and nobody ends what asks
// themselves alone for a touch. A containment of the same target stands.
func (d *Directory) EndStepUp(ctx context.Context, o Officer, t Target, why string) (Target, error) {
	if err := t.check(); err != nil {
		return t, err
	}
	if !plainReason(why) {
		return t, fmt.Errorf("%w: say why the step-up ends, in one line of up to 200 bytes", ErrInvalid)
	}
	d.grants.Lock()
	defer d.grants.Unlock()
	if err := d.may(ctx, o, "end step-up", o.own(t), "security-officer"); err != nil {
		return t, err
	}
	d.mu.RLock()
	_, asked := d.stops.touch[t]
	d.mu.RUnlock()
	if !asked {
		return t, fmt.Errorf("step-up of %s: %w; azekura contain list shows what is", t, ErrNotFound)
	}
	event := auditlog.Event{Detail: detail(stop{Grants: "end-step-up", Target: &t, Why: why, By: o.by()})}
	if _, err := d.settle(ctx, o, event); err != nil {
		return t, fmt.Errorf("end the step-up of %s: %w", t, err)
	}
	return t, nil
}

// own is the officer's own id where the target is themselves, their device or
// their session, so that may refuses it; and else the target's words.
func (o Officer) own(t Target) string {
	s := o.session
	if !o.operator && (t == Target{TheStaff, s.staff} || t == Target{TheDevice, s.device} || t == Target{TheSession, s.id.String()}) {
		return s.staff
	}
	return t.String()
}
