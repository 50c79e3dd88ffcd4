package scan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// database reads an SQLite file (sqlite.org/fileformat2.html) by its pages alone: no
// SQL of the file's is run, and its views and generated columns aren't made. A table
// is a part of its own, without rowid or with. What a write-ahead log beside it holds
// isn't in it yet.
type database struct {
	w        *work
	at       io.ReaderAt
	size     int64
	page     int // bytes a page
	usable   int
	encoding uint32
	seen     map[uint32]bool // pages from the root to where the walk is
	rows     *sheetRows
	row      int64
	spare    []byte
}

var errDatabase = errors.New("the database's pages are broken")

func (w *work) late() bool { return time.Now().After(w.until) }

func (w *work) sqlite(in *input) error {
	at, size := in.file, in.size
	if at == nil {
		var done func()
		var err error
		if at, size, done, err = w.spool(in); err != nil {
			return err
		}
		defer done()
	}
	d := &database{w: w, at: at, size: size}
	head := make([]byte, 100)
	if _, err := at.ReadAt(head, 0); err != nil {
		return errDatabase
	}
	if d.page = int(binary.BigEndian.Uint16(head[16:])); d.page == 1 {
		d.page = 65536
	}
	d.usable, d.encoding = d.page-int(head[20]), binary.BigEndian.Uint32(head[56:])
	if d.page < 512 || d.page&(d.page-1) != 0 || d.usable < 480 {
		return errDatabase
	}
	type table struct {
		name string
		root uint32
	}
	var tables []table
	err := d.walk(1, func(_ int64, record []byte) error {
		var cells [5]string
		if err := d.cells(record, func(n int, _ bool, text []byte) {
			if n < len(cells)-1 { // not its SQL
				cells[n] = string(text)
			}
		}); err != nil {
			return err
		}
		if root, err := strconv.ParseUint(cells[3], 10, 32); cells[0] == "table" && err == nil && root > 1 && len(tables) < mostSheets {
			tables = append(tables, table{cells[1], uint32(root)})
		}
		return nil
	})
	for _, t := range tables {
		if strings.HasPrefix(t.name, "sqlite_") {
			continue
		}
		if err := d.table(in, t.name, t.root); err != nil {
			return err
		}
	}
	return err
}

func (d *database) table(in *input, name string, root uint32) error {
	d.rows, d.row = d.w.sheetRows(joinPath(in.path, strings.ToValidUTF8(name, "\uFFFD")), "table"), 0
	return d.rows.end(d.walk(root, func(id int64, record []byte) error {
		d.row++
		if err := d.rows.begin(d.row); err != nil {
			return err
		}
		key := 0
		err := d.cells(record, func(n int, null bool, text []byte) {
			if null && key == 0 {
				key = n + 1 // an INTEGER PRIMARY KEY is kept as the row's id
			}
			d.rows.cell(text, int32(n)+1)
		})
		if key > 0 && id != 0 {
			d.rows.cell(strconv.AppendInt(nil, id, 10), int32(key))
		}
		return err
	}))
}

// deepest bounds a tree: 4 billion pages make no more levels than that.
const deepest = 40

// walk calls f with each record of a tree. A page that leads back to itself is broken;
// one that two others name is read twice, against the file's budget.
func (d *database) walk(root uint32, f func(id int64, record []byte) error) error {
	d.seen = map[uint32]bool{}
	return d.node(root, 0, f)
}

func (d *database) node(no uint32, depth int, f func(int64, []byte) error) error {
	if no == 0 || d.seen[no] || depth > deepest {
		return errDatabase
	}
	d.seen[no] = true
	defer delete(d.seen, no)
	page, err := d.read(no)
	if err != nil {
		return err
	}
	head := page
	if no == 1 {
		head = page[100:]
	}
	kind, cells, at := head[0], int(binary.BigEndian.Uint16(head[3:])), 8
	inner := kind == 2 || kind == 5
	if inner {
		at = 12
	} else if kind != 10 && kind != 13 {
		return errDatabase
	}
	if len(head) < at+2*cells {
		return errDatabase
	}
	var broken error
	for i := range cells {
		cell := int(binary.BigEndian.Uint16(head[at+2*i:]))
		if cell+4 > len(page) {
			return errDatabase
		}
		err := d.cell(kind, page[cell:], depth, f)
		if errors.Is(err, errDatabase) {
			broken = err // the others may be whole
		} else if err != nil {
			return err
		}
	}
	if inner {
		if err := d.node(binary.BigEndian.Uint32(head[8:]), depth+1, f); err != nil {
			return err
		}
	}
	return broken
}

