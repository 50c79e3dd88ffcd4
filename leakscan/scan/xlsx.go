package scan

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"path"
	"strconv"
	"strings"
	"time"
)

// workbook reads a workbook (ECMA-376, XLSX) as a stream: its shared strings are
// kept, its sheets pass by. A sheet is a part of its own; a cell is what it shows:
// a date where its format is one, with the zeros in front that its format adds. The
// readings that stand over kanji (furigana) are cells beside them.
type workbook struct {
	w       *work
	in      *input
	parts   map[string]*zip.File
	strings shared
	formats []cellFormat // by the number of a cell's style
	from    time.Time    // day 0
}

// shared are the strings that cells name by number.
type shared struct {
	bytes []byte
	ends  []int // of each, and of its reading
}

// mostSharedBytes bounds the strings that are kept: a workbook has at most a
// million rows a sheet.
const mostSharedBytes = 512 << 20

var errShared = errors.New("its shared strings pass 512 MiB: the cells that need the rest aren't read")

// cellFormat is how a number shows.
type cellFormat struct {
	date  bool
	zeros uint8 // digits at least
}

func (w *work) workbook(in *input, z *zip.Reader) error {
	b := &workbook{w: w, in: in, parts: map[string]*zip.File{}, from: time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)}
	for _, f := range z.File {
		b.parts[strings.TrimPrefix(f.Name, "/")] = f
	}
	sheets, err := b.sheets()
	if err != nil {
		return err
	}
	if err := b.styles(); err != nil {
		return err
	}
	partial := b.readShared()
	if partial != nil && !errors.Is(partial, errShared) {
		return partial
	}
	for _, s := range sheets {
		if err := b.sheet(s); err != nil {
			return err
		}
	}
	for _, f := range z.File {
		// Comments, text boxes and documents that were put in.
		if strings.HasPrefix(f.Name, "xl/comments") || strings.HasPrefix(f.Name, "xl/drawings/drawing") || strings.HasPrefix(f.Name, "xl/embeddings/") {
			if err := w.member(in, f); err != nil {
				return err
			}
		}
	}
	return partial
}

// each calls f with each tag and text of a part; one that isn't there has none.
func (b *workbook) each(name string, f func(t token) error) error {
	return b.eachBut(name, func(*xmlScanner) bool { return false }, f)
}

// eachBut is each, but for what usual takes from the scanner by itself.
func (b *workbook) eachBut(name string, usual func(x *xmlScanner) bool, f func(t token) error) error {
	part := b.parts[name]
	if part == nil {
		return nil
	}
	if part.Flags&1 != 0 {
		return errPassword
	}
	r, err := part.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	x := newXMLScanner(&counter{r: r, w: b.w})
	defer x.close()
	for {
		if usual(x) {
			continue
		}
		t, err := x.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = f(t)
		}
		if err != nil {
			return err
		}
	}
}

// sheetPart is a sheet's name and part.
type sheetPart struct{ name, part string }

