package register

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"azekura/internal/db"
	"azekura/keyring"
	"azekura/register/value"

	"github.com/google/uuid"
)

// The index of an epoch lies in one of two tables, by the epoch's parity. While
// the index key is changed there are two indexes: the older is complete and
// answers look-ups, the newer is being built. Every writer writes both, so that
// the newer is complete when the job has come to the end of the register.

// indexTable is the table of an epoch's tokens.
func indexTable(epoch int64) string {
	if epoch%2 == 0 {
		return "register_index_0"
	}
	return "register_index_1"
}

// The inserts, by the epoch's parity.
var (
	insertIndex    = [2]*db.Insert{indexInsert(0, "ON CONFLICT DO NOTHING"), indexInsert(1, "ON CONFLICT DO NOTHING")}
	insertNewIndex = [2]*db.Insert{indexInsert(0, ""), indexInsert(1, "")}
)

func indexInsert(parity int64, suffix string) *db.Insert {
	return &db.Insert{Table: indexTable(parity), Columns: []string{"token", "participant_id"}, Suffix: suffix}
}

// indexRows are rows for the index of one epoch.
type indexRows struct {
	epoch int64
	list  []indexRow
}

type indexRow struct {
	token keyring.Token
	id    uuid.UUID
}

// addForms adds a participant's forms to every index in use.
func (r *rows) addForms(indexes []*keyring.Index, id uuid.UUID, forms []value.Form) {
	for _, x := range indexes {
		for _, form := range forms {
			r.addToken(x.Epoch(), token(x, form), id)
		}
	}
}

func (r *rows) addToken(epoch int64, token keyring.Token, id uuid.UUID) {
	if r.index == nil {
		r.index = map[int64]*indexRows{}
	}
	if r.index[epoch] == nil {
		r.index[epoch] = &indexRows{epoch: epoch}
	}
	r.index[epoch].list = append(r.index[epoch].list, indexRow{token, id})
}

// insert writes the tokens sorted, so that neighbours in the tree are written
// together. fresh says that no row of theirs can be there already.
func (x *indexRows) insert(ctx context.Context, to db.Querier, fresh bool) error {
	slices.SortFunc(x.list, func(a, b indexRow) int {
		if c := bytes.Compare(a.token[:], b.token[:]); c != 0 {
			return c
		}
		return bytes.Compare(a.id[:], b.id[:])
	})
	x.list = slices.Compact(x.list)
	tokens, ids := make([][]byte, len(x.list)), make([][]byte, len(x.list))
	for i := range x.list {
		tokens[i], ids[i] = x.list[i].token[:], x.list[i].id[:]
	}
	into := insertIndex[x.epoch%2]
	if fresh {
		into = insertNewIndex[x.epoch%2]
	}
	return to.Insert(ctx, into, tokens, ids)
}

// token is an index form's blind token. Each kind of form has a key of its own.
func token(x *keyring.Index, form value.Form) keyring.Token {
	return x.Token(form.Kind.String(), form.Text)
}

// Find lists the participants that an index form finds, at most limit of them.
func (s *Store) Find(ctx context.Context, form value.Form, limit int) ([]uuid.UUID, error) {
	for {
		before := s.ring.State()
		ids, err := s.find(ctx, s.ring.Indexes()[0], form, limit)
		// If the index was changed meanwhile, the table may have been emptied
		// under the query.
		if err != nil || s.ring.State().Index == before.Index {
			return ids, err
		}
	}
}

func (s *Store) find(ctx context.Context, x *keyring.Index, form value.Form, limit int) ([]uuid.UUID, error) {
	token := token(x, form)
	rows, err := s.db.Query(ctx, "SELECT participant_id FROM "+indexTable(x.Epoch())+" WHERE token = $1 ORDER BY participant_id LIMIT $2", token[:], limit)
	if err != nil {
		return nil, fmt.Errorf("search the register: %w", err)
	}
	defer rows.Close()
	var ids []uuid.UUID
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("search the register: %w", err)
		}
		ids = append(ids, uuid.UUID(id))
	}
	return ids, rows.Err()
}

// eachToken looks tokens of the complete index up. Its caller has the turn, so
// that the index isn't changed meanwhile.
func (s *Store) eachToken(ctx context.Context, tokens [][]byte, f func(keyring.Token, uuid.UUID)) error {
	in, args := s.db.In("token", 1, tokens)
	rows, err := s.db.Query(ctx, "SELECT token, participant_id FROM "+indexTable(s.ring.State().Index)+" WHERE "+in, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var token, id []byte
		if err := rows.Scan(&token, &id); err != nil {
			return err
		}
		f(keyring.Token(token), uuid.UUID(id))
	}
	return rows.Err()
}
