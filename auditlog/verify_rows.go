package auditlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"azekura/internal/db"

	"golang.org/x/mod/sumdb/tlog"
)

// rowReader is one worker. It reads ranges that begin at a tile's first event.
type rowReader struct {
	v       *verifier
	event   Event
	row     eventRow
	columns []any  // where row's columns go
	leaves  []Hash // of the range, zero where a row is missing
}

// eventRow is a row of log_event without the columns of its key.
type eventRow struct {
	index, time, action, session, sessionSeq, participantSeq, fields int64
	participant, line                                                rawBytes
}

// rawBytes is a column as the driver holds it, good until the next row. Either
// driver would make a copy for a []byte.
type rawBytes []byte

// Scan is for SQLite's driver.
func (b *rawBytes) Scan(src any) error {
	switch src := src.(type) {
	case []byte:
		*b = src
	case string: // a blob that was stored as text
		*b = []byte(src)
	case nil:
		*b = nil
	default:
		return errors.New("neither bytes nor NULL")
	}
	return nil
}

// ScanBytes is for PostgreSQL's.
func (b *rawBytes) ScanBytes(src []byte) error {
	*b = src
	return nil
}

const selectRows = `SELECT idx, time_us, action, session_id, session_seq, participant_id, participant_seq, fields, line
	FROM log_event WHERE log_id = $1 AND idx >= $2 AND idx < $3 ORDER BY idx`

// read hashes and checks the rows of a range and compares its full tiles.
func (r *rowReader) read(ctx context.Context, from, to int64) error {
	r.leaves = append(r.leaves[:0], make([]Hash, to-from)...)
	rows, unreadable := int64(0), 0
	for at := from; at < to; {
		next, n, err := r.readRows(ctx, from, at, to)
		rows += n
		if err == nil {
			break
		}
		// A row that its columns' types don't fit was tampered with: go on
		// behind it. But not where nothing can be read at all.
		if unreadable++; unreadable > tileWidth || !errors.As(err, new(unreadableRow)) {
			return err
		}
		r.v.found(next, next+1, "event %d: its row can't be read", next)
		at = next + 1
	}
	r.v.mu.Lock()
	r.v.report.Events += rows
	r.v.mu.Unlock()
	return r.tiles(ctx, from, to)
}

type unreadableRow struct{ error }

// readRows reads from an index on. At an error, next is the row that it's about.
func (r *rowReader) readRows(ctx context.Context, from, at, to int64) (next, n int64, err error) {
	rows, err := r.v.q.Query(ctx, selectRows, r.v.logID, at, to)
	if err != nil {
		return at, 0, err
	}
	defer rows.Close()
	row := &r.row
	if r.columns == nil {
		r.columns = []any{&row.index, &row.time, &row.action, &row.session, &row.sessionSeq, &row.participant,
			&row.participantSeq, &row.fields, &row.line}
	}
	for next = at; rows.Next(); next++ {
		if err := rows.Scan(r.columns...); err != nil {
			return next, n, unreadableRow{err}
		}
		n++
		if row.index > next {
			r.missing(next, row.index)
		} else if row.index < next { // the table lost its primary key
			r.v.found(row.index, row.index+1, "event %d is there more than once", row.index)
		}
		next = row.index
		r.leaves[row.index-from] = tlog.RecordHash(row.line)
		r.check()
	}
	if err := rows.Err(); err != nil {
		return next, n, err
	}
	if next < to {
		r.missing(next, to)
	}
	return to, n, nil
}

func (r *rowReader) missing(from, to int64) {
	if to == from+1 {
		r.v.found(from, to, "event %d is missing", from)
	} else {
		r.v.found(from, from+1, "events %d to %d are missing", from, to-1)
	}
}

// check compares a row with its line.
func (r *rowReader) check() {
	row, e := &r.row, &r.event
	if !e.parse(row.line, "") {
		r.v.found(row.index, row.index+1, "event %d isn't a line that this log writes", row.index)
		return
	}
	if column := row.differs(e, r.v.logID); column != "" {
		r.v.found(row.index, row.index+1, "event %d: the column %s isn't what the line says", row.index, column)
	}
	if e.Set != nil {
		r.v.mu.Lock()
		r.v.sets = append(r.v.sets, setEvent{row.index, *e.Set})
		r.v.mu.Unlock()
	}
}

// differs is the first column that doesn't repeat the line.
func (row *eventRow) differs(e *Event, logID int64) string {
	switch {
	case e.Log != logID:
		return "log_id"
	case e.Index != row.index:
		return "idx"
	case e.Time != row.time:
		return "time_us"
	case int64(e.Action) != row.action:
		return "action"
	case int64(e.Session) != row.session:
		return "session_id"
	case e.SessionSeq != row.sessionSeq:
		return "session_seq"
	case e.Participant == (ID{}) && row.participant != nil, e.Participant != (ID{}) && !bytes.Equal(e.Participant[:], row.participant):
		return "participant_id"
	case e.ParticipantSeq != row.participantSeq:
		return "participant_seq"
	case int64(e.Opened()) != row.fields:
		return "fields"
	}
	return ""
}

// tiles cuts the range's leaves into tiles, keeps their roots, and compares the
// full ones with those stored.
func (r *rowReader) tiles(ctx context.Context, from, to int64) error {
	v := r.v
	given := make([]byte, 0, rangeTiles*tileWidth*hashSize)
	for _, leaf := range r.leaves {
		given = append(given, leaf[:]...)
	}
	first := from / tileWidth
	for at := int64(0); at < to-from; at += tileWidth {
		n := first + at/tileWidth
		leaves := r.leaves[at:min(at+tileWidth, to-from)]
		if kept := v.kept[n]; kept != nil {
			copy(kept, leaves) // no other worker has this tile
		}
		if len(leaves) == tileWidth && !hasZero(leaves) {
			v.roots[n] = subtree(given[at*hashSize : (at+tileWidth)*hashSize])
		}
	}
	full := min(to, v.head) / tileWidth
	return v.compare(ctx, 0, first, full, func(n int64) []byte {
		at := (n*tileWidth - from) * hashSize
		return given[at : at+tileWidth*hashSize]
	})
}

func hasZero(hashes []Hash) bool {
	for i := range hashes {
		if hashes[i] == (Hash{}) {
			return true
		}
	}
	return false
}

// leafHashes reads and hashes the events of a range again; zero where one is
// missing.
func leafHashes(ctx context.Context, q db.Querier, logID, from, to int64) ([]Hash, error) {
	leaves := make([]Hash, to-from)
	rows, err := q.Query(ctx, "SELECT idx, line FROM log_event WHERE log_id = $1 AND idx >= $2 AND idx < $3", logID, from, to)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var index int64
		var line []byte
		if err := rows.Scan(&index, &line); err != nil {
			return nil, fmt.Errorf("event %d or later: %w", from, err)
		}
		leaves[index-from] = tlog.RecordHash(line)
	}
	return leaves, rows.Err()
}
