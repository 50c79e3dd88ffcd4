package gate

import (
	"context"
	"crypto/subtle"
	"fmt"

	"azekura/access"
	"azekura/auditlog"
	"azekura/register/field"
	"azekura/register/value"
)

// CheckRequest asks whether a field is what a caller says.
type CheckRequest struct {
	Who
	Why
	Field field.Field
	Claim string // what the caller says
}

// Check compares inside the gate and answers yes or no. Two events speak of it:
// that it was asked, before anything is opened; and the answer, before it is
// told.
func (g *Gate) Check(ctx context.Context, s access.Session, r CheckRequest) (bool, error) {
	if r.Field == field.Sex {
		return false, fmt.Errorf("%w: a sex isn't checked: no would tell it as well as yes; read it, where the case is so far", ErrInvalid)
	}
	event, on, err := g.decide(ctx, s, auditlog.Check, field.SetOf(r.Field), r.Why)
	if err != nil {
		return false, err
	}
	claim, err := value.ParseField(r.Field, r.Claim, g.log.Now())
	if err != nil {
		return false, fmt.Errorf("%w: what the caller says isn't a %s: %w", ErrInvalid, r.Field, err)
	}
	p, err := g.one(ctx, event, on, r.Who)
	if err != nil {
		return false, err
	}
	event.Detail = p.detail(markIf(g.sought.other(on.Ground, g.log.Now(), p.Key.ID), crossed))
	done, err := g.cases.Try(on.Ground, s, p.Key.ID)
	if err != nil {
		return false, g.denied(ctx, event, err)
	}
	defer done()
	asked, err := g.open(ctx, s, event, p, field.SetOf(r.Field), p.Latest())
	if err != nil {
		return false, err
	}
	yes := false
	for _, v := range asked.list {
		yes = v.Plain != "" && same(r.Field, v.Plain, claim)
	}
	event.Action, event.Participant = auditlog.Checked, p.Key.ID
	event.Outcome = map[bool]string{true: "yes", false: "no"}[yes]
	event.Fields = []auditlog.FieldVersion{{Field: r.Field, Version: p.At(r.Field, p.Latest())}}
	event.Detail = fmt.Appendf(nil, `{"check":%d}`, asked.receipt.Index())
	// The case counts it: right answers identify, and wrong ones are limited.
	if err := g.cases.Answered(ctx, event); err != nil {
		return false, err
	}
	if err := g.still(s, event, on.under); err != nil {
		return false, err
	}
	return yes, nil
}

// same compares normalised forms, in constant time for forms of one length.
func same(f field.Field, a, b string) bool {
	a, b = value.Comparable(f, a), value.Comparable(f, b)
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
