// Package rowfile reads the files that an import is made from: CSV in UTF-8 or
// CP932, and NDJSON. It guards the import against the file: a row is at most
// MaxRow bytes, memory is bounded whatever the file holds, and a row that can't
// be read is reported and passed over instead of ending the reading or shifting
// into its neighbour.
//
// It promises that the same bytes give the same rows, also when reading resumes
// at any row's End; that a row's texts are valid UTF-8 without control
// characters other than line feeds inside quotes; that user-defined characters
// of CP932 (外字) come through as private-use characters, never as U+FFFD; and that
// no error or Problem holds anything out of the file, not even a header's
// unknown column, which in a file without header is a person's name.
//
// It doesn't promise that a value is one: register/value decides that.
package rowfile

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"azekura/register/value"
)

// MaxRow is the longest row in bytes, without its line end.
const MaxRow = 64 << 10

// The formats and encodings of Options, beside "auto".
const (
	Auto  = "auto"
	CSV   = "csv"
	JSON  = "ndjson"
	UTF8  = "utf-8"
	CP932 = "cp932"
)

// Why a row can't be read. A quote that is wrong makes its first line the bad
// row, and reading goes on at the next: better one row lost than all up to the
// next quote.
const (
	TooLong     value.Reason = "row is longer than 65,536 bytes"
	OpenQuote   value.Reason = "a quote is never closed"
	StrayQuote  value.Reason = "a quote inside a field that doesn't begin with one, or text after a closing quote"
	BadEncoding value.Reason = "bytes that the file's encoding doesn't have"
	Control     value.Reason = "holds a control character"
	NotObject   value.Reason = "not one JSON object of texts on one line"
	TwiceKey    value.Reason = "a key stands twice"
	UnknownKey  value.Reason = "a key that isn't a column"
	NotString   value.Reason = "not a text in quotes; leave the key out where there is no value"
	BadEscape   value.Reason = "an escape that JSON doesn't have, or half of a surrogate pair"
)

// Options says what the file is; "" means Auto.
type Options struct {
	Format   string // auto, csv or ndjson
	Encoding string // auto, utf-8 or cp932
}

// Row is one row. Bad and Former are overwritten by the next call of Next; the
// texts of Raw and Former stay what they are (each row's have memory of their
// own).
type Row struct {
	N          int64 // 1 for the first row of data; empty lines and the header don't count
	Start, End int64 // byte range in the file; Resume takes End
	Raw        value.Raw
	Former     []value.RawFormer // earlier names and addresses, oldest first (NDJSON)
	Bad        []value.Problem   // why the row couldn't be read; Raw and Former are then empty
}

// bad makes the row a bad one.
func (row *Row) bad(column string, why value.Reason) {
	row.Raw, row.Former = value.Raw{}, row.Former[:0]
	row.Bad = append(row.Bad, value.Problem{Column: column, Reason: why})
}

// Reader reads the rows of one file. It isn't safe for concurrent use.
type Reader struct {
	w        window
	format   string
	encoding string
	body     int64 // where the first row may begin
	row      int64 // rows read

	columns []value.Column // CSV: the header's
	spans   []span
	scratch []byte // CSV: unquoted fields
	decoded []byte // CP932: fields in UTF-8

	order [value.Columns]value.Column // NDJSON: the columns in the order of the last row's keys
}

// span is one field within a text.
type span struct{ from, to int }

// Open finds out what the file is, and reads a CSV's header. An error says what
// is wrong with the file and what to do.
func Open(r io.ReaderAt, size int64, o Options) (*Reader, error) {
	reader := &Reader{w: window{src: r, size: size, buf: make([]byte, max(0, min(size, bufferSize)))}}
	bom, err := reader.detect(o)
	if err != nil {
		return nil, err
	}
	reader.body = bom
	reader.w.seek(bom)
	if reader.format == CSV {
		if err := reader.header(); err != nil {
			return nil, err
		}
	}
	return reader, nil
}

// Encoding is utf-8 or cp932.
func (r *Reader) Encoding() string { return r.encoding }

// Format is csv or ndjson.
func (r *Reader) Format() string { return r.format }

// Resume goes on after a row that was read before, by this Reader or by another
// of the same file: offset is its End and row its N. 0 and 0 begin anew.
func (r *Reader) Resume(offset, row int64) error {
	if offset == 0 && row == 0 {
		offset = r.body
	}
	if offset < r.body || offset > r.w.size || row < 0 {
		return errors.New("can't resume: the position isn't in the file's rows; is it the same file?")
	}
	if offset > r.body && offset < r.w.size {
		var before [1]byte
		if err := readFull(r.w.src, before[:], offset-1); err != nil {
			return err
		}
		if before[0] != '\n' {
			return errors.New("can't resume: the position isn't at the end of a row; is it the same file?")
		}
	}
	r.w.seek(offset)
	r.row = row
	return nil
}

// Next reads a row into row; io.EOF after the last. A row that can't be read is
// no error: it has Bad. An error means that the file itself can't be read, and
// says at which byte.
func (r *Reader) Next(row *Row) error {
	row.Bad, row.Former = row.Bad[:0], row.Former[:0]
	row.Raw = value.Raw{}
	if err := r.w.skipEmpty(r.format == JSON); err != nil {
		return err
	}
	r.row++
	row.N, row.Start = r.row, r.w.offset()
	var err error
	if r.format == CSV {
		err = r.nextCSV(row)
	} else {
		err = r.nextJSON(row)
	}
	row.End = r.w.offset()
	return err
}

// header reads the CSV's first row, which names the columns.
func (r *Reader) header() error {
	if err := r.w.skipEmpty(false); err != nil {
		if err == io.EOF {
			return errors.New("the file is empty; the first line must be the header: " + allowed())
		}
		return err
	}
	text, spans, end, why := r.split()
	if why != "" {
		return fmt.Errorf("can't read the header: %s; the first line must name the columns: %s", why, allowed())
	}
	var seen [value.Columns]bool
	for i, s := range spans {
		c, ok := value.ColumnNamed(strings.TrimSpace(string(text[s.from:s.to])))
		if !ok {
			// Without a header, this is a person's: so its place, not its text.
			return fmt.Errorf("column %d of the header has no name that is known; the first line must name the columns, which are: %s", i+1, allowed())
		}
		if seen[c] {
			return fmt.Errorf("the header has the column %s twice; leave one out", c)
		}
		seen[c] = true
		r.columns = append(r.columns, c)
	}
	for c := range value.Column(value.Columns) {
		if c.Required() && !seen[c] {
			return fmt.Errorf("the header has no column %s; ref, number, name and birth are required", c)
		}
	}
	r.w.pos += end
	r.body = r.w.offset()
	return nil
}

func allowed() string {
	names := make([]string, value.Columns)
	for i := range names {
		names[i] = value.Column(i).String()
	}
	return strings.Join(names, ", ")
}
