package auditlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"azekura/internal/db"

	"golang.org/x/mod/sumdb/tlog"
)

// maxBatch bounds a batch's memory and the wait of its first caller.
const maxBatch = 2048

var insertEvents = &db.Insert{Table: "log_event", Columns: []string{"log_id", "idx", "time_us", "action", "session_id", "session_seq",
	"participant_id", "participant_seq", "fields", "line"}}

var insertTiles = &db.Insert{Table: "log_tile", Columns: []string{"log_id", "level", "n", "hashes"}}

// sequence is the one goroutine that gives out indexes.
func (l *Log) sequence() {
	defer l.done.Done()
	defer close(l.toSigner)
	for {
		entries, more := l.next()
		if len(entries) > 0 {
			l.commit(entries)
		}
		if !more {
			return
		}
	}
}

// next takes what has queued, at most one entry with a transaction of its own.
func (l *Log) next() (entries []*entry, more bool) {
	for {
		l.mu.Lock()
		events, withTx, n := 0, false, 0
		for ; n < len(l.queue) && events < maxBatch; n++ {
			if l.queue[n].Tx != nil {
				if withTx {
					break
				}
				withTx = true
			}
			events += len(l.queue[n].Events)
		}
		entries = l.queue[:n:n]
		l.queue = l.queue[n:]
		closed := l.closed && len(l.queue) == 0
		l.mu.Unlock()
		if n > 0 || closed {
			return entries, !closed
		}
		<-l.wake
	}
}

// batch is what one transaction commits.
type batch struct {
	entries []*entry
	tree    *tree
	leaves  []Leaf
	seqs    *overlay
	events  eventColumns
}

type eventColumns struct {
	log, idx, time, action, session, sessionSeq, participantSeq, fields []int64
	participant, line                                                   [][]byte
}

// commit records the entries, or tells each why not. An entry whose own rows
// fail is set aside and its neighbours are recorded without it.
func (l *Log) commit(entries []*entry) {
	l.bench.Lock()
	defer l.bench.Unlock()
	for len(entries) > 0 {
		if err := l.Err(); err != nil {
			fail(entries, err)
			return
		}
		b, err := l.build(entries)
		if err == nil {
			err = l.write(b)
		}
		l.rule(err == nil)
		if err == nil {
			l.adopt(b)
			l.keep()
			return
		}
		if errors.Is(err, errYield) {
			entries = append(entries, l.nextWithTx())
			continue
		}
		var own ownRows
		if !errors.As(err, &own) {
			fail(entries, err)
			return
		}
		own.entry.finish(own.err)
		rest := make([]*entry, 0, len(entries)-1)
		for _, e := range entries {
			if e != own.entry {
				rest = append(rest, e)
			}
		}
		entries = rest
	}
}

func fail(entries []*entry, err error) {
	for _, e := range entries {
		if e.Tx != nil {
			e.Tx.Rollback()
		}
		e.finish(err)
	}
}

// ownRows is the failure of one entry's own transaction.
type ownRows struct {
	entry *entry
	err   error
}

func (o ownRows) Error() string { return o.err.Error() }

// build numbers the events and fixes their bytes. It changes nothing of the
// log's: a batch that doesn't commit leaves no trace.
func (l *Log) build(entries []*entry) (*batch, error) {
	b := &batch{entries: entries, tree: l.tree.clone()}
	var err error
	if b.seqs, err = l.seqs.begin(l.ctx, l, entries); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	at := l.now().UTC()
	if at.Year() < 1 || at.Year() > 9999 {
		return nil, fmt.Errorf("%w: the clock says year %d", ErrNotRecorded, at.Year())
	}
	now := at.UnixMicro()
	for _, e := range entries {
		for i := range e.Events {
			ev := &e.Events[i]
			ev.Log, ev.Index, ev.Time = l.id, b.tree.size()+int64(i), now
		}
		l.judge(e)
		if err := l.note(e.recorded); err != nil {
			return nil, err
		}
		for i := range e.recorded {
			if err := b.add(l, &e.recorded[i]); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrNotRecorded, err)
			}
		}
	}
	return b, nil
}

