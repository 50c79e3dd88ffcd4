// Package rotation changes an installation's keys while it is in use: the root
// key, the data domain's key, the index key.
//
// A new root key wraps the domain keys anew, in one transaction. A new data key
// wraps every participant's data key anew; the data keys and the values under
// them stay. A new index key makes every index token anew, of every version of
// everyone, from values that are opened inside the gate against set events. The
// old key is destroyed at the end of each.
//
// It promises that reads, searches, changes and imports go on meanwhile; that a
// process killed at any moment leaves something that opens, and a job that the
// next one takes up where it was; that an old key isn't destroyed while anything
// is under it; that a shredded person isn't brought back. One rotation runs at a
// time, and its begin and end are events.
//
// It doesn't promise more than a new key can: what was copied under an old key,
// by who had the old key too, stays open to them (doc/operations.md, "Change the
// keys"). Backups hold keys of their own.
package rotation

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"azekura/approval"
	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/db"
	"azekura/keyring"
	"azekura/keyring/root"
	"azekura/register"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
)

//go:embed schema.sql
var schema string

// Migrations make this package's table.
var Migrations = []db.Migration{{Name: "keyring/rotation/1-first", SQL: schema}}

// The kinds of rotation that are jobs.
const (
	Data  = keyring.DataDomain
	Index = keyring.IndexDomain
)

// The stages. Each begins and ends in one transaction.
const (
	stageWrap  = "wrapping"  // data: rows go from the old epoch to the new one
	stageBuild = "building"  // index: the new epoch's tokens are made
	stageEmpty = "emptying"  // index: the old key is gone, its tokens go
	stageScrub = "scrubbing" // the old key is gone, its bytes go
	stageEnd   = "ended"
)

var (
	// ErrBusy means that another rotation is under way.
	ErrBusy = errors.New("another key is being changed; wait for it: azekura keys list shows how far it is")
	// ErrKeys means that the stored keys aren't those that rotations left.
	ErrKeys = errors.New("the table keyring_key doesn't hold the keys of which the log tells: somebody put rows in or took some out; put it back from the newest copy")
	// ErrInvalid means that a rotation was asked for that can't be.
	ErrInvalid = errors.New("the key can't be changed so")
	// ErrNothing means that no change of that key was begun.
	ErrNothing = errors.New("no change of that key is under way")
)

// Parts are what a rotation works on.
type Parts struct {
	Dir      string // of the installation: the root key's files
	DB       db.DB
	Ring     *keyring.Ring
	Log      *auditlog.Log
	Register *register.Store
	Gate     *gate.Gate
	// Root is the open root key; the Rotator takes it over. Config says how it
	// is kept, and Settle notes it when that changes.
	Root   wrapping.Wrapper
	Config root.Config
	Settle func(root.Config) error
}

// Rotator changes keys.
type Rotator struct {
	Parts
	mu sync.Mutex // guards Root and Config; held from the look at what runs to the begin of another
	// last is what the log says last of a rotation, and unsure what it may say, if
	// the answer to a commit was lost. Both are used with the register's turn.
	last, unsure fact
}

// Open holds the stored keys against what the log says of rotations.
func Open(ctx context.Context, p Parts, told *History) (*Rotator, error) {
	r := &Rotator{Parts: p, last: told.last}
	infos, err := keyring.Keys(ctx, r.DB)
	if err != nil {
		return nil, err
	}
	for _, domain := range []string{Data, Index} {
		if !slices.Equal(epochsOf(infos, domain), told.epochs(domain)) {
			found := auditlog.Tampering{Table: "keyring_key", Key: domain, Kind: "its epochs aren't those of which the log tells"}
			return nil, errors.Join(fmt.Errorf("%w: the %s key", ErrKeys, domain), r.Log.Raise(ctx, found))
		}
	}
	return r, r.hold(ctx)
}

// History is what the log's events tell of rotations: whichever keys there are
// beside it were put there by somebody else.
type History struct {
	data, index []int64
	last        fact
	begun       []fact
}

func epochsOf(infos []keyring.KeyInfo, domain string) (epochs []int64) {
	for _, k := range infos {
		if k.Domain == domain {
			epochs = append(epochs, k.Epoch)
		}
	}
	return epochs
}

