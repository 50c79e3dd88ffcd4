package client

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

// Record is one thing in what a mirror keeps sealed: an event's line, or a sealed
// block of a set's members.
type Record struct {
	Line []byte // of an event; nil for a block

	Set, Block int64
	Sealed     []byte
}

// maxRecord bounds a record's bytes: a line, or a block, is shorter.
const maxRecord = 64 << 10

const (
	kindLine  = 'L'
	kindBlock = 'B'
)

// seal encrypts records to the incident key, compressed.
func seal(to age.Recipient, list []Record) ([]byte, error) {
	var out bytes.Buffer
	sealed, err := age.Encrypt(&out, to)
	if err != nil {
		return nil, fmt.Errorf("encrypt to the incident key: %w", err)
	}
	packed, err := gzip.NewWriterLevel(sealed, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	var b []byte
	for _, r := range list {
		b = r.append(b[:0])
		if _, err := packed.Write(b); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(packed.Close(), sealed.Close()); err != nil {
		return nil, fmt.Errorf("encrypt to the incident key: %w", err)
	}
	return out.Bytes(), nil
}

func (r Record) append(b []byte) []byte {
	data := r.Line
	if r.Line != nil {
		b = append(b, kindLine)
	} else {
		b = append(b, kindBlock)
		b = binary.BigEndian.AppendUint64(b, uint64(r.Set))
		b = binary.BigEndian.AppendUint64(b, uint64(r.Block))
		data = r.Sealed
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

// EachRecord decrypts what seal made and calls f with each record.
func EachRecord(sealed []byte, identities []age.Identity, f func(Record) error) error {
	plain, err := age.Decrypt(bytes.NewReader(sealed), identities...)
	if err != nil {
		return fmt.Errorf("decrypt what was mirrored: %w", err)
	}
	packed, err := gzip.NewReader(plain)
	if err != nil {
		return fmt.Errorf("unpack what was mirrored: %w", err)
	}
	in := bufio.NewReader(packed)
	for {
		r, err := readRecord(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("unpack what was mirrored: %w", err)
		}
		if err := f(r); err != nil {
			return err
		}
	}
}

// readRecord returns io.EOF at the end, and another error within a record.
func readRecord(in *bufio.Reader) (Record, error) {
	var r Record
	kind, err := in.ReadByte()
	if err != nil {
		return r, err
	}
	header := make([]byte, 4)
	if kind == kindBlock {
		header = make([]byte, 20)
	} else if kind != kindLine {
		return r, errors.New("no record of this kind is known")
	}
	if _, err := io.ReadFull(in, header); err != nil {
		return r, io.ErrUnexpectedEOF
	}
	n := binary.BigEndian.Uint32(header[len(header)-4:])
	if n > maxRecord {
		return r, errors.New("a record is too long")
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(in, data); err != nil {
		return r, io.ErrUnexpectedEOF
	}
	if kind == kindLine {
		r.Line = data
		return r, nil
	}
	r.Set, r.Block, r.Sealed = int64(binary.BigEndian.Uint64(header)), int64(binary.BigEndian.Uint64(header[8:])), data
	return r, nil
}
