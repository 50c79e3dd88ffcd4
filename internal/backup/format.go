package backup

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"azekura/internal/db"
)

// The stream is a magic line and then records: a kind of one byte, the payload's
// length as a uvarint, the payload.
const (
	magic = "azekura backup 1\n"

	kindHeader = 'h' // Header
	kindFile   = 'f' // File
	kindTable  = 't' // db.Table
	kindRows   = 'r' // a chunk of the table's rows
	kindEnd    = 'e' // TableEnd
	kindJob    = 'j' // a job to be done
	kindWhole  = 'z' // End: the last record

	// maxRecord bounds a record, and so what a reader holds. A chunk of rows is
	// closed behind chunkSize, and the longest row is a set event's line.
	maxRecord = 4 << 20
	chunkSize = 256 << 10
)

// Header comes first.
type Header struct {
	ID         string    `json:"id"` // drawn for this backup
	Created    time.Time `json:"created"`
	Engine     db.Engine `json:"engine"`
	Migrations []string  `json:"migrations"` // that the tables have behind them
	LogID      int64     `json:"log_id"`
	Origin     string    `json:"origin"`
	VKey       string    `json:"vkey"`
	Checkpoint []byte    `json:"checkpoint"` // the signed head; the tables hold its events, and may hold a few more
	Jobs       bool      `json:"jobs"`       // whether there was a job engine
}

// File is a file of the installation's folder, by its path in there.
type File struct {
	Name    string `json:"name"`
	Content []byte `json:"content"`
}

// TableEnd is what a table's rows must have come to.
type TableEnd struct {
	Rows int64 `json:"rows"`
	Sum  Sum   `json:"sum"`
}

// End closes the stream.
type End struct {
	Tables int64 `json:"tables"`
	Rows   int64 `json:"rows"`
	Files  int64 `json:"files"`
	Jobs   int64 `json:"jobs"`
}

var errDamaged = errors.New("the backup is damaged, or made by a newer version")

// recordWriter writes records.
type recordWriter struct {
	w   io.Writer
	err error
}

func (w *recordWriter) record(kind byte, payload []byte) {
	if w.err != nil {
		return
	}
	if len(payload) > maxRecord {
		w.err = fmt.Errorf("a record of the backup would have %d bytes", len(payload))
		return
	}
	head := binary.AppendUvarint([]byte{kind}, uint64(len(payload)))
	if _, w.err = w.w.Write(head); w.err == nil {
		_, w.err = w.w.Write(payload)
	}
}

func (w *recordWriter) json(kind byte, v any) {
	if w.err != nil {
		return
	}
	var raw []byte
	if raw, w.err = json.Marshal(v); w.err == nil {
		w.record(kind, raw)
	}
}

// recordReader reads records into one buffer, which the next call overwrites.
type recordReader struct {
	r      *bufio.Reader
	buffer []byte
}

func (r *recordReader) next() (kind byte, payload []byte, err error) {
	kind, err = r.r.ReadByte()
	if err != nil {
		return 0, nil, cut(err)
	}
	n, err := binary.ReadUvarint(r.r)
	if err != nil {
		return 0, nil, cut(err)
	}
	if n > maxRecord {
		return 0, nil, errDamaged
	}
	if uint64(cap(r.buffer)) < n {
		r.buffer = make([]byte, n)
	}
	r.buffer = r.buffer[:n]
	if _, err := io.ReadFull(r.r, r.buffer); err != nil {
		return 0, nil, cut(err)
	}
	return kind, r.buffer, nil
}

// cut says what an early end means.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", errDamaged)
	}
	return err
}

func unmarshal(payload []byte, into any) error {
	if err := json.Unmarshal(payload, into); err != nil {
		return errDamaged // what stands there isn't repeated
	}
	return nil
}
