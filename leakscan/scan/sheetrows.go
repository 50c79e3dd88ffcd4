package scan

import (
	"errors"
	"unicode/utf8"
)

// sheetRows feeds a table that is read cell by cell to the matcher, as a part of its
// own with an entry of the ledger.
type sheetRows struct {
	w     *work
	m     *matcher
	part  placed
	entry Entry
}

func (w *work) sheetRows(path, format string) *sheetRows {
	return &sheetRows{w: w, m: w.matcher(1), part: placed{path: path, encoding: utf8Text.String()},
		entry: Entry{Path: path, State: Parsed, Format: format, Encoding: utf8Text.String()}}
}

// begin starts a row.
func (s *sheetRows) begin(row int64) error {
	if len(s.m.cells) >= cellsAtOnce || len(s.m.scratch) >= 16<<20 {
		s.m.run()
	}
	s.m.begin(row, true)
	s.entry.Records++
	return s.w.ctx.Err()
}

// cell adds one, of which a copy is kept. What isn't UTF-8 is read as CP932.
func (s *sheetRows) cell(text []byte, col int32) {
	if len(text) > longestText {
		text = text[:longestText]
	}
	from := len(s.m.scratch)
	if !utf8.Valid(text) {
		var ok bool
		if s.m.scratch, ok = cp932.append(s.m.scratch, text); !ok {
			s.m.scratch = s.m.scratch[:from]
			s.entry.State, s.entry.Reason = Partial, "some cells aren't text of a known encoding"
			return
		}
	} else {
		s.m.scratch = append(s.m.scratch, text...)
	}
	s.m.cell(s.m.scratch[from:len(s.m.scratch):len(s.m.scratch)], col)
}

// end settles the part. It returns err only where nothing more can be read at all.
func (s *sheetRows) end(err error) error {
	s.m.run()
	s.m.take(&s.part)
	s.w.gather(s.part)
	if err != nil {
		s.entry.State, s.entry.Reason = Partial, reason(err)
	}
	s.w.ledger = append(s.w.ledger, s.entry)
	if errors.Is(err, errBudget) || errors.Is(err, errTime) || s.w.ctx.Err() != nil {
		return err
	}
	return nil
}

// spend charges bytes that a reader made of an input, which may name one place of it
// again and again.
func (w *work) spend(n int) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if w.left -= int64(n); w.left < 0 {
		return errBudget
	}
	if !w.until.IsZero() && w.late() {
		return errTime
	}
	return nil
}
