package scan

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// markupFeeder reads what stands outside of tags, in HTML and in the XML of
// office documents. A table's row is a record, and so is a paragraph outside of
// tables. Entities are never declared nor expanded but for the five of XML and
// numbers, so none can grow.
type markupFeeder struct {
	m     *matcher
	row   int64
	rows  int // how deep in rows of tables
	tag   []byte
	inTag bool
	ent   []byte
	inEnt bool
	mute  string // script or style, whose text is passed over
	text  []byte
	cells []byte
	sizes []int
}

func (f *markupFeeder) feed(b []byte) error {
	for _, c := range b {
		switch {
		case f.inTag:
			if c == '>' {
				f.inTag = false
				f.tagged()
			} else if len(f.tag) < 64 {
				f.tag = append(f.tag, c)
			}
		case c == '<':
			f.inTag, f.inEnt, f.tag = true, false, f.tag[:0]
		case f.mute != "":
		case f.inEnt:
			f.entity(c)
		case c == '&':
			f.inEnt, f.ent = true, f.ent[:0]
		case len(f.text) < longestText:
			f.text = append(f.text, c)
		default:
			f.cell()
			f.text = append(f.text, c)
		}
	}
	return nil
}

func (f *markupFeeder) entity(c byte) {
	if c != ';' {
		if f.ent = append(f.ent, c); len(f.ent) > 8 {
			f.inEnt = false
			f.text = append(append(f.text, '&'), f.ent...)
		}
		return
	}
	f.inEnt = false
	switch e := string(f.ent); {
	case e == "amp":
		f.text = append(f.text, '&')
	case e == "lt":
		f.text = append(f.text, '<')
	case e == "gt":
		f.text = append(f.text, '>')
	case e == "quot" || e == "apos" || e == "nbsp":
		f.text = append(f.text, ' ')
	case len(e) > 1 && e[0] == '#':
		digits, base := e[1:], 10
		if digits[0] == 'x' || digits[0] == 'X' {
			digits, base = digits[1:], 16
		}
		if n, err := strconv.ParseUint(digits, base, 21); err == nil {
			f.text = utf8.AppendRune(f.text, rune(n))
		}
	}
}

// tagged acts on a tag: what it ends, if anything.
func (f *markupFeeder) tagged() {
	name := bytes.ToLower(f.tag)
	closing := len(name) > 0 && name[0] == '/'
	name = bytes.TrimLeft(name, "/!?")
	if at := bytes.IndexAny(name, " \t\r\n/"); at >= 0 {
		name = name[:at]
	}
	if _, local, found := bytes.Cut(name, []byte{':'}); found {
		name = local
	}
	if f.mute != "" {
		if closing && string(name) == f.mute {
			f.mute = ""
		}
		return
	}
	switch string(name) {
	case "script", "style":
		if !closing && f.tag[len(f.tag)-1] != '/' {
			f.mute = string(name)
		}
	case "td", "th", "tc", "tab", "dt", "dd":
		f.cell()
	case "tr":
		f.cell()
		f.flush(true)
		if closing {
			f.rows = max(f.rows-1, 0)
		} else {
			f.rows++
		}
	case "table":
		f.cell()
		f.flush(f.rows > 0)
		f.rows = 0
	case "p", "li", "div", "br", "h1", "h2", "h3", "h4", "h5", "h6", "title", "option", "pre", "ul", "ol", "dl", "hr", "body":
		f.cell()
		if f.rows == 0 {
			f.flush(false)
		}
	}
}

func (f *markupFeeder) cell() {
	if text := bytes.TrimSpace(f.text); len(text) > 0 {
		f.cells, f.sizes = append(f.cells, text...), append(f.sizes, len(text))
	}
	f.text = f.text[:0]
	if len(f.sizes) == mostCells || len(f.cells) > 1<<20 {
		f.flush(f.rows > 0)
	}
}

// flush hands on a row's cells, or a paragraph's lines in pieces.
func (f *markupFeeder) flush(row bool) {
	if len(f.sizes) == 0 {
		return
	}
	f.row++
	if row {
		f.m.begin(f.row, true)
		f.m.keep(f.cells, f.sizes)
	} else {
		from := len(f.m.scratch)
		f.m.scratch = append(f.m.scratch, f.cells...)
		at := from
		f.m.begin(f.row, false)
		for _, size := range f.sizes {
			for line := range bytes.SplitSeq(f.m.scratch[at:at+size:at+size], []byte{'\n'}) {
				linePieces(f.m, line)
			}
			at += size
		}
		if len(f.m.cells) >= cellsAtOnce {
			f.m.run()
		}
	}
	f.cells, f.sizes = f.cells[:0], f.sizes[:0]
}

func (f *markupFeeder) end() error {
	open := f.inTag
	f.cell()
	f.flush(f.rows > 0)
	if open {
		return errSyntax
	}
	return nil
}
