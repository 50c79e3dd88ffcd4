package rowfile

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"

	"azekura/register/value"
)

func (r *Reader) nextJSON(row *Row) error {
	text, end, ok := line(r.w.buf[r.w.pos:r.w.n])
	if !ok {
		row.bad("", TooLong)
		return r.w.skipLine()
	}
	r.w.pos += end
	if r.encoding == CP932 && !ascii(text) {
		if r.decoded, ok = AppendCP932(r.decoded[:0], text); !ok {
			row.bad("", BadEncoding)
			return nil
		}
		text = r.decoded
	}
	if !utf8.Valid(text) {
		row.bad("", BadEncoding)
		return nil
	}
	// One piece of memory for the whole row; a text with escapes gets its own.
	p := parser{s: string(bytes.Trim(text, " \t\r")), buf: r.scratch}
	r.object(&p, row)
	r.scratch = p.buf
	if p.why == "" && p.i < len(p.s) {
		p.fail("", NotObject)
	}
	if p.why != "" {
		row.bad(p.column, p.why)
	}
	return nil
}

// object reads a row's object.
func (r *Reader) object(p *parser, row *Row) {
	var seen [value.Columns + 1]bool
	for k := 0; p.next('{', '}', k == 0); k++ {
		key := p.key()
		if p.why != "" {
			return
		}
		c, former := r.column(key, k)
		switch {
		case int(c) == value.Columns && !former:
			p.fail("", UnknownKey)
		case seen[c]:
			p.fail(columnName(c), TwiceKey)
		case former:
			p.formers(row)
		case c == value.ColAwardAnnualYen && p.digit():
			row.Raw[c] = p.number(c.String())
		default:
			row.Raw[c] = p.value(c.String())
		}
		if p.why != "" {
			return
		}
		seen[c] = true
	}
}

const formerKey = "former"

func columnName(c value.Column) string {
	if c == value.Columns {
		return formerKey
	}
	return c.String()
}

// column finds the column of the k-th key. Rows of one file have their keys in
// one order, so the last row's answer is tried first.
func (r *Reader) column(key string, k int) (c value.Column, former bool) {
	if k < value.Columns && r.order[k].String() == key {
		return r.order[k], false
	}
	c, ok := value.ColumnNamed(key)
	if !ok {
		return value.Columns, key == formerKey
	}
	if k < value.Columns {
		r.order[k] = c
	}
	return c, false
}

// parser reads one line of JSON: objects of texts, and one list of them. It is
// strict where encoding/json isn't (keys that stand twice, invalid UTF-8, half
// surrogate pairs) and stops at the first thing that is wrong.
type parser struct {
	s      string
	i      int
	buf    []byte // for texts with escapes
	column string
	why    value.Reason
}

func (p *parser) fail(column string, why value.Reason) {
	if p.why == "" {
		p.column, p.why = column, why
	}
}

// peek is the next byte that isn't white space, 0 at the end.
func (p *parser) peek() byte {
	for ; p.i < len(p.s); p.i++ {
		if c := p.s[p.i]; c != ' ' && c != '\t' && c != '\r' {
			return c
		}
	}
	return 0
}

// take passes over c and the white space behind it, if c is next.
func (p *parser) take(c byte) bool {
	if p.peek() != c || p.i == len(p.s) {
		return false
	}
	p.i++
	p.peek()
	return true
}

// next goes to the next member of what open and shut enclose; false behind shut.
func (p *parser) next(open, shut byte, first bool) bool {
	switch {
	case p.why != "":
		return false
	case first && !p.take(open):
		p.fail("", NotObject)
		return false
	case p.take(shut):
		return false
	case first || p.take(',') && p.peek() != shut:
		return true
	}
	p.fail("", NotObject)
	return false
}

func (p *parser) key() string {
	if p.peek() != '"' {
		p.fail("", NotObject)
		return ""
	}
	key := p.text("")
	if p.why == "" && !p.take(':') {
		p.fail("", NotObject)
	}
	return key
}

