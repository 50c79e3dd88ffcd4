package scan

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
)

// isMail says whether the head is a message's (RFC 5322): header fields alone, some
// of them those that every message has.
func isMail(head []byte) bool {
	known := 0
	for n := 0; n < 60; n++ {
		line, rest, more := bytes.Cut(head, []byte{'\n'})
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if len(line) == 0 {
			break
		}
		if line[0] != ' ' && line[0] != '\t' || n == 0 {
			name, _, field := bytes.Cut(line, []byte{':'})
			if !more && !field {
				break // the sample cut it
			}
			if !field || !headerName(name) {
				return false
			}
			switch strings.ToLower(string(name)) {
			case "from", "to", "cc", "subject", "date", "received", "return-path", "message-id", "mime-version", "delivered-to", "x-mailer":
				known++
			}
		}
		if !more {
			break
		}
		head = rest
	}
	return known >= 2
}

func headerName(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7F {
			return false
		}
	}
	return len(b) > 0 && len(b) < 64
}

// isMbox says whether the head is that of messages one after the other (RFC 4155).
func isMbox(head []byte) bool {
	first, rest, ok := bytes.Cut(head, []byte{'\n'})
	return ok && bytes.HasPrefix(first, []byte("From ")) && isMail(rest)
}

// mail reads a message: its own header, each of its parts, and what those hold.
// What a part says of its type and its charset isn't believed: it is read as any
// file is.
func (w *work) mail(in *input) error {
	m, err := mail.ReadMessage(in.r)
	if err != nil {
		return w.rest(in, err)
	}
	return w.entity(in, textproto.MIMEHeader(m.Header), bufio.NewReader(m.Body), 0)
}

// mostParts bounds a message's parts, deepestPart how they may nest.
const (
	mostParts   = 10_000
	deepestPart = 20
)

// headerText is what a header says of people, decoded.
func headerText(h textproto.MIMEHeader) string {
	words := mime.WordDecoder{CharsetReader: func(name string, r io.Reader) (io.Reader, error) {
		for c, known := range charsetNames {
			if strings.EqualFold(name, known) || charset(c) == cp932 && (strings.EqualFold(name, "shift_jis") || strings.EqualFold(name, "windows-31j")) {
				raw, err := io.ReadAll(r)
				if err != nil {
					return nil, err
				}
				text, _ := charset(c).append(nil, raw)
				return bytes.NewReader(text), nil
			}
		}
		return nil, fmt.Errorf("a charset that isn't read")
	}}
	var b strings.Builder
	for _, name := range []string{"From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Subject"} {
		for _, line := range h[name] {
			if text, err := words.DecodeHeader(line); err == nil {
				line = text
			}
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// entity reads a message or a part of one.
func (w *work) entity(in *input, h textproto.MIMEHeader, body *bufio.Reader, depth int) error {
	if text := headerText(h); text != "" {
		if err := w.inner(in, "header", strings.NewReader(text), int64(len(text))); err != nil {
			return err
		}
	}
	if depth > deepestPart {
		return errNested
	}
	kind, parameters, err := mime.ParseMediaType(h.Get("Content-Type"))
	if boundary := parameters["boundary"]; err == nil && strings.HasPrefix(kind, "multipart/") && boundary != "" {
		return w.multipart(in, body, boundary, depth)
	}
	return w.inner(in, attachmentName(h, "body"), transfer(h, body), -1)
}

// attachmentName is the name that a part gives itself, for the evidence; it is never used
// as a path.
func attachmentName(h textproto.MIMEHeader, otherwise string) string {
	for _, header := range []string{"Content-Disposition", "Content-Type"} {
		_, parameters, err := mime.ParseMediaType(h.Get(header))
		for _, key := range []string{"filename", "name"} {
			if name := parameters[key]; err == nil && name != "" {
				if decoded, err := new(mime.WordDecoder).DecodeHeader(name); err == nil {
					name = decoded
				}
				return strings.ToValidUTF8(name[:min(len(name), 255)], "\uFFFD")
			}
		}
	}
	return otherwise
}

// transfer undoes a part's Content-Transfer-Encoding.
func transfer(h textproto.MIMEHeader, body io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(h.Get("Content-Transfer-Encoding"))) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		return quotedprintable.NewReader(body)
	}
	return body
}

// multipart reads the parts of one. What stands before the first and after the last
// isn't part of the message (RFC 2046 5.1.1), and isn't read.
func (w *work) multipart(in *input, body io.Reader, boundary string, depth int) error {
	end := &seeking{r: body, what: []byte("--" + boundary + "--")}
	parts := multipart.NewReader(end, boundary)
	for n := 1; n <= mostParts; n++ {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) && end.seen {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errSyntax, err)
		}
		kind, parameters, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if boundary := parameters["boundary"]; err == nil && strings.HasPrefix(kind, "multipart/") && boundary != "" && depth < deepestPart {
			err = w.multipart(in, part, boundary, depth+1)
		} else {
			err = w.inner(in, attachmentName(part.Header, fmt.Sprintf("part %d", n)), transfer(part.Header, part), -1)
		}
		if err != nil {
			return err
		}
		if w.left < 0 {
			return errBudget
		}
	}
	return errNested
}

