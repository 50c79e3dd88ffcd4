package auditlog

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"azekura/internal/db"

	"golang.org/x/mod/sumdb/tlog"
)

//go:embed memory.sql
var memorySchema string

const (
	// saveAtStart and saveEvery are after how many events what the judges know is
	// saved; saveAtEnd after how many it is worth it when the log is closed.
	saveAtStart = 200_000
	saveEvery   = 1_000_000
	saveAtEnd   = 10_000
	// partSize bounds a row of what is saved.
	partSize = 1 << 20
	// maxParts bounds what is read back, in rows.
	maxParts = 1 << 14
	// generations are kept, so that one that was damaged costs a longer start and
	// nothing else.
	generations = 2
)

var insertMemory = &db.Insert{Table: "log_memory", Columns: []string{"log_id", "judge", "idx", "part", "parts", "bytes", "mac"}}

// memoryMAC is the sequencer's word for what a judge saved: what somebody else
// writes into the table isn't taken up. An older one that is put back is, and
// does no harm, since all that the log holds after it is told again. sum is the
// SHA-256 of what was saved.
func (s *Signer) memoryMAC(logID, index int64, judge string, sum []byte) []byte {
	s.mu.Lock()
	h := hmac.New(sha256.New, s.state.HeadKey)
	s.mu.Unlock()
	text := append(make([]byte, 0, 128), "azekura judge 1\x00"...)
	text = binary.BigEndian.AppendUint64(text, uint64(logID))
	text = binary.BigEndian.AppendUint64(text, uint64(index))
	h.Write(append(append(text, sum...), judge...))
	return h.Sum(nil)
}

