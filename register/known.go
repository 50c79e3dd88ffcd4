package register

import (
	"context"

	"azekura/keyring"
	"azekura/register/value"

	"github.com/google/uuid"
)

// known is what the register, and the chunk so far, hold of the refs and
// numbers in a chunk.
type known struct {
	refs    map[keyring.Token]*knownRow
	numbers map[keyring.Token]*knownRow
}

type knownRow struct {
	id     uuid.UUID
	digest keyring.Token // of the newest imported version
	row    int64         // the row of this file that spoke of it, or 0
	before bool          // an earlier chunk of this import wrote it
}

func (k *known) by(in *incoming) *knownRow { return k.refs[in.ref] }

func (k *known) add(in *incoming) {
	row := &knownRow{id: in.id, row: in.no}
	k.refs[in.ref], k.numbers[in.number] = row, row
}

// clash says why a row can't stand beside what is known.
func (w *importer) clash(in *incoming, k *known) []value.Problem {
	if w.options.DryRun {
		if w.seen[in.ref] != 0 {
			return []value.Problem{{Column: "ref", Reason: "an earlier row of this file has the same ref"}}
		}
		w.seen[in.ref] = in.no
	}
	byRef, byNumber := k.refs[in.ref], k.numbers[in.number]
	switch {
	case byRef != nil && (byRef.row != 0 || byRef.before):
		return []value.Problem{{Column: "ref", Reason: "an earlier row of this file has the same ref"}}
	case byNumber != nil && byNumber != byRef && (byRef == nil || byNumber.id != byRef.id):
		return []value.Problem{{Column: "number", Reason: "another participant has this number"}}
	}
	return nil
}

// known looks the chunk's refs and numbers up.
func (w *importer) known(ctx context.Context, c *chunk) (*known, error) {
	k := &known{refs: map[keyring.Token]*knownRow{}, numbers: map[keyring.Token]*knownRow{}}
	var tokens [][]byte
	isRef, isNumber := map[keyring.Token]bool{}, map[keyring.Token]bool{}
	for i := range c.incoming {
		if in := &c.incoming[i]; len(in.problems) == 0 {
			tokens = append(tokens, in.ref[:], in.number[:])
			isRef[in.ref], isNumber[in.number] = true, true
		}
	}
	people := map[uuid.UUID]*knownRow{}
	for len(tokens) > 0 {
		n := min(len(tokens), 2048)
		err := w.store.eachToken(ctx, tokens[:n], func(t keyring.Token, id uuid.UUID) {
			if people[id] == nil {
				people[id] = &knownRow{id: id}
			}
			if isRef[t] {
				k.refs[t] = people[id]
			}
			if isNumber[t] {
				k.numbers[t] = people[id]
			}
		})
		if err != nil {
			return nil, err
		}
		tokens = tokens[n:]
	}
	return k, w.digests(ctx, people)
}

func (s *Store) eachToken(ctx context.Context, tokens [][]byte, f func(keyring.Token, uuid.UUID)) error {
	in, args := s.db.In("token", 1, tokens)
	rows, err := s.db.Query(ctx, "SELECT token, participant_id FROM register_index WHERE "+in, args...)
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

// digests fills in what the newest imported version of each was.
func (w *importer) digests(ctx context.Context, people map[uuid.UUID]*knownRow) error {
	var ids [][]byte
	for _, p := range people {
		ids = append(ids, p.id[:])
	}
	for len(ids) > 0 {
		n := min(len(ids), 2048)
		if err := w.digestsOf(ctx, ids[:n], people); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

func (w *importer) digestsOf(ctx context.Context, ids [][]byte, people map[uuid.UUID]*knownRow) error {
	in, args := w.store.db.In("participant_id", 1, ids)
	rows, err := w.store.db.Query(ctx, `SELECT participant_id, job, digest FROM register_version
		WHERE digest IS NOT NULL AND `+in+` ORDER BY participant_id, version`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, digest []byte
		var job int64
		if err := rows.Scan(&id, &job, &digest); err != nil {
			return err
		}
		p := people[uuid.UUID(id)]
		p.digest, p.before = keyring.Token(digest), job == w.at.ID
	}
	return rows.Err()
}
