package scan

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"azekura/leakscan"
)

// Piece is a share of a scan that another process may do: a file, or a stretch of
// a large text between two ends of records.
type Piece struct {
	Path     string   `json:"path"`
	Size     int64    `json:"size"`
	Modified int64    `json:"modified"` // nanoseconds since 1970
	Why      string   `json:"why,omitempty"`
	Stretch  *Stretch `json:"stretch,omitempty"`
}

// Stretch is a run of blocks of whole records, with what the blocks before decided.
type Stretch struct {
	Layout  uint8    `json:"layout"`
	Comma   uint8    `json:"comma,omitempty"`
	Quotes  bool     `json:"quotes,omitempty"`
	Columns *Columns `json:"columns,omitempty"`
	Blocks  []Block  `json:"blocks"`
}

// Block is a range of a file.
type Block struct {
	From    int64 `json:"from"`
	To      int64 `json:"to"`
	Charset uint8 `json:"charset"`
}

// ErrChanged means that a file isn't what it was when the scan began, so that its
// pieces don't fit together.
var ErrChanged = errors.New("a file was changed while it was scanned; scan again")

var errStretch = errors.New("a stretch isn't one of this scan")

// stretchBlocks is how many blocks make a stretch: some 64 MiB.
const stretchBlocks = 64

// List lists the files that a scan of paths reads, in the order of its results.
func List(ctx context.Context, paths []string) ([]Piece, error) {
	files, err := walk(ctx, paths)
	pieces := make([]Piece, len(files))
	for i, f := range files {
		pieces[i] = Piece{Path: f.path, Size: f.size, Modified: f.modified, Why: f.why}
	}
	return pieces, err
}

// share is what came of a piece.
type share struct {
	Done    done
	Stretch stretchDone
	Cut     int // stretches that the file was cut into, whose shares complete it
}

// stretchDone is what came of a stretch.
type stretchDone struct {
	Found   []Finding
	Columns map[int32]columnCount
	Rows    int64
	Bad     int64
	Ledger  []Entry // of lines that couldn't be decoded
}

// Came is what came of a piece.
type Came struct {
	Result []byte `json:"result"` // for Join
	// More are the stretches of a large text, which wasn't scanned but cut: for anyone
	// to do.
	More []Piece `json:"more,omitempty"`
}

// Doer does pieces: as Do does, or by another process.
type Doer func(ctx context.Context, o Options, pieces []Piece) ([]Came, error)

// By is Do with an index.
func By(index *leakscan.Index) Doer {
	return func(ctx context.Context, o Options, pieces []Piece) ([]Came, error) { return Do(ctx, index, o, pieces) }
}

// Uncut is a stretch that no file is longer than.
const Uncut = 1 << 31

// Do does pieces. Options' paths and journal aren't looked at.
func Do(ctx context.Context, index *leakscan.Index, o Options, pieces []Piece) ([]Came, error) {
	r, err := newRunner(index, o)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(r.temp)
	came := make([]Came, len(pieces))
	err = r.each(ctx, len(pieces), func(w *work, i int) (err error) {
		came[i], err = r.piece(w, pieces[i])
		return err
	})
	return came, err
}

