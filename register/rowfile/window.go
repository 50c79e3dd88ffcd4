package rowfile

import (
	"bytes"
	"fmt"
	"io"
)

// bufferSize is what a Reader holds of the file: several of the longest rows, so
// that moving the rest to the front is rare.
const bufferSize = 8 * MaxRow

// window is the part of the file that is in memory.
type window struct {
	src  io.ReaderAt
	size int64
	buf  []byte
	at   int64 // offset in the file of buf[0]
	n    int   // bytes in buf
	pos  int   // the next byte to read
}

func (w *window) offset() int64 { return w.at + int64(w.pos) }

func (w *window) seek(offset int64) { w.at, w.n, w.pos = offset, 0, 0 }

// longest is the longest row with its line end.
const longest = MaxRow + len("\r\n")

// ahead makes sure that the longest row, or all that is left, is in memory, and
// returns what is.
func (w *window) ahead() ([]byte, error) {
	if w.n-w.pos < longest && w.at+int64(w.n) < w.size {
		w.n = copy(w.buf, w.buf[w.pos:w.n])
		w.at += int64(w.pos)
		w.pos = 0
		more := int(min(int64(len(w.buf)-w.n), w.size-w.at-int64(w.n)))
		if err := readFull(w.src, w.buf[w.n:w.n+more], w.at+int64(w.n)); err != nil {
			return nil, err
		}
		w.n += more
	}
	return w.buf[w.pos:w.n], nil
}

// readFull reads all of b; anything less is an error, since the file's size was
// given.
func readFull(src io.ReaderAt, b []byte, offset int64) error {
	n, err := src.ReadAt(b, offset)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("can't read the file at byte %d (was it changed meanwhile?): %w", offset+int64(n), err)
}

// skipEmpty goes to the next line that holds anything; io.EOF if there is none.
// blanks also passes over lines of spaces.
func (w *window) skipEmpty(blanks bool) error {
	for {
		b, err := w.ahead()
		if err != nil {
			return err
		}
		if len(b) == 0 {
			return io.EOF
		}
		n := 0
		for n < len(b) && n < MaxRow && blanks && (b[n] == ' ' || b[n] == '\t') {
			n++
		}
		switch {
		case n < len(b) && b[n] == '\n', n == len(b):
			w.pos += min(n+1, len(b))
		case b[n] == '\r' && n+1 == len(b):
			w.pos += n + 1
		case b[n] == '\r' && b[n+1] == '\n':
			w.pos += n + 2
		default:
			return nil
		}
	}
}

// line is the line at the front, without its line end, and its length with it.
// Not ok: it is too long.
func line(b []byte) (text []byte, end int, ok bool) {
	end = len(b)
	text = b
	if i := bytes.IndexByte(b[:min(len(b), longest)], '\n'); i >= 0 {
		text, end = b[:i], i+1
	}
	if n := len(text); n > 0 && text[n-1] == '\r' {
		text = text[:n-1]
	}
	return text, end, len(text) <= MaxRow
}

// skipLine goes behind the next line end, however far it is.
func (w *window) skipLine() error {
	for {
		b, err := w.ahead()
		if err != nil {
			return err
		}
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			w.pos += i + 1
			return nil
		}
		if len(b) == 0 {
			return nil
		}
		w.pos += len(b)
	}
}
