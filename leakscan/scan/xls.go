package scan

import (
	"encoding/binary"
	"io"
	"math"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// ole reads what lies in a compound file: of its kinds, workbooks alone.
func (w *work) ole(in *input, entry *Entry) error {
	at, size := in.file, in.size
	if at == nil {
		var done func()
		var err error
		if at, size, done, err = w.spool(in); err != nil {
			return err
		}
		defer done()
	}
	c, entries, err := openCompound(at, size, w.spend)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.kind == 2 && e.name == "Workbook" {
			entry.Format = "xls"
			raw, err := c.stream(e)
			if err != nil {
				return err
			}
			return w.xls(in, raw)
		}
	}
	entry.State, entry.Reason = Unsupported, "an old office document or a message"
	return nil
}

func (w *work) oleText(in *input) error { return w.ole(in, &Entry{}) }

// xls reads a workbook of Excel 97 to 2003 ([MS-XLS], BIFF8), its cells as xlsx does.
type xls struct {
	w       *work
	strings []string
	formats []cellFormat
	from    time.Time
}

// The records that are read.
const (
	xlsBOF        = 0x0809
	xlsEOF        = 0x000A
	xlsContinue   = 0x003C
	xlsDate1904   = 0x0022
	xlsFilePass   = 0x002F
	xlsBoundSheet = 0x0085
	xlsSST        = 0x00FC
	xlsFormat     = 0x041E
	xlsXF         = 0x00E0
	xlsLabelSST   = 0x00FD
	xlsLabel      = 0x0204
	xlsRString    = 0x00D6
	xlsNumber     = 0x0203
	xlsRK         = 0x027E
	xlsMulRK      = 0x00BD
	xlsFormula    = 0x0006
	xlsString     = 0x0207
)

// xlsRecords cuts a stream; what continues a record comes with it, in pieces.
func xlsRecords(b []byte, f func(kind uint16, pieces [][]byte) (more bool, err error)) error {
	for len(b) >= 4 {
		kind, size := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		if size > len(b)-4 {
			return io.ErrUnexpectedEOF
		}
		pieces := [][]byte{b[4 : 4+size]}
		b = b[4+size:]
		for len(b) >= 4 && binary.LittleEndian.Uint16(b) == xlsContinue {
			size := int(binary.LittleEndian.Uint16(b[2:]))
			if size > len(b)-4 {
				return io.ErrUnexpectedEOF
			}
			pieces = append(pieces, b[4:4+size])
			b = b[4+size:]
		}
		if more, err := f(kind, pieces); !more || err != nil {
			return err
		}
	}
	return io.ErrUnexpectedEOF // before its end's mark
}

// xlsSheet is a sheet's name and where it begins.
type xlsSheet struct {
	name string
	from uint32
}

func (w *work) xls(in *input, raw []byte) error {
	b := &xls{w: w, from: time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)}
	own := map[string]string{}
	var styles []string
	var sheets []xlsSheet
	le := binary.LittleEndian
	err := xlsRecords(raw, func(kind uint16, pieces [][]byte) (bool, error) {
		r := pieces[0]
		switch {
		case kind == xlsEOF:
			return false, nil
		case kind == xlsFilePass:
			return false, errPassword
		case kind == xlsDate1904 && len(r) >= 2 && le.Uint16(r) == 1:
			b.from = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
		case kind == xlsBoundSheet && len(r) >= 8 && len(sheets) < mostSheets:
			t := &xlsText{pieces: [][]byte{r[6:]}}
			name, _ := t.string(1)
			sheets = append(sheets, xlsSheet{name, le.Uint32(r)})
		case kind == xlsFormat && len(r) >= 5 && len(own) < 10_000:
			t := &xlsText{pieces: [][]byte{r[2:]}}
			own[strconv.Itoa(int(le.Uint16(r)))], _ = t.string(2)
		case kind == xlsXF && len(r) >= 4 && len(styles) < 1<<16:
			styles = append(styles, strconv.Itoa(int(le.Uint16(r[2:]))))
		case kind == xlsSST:
			return true, b.shared(pieces)
		}
		return true, w.spend(0)
	})
	if err != nil {
		return err
	}
	for _, id := range styles {
		code, given := own[id]
		b.formats = append(b.formats, formatOf(id, code, given))
	}
	for _, s := range sheets {
		rows := w.sheetRows(joinPath(in.path, s.name), "sheet")
		err := error(errBook)
		if int64(s.from) < int64(len(raw)) {
			err = b.sheet(raw[s.from:], rows)
		}
		if err := rows.end(err); err != nil {
			return err
		}
	}
	return nil
}

// shared reads the strings that cells name by number.
func (b *xls) shared(pieces [][]byte) error {
	if len(pieces[0]) < 8 {
		return errBook
	}
	n := binary.LittleEndian.Uint32(pieces[0][4:])
	pieces[0] = pieces[0][8:]
	t := &xlsText{pieces: pieces}
	for range n {
		s, ok := t.string(2)
		if !ok {
			return errBook
		}
		b.strings = append(b.strings, s)
	}
	return nil
}

// xlsText reads strings that may go on in the next piece, where their way to write
// characters is said again.
type xlsText struct{ pieces [][]byte }

func (t *xlsText) take(n int) ([]byte, bool) {
	for len(t.pieces) > 0 && len(t.pieces[0]) == 0 {
		t.pieces = t.pieces[1:]
	}
	if len(t.pieces) == 0 || len(t.pieces[0]) < n {
		return nil, false
	}
	b := t.pieces[0][:n]
	t.pieces[0] = t.pieces[0][n:]
	return b, true
}

