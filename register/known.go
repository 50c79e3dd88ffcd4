package register

import (
	"bytes"
	"context"

	"azekura/internal/db"
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
	row := &knownRow{id: in.id}
	k.refs[in.ref] = row
	k.spoke(row, in)
}

// spoke notes that a row of this chunk told of a participant, and with which
// number.
func (k *known) spoke(row *knownRow, in *incoming) {
	row.row, k.numbers[in.number] = in.no, row
}

// clash says why a row can't stand beside what is known.
func (w *importer) clash(in *incoming, k *known) []value.Problem {
	byRef, byNumber := k.refs[in.ref], k.numbers[in.number]
	switch {
	case w.seen[in.ref], byRef != nil && (byRef.row != 0 || byRef.before):
		return []value.Problem{{Column: "ref", Reason: sameRef}}
	case w.seen[in.number], byNumber != nil && byNumber != byRef:
		return []value.Problem{{Column: "number", Reason: othersNumber}}
	}
	return nil
}

// Why a row can't stand beside others.
const (
	sameRef      value.Reason = "an earlier row of this file has the same ref"
	othersNumber value.Reason = "another participant has this number"
)

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
	if err := w.digests(ctx, people); err != nil {
		return nil, err
	}
	return k, w.unchangedBefore(ctx, k)
}

// unchangedBefore marks those whom an earlier chunk found unchanged: no version
// in the register says so.
func (w *importer) unchangedBefore(ctx context.Context, k *known) error {
	if w.at.Unchanged == 0 || w.options.DryRun {
		return nil
	}
	var refs [][]byte
	for ref := range k.refs {
		refs = append(refs, bytes.Clone(ref[:]))
	}
	for len(refs) > 0 {
		n := min(len(refs), 2048)
		if err := w.eachUnchanged(ctx, refs[:n], func(ref keyring.Token) { k.refs[ref].before = true }); err != nil {
			return err
		}
		refs = refs[n:]
	}
	return nil
}

func (w *importer) eachUnchanged(ctx context.Context, refs [][]byte, f func(keyring.Token)) error {
	in, args := w.store.db.In("token", 2, refs)
	rows, err := w.store.db.Query(ctx, "SELECT token FROM register_unchanged WHERE import_id = $1 AND "+in, append([]any{w.at.ID}, args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var token []byte
		if err := rows.Scan(&token); err != nil {
			return err
		}
		f(keyring.Token(token))
	}
	return rows.Err()
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
	rows, err := w.store.db.Query(ctx, `SELECT participant_id, version, job, fields, digest, packed, mac FROM register_version
		WHERE digest IS NOT NULL AND `+in+` ORDER BY participant_id, version`, args...)
	if err != nil {
		return err
	}
	wrong := w.readDigests(rows, people)
	return w.store.raise(ctx, wrong)
}

func (w *importer) readDigests(rows db.Rows, people map[uuid.UUID]*knownRow) error {
	defer rows.Close()
	for rows.Next() {
		var id []byte
		var fields int64
		var v Version
		if err := rows.Scan(&id, &v.No, &v.Job, &fields, &v.Digest, &v.Packed, &v.MAC); err != nil {
			return err
		}
		v.Fields = fieldSet(fields)
		if !w.store.genuine(uuid.UUID(id), &v) {
			return tampered("register_version", uuid.UUID(id).String(), kindAltered, v.No)
		}
		p := people[uuid.UUID(id)]
		p.digest, p.before = keyring.Token(v.Digest), v.Job == w.at.ID
	}
	return rows.Err()
}