// Epochs are the keys that are stored though the log told of others: an older backup
// brought them back, which a refill's event says, or events are lost that told of
// them, which the gap's says.
type Epochs struct {
	Data  []int64 `json:"data"`
	Index []int64 `json:"index"`
}

// Differs tells which keys are stored, where those aren't the ones that the log
// tells of.
func (h *History) Differs(infos []keyring.KeyInfo) *Epochs {
	e := &Epochs{epochsOf(infos, Data), epochsOf(infos, Index)}
	if slices.Equal(e.Data, h.epochs(Data)) && slices.Equal(e.Index, h.epochs(Index)) {
		return nil
	}
	return e
}

// back takes the history back to the keys of a backup: no rotation is under way but
// the one that was then.
func (h *History) back(e auditlog.Event) error {
	var d struct{ Keys *Epochs }
	if err := json.Unmarshal(e.Detail, &d); err != nil || d.Keys == nil {
		return err
	}
	h.data, h.index, h.last = d.Keys.Data, d.Keys.Index, fact{}
	for _, f := range h.begun {
		if slices.Equal(h.epochs(f.kind), []int64{f.from, f.to}) {
			h.last = f
		}
	}
	return nil
}

func (h *History) epochs(domain string) []int64 {
	list := h.data
	if domain == Index {
		list = h.index
	}
	if list == nil { // none was ever changed
		return []int64{1}
	}
	return list
}

// Replay takes the log's events of authority, in order.
func (h *History) Replay(e auditlog.Event) error {
	if e.Action == auditlog.System && (e.Purpose == register.Refill || e.Purpose == auditlog.PurposeGap) {
		return h.back(e)
	}
	if e.Action != auditlog.System || e.Purpose != "rotate-"+Data && e.Purpose != "rotate-"+Index {
		return nil
	}
	var d struct{ Rotation, From, To int64 }
	if err := json.Unmarshal(e.Detail, &d); err != nil {
		return fmt.Errorf("read event %d: %w", e.Index, err)
	}
	h.last = fact{kind: strings.TrimPrefix(e.Purpose, "rotate-"), outcome: e.Outcome, id: d.Rotation, from: d.From, to: d.To}
	list := []int64{d.To}
	if e.Outcome == "begun" {
		list = []int64{d.From, d.To}
		h.begun = append(h.begun, h.last)
	}
	if e.Purpose == "rotate-"+Data {
		h.data = list
	} else {
		h.index = list
	}
	return nil
}

// Close ends the root key's use.
func (r *Rotator) Close(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return root.Close(ctx, r.Root)
}

func (r *Rotator) wrapper() wrapping.Wrapper {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Root
}

// Rotation is how far one is.
type Rotation struct {
	ID       int64     `json:"rotation"`
	Kind     string    `json:"kind" doc:"data or index"`
	From     int64     `json:"from" doc:"the epoch that goes"`
	To       int64     `json:"to" doc:"the epoch that comes"`
	Stage    string    `json:"stage"`
	Done     int64     `json:"done" doc:"participants done"`
	Total    int64     `json:"total" doc:"participants when it began"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended,omitzero"`
	Finished bool      `json:"finished"`
	Failure  string    `json:"failure,omitempty" doc:"why it stopped; ask for it again once that is mended"`
	at       []byte
	approval string // the note that begins it, for its first event
}

const columns = "SELECT rotation_id, kind, from_epoch, to_epoch, stage, done, total, started_us, finished_us, failure, at FROM keyring_rotation "

func (r *Rotator) one(ctx context.Context, where string, args ...any) (at Rotation, found bool, err error) {
	var started, finished int64
	err = r.DB.QueryRow(ctx, columns+where, args, &at.ID, &at.Kind, &at.From, &at.To, &at.Stage, &at.Done, &at.Total, &started, &finished, &at.Failure, &at.at)
	if errors.Is(err, db.ErrNoRows) {
		return at, false, nil
	}
	if err != nil {
		return at, false, fmt.Errorf("look the rotation up: %w", err)
	}
	at.Started = time.UnixMicro(started).UTC()
	if at.Finished = finished != 0; at.Finished {
		at.Ended = time.UnixMicro(finished).UTC()
	}
	return at, true, nil
}

