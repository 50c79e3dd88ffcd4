package scan

import (
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf16"
)

// compound is a compound file ([MS-CFB]): a small file system in a file, in which
// old office documents keep their streams.
type compound struct {
	at     io.ReaderAt
	size   int64
	sector int64
	fat    []uint32
	mini   []uint32 // the FAT of small streams
	small  []byte   // the stream that small ones lie in
	cutoff uint32
	spend  func(int) error
}

var errBook = errors.New("the workbook is broken")

// mostStream bounds a stream that is kept in memory.
const mostStream = 1 << 30

const noSector = 0xFFFFFFFA // and above: marks, not sectors

// entryOf is a directory's entry.
type entryOf struct {
	name  string
	kind  byte
	start uint32
	size  uint64
}

func openCompound(at io.ReaderAt, size int64, spend func(int) error) (*compound, []entryOf, error) {
	head := make([]byte, 512)
	if _, err := at.ReadAt(head, 0); err != nil {
		return nil, nil, errBook
	}
	le := binary.LittleEndian
	shift := le.Uint16(head[30:])
	if shift != 9 && shift != 12 || le.Uint16(head[32:]) != 6 {
		return nil, nil, errBook
	}
	c := &compound{at: at, size: size, sector: 1 << shift, cutoff: le.Uint32(head[56:]), spend: spend}
	list := make([]uint32, 0, 109)
	for i := range 109 {
		list = append(list, le.Uint32(head[76+4*i:]))
	}
	// More of the FAT's sectors are named in a list of their own.
	for next, n := le.Uint32(head[68:]), int64(0); next < noSector && n <= size/c.sector; n++ {
		b, err := c.read(next)
		if err != nil {
			return nil, nil, err
		}
		for i := 0; i < len(b)-4; i += 4 {
			list = append(list, le.Uint32(b[i:]))
		}
		next = le.Uint32(b[len(b)-4:])
	}
	for _, no := range list {
		if no >= noSector {
			continue
		}
		b, err := c.read(no)
		if err != nil {
			return nil, nil, err
		}
		c.fat = appendSectors(c.fat, b)
	}
	raw, err := c.chain(le.Uint32(head[48:]), 16<<20)
	if err != nil {
		return nil, nil, err
	}
	var entries []entryOf
	for ; len(raw) >= 128; raw = raw[128:] {
		n := min(int(le.Uint16(raw[64:])), 64)
		var name []uint16
		for i := 0; i+2 < n; i += 2 {
			name = append(name, le.Uint16(raw[i:]))
		}
		e := entryOf{string(utf16.Decode(name)), raw[66], le.Uint32(raw[116:]), le.Uint64(raw[120:])}
		if c.sector == 512 {
			e.size &= 0xFFFFFFFF // the upper half may hold anything
		}
		if e.kind == 5 { // the root, which holds the small streams
			if c.small, err = c.chain(e.start, int64(min(e.size, mostStream))); err != nil {
				return nil, nil, err
			}
		}
		entries = append(entries, e)
	}
	b, err := c.chain(le.Uint32(head[60:]), 64<<20)
	c.mini = appendSectors(nil, b)
	return c, entries, err
}

func appendSectors(to []uint32, b []byte) []uint32 {
	for ; len(b) >= 4; b = b[4:] {
		to = append(to, binary.LittleEndian.Uint32(b))
	}
	return to
}

func (c *compound) read(no uint32) ([]byte, error) {
	from := (int64(no) + 1) * c.sector
	if no >= noSector || from >= c.size {
		return nil, errBook
	}
	if err := c.spend(int(c.sector)); err != nil {
		return nil, err
	}
	b := make([]byte, c.sector)
	if n, err := c.at.ReadAt(b, from); err != nil && !errors.Is(err, io.EOF) || n == 0 {
		return nil, errBook
	}
	return b, nil
}

// chain reads sectors one after another, up to most bytes. A chain that runs in a
// circle is longer than the file, and ends there.
func (c *compound) chain(no uint32, most int64) ([]byte, error) {
	var all []byte
	most = min(most, c.size)
	for no < noSector && int64(len(all)) < most {
		b, err := c.read(no)
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
		if int64(no) >= int64(len(c.fat)) {
			return nil, errBook
		}
		no = c.fat[no]
	}
	return all, nil
}

// stream reads one of the directory's entries.
func (c *compound) stream(e entryOf) ([]byte, error) {
	if e.size > mostStream || int64(e.size) > c.size {
		return nil, errBook
	}
	if e.size >= uint64(c.cutoff) {
		b, err := c.chain(e.start, int64(e.size))
		return b[:min(len(b), int(e.size))], err
	}
	var all []byte
	for no := e.start; no < noSector && len(all) < int(e.size); {
		from := int64(no) * 64
		if from+64 > int64(len(c.small)) || int64(no) >= int64(len(c.mini)) {
			return nil, errBook
		}
		all = append(all, c.small[from:from+64]...)
		no = c.mini[no]
	}
	return all[:min(len(all), int(e.size))], nil
}
