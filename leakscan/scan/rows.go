package scan

import (
	"bytes"
	"unicode/utf8"
)

// layout is how a text's records are cut into cells.
type layout uint8

const (
	lines     layout = iota // pieces of a line, cut at blanks and punctuation
	delimited               // cells between delimiters, perhaps in quotes
	jsonLines               // a JSON object a line
	jsonText                // a JSON document
	sqlText                 // INSERTs and COPYs
	markup                  // HTML and its like: what stands outside of tags
	fixed                   // cells of fixed widths
)

var layoutNames = [...]string{"text", "table", "ndjson", "json", "sql", "markup", "fixed width"}

func (l layout) String() string { return layoutNames[l] }

// shape is a layout with what belongs to it.
type shape struct {
	layout  layout
	comma   byte
	quotes  bool     // the text's quotes are balanced: line ends may stand in them
	columns *Columns // of fixed widths
}

// shapeOf looks at a sample, which ends with a whole line or the text's end.
func shapeOf(sample []byte) shape {
	head := bytes.TrimLeft(sample, " \t\r\n\ufeff")
	switch {
	case len(head) == 0:
		return shape{}
	case head[0] == '{' && lineIsObject(head):
		return shape{layout: jsonLines}
	case head[0] == '{' || head[0] == '[' && len(head) > 1 && bytes.IndexByte([]byte(" \t\r\n{[\"]0123456789-tfn"), head[1]) >= 0:
		return shape{layout: jsonText}
	case isSQL(head):
		return shape{layout: sqlText}
	case isMarkup(head):
		return shape{layout: markup}
	}
	comma, most := byte(0), 0
	for _, c := range []byte{',', '\t', ';', '|'} {
		if n := steady(sample, c); n > most {
			comma, most = c, n
		}
	}
	if comma == 0 {
		if c := columnsOf(sample); c != nil {
			return shape{layout: fixed, columns: c}
		}
		return shape{layout: lines}
	}
	return shape{layout: delimited, comma: comma, quotes: comma != '\t' && bytes.IndexByte(sample, '"') >= 0 && bytes.Count(sample, []byte{'"'})%2 == 0}
}

func lineIsObject(b []byte) bool {
	line, _, found := bytes.Cut(b, []byte{'\n'})
	line = bytes.TrimRight(line, " \r")
	return found && len(line) > 1 && line[len(line)-1] == '}' || !found && len(line) > 1 && line[len(line)-1] == '}' && bytes.Count(line, []byte{'}'}) == 1
}

// isSQL looks for a line that begins as a dump's do.
func isSQL(b []byte) bool {
	b = b[:min(len(b), 256<<10)]
	for more := true; more; {
		var line []byte
		line, b, more = bytes.Cut(b, []byte{'\n'})
		switch {
		case begins(line, "INSERT INTO "):
			return true
		case begins(line, "COPY ") && bytes.Contains(bytes.ToUpper(line), []byte(" FROM STDIN")):
			return true
		}
	}
	return false
}

// begins says whether b begins with a word of capitals and blanks, in capitals or not.
func begins(b []byte, word string) bool {
	if len(b) < len(word) {
		return false
	}
	for i := range len(word) {
		if c := b[i]; c != word[i] && (c < 'a' || c > 'z' || c-0x20 != word[i]) {
			return false
		}
	}
	return true
}

func isMarkup(b []byte) bool {
	if b[0] != '<' {
		return false
	}
	head := bytes.ToLower(b[:min(len(b), 1024)])
	return bytes.HasPrefix(head, []byte("<!doctype")) || bytes.HasPrefix(head, []byte("<html")) || bytes.HasPrefix(head, []byte("<?xml")) ||
		bytes.Contains(head, []byte("</"))
}

// steady is how many delimiters a line has, in the least of nine lines of ten.
func steady(sample []byte, comma byte) int {
	var counts [64]int
	total := 0
	for total < 200 {
		line, rest, found := bytes.Cut(sample, []byte{'\n'})
		if len(line) > 1 {
			counts[min(bytes.Count(line, []byte{comma}), len(counts)-1)]++
			total++
		}
		if !found {
			break
		}
		sample = rest
	}
	below := 0
	for n, c := range counts {
		if below += c; below*10 > total {
			return n
		}
	}
	return 0
}

// rows cuts a block of whole records into m. It returns how many rows it was.
func (s shape) rows(m *matcher, block []byte, row int64) int64 {
	switch s.layout {
	case delimited:
		return s.table(m, block, row)
	case jsonLines:
		return jsonRows(m, block, row)
	case fixed:
		return s.columns.rows(m, block, row)
	}
	return pieces(m, block, row)
}