// add fixes the bytes of one event.
func (b *batch) add(l *Log, ev *Event) error {
	if err := l.seqs.also(l.ctx, l, b.seqs, ev); err != nil {
		return err
	}
	ev.ParticipantSeq, ev.SessionSeq = b.seqs.next(ev)
	if _, err := io.ReadFull(l.rand, ev.salt[:]); err != nil {
		return fmt.Errorf("no randomness: %w", err)
	}
	line := ev.line(make([]byte, 0, 448))
	leaf := tlog.RecordHash(line)
	b.leaves = append(b.leaves, Leaf{leaf, ev.Action.Authority()})
	b.tree.append(leaf)
	b.events.add(ev, line)
	return nil
}

func (c *eventColumns) add(ev *Event, line []byte) {
	c.log = append(c.log, ev.Log)
	c.idx = append(c.idx, ev.Index)
	c.time = append(c.time, ev.Time)
	c.action = append(c.action, int64(ev.Action))
	c.session = append(c.session, int64(ev.Session))
	c.sessionSeq = append(c.sessionSeq, ev.SessionSeq)
	c.participantSeq = append(c.participantSeq, ev.ParticipantSeq)
	c.fields = append(c.fields, int64(ev.Opened()))
	c.line = append(c.line, line)
	if ev.Participant == (ID{}) {
		c.participant = append(c.participant, nil)
	} else {
		c.participant = append(c.participant, append([]byte(nil), ev.Participant[:]...))
	}
}

func (b *batch) stmts(l *Log) []db.Stmt {
	root := b.tree.root()
	c := &b.events
	stmts := []db.Stmt{
		{SQL: "UPDATE log_head SET size = $1, root = $2, mac = $3 WHERE log_id = $4 AND size = $5 AND epoch = $6",
			Args: []any{b.tree.size(), root[:], l.signer.headMAC(l.id, b.tree.size(), root), l.id, l.tree.size(), l.epoch}, Must: 1},
		{Insert: insertEvents, Args: []any{c.log, c.idx, c.time, c.action, c.session, c.sessionSeq, c.participant, c.participantSeq, c.fields, c.line}},
	}
	if n := len(b.tree.full); n > 0 {
		levels, ns, hashes := make([]int64, n), make([]int64, n), make([][]byte, n)
		for i, t := range b.tree.full {
			levels[i], ns[i], hashes[i] = t.level, t.n, t.hashes
		}
		stmts = append(stmts, db.Stmt{Insert: insertTiles, Args: []any{repeat(l.id, n), levels, ns, hashes}})
	}
	return stmts
}

// write commits the batch. A nil error means committed, and nothing else does.
func (l *Log) write(b *batch) error {
	var err error
	b.drop()
	if own := b.withTx(); own != nil {
		err = l.writeWith(own, b)
	} else {
		err = l.apply(b.stmts(l))
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ownRows{}), errors.Is(err, errYield), errors.Is(err, ErrStopped):
		return err
	case errors.Is(err, db.ErrRefused):
		l.stop(errors.New("another process has taken the lead of the log"))
		return l.Err()
	}
	return l.settle(b, err)
}

// errYield means that an entry came that holds the database's one writer: the
// batch joins its transaction rather than wait for it.
var errYield = errors.New("another entry holds the writer")

func (l *Log) apply(stmts []db.Stmt) error {
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	l.mu.Lock()
	l.yield = cancel
	for _, e := range l.queue {
		if e.Tx != nil {
			cancel()
		}
	}
	l.mu.Unlock()
	err := l.db.Apply(ctx, stmts)
	l.mu.Lock()
	l.yield = nil
	l.mu.Unlock()
	if errors.Is(err, context.Canceled) && l.ctx.Err() == nil {
		return errYield
	}
	return err
}