// skip passes over bytes, from piece to piece.
func (t *xlsText) skip(n int) bool {
	for n > 0 {
		for len(t.pieces) > 0 && len(t.pieces[0]) == 0 {
			t.pieces = t.pieces[1:]
		}
		if len(t.pieces) == 0 {
			return false
		}
		k := min(n, len(t.pieces[0]))
		t.pieces[0], n = t.pieces[0][k:], n-k
	}
	return true
}

// string reads one, whose length has so many bytes.
func (t *xlsText) string(lengthSize int) (string, bool) {
	head, ok := t.take(lengthSize + 1)
	if !ok {
		return "", false
	}
	n, flags := int(head[0]), head[lengthSize]
	if lengthSize == 2 {
		n |= int(head[1]) << 8
	}
	tail := 0
	if flags&8 != 0 { // runs of other fonts
		b, ok := t.take(2)
		if !ok {
			return "", false
		}
		tail += 4 * int(binary.LittleEndian.Uint16(b))
	}
	if flags&4 != 0 { // readings
		b, ok := t.take(4)
		if !ok {
			return "", false
		}
		tail += int(binary.LittleEndian.Uint32(b) & 0xFFFFFF)
	}
	units := make([]uint16, 0, min(n, 4096))
	for wide := flags&1 != 0; len(units) < n; {
		if len(t.pieces) == 0 {
			return "", false
		}
		p := t.pieces[0]
		for len(units) < n && len(p) > 0 && (!wide || len(p) > 1) {
			if wide {
				units, p = append(units, binary.LittleEndian.Uint16(p)), p[2:]
			} else {
				units, p = append(units, uint16(p[0])), p[1:]
			}
		}
		if t.pieces[0] = p; len(units) == n {
			break
		}
		if t.pieces = t.pieces[1:]; len(t.pieces) == 0 || len(t.pieces[0]) == 0 {
			return "", false
		}
		wide, t.pieces[0] = t.pieces[0][0]&1 != 0, t.pieces[0][1:]
	}
	return string(utf16.Decode(units)), t.skip(tail)
}

// sheet reads one sheet's cells. They come row by row.
func (b *xls) sheet(raw []byte, rows *sheetRows) error {
	le := binary.LittleEndian
	row, first, pending := int64(-1), true, -1
	cell := func(r []byte, col int, text []byte) error {
		if n := int64(le.Uint16(r)) + 1; n != row {
			row = n
			if err := rows.begin(row); err != nil {
				return err
			}
		}
		rows.cell(text, int32(col)+1)
		return b.w.spend(len(text))
	}
	var last []byte // of the formula whose text follows
	return xlsRecords(raw, func(kind uint16, pieces [][]byte) (bool, error) {
		r := pieces[0]
		if first {
			if first = false; kind != xlsBOF {
				return false, errBook
			}
			return true, nil
		}
		if kind == xlsEOF {
			return false, nil
		}
		if kind == xlsString && pending >= 0 {
			t := &xlsText{pieces: pieces}
			s, _ := t.string(2)
			col := pending
			pending = -1
			return true, cell(last, col, []byte(s))
		}
		if len(r) < 6 {
			return true, nil
		}
		col, style := int(le.Uint16(r[2:])), int(le.Uint16(r[4:]))
		switch {
		case kind == xlsLabelSST && len(r) >= 10:
			if n := le.Uint32(r[6:]); int64(n) < int64(len(b.strings)) {
				return true, cell(r, col, []byte(b.strings[n]))
			}
			return true, errBook
		case kind == xlsLabel || kind == xlsRString:
			t := &xlsText{pieces: append([][]byte{r[6:]}, pieces[1:]...)}
			s, _ := t.string(2)
			return true, cell(r, col, []byte(s))
		case kind == xlsNumber && len(r) >= 14:
			return true, cell(r, col, b.number(math.Float64frombits(le.Uint64(r[6:])), style))
		case kind == xlsRK && len(r) >= 10:
			return true, cell(r, col, b.number(rk(le.Uint32(r[6:])), style))
		case kind == xlsMulRK:
			for i, c := 4, col; i+6 <= len(r)-2; i, c = i+6, c+1 {
				if err := cell(r, c, b.number(rk(le.Uint32(r[i+2:])), int(le.Uint16(r[i:])))); err != nil {
					return false, err
				}
			}
		case kind == xlsFormula && len(r) >= 14:
			if le.Uint16(r[12:]) != 0xFFFF {
				return true, cell(r, col, b.number(math.Float64frombits(le.Uint64(r[6:])), style))
			}
			if r[6] == 0 {
				last, pending = r, col
			}
		}
		return true, nil
	})
}

// rk is a number in 30 bits: whole or the upper part of a float, in hundredths or not.
func rk(x uint32) float64 {
	n := math.Float64frombits(uint64(x&^3) << 32)
	if x&2 != 0 {
		n = float64(int32(x) >> 2)
	}
	if x&1 != 0 {
		n /= 100
	}
	return n
}

func (b *xls) number(n float64, style int) []byte {
	var f cellFormat
	if style < len(b.formats) {
		f = b.formats[style]
	}
	text := strconv.AppendFloat(nil, n, 'f', -1, 64)
	if text = shown(text, f, b.from); !utf8.Valid(text) {
		return nil
	}
	return text
}