func (b *workbook) sheets() (sheets []sheetPart, err error) {
	targets := map[string]string{}
	err = b.each("xl/_rels/workbook.xml.rels", func(t token) error {
		if name, opens, _ := t.named(); opens && string(name) == "Relationship" && len(targets) < mostSheets {
			targets[string(t.attr("Id"))] = partName(string(t.attr("Target")))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = b.each("xl/workbook.xml", func(t token) error {
		switch name, opens, _ := t.named(); {
		case !opens:
		case string(name) == "sheet" && len(sheets) < mostSheets:
			title := appendText(nil, token{text: t.attr("name")})
			id := t.attr("r:id")
			if id == nil {
				id = t.attr("id")
			}
			sheets = append(sheets, sheetPart{string(bytes.ToValidUTF8(title, []byte("\uFFFD"))), targets[string(id)]})
		case string(name) == "workbookPr" && isTrue(t.attr("date1904")):
			b.from = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		return nil
	})
	return sheets, err
}

const mostSheets = 10_000

func isTrue(b []byte) bool { return string(b) == "1" || string(b) == "true" }

// partName is where a relation of the workbook's points to.
func partName(target string) string {
	if after, absolute := strings.CutPrefix(target, "/"); absolute {
		return after
	}
	return path.Join("xl", target)
}

// styles reads which numbers are dates, and which show zeros in front.
func (b *workbook) styles() error {
	own := map[string]string{}
	inCells := false
	return b.each("xl/styles.xml", func(t token) error {
		name, opens, closes := t.named()
		switch string(name) {
		case "numFmt":
			if opens && len(own) < 10_000 {
				own[string(t.attr("numFmtId"))] = string(appendText(nil, token{text: t.attr("formatCode")}))
			}
		case "cellXfs":
			inCells = opens && !closes
		case "xf":
			if opens && inCells && len(b.formats) < 1<<16 {
				id := string(t.attr("numFmtId"))
				code, given := own[id]
				b.formats = append(b.formats, formatOf(id, code, given))
			}
		}
		return nil
	})
}

// formatOf reads a number's format: one of those that every workbook has (ECMA-376
// 18.8.30, the Japanese ones too), or the workbook's own.
func formatOf(id, code string, given bool) cellFormat {
	if !given {
		n, _ := strconv.Atoi(id)
		return cellFormat{date: n >= 14 && n <= 22 || n >= 27 && n <= 36 || n >= 45 && n <= 47 || n >= 50 && n <= 58}
	}
	code, _, _ = strings.Cut(code, ";")
	var plain strings.Builder
	for i := 0; i < len(code); i++ {
		switch code[i] {
		case '"':
			if at := strings.IndexByte(code[i+1:], '"'); at >= 0 {
				i += at + 1
			}
		case '[':
			if at := strings.IndexByte(code[i:], ']'); at >= 0 {
				i += at
			}
		case '\\', '_', '*':
			i++
		default:
			plain.WriteByte(code[i] | 0x20)
		}
	}
	text := plain.String()
	if text != "" && strings.Trim(text, "0") == "" && len(text) <= 16 { // '0' has the bit of 0x20
		return cellFormat{zeros: uint8(len(text))}
	}
	return cellFormat{date: strings.ContainsAny(text, "yd") || strings.Contains(text, "gg") || strings.Contains(text, "ee")}
}

// readShared keeps the shared strings: each si is one, its runs put together, its
// readings (rPh) apart.
func (b *workbook) readShared() error {
	s := &b.strings
	reading, inText := false, false
	var readings []byte
	usual := func(x *xmlScanner) bool {
		if reading || len(s.bytes) > mostSharedBytes || len(s.ends) > mostSharedBytes/8 {
			return false
		}
		_, text, ok := x.leaf("<si>", "<t>", "</t></si>")
		if ok {
			inText, readings = false, readings[:0]
			s.bytes = appendText(s.bytes, token{text: text})
			s.ends = append(s.ends, len(s.bytes), len(s.bytes))
		}
		return ok
	}
	return b.eachBut("xl/sharedStrings.xml", usual, func(t token) error {
		if t.tag == nil {
			switch {
			case !inText:
			case reading:
				readings = appendText(readings, t)
			default:
				s.bytes = appendText(s.bytes, t)
			}
			return nil
		}
		name, opens, closes := t.named()
		switch string(name) {
		case "t":
			inText = opens && !closes
		case "rPh":
			reading = opens && !closes
		case "si":
			if opens {
				readings = readings[:0]
			}
			if closes {
				s.ends = append(s.ends, len(s.bytes))
				s.bytes = append(s.bytes, readings...)
				s.ends = append(s.ends, len(s.bytes))
			}
			if len(s.bytes) > mostSharedBytes || len(s.ends) > mostSharedBytes/8 {
				return errShared
			}
		}
		return nil
	})
}

// get is a string and its reading.
func (s *shared) get(number []byte) (text, reading []byte) {
	n, err := strconv.Atoi(str(number))
	if err != nil || n < 0 || 2*n+1 >= len(s.ends) {
		return nil, nil
	}
	from := 0
	if n > 0 {
		from = s.ends[2*n-1]
	}
	return s.bytes[from:s.ends[2*n]], s.bytes[s.ends[2*n]:s.ends[2*n+1]]
}

// sheet reads one, and puts it in the ledger.
func (b *workbook) sheet(s sheetPart) error {
	p := placed{path: joinPath(b.in.path, s.name), encoding: utf8Text.String()}
	entry := Entry{Path: p.path, State: Parsed, Format: "sheet", Encoding: p.encoding}
	part := b.parts[s.part]
	if part == nil {
		entry.State, entry.Reason = Failed, "the workbook names it and has it not"
		b.w.ledger = append(b.w.ledger, entry)
		return nil
	}
	entry.To = int64(min(part.CompressedSize64, 1<<62))
	f := &sheetFeeder{b: b, m: b.w.matcher(1)}
	err := b.eachBut(s.part, f.usual, f.token)
	f.flush()
	f.m.run()
	f.m.take(&p)
	b.w.gather(p)
	entry.Records = f.rows
	if err != nil {
		entry.State, entry.Reason = Partial, reason(err)
	}
	b.w.ledger = append(b.w.ledger, entry)
	if errors.Is(err, errBudget) || errors.Is(err, errTime) || b.w.ctx.Err() != nil {
		return err
	}
	return nil // another sheet may be whole
}

// sheetFeeder makes records of a sheet's rows.
type sheetFeeder struct {
	b       *workbook
	m       *matcher
	rows    int64
	row     int64
	col     int32
	kind    byte // of the cell's value: n, s (shared), t (text in place), b, e
	style   int
	inValue bool // in v, or in t of a text in place
	reading bool
	value   []byte
	open    bool // a row has begun in the matcher
}

func (f *sheetFeeder) token(t token) error {
	if t.tag == nil {
		if f.inValue && !f.reading && len(f.value) < longestText {
			f.value = appendText(f.value, t)
		}
		return nil
	}
	name, opens, closes := t.named()
	switch string(name) {
	case "row":
		if opens {
			f.flush()
			f.begin(t)
		}
	case "c":
		if opens {
			f.cell(t)
		}
		if closes {
			f.keep()
		}
	case "v", "t":
		f.inValue = opens && !closes
	case "rPh":
		f.reading = opens && !closes
	}
	return nil
}

// usual takes a cell as nearly all programs write it, with a value and nothing else.
func (f *sheetFeeder) usual(x *xmlScanner) bool {
	if f.reading {
		return false
	}
	tag, value, ok := x.leaf("<c ", "<v>", "</v></c>")
	if ok {
		f.inValue = false
		f.cell(token{tag: tag})
		f.value = appendText(f.value, token{text: value})
		f.keep()
	}
	return ok
}

func (f *sheetFeeder) begin(t token) {
	f.rows++
	f.row++
	if n, err := strconv.ParseInt(str(t.attr("r")), 10, 64); err == nil && n > 0 && n <= 1<<24 {
		f.row = n
	}
	f.col = 0
	f.m.begin(f.row, true)
	f.open = true
}

// cell begins one: where it stands, and what its value is.
func (f *sheetFeeder) cell(t token) {
	f.value, f.kind, f.style = f.value[:0], 'n', -1
	f.col++
	if col := column(t.attr("r")); col > 0 {
		f.col = col
	}
	switch string(t.attr("t")) {
	case "s":
		f.kind = 's'
	case "str", "inlineStr", "d":
		f.kind = 't'
	case "b", "e":
		f.kind = 'b'
	}
	if s := t.attr("s"); s != nil {
		if n, err := strconv.Atoi(str(s)); err == nil {
			f.style = n
		}
	}
}

// column reads the letters of a place such as AB12; 0 if there are none.
func column(place []byte) (col int32) {
	for _, c := range place {
		if c < 'A' || c > 'Z' || col > 16384 {
			break
		}
		col = col*26 + int32(c-'A'+1)
	}
	return col
}

// keep hands a cell on.
func (f *sheetFeeder) keep() {
	if len(f.value) == 0 || !f.open {
		return
	}
	switch f.kind {
	case 's':
		text, reading := f.b.strings.get(f.value)
		f.m.cell(text, f.col) // they stay as long as the workbook
		f.m.cell(reading, f.col)
		return
	case 'b':
		return
	case 'n':
		format := cellFormat{}
		if f.style >= 0 && f.style < len(f.b.formats) {
			format = f.b.formats[f.style]
		}
		f.value = shown(f.value, format, f.b.from)
	}
	from := len(f.m.scratch)
	f.m.scratch = append(f.m.scratch, f.value...)
	f.m.cell(f.m.scratch[from:len(f.m.scratch):len(f.m.scratch)], f.col)
}

// shown is a number as its cell shows it.
func shown(value []byte, format cellFormat, from time.Time) []byte {
	if len(value) > 32 {
		return value
	}
	if whole := allDigits(value); !whole || format.date {
		n, err := strconv.ParseFloat(string(value), 64)
		if err != nil || n < 0 || n > 1e15 {
			return value
		}
		if format.date && n < 2_958_466 { // 31 December 9999
			return from.AddDate(0, 0, int(n)).AppendFormat(value[:0], "2006-01-02")
		}
		if n != float64(int64(n)) {
			return value
		}
		value = strconv.AppendInt(value[:0], int64(n), 10) // 1.2345E+9
	}
	if short := int(format.zeros) - len(value); short > 0 {
		value = append(bytes.Repeat([]byte{'0'}, short), value...)
	}
	return value
}

func allDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

func (f *sheetFeeder) flush() {
	f.open = false
	if len(f.m.cells) >= cellsAtOnce {
		f.m.run()
	}
}
