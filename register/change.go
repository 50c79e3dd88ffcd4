package register

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/keyring"
	"azekura/register/field"
	"azekura/register/value"

	"github.com/google/uuid"
)

// NewValue is a field's new canonical text; an empty one clears the field.
type NewValue struct {
	Field field.Field
	Text  string
}

// Taken says that a ref or a number is another participant's.
type Taken struct {
	Kind value.Kind
	By   uuid.UUID
}

// Error names the kind and not the participant.
func (t Taken) Error() string { return "the " + t.Kind.String() + " is another participant's" }

// Change writes a new version of a participant and records event with it, in
// one commit. forms are the index forms that the new values bring. It returns
// ErrConflict if another change came first, and Taken for a ref or number that
// is somebody else's.
func (s *Store) Change(ctx context.Context, event auditlog.Event, p *Sealed, values []NewValue, forms []value.Form) (auditlog.Receipt, error) {
	r, err := s.tryChange(ctx, event, p, values, forms)
	var taken Taken
	for errors.As(err, &taken) && s.canaries.Is(taken.By) && !s.canaries.Is(p.Key.ID) {
		// What a canary has is free to whoever it is given to in earnest.
		if err := s.displace(ctx, []uuid.UUID{taken.By}); err != nil {
			return auditlog.Receipt{}, err
		}
		r, err = s.tryChange(ctx, event, p, values, forms)
	}
	return r, err
}

func (s *Store) tryChange(ctx context.Context, event auditlog.Event, p *Sealed, values []NewValue, forms []value.Form) (auditlog.Receipt, error) {
	if err := s.turn.take(ctx); err != nil {
		return auditlog.Receipt{}, err
	}
	defer s.turn.give()
	if err := s.free(ctx, p.Key.ID, forms); err != nil {
		return auditlog.Receipt{}, err
	}
	now, err := s.stands(ctx, p)
	if err != nil {
		return auditlog.Receipt{}, err
	}
	now.Known = p.Known
	return s.change(ctx, event, now, values, forms)
}

// free refuses a ref or a number that is somebody else's.
func (s *Store) free(ctx context.Context, id uuid.UUID, forms []value.Form) error {
	for _, form := range forms {
		if form.Kind != value.KindRef && form.Kind != value.KindNumber {
			continue
		}
		ids, err := s.Find(ctx, form, 2)
		if err != nil {
			return err
		}
		for _, other := range ids {
			if other != id {
				return Taken{form.Kind, other}
			}
		}
	}
	return nil
}

// stands reads a participant again, whose data key may be wrapped anew by now,
// and refuses one who was changed or shredded since p was read.
func (s *Store) stands(ctx context.Context, p *Sealed) (*Sealed, error) {
	now, err := s.FetchRows(ctx, []uuid.UUID{p.Key.ID})
	if err != nil {
		return nil, err
	}
	current := now[p.Key.ID]
	switch {
	case current == nil:
		return nil, ErrNotFound
	case current.Key.Wrapped == nil:
		return nil, keyring.ErrShredded
	case current.Latest() != p.Latest():
		return nil, ErrConflict
	}
	return current, nil
}

func (s *Store) change(ctx context.Context, event auditlog.Event, p *Sealed, values []NewValue, forms []value.Form) (auditlog.Receipt, error) {
	id := p.Key.ID
	sealing, err := s.ring.Participant(p.Key)
	if err != nil {
		return auditlog.Receipt{}, err
	}
	v := Version{No: p.Latest() + 1}
	event.Action, event.Participant, event.Known = auditlog.Change, id, p.Known
	for _, n := range values {
		if v.Packed, err = sealing.Append(v.Packed, n.Field, v.No, n.Text); err != nil {
			return auditlog.Receipt{}, err
		}
		v.Fields |= field.SetOf(n.Field)
		event.Fields = append(event.Fields, auditlog.FieldVersion{Field: n.Field, Version: v.No})
	}
	var index rows
	index.addForms(s.ring.Indexes(), id, forms)
	tx, err := s.db.Begin(ctx)
	if err != nil {
		return auditlog.Receipt{}, err
	}
	if err := index.insert(ctx, tx, false); err != nil {
		tx.Rollback()
		return auditlog.Receipt{}, fmt.Errorf("write the new version: %w", err)
	}
	return s.record(ctx, event, tx, func(ctx context.Context, tx db.Tx, events []auditlog.Event) error {
		v.Job = changeJob(events[0].Index)
		mac := s.mac(id, &v)
		// The key decides who comes first: a second version of this number is no
		// row. Whoever has the turn meets nobody else here.
		n, err := tx.Exec(ctx, `INSERT INTO register_version (participant_id, version, job, fields, packed, mac)
			VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`, bytes.Clone(id[:]), v.No, v.Job, int64(v.Fields), v.Packed, mac[:])
		if err == nil && n != 1 {
			err = ErrConflict
		}
		return err
	})
}

