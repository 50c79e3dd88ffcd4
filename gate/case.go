package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"azekura/access"
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
		return &cases.Refusal{Reason: "participant", Words: "the case knows already whom it is about; for somebody else open another"}
	case action == auditlog.Set && on.Kind != cases.Review:
		return &cases.Refusal{Reason: "kind", Words: "a job over many participants takes a review"}
	}
	return nil
}

// about asks the case about the participant whom a request names.
func (g *Gate) about(ctx context.Context, event auditlog.Event, on cases.Ground, id uuid.UUID) error {
	var err error
	if event.Action == auditlog.Check {
		err = on.MayCheck(id)
	} else {
		err = on.MayOpen(id, event.Purpose)
	}
	return g.denied(ctx, event, err)
}

// denied records what a case refused before it is told. It doesn't say about whom:
// that somebody is in the register is no part of a refusal.
func (g *Gate) denied(ctx context.Context, event auditlog.Event, why error) error {
	var refusal *cases.Refusal
	if !errors.As(why, &refusal) {
		return why
	}
	detail, err := json.Marshal(map[string]string{"asked": event.Action.String(), "case": refusal.Reason})
	if err != nil {
		return err
	}
	event.Action, event.Outcome, event.Detail = auditlog.Deny, "case", detail
	if _, err := g.log.RecordOne(ctx, event); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", ErrDenied, refusal.Words)
}

// still refuses what was decided under a session or a case that isn't what it was:
// between the decision and the receipt somebody may have closed it.
func (g *Gate) still(s access.Session, event auditlog.Event) error {
	if err := g.access.Still(s); err != nil {
		return err
	}
	if err := g.cases.Still(event.Case, s.Staff()); err != nil {
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return nil
}