// seeking says whether what was read through it held something. The standard
// library's reader takes a message that breaks off for one that ended.
type seeking struct {
	r    io.Reader
	what []byte
	last []byte // the end of what was read, shorter than what
	seen bool
}

func (s *seeking) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if !s.seen {
		s.last = append(s.last, b[:n]...)
		s.seen = bytes.Contains(s.last, s.what)
		s.last = append(s.last[:0], s.last[max(0, len(s.last)-len(s.what)+1):]...)
	}
	return n, err
}

// rest scans what is left as text, where a message can't be understood.
func (w *work) rest(in *input, why error) error {
	if err := w.inner(in, "rest", in.r, -1); err != nil {
		return err
	}
	return fmt.Errorf("%w: %w", errSyntax, why)
}

// mbox reads messages one after the other. One begins at a line "From " behind an
// empty one.
func (w *work) mbox(in *input) error {
	r := &mboxReader{r: in.r, blank: true}
	if !r.nextMessage() {
		return errSyntax
	}
	for n := 1; ; n++ {
		if err := w.inner(in, fmt.Sprintf("message %d", n), r, -1); err != nil {
			return err
		}
		if w.left < 0 {
			return errBudget
		}
		if !r.nextMessage() {
			if errors.Is(r.err, io.EOF) {
				return nil
			}
			return r.err
		}
	}
}

// mboxReader reads one message after the other; each ends with io.EOF.
type mboxReader struct {
	r      *bufio.Reader
	line   []byte // of the message, or a piece of a long one, still to be given
	blank  bool   // the line before was empty
	middle bool   // the next bytes go on with a line
	atFrom bool   // the line that begins a message was just read
	err    error
}

// nextMessage passes over what is left of this message, and says whether there is
// another.
func (m *mboxReader) nextMessage() bool {
	for !m.atFrom && m.err == nil {
		m.advance()
	}
	another := m.atFrom
	m.atFrom, m.line = false, nil
	return another
}

func (m *mboxReader) advance() {
	begins := false
	for {
		line, err := m.r.ReadSlice('\n')
		begins = begins || m.blank && !m.middle && bytes.HasPrefix(line, []byte("From "))
		m.blank = !m.middle && err == nil && len(bytes.TrimRight(line, "\r\n")) == 0
		if m.middle = errors.Is(err, bufio.ErrBufferFull); !m.middle && err != nil {
			m.err = err
		}
		if m.line = line; !begins {
			return
		}
		if m.atFrom, m.line = true, nil; !m.middle {
			return
		}
	}
}

func (m *mboxReader) Read(b []byte) (int, error) {
	for len(m.line) == 0 {
		if m.atFrom || m.err != nil {
			return 0, io.EOF
		}
		m.advance()
	}
	n := copy(b, m.line)
	m.line = m.line[n:]
	return n, nil
}