// table is rows for a delimited text.
func (s shape) table(m *matcher, b []byte, row int64) (n int64) {
	for len(b) > 0 {
		m.begin(row+n, true)
		n++
		if s.quotes {
			b = s.quotedRow(m, b)
		} else {
			line := b
			if at := bytes.IndexByte(b, '\n'); at >= 0 {
				line, b = b[:at], b[at+1:]
			} else {
				b = nil
			}
			for col := int32(1); ; col++ {
				at := bytes.IndexByte(line, s.comma)
				if at < 0 {
					m.cell(line, col)
					break
				}
				m.cell(line[:at], col)
				line = line[at+1:]
			}
		}
		if len(m.cells) >= cellsAtOnce {
			m.run()
		}
	}
	return n
}

// quotedRow cuts a row of a text in which line ends may stand in quotes, and
// returns what follows it.
func (s shape) quotedRow(m *matcher, b []byte) []byte {
	for col := int32(1); ; col++ {
		var text []byte
		var end byte
		if len(b) > 0 && b[0] == '"' {
			text, end, b = quoted(m, b, s.comma)
		} else {
			at := 0
			for at < len(b) && b[at] != s.comma && b[at] != '\n' {
				at++
			}
			if text = b[:at]; at < len(b) {
				end = b[at]
				at++
			}
			b = b[at:]
		}
		m.cell(text, col)
		if end != s.comma || len(b) == 0 {
			return b
		}
	}
}

// cellsAtOnce bounds the cells that wait to be looked up together.
const cellsAtOnce = 3072

// quoted takes a cell in quotes; "" is a quote. What stands between the closing
// quote and the delimiter is left out.
func quoted(m *matcher, b []byte, comma byte) (text []byte, end byte, rest []byte) {
	from := len(m.scratch)
	plain, i := true, 1
	for {
		at := bytes.IndexByte(b[i:], '"')
		if at < 0 {
			return b[1:], 0, nil
		}
		at += i
		if at+1 < len(b) && b[at+1] == '"' {
			m.scratch = append(m.scratch, b[i:at+1]...)
			plain, i = false, at+2
			continue
		}
		if plain {
			text = b[1:at]
		} else {
			m.scratch = append(m.scratch, b[i:at]...)
			text = m.scratch[from:len(m.scratch):len(m.scratch)]
		}
		rest = b[at+1:]
		break
	}
	for i, c := range rest {
		if c == comma || c == '\n' {
			return text, c, rest[i+1:]
		}
	}
	return text, 0, nil
}

// breaks are the ASCII bytes that end a piece of a line.
var breaks = func() (t [128]bool) {
	for _, c := range "\t ,;:|=\"'<>()[]{}&?!#*`\\\r" {
		t[c] = true
	}
	return t
}()

// pieces is rows for any text: a line is a record, its cells what stands between
// blanks and punctuation, and each two blanks apart.
func pieces(m *matcher, b []byte, row int64) (n int64) {
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte{'\n'})
		b = rest
		m.begin(row+n, false)
		n++
		linePieces(m, line)
		if len(m.cells) >= cellsAtOnce {
			m.run()
		}
	}
	return n
}

func linePieces(m *matcher, line []byte) {
	from, count := 0, 0
	cut := func(to, next int) {
		if to > from {
			// A very long line is many records: its pieces have nothing to do
			// with each other.
			if count++; count%256 == 0 {
				last := m.records[len(m.records)-1]
				m.begin(last.row, false)
			}
			m.cell(line[from:to], int32(min(count, 1<<20)))
		}
		from = next
	}
	for i := 0; i < len(line); {
		c := line[i]
		if c < utf8.RuneSelf {
			if breaks[c] {
				cut(i, i+1)
			}
			i++
			continue
		}
		if c == 0xE3 && i+2 < len(line) && line[i+1] == 0x80 && line[i+2] >= 0x80 && line[i+2] <= 0x91 && line[i+2] != 0x85 && line[i+2] != 0x87 {
			cut(i, i+3) // the full-width blank, 、 。 and brackets; not 々 and 〇
			i += 3
			continue
		}
		if c == 0xEF && i+2 < len(line) && line[i+1] == 0xBC && wideBreak(line[i+2]) {
			cut(i, i+3)
			i += 3
			continue
		}
		i++
	}
	cut(len(line), len(line))
}

// wideBreak is for the third byte of U+FF00 to U+FF3F: ：；，（）＝／ and the like.
func wideBreak(b byte) bool {
	switch b {
	case 0x9A, 0x9B, 0x8C, 0x88, 0x89, 0x9D:
		return true
	}
	return false
}
