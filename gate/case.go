package gate

import (
	"context"
	"errors"
	"fmt"

	"azekura/access"
	"azekura/access/policy"
	"azekura/auditlog"
	"azekura/cases"

	"github.com/google/uuid"
)

// suits refuses what a case never lets happen, whoever it is about: a search once it
// knows whom it is about, and a job over many unless it is a review.
func suits(on cases.Ground, action auditlog.Action) error {
	switch {
	case !on.Known():
	case action == auditlog.Search && !on.Free():
		return &cases.Refusal{Reason: cases.Others, Words: "the case knows already whom it is about; for somebody else open another"}
	case action == auditlog.Set && on.Kind != cases.Review:
		return &cases.Refusal{Reason: "kind", Words: "a job over many participants takes a review"}
	}
	return nil
}

// about asks the case, and then the policies, about the participant whom a request
// names.
func (g *Gate) about(ctx context.Context, event auditlog.Event, on ground, id uuid.UUID) error {
	var err error
	if event.Action == auditlog.Check {
		err = errors.Join(on.MayCheck(id), on.MustFind(g.sought.found(on.Ground, id)))
	} else {
		err = on.MayOpen(id, event.Purpose)
	}
	if err != nil {
		return g.denied(ctx, event, err)
	}
	return g.permitted(ctx, event, on, id)
}

// denied records what a case refused before it is told. It doesn't say about whom:
// that somebody is in the register is no part of a refusal.
func (g *Gate) denied(ctx context.Context, event auditlog.Event, why error) error {
	var refusal *cases.Refusal
	if !errors.As(why, &refusal) {
		return why
	}
	detail := refusal.Detail(event.Action.String())
	event.Action, event.Outcome, event.Detail = auditlog.Deny, "case", detail
	if _, err := g.log.RecordOne(ctx, event); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", ErrDenied, refusal.Words)
}

// still refuses what was decided under a session, a case or policies that aren't what
// they were: between the decision and the receipt somebody may have changed them.
func (g *Gate) still(s access.Session, event auditlog.Event, under *policy.Text) error {
	if err := g.access.Still(s); err != nil {
		return err
	}
	if err := errors.Join(g.cases.Still(event.Case, s.Staff()), g.policies.Still(under)); err != nil {
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return nil
}
