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

// suits refuses what a case never lets happen, whoever it is about: a job over many
// unless it is a review.
func suits(on cases.Ground, action auditlog.Action) error {
	if on.Known() && action == auditlog.Set && on.Kind != cases.Review {
		return &cases.Refusal{Reason: "kind", Words: "a job over many participants takes a review"}
	}
	return nil
}

// maySearch asks the case about a search, and then the policies. One that was refused
// before, and not made good, is marked once.
func (g *Gate) maySearch(ctx context.Context, s access.Session, r *SearchRequest) (auditlog.Event, ground, error) {
	event, on, err := g.ask(ctx, s, auditlog.Search, maskFields, r.Why)
	if err == nil {
		err = on.MaySearch(r.Salt, r.By.String(), r.First, r.Second)
	}
	var refusal *cases.Refusal
	if errors.As(err, &refusal) {
		refusal.Again = g.slips.again(event.Staff, r.Case, g.meant(r), g.log.Now())
	}
	if err != nil {
		return event, on, g.denied(ctx, event, err)
	}
	return event, on, g.permitted(ctx, event, on, uuid.UUID{})
}

// about asks the case, and then the policies, about the participant whom a request
// names.
func (g *Gate) about(ctx context.Context, event auditlog.Event, on ground, id uuid.UUID) error {
	var err error
	if event.Action == auditlog.Check {
		err = errors.Join(on.MayCheck(id), on.MustFind(g.sought.found(on.Ground, g.log.Now(), id)))
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
