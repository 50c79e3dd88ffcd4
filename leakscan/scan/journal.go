package scan

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"
)

// journal keeps the files that are done: a frame each, with its length and sum
// before it. A scan that was killed leaves at most a torn last frame, which is cut
// off. It holds pseudonyms' numbers in the index and no one's data.
type journal struct {
	mu   sync.Mutex
	file *os.File
	has  map[string]done
}

const mostFrame = 1 << 31

func openJournal(path string, index [32]byte) (*journal, error) {
	j := &journal{has: map[string]done{}}
	if path == "" {
		return j, nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the scan's journal: %w", err)
	}
	j.file = file
	at := int64(0)
	for {
		d, size, err := readFrame(io.NewSectionReader(file, at, 1<<62))
		if err != nil {
			break // the end, or where it was torn
		}
		if d.Index == index {
			j.has[d.Path] = d
		}
		at += size
	}
	if err = file.Truncate(at); err == nil {
		_, err = file.Seek(at, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("open the scan's journal: %w", err)
	}
	return j, nil
}

var errTorn = errors.New("torn")

func readFrame(r io.Reader) (d done, size int64, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return d, 0, err
	}
	length := int64(binary.LittleEndian.Uint32(head[:]))
	// Grown as it comes, so that a length that lies takes no memory.
	var frame bytes.Buffer
	if n, err := io.CopyN(&frame, r, min(length, mostFrame)); err != nil || n != length {
		return d, 0, errTorn
	}
	if crc32.ChecksumIEEE(frame.Bytes()) != binary.LittleEndian.Uint32(head[4:]) {
		return d, 0, errTorn
	}
	size = 8 + length
	return d, size, gob.NewDecoder(&frame).Decode(&d)
}

// find is a file that was done, if it hasn't changed since.
func (j *journal) find(f file) (done, bool) {
	d, ok := j.has[f.path]
	return d, ok && f.why == "" && d.Size == f.size && d.Modified == f.modified
}

func (j *journal) put(d *done) error {
	if j.file == nil {
		return nil
	}
	var frame bytes.Buffer
	frame.Write(make([]byte, 8))
	if err := gob.NewEncoder(&frame).Encode(d); err != nil {
		return fmt.Errorf("write the scan's journal: %w", err)
	}
	b := frame.Bytes()
	if len(b) > mostFrame {
		return nil // too large to keep: it is scanned again if need be
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)-8))
	binary.LittleEndian.PutUint32(b[4:], crc32.ChecksumIEEE(b[8:]))
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.file.Write(b); err != nil {
		return fmt.Errorf("write the scan's journal: %w", err)
	}
	return nil
}

func (j *journal) close() {
	if j.file != nil {
		j.file.Close()
	}
}