func (p *parser) value(column string) string {
	if p.peek() != '"' {
		p.fail(column, NotString)
		return ""
	}
	return p.text(column)
}

func (p *parser) digit() bool {
	c := p.peek()
	return c >= '0' && c <= '9'
}

// number reads a whole number. What else a JSON number may have (a sign, a
// fraction, an exponent) no yearly amount has.
func (p *parser) number(column string) string {
	from := p.i
	for p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9' {
		p.i++
	}
	n := p.s[from:p.i]
	if c := p.peek(); n[0] == '0' && len(n) > 1 || c != ',' && c != '}' {
		p.fail(column, value.NotYen)
	}
	return n
}

// text reads a string, the opening quote being next.
func (p *parser) text(column string) string {
	p.i++
	from := p.i
	for ; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '"':
			s := p.s[from:p.i]
			p.i++
			return s
		case c == '\\':
			return p.escaped(column, from)
		case c < ' ' || c == 0x7F || c == 0xC2 && p.s[p.i+1] < 0xA0:
			p.fail(column, Control)
			return ""
		}
	}
	p.fail(column, NotObject)
	return ""
}

// escaped is text from the first escape on.
func (p *parser) escaped(column string, from int) string {
	out := append(p.buf[:0], p.s[from:p.i]...)
	defer func() { p.buf = out }()
	for p.i < len(p.s) {
		c := p.s[p.i]
		p.i++
		switch {
		case c == '"':
			if why := clean(out); why != "" {
				p.fail(column, why)
			}
			return string(out)
		case c < ' ':
			p.fail(column, Control)
			return ""
		case c != '\\':
			out = append(out, c)
		default:
			r, ok := p.escape()
			if !ok {
				p.fail(column, BadEscape)
				return ""
			}
			out = utf8.AppendRune(out, r)
		}
	}
	p.fail(column, NotObject)
	return ""
}

// escape reads what follows a backslash.
func (p *parser) escape() (rune, bool) {
	if p.i == len(p.s) {
		return 0, false
	}
	c := p.s[p.i]
	p.i++
	switch c {
	case '"', '\\', '/':
		return rune(c), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
	default:
		return 0, false
	}
	r, ok := p.hex()
	if !ok || !utf16.IsSurrogate(r) {
		return r, ok
	}
	if len(p.s)-p.i < 2 || p.s[p.i:p.i+2] != `\u` {
		return 0, false
	}
	p.i += 2
	low, ok := p.hex()
	r = utf16.DecodeRune(r, low)
	return r, ok && r != utf8.RuneError
}

func (p *parser) hex() (rune, bool) {
	if len(p.s)-p.i < 4 {
		return 0, false
	}
	r := rune(0)
	for _, c := range []byte(p.s[p.i : p.i+4]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	p.i += 4
	return r, true
}

// formers reads the list of earlier names and addresses.
func (p *parser) formers(row *Row) {
	for k := 0; p.next('[', ']', k == 0); k++ {
		row.Former = append(row.Former, p.former())
	}
	if p.why != "" && p.column == "" {
		p.column = formerKey
	}
}

func (p *parser) former() (f value.RawFormer) {
	var seen [5]bool
	for k := 0; p.next('{', '}', k == 0); k++ {
		key := p.key()
		if p.why != "" {
			return f
		}
		to, n := &f.Name, 0
		switch key {
		case "name":
		case "kana":
			to, n = &f.Kana, 1
		case "romaji":
			to, n = &f.Romaji, 2
		case "postal_code":
			to, n = &f.PostalCode, 3
		case "address":
			to, n = &f.Address, 4
		default:
			p.fail(formerKey, UnknownKey)
			return f
		}
		if seen[n] {
			p.fail(formerKey+"."+key, TwiceKey)
			return f
		}
		seen[n] = true
		*to = p.value(formerKey + "." + key)
	}
	return f
}
