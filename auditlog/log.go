package auditlog

import (
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"azekura/internal/db"
)

//go:embed schema.sql
var schema string

//go:embed authority.sql
var authoritySchema string

// Migrations make this package's tables. Before the first, nothing is logged,
// so nothing else may run.
var Migrations = []db.Migration{{Name: "auditlog/1-first", SQL: schema}, {Name: "auditlog/2-authority", SQL: authoritySchema},
	{Name: "auditlog/3-memory", SQL: memorySchema}}

var (
	// ErrNotRecorded means that the event isn't in the log, or at most not under
	// a signed head, and nothing may be released: the disk is full, the database
	// is away, the signer failed. The caller may try again.
	ErrNotRecorded = errors.New("the audit log can't record now, so nothing is opened")
	// ErrStopped means that the log has stopped for good in this process:
	// another sequencer leads it, or the signer refused. Somebody must look.
	ErrStopped = errors.New("the audit log has stopped")
	// ErrBehindSigner means that the database holds less than was signed: it
	// was put back from an earlier copy, or its end was cut off.
	ErrBehindSigner = errors.New("the database is behind its signer")
)

// Options open a log.
type Options struct {
	ID     int64
	Signer *Signer
	Now    func() time.Time
	Rand   io.Reader
}

// Log is the sequencer of one log. Its methods are safe for many callers.
type Log struct {
	*Reader
	id     int64
	db     db.DB
	signer *Signer
	now    func() time.Time
	rand   io.Reader
	epoch  int64

	mu     sync.Mutex
	queue  []*entry
	yield  context.CancelFunc // ends the sequencer's wait for its turn to write
	closed bool
	frozen bool // its last event says that it goes on elsewhere
	wake   chan struct{}

	tree *tree // the sequencer's alone
	seqs sequences
	days sync.Mutex // one daily root at a time

	alarms alarms

	bench  sync.Mutex // held while a batch is decided and committed
	judges []Judge
	// unjudged is why nobody can say what the judges would
	unjudged error
	heeding  []func(Event)
	saved    int64 // how much of the log is in what the judges saved last
	saving   atomic.Bool

	committed atomic.Int64 // events committed; what a reader now sees at least
	stopped   atomic.Pointer[error]
	cosigning atomic.Pointer[Cosigning]
	ctx       context.Context
	cancel    context.CancelFunc
	toSigner  chan signJob
	done      sync.WaitGroup
}

// Entry is a group of events that are recorded together or not at all, and
// rows that commit with them.
type Entry struct {
	Events []Event
	// Set, when given, is what the first event speaks of; its blocks must be
	// stored, in Tx or before.
	Set *SetWriter
	// Tx, when given, is a transaction that holds rows to commit with the
	// events. The log takes it over, whatever the outcome. Who holds one records
	// nothing else meanwhile: on SQLite it is the only writer there is.
	Tx db.Tx
	// Finish runs in Tx when the events' indexes are known, for rows that
	// repeat them. It may fail only for want of a database, and must not wait
	// for a row that another transaction may have changed: that one may be
	// queueing behind this.
	Finish func(ctx context.Context, tx db.Tx, events []Event) error
}

type entry struct {
	Entry
	recorded []Event // what stands in the log for it: its events, or their denial; and what was added
	refused  error   // by a judge
	decided  bool    // for good: its transaction is rolled back
	receipts []Receipt
	err      error
	done     chan struct{}
}

func (e *entry) finish(err error) {
	if err == nil {
		err = e.refused
	}
	if err != nil {
		e.receipts, e.err = nil, err
	}
	close(e.done)
}

