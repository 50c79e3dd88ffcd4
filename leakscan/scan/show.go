package scan

import (
	"context"
	"errors"
	"os"
	"strings"
	"unicode/utf8"

	"azekura/leakscan"

	"github.com/google/uuid"
)

// Place is where a piece of evidence is, and whom it is about.
type Place struct {
	File        string // on disk
	Path        string // as the evidence has it, inside of containers
	Row         int64
	Col         int32
	Participant uuid.UUID
	SHA256      string // of the file, as the evidence has it
}

// ErrNoPlace means that a piece of evidence isn't where it was.
var ErrNoPlace = errors.New("the evidence isn't in the file any more, or can't be shown by itself; open the file at its place")

// mostShown bounds the text of one piece of evidence, in bytes.
const mostShown = 4096

// Show reads a file again and returns the text of the record that a piece of evidence
// stands for, its cells a line each. It is somebody's data: who calls this has logged
// it before.
func Show(ctx context.Context, index *leakscan.Index, o Options, at Place) (string, error) {
	o.Workers = 1 // so that records come in their order
	r, err := newRunner(index, o)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(r.temp)
	pieces, err := List(ctx, []string{at.File})
	if err != nil || len(pieces) != 1 {
		return "", errors.Join(err, ErrNoPlace)
	}
	var texts []string
	take := func(m *matcher) {
		m.shown = func(r *record, person uint32) {
			if row, ok := index.Person(person); ok && row.ID() == at.Participant {
				texts = append(texts, m.textOf(r))
			}
		}
	}
	m := <-r.pool
	take(m)
	r.pool <- m
	w := r.work(ctx)
	take(w.matcher(1))
	p := pieces[0]
	if err := w.file(file{p.Path, p.Size, p.Modified, p.Why}); err != nil {
		return "", err
	}
	if len(w.ledger) == 0 || w.ledger[0].SHA256 != at.SHA256 {
		return "", ErrNoPlace
	}
	n, text := 0, ""
	for _, part := range w.parts {
		for _, f := range part.found {
			row, ok := index.Person(f.Person)
			if !ok || row.ID() != at.Participant {
				continue
			}
			if n < len(texts) && text == "" && part.path == at.Path && f.Row == at.Row && f.Col == at.Col {
				text = texts[n]
			}
			n++
		}
	}
	if n != len(texts) || text == "" {
		return "", ErrNoPlace // parts in parts, whose findings come in another order
	}
	return text, nil
}

// textOf is a record's cells.
func (m *matcher) textOf(r *record) string {
	var b strings.Builder
	for i := r.from; i < r.to && b.Len() < mostShown; i++ {
		cell := m.cells[i].text
		for _, c := range string(cell[:min(len(cell), mostShown-b.Len())]) {
			if c < ' ' || c == 0x7F || c == utf8.RuneError {
				c = ' '
			}
			b.WriteRune(c)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
