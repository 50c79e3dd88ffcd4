package scan

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"azekura/leakscan"
)

// State is what became of a range of bytes.
type State string

// The states.
const (
	Parsed      State = "parsed"
	Partial     State = "partial"     // read, but not all of it understood
	Encrypted   State = "encrypted"   // not read: it takes a password or key
	Unsupported State = "unsupported" // of a format that isn't read
	Failed      State = "failed"      // broken, too deep, too large or unreadable
)

// Entry is one line of the ledger: a file, or a file in a container, or a range
// of it.
type Entry struct {
	Path     string `json:"path"`
	From     int64  `json:"from"`
	To       int64  `json:"to"`
	State    State  `json:"state"`
	Format   string `json:"format,omitempty"`
	Encoding string `json:"encoding,omitempty"`
	Records  int64  `json:"records,omitempty"`
	Reason   string `json:"reason,omitempty"`
	SHA256   string `json:"sha256,omitempty"` // of a file that lies in no container
}

// Limits bound what one file may cost. A limit that is reached is an entry in the
// ledger, and the file's other findings stay.
type Limits struct {
	Depth  int           // of containers in containers
	Ratio  int64         // bytes unpacked for each byte of the file
	Unpack int64         // bytes that any file may unpack to, whatever the ratio
	Time   time.Duration // for one file
}

// DefaultLimits are meant for files as agencies have them: text packs to a
// thirtieth at best, a bomb to a thousandth.
var DefaultLimits = Limits{Depth: 10, Ratio: 200, Unpack: 256 << 20, Time: 6 * time.Hour}

var (
	errBudget = errors.New("unpacks to more than the limit: a bomb, or name a higher one")
	errTime   = errors.New("takes longer than the limit")
	errNested = errors.New("containers nested deeper than the limit")
)

// placed are a part's findings: a sheet, a table, a text.
type placed struct {
	path     string
	encoding string
	found    []Finding
	columns  map[int32]*columnCount
}

// work is one file being scanned, with all that lies in it.
type work struct {
	ctx    context.Context
	index  *leakscan.Index
	pool   chan *matcher
	blocks chan []byte // that texts were in, and others may be
	limits Limits
	left   int64 // bytes that may still be unpacked
	until  time.Time
	temp   string
	// passwords are tried on what is locked, in order.
	passwords []string
	ledger    []Entry
	parts     []placed
	read      func(int64) // hears of bytes of the file that were read
	workers   int
	// cut, when set, takes a large text's blocks in place of being scanned.
	cut func(t *texting, at, size int64)
	own [2]*matcher // for tries, and for what is read in one go
}

// matcher is one of the file's own, for what doesn't go through the pool: so
// nobody who holds one waits for another.
func (w *work) matcher(n int) *matcher {
	if w.own[n] == nil {
		w.own[n] = newMatcher(w.index)
	}
	return w.own[n]
}

// input is something to read: a file, or what a container holds.
type input struct {
	path  string
	r     *bufio.Reader
	file  io.ReaderAt // the same, where it can be read anywhere
	size  int64       // -1 where it isn't known
	depth int
	count *counter
}

// counter says how many bytes of an input were read.
type counter struct {
	r io.Reader
	w *work
	n int64
	// top is set for the file itself; the others are charged to its budget.
	top bool
	sum hash.Hash
}

func (c *counter) Read(b []byte) (int, error) {
	if err := c.w.ctx.Err(); err != nil {
		return 0, err
	}
	if !c.w.until.IsZero() && time.Now().After(c.w.until) {
		return 0, errTime
	}
	n, err := c.r.Read(b)
	c.n += int64(n)
	if c.top {
		c.sum.Write(b[:n])
		c.w.read(int64(n))
	} else if c.w.left -= int64(n); c.w.left < 0 {
		return n, errBudget
	}
	return n, err
}

const readSize = 1 << 18

func (w *work) input(path string, r io.Reader, size int64, depth int) *input {
	c := &counter{r: r, w: w, top: depth == 0}
	if c.top {
		c.sum = sha256.New()
	}
	b := readers.Get().(*bufio.Reader)
	b.Reset(c)
	return &input{path: path, r: b, size: size, depth: depth, count: c}
}

// readers are buffers for inputs, which many small files would spend their time on
// making. any gives an input's back.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readSize) }}

func (in *input) close() {
	in.r.Reset(nil)
	readers.Put(in.r)
	in.r = nil
}

// drain reads an input's rest, for its sum.
func (in *input) drain() error {
	b := readers.Get().(*bufio.Reader)
	b.Reset(in.count)
	_, err := io.Copy(io.Discard, b)
	b.Reset(nil)
	readers.Put(b)
	return err
}

// format is one that the scan reads. Later formats join the list.
type format struct {
	name string
	is   func(head []byte) bool
	read func(w *work, in *input) error
}

func prefix(magic string) func([]byte) bool {
	return func(head []byte) bool { return bytes.HasPrefix(head, []byte(magic)) }
}

// formats are tried in order, by what a file begins with and never by its name.
// It is filled in by init, since containers come back to it.
var formats []format

