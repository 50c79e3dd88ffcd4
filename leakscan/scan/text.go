package scan

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf8"
)

const (
	blockSize   = 1 << 20
	longestLine = 16 << 20
	sampleSize  = 1 << 18
)

// errLines is what the ledger says of a text that isn't wholly of one charset.
const errLines = "some lines aren't of its encoding"

var errLong = errors.New("a line is longer than 16 MiB: it was cut")

func (w *work) text(in *input) error { return w.textEntry(in, &Entry{}) }

// textEntry reads a text: it decides on charset and shape by the first block, and
// then hands blocks of whole records to as many goroutines as there are matchers.
// The findings come back in order.
func (w *work) textEntry(in *input, entry *Entry) error {
	t := &texting{w: w, in: in, entry: entry, part: placed{path: in.path}}
	if head, _ := in.r.Peek(4096); len(head) > 0 {
		if wide, ok := wideText(head); ok {
			in.r.Reset(&utf16Reader{r: bytesReader{in.count, bytes.Clone(peekAll(in))}, charset: wide})
			t.wide = wide
		}
	}
	err := t.run()
	if t.charset != ascii || t.wide == 0 {
		entry.Encoding = t.charset.String()
	}
	if t.wide != 0 {
		entry.Encoding = t.wide.String()
	}
	t.part.encoding, entry.Format, entry.Records = entry.Encoding, t.shape.layout.String(), t.rows
	w.gather(t.part)
	if err == nil && (t.bad > 0 || t.cut) {
		entry.State, entry.Reason = Partial, errLines
		if t.cut {
			entry.Reason = errLong.Error()
		}
	}
	return err
}

// peekAll is what the buffer holds already.
func peekAll(in *input) []byte {
	b, _ := in.r.Peek(in.r.Buffered())
	return b
}

// bytesReader gives what was buffered and then the rest.
type bytesReader struct {
	rest io.Reader
	head []byte
}

func (b bytesReader) reader() io.Reader { return io.MultiReader(bytes.NewReader(b.head), b.rest) }

// texting is one text on its way.
type texting struct {
	w       *work
	in      *input
	entry   *Entry
	part    placed
	wide    charset
	charset charset
	shape   shape
	decided bool // on the shape
	rows    int64
	bad     int64 // lines
	cut     bool
	feeder  feeder
	feeding *matcher
	pending []chan blockResult
}

// blockResult is what a block gave.
type blockResult struct {
	part placed
	rows int64
	bad  []span
}

// span is a range of a block's bytes.
type span struct{ from, to int64 }

func (t *texting) run() error {
	var carry []byte
	var failed error
	at := int64(0)
	for failed == nil {
		block := t.room(len(carry), max(blockSize, 2*len(carry))+4096)
		copy(block, carry)
		n, err := io.ReadFull(t.in.r, block[len(carry):cap(block)-4096])
		block = block[:len(carry)+n]
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			failed = err // what was read before it is scanned
		}
		last := end || failed != nil
		if !t.decided && len(block) > 0 {
			t.decide(block, last)
		}
		whole := len(block)
		if !last {
			whole = t.boundary(block)
		}
		if whole == 0 {
			if last {
				break
			}
			if len(block) < longestLine {
				carry = block
				continue
			}
			whole, t.cut = len(block), true
			for whole > len(block)-64 && block[whole-1] >= '0' {
				whole--
			}
		}
		carry = bytes.Clone(block[whole:])
		if err := t.block(block[:whole], at); err != nil && failed == nil {
			failed = err
		}
		at += int64(whole)
		if last {
			break
		}
	}
	if t.feeder != nil {
		err := t.feeder.end()
		t.feeding.run()
		t.feeding.take(&t.part)
		t.rows = t.feeder.records()
		if failed == nil {
			failed = err
		}
	}
	for len(t.pending) > 0 {
		t.collect()
	}
	return failed
}

// room is a block's bytes: one that was scanned, if it is large enough.
func (t *texting) room(from, size int) []byte {
	select {
	case b := <-t.w.blocks:
		if cap(b) >= size {
			return b[:from:size]
		}
	default:
	}
	return make([]byte, from, size)
}

// scanned gives a block back. Long lines' blocks aren't kept.
func (t *texting) scanned(b []byte) {
	if cap(b) > 2*blockSize {
		return
	}
	select {
	case t.w.blocks <- b:
	default:
	}
}

