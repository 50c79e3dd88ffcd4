// Package spread does one leak scan with several workers, on one machine or many,
// over a database of its own: PostgreSQL, or an SQLite file on one machine. Work is
// handed out by River, in shares: some files, or a stretch of a large text between
// two ends of records. Every worker must see the files under the same paths.
//
// It promises that the result is the bytes of a scan by one process, however often
// workers or the process that began it were killed: what came of a share is stored
// once, whole, by whoever is first, and a share whose worker is silent is handed on.
// What the database holds of files and findings is sealed under a key of the case's,
// so that it tells how much there is to do and nothing of whom, and a result or a
// job that somebody else wrote isn't believed.
//
// It doesn't promise that workers are honest: whoever has index and key is believed.
// A file that changes meanwhile ends the scan, with an error that says so.
package spread

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"azekura/internal/db"
	"azekura/internal/jobs"
	"azekura/leakscan"
	"azekura/leakscan/scan"

	"github.com/riverqueue/river"
)

//go:embed schema.sql
var schema string

// Migrations make the tables.
var Migrations = []db.Migration{{Name: "leakscan/spread/1-shares", SQL: schema}}

// Options say how a worker works.
type Options struct {
	Workers int // files and blocks that are scanned at once; 0: one a processor
	// Do does the shares' pieces; nil: this process.
	Do scan.Doer
	// Tell hears of troubles that are tried again.
	Tell func(error)
	// Beat is how often a worker says that it is at a share; Dead is how long it
	// may be silent. 0: 2 s, 30 s.
	Beat, Dead time.Duration
}

func (o *Options) fill() {
	if o.Tell == nil {
		o.Tell = func(error) {}
	}
	if o.Beat <= 0 {
		o.Beat = 2 * time.Second
	}
	if o.Dead <= 0 {
		o.Dead = 30 * time.Second
	}
}

// share names one of a scan's shares. Stretch is -1 for the files themselves.
type share struct {
	Scan    int64 `json:"scan"`
	Share   int64 `json:"share"`
	Stretch int64 `json:"stretch"`
}

// Kind names the job.
func (share) Kind() string { return "leak-share" }

func (s share) args(more ...any) []any { return append([]any{s.Scan, s.Share, s.Stretch}, more...) }

// crew is a worker's or the beginner's hold on the database.
type crew struct {
	db    db.DB
	index *leakscan.Index
	o     Options
	seal  sealer
	jobs  *jobs.Runner
}

// open prepares the tables and takes part in the work.
func open(ctx context.Context, d db.DB, index *leakscan.Index, o Options) (*crew, error) {
	o.fill()
	if o.Do == nil {
		o.Do = scan.By(index)
	}
	c := &crew{db: d, index: index, o: o}
	err := c.prepare(ctx)
	if err != nil {
		return nil, err
	}
	if c.seal, err = newSealer(index.Keys().Secret("spread")); err != nil {
		return nil, err
	}
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &worker{crew: c}); err != nil {
		return nil, err
	}
	c.jobs, err = jobs.Join(ctx, d, workers, c.guard(), o.Tell)
	return c, err
}

