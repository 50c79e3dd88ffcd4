package backup

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"

	"azekura/internal/db"
)

// Sum is over a table's rows in any order: the sum of each row's SHA-256, modulo
// 2^256. It shows what got lost or altered on the way; whoever alters on purpose
// is found by the log.
type Sum [4]uint64

func (s *Sum) add(row []byte) {
	hash := sha256.Sum256(row)
	var carry uint64
	for i := range s {
		s[i], carry = bits.Add64(s[i], binary.LittleEndian.Uint64(hash[8*i:]), carry)
	}
}

// MarshalText writes it in hexadecimal.
func (s Sum) MarshalText() ([]byte, error) {
	var raw [32]byte
	for i, n := range s {
		binary.LittleEndian.PutUint64(raw[8*i:], n)
	}
	return hex.AppendEncode(nil, raw[:]), nil
}

// UnmarshalText reads it back.
func (s *Sum) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	if err != nil || len(raw) != 32 {
		return errDamaged
	}
	for i := range s {
		s[i] = binary.LittleEndian.Uint64(raw[8*i:])
	}
	return nil
}

// row is one row's cells, reused from row to row.
type row struct {
	columns []db.Column
	ints    []int64
	bytes   [][]byte
	texts   []string
	dest    []any // where a query's Scan puts each cell
}

func newRow(columns []db.Column) (*row, error) {
	r := &row{columns: columns, ints: make([]int64, len(columns)), bytes: make([][]byte, len(columns)), texts: make([]string, len(columns))}
	for i, c := range columns {
		switch {
		case c.Type == db.Bytes:
			r.dest = append(r.dest, &r.bytes[i])
		case c.Null:
			return nil, fmt.Errorf("column %s may be NULL, which only bytes may in a backup", c.Name)
		case c.Type == db.Int:
			r.dest = append(r.dest, &r.ints[i])
		case c.Type == db.Text:
			r.dest = append(r.dest, &r.texts[i])
		default:
			return nil, fmt.Errorf("column %s is of a type that a backup doesn't know", c.Name)
		}
	}
	return r, nil
}

// append encodes the row: integers as varints, bytes and texts after their
// length, which is one more where NULL is possible and 0 for it. (An empty value
// of such a column reads back as NULL, as it does from one of the engines; no
// column of ours holds one.)
func (r *row) append(b []byte) []byte {
	for i, c := range r.columns {
		switch {
		case c.Type == db.Int:
			b = binary.AppendVarint(b, r.ints[i])
		case c.Type == db.Text:
			b = binary.AppendUvarint(b, uint64(len(r.texts[i])))
			b = append(b, r.texts[i]...)
		case c.Null && len(r.bytes[i]) == 0:
			b = append(b, 0)
		default:
			n := uint64(len(r.bytes[i]))
			if c.Null {
				n++
			}
			b = binary.AppendUvarint(b, n)
			b = append(b, r.bytes[i]...)
		}
	}
	return b
}

// take decodes a row and returns what follows it. Its bytes are copies.
func (r *row) take(b []byte) ([]byte, error) {
	for i, c := range r.columns {
		if c.Type == db.Int {
			n, size := binary.Varint(b)
			if size <= 0 {
				return nil, errDamaged
			}
			r.ints[i], b = n, b[size:]
			continue
		}
		n, size := binary.Uvarint(b)
		if size <= 0 {
			return nil, errDamaged
		}
		b = b[size:]
		if c.Type == db.Bytes && c.Null {
			if n == 0 {
				r.bytes[i] = nil
				continue
			}
			n--
		}
		if n > uint64(len(b)) {
			return nil, errDamaged
		}
		if c.Type == db.Text {
			r.texts[i] = string(b[:n])
		} else {
			r.bytes[i] = append(make([]byte, 0, n), b[:n]...) // not nil, where it is empty
		}
		b = b[n:]
	}
	return b, nil
}

// batch gathers rows as the columns that an insert takes.
type batch struct {
	into    *db.Insert
	columns []any
	rows    int
	size    int
}

func newBatch(t db.Table) *batch {
	b := &batch{into: &db.Insert{Table: t.Name}}
	for _, c := range t.Columns {
		b.into.Columns = append(b.into.Columns, c.Name)
	}
	b.empty(t.Columns)
	return b
}

func (b *batch) empty(columns []db.Column) {
	b.columns, b.rows, b.size = make([]any, len(columns)), 0, 0
	for i, c := range columns {
		switch c.Type {
		case db.Int:
			b.columns[i] = []int64(nil)
		case db.Text:
			b.columns[i] = []string(nil)
		default:
			b.columns[i] = [][]byte(nil)
		}
	}
}

func (b *batch) add(r *row, size int) {
	for i, c := range r.columns {
		switch c.Type {
		case db.Int:
			b.columns[i] = append(b.columns[i].([]int64), r.ints[i])
		case db.Text:
			b.columns[i] = append(b.columns[i].([]string), r.texts[i])
		default:
			b.columns[i] = append(b.columns[i].([][]byte), r.bytes[i])
		}
	}
	b.rows++
	b.size += size
}
