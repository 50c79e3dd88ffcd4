package scan

import (
	"bytes"
)

// sqlFeeder reads dumps of MySQL and PostgreSQL: a tuple of an INSERT is a
// record, and a row of a COPY. What else stands in the text is passed over, but
// for other groups in parentheses, which are cut like tuples and do no harm.
type sqlFeeder struct {
	m       *matcher
	row     int64
	depth   int
	cells   []byte
	sizes   []int
	from    int  // of the cell being read
	quote   byte // the one that the text stands in
	escape  bool
	copying bool   // the lines of a COPY follow
	line    []byte // of a COPY, or what may be the head of one
}

func (s *sqlFeeder) feed(b []byte) error {
	for len(b) > 0 {
		if s.copying {
			at := bytes.IndexByte(b, '\n')
			if at < 0 {
				s.keepLine(b)
				return nil
			}
			s.keepLine(b[:at])
			b = b[at+1:]
			s.copyRow()
			continue
		}
		n := s.statement(b)
		b = b[n:]
	}
	return nil
}

func (s *sqlFeeder) keepLine(b []byte) {
	s.line = append(s.line, b[:min(len(b), max(1<<20-len(s.line), 0))]...)
}

// copyRow cuts a line of a COPY at its tabs; \. ends it.
func (s *sqlFeeder) copyRow() {
	line := bytes.TrimRight(s.line, "\r")
	s.line = s.line[:0]
	if string(line) == `\.` {
		s.copying = false
		return
	}
	for cell := range bytes.SplitSeq(line, []byte{'\t'}) {
		s.cells, s.sizes = append(s.cells, cell...), append(s.sizes, len(cell))
	}
	s.flush()
}

// statement reads until b ends or the lines of a COPY begin.
func (s *sqlFeeder) statement(b []byte) int {
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case s.escape:
			s.escape = false
			if s.depth > 0 {
				s.add(c)
			}
		case s.quote != 0:
			switch {
			case c == '\\' && s.quote == '\'':
				s.escape = true
			case c == s.quote:
				s.quote = 0
			case s.depth > 0:
				s.add(c)
			}
		case c == '\'' || c == '"' || c == '`':
			s.quote = c
		case c == '(':
			if s.depth++; s.depth == 1 {
				s.cells, s.sizes, s.from = s.cells[:0], s.sizes[:0], 0
			}
		case c == ')':
			if s.depth == 1 {
				s.cell()
				s.flush()
			}
			s.depth = max(s.depth-1, 0)
		case c == ',' && s.depth == 1:
			s.cell()
		case s.depth > 0:
			s.add(c)
		case c == '\n':
			head := bytes.ToUpper(bytes.TrimSpace(s.line))
			s.line = s.line[:0]
			if bytes.HasPrefix(head, []byte("COPY ")) && bytes.HasSuffix(head, []byte("FROM STDIN;")) {
				s.copying = true
				return i + 1
			}
		default:
			if len(s.line) < 4096 {
				s.line = append(s.line, c)
			}
		}
	}
	return len(b)
}

func (s *sqlFeeder) add(c byte) {
	if len(s.cells)-s.from < longestText {
		s.cells = append(s.cells, c)
	}
}

func (s *sqlFeeder) cell() {
	s.sizes = append(s.sizes, len(s.cells)-s.from)
	s.from = len(s.cells)
	if len(s.sizes) == mostCells || len(s.cells) > 1<<20 {
		s.flush()
	}
}

func (s *sqlFeeder) flush() {
	if len(s.sizes) > 0 {
		s.row++
		s.m.begin(s.row, true)
		s.m.keep(s.cells, s.sizes)
	}
	s.cells, s.sizes, s.from = s.cells[:0], s.sizes[:0], 0
}

func (s *sqlFeeder) end() error {
	open := s.depth > 0 || s.quote != 0 || s.copying && len(s.line) > 0
	if s.copying {
		s.copyRow()
	} else if s.depth > 0 {
		s.cell()
		s.flush()
	}
	if open {
		return errSyntax
	}
	return nil
}