// record sees the commit through, even for a caller who has gone: whoever has
// the next turn must find it done.
func (s *Store) record(ctx context.Context, event auditlog.Event, tx db.Tx, finish func(context.Context, db.Tx, []auditlog.Event) error) (auditlog.Receipt, error) {
	receipts, err := s.log.Record(context.WithoutCancel(ctx), auditlog.Entry{Events: []auditlog.Event{event}, Tx: tx, Finish: finish})
	if err != nil {
		return auditlog.Receipt{}, err
	}
	return receipts[0], nil
}

// Shred destroys a participant's data key, with an event of its own in the same
// commit. forms are the index forms of all the participant's values, whose
// tokens go too. The sealed versions stay and can't be opened again by anyone
// who has only this database. It returns ErrConflict if a change came first.
func (s *Store) Shred(ctx context.Context, event auditlog.Event, p *Sealed, forms []value.Form) (auditlog.Receipt, error) {
	return s.ShredTokens(ctx, event, p, func(x *keyring.Index) ([]keyring.Token, error) {
		var list []keyring.Token
		for _, form := range forms {
			list = append(list, token(x, form))
		}
		return list, nil
	})
}

// ShredTokens is Shred for a caller who makes the tokens himself, for each index in
// use.
func (s *Store) ShredTokens(ctx context.Context, event auditlog.Event, p *Sealed, tokens func(*keyring.Index) ([]keyring.Token, error)) (auditlog.Receipt, error) {
	if err := s.turn.take(ctx); err != nil {
		return auditlog.Receipt{}, err
	}
	defer s.turn.give()
	if _, err := s.stands(ctx, p); err != nil {
		return auditlog.Receipt{}, err
	}
	of := map[int64][]keyring.Token{}
	for _, x := range s.ring.Indexes() {
		var err error
		if of[x.Epoch()], err = tokens(x); err != nil {
			return auditlog.Receipt{}, err
		}
	}
	return s.shred(ctx, event, p.Key.ID, of)
}

func (s *Store) shred(ctx context.Context, event auditlog.Event, id uuid.UUID, tokens map[int64][]keyring.Token) (auditlog.Receipt, error) {
	event.Participant = id
	tx, err := s.db.Begin(ctx)
	if err != nil {
		return auditlog.Receipt{}, err
	}
	n, err := tx.Exec(ctx, "DELETE FROM keyring_participant WHERE participant_id = $1", bytes.Clone(id[:]))
	if err == nil && n != 1 {
		err = ErrNotFound
	}
	if err == nil {
		err = s.unindex(ctx, tx, id, tokens)
	}
	if err != nil {
		tx.Rollback()
		return auditlog.Receipt{}, fmt.Errorf("shred the participant: %w", err)
	}
	s.shredded.set(id, false)
	r, err := s.record(ctx, event, tx, nil)
	if err != nil {
		return r, err
	}
	s.shredded.set(id, true)
	if err := s.db.Scrub(ctx, "keyring_participant"); err != nil {
		return r, fmt.Errorf("%w: %w", ErrRemains, err)
	}
	return r, nil
}

// unindex takes a participant's tokens out of every index in use.
func (s *Store) unindex(ctx context.Context, tx db.Tx, id uuid.UUID, tokens map[int64][]keyring.Token) error {
	for epoch, list := range tokens {
		for _, t := range list {
			if _, err := tx.Exec(ctx, "DELETE FROM "+indexTable(epoch)+" WHERE token = $1 AND participant_id = $2", t[:], bytes.Clone(id[:])); err != nil {
				return err
			}
		}
	}
	return nil
}
