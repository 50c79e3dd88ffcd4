package scan

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"sync"
	"unicode/utf8"
)

// xmlScanner cuts XML into tags and texts, at the speed of looking for < and >. It
// knows no document types: whatever declares entities is refused, so none can grow.
type xmlScanner struct {
	r        io.Reader
	buf      []byte
	from, to int
	ended    bool
	failed   error
}

const (
	xmlBuffer = 256 << 10
	// longestTag bounds a tag, and a comment. A longer text comes in pieces.
	longestTag = 64 << 10
)

// token is a tag, without its brackets, or a text. Its bytes stay until the next.
type token struct {
	tag  []byte
	text []byte
	raw  bool // a CDATA section: & is itself
}

// xmlBuffers are those of scanners that were closed.
var xmlBuffers = sync.Pool{New: func() any { return new([xmlBuffer]byte) }}

func newXMLScanner(r io.Reader) *xmlScanner {
	return &xmlScanner{r: r, buf: xmlBuffers.Get().(*[xmlBuffer]byte)[:]}
}

// close gives the scanner's buffer to others: its tokens are gone then.
func (x *xmlScanner) close() {
	xmlBuffers.Put((*[xmlBuffer]byte)(x.buf))
	x.buf = nil
}

// next is the next tag or text, and io.EOF at the end.
func (x *xmlScanner) next() (t token, err error) {
	for {
		rest := x.buf[x.from:x.to]
		if len(rest) == 0 {
			if !x.fill() {
				return token{}, cmpErr(x.failed, io.EOF)
			}
			continue
		}
		if rest[0] != '<' {
			at := bytes.IndexByte(rest, '<')
			if at < 0 && len(rest) < xmlBuffer/2 && x.fill() {
				continue
			}
			if rest = x.buf[x.from:x.to]; at < 0 { // fill may have moved it
				at = len(rest)
			}
			x.from += at
			return token{text: rest[:at]}, nil
		}
		t, size, err := cutTag(rest)
		if size > 0 || err != nil {
			x.from += size
			if t.tag == nil && t.text == nil && err == nil {
				continue // a comment
			}
			return t, err
		}
		if len(rest) > longestTag || !x.fill() {
			return token{}, cmpErr(x.failed, errSyntax)
		}
	}
}

// leaf takes an element that begins with open, has just inner's text within and ends
// with shut, if all of it stands here, in one step where next would take five.
func (x *xmlScanner) leaf(open, inner, shut string) (tag, text []byte, ok bool) {
	b := x.buf[x.from:x.to]
	if len(b) < len(open) || string(b[:len(open)]) != open {
		return nil, nil, false
	}
	end := bytes.IndexByte(b, '>')
	if end < 0 || b[end-1] == '/' || bytes.Count(b[:end], []byte{'"'})%2 != 0 {
		return nil, nil, false
	}
	tag, b = b[1:end], b[end+1:]
	if len(b) < len(inner) || string(b[:len(inner)]) != inner {
		return nil, nil, false
	}
	b = b[len(inner):]
	if end = bytes.IndexByte(b, '<'); end < 0 || len(b)-end < len(shut) || string(b[end:end+len(shut)]) != shut {
		return nil, nil, false
	}
	x.from = x.to - len(b) + end + len(shut)
	return tag, b[:end], true
}

func cmpErr(first, then error) error {
	if first != nil {
		return first
	}
	return then
}

