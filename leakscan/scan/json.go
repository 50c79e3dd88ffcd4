package scan

import (
	"bytes"
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of what one record may hold; what goes beyond begins another.
const (
	mostDepth   = 512
	mostCells   = 4096
	longestText = 64 << 10 // of one value; the rest of it isn't looked at
)

var (
	errDepth  = errors.New("nested deeper than 512")
	errSyntax = errors.New("not of its own syntax")
)

// feeder takes a text block by block, in UTF-8, and gives its records to a
// matcher. A block may end anywhere.
type feeder interface {
	feed(block []byte) error
	// end says that no more comes, and why the text isn't whole if it isn't.
	end() error
	// records is how many there were.
	records() int64
}

func (j *jsonFeeder) records() int64   { return j.row }
func (s *sqlFeeder) records() int64    { return s.row }
func (f *markupFeeder) records() int64 { return f.row }

// jsonFeeder reads JSON. An object in an array, or at the top, is a record; an
// object that is a member's value belongs to its parent's.
type jsonFeeder struct {
	m     *matcher
	row   int64
	stack []jsonFrame
	text  []byte // of the value being read
	state byte   // 0 between, '"' in a string, '\\' after a backslash, 'u' in an escape, '1' in a bare value
	code  rune
	left  int
	high  rune
	key   bool // the string being read may be a member's name
}

type jsonFrame struct {
	object bool
	own    bool // has a record of its own
	name   bool // a member's name comes next
	cells  []byte
	sizes  []int
}

func (j *jsonFeeder) feed(b []byte) error {
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch j.state {
		case '"':
			n := bytes.IndexAny(b[i:], "\"\\")
			if n < 0 {
				n = len(b) - i
			}
			j.add(b[i : i+n])
			if i += n; i == len(b) {
				return nil
			}
			j.state = b[i]
			if b[i] == '"' {
				j.state = 0
				j.value()
			}
		case '\\':
			j.escape(c)
		case 'u':
			if err := j.hex(c); err != nil {
				return err
			}
		default:
			if err := j.between(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (j *jsonFeeder) between(c byte) error {
	if j.state == '1' {
		if bytes.IndexByte([]byte(",]} \t\r\n:"), c) < 0 {
			j.add([]byte{c})
			return nil
		}
		j.state = 0
		j.value()
	}
	switch c {
	case ' ', '\t', '\r', '\n', 0xEF, 0xBB, 0xBF:
	case ',':
		if n := len(j.stack); n > 0 {
			j.stack[n-1].name = j.stack[n-1].object
		}
	case ':':
		if n := len(j.stack); n > 0 {
			j.stack[n-1].name = false
		}
	case '{', '[':
		return j.open(c == '{')
	case '}', ']':
		return j.close(c == '}')
	case '"':
		j.state, j.text = '"', j.text[:0]
		n := len(j.stack)
		j.key = n > 0 && j.stack[n-1].name
	default:
		j.state, j.text, j.key = '1', append(j.text[:0], c), false
	}
	return nil
}

func (j *jsonFeeder) open(object bool) error {
	if len(j.stack) == mostDepth {
		return errDepth
	}
	own := len(j.stack) == 0 || object && !j.stack[len(j.stack)-1].object
	j.stack = append(j.stack, jsonFrame{object: object, own: own, name: object})
	return nil
}

func (j *jsonFeeder) close(object bool) error {
	n := len(j.stack) - 1
	if n < 0 || j.stack[n].object != object {
		return errSyntax
	}
	f := &j.stack[n]
	if f.own {
		j.flush(f)
	}
	j.stack = j.stack[:n]
	return nil
}

// flush hands a record's cells to the matcher.
func (j *jsonFeeder) flush(f *jsonFrame) {
	if len(f.sizes) > 0 {
		j.row++
		j.m.begin(j.row, false)
		j.m.keep(f.cells, f.sizes)
		f.cells, f.sizes = f.cells[:0], f.sizes[:0]
	}
}

func (j *jsonFeeder) add(b []byte) {
	j.text = append(j.text, b[:min(len(b), max(longestText-len(j.text), 0))]...)
}

// value ends a string or a bare value.
func (j *jsonFeeder) value() {
	if j.key || len(j.stack) == 0 {
		return
	}
	n := len(j.stack) - 1
	for !j.stack[n].own {
		n--
	}
	f := &j.stack[n]
	f.cells, f.sizes = append(f.cells, j.text...), append(f.sizes, len(j.text))
	if len(f.sizes) == mostCells || len(f.cells) > 1<<20 {
		j.flush(f)
	}
}

func (j *jsonFeeder) escape(c byte) {
	j.state = '"'
	switch c {
	case 'n', 't', 'r', 'b', 'f':
		j.add([]byte{' '})
	case 'u':
		j.state, j.code, j.left = 'u', 0, 4
	default:
		j.add([]byte{c})
	}
}

func (j *jsonFeeder) hex(c byte) error {
	d := rune(-1)
	switch {
	case c >= '0' && c <= '9':
		d = rune(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		d = rune(c|0x20-'a') + 10
	}
	if d < 0 {
		return errSyntax
	}
	j.code = j.code<<4 | d
	if j.left--; j.left > 0 {
		return nil
	}
	j.state = '"'
	switch {
	case j.code >= 0xD800 && j.code < 0xDC00:
		j.high = j.code
		return nil
	case j.high != 0:
		j.code = utf16.DecodeRune(j.high, j.code)
	}
	j.high = 0
	var r [4]byte
	j.add(r[:utf8.EncodeRune(r[:], j.code)])
	return nil
}

func (j *jsonFeeder) end() error {
	if j.state == '1' {
		j.state = 0
		j.value()
	}
	open := len(j.stack) > 0 || j.state != 0
	for n := len(j.stack) - 1; n >= 0; n-- {
		if j.stack[n].own {
			j.flush(&j.stack[n])
		}
	}
	j.stack, j.state = j.stack[:0], 0
	if open {
		return errSyntax
	}
	return nil
}

// keep adds cells whose bytes will be used again, as copies.
func (m *matcher) keep(cells []byte, sizes []int) {
	from := len(m.scratch)
	m.scratch = append(m.scratch, cells...)
	for i, size := range sizes {
		m.cell(m.scratch[from:from+size:from+size], int32(i+1))
		from += size
	}
	if len(m.cells) >= cellsAtOnce {
		m.run()
	}
}

// jsonRows is rows for a JSON object a line. A line that isn't one is cut as text.
func jsonRows(m *matcher, b []byte, row int64) (n int64) {
	j := jsonFeeder{m: m}
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte{'\n'})
		b = rest
		j.row = row + n - 1
		before := len(m.records)
		err := j.feed(line)
		if end := j.end(); err != nil || end != nil {
			if len(m.records) == before {
				m.begin(row+n, false)
				linePieces(m, line)
			}
			j = jsonFeeder{m: m}
		}
		for i := min(before, len(m.records)); i < len(m.records); i++ {
			m.records[i].row = row + n
		}
		n++
	}
	return n
}