// decide settles charset and shape.
func (t *texting) decide(block []byte, last bool) {
	sample := block
	if len(sample) > sampleSize || !last {
		sample = sample[:min(len(sample), sampleSize)]
		// A dump may be one line of many megabytes: then the sample isn't cut at one.
		if at := bytes.LastIndexByte(sample, '\n'); at >= len(sample)/2 {
			sample = sample[:at+1]
		}
	}
	t.settle(sample)
	text, _ := decodeLines(nil, sample, t.charset)
	t.shape, t.decided = shapeOf(text), true
	if t.shape.layout == fixed && t.finds(shape{}, text) > t.finds(t.shape, text) {
		t.shape = shape{} // the columns were no columns
	}
	m := t.w.matcher(1)
	switch t.shape.layout {
	case jsonText:
		t.feeder = &jsonFeeder{m: m}
	case sqlText:
		t.feeder = &sqlFeeder{m: m}
	case markup:
		t.feeder = &markupFeeder{m: m}
	default:
		return
	}
	t.feeding = m
}

// finds is how much of the register a sample holds, cut like this.
func (t *texting) finds(s shape, text []byte) int {
	m := t.w.matcher(0)
	s.rows(m, text, 1)
	m.run()
	return m.drop()
}

// settle chooses the charset by a sample that isn't ASCII.
func (t *texting) settle(sample []byte) {
	if t.charset != ascii || isASCII(sample) && bytes.IndexByte(sample, 0x1B) < 0 {
		return
	}
	if t.wide != 0 {
		t.charset = utf8Text
		return
	}
	var whole []charset
	for _, c := range candidates {
		if c == iso2022JP && bytes.IndexByte(sample, 0x1B) < 0 {
			continue
		}
		if decodes(sample, c) {
			whole = append(whole, c)
		}
	}
	if len(whole) == 1 {
		t.charset = whole[0]
		return
	}
	if len(whole) == 0 {
		whole = candidates[:]
	}
	best := -1 << 62
	for _, c := range whole {
		text, bad := decodeLines(nil, sample, c)
		if hits := t.finds(shapeOf(text), text)*1000 - len(bad); hits > best {
			best, t.charset = hits, c
		}
	}
}

// decodes says whether a sample is of a charset, but for a character that its end
// may cut.
func decodes(sample []byte, c charset) bool {
	const piece = 4 << 10 // most of what isn't of it shows soon
	for len(sample) > 2*piece {
		end := bytes.LastIndexByte(sample[:piece], '\n') + 1
		if end == 0 || c == iso2022JP {
			break
		}
		if _, ok := c.append(nil, sample[:end]); !ok {
			return false
		}
		sample = sample[end:]
	}
	for n := range min(4, len(sample)) {
		if _, ok := c.append(nil, sample[:len(sample)-n]); ok {
			return true
		}
	}
	return false
}

// boundary is where the last whole record of a block ends.
func (t *texting) boundary(block []byte) int {
	if t.feeder != nil && t.charset != iso2022JP {
		// A feeder goes on anywhere, so long as no character is cut: no charset has
		// a byte below 0x40 as the second one of a character.
		for end := len(block); end > max(0, len(block)-4096); end-- {
			if block[end-1] < 0x40 {
				return end
			}
		}
	}
	if !t.shape.quotes {
		return bytes.LastIndexByte(block, '\n') + 1
	}
	end := len(block)
	even := bytes.Count(block, []byte{'"'})%2 == 0
	for range 1000 {
		at := bytes.LastIndexByte(block[:end], '\n')
		if at < 0 {
			break
		}
		if bytes.Count(block[at+1:end], []byte{'"'})%2 != 0 {
			even = !even
		}
		if even {
			return at + 1
		}
		end = at
	}
	// The quotes don't pair up here: read on by lines alone.
	if len(block) >= 4*blockSize {
		t.shape.quotes = false
		return bytes.LastIndexByte(block, '\n') + 1
	}
	return 0
}