// cutTag takes the tag at the head of b. Size is 0 if b doesn't hold all of it.
func cutTag(b []byte) (t token, size int, err error) {
	switch {
	case bytes.HasPrefix(b, []byte("<!--")):
		if at := bytes.Index(b[4:], []byte("-->")); at >= 0 {
			return t, at + 7, nil
		}
		return t, 0, nil
	case bytes.HasPrefix(b, []byte("<![CDATA[")):
		if at := bytes.Index(b[9:], []byte("]]>")); at >= 0 {
			return token{text: b[9 : 9+at], raw: true}, at + 12, nil
		}
		return t, 0, nil
	case len(b) < len("<![CDATA[") && bytes.IndexByte(b, '>') < 0:
		return t, 0, nil
	case b[1] == '!':
		return t, 0, errSyntax
	}
	for end, quotes := 1, 0; ; {
		at := bytes.IndexByte(b[end:], '>')
		if at < 0 {
			return t, 0, nil
		}
		quotes += bytes.Count(b[end:end+at], []byte{'"'})
		if end += at + 1; quotes%2 == 0 { // a > in an attribute is no end
			return token{tag: b[1 : end-1]}, end, nil
		}
	}
}

// fill reads more, and says whether there was more.
func (x *xmlScanner) fill() bool {
	if x.ended {
		return false
	}
	if x.from > 0 {
		x.to = copy(x.buf, x.buf[x.from:x.to])
		x.from = 0
	}
	for x.to < len(x.buf) {
		n, err := x.r.Read(x.buf[x.to:])
		x.to += n
		if err != nil {
			x.ended = true
			if !errors.Is(err, io.EOF) {
				x.failed = err
			}
		}
		if n > 0 || err != nil {
			return n > 0
		}
	}
	return false
}

// named splits a tag into its name, without a prefix, and says whether it opens or
// closes. A tag that ends in / does both.
func (t token) named() (name []byte, opens, closes bool) {
	b := t.tag
	if len(b) == 0 {
		return nil, false, false
	}
	opens = true
	if b[0] == '/' {
		b, opens, closes = b[1:], false, true
	} else if b[len(b)-1] == '/' {
		b, closes = b[:len(b)-1], true
	}
	for i, c := range b {
		if c == ' ' || c == '\t' || c == '\n' || c == '\r' {
			b = b[:i]
			break
		}
	}
	if at := bytes.IndexByte(b, ':'); at >= 0 {
		b = b[at+1:]
	}
	return b, opens, closes
}

// attr is an attribute's value, as it is written; nil if it isn't there.
func (t token) attr(name string) []byte {
	for b := t.tag; ; {
		at := bytes.Index(b, []byte(name))
		if at < 0 {
			return nil
		}
		rest := b[at+len(name):]
		// Its name may be the end of another's.
		if at > 0 && (b[at-1] <= ' ') && len(rest) > 2 && rest[0] == '=' && (rest[1] == '"' || rest[1] == '\'') {
			if end := bytes.IndexByte(rest[2:], rest[1]); end >= 0 {
				return rest[2 : 2+end]
			}
			return nil
		}
		b = rest
	}
}

// appendText appends a text, its entities replaced: the five of XML, and numbers.
func appendText(dst []byte, t token) []byte {
	b := t.text
	for !t.raw {
		at := bytes.IndexByte(b, '&')
		if at < 0 {
			break
		}
		dst = append(dst, b[:at]...)
		b = b[at:]
		end := bytes.IndexByte(b[:min(len(b), 12)], ';')
		if end < 0 {
			dst, b = append(dst, '&'), b[1:]
			continue
		}
		dst = appendEntity(dst, b[1:end])
		b = b[end+1:]
	}
	return append(dst, b...)
}

func appendEntity(dst, name []byte) []byte {
	switch string(name) {
	case "amp":
		return append(dst, '&')
	case "lt":
		return append(dst, '<')
	case "gt":
		return append(dst, '>')
	case "quot":
		return append(dst, '"')
	case "apos":
		return append(dst, '\'')
	}
	if len(name) > 1 && name[0] == '#' {
		digits, base := name[1:], 10
		if digits[0] == 'x' || digits[0] == 'X' {
			digits, base = digits[1:], 16
		}
		if n, err := strconv.ParseUint(str(digits), base, 21); err == nil {
			return utf8.AppendRune(dst, rune(n))
		}
	}
	return append(dst, ' ')
}
