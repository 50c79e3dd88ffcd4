package gate

import (
	"context"
	"errors"
	"fmt"

	"azekura/access"
	"azekura/auditlog"
	"azekura/cases"
	"azekura/keyring"

	"github.com/google/uuid"
)

func invalid(err error) error { return fmt.Errorf("%w: %w", ErrInvalid, err) }

// key fetches a participant's data key.
func (g *Gate) key(ctx context.Context, id uuid.UUID) (keyring.DataKey, error) {
	p, err := g.fetch.get(ctx, id)
	switch {
	case err != nil:
		return keyring.DataKey{}, err
	case p == nil:
		return keyring.DataKey{}, g.store.Missing(ctx, id, true)
	case p.Key.Wrapped == nil:
		return keyring.DataKey{}, keyring.ErrShredded
	}
	return p.Key, nil
}

// WriteNote writes a note into a case, under the data key of whom it is about:
// participant, or where that is empty the only one.
func (g *Gate) WriteNote(ctx context.Context, b cases.By, code, participant, text string) (cases.Info, error) {
	if err := cases.CheckNote(text); err != nil {
		return cases.Info{}, err
	}
	var id uuid.UUID
	if participant != "" {
		var err error
		if id, err = uuid.Parse(participant); err != nil {
			return cases.Info{}, fmt.Errorf("%w: a participant's pseudonym is a UUID", ErrInvalid)
		}
	}
	id, err := g.cases.NoteFor(ctx, b, code, id)
	if err != nil {
		return cases.Info{}, err
	}
	key, err := g.key(ctx, id)
	if err != nil {
		return cases.Info{}, err
	}
	return g.cases.AddNote(ctx, b, code, id, func(caseNo, no int64) (sealed []byte, err error) {
		err = g.withKey(ctx, key, func(key keyring.DataKey) error {
			s, err := g.ring.Participant(key)
			if err == nil {
				sealed = s.Note(caseNo, no, text)
			}
			return err
		})
		return sealed, err
	})
}

// ReadNotes opens a case's notes, each participant's against the receipt of an event
// about them.
func (g *Gate) ReadNotes(ctx context.Context, b cases.By, code string) ([]cases.Note, error) {
	if !b.Session.Live() {
		return nil, access.ErrNoSession
	}
	if err := errors.Join(g.access.Still(b.Session), g.log.MayOpen()); err != nil {
		return nil, err
	}
	if !cases.IsCode(code) {
		return nil, cases.ErrNotFound
	}
	event := b.Session.Stamp(auditlog.Event{Action: auditlog.Case, Case: code, Request: b.Request})
	if err := g.mayOpen(ctx, b.Session, event); err != nil {
		return nil, err
	}
	under := g.policies.Now()
	found, err := g.cases.SealedNotes(ctx, b, code)
	if err == nil {
		err = g.notesPermitted(ctx, b.Session, event, under)
	}
	if err != nil {
		return nil, err
	}
	notes := []cases.Note{}
	for id, list := range found {
		key, err := g.key(ctx, id)
		if err != nil {
			return nil, err
		}
		receipt, err := g.cases.NotesRead(ctx, b, code, id)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(g.access.Still(b.Session), g.policies.Still(under)); err != nil {
			return nil, err
		}
		for _, n := range list {
			err := g.withKey(ctx, key, func(key keyring.DataKey) error {
				text, err := g.opener.Note(receipt, key, n.Case, n.No, n.Sealed)
				if errors.Is(err, keyring.ErrOpen) {
					return g.cases.TamperedNote(ctx, n)
				}
				notes = append(notes, cases.Note{Participant: id.String(), No: int(n.No), Event: n.Idx, Text: text})
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return notes, nil
}