// block scans one: in the feeder, or in a goroutine of its own.
func (t *texting) block(raw []byte, at int64) error {
	if len(raw) == 0 {
		return nil
	}
	t.settle(raw[:min(len(raw), sampleSize)])
	if t.feeder != nil {
		text, bad := decodeLines(nil, raw, t.charset)
		t.scanned(raw)
		t.note(bad, at)
		return t.feeder.feed(text)
	}
	if t.w.cut != nil && t.in.depth == 0 && t.wide == 0 {
		t.w.cut(t, at, int64(len(raw))) // for other workers, see pieces.go
		return nil
	}
	for len(t.pending) >= 2*t.w.workers {
		t.collect()
	}
	result := make(chan blockResult, 1)
	t.pending = append(t.pending, result)
	m := <-t.w.pool
	shape, cs := t.shape, t.charset
	go func() {
		var r blockResult
		text := raw
		if cs != ascii && cs != utf8Text || !validUTF8(raw) {
			m.text, r.bad = decodeLines(m.text[:0], raw, cs)
			text = m.text
		}
		if cs == ascii || cs == utf8Text {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		r.rows = shape.rows(m, text, 1)
		m.run()
		m.take(&r.part)
		for i := range r.bad {
			r.bad[i].from += at
			r.bad[i].to += at
		}
		t.w.pool <- m
		t.scanned(raw)
		result <- r
	}()
	return nil
}

// collect takes the oldest block's result in.
func (t *texting) collect() {
	r := <-t.pending[0]
	t.pending = t.pending[1:]
	for i := range r.part.found {
		r.part.found[i].Row += t.rows
	}
	t.rows += r.rows
	t.part.found = append(t.part.found, r.part.found...)
	if t.part.columns == nil {
		t.part.columns = map[int32]*columnCount{}
	}
	for col, n := range r.part.columns {
		if t.part.columns[col] == nil {
			t.part.columns[col] = &columnCount{}
		}
		t.part.columns[col].Numbers += n.Numbers
		t.part.columns[col].Hits += n.Hits
	}
	t.note(r.bad, 0)
}

// mostRanges bounds the lines of the ledger that one text may have.
const mostRanges = 100

// note puts ranges that couldn't be decoded down.
func (t *texting) note(bad []span, at int64) {
	for _, s := range bad {
		if t.bad++; t.bad <= mostRanges {
			t.w.ledger = append(t.w.ledger, Entry{Path: t.in.path, From: at + s.from, To: at + s.to, State: Partial, Format: "line", Reason: "bytes that aren't of its encoding were passed over"})
		}
	}
}

// decodeLines appends a text in UTF-8. Lines that aren't of the charset keep what
// ASCII they have, and are named.
func decodeLines(dst, raw []byte, c charset) (_ []byte, bad []span) {
	from := len(dst)
	dst, ok := c.append(dst, raw)
	if ok {
		return dst, nil
	}
	dst = dst[:from]
	for at := 0; at < len(raw); {
		end := len(raw)
		if n := bytes.IndexByte(raw[at:], '\n'); n >= 0 {
			end = at + n + 1
		}
		before := len(dst)
		if dst, ok = c.append(dst, raw[at:end]); !ok {
			dst = dst[:before]
			for _, b := range raw[at:end] {
				if b >= utf8.RuneSelf || b == 0x1B {
					b = ' '
				}
				dst = append(dst, b)
			}
			bad = append(bad, span{int64(at), int64(end)})
		}
		at = end
	}
	return dst, bad
}

// utf16Reader gives UTF-16 in UTF-8.
type utf16Reader struct {
	r       bytesReader
	src     io.Reader
	charset charset
	in, out []byte
	begun   bool
}

func (u *utf16Reader) Read(b []byte) (int, error) {
	if u.src == nil {
		u.src = u.r.reader()
	}
	for len(u.out) == 0 {
		var buf [32 << 10]byte
		n, err := u.src.Read(buf[:])
		u.in = append(u.in, buf[:n]...)
		whole := len(u.in) &^ 1
		order := binary.ByteOrder(binary.LittleEndian)
		if u.charset == utf16BE {
			order = binary.BigEndian
		}
		if whole >= 2 && order.Uint16(u.in[whole-2:])&0xFC00 == 0xD800 && err == nil {
			whole -= 2
		}
		if err != nil && n == 0 && whole == 0 {
			return 0, err
		}
		u.out, _ = u.charset.append(u.out[:0], u.in[:whole])
		u.in = append(u.in[:0], u.in[whole:]...)
		if !u.begun && len(u.out) > 0 {
			u.out, u.begun = bytes.TrimPrefix(u.out, []byte("\ufeff")), true
		}
	}
	n := copy(b, u.out)
	u.out = u.out[n:]
	return n, nil
}
