package gate

import (
	"context"
	"fmt"

	"azekura/access"
	"azekura/auditlog"
	"azekura/keyring/opening"
	"azekura/register"
	"azekura/register/field"
	"azekura/register/value"

	"github.com/google/uuid"
)

// SearchRequest asks who matches: one of the register's indexes and the one or
// two texts that it takes.
type SearchRequest struct {
	Why
	By            value.Kind
	First, Second string
}

// Candidate is one match, masked.
type Candidate struct {
	Participant uuid.UUID
	Mask        map[field.Field]string
	Event       int64 // the opening's index in the audit log
}

// maskFields are what a mask is made of.
var maskFields = field.SetOf(field.Name, field.Birth, field.Address)

// Search finds participants through a blind index and shows each as a mask.
// The search and each mask shown are events of one commit.
func (g *Gate) Search(ctx context.Context, s access.Session, r SearchRequest) ([]Candidate, error) {
	event, _, err := g.decide(ctx, s, auditlog.Search, maskFields, r.Why)
	if err != nil {
		return nil, err
	}
	form, err := value.QueryForm(r.By, r.First, r.Second, g.log.Now())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	ids, err := g.store.Find(ctx, form, MaxCandidates+1)
	if err != nil {
		return nil, err
	}
	found, err := g.store.Fetch(ctx, ids)
	if err != nil {
		return nil, err
	}
	events := []auditlog.Event{event}
	shown := []*register.Sealed{nil}
	for _, id := range ids {
		if p := found[id]; p != nil && p.Key.Wrapped != nil && len(ids) <= MaxCandidates {
			events = append(events, show(event, p))
			shown = append(shown, p)
		}
	}
	events[0].Outcome = outcome(len(ids))
	events[0].Detail = fmt.Appendf(nil, `{"by":"%s","candidates":%d}`, r.By, len(shown)-1)
	receipts, err := g.log.Record(ctx, auditlog.Entry{Events: events})
	if err != nil {
		return nil, err
	}
	if len(ids) > MaxCandidates {
		return nil, ErrTooMany
	}
	if err := g.still(s, event); err != nil {
		return nil, err
	}
	candidates := make([]Candidate, 0, len(shown)-1)
	for i := 1; i < len(shown); i++ {
		c, err := g.mask(ctx, receipts[i], shown[i])
		if err != nil {
			return nil, err
		}
		candidates = append(candidates, c)
	}
	return candidates, nil
}

func outcome(n int) string {
	switch {
	case n == 0:
		return "none"
	case n > MaxCandidates:
		return "too many"
	}
	return "ok"
}

// show is the event of one candidate's existence and mask.
func show(search auditlog.Event, p *register.Sealed) auditlog.Event {
	e := search
	e.Action, e.Outcome, e.Participant, e.Known = auditlog.Show, "ok", p.Key.ID, p.Known
	e.Fields = []auditlog.FieldVersion{{Field: field.Existence, Version: p.Latest()}, {Field: field.Mask, Version: p.Latest()}}
	return e
}

func (g *Gate) mask(ctx context.Context, receipt auditlog.Receipt, p *register.Sealed) (Candidate, error) {
	c := Candidate{Participant: p.Key.ID, Mask: map[field.Field]string{}, Event: receipt.Index()}
	var list []opening.Value
	for _, f := range maskFields.Fields() {
		if set := p.At(f, p.Latest()); set != 0 {
			sealed, err := p.Envelope(f, set)
			if err != nil {
				return c, err
			}
			list = append(list, opening.Value{Field: f, Version: set, Sealed: sealed})
		}
	}
	if err := g.unseal(ctx, receipt, p.Key, list); err != nil {
		return c, fmt.Errorf("open the mask of event %d: %w", receipt.Index(), err)
	}
	for _, v := range list {
		if m := value.Mask(v.Field, v.Plain); m != "" {
			c.Mask[v.Field] = m
		}
	}
	return c, nil
}
