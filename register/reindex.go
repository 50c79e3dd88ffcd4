package register

import (
	"context"
	"errors"
	"fmt"

	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/keyring"

	"github.com/google/uuid"
)

// Alone runs f while nothing of the register is changed: the turn is its own. A
// step of a key's rotation needs that, so that no writer holds an epoch which
// goes.
func (s *Store) Alone(ctx context.Context, f func() error) error {
	if err := s.turn.take(ctx); err != nil {
		return err
	}
	defer s.turn.give()
	return f()
}

// After lists participants behind one, in order of id, with their newest
// versions; the shredded are among them.
func (s *Store) After(ctx context.Context, after uuid.UUID, fields func(id uuid.UUID, version int64) auditlog.Member) ([]auditlog.Member, error) {
	ids, versions, err := s.idsAfter(ctx, after[:])
	list := make([]auditlog.Member, len(ids))
	for i := range ids {
		list[i] = fields(ids[i], versions[i])
	}
	return list, err
}

// Tokens are a participant's, in the index of one epoch.
type Tokens struct {
	ID     uuid.UUID
	Tokens []keyring.Token
}

// errNoBuilding means that the index of an epoch isn't being built.
var errNoBuilding = errors.New("the index of that epoch isn't being built")

// Reindex writes tokens into the index that is being built, of those people who
// weren't shredded meanwhile. place runs in the same transaction. It returns how
// many people that were.
func (s *Store) Reindex(ctx context.Context, epoch int64, people []Tokens, place func(ctx context.Context, tx db.Tx) error) (n int64, err error) {
	err = s.Alone(ctx, func() error {
		if s.ring.State().Building != epoch {
			return errNoBuilding
		}
		alive, err := s.alive(ctx, people)
		if err != nil {
			return err
		}
		var out rows
		for _, p := range people {
			if !alive[p.ID] {
				continue
			}
			n++
			for _, t := range p.Tokens {
				out.addToken(epoch, t, p.ID)
			}
		}
		tx, err := s.db.Begin(ctx)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := out.insert(ctx, tx, false); err != nil {
			return err
		}
		if err := place(ctx, tx); err != nil {
			return err
		}
		return tx.Commit(ctx)
	})
	return n, err
}

// alive are those who have a data key.
func (s *Store) alive(ctx context.Context, people []Tokens) (map[uuid.UUID]bool, error) {
	found := make(map[uuid.UUID]bool, len(people))
	if len(people) == 0 {
		return found, nil
	}
	keys := make([][]byte, len(people))
	for i := range people {
		keys[i] = people[i].ID[:]
	}
	in, args := s.db.In("participant_id", 1, keys)
	rows, err := s.db.Query(ctx, "SELECT participant_id FROM keyring_participant WHERE "+in, args...)
	if err != nil {
		return nil, fmt.Errorf("read who is in the register: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		found[uuid.UUID(id)] = true
	}
	return found, rows.Err()
}

// CountIndex is how many tokens the index of an epoch has.
func (s *Store) CountIndex(ctx context.Context, epoch int64) (n int64, err error) {
	err = s.db.QueryRow(ctx, "SELECT count(*) FROM "+indexTable(epoch), nil, &n)
	return n, err
}

// CountIndexes counts the tokens of two indexes that are written and deleted
// together, in one statement: neither shows what the other doesn't.
func (s *Store) CountIndexes(ctx context.Context, one, other int64) (n, m int64, err error) {
	err = s.db.QueryRow(ctx, "SELECT (SELECT count(*) FROM "+indexTable(one)+"), (SELECT count(*) FROM "+indexTable(other)+")", nil, &n, &m)
	return n, m, err
}

// EmptyIndex removes the tokens of an epoch that isn't in use.
func (s *Store) EmptyIndex(ctx context.Context, epoch int64) error {
	for _, x := range s.ring.Indexes() {
		if x.Epoch()%2 == epoch%2 {
			return fmt.Errorf("the index of epoch %d lies where that of epoch %d does, which is in use", epoch, x.Epoch())
		}
	}
	if err := s.db.Empty(ctx, indexTable(epoch), "token"); err != nil {
		return fmt.Errorf("empty the index of epoch %d: %w", epoch, err)
	}
	return nil
}
