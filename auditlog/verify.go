package auditlog

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"azekura/internal/db"
)

// VerifyOptions say how to verify; the zero value does.
type VerifyOptions struct {
	// Workers read and hash beside each other; 0 is one a processor.
	Workers int
	// Progress hears of events done so far, from one goroutine at a time.
	Progress func(done, total int64)
	// OpenMembers opens a sealed block of a set's members. With it the members
	// of each set event are checked against the event's count and root; without
	// it, that the blocks are there and their counts add up.
	OpenMembers func(setID, block int64, sealed []byte) ([]byte, error)
	// Edge are the perfect subtrees of the signed head (Signer.Edge). They
	// narrow the search for the first bad event where tiles were altered too,
	// or where the event lies behind the last full tile.
	Edge []Hash
}

// Report is what Verify found.
type Report struct {
	OK       bool  `json:"ok"`
	Size     int64 `json:"size"`     // events under the signed head
	Root     Hash  `json:"root"`     // what the rows give at that size; the zero hash where a row is missing
	Events   int64 `json:"events"`   // rows read
	Unsigned int64 `json:"unsigned"` // events committed after the signed head, no receipt given yet
	Tiles    int64 `json:"tiles"`    // full tiles compared
	Sets     int64 `json:"sets"`     // set events checked, with Members
	Members  int64 `json:"members"`

	// FirstBad is the index of the first event that isn't what was signed or
	// isn't what its row repeats, or -1. BadEnd is FirstBad+1 where that event
	// is known exactly, else the end of the range that holds it. Where events
	// before FirstBad can't be judged, Problem says so.
	FirstBad int64  `json:"first_bad"`
	BadEnd   int64  `json:"bad_end"`
	Problem  string `json:"problem,omitempty"` // the first one, in words; it repeats nothing of an event
	More     int64  `json:"more,omitempty"`    // further problems
}

// Verify re-hashes every event of a log and compares rows, tiles, sets and head
// with each other and with a signed head, which must come from the signer or a
// witness and not from this database. q may be a Tx only if Workers is 1. Memory doesn't grow with the log, but for 32 bytes a tile (256
// events). An error means that the log couldn't be read; what was found wrong
// is in the report.
func Verify(ctx context.Context, q db.Querier, logID, size int64, root Hash, o VerifyOptions) (Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	v := &verifier{q: q, logID: logID, size: size, root: root, o: o, cancel: cancel}
	if err := v.readHead(ctx); err != nil {
		return Report{}, err
	}
	for _, step := range []func(context.Context) error{v.scan, v.beyond, v.compareTiles, v.compareRoots, v.checkSets} {
		if err := step(ctx); err != nil {
			return Report{}, fmt.Errorf("verify the log: %w", err)
		}
	}
	return v.finish(), nil
}

type verifier struct {
	q      db.Querier
	logID  int64
	size   int64 // the signed head's
	root   Hash
	o      VerifyOptions
	cancel context.CancelFunc

	head     int64 // the database's
	headRoot []byte
	total    int64 // rows that must be there: up to the greater of both

	// roots are those of the full tiles that the rows give, and kept the leaves
	// of the two tiles at whose end a head may lie. A hash that isn't known,
	// because a row is missing, is zero.
	roots []Hash
	kept  map[int64][]Hash

	mu       sync.Mutex
	report   Report
	done     atomic.Int64
	problems []problem
	bad      []badTile
	sets     []setEvent
}

// problem is one finding. first is -1 where no event is to blame.
type problem struct {
	first, end int64
	text       string
}

// maxProblems bounds the memory that a ruined log takes; the first survive.
const maxProblems = 1000

func (v *verifier) found(first, end int64, text string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.problems = append(v.problems, problem{first, end, fmt.Sprintf(text, args...)})
	if len(v.problems) >= 2*maxProblems {
		v.sortProblems()
		v.report.More += int64(len(v.problems) - maxProblems)
		v.problems = v.problems[:maxProblems]
	}
}

