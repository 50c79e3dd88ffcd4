package gate

import (
	"context"
	"errors"
	"fmt"

	"azekura/approval"
	"azekura/auditlog"
	"azekura/keyring"
	"azekura/register"

	"github.com/google/uuid"
)

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
	detail, err := shredDetail(p.Key.No, p.Key.Epoch, approval.Approved{})
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
