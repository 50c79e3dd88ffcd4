package register

import (
	"context"

	"azekura/internal/db"
	"azekura/keyring"
	"azekura/register/field"
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
	case w.sawBefore(in, field.Ref), byRef != nil && (byRef.row != 0 || byRef.before):
		return []value.Problem{{Column: "ref", Reason: sameRef}}
	case w.sawBefore(in, field.Number), byNumber != nil && byNumber != byRef:
		return []value.Problem{{Column: "number", Reason: othersNumber}}
	}
	return nil
}

// sawBefore tells whether an earlier row of a dry run had the same ref or number.
func (w *importer) sawBefore(in *incoming, f field.Field) bool {
	return w.options.DryRun && w.seen[w.mark(in, f)]
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
	return k, w.unchangedBefore(ctx, c, k)
}

// unchangedBefore marks those whom an earlier chunk found unchanged: no version
// in the register says so.
func (w *importer) unchangedBefore(ctx context.Context, c *chunk, k *known) error {
	if w.at.Unchanged == 0 || w.options.DryRun {
		return nil
	}
	var marks [][]byte
	of := map[keyring.Token]*knownRow{}
	for i := range c.incoming {
		in := &c.incoming[i]
		if row := k.refs[in.ref]; len(in.problems) == 0 && row != nil {
			mark := w.mark(in, field.Ref)
			of[mark], marks = row, append(marks, mark[:])
		}
	}
	for len(marks) > 0 {
		n := min(len(marks), 2048)
		if err := w.eachUnchanged(ctx, marks[:n], func(mark keyring.Token) { of[mark].before = true }); err != nil {
			return err
		}
		marks = marks[n:]
	}
	return nil
}

// mark is a row's ref or number as the import's own notes hold it: as a token
// that stays the same while the index key is changed.
func (w *importer) mark(in *incoming, f field.Field) keyring.Token {
	last := &in.steps[len(in.steps)-1].record
	return w.store.ring.Mark(f.String(), last.Get(f))
}

func (w *importer) eachUnchanged(ctx context.Context, marks [][]byte, f func(keyring.Token)) error {
	in, args := w.store.db.In("token", 2, marks)
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