// nextWithTx takes the first queued entry that has a transaction. There is one
// whenever the sequencer was asked to yield, since only it takes from the queue.
func (l *Log) nextWithTx() *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, e := range l.queue {
		if e.Tx != nil {
			l.queue = append(l.queue[:i:i], l.queue[i+1:]...)
			return e
		}
	}
	panic("auditlog: the sequencer yielded to nobody")
}

func (b *batch) withTx() *entry {
	for _, e := range b.entries {
		if e.Tx != nil {
			return e
		}
	}
	return nil
}

// writeWith commits the batch in the transaction that one entry brought.
func (l *Log) writeWith(own *entry, b *batch) error {
	defer own.Tx.Rollback()
	if own.Finish != nil {
		if err := own.Finish(l.ctx, own.Tx, own.Events); err != nil {
			return ownRows{own, fmt.Errorf("%w: %w", ErrNotRecorded, err)}
		}
	}
	if err := own.Tx.Apply(l.ctx, b.stmts(l)); err != nil {
		if errors.Is(err, db.ErrRefused) {
			return err
		}
		// The transaction may have been broken before it came here.
		return ownRows{own, fmt.Errorf("%w: %w", ErrNotRecorded, err)}
	}
	err := own.Tx.Commit(l.ctx)
	if err != nil {
		// What its rows did to the commit must not fail its neighbours.
		if err = l.settle(b, err); errors.Is(err, ErrNotRecorded) {
			return ownRows{own, err}
		}
	}
	return err
}

// settle reads the head to learn whether a commit that failed, or whose answer
// never came, happened after all. It tries until the database answers.
func (l *Log) settle(b *batch, cause error) error {
	fence := int64(0)
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		var err error
		if errors.Is(cause, db.ErrUnknown) {
			err = l.fence(&fence)
		}
		var size int64
		var root Hash
		if err == nil {
			size, root, err = l.head(l.ctx)
		}
		switch {
		case errors.Is(err, ErrStopped), errors.Is(err, ErrSigner):
			l.stop(err)
			return l.Err()
		case err == nil && size == b.tree.size() && root == b.tree.root():
			return nil
		case err == nil && size == l.tree.size():
			return fmt.Errorf("%w: %w", ErrNotRecorded, cause)
		case err == nil:
			l.stop(fmt.Errorf("the log's head moved to %d events without its sequencer", size))
			return l.Err()
		}
		if l.closing() {
			l.stop(fmt.Errorf("it was closed before the outcome of its last commit was known: %w", cause))
			return l.Err()
		}
		time.Sleep(wait)
	}
}

// fence raises the epoch once, so that a commit which is still on its way to the
// server is refused when it comes; one that the server is at holds the head's
// row, and this waits for it. The new epoch is drawn, so that a try whose own
// answer was lost knows its work from another process's lead, which adds 1.
func (l *Log) fence(drawn *int64) error {
	if *drawn == 0 {
		var raw [4]byte
		if _, err := io.ReadFull(l.rand, raw[:]); err != nil {
			return err
		}
		*drawn = l.epoch + 2 + int64(binary.BigEndian.Uint32(raw[:]))
	}
	if _, err := l.db.Exec(l.ctx, "UPDATE log_head SET epoch = $1 WHERE log_id = $2 AND epoch = $3", *drawn, l.id, l.epoch); err != nil {
		return err
	}
	var epoch int64
	if err := l.db.QueryRow(l.ctx, "SELECT epoch FROM log_head WHERE log_id = $1", []any{l.id}, &epoch); err != nil {
		return err
	}
	if epoch == *drawn {
		l.epoch = epoch
	}
	return nil // head refuses any other epoch
}

func (l *Log) closing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// adopt makes the committed batch the log's state and hands it to the signer.
func (l *Log) adopt(b *batch) {
	b.tree.full = nil
	l.tree = b.tree
	l.seqs.adopt(b.seqs, b.tree.size())
	l.committed.Store(b.tree.size())
	for _, e := range b.entries {
		l.heed(e.recorded)
		if e.refused != nil {
			continue
		}
		e.receipts = make([]Receipt, len(e.Events))
		for i := range e.Events {
			var blocks [][32]byte
			if e.Set != nil && i == 0 {
				blocks = e.Set.blocks
			}
			e.receipts[i] = receipt(&e.Events[i], blocks)
		}
	}
	l.toSigner <- signJob{entries: b.entries, leaves: b.leaves, size: b.tree.size(), root: b.tree.root()}
}