// sortProblems puts those with an event first, by index; among findings that
// begin at one event the sharper goes first.
func (v *verifier) sortProblems() {
	slices.SortStableFunc(v.problems, func(a, b problem) int {
		return cmp.Or(cmp.Compare(uint64(a.first), uint64(b.first)), cmp.Compare(a.end, b.end))
	})
}

// sharpen puts the first finding that is exact before a range that holds it:
// it may be all that is wrong there, and says at the least what is.
func (v *verifier) sharpen() {
	first := v.problems[0]
	for i, p := range v.problems {
		if p.end == p.first+1 && p.first > first.first && p.end <= first.end {
			p.text += fmt.Sprintf("; whether the events %d to %d before it are right can't be told", first.first, p.first-1)
			v.problems[0], v.problems[i] = p, first
			return
		}
	}
}

func (v *verifier) finish() Report {
	r := &v.report
	r.Size, r.Unsigned, r.FirstBad, r.BadEnd = v.size, max(v.head-v.size, 0), -1, -1
	v.sortProblems()
	if len(v.problems) == 0 {
		r.OK = true
		return *r
	}
	v.sharpen()
	first := v.problems[0]
	r.FirstBad, r.BadEnd, r.Problem = first.first, first.end, first.text
	r.More += int64(len(v.problems) - 1)
	return *r
}

func (v *verifier) readHead(ctx context.Context) error {
	err := v.q.QueryRow(ctx, "SELECT size, root FROM log_head WHERE log_id = $1", []any{v.logID}, &v.head, &v.headRoot)
	if errors.Is(err, db.ErrNoRows) {
		v.found(-1, -1, "the log's head isn't in the database")
		err = nil
	}
	if err != nil {
		return fmt.Errorf("read the log's head: %w", err)
	}
	v.total = max(v.head, v.size)
	v.roots = make([]Hash, v.total/tileWidth)
	v.kept = map[int64][]Hash{}
	for _, end := range []int64{v.size, v.total} {
		n := end / tileWidth
		v.kept[n] = make([]Hash, min(tileWidth, v.total-n*tileWidth))
	}
	return nil
}

// rangeTiles is how many tiles a worker reads in one query.
const rangeTiles = 16

