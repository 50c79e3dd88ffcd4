package gate

import (
	"bytes"
	"context"
	"fmt"

	"azekura/auditlog"
	"azekura/keyring"
	"azekura/keyring/opening"
	"azekura/register"
	"azekura/register/field"
	"azekura/register/value"

	"github.com/google/uuid"
)

// Reindex makes participants' index tokens under one epoch of the index key. What
// they are made of is opened inside the gate, in every version up to the named
// one, against the receipt of a set event that lists them all; tokens are all
// that leaves. job names the work in that event. The shredded have none.
func (g *Gate) Reindex(ctx context.Context, job string, x *keyring.Index, people []auditlog.Member) ([]register.Tokens, error) {
	return g.tokensOf(ctx, "rotate-index", job, x, people)
}

// VerifyRegister holds the register against the log, and its index against the
// values, which it opens inside, against a set event a page of participants.
func (g *Gate) VerifyRegister(ctx context.Context, progress func(done int64)) (register.Verified, error) {
	v, err := g.store.Verify(ctx, g.OpenMembers, progress)
	if err != nil {
		return v, err
	}
	err = g.store.VerifyIndex(ctx, func(ctx context.Context, x *keyring.Index, people []auditlog.Member) ([]register.Tokens, error) {
		return g.tokensOf(ctx, "verify", "verify the index", x, people)
	}, &v, progress)
	for _, p := range v.Problems {
		if err == nil {
			err = g.log.Raise(ctx, p)
		}
	}
	return v, err
}

func (g *Gate) tokensOf(ctx context.Context, purpose, job string, x *keyring.Index, people []auditlog.Member) ([]register.Tokens, error) {
	id, err := g.log.NewSetID()
	if err != nil {
		return nil, err
	}
	set := auditlog.NewSet(id, job, false, g.ring.SealMembers)
	set.Info.Inside = true
	for _, m := range people {
		set.Add(auditlog.Member{ID: m.ID, Fields: indexed, Version: m.Version})
	}
	if err := set.Finish(ctx, g.db, g.log.ID()); err != nil {
		return nil, fmt.Errorf("write the set's members: %w", err)
	}
	event := auditlog.Event{Action: auditlog.Set, Outcome: "ok", Purpose: purpose, Set: &set.Info}
	receipts, err := g.log.Record(ctx, auditlog.Entry{Events: []auditlog.Event{event}, Set: set})
	if err != nil {
		return nil, err
	}
	// Read to their end first: a connection isn't held while another is asked for.
	var blocks [][]byte
	if err := auditlog.EachBlock(ctx, g.db, g.log.ID(), set.Info.ID, func(_ int64, sealed []byte) error {
		blocks = append(blocks, bytes.Clone(sealed))
		return nil
	}); err != nil {
		return nil, err
	}
	var list []register.Tokens
	for n, sealed := range blocks {
		encoded, err := g.opener.Members(set.Info.ID, int64(n), sealed)
		if err != nil {
			return nil, fmt.Errorf("open block %d of the set: %w", n, err)
		}
		members, each, err := receipts[0].Members(n, encoded)
		if err != nil {
			return nil, err
		}
		made, err := g.reindexBlock(ctx, x, members, each)
		if err != nil {
			return nil, err
		}
		list = append(list, made...)
	}
	return list, nil
}

func (g *Gate) reindexBlock(ctx context.Context, x *keyring.Index, members []auditlog.Member, receipts []auditlog.Receipt) ([]register.Tokens, error) {
	ids := make([]uuid.UUID, len(members))
	for i := range members {
		ids[i] = members[i].ID
	}
	found, err := g.store.FetchRows(ctx, ids)
	if err != nil {
		return nil, err
	}
	list := make([]register.Tokens, 0, len(members))
	for i, m := range members {
		p := found[m.ID]
		if p == nil || p.Key.Wrapped == nil {
			continue
		}
		tokens, err := g.tokens(ctx, x, p, m.Version, receipts[i])
		if err != nil {
			return nil, fmt.Errorf("index a member of event %d: %w", receipts[i].Index(), err)
		}
		list = append(list, register.Tokens{ID: m.ID, Tokens: tokens})
	}
	return list, nil
}

// tokens are those of a participant's record as it stood in each version up to
// one.
func (g *Gate) tokens(ctx context.Context, x *keyring.Index, p *register.Sealed, upTo int64, receipt auditlog.Receipt) ([]keyring.Token, error) {
	var list []opening.Value
	for _, v := range p.Versions {
		if v.No > upTo {
			break
		}
		err := keyring.Unpack(v.Packed, func(f field.Field, sealed []byte) {
			if indexed.Has(f) {
				list = append(list, opening.Value{Field: f, Version: v.No, Sealed: sealed})
			}
		})
		if err != nil {
			return nil, err
		}
	}
	if err := g.unseal(ctx, receipt, p.Key, list); err != nil {
		return nil, err
	}
	var record value.Record
	var forms []value.Form
	seen := map[keyring.Token]bool{}
	var tokens []keyring.Token
	for i := range list {
		if err := record.Set(list[i].Field, list[i].Plain); err != nil {
			return nil, fmt.Errorf("the stored %s: %w", list[i].Field, err)
		}
		if i+1 < len(list) && list[i+1].Version == list[i].Version {
			continue
		}
		forms = value.AppendIndexForms(forms[:0], &record)
		for _, form := range forms {
			if t := x.Token(form.Kind.String(), form.Text); !seen[t] {
				seen[t], tokens = true, append(tokens, t)
			}
		}
	}
	return tokens, nil
}