// heed lets those hear of what grants or contains who act on it.
func (l *Log) heed(events []Event) {
	for i := range events {
		if !events[i].Action.Authority() {
			continue
		}
		for _, f := range l.heeding {
			f(events[i])
		}
	}
}

type signJob struct {
	entries []*entry
	leaves  []Leaf
	size    int64
	root    Hash
}

// sign lets receipts out, batch by batch, each after its head is synced and
// signed. It runs beside the sequencer, which commits the next batch meanwhile.
// Leaves whose signing failed are kept for the next try.
func (l *Log) sign() {
	defer l.done.Done()
	var unsigned []Leaf
	for job := range l.toSigner {
		unsigned = append(unsigned, job.leaves...)
		err := l.signer.Extend(unsigned, job.size, job.root)
		switch {
		case err == nil:
			unsigned = unsigned[:0]
		case errors.Is(err, ErrSigner):
			l.stop(err)
			err = l.Err()
		default:
			err = fmt.Errorf("%w: %w", ErrNotRecorded, err)
		}
		for _, e := range job.entries {
			e.finish(err)
		}
	}
}

// eachLine calls f with the lines from one index up to another, and refuses a
// gap.
func eachLine(ctx context.Context, q db.Querier, logID, from, to int64, f func(index int64, line []byte) error) error {
	rows, err := q.Query(ctx, "SELECT idx, line FROM log_event WHERE log_id = $1 AND idx >= $2 AND idx < $3 ORDER BY idx", logID, from, to)
	if err != nil {
		return err
	}
	defer rows.Close()
	want := from
	for ; rows.Next(); want++ {
		var index int64
		var line []byte
		if err := rows.Scan(&index, &line); err != nil {
			return err
		}
		if index != want {
			return fmt.Errorf("%w: event %d is missing; run azekura log verify", ErrSigner, want)
		}
		if err := f(index, line); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if want != to {
		return fmt.Errorf("%w: event %d is missing; run azekura log verify", ErrSigner, want)
	}
	return nil
}

// loadTree rebuilds the tree's edge at a size from the stored tiles and the
// lines after them.
func loadTree(ctx context.Context, q db.Querier, logID, size int64) (*tree, error) {
	var partial [][]byte
	width := int64(1)
	for level := int64(0); size/width > 0; level++ {
		n := size / width
		first := n - n%tileWidth
		hashes := make([]byte, 0, tileWidth*hashSize)
		if err := edgeHashes(ctx, q, logID, level, first, n, func(h Hash) { hashes = append(hashes, h[:]...) }); err != nil {
			return nil, err
		}
		partial = append(partial, hashes)
		width *= tileWidth
	}
	return restoreTree(size, partial)
}

func eachTile(ctx context.Context, q db.Querier, logID, level, from, to int64, f func(n int64, hashes []byte) error) error {
	rows, err := q.Query(ctx, "SELECT n, hashes FROM log_tile WHERE log_id = $1 AND level = $2 AND n >= $3 AND n < $4 ORDER BY n", logID, level, from, to)
	if err != nil {
		return err
	}
	defer rows.Close()
	want := from
	for ; rows.Next(); want++ {
		var n int64
		var hashes []byte
		if err := rows.Scan(&n, &hashes); err != nil {
			return err
		}
		if n != want || len(hashes) != tileWidth*hashSize {
			return fmt.Errorf("%w: tile %d of level %d is missing or cut; run azekura log verify", ErrSigner, want, level)
		}
		if err := f(n, hashes); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if want != to {
		return fmt.Errorf("%w: tile %d of level %d is missing; run azekura log verify", ErrSigner, want, level)
	}
	return nil
}
