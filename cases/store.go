package cases

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/keyring"
)

// The kinds of the keyed words over rows. The second stands in no row: only who has
// the key can tell which rows together make a snapshot's sum.
const (
	macRow      = "case"
	macSummed   = "case in a snapshot"
	macSnapshot = "case snapshot"
)

var upsertFiles = &db.Insert{Table: "case_file", Columns: []string{"log_id", "case_no", "state", "idx", "body", "mac"},
	Suffix: "ON CONFLICT (log_id, case_no) DO UPDATE SET state = excluded.state, idx = excluded.idx, body = excluded.body, mac = excluded.mac"}

// sum adds up keyed words, modulo 2^128, in any order.
type sum [2]uint64

func (s *sum) add(t keyring.Token) {
	low := binary.BigEndian.Uint64(t[8:])
	s[0] += binary.BigEndian.Uint64(t[:8])
	if s[1] += low; s[1] < low {
		s[0]++
	}
}

// take takes one out again.
func (s *sum) take(t keyring.Token) {
	low := binary.BigEndian.Uint64(t[8:])
	if s[1] < low {
		s[0]--
	}
	s[0] -= binary.BigEndian.Uint64(t[:8])
	s[1] -= low
}

func (r *Room) rowMAC(kind string, no, state, idx int64, body []byte) keyring.Token {
	text := make([]byte, 0, 32+len(body))
	for _, n := range []int64{r.chain, no, state, idx} {
		text = binary.BigEndian.AppendUint64(text, uint64(n))
	}
	return r.ring.MAC(kind, append(text, body...))
}

func (r *Room) snapshotMAC(at auditlog.Place, count int64, wrong []byte, s sum) []byte {
	text := make([]byte, 0, 48+len(wrong))
	for _, n := range []uint64{uint64(r.chain), uint64(at.Log), uint64(at.Size), uint64(count), s[0], s[1]} {
		text = binary.BigEndian.AppendUint64(text, n)
	}
	mac := r.ring.MAC(macSnapshot, append(text, wrong...))
	return mac[:]
}

// parseRow reads a row that the gate vouches for.
func (r *Room) parseRow(no, state, idx int64, body, mac []byte) (*file, error) {
	want := r.rowMAC(macRow, no, state, idx, body)
	f := &file{}
	if !hmac.Equal(want[:], mac) || json.Unmarshal(body, f) != nil {
		return nil, tampered("case_file", codeOf(no), "the row was altered, or inserted by somebody else")
	}
	return f, nil
}

func tampered(table, key, kind string) error {
	return &auditlog.Tampered{Tampering: auditlog.Tampering{Table: table, Key: key, Kind: kind}, Is: ErrTampered}
}

// raise records the alarm that an error speaks of.
func (r *Room) raise(ctx context.Context, err error) error {
	var wrong *auditlog.Tampered
	if errors.As(err, &wrong) {
		return errors.Join(err, r.log.Raise(ctx, wrong.Tampering))
	}
	return err
}

// row reads a closed case, or nil. One that isn't closed, and isn't in memory, was
// put back.
func (r *Room) row(ctx context.Context, no int64) (*file, error) {
	var state, idx int64
	var body, mac []byte
	err := r.db.QueryRow(ctx, "SELECT state, idx, body, mac FROM case_file WHERE log_id = $1 AND case_no = $2", []any{r.chain, no}, &state, &idx, &body, &mac)
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the case: %w", err)
	}
	f, err := r.parseRow(no, state, idx, body, mac)
	if err == nil && f.State != Closed {
		err = tampered("case_file", codeOf(no), "the row is that of a time before the case was closed, and was put back")
	}
	if err != nil {
		return nil, r.raise(ctx, err)
	}
	return f, nil
}