// memory takes down, at this moment, what the judges know, and returns what
// writes it. Nothing may be unsettled.
func (l *Log) memory() (save func(context.Context) error, err error) {
	size := l.tree.size()
	if !l.signer.vouches() {
		return nil, errors.New("the signer's state holds no key to vouch with")
	}
	saved := make([][]byte, len(l.judges))
	for i, j := range l.judges {
		var b bytes.Buffer
		if err := j.Save(&b); err != nil {
			return nil, err
		}
		saved[i] = b.Bytes()
	}
	l.saved = size
	return func(ctx context.Context) error {
		for i, j := range l.judges {
			if err := l.saveOne(ctx, j.Name(), size, saved[i]); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// saveOne writes row by row, so that nobody waits long for the one writer; what
// lacks a row isn't taken up.
func (l *Log) saveOne(ctx context.Context, judge string, size int64, saved []byte) error {
	sum := sha256.Sum256(saved)
	mac := l.signer.memoryMAC(l.id, size, judge, sum[:])
	parts := int64(len(saved)/partSize + 1)
	if parts > maxParts {
		return fmt.Errorf("what %s knows is too long to be saved", judge)
	}
	if _, err := l.db.Exec(ctx, "DELETE FROM log_memory WHERE log_id = $1 AND judge = $2 AND idx >= $3", l.id, judge, size); err != nil {
		return err
	}
	for n := range parts {
		part := saved[n*partSize : min((n+1)*partSize, int64(len(saved)))]
		if part == nil {
			part = []byte{}
		}
		if err := l.db.Insert(ctx, insertMemory, []int64{l.id}, []string{judge}, []int64{size}, []int64{n}, []int64{parts}, [][]byte{part}, [][]byte{mac}); err != nil {
			return err
		}
	}
	_, err := l.db.Exec(ctx, `DELETE FROM log_memory WHERE log_id = $1 AND judge = $2 AND idx < (
		SELECT coalesce(min(idx), 0) FROM (SELECT DISTINCT idx FROM log_memory WHERE log_id = $3 AND judge = $4 ORDER BY idx DESC LIMIT `+
		fmt.Sprint(generations)+`) newest)`, l.id, judge, l.id, judge)
	return err
}

// place is how far in a chain of logs a judge has been told.
type place struct {
	log  int // in the chain
	next int64
}

func (p place) before(o place) bool { return p.log < o.log || p.log == o.log && p.next < o.next }

// remind tells judges what the log, and those that it continues, hold, and says
// how many events that took.
func (l *Log) remind(ctx context.Context, judges []Judge) (told int64, err error) {
	chain := append(l.signer.Past(), Past{LogID: l.id, Size: l.tree.size(), Root: l.tree.root()})
	l.saved = 0
	from := make([]place, len(judges))
	for i, j := range judges {
		if from[i], err = l.recall(ctx, chain, j); err != nil {
			return 0, err
		}
		if at := len(chain) - 1; from[i].log == at && (i == 0 || from[i].next < l.saved) {
			l.saved = from[i].next
		}
	}
	for at, of := range chain {
		start := of.Size
		for _, p := range from {
			if p.log < at {
				start = 0
			} else if p.log == at {
				start = min(start, p.next)
			}
		}
		err := replay(ctx, l.db, of, start, func(e *Event, index int64) {
			for i, j := range judges {
				if !(place{at, index}).before(from[i]) {
					j.Note(e)
				}
			}
			if told++; told%4096 == 0 {
				settleAll(judges)
			}
		})
		if err != nil {
			return 0, err
		}
		settleAll(judges)
	}
	return told, nil
}

func settleAll(judges []Judge) {
	for _, j := range judges {
		j.Settle(true)
	}
}

// recall loads the newest of what a judge saved that is whole and vouched for.
func (l *Log) recall(ctx context.Context, chain []Past, j Judge) (place, error) {
	if !l.signer.vouches() {
		return place{}, nil
	}
	for at := len(chain) - 1; at >= 0; at-- {
		of := chain[at]
		for below := of.Size + 1; ; {
			var index int64
			err := l.db.QueryRow(ctx, "SELECT coalesce(max(idx), -1) FROM log_memory WHERE log_id = $1 AND judge = $2 AND idx < $3",
				[]any{of.LogID, j.Name(), below}, &index)
			if err != nil {
				return place{}, fmt.Errorf("read what was saved: %w", err)
			}
			if index < 0 {
				break
			}
			below = index
			saved, err := l.readSaved(ctx, of.LogID, index, j.Name())
			if err != nil {
				return place{}, err
			}
			if saved != nil && j.Load(saved) == nil {
				return place{at, index}, nil
			}
		}
	}
	return place{}, nil
}

// pages is a reader over the rows of what was saved, which may be large: nobody copies
// it together. What was read is let go of.
type pages struct {
	rows [][]byte
	left int
}

// Len is how much is left to be read.
func (p *pages) Len() int { return p.left }

func (p *pages) Read(into []byte) (n int, err error) {
	for len(p.rows) > 0 && n < len(into) {
		k := copy(into[n:], p.rows[0])
		n += k
		if p.rows[0] = p.rows[0][k:]; len(p.rows[0]) == 0 {
			p.rows[0], p.rows = nil, p.rows[1:]
		}
	}
	if p.left -= n; n == 0 && len(into) > 0 {
		err = io.EOF
	}
	return n, err
}

// readSaved is what was saved, or nil where it isn't whole or isn't vouched for.
func (l *Log) readSaved(ctx context.Context, logID, index int64, judge string) (*pages, error) {
	rows, err := l.db.Query(ctx, "SELECT part, parts, bytes, mac FROM log_memory WHERE log_id = $1 AND judge = $2 AND idx = $3 ORDER BY part", logID, judge, index)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	saved, sum := &pages{}, sha256.New()
	var mac []byte
	next, parts := int64(0), int64(1)
	for ; rows.Next(); next++ {
		var part int64
		var raw []byte
		if err := rows.Scan(&part, &parts, &raw, &mac); err != nil {
			return nil, err
		}
		if part != next || part >= maxParts || len(raw) > partSize {
			return nil, nil
		}
		_, _ = sum.Write(raw) // it never fails
		saved.rows, saved.left = append(saved.rows, raw), saved.left+len(raw)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if next != parts || !hmac.Equal(mac, l.signer.memoryMAC(logID, index, judge, sum.Sum(nil))) {
		return nil, nil
	}
	return saved, nil
}

// replay calls f with a log's events from one on. What f made of them counts only
// if the answer is nil: then the lines, behind the tree's own edge at that place,
// give the log's root, so none of them was altered, added or left out.
func replay(ctx context.Context, q db.Querier, of Past, from int64, f func(e *Event, index int64)) error {
	if from >= of.Size {
		return nil
	}
	t, err := loadTree(ctx, q, of.LogID, from)
	if err != nil {
		return err
	}
	type span struct {
		first int64
		lines [][]byte
	}
	spans, told := make(chan span, 8), make(chan error, 1)
	go func() {
		var e Event
		var bad error
		for s := range spans {
			for i, line := range s.lines {
				if bad == nil && !e.parse(line, string(line)) {
					bad = fmt.Errorf("%w: event %d isn't a line that this log writes; run azekura log verify", ErrSigner, s.first+int64(i))
				}
				if bad == nil {
					f(&e, s.first+int64(i))
				}
			}
		}
		told <- bad
	}()
	next := span{first: from}
	err = eachLine(ctx, q, of.LogID, from, of.Size, func(index int64, line []byte) error {
		t.append(tlog.RecordHash(line))
		t.full = nil
		next.lines = append(next.lines, line)
		if len(next.lines) == 512 {
			spans <- next
			next = span{first: index + 1, lines: make([][]byte, 0, 512)}
		}
		return nil
	})
	spans <- next
	close(spans)
	if bad := <-told; err == nil {
		err = bad
	}
	if err == nil && t.root() != of.Root {
		err = fmt.Errorf("%w: the events of log %d from %d on aren't those that were signed; run azekura log verify", ErrSigner, of.LogID, from)
	}
	return err
}

// keep saves what the judges know, now and then, beside the sequencer.
func (l *Log) keep() {
	if len(l.judges) > 0 && l.tree.size()-l.saved >= saveEvery {
		l.keepNow()
	}
}

// keepNow takes down what the judges know, and has it written meanwhile.
func (l *Log) keepNow() {
	if !l.saving.CompareAndSwap(false, true) {
		return
	}
	save, err := l.memory()
	if err != nil {
		l.saving.Store(false)
		return
	}
	l.done.Add(1)
	go func() {
		defer l.done.Done()
		defer l.saving.Store(false)
		_ = save(l.ctx) // a start without it only takes longer
	}()
}

// keepLast saves what the judges know when the log is closed.
func (l *Log) keepLast() {
	if len(l.judges) == 0 || l.Err() != nil || l.tree.size()-l.saved < saveAtEnd {
		return
	}
	if save, err := l.memory(); err == nil {
		ctx, cancel := context.WithTimeout(l.ctx, time.Minute)
		defer cancel()
		_ = save(ctx) // a start without it only takes longer
	}
}
