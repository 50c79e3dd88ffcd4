package rowfile

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"

	"azekura/register/value"
)

// Tells says whether the file has a column: a CSV's header names those that it
// has; NDJSON has them all, and leaves the empty ones of a row out.
func (r *Reader) Tells(c value.Column) bool { return r.format == JSON || slices.Contains(r.columns, c) }

func (r *Reader) nextCSV(row *Row) error {
	text, spans, end, why := r.split()
	if why == "" && len(spans) != len(r.columns) {
		why = value.Reason(fmt.Sprintf("%d columns where the header has %d", len(spans), len(r.columns)))
	}
	if why != "" {
		row.bad("", why)
		return r.w.skipLine()
	}
	r.w.pos += end
	r.fill(row, text, spans)
	return nil
}

// split finds the fields of the row at the front of the window, RFC 4180: their
// text without quotes, where each lies in it, and how long the row is with its
// line end. All of it is valid until the window moves.
//
// Bytes are looked at before they are decoded, which CP932 allows: a comma, a
// quote or a line end is never the second byte of a character there.
func (r *Reader) split() (text []byte, spans []span, end int, why value.Reason) {
	b := r.w.buf[r.w.pos:r.w.n]
	text, end, ok := line(b)
	if !ok {
		return nil, nil, 0, TooLong
	}
	if bytes.IndexByte(text, '"') >= 0 {
		return r.splitQuoted(b[:min(len(b), longest)])
	}
	spans = r.spans[:0]
	from := 0
	for {
		i := bytes.IndexByte(text[from:], ',')
		if i < 0 {
			break
		}
		spans = append(spans, span{from, from + i})
		from += i + 1
	}
	r.spans = append(spans, span{from, len(text)})
	return text, r.spans, end, ""
}

// splitQuoted is split for a row with quotes, which may go over several lines.
// The text is put together in scratch.
func (r *Reader) splitQuoted(b []byte) (text []byte, spans []span, end int, why value.Reason) {
	out, spans := r.scratch[:0], r.spans[:0]
	defer func() { r.scratch, r.spans = out, spans }()
	for i := 0; ; {
		from := len(out)
		if i < len(b) && b[i] == '"' {
			if out, i, why = quoted(out, b, i+1); why != "" {
				return nil, nil, 0, why
			}
		} else {
			n := unquoted(b[i:])
			out = append(out, b[i:i+n]...)
			i += n
			if n > 0 && b[i-1] == '\r' && (i == len(b) || b[i] == '\n') {
				out = out[:len(out)-1]
			}
		}
		spans = append(spans, span{from, len(out)})
		switch {
		case i > MaxRow:
			return nil, nil, 0, TooLong
		case i == len(b):
			return out, spans, i, ""
		case b[i] == '\n':
			return out, spans, i + 1, ""
		case b[i] == '\r': // only behind a closing quote, before a line end
			return out, spans, min(i+2, len(b)), ""
		case b[i] != ',':
			return nil, nil, 0, StrayQuote
		}
		i++
	}
}

// unquoted is the length of a field without quotes at the front of b.
func unquoted(b []byte) int {
	for i, c := range b {
		if c == ',' || c == '\n' || c == '"' {
			return i
		}
	}
	return len(b)
}

// quoted reads what follows an opening quote, up to and with the closing one. A
// line end within is a line feed.
func quoted(out, b []byte, i int) (_ []byte, next int, why value.Reason) {
	for {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return out, 0, OpenQuote
		}
		out = appendLines(out, b[i:i+n])
		i += n + 1
		switch {
		case i < len(b) && b[i] == '"':
			out = append(out, '"')
			i++
		case i == len(b), b[i] == ',', b[i] == '\n':
			return out, i, ""
		case b[i] == '\r' && (i+1 == len(b) || b[i+1] == '\n'):
			return out, i, ""
		default:
			return out, 0, StrayQuote
		}
	}
}

func appendLines(out, b []byte) []byte {
	for {
		i := bytes.Index(b, []byte("\r\n"))
		if i < 0 {
			return append(out, b...)
		}
		out = append(append(out, b[:i]...), '\n')
		b = b[i+2:]
	}
}

// fill decodes the fields into row, or makes it a bad one, naming the column.
func (r *Reader) fill(row *Row, text []byte, spans []span) {
	if r.encoding == CP932 && !ascii(text) {
		var ok bool
		if text, spans, ok = r.decode(row, text, spans); !ok {
			return
		}
	}
	if why := clean(text); why != "" {
		for i, s := range spans {
			if why := clean(text[s.from:s.to]); why != "" {
				row.bad(r.columns[i].String(), why)
			}
		}
		return
	}
	s := string(text) // one piece of memory for the whole row
	for i, at := range spans {
		row.Raw[r.columns[i]] = s[at.from:at.to]
	}
}

// decode turns the fields from CP932 into UTF-8. The new spans stand where the
// old ones did.
func (r *Reader) decode(row *Row, text []byte, spans []span) ([]byte, []span, bool) {
	out := r.decoded[:0]
	for i, s := range spans {
		from, ok := len(out), false
		if out, ok = AppendCP932(out, text[s.from:s.to]); !ok {
			row.bad(r.columns[i].String(), BadEncoding)
		}
		spans[i] = span{from, len(out)}
	}
	r.decoded = out
	return out, spans, len(row.Bad) == 0
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// clean says why b can't be taken: not UTF-8, or a control character other than
// a line feed.
func clean(b []byte) value.Reason {
	for i, c := range b {
		if c < ' ' && c != '\n' || c == 0x7F || c == 0xC2 && i+1 < len(b) && b[i+1] >= 0x80 && b[i+1] < 0xA0 {
			return Control
		}
	}
	if !utf8.Valid(b) {
		return BadEncoding
	}
	return ""
}