// prepare makes the tables. Workers that begin together get in each other's way, and
// all but one of them fail.
func (c *crew) prepare(ctx context.Context) (err error) {
	for try := range 10 {
		if err = db.Migrate(ctx, c.db, time.Now(), Migrations); err == nil {
			err = jobs.Migrate(ctx, c.db)
		}
		if err == nil {
			return nil
		}
		select {
		case <-time.After(time.Duration(try+1) * 100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

// guard lets jobs be worked that somebody with the case's key queued.
func (c *crew) guard() jobs.Guard {
	key := c.index.Keys().Secret("spread jobs")
	return jobs.Guard{
		MAC: func(text []byte) (mac [16]byte) {
			h := hmac.New(sha256.New, key)
			h.Write(text)
			copy(mac[:], h.Sum(nil))
			return mac
		},
		Refused: func(context.Context, int64, string) error { return nil },
	}
}

func (c *crew) close(ctx context.Context) error {
	return c.jobs.Stop(context.WithoutCancel(ctx))
}

// Work does shares of whatever scans the database has, until ctx ends.
func Work(ctx context.Context, d db.DB, index *leakscan.Index, o Options) error {
	c, err := open(ctx, d, index, o)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return c.close(ctx)
}

// errOther refuses a share of another index, or of another case.
var errOther = errors.New("the share is of a scan with another index; give this worker the scan's index")

// worker does one share at a time.
type worker struct {
	river.WorkerDefaults[share]
	*crew
}

const selectShare = "SELECT state, sealed FROM leak_share WHERE scan_id = $1 AND share = $2 AND stretch = $3"

// Work does a share, unless it is done.
func (w *worker) Work(ctx context.Context, job *river.Job[share]) error {
	s := job.Args
	var state int64
	var sealed []byte
	if err := w.db.QueryRow(ctx, selectShare, s.args(), &state, &sealed); err != nil {
		return fmt.Errorf("read what to do: %w", err)
	}
	if state != 0 {
		return nil
	}
	var of settings
	var pieces []scan.Piece
	if err := w.settings(ctx, s.Scan, &of); err != nil {
		return err
	}
	if err := w.seal.open(sealed, s.label("do"), &pieces); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go w.beat(ctx, s, job.ID)
	came, err := w.do(ctx, of, pieces)
	if errors.Is(err, scan.ErrChanged) {
		came, err = outcome{Failed: err.Error()}, nil
	}
	if err != nil {
		return err
	}
	return w.store(ctx, s, came)
}

// outcome is what came of a share.
type outcome struct {
	Results [][]byte // of each piece
	Cuts    []int    // how many stretches each piece was cut into, numbered on from piece to piece
	Failed  string
	more    []scan.Piece
}

func (w *worker) do(ctx context.Context, of settings, pieces []scan.Piece) (outcome, error) {
	parts, err := w.o.Do(ctx, scan.Options{Workers: w.o.Workers, Limits: of.Limits, Passwords: of.Passwords, Stretch: of.Stretch}, pieces)
	if err != nil {
		return outcome{}, err
	}
	if len(parts) != len(pieces) {
		return outcome{}, errors.New("not all pieces of a share were done")
	}
	var came outcome
	for _, p := range parts {
		came.Results = append(came.Results, p.Result)
		came.Cuts = append(came.Cuts, len(p.More))
		came.more = append(came.more, p.More...)
	}
	return came, nil
}

const countBeat = "UPDATE leak_share SET beat = beat + 1, job_id = $4 WHERE scan_id = $1 AND share = $2 AND stretch = $3 AND state = 0"

// beat says now and then that the share is being done.
func (w *worker) beat(ctx context.Context, s share, job int64) {
	tick := time.NewTicker(w.o.Beat)
	defer tick.Stop()
	for {
		if _, err := w.db.Exec(ctx, countBeat, s.args(job)...); err != nil && ctx.Err() == nil {
			w.o.Tell(fmt.Errorf("say that a share is being done: %w", err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

const (
	finish      = "UPDATE leak_share SET state = 1, chunks = $4 WHERE scan_id = $1 AND share = $2 AND stretch = $3 AND state = 0"
	insertChunk = "INSERT INTO leak_result (scan_id, share, stretch, chunk, sealed) VALUES ($1, $2, $3, $4, $5)"
	insertShare = "INSERT INTO leak_share (scan_id, share, stretch, job_id, state, beat, bytes, chunks, sealed) VALUES ($1, $2, $3, 0, 0, 0, $4, 0, $5)" +
		" ON CONFLICT DO NOTHING"
)

// store keeps what came of a share, and lists its stretches, at once. Where another
// was first it changes nothing.
func (w *worker) store(ctx context.Context, s share, came outcome) error {
	chunks, err := w.seal.chunks(came, s)
	if err != nil {
		return err
	}
	stmts := []db.Stmt{{SQL: finish, Args: s.args(int64(len(chunks))), Must: 1}}
	for n, sealed := range chunks {
		stmts = append(stmts, db.Stmt{SQL: insertChunk, Args: s.args(int64(n), sealed)})
	}
	for n, p := range came.more {
		one := share{s.Scan, s.Share, int64(n)}
		sealed, err := w.seal.close([]scan.Piece{p}, one.label("do"))
		if err != nil {
			return err
		}
		blocks := p.Stretch.Blocks
		stmts = append(stmts, db.Stmt{SQL: insertShare, Args: one.args(blocks[len(blocks)-1].To-blocks[0].From, sealed)})
	}
	err = w.db.Apply(context.WithoutCancel(ctx), stmts)
	if errors.Is(err, db.ErrRefused) {
		return nil // another did it
	}
	return err
}