func (r *runner) piece(w *work, p Piece) (came Came, err error) {
	var s share
	if p.Stretch != nil {
		err = r.stretch(w, p, &s.Stretch)
	} else if came.More, err = r.whole(w, p, &s.Done); err == nil {
		s.Cut = len(came.More)
	}
	if err != nil {
		return came, err
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(s); err != nil {
		return came, fmt.Errorf("write what came of a piece: %w", err)
	}
	came.Result = b.Bytes()
	return came, nil
}

// whole scans a file, or cuts it.
func (r *runner) whole(w *work, p Piece, to *done) ([]Piece, error) {
	f := file{p.Path, p.Size, p.Modified, p.Why}
	if f.why == "" && f.size > 2*int64(r.o.Stretch)*blockSize {
		more, again, err := r.cut(w, f, to)
		if err != nil || !again {
			return more, err
		}
	}
	return nil, r.one(w, f, to)
}

// cut reads a large file to its end, for its sum and for the ends of its blocks, as
// the scan itself finds them. Where the file isn't a text in which blocks stand by
// themselves it is scanned by this; a text that is out of the ordinary is to be
// scanned again, by itself.
func (r *runner) cut(w *work, f file, to *done) (more []Piece, again bool, err error) {
	fits := true
	var s Stretch
	w.cut = func(t *texting, at, size int64) {
		shape := Stretch{Layout: uint8(t.shape.layout), Comma: t.shape.comma, Quotes: t.shape.quotes, Columns: t.shape.columns}
		if len(s.Blocks) == 0 {
			s = shape
		}
		// ISO-2022-JP's state may reach over the end of a line.
		fits = fits && s.Layout == shape.Layout && s.Comma == shape.Comma && s.Quotes == shape.Quotes && s.Columns == shape.Columns && t.charset != iso2022JP
		s.Blocks = append(s.Blocks, Block{at, at + size, uint8(t.charset)})
	}
	err = w.file(f)
	w.cut = nil
	if err != nil {
		return nil, false, err
	}
	*to = done{Index: r.index.Sum(), Path: f.path, Size: f.size, Modified: f.modified}
	if len(s.Blocks) == 0 {
		r.keep(w, to)
		return nil, false, nil
	}
	if !fits || len(w.ledger) != 1 || w.ledger[0].State != Parsed || w.ledger[0].To != f.size || len(w.parts) != 0 {
		return nil, true, nil
	}
	to.Ledger = w.ledger
	for from := 0; from < len(s.Blocks); from += r.o.Stretch {
		one := s
		one.Blocks = s.Blocks[from:min(from+r.o.Stretch, len(s.Blocks))]
		more = append(more, Piece{Path: f.path, Size: f.size, Modified: f.modified, Stretch: &one})
	}
	return more, false, nil
}

// stretch scans one.
func (r *runner) stretch(w *work, p Piece, to *stretchDone) error {
	file, err := os.Open(p.Path)
	if err != nil {
		return fmt.Errorf("%w: it can't be opened any more", ErrChanged)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() != p.Size || info.ModTime().UnixNano() != p.Modified {
		return ErrChanged
	}
	if w.limits.Time > 0 {
		w.until = time.Now().Add(w.limits.Time)
	}
	if c := p.Stretch.Columns; c != nil && !c.valid() || c == nil && layout(p.Stretch.Layout) == fixed {
		return errStretch
	}
	in := w.input(p.Path, file, p.Size, 0)
	t := &texting{w: w, in: in, entry: &Entry{}, part: placed{path: p.Path}, decided: true}
	for _, b := range p.Stretch.Blocks {
		if err = w.ctx.Err(); err != nil {
			break
		}
		if b.From < 0 || b.To <= b.From || b.To > p.Size || b.To-b.From > 2*longestLine || int(b.Charset) >= len(charsetNames) {
			err = errStretch
			break
		}
		raw := make([]byte, b.To-b.From)
		if _, err = file.ReadAt(raw, b.From); err != nil && !errors.Is(err, io.EOF) {
			err = ErrChanged
			break
		}
		t.charset = charset(b.Charset)
		t.shape = shape{layout: layout(p.Stretch.Layout), comma: p.Stretch.Comma, quotes: p.Stretch.Quotes, columns: p.Stretch.Columns}
		if err = t.block(raw, b.From); err != nil {
			break
		}
	}
	for len(t.pending) > 0 {
		t.collect()
	}
	if err != nil {
		return err
	}
	*to = stretchDone{Found: t.part.found, Columns: map[int32]columnCount{}, Rows: t.rows, Bad: t.bad, Ledger: w.ledger}
	for col, n := range t.part.columns {
		to.Columns[col] = *n
	}
	return nil
}

// Join makes a result of what came of a scan's pieces: of each file, in List's
// order, and, where Do cut it, of its stretches, counted from 0.
func Join(index *leakscan.Index, files int, load func(file, stretch int) ([]byte, error)) (*Result, error) {
	all := make([]done, files)
	for n := range all {
		s, err := loadShare(load, n, -1)
		if err != nil {
			return nil, err
		}
		all[n] = s.Done
		if s.Done.Index != index.Sum() || len(s.Done.Ledger) == 0 {
			return nil, errors.New("what came of a piece belongs to another index")
		}
		if s.Cut > 0 {
			if err := all[n].complete(index, s.Cut, func(k int) (stretchDone, error) {
				part, err := loadShare(load, n, k)
				return part.Stretch, err
			}); err != nil {
				return nil, err
			}
		}
	}
	return gather(index, all)
}

func loadShare(load func(file, stretch int) ([]byte, error), file, stretch int) (s share, err error) {
	raw, err := load(file, stretch)
	if err == nil {
		err = gob.NewDecoder(bytes.NewReader(raw)).Decode(&s)
	}
	if err != nil {
		return s, fmt.Errorf("read what came of a piece: %w", err)
	}
	return s, nil
}

// complete puts a cut file together, as texting does with its blocks.
func (d *done) complete(index *leakscan.Index, stretches int, load func(n int) (stretchDone, error)) error {
	e := &d.Ledger[0]
	part := placed{path: d.Path, encoding: e.Encoding, columns: map[int32]*columnCount{}}
	var bad int64
	for n := range stretches {
		s, err := load(n)
		if err != nil {
			return err
		}
		for i := range s.Found {
			s.Found[i].Row += d.Ledger[0].Records
		}
		part.found = append(part.found, s.Found...)
		for col, count := range s.Columns {
			if part.columns[col] == nil {
				part.columns[col] = &columnCount{}
			}
			part.columns[col].Numbers += count.Numbers
			part.columns[col].Hits += count.Hits
		}
		d.Ledger[0].Records += s.Rows
		bad += s.Bad
		d.Ledger = append(d.Ledger, s.Ledger[:max(0, min(len(s.Ledger), mostRanges+1-len(d.Ledger)))]...)
	}
	if e = &d.Ledger[0]; bad > 0 {
		e.State, e.Reason = Partial, errLines
	}
	if len(part.found) > 0 || len(part.columns) > 0 {
		settleColumns(part, index.People())
		d.Parts = []donePart{{part.path, part.encoding, part.found, numbersOf(part)}}
	}
	return nil
}