// Open takes the lead of a log, settles what an earlier process left, and
// starts the sequencer. It refuses a database that is behind its signer
// (ErrBehindSigner) or contradicts it (ErrSigner).
func Open(ctx context.Context, d db.DB, o Options) (*Log, error) {
	if o.ID < 0 {
		return nil, errors.New("a log's id is 0 or more")
	}
	l := &Log{id: o.ID, db: d, signer: o.Signer, now: o.Now, rand: o.Rand,
		wake: make(chan struct{}, 1), toSigner: make(chan signJob, 4)}
	l.Reader = l.reader()
	if err := l.lead(ctx); err != nil {
		return nil, err
	}
	size, root, err := l.head(ctx)
	if err != nil {
		return nil, err
	}
	if signed, _ := l.signer.Head(); size < signed {
		return nil, fmt.Errorf("%w: %d events were signed, the database holds %d. It was put back from an earlier copy or its end was cut off; "+
			"nothing is opened on it. Put back the newest copy; or refill it from a mirror: azekura log refill; or, if the events are gone for good, "+
			"begin a new log that names the gap, by two people: azekura log new --after-loss. See doc/operations.md, “A database behind its signer”",
			ErrBehindSigner, signed, size)
	}
	if _, unconfirmed := l.signer.Restored(); unconfirmed {
		return nil, unconfirmedError(l.signer)
	}
	if l.tree, err = loadTree(ctx, d, l.id, size); err != nil {
		return nil, err
	}
	if l.tree.root() != root {
		return nil, fmt.Errorf("%w: the head's root isn't that of the %d events; run azekura log verify", ErrSigner, size)
	}
	if err := CheckTail(ctx, d, l.id, l.signer); err != nil {
		return nil, err
	}
	if err := l.completeSigner(ctx); err != nil {
		return nil, err
	}
	if err := l.catchUp(ctx); err != nil {
		return nil, err
	}
	l.committed.Store(size)
	if size > 0 {
		last, err := l.Event(ctx, size-1)
		if err != nil {
			return nil, err
		}
		l.frozen = freezes([]Event{last})
	}
	l.seqs = newSequences(size)
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	l.done.Add(2)
	go l.sequence()
	go l.sign()
	return l, nil
}

// lead raises the epoch, which fences off whoever led before.
func (l *Log) lead(ctx context.Context) error {
	root := newTree().root()
	if _, err := l.db.Exec(ctx, "INSERT INTO log_head (log_id, size, root, epoch) VALUES ($1, 0, $2, 0) ON CONFLICT DO NOTHING",
		l.id, root[:]); err != nil {
		return fmt.Errorf("take the lead of the log: %w", err)
	}
	err := l.db.QueryRow(ctx, "SELECT epoch FROM log_head WHERE log_id = $1", []any{l.id}, &l.epoch)
	if err != nil {
		return fmt.Errorf("take the lead of the log: %w", err)
	}
	l.epoch++
	n, err := l.db.Exec(ctx, "UPDATE log_head SET epoch = $1 WHERE log_id = $2 AND epoch = $3", l.epoch, l.id, l.epoch-1)
	if err != nil {
		return fmt.Errorf("take the lead of the log: %w", err)
	}
	if n != 1 {
		return fmt.Errorf("%w: another process took the lead of the log at the same moment", ErrStopped)
	}
	return nil
}

func (l *Log) head(ctx context.Context) (size int64, root Hash, err error) {
	var epoch int64
	var raw []byte
	err = l.db.QueryRow(ctx, "SELECT size, root, epoch FROM log_head WHERE log_id = $1", []any{l.id}, &size, &raw, &epoch)
	if err != nil {
		return 0, root, fmt.Errorf("read the log's head: %w", err)
	}
	if len(raw) != hashSize {
		return 0, root, fmt.Errorf("%w: the head's root has %d bytes", ErrSigner, len(raw))
	}
	if epoch != l.epoch {
		return 0, root, fmt.Errorf("%w: another process has taken the lead of the log", ErrStopped)
	}
	return size, Hash(raw), nil
}

// catchUp signs what was committed before a crash and not yet signed. Receipts
// for it never went out, so this over-counts by one batch at most.
func (l *Log) catchUp(ctx context.Context) error {
	size := l.tree.size()
	for {
		signed, _ := l.signer.Head()
		var leaves []Leaf
		if err := eachLine(ctx, l.db, l.id, signed, size, func(index int64, line []byte) error {
			leaf, err := leafOf(index, line)
			leaves = append(leaves, leaf)
			return err
		}); err != nil {
			return err
		}
		err := l.signer.Extend(leaves, size, l.tree.root())
		// A log of this process that just lost its lead may still be signing
		// its last batches.
		if now, _ := l.signer.Head(); !errors.Is(err, ErrSigner) || now == signed {
			return err
		}
	}
}

