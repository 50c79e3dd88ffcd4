package cases

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"azekura/auditlog"
	"azekura/internal/db"

	"github.com/google/uuid"
)

// Note is a note as it was opened.
type Note struct {
	Participant string `json:"participant"`
	No          int    `json:"no"`
	Event       int64  `json:"event" doc:"index in the audit log of the event that wrote it"`
	Text        string `json:"text"`
}

// SealedNote is one as it lies in the table.
type SealedNote struct {
	Participant   uuid.UUID
	Case, No, Idx int64
	Sealed        []byte
}

// CheckNote refuses a text that can't be a note.
func CheckNote(text string) error {
	odd := func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' }
	if text == "" || len(text) > MaxNote || !utf8.ValidString(text) || strings.ContainsFunc(text, odd) {
		return fmt.Errorf("%w: a note is a text of up to %d bytes, without control characters", ErrInvalid, MaxNote)
	}
	return nil
}

// NoteFor finds whom a note of a case would be about: the participant who is named,
// or the only one.
func (r *Room) NoteFor(ctx context.Context, b By, code string, id uuid.UUID) (uuid.UUID, error) {
	if err := r.live(b); err != nil {
		return id, err
	}
	no, err := parseCode(code)
	if err != nil {
		return id, err
	}
	f, err := r.find(ctx, no)
	if err != nil {
		return id, err
	}
	if err := f.mayTouch(b); err != nil {
		return id, r.deny(ctx, b, no, actNote, err)
	}
	for _, p := range f.People {
		if p.About && (id == uuid.UUID{} && f.about() == 1 || id == p.ID) {
			return p.ID, nil
		}
	}
	if f.about() > 1 && id == (uuid.UUID{}) {
		return id, fmt.Errorf("%w: the case is about two participants: say about whom the note is", ErrInvalid)
	}
	return id, r.deny(ctx, b, no, actNote, refuse("participant", "a note lies under the key of whom the case is about; identify them first"))
}

// AddNote writes a note. seal seals it for its case and number.
func (r *Room) AddNote(ctx context.Context, b By, code string, id uuid.UUID, seal func(caseNo, no int64) ([]byte, error)) (Info, error) {
	no, err := parseCode(code)
	if err != nil {
		return Info{}, err
	}
	turn := r.turn(no)
	turn.Lock()
	defer turn.Unlock()
	f, err := r.find(ctx, no)
	if err != nil {
		return Info{}, err
	}
	if err = f.mayTouch(b); err == nil {
		err = live(f)
	}
	p := f.person(id)
	if err == nil && (p == nil || !p.About) {
		err = refuse("participant", "the case isn't about that participant")
	}
	if err != nil {
		return Info{}, r.deny(ctx, b, no, actNote, err)
	}
	if p.Notes >= maxNotes {
		return Info{}, fmt.Errorf("%w: a case has at most %d notes", ErrInvalid, maxNotes)
	}
	note := int64(p.Notes) + 1
	sealed, err := seal(no, note)
	if err != nil {
		return Info{}, err
	}
	a := act{Act: actNote, No: int(note)}
	if f.Log == r.log.ID() {
		a.Before = &f.Event
	}
	event := b.event(no, a)
	event.Participant = id
	tx, err := r.db.Begin(ctx)
	if err != nil {
		return Info{}, err
	}
	_, err = r.record(ctx, auditlog.Entry{Events: []auditlog.Event{event}, Tx: tx, Finish: func(ctx context.Context, tx db.Tx, events []auditlog.Event) error {
		_, err := tx.Exec(ctx, "INSERT INTO case_note (participant_id, case_no, note_no, idx, sealed) VALUES ($1, $2, $3, $4, $5)",
			bytes.Clone(id[:]), no, note, events[0].Index, sealed)
		return err
	}})
	if err != nil {
		return Info{}, fmt.Errorf("write the note: %w", err)
	}
	return r.info(no)
}

// SealedNotes reads a case's notes about each participant, as many as the log says
// that there are.
func (r *Room) SealedNotes(ctx context.Context, b By, code string) (map[uuid.UUID][]SealedNote, error) {
	if err := r.live(b); err != nil {
		return nil, err
	}
	no, err := parseCode(code)
	if err != nil {
		return nil, err
	}
	f, err := r.find(ctx, no)
	if err != nil {
		return nil, err
	}
	if err = f.mayTouch(b); err == nil {
		err = live(f)
	}
	if err != nil {
		return nil, r.deny(ctx, b, no, actNotes, err)
	}
	found := map[uuid.UUID][]SealedNote{}
	for _, p := range f.People {
		if p.Notes == 0 {
			continue
		}
		list, err := r.notesOf(ctx, p.ID, no)
		if err == nil && len(list) != int(p.Notes) {
			err = r.raise(ctx, tampered("case_note", f.info().Code, "a note is gone, or one was added"))
		}
		if err != nil {
			return nil, err
		}
		found[p.ID] = list
	}
	return found, nil
}

func (r *Room) notesOf(ctx context.Context, id uuid.UUID, no int64) ([]SealedNote, error) {
	rows, err := r.db.Query(ctx, "SELECT note_no, idx, sealed FROM case_note WHERE participant_id = $1 AND case_no = $2 ORDER BY note_no", bytes.Clone(id[:]), no)
	if err != nil {
		return nil, fmt.Errorf("read the notes: %w", err)
	}
	defer rows.Close()
	var list []SealedNote
	for rows.Next() {
		n := SealedNote{Participant: id, Case: no}
		var sealed []byte
		if err := rows.Scan(&n.No, &n.Idx, &sealed); err != nil {
			return nil, fmt.Errorf("read the notes: %w", err)
		}
		n.Sealed = bytes.Clone(sealed)
		list = append(list, n)
	}
	return list, rows.Err()
}

// NotesRead records that notes about a participant are about to be read.
func (r *Room) NotesRead(ctx context.Context, b By, code string, id uuid.UUID) (auditlog.Receipt, error) {
	no, err := parseCode(code)
	if err != nil {
		return auditlog.Receipt{}, err
	}
	turn := r.turn(no)
	turn.Lock()
	defer turn.Unlock()
	f, err := r.find(ctx, no)
	if err != nil {
		return auditlog.Receipt{}, err
	}
	a := act{Act: actNotes}
	if f.Log == r.log.ID() {
		a.Before = &f.Event
	}
	event := b.event(no, a)
	event.Participant = id
	return r.record(ctx, auditlog.Entry{Events: []auditlog.Event{event}})
}

// TamperedNote is the error about a note that doesn't open, with its alarm.
func (r *Room) TamperedNote(ctx context.Context, n SealedNote) error {
	return r.raise(ctx, tampered("case_note", codeOf(n.Case), "a note was altered, or is another's"))
}