func (r *Rotator) unfinished(ctx context.Context) (Rotation, bool, error) {
	return r.one(ctx, "WHERE finished_us = 0")
}

// Show looks a rotation up.
func (r *Rotator) Show(ctx context.Context, id int64) (Rotation, error) {
	at, found, err := r.one(ctx, "WHERE rotation_id = $1", id)
	if err == nil && !found {
		err = fmt.Errorf("%w: there is no rotation %d", ErrInvalid, id)
	}
	return at, err
}

// Unfinished is the rotation under way, if there is one.
func (r *Rotator) Unfinished(ctx context.Context) (Rotation, bool, error) { return r.unfinished(ctx) }

// Start begins to change the data or the index key, or finds that it is under
// way. Run does the work.
func (r *Rotator) Start(ctx context.Context, kind string) (Rotation, error) {
	return r.start(ctx, kind, approval.Approved{}, true)
}

// StartBy is Start by what two people approved, which stands in the event that
// begins it.
func (r *Rotator) StartBy(ctx context.Context, kind string, by approval.Approved) (Rotation, error) {
	return r.start(ctx, kind, by, true)
}

// Resume goes on with a change of a key that was begun, and begins none.
func (r *Rotator) Resume(ctx context.Context, kind string) (Rotation, error) {
	return r.start(ctx, kind, approval.Approved{}, false)
}