// Load makes the cases from the log, at the start and before anything else is asked.
// A snapshot that doesn't hold is an alarm, and everything is read.
func (r *Room) Load(ctx context.Context) error {
	st, err := r.rebuild(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.state = st
	r.mu.Unlock()
	return nil
}

func (r *Room) rebuild(ctx context.Context) (*state, error) {
	st, at, err := r.snapshot(ctx)
	if err == nil {
		st, err = r.replayed(ctx, st, at)
	}
	if err == nil || ctx.Err() != nil {
		return st, err
	}
	// What was written doesn't hold, or is of a place that a loss took away.
	var wrong *auditlog.Tampered
	if errors.As(err, &wrong) {
		if err := r.log.Raise(ctx, wrong.Tampering); err != nil {
			return nil, err
		}
	}
	if st, err = r.replayed(ctx, newState(), auditlog.Place{}); err == nil {
		for no := range st.files { // so that it is written whole
			st.dirty[no] = true
		}
	}
	return st, err
}

// replayed takes in what the log says from a place on.
func (r *Room) replayed(ctx context.Context, st *state, at auditlog.Place) (*state, error) {
	err := r.log.Since(ctx, at, func(log, index int64, line []byte) error {
		err := st.line(line, func(no int64) (*file, error) { return r.closedRow(ctx, no) })
		if err != nil {
			return fmt.Errorf("event %d of log %d: %w", index, log, err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("rebuild the cases from the log: %w", err)
	}
	return st, nil
}

// closedRow is row for a replay, which raises no alarm itself.
func (r *Room) closedRow(ctx context.Context, no int64) (*file, error) {
	f, err := r.row(ctx, no)
	if err == nil && f == nil {
		err = tampered("case_file", codeOf(no), "the row of a closed case is gone")
	}
	return f, err
}

// snapshot reads the open cases as they were written last.
func (r *Room) snapshot(ctx context.Context) (*state, auditlog.Place, error) {
	st, at := newState(), auditlog.Place{}
	var count int64
	var wrong, mac []byte
	// One statement sees one moment: the snapshot and its rows are written together.
	err := r.db.QueryRow(ctx, "SELECT at_log, at_size, count, wrong, mac FROM case_snapshot WHERE log_id = $1", []any{r.chain}, &at.Log, &at.Size, &count, &wrong, &mac)
	if errors.Is(err, db.ErrNoRows) {
		return st, auditlog.Place{}, nil
	}
	if err != nil {
		return nil, at, fmt.Errorf("read the cases: %w", err)
	}
	bad := tampered("case_snapshot", "-", "the open cases' rows aren't those that were written: one was altered, added, deleted or put back")
	var day struct {
		Day   int64          `json:"day"`
		Wrong map[string]int `json:"wrong"`
	}
	if json.Unmarshal(wrong, &day) != nil {
		return nil, at, bad
	}
	if st.day = day.Day; day.Wrong != nil {
		st.wrong = day.Wrong
	}
	rows, err := r.db.Query(ctx, "SELECT case_no, state, idx, body, mac FROM case_file WHERE log_id = $1 AND state < 3 ORDER BY case_no", r.chain)
	if err != nil {
		return nil, at, fmt.Errorf("read the open cases: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var no, state, idx int64
		var body, of []byte
		if err := rows.Scan(&no, &state, &idx, &body, &of); err != nil {
			return nil, at, fmt.Errorf("read the open cases: %w", err)
		}
		f, err := r.parseRow(no, state, idx, body, of)
		if err != nil {
			return nil, at, err
		}
		f.word, f.summed = r.rowMAC(macSummed, no, state, idx, body), true
		st.sum.add(f.word)
		st.count++
		st.put(f)
	}
	if err := rows.Err(); err != nil {
		return nil, at, fmt.Errorf("read the open cases: %w", err)
	}
	if st.count != count || !hmac.Equal(mac, r.snapshotMAC(at, count, wrong, st.sum)) {
		return nil, at, bad
	}
	r.mu.Lock()
	r.at = at
	r.mu.Unlock()
	return st, at, nil
}

// written is a snapshot on its way into the database.
type written struct {
	at    auditlog.Place
	files []writtenFile // that changed
	count int64
	sum   sum
	wrong []byte
}

type writtenFile struct {
	no, state, event int64
	body             []byte
}

// Write writes a snapshot of what the log says up to now. A start from then on
// reads the events behind it alone.
func (r *Room) Write(ctx context.Context) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	w, err := r.take(ctx)
	if err != nil || w == nil {
		return err
	}
	if err := r.write(ctx, w); err != nil {
		r.mu.Lock()
		for _, f := range w.files {
			r.state.dirty[f.no] = true
		}
		r.mu.Unlock()
		return fmt.Errorf("write the cases: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = w.at
	for _, of := range w.files {
		if f := r.state.files[of.no]; f != nil && f.State == Closed && !r.state.dirty[of.no] {
			r.state.drop(f)
		}
	}
	return nil
}

// take copies what is to be written, at a moment when no event of a case is under
// way. Where memory may lack an event it is made anew.
func (r *Room) take(ctx context.Context) (*written, error) {
	r.flow.Lock()
	defer r.flow.Unlock()
	if err := r.log.Err(); err != nil {
		return nil, nil // a log that stopped says so elsewhere
	}
	if r.unsure.Load() {
		st, err := r.rebuild(ctx)
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		r.state = st
		r.mu.Unlock()
		r.unsure.Store(false)
	}
	w := &written{at: r.log.Place()}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := w.at.Size - r.at.Size; len(r.state.dirty) == 0 && w.at.Log == r.at.Log && n < writeEvents {
		return nil, nil // the next start reads these few
	}
	for no := range r.state.dirty {
		of, err := r.sumUp(r.state.files[no])
		if err != nil {
			return nil, err
		}
		w.files = append(w.files, of)
	}
	clear(r.state.dirty)
	w.count, w.sum = r.state.count, r.state.sum
	var err error
	w.wrong, err = json.Marshal(map[string]any{"day": r.state.day, "wrong": r.state.wrong})
	return w, err
}

// sumUp makes a case's row, and puts it into the sum in place of what stood there; a
// closed one isn't in it.
func (r *Room) sumUp(f *file) (writtenFile, error) {
	body, err := json.Marshal(f)
	if err != nil {
		return writtenFile{}, err
	}
	of := writtenFile{f.No, int64(f.State), f.Event, body}
	if f.summed {
		r.state.sum.take(f.word)
		r.state.count--
	}
	if f.summed = f.State != Closed; f.summed {
		f.word = r.rowMAC(macSummed, of.no, of.state, of.event, body)
		r.state.sum.add(f.word)
		r.state.count++
	}
	return of, nil
}

const (
	writeChunk = 1000
	// writeEvents are so many that a snapshot is written though no case changed.
	writeEvents = 10_000
)

func (r *Room) write(ctx context.Context, w *written) error {
	tx, err := r.db.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for from := 0; from < len(w.files); from += writeChunk {
		var logs, nos, states, indexes []int64
		var bodies, macs [][]byte
		for _, f := range w.files[from:min(from+writeChunk, len(w.files))] {
			mac := r.rowMAC(macRow, f.no, f.state, f.event, f.body)
			logs, nos, states, indexes = append(logs, r.chain), append(nos, f.no), append(states, f.state), append(indexes, f.event)
			bodies, macs = append(bodies, f.body), append(macs, bytes.Clone(mac[:]))
		}
		if err := tx.Insert(ctx, upsertFiles, logs, nos, states, indexes, bodies, macs); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, `INSERT INTO case_snapshot (log_id, at_log, at_size, count, wrong, mac) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (log_id) DO UPDATE SET at_log = excluded.at_log, at_size = excluded.at_size, count = excluded.count, wrong = excluded.wrong, mac = excluded.mac`,
		r.chain, w.at.Log, w.at.Size, w.count, w.wrong, r.snapshotMAC(w.at, w.count, w.wrong, w.sum))
	if err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// writeEvery is how often a server writes its snapshot.
const writeEvery = 30 * time.Second

// Keep writes snapshots until ctx ends, and one at the end. trouble hears of those
// that failed: the next start reads more events then.
func (r *Room) Keep(ctx context.Context, trouble func(error)) {
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := r.Write(ctx); err != nil && ctx.Err() == nil {
				trouble(err)
			}
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeEvery)
			defer cancel()
			if err := r.Write(last); err != nil {
				trouble(err)
			}
			return
		}
	}
}
