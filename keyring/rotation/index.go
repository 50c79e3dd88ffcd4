package rotation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/keyring"

	"github.com/google/uuid"
)

// build makes the new epoch's tokens of everyone, and then makes the new index
// the one that answers, by destroying the old one's key.
func (r *Rotator) build(ctx context.Context, at *Rotation) error {
	indexes := r.Ring.Indexes()
	if len(indexes) != 2 || indexes[1].Epoch() != at.To {
		return fmt.Errorf("%w: the index key", ErrKeys)
	}
	for {
		begun := time.Now()
		people, err := r.Register.After(ctx, uuid.UUID(at.at), func(id uuid.UUID, version int64) auditlog.Member {
			return auditlog.Member{ID: id, Version: version}
		})
		if err != nil {
			return err
		}
		if len(people) == 0 {
			break
		}
		if err := errors.Join(r.reindex(ctx, at, indexes[1], people), r.rest(ctx, begun)); err != nil {
			return err
		}
	}
	if err := r.complete(ctx, at); err != nil {
		return err
	}
	return r.destroy(ctx, at, "switched", stageEmpty)
}

func (r *Rotator) reindex(ctx context.Context, at *Rotation, x *keyring.Index, people []auditlog.Member) error {
	tokens, err := r.Gate.Reindex(ctx, fmt.Sprintf("rotation %d", at.ID), x, people)
	if err != nil {
		return err
	}
	next, done := people[len(people)-1].ID, at.Done+int64(len(people))
	if _, err := r.Register.Reindex(ctx, at.To, tokens, func(ctx context.Context, tx db.Tx) error {
		return place(ctx, tx, at, next[:], done)
	}); err != nil {
		return fmt.Errorf("write the index: %w", err)
	}
	at.at, at.Done = next[:], done
	return nil
}

// complete refuses to go over to an index that has fewer tokens than the old one.
// A database of many nodes may count the two at different moments, with a
// shredding between that takes from both; so a difference is looked at again.
func (r *Rotator) complete(ctx context.Context, at *Rotation) error {
	var before, after int64
	for range 3 {
		var err error
		if before, after, err = r.Register.CountIndexes(ctx, at.From, at.To); err != nil {
			return err
		}
		if after >= before {
			return nil
		}
	}
	return r.again(ctx, at, fmt.Errorf("the new index has %d tokens and the old one %d, so somebody would not be found; ask for the rotation again", after, before))
}

// empty takes the old epoch's tokens away, which nobody can make any more.
func (r *Rotator) empty(ctx context.Context, at *Rotation) error {
	if err := r.Register.EmptyIndex(ctx, at.From); err != nil {
		return err
	}
	err := r.step(ctx, *at, "ok", func(tx db.Tx) error { return stage(ctx, tx, at, stageScrub, 0) }, r.wrapper())
	if err == nil {
		at.Stage = stageScrub
	}
	return err
}