// Record waits until the entry's events are durable and returns a receipt for
// each. If ctx ends first the events may be recorded all the same, but no
// receipt goes out. It works on a copy of the events, but for their details,
// which must not be changed any more.
func (l *Log) Record(ctx context.Context, en Entry) ([]Receipt, error) {
	en.Events = cloneEvents(en.Events)
	e := &entry{Entry: en, done: make(chan struct{})}
	if err := l.enqueue(ctx, e); err != nil {
		if en.Tx != nil {
			en.Tx.Rollback()
		}
		return nil, err
	}
	select {
	case <-e.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return e.receipts, e.err
}

// cloneEvents takes the events out of the caller's reach: who gave up waiting
// may use its own again, while the sequencer still writes these, and a receipt
// covers what the event named, not what became of the caller's slice.
func cloneEvents(events []Event) []Event {
	events = slices.Clone(events)
	for i := range events {
		ev := &events[i]
		ev.Fields = slices.Clone(ev.Fields)
		if ev.Set != nil {
			info := *ev.Set
			ev.Set = &info
		}
	}
	return events
}

// RecordOne records one event.
func (l *Log) RecordOne(ctx context.Context, event Event) (Receipt, error) {
	receipts, err := l.Record(ctx, Entry{Events: []Event{event}})
	if err != nil {
		return Receipt{}, err
	}
	return receipts[0], nil
}

func (l *Log) enqueue(ctx context.Context, e *entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := e.check(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.stopped.Load(); err != nil {
		return *err
	}
	if l.closed {
		return fmt.Errorf("%w: it is closing", ErrStopped)
	}
	if l.frozen {
		return ErrFrozen
	}
	// What was queued before it goes before it; nothing follows it, though it fail.
	l.frozen = freezes(e.Events)
	l.queue = append(l.queue, e)
	if e.Tx != nil && l.yield != nil {
		l.yield()
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return nil
}

// check refuses what can't be a line, before it could hurt its neighbours.
func (e *entry) check() error {
	if len(e.Events) == 0 || len(e.Events) > 64 {
		return errors.New("an entry holds 1 to 64 events")
	}
	for i := range e.Events {
		ev := &e.Events[i]
		if int(ev.Action) >= len(actionNames) || actionNames[ev.Action] == "" {
			return fmt.Errorf("no action has the number %d", ev.Action)
		}
		if (ev.Action == Set) != (ev.Set != nil) || ev.Set != nil && (e.Set == nil || i > 0 || *ev.Set != e.Set.Info) {
			return errors.New("a set event comes first, with its writer, and only there")
		}
		if ev.Set != nil && (ev.Set.ID <= 0 || ev.Set.Root == (Hash{}) || !knownFields.Contains(ev.Set.Union)) {
			return errors.New("a set event's writer must be finished, its id new, its members' fields known")
		}
		if ev.Set != nil && ev.Set.Opens && ev.Set.Inside {
			return errors.New("a set event's members are opened for somebody or inside the gate, not both")
		}
		if err := ev.check(); err != nil {
			return err
		}
	}
	return nil
}

// Committed is the number of events that a reader of the database sees now, at
// the least.
func (l *Log) Committed() int64 { return l.committed.Load() }

// ID is the log's id, in the key of each of its rows.
func (l *Log) ID() int64 { return l.id }

// Signer is the log's signer.
func (l *Log) Signer() *Signer { return l.signer }

// Checkpoint is the last signed head.
func (l *Log) Checkpoint() []byte { return l.signer.Checkpoint() }

// Now is the log's clock.
func (l *Log) Now() time.Time { return l.now() }

// NewSetID makes an id for a set event.
func (l *Log) NewSetID() (int64, error) {
	var raw [8]byte
	if _, err := io.ReadFull(l.rand, raw[:]); err != nil {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(raw[:])>>1 | 1), nil
}

// Err is why the log has stopped, or nil.
func (l *Log) Err() error {
	if err := l.stopped.Load(); err != nil {
		return *err
	}
	return nil
}

// Close records what is queued and stops.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	l.done.Wait()
	l.keepLast()
	l.cancel()
	return l.Err()
}

// stop ends the log for good; the first reason stays.
func (l *Log) stop(why error) {
	if !errors.Is(why, ErrStopped) {
		why = fmt.Errorf("%w: %w", ErrStopped, why)
	}
	l.stopped.CompareAndSwap(nil, &why)
}