func init() {
	formats = []format{
		{"zip", func(h []byte) bool {
			return bytes.HasPrefix(h, []byte("PK\x03\x04")) || bytes.HasPrefix(h, []byte("PK\x05\x06"))
		}, (*work).zip},
		{"gzip", prefix("\x1f\x8b\x08"), (*work).gzip},
		{"zstd", prefix("\x28\xb5\x2f\xfd"), (*work).zstd},
		{"tar", func(h []byte) bool { return len(h) > 262 && string(h[257:262]) == "ustar" }, (*work).tar},
		{"7z", prefix("7z\xbc\xaf\x27\x1c"), (*work).sevenZip},
		{"rar", prefix("Rar!\x1a\x07"), (*work).rar},
		{"lzh", func(h []byte) bool {
			return len(h) > 7 && string(h[2:5]) == "-lh" && h[6] == '-'
		}, nil},
		{"bzip2", prefix("BZh"), (*work).bzip2},
		{"xz", prefix("\xfd7zXZ\x00"), (*work).xz},
		{"pdf", prefix("%PDF-"), (*work).pdf},
		{"ole", prefix("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), (*work).oleText}, // XLS; not DOC, PPT, MSG
		{"sqlite", prefix("SQLite format 3\x00"), (*work).sqlite},
		{"pst", prefix("!BDN"), nil},
		{"image", func(h []byte) bool {
			for _, m := range []string{"\x89PNG", "\xff\xd8\xff", "GIF8", "II*\x00", "MM\x00*"} {
				if bytes.HasPrefix(h, []byte(m)) {
					return true
				}
			}
			return false
		}, nil},
		{"mbox", isMbox, (*work).mbox},
		{"mail", isMail, (*work).mail},
		{"text", isText, (*work).text},
	}
}

// isText says whether the head may be text in some charset: it has no zero bytes,
// or is UTF-16.
func isText(head []byte) bool {
	if _, wide := wideText(head); wide {
		return true
	}
	controls := 0
	for _, c := range head {
		if c == 0 {
			return false
		}
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != 0x1B && c != 0x1A {
			controls++
		}
	}
	return controls*50 <= len(head)
}

// any reads an input of whatever format, and puts what became of it down.
func (w *work) any(in *input) {
	defer in.close()
	at := len(w.ledger)
	entry := Entry{Path: in.path, State: Parsed, To: max(in.size, 0)}
	w.ledger = append(w.ledger, entry)
	e := w.anyOf(in, &entry)
	entry.To = max(entry.To, in.count.n)
	switch {
	case e == nil:
	case errors.Is(e, context.Canceled):
		return
	case errors.Is(e, errPassword):
		entry.State, entry.Reason = Encrypted, e.Error()
	case errors.Is(e, errNoPDF), errors.Is(e, errNoText):
		entry.State, entry.Reason = Unsupported, e.Error()
	default:
		entry.State, entry.Reason = Failed, reason(e)
		if entry.Records > 0 || len(w.ledger) > at+1 {
			entry.State = Partial
		}
	}
	w.ledger[at] = entry
}

var errPassword = errors.New("encrypted")

// reason is an error without what it may quote of the file.
func reason(err error) string {
	for _, known := range []error{errBudget, errTime, errNested, errDepth, errSyntax, errLong, errShared, errNoPDF, errPDFText, errNoText, errVolume, errDatabase, errBook, io.ErrUnexpectedEOF} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	var path *os.PathError
	if errors.As(err, &path) {
		return "can't be read: " + path.Err.Error()
	}
	return "broken"
}

func (w *work) anyOf(in *input, entry *Entry) error {
	head, err := in.r.Peek(4096)
	if len(head) == 0 {
		entry.Format = "empty"
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	if in.depth > w.limits.Depth {
		return errNested
	}
	for i := range formats {
		f := &formats[i]
		if !f.is(head) {
			continue
		}
		entry.Format = f.name
		if f.read == nil {
			entry.State = Unsupported
			return nil
		}
		switch f.name {
		case "text":
			return w.textEntry(in, entry)
		case "ole":
			return w.ole(in, entry)
		}
		return f.read(w, in)
	}
	entry.Format, entry.State = "unknown", Unsupported
	return nil
}

// spool puts an input where it can be read anywhere: small ones in memory.
func (w *work) spool(in *input) (io.ReaderAt, int64, func(), error) {
	const small = 16 << 20
	head, err := io.ReadAll(io.LimitReader(in.r, small))
	if err != nil {
		return nil, 0, nil, err
	}
	if len(head) < small {
		return bytes.NewReader(head), int64(len(head)), func() {}, nil
	}
	file, err := os.CreateTemp(w.temp, "spool-")
	if err != nil {
		return nil, 0, nil, fmt.Errorf("make room for a container: %w", err)
	}
	done := func() {
		file.Close()
		os.Remove(file.Name())
	}
	n, err := file.Write(head)
	if err == nil {
		var more int64
		if more, err = io.Copy(file, in.r); err == nil {
			return file, int64(n) + more, done, nil
		}
	}
	done()
	return nil, 0, nil, err
}

// gather puts down a part's findings.
func (w *work) gather(p placed) {
	if len(p.found) > 0 || len(p.columns) > 0 {
		w.parts = append(w.parts, p)
	}
}

// take empties a matcher into a part.
func (m *matcher) take(p *placed) {
	p.found = append(p.found, m.found...)
	m.found = m.found[:0]
	if p.columns == nil {
		p.columns = map[int32]*columnCount{}
	}
	for col, n := range m.alone {
		if p.columns[col] == nil {
			p.columns[col] = &columnCount{}
		}
		p.columns[col].Numbers += n.Numbers
		p.columns[col].Hits += n.Hits
	}
	m.forgetColumns()
}

// drop empties a matcher whose findings were only a try.
func (m *matcher) drop() int {
	n := 0
	for _, f := range m.found {
		n += f.Fields.Len()
	}
	m.found = m.found[:0]
	m.forgetColumns()
	return n
}

func joinPath(container, name string) string { return container + "|" + filepath.ToSlash(name) }