// scan reads all rows, range after range, with several workers.
func (v *verifier) scan(ctx context.Context) error {
	const rangeEvents = rangeTiles * tileWidth
	workers := v.o.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var next atomic.Int64
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			r := rowReader{v: v}
			for {
				from := (next.Add(1) - 1) * rangeEvents
				if from >= v.total || errs[w] != nil {
					return
				}
				to := min(from+rangeEvents, v.total)
				if errs[w] = r.read(ctx, from, to); errs[w] != nil {
					v.cancel()
					return
				}
				v.progress(to - from)
			}
		})
	}
	wg.Wait()
	// A worker that was cancelled says less than the one that failed.
	slices.SortStableFunc(errs, func(a, b error) int {
		return cmp.Compare(btoi(errors.Is(a, context.Canceled)), btoi(errors.Is(b, context.Canceled)))
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (v *verifier) progress(events int64) {
	done := v.done.Add(events)
	if v.o.Progress != nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.o.Progress(done, v.total)
	}
}

// beyond names rows and tiles that no head speaks of.
func (v *verifier) beyond(ctx context.Context) error {
	// One statement sees one state, so an event that is committed meanwhile
	// isn't beyond its head.
	var index int64
	err := v.q.QueryRow(ctx, `SELECT e.idx FROM log_head h JOIN log_event e ON e.log_id = h.log_id AND e.idx >= h.size
		WHERE h.log_id = $1 AND e.idx >= $2 ORDER BY e.idx LIMIT 1`, []any{v.logID, v.size}, &index)
	if err == nil {
		v.found(index, index+1, "event %d lies beyond the head: nothing signed or counted it", index)
	} else if !errors.Is(err, db.ErrNoRows) {
		return err
	}
	err = v.q.QueryRow(ctx, "SELECT idx FROM log_event WHERE log_id = $1 AND idx < 0 ORDER BY idx LIMIT 1", []any{v.logID}, &index)
	if err == nil {
		v.found(-1, -1, "a row has the index %d", index)
	} else if !errors.Is(err, db.ErrNoRows) {
		return err
	}
	var level, n int64
	for l, width := int64(0), int64(tileWidth); l < 7; l, width = l+1, width*tileWidth {
		err = v.q.QueryRow(ctx, `SELECT t.n FROM log_head h JOIN log_tile t ON t.log_id = h.log_id AND t.n >= h.size / $1
			WHERE h.log_id = $2 AND t.level = $3 ORDER BY t.n LIMIT 1`, []any{width, v.logID, l}, &n)
		if err == nil {
			v.found(-1, -1, "tile %d of level %d lies beyond the head", n, l)
		} else if !errors.Is(err, db.ErrNoRows) {
			return err
		}
	}
	err = v.q.QueryRow(ctx, "SELECT level, n FROM log_tile WHERE log_id = $1 AND (level < 0 OR level > 6 OR n < 0) LIMIT 1",
		[]any{v.logID}, &level, &n)
	if err == nil {
		v.found(-1, -1, "tile %d of level %d lies beyond the head", n, level)
	} else if !errors.Is(err, db.ErrNoRows) {
		return err
	}
	return nil
}

// compareRoots holds the rows' root against both heads.
func (v *verifier) compareRoots(ctx context.Context) error {
	signed, known := v.rootAt(v.size)
	v.report.Root = signed
	if !known {
		v.report.Root = Hash{}
	}
	right := known && signed == v.root
	if !right {
		if err := v.locate(ctx); err != nil {
			return err
		}
	}
	for _, t := range v.bad {
		switch {
		case right && t.missing:
			v.found(-1, -1, "tile %d of level %d is missing; the events are right", t.n, t.level)
		case right:
			v.found(-1, -1, "tile %d of level %d isn't what its events give; the events are right", t.n, t.level)
		case t.missing:
			v.found(-1, -1, "tile %d of level %d is missing", t.n, t.level)
		}
	}
	if v.head < v.size {
		v.found(-1, -1, "the database's head says %d events, and %d were signed", v.head, v.size)
		return nil
	}
	root, known := v.rootAt(v.head)
	switch {
	case !known || bytes.Equal(root[:], v.headRoot):
	case right && v.head == v.size:
		v.found(-1, -1, "the database's head has another root than was signed; the events are right")
	case right:
		v.found(v.size, v.head, "events %d to %d, not signed yet, aren't those of the database's head", v.size, v.head-1)
	}
	return nil
}

// rootAt is the root that the rows give at a size, which must be one of the
// heads', and whether every row for it is there.
func (v *verifier) rootAt(size int64) (Hash, bool) {
	t := newTree()
	for n, root := range v.roots[:size/tileWidth] {
		if root == (Hash{}) {
			return Hash{}, false
		}
		begin := uint64(n) * tileWidth
		// A tile adjoins those before it.
		block, _ := ranges.NewRange(begin, begin+tileWidth, [][]byte{root[:]})
		_ = t.rng.AppendRange(block, nil)
	}
	for _, leaf := range v.kept[size/tileWidth][:size%tileWidth] {
		if leaf == (Hash{}) {
			return Hash{}, false
		}
		_ = t.rng.Append(bytes.Clone(leaf[:]), nil)
	}
	return t.root(), true
}

// edgeRoot is the root over a head's perfect subtrees.
func edgeRoot(size int64, edge []Hash) (Hash, error) {
	hashes := make([][]byte, len(edge))
	for i := range edge {
		hashes[i] = edge[i][:]
	}
	rng, err := ranges.NewRange(0, uint64(size), hashes)
	if err != nil {
		return Hash{}, err
	}
	return (&tree{rng: rng}).root(), nil
}
