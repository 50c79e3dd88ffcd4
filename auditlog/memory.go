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

// memoryMAC is the sequencer's word for a part of what a judge saved, and with before,
// the part's before it, for all up to there: what somebody else writes into the table
// isn't taken up, nor parts of two times together. An older one that is put back is,
// and does no harm, since all that the log holds after it is told again.
func (s *Signer) memoryMAC(logID, index int64, judge string, part, parts int64, bytes, before []byte) []byte {
	s.mu.Lock()
	h := hmac.New(sha256.New, s.state.HeadKey)
	s.mu.Unlock()
	sum := sha256.Sum256(bytes)
	text := append(make([]byte, 0, 160), "azekura judge 2\x00"...)
	for _, n := range []int64{logID, index, part, parts, int64(len(before))} {
		text = binary.BigEndian.AppendUint64(text, uint64(n))
	}
	h.Write(append(append(append(text, before...), sum[:]...), judge...))
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
	parts := int64(len(saved)/partSize + 1)
	if parts > maxParts {
		return fmt.Errorf("what %s knows is too long to be saved", judge)
	}
	if _, err := l.db.Exec(ctx, "DELETE FROM log_memory WHERE log_id = $1 AND judge = $2 AND idx >= $3", l.id, judge, size); err != nil {
		return err
	}
	var mac []byte
	for n := range parts {
		part := saved[n*partSize : min((n+1)*partSize, int64(len(saved)))]
		if part == nil {
			part = []byte{}
		}
		mac = l.signer.memoryMAC(l.id, size, judge, n, parts, part, mac)
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
			taken, err := l.takeUp(ctx, of.LogID, index, j)
			if err != nil {
				return place{}, err
			}
			if taken {
				return place{at, index}, nil
			}
		}
	}
	return place{}, nil
}

// takeUp has a judge load what it saved; not taken where that isn't whole, isn't vouched
// for, or isn't what the judge takes. Parts are read and checked while the judge takes
// those before them apart.
func (l *Log) takeUp(ctx context.Context, logID, index int64, j Judge) (taken bool, err error) {
	var count, size int64
	err = l.db.QueryRow(ctx, "SELECT count(*), coalesce(sum(length(bytes)), 0) FROM log_memory WHERE log_id = $1 AND judge = $2 AND idx = $3",
		[]any{logID, j.Name(), index}, &count, &size)
	if err != nil || count > maxParts || size > count*partSize {
		return false, err
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	vouched := make(chan []byte, 8)
	var failed error // once vouched is closed
	go func() {
		defer close(vouched)
		failed = l.readSaved(reading, logID, index, j.Name(), count, vouched)
	}()
	of := &saved{vouched: vouched, left: int(size)}
	if j.Load(of) == nil {
		for part := range vouched {
			of.left += len(part)
		}
		if failed == nil && of.left != 0 {
			failed = errNotVouched
		}
		return failed == nil, failed // the judge knows it now: an error must end the start
	}
	refused := !of.ended // by the judge, whatever would have come
	stop()
	for range vouched {
	}
	if refused || errors.Is(failed, errNotVouched) {
		failed = nil
	}
	return false, failed
}

var errNotVouched = errors.New("what was saved isn't whole, or isn't ours")

// readSaved sends the parts of what was saved, each once it is vouched for.
func (l *Log) readSaved(ctx context.Context, logID, index int64, judge string, count int64, vouched chan<- []byte) error {
	rows, err := l.db.Query(ctx, "SELECT part, parts, bytes, mac FROM log_memory WHERE log_id = $1 AND judge = $2 AND idx = $3 ORDER BY part", logID, judge, index)
	if err != nil {
		return err
	}
	defer rows.Close()
	var before []byte
	next := int64(0)
	for ; rows.Next(); next++ {
		var part, parts int64
		var raw, mac []byte
		if err := rows.Scan(&part, &parts, &raw, &mac); err != nil {
			return err
		}
		if part != next || parts != count || !hmac.Equal(mac, l.signer.memoryMAC(logID, index, judge, part, parts, raw, before)) {
			return errNotVouched
		}
		before = mac
		select {
		case vouched <- raw:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if next != count {
		return errNotVouched
	}
	return nil
}

// saved reads what was vouched for. It ends early where some isn't.
type saved struct {
	vouched <-chan []byte
	now     []byte
	left    int
	ended   bool // there was no more
}

// Len is how much is left to be read.
func (s *saved) Len() int { return s.left }

func (s *saved) Read(into []byte) (int, error) {
	for len(s.now) == 0 {
		part, more := <-s.vouched
		if !more {
			s.ended = true
			return 0, io.EOF
		}
		s.now = part
	}
	n := copy(into, s.now)
	s.now, s.left = s.now[n:], s.left-n
	return n, nil
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
