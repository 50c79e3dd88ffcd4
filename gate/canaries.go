package gate

import (
	"context"
	"errors"
	"fmt"

	"azekura/access"
	"azekura/approval"
	"azekura/auditlog"
	"azekura/keyring"
	"azekura/register"

	"github.com/google/uuid"
)

// IsCanary tells whether a pseudonym is a canary's, to code beside the gate that must
// leave canaries out of what it counts and lists.
func (g *Gate) IsCanary(id uuid.UUID) bool { return g.canaries.Is(id) }

// CountCanaries lets a security officer count the canaries that aren't shredded. The
// event, or the refusal's, comes before.
func (g *Gate) CountCanaries(ctx context.Context, s access.Session, request string) (count func(progress func(done, total int64)) (int64, error), err error) {
	if !s.Live() {
		return nil, access.ErrNoSession
	}
	event := s.Stamp(auditlog.Event{Action: auditlog.Export, Outcome: "ok", Purpose: "audit", Request: request, Detail: []byte(`{"asked":"canaries"}`)})
	if s.Role() != "security-officer" {
		event.Action, event.Outcome = auditlog.Deny, "role"
	}
	if _, err := g.log.RecordOne(ctx, event); err != nil {
		return nil, err
	}
	if event.Action == auditlog.Deny {
		return nil, fmt.Errorf("%w: the role %s counts no canaries; a security officer does", ErrDenied, s.Role())
	}
	return func(progress func(done, total int64)) (int64, error) { return g.countCanaries(ctx, s, progress) }, nil
}

func (g *Gate) countCanaries(ctx context.Context, s access.Session, progress func(done, total int64)) (n int64, err error) {
	total, err := g.store.Count(ctx)
	if err != nil {
		return 0, err
	}
	var done int64
	err = g.store.EachID(ctx, func(ids []uuid.UUID, _ []int64) error {
		for _, id := range ids {
			if g.canaries.Is(id) && !g.store.Shredded(id) {
				n++
			}
		}
		done += int64(len(ids))
		progress(done, total)
		return g.access.Still(s)
	})
	return n, err
}

// displace shreds canaries whose ref or number was given to somebody in earnest. It
// is an event that names them; who is shredded is no canary any more.
func (g *Gate) displace(ctx context.Context, ids []uuid.UUID) error {
	found, err := g.store.Fetch(ctx, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		p := found[id]
		if p == nil || p.Key.Wrapped == nil {
			continue
		}
		if err := g.displaceOne(ctx, p); err != nil {
			return fmt.Errorf("make place for a ref or number that was given to somebody: %w", err)
		}
	}
	return nil
}

func (g *Gate) displaceOne(ctx context.Context, p *register.Sealed) error {
	member := auditlog.Member{ID: p.Key.ID, Version: p.Latest()}
	of := map[int64][]keyring.Token{}
	for _, x := range g.ring.Indexes() {
		list, err := g.tokensOf(ctx, "verify", "make place for a ref or number", x, []auditlog.Member{member})
		if err != nil {
			return err
		}
		for _, t := range list {
			of[x.Epoch()] = append(of[x.Epoch()], t.Tokens...)
		}
	}
	detail, err := shredDetail(person{Sealed: p}, approval.Approved{})
	if err != nil {
		return err
	}
	event := auditlog.Event{Action: auditlog.Shred, Outcome: "ok", Purpose: "import", Known: p.Known, Detail: detail}
	_, err = g.store.ShredTokens(ctx, event, p, func(x *keyring.Index) ([]keyring.Token, error) {
		if of[x.Epoch()] == nil { // the index key was changed meanwhile
			return nil, register.ErrConflict
		}
		return of[x.Epoch()], nil
	})
	if errors.Is(err, register.ErrConflict) {
		return nil // whoever asked looks again
	}
	return err
}
