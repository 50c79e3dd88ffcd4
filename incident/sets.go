package incident

import (
	"context"
	"errors"
	"fmt"

	"azekura/auditlog"
)

const selectLine = "SELECT idx, line FROM log_event WHERE log_id = $1 AND session_id = $2 AND session_seq = $3"

// expand adds the members of a set event. Its line says which set it is, and so
// what the members must come to.
func (r *reader) expand(ctx context.Context, s auditlog.Session, e event) error {
	var index int64
	var line []byte
	if err := r.src.DB.QueryRow(ctx, selectLine, []any{r.src.LogID, int64(s), e.seq}, &index, &line); err != nil {
		return fmt.Errorf("read its event %d: %w", e.seq, err)
	}
	set, err := auditlog.ParseLine(line)
	if err != nil {
		return fmt.Errorf("read event %d: %w; run azekura log verify", index, err)
	}
	if set.Index != index || set.Session != s || set.SessionSeq != e.seq || set.Time != e.time ||
		int64(set.Opened()) != e.fields || set.Participant != (auditlog.ID{}) {
		return fmt.Errorf("event %d: its columns don't repeat its line; run azekura log verify", index)
	}
	if set.Action != auditlog.Set {
		return nil // it showed something of nobody: a check that found no one
	}
	if err := r.members(ctx, set); err != nil {
		return fmt.Errorf("set event %d: %w", index, err)
	}
	r.sets++
	return nil
}

// errSet means that the stored members aren't those of the event.
var errSet = errors.New("its members don't agree with its count and root, so whom it opened can't be told; " +
	"put back the table log_set_block from the newest copy, and run azekura log verify")

func (r *reader) members(ctx context.Context, set auditlog.Event) error {
	check := auditlog.NewCheckSet()
	due := int64(0)
	err := auditlog.EachBlock(ctx, r.src.DB, r.src.LogID, set.Set.ID, func(block int64, sealed []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if block != due {
			return errSet
		}
		due++
		encoded, err := r.src.OpenMembers(set.Set.ID, block, sealed)
		if err != nil {
			return fmt.Errorf("open block %d of its members: %w", block, err)
		}
		members, err := auditlog.DecodeMembers(encoded)
		if err != nil {
			return err
		}
		check.Add(encoded)
		for i := range members {
			if m := &members[i]; m.Fields != 0 {
				r.saw(m.ID, m.Fields, set.Time)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !check.Agrees(set.Set) {
		return errSet
	}
	return nil
}