func (r *Rotator) start(ctx context.Context, kind string, by approval.Approved, begin bool) (Rotation, error) {
	if kind != Data && kind != Index {
		return Rotation{}, fmt.Errorf("%w: the kinds are %s and %s", ErrInvalid, Data, Index)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.hold(ctx); err != nil {
		return Rotation{}, err
	}
	at, busy, err := r.unfinished(ctx)
	switch {
	case err != nil:
		return at, err
	case busy && at.Kind != kind:
		return at, fmt.Errorf("%w (%s)", ErrBusy, at.Kind)
	case busy:
		at.Failure = ""
		return at, r.fail(ctx, at.ID, nil)
	case !begin:
		return at, ErrNothing
	}
	state := r.Ring.State()
	at = Rotation{Kind: kind, From: state.Data, Stage: stageWrap, Started: r.Log.Now(), approval: by.Note()}
	if kind == Index {
		at.From, at.Stage = state.Index, stageBuild
		if err := r.Register.EmptyIndex(ctx, at.From+1); err != nil {
			return at, err
		}
	}
	at.To = at.From + 1
	if at.Total, err = r.Register.Count(ctx); err != nil {
		return at, err
	}
	e, err := keyring.NewEpoch(ctx, r.Root, kind, at.To, r.Log.Now())
	if err != nil {
		return at, err
	}
	if err := r.DB.QueryRow(ctx, "SELECT coalesce(max(rotation_id), 0) + 1 FROM keyring_rotation", nil, &at.ID); err != nil {
		return at, err
	}
	return at, r.step(ctx, at, "begun", func(tx db.Tx) error {
		if err := e.Store(ctx, tx); err != nil {
			return err
		}
		return insert(ctx, tx, at)
	}, r.Root)
}

func insert(ctx context.Context, q db.Querier, at Rotation) error {
	_, err := q.Exec(ctx, `INSERT INTO keyring_rotation (rotation_id, kind, from_epoch, to_epoch, stage, done, total, started_us, finished_us, failure, at)
		VALUES ($1, $2, $3, $4, $5, 0, $6, $7, 0, '', $8)`, at.ID, at.Kind, at.From, at.To, at.Stage, at.Total, at.Started.UnixMicro(), make([]byte, 16))
	return err
}

// destroy ends the old key, and goes on to a stage.
func (r *Rotator) destroy(ctx context.Context, at *Rotation, outcome, next string) error {
	err := r.step(ctx, *at, outcome, func(tx db.Tx) error {
		if err := keyring.Destroy(ctx, tx, at.Kind, at.From); err != nil {
			return err
		}
		return stage(ctx, tx, at, next, 0)
	}, r.wrapper())
	if err == nil {
		at.Stage = next
	}
	return err
}

// step commits rows with an event that tells of them, while nothing of the
// register is changed, and then makes the keys in memory those of the database.
func (r *Rotator) step(ctx context.Context, at Rotation, outcome string, rows func(tx db.Tx) error, w wrapping.Wrapper) error {
	says := map[string]any{"rotation": at.ID, "from": at.From, "to": at.To, "participants": at.Done}
	if at.approval != "" {
		says["approval"] = at.approval
	}
	detail, err := json.Marshal(says)
	if err != nil {
		return err
	}
	event := auditlog.Event{Action: auditlog.System, Purpose: "rotate-" + at.Kind, Outcome: outcome, Detail: detail}
	return r.Register.Alone(ctx, func() error {
		tx, err := r.DB.Begin(ctx)
		if err != nil {
			return err
		}
		if err := rows(tx); err != nil {
			tx.Rollback()
			return err
		}
		_, err = r.Log.Record(context.WithoutCancel(ctx), auditlog.Entry{Events: []auditlog.Event{event}, Tx: tx})
		if says := (fact{at.Kind, outcome, at.ID, at.From, at.To}); err == nil {
			r.last, r.unsure = says, fact{}
		} else {
			r.unsure = says
		}
		// Even if it failed: an answer may have been lost behind the commit.
		return errors.Join(err, r.Ring.Follow(context.WithoutCancel(ctx), r.DB, w))
	})
}

// follow makes the keys in memory those of the database, before work goes on.
func (r *Rotator) follow(ctx context.Context) error {
	w := r.wrapper()
	return r.Register.Alone(ctx, func() error { return r.Ring.Follow(ctx, r.DB, w) })
}

// Run works a rotation off, from where it stands to its end.
func (r *Rotator) Run(ctx context.Context, id int64) error {
	if err := r.hold(ctx); err != nil {
		return err
	}
	at, err := r.Show(ctx, id)
	if err != nil || at.Finished {
		return err
	}
	if err = errors.Join(r.fail(ctx, id, nil), r.follow(ctx)); err == nil {
		err = r.run(ctx, at)
	}
	if err != nil && ctx.Err() == nil {
		err = errors.Join(err, r.fail(ctx, id, err))
	}
	return err
}

func (r *Rotator) run(ctx context.Context, at Rotation) error {
	work := map[string]func(context.Context, *Rotation) error{stageWrap: r.wrap, stageBuild: r.build, stageEmpty: r.empty, stageScrub: r.scrub}
	for at.Stage != stageEnd {
		if err := work[at.Stage](ctx, &at); err != nil {
			return err
		}
	}
	return nil
}

// fail notes why a rotation stopped, or forgets it.
func (r *Rotator) fail(ctx context.Context, id int64, why error) error {
	text := ""
	if why != nil {
		text = why.Error()
	}
	_, err := r.DB.Exec(ctx, "UPDATE keyring_rotation SET failure = $1 WHERE rotation_id = $2", text, id)
	return err
}

// rest leaves SQLite's one writer to others for as long as a chunk has had it: who
// reads waits for the log, and the log for the writer. On PostgreSQL they write
// side by side.
func (r *Rotator) rest(ctx context.Context, begun time.Time) error {
	if r.DB.Engine() != db.SQLite {
		return nil
	}
	select {
	case <-time.After(time.Since(begun)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// place moves a rotation on, from where this run thinks it is: a second run beside
// it changes no row and stops.
func place(ctx context.Context, tx db.Tx, at *Rotation, next []byte, done int64) error {
	n, err := tx.Exec(ctx, "UPDATE keyring_rotation SET at = $1, done = $2 WHERE rotation_id = $3 AND stage = $4 AND at = $5",
		next, done, at.ID, at.Stage, at.at)
	return changedOne(n, err)
}

func changedOne(n int64, err error) error {
	if err == nil && n != 1 {
		err = errors.New("another run of the same rotation is at work; wait for it")
	}
	return err
}

// stage moves a rotation to another stage.
func stage(ctx context.Context, tx db.Querier, at *Rotation, next string, finished int64) error {
	n, err := tx.Exec(ctx, "UPDATE keyring_rotation SET stage = $1, finished_us = $2, failure = '' WHERE rotation_id = $3 AND stage = $4",
		next, finished, at.ID, at.Stage)
	return changedOne(n, err)
}