// cell is one of a page: a child, a record, or both.
func (d *database) cell(kind byte, b []byte, depth int, f func(int64, []byte) error) error {
	if kind == 2 || kind == 5 {
		if err := d.node(binary.BigEndian.Uint32(b), depth+1, f); err != nil {
			return err
		}
		if kind == 5 {
			return nil
		}
		b = b[4:]
	}
	size, b, ok := varint(b)
	if !ok || size > longestLine {
		return errDatabase
	}
	var id uint64
	most := (d.usable-12)*64/255 - 23
	if kind == 13 {
		if id, b, ok = varint(b); !ok {
			return errDatabase
		}
		most = d.usable - 35
	}
	record, err := d.payload(b, int(size), most)
	if err != nil {
		return err
	}
	return f(int64(id), record)
}

// payload is a record, of which what doesn't fit its page is in a list of others.
func (d *database) payload(b []byte, size, most int) ([]byte, error) {
	if size <= most {
		if size > len(b) {
			return nil, errDatabase
		}
		return b[:size], nil
	}
	local := (d.usable-12)*32/255 - 23
	if k := local + (size-local)%(d.usable-4); k <= most {
		local = k
	}
	if local+4 > len(b) {
		return nil, errDatabase
	}
	record := append(make([]byte, 0, min(size, 1<<16)), b[:local]...)
	for next := binary.BigEndian.Uint32(b[local:]); len(record) < size; {
		page, err := d.read(next)
		if err != nil {
			return nil, err
		}
		record = append(record, page[4:min(4+size-len(record), d.usable)]...)
		next = binary.BigEndian.Uint32(page)
	}
	return record, nil
}

func (d *database) read(no uint32) ([]byte, error) {
	from := (int64(no) - 1) * int64(d.page)
	if no == 0 || from+int64(d.page) > d.size {
		return nil, errDatabase
	}
	if err := d.w.spend(d.page); err != nil {
		return nil, err
	}
	page := make([]byte, d.page)
	if _, err := d.at.ReadAt(page, from); err != nil {
		return nil, errDatabase
	}
	return page, nil
}

// cells calls f with a record's values, as text. Large blobs are none.
func (d *database) cells(record []byte, f func(n int, null bool, text []byte)) error {
	size, rest, ok := varint(record)
	if !ok || size > uint64(len(record)) {
		return errDatabase
	}
	types, values := record[len(record)-len(rest):], record[size:]
	types = types[:max(0, int(size)-(len(record)-len(rest)))]
	for n := 0; len(types) > 0 && n < 32767; n++ {
		var kind uint64
		if kind, types, ok = varint(types); !ok {
			return errDatabase
		}
		length := uint64(0)
		switch {
		case kind >= 12:
			length = (kind - 12) / 2
		case kind == 5:
			length = 6
		case kind == 6 || kind == 7:
			length = 8
		case kind < 5:
			length = kind
		}
		if length > uint64(len(values)) {
			return errDatabase
		}
		f(n, kind == 0, d.text(kind, values[:length]))
		values = values[length:]
	}
	return nil
}

func (d *database) text(kind uint64, b []byte) []byte {
	switch {
	case kind == 0 || kind == 10 || kind == 11:
		return nil
	case kind == 8 || kind == 9:
		return []byte{'0' + byte(kind-8)}
	case kind == 7:
		x := math.Float64frombits(binary.BigEndian.Uint64(b))
		if x == math.Trunc(x) && math.Abs(x) < 1e15 {
			return strconv.AppendInt(nil, int64(x), 10)
		}
		return fmt.Appendf(nil, "%g", x)
	case kind < 7:
		x := int64(int8(b[0]))
		for _, c := range b[1:] {
			x = x<<8 | int64(c)
		}
		return strconv.AppendInt(nil, x, 10)
	case kind%2 == 0:
		if utf8.Valid(b) {
			return b
		}
		return nil
	case d.encoding == 2:
		d.spare, _ = utf16LE.append(d.spare[:0], b)
		return d.spare
	case d.encoding == 3:
		d.spare, _ = utf16BE.append(d.spare[:0], b)
		return d.spare
	}
	return b
}

// varint is SQLite's: 7 bits a byte, the highest first, and 8 in the ninth.
func varint(b []byte) (x uint64, rest []byte, ok bool) {
	for i := 0; i < 9 && i < len(b); i++ {
		if i == 8 {
			return x<<8 | uint64(b[i]), b[9:], true
		}
		x = x<<7 | uint64(b[i]&0x7f)
		if b[i] < 0x80 {
			return x, b[i+1:], true
		}
	}
	return 0, nil, false
}
