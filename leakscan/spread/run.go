package spread

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"time"

	"azekura/internal/db"
	"azekura/internal/jobs"
	"azekura/leakscan"
	"azekura/leakscan/scan"
)

// settings are what all workers of a scan must agree on.
type settings struct {
	Limits    scan.Limits
	Passwords []string
	Stretch   int
	Index     [32]byte
}

// A share holds so many files at most, and closes once it has so many bytes.
const (
	shareFiles = 200
	shareBytes = 32 << 20
)

// Run scans with whatever workers the database has, this process among them, and
// hands the result to use; what the database held of the scan is deleted then. A
// scan that was interrupted goes on when it is begun again with the same files.
func Run(ctx context.Context, d db.DB, index *leakscan.Index, s scan.Options, o Options, use func(*scan.Result) error) (err error) {
	o.fill()
	files, err := scan.List(ctx, s.Paths)
	if err != nil {
		return err
	}
	if s.Progress == nil {
		s.Progress = func(int64, int64) {}
	}
	o.Workers = s.Workers
	c, err := open(ctx, d, index, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close(ctx)) }()
	b := &beginner{crew: c, files: files, progress: s.Progress, seen: map[share]pulse{}}
	set := settings{s.Limits, s.Passwords, s.Stretch, index.Sum()}
	if err := b.begin(ctx, set); err != nil {
		return err
	}
	if err := b.wait(ctx); err != nil {
		return err
	}
	r, err := b.join(ctx)
	if err == nil {
		err = use(r)
	}
	if err == nil {
		err = b.forget(ctx)
	}
	return err
}

// beginner begins a scan, sees it through, and puts its result together.
type beginner struct {
	*crew
	files    []scan.Piece
	shares   [][2]int // which files
	id       int64
	progress func(done, total int64)
	seen     map[share]pulse
}

// pulse is a share's beat, since when it is that, and how often the share was handed
// on.
type pulse struct {
	beat  int64
	since time.Time
	on    int
}

// mostHandedOn bounds how often a share is: what kills worker after worker would go
// on for ever.
const mostHandedOn = 10

var errHandedOn = errors.New("a share of the scan failed with every worker that had it; their messages say why")

const (
	insertScan = "INSERT INTO leak_scan (scan_id, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING"
	selectScan = "SELECT sealed FROM leak_scan WHERE scan_id = $1"
)

func scanLabel(id int64) string { return share{Scan: id}.label("scan") }

// begin lists the shares, unless an interrupted scan of the same files did.
func (b *beginner) begin(ctx context.Context, set settings) error {
	h := sha256.New()
	fmt.Fprintf(h, "%x %+v", set.Index, set)
	for _, f := range b.files {
		fmt.Fprintf(h, "%d %s %d %d %s\n", len(f.Path), f.Path, f.Size, f.Modified, f.Why)
	}
	b.id = int64(binary.BigEndian.Uint64(h.Sum(nil)) >> 1)
	sealed, err := b.seal.close(set, scanLabel(b.id))
	if err != nil {
		return err
	}
	if _, err := b.db.Exec(ctx, insertScan, b.id, sealed); err != nil {
		return fmt.Errorf("begin the scan: %w", err)
	}
	for from := 0; from < len(b.files); {
		to, size := from, int64(0)
		for to < len(b.files) && to-from < shareFiles && (to == from || size+b.files[to].Size <= shareBytes) {
			size += b.files[to].Size
			to++
		}
		s := share{b.id, int64(len(b.shares)), -1}
		sealed, err := b.seal.close(b.files[from:to], s.label("do"))
		if err != nil {
			return err
		}
		if _, err := b.db.Exec(ctx, insertShare, s.args(size, sealed)...); err != nil {
			return fmt.Errorf("begin the scan: %w", err)
		}
		b.shares = append(b.shares, [2]int{from, to})
		from = to
	}
	return nil
}

func (c *crew) settings(ctx context.Context, id int64, to *settings) error {
	var sealed []byte
	if err := c.db.QueryRow(ctx, selectScan, []any{id}, &sealed); err != nil {
		return fmt.Errorf("read the scan's settings: %w", err)
	}
	if err := c.seal.open(sealed, scanLabel(id), to); err != nil {
		return err
	}
	if to.Index != c.index.Sum() {
		return errOther
	}
	return nil
}

// lookEvery is how often the beginner looks how far the shares are.
const lookEvery = 250 * time.Millisecond

// wait sees to it that all shares are done: it queues those that aren't, and hands
// on those whose worker is silent.
func (b *beginner) wait(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		left, err := b.look(ctx)
		if err != nil {
			if ctx.Err() == nil && db.Unavailable(err) {
				b.o.Tell(err) // the shares are where they are
			} else {
				return err
			}
		} else if left == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

const selectShares = "SELECT share, stretch, job_id, state, beat, bytes FROM leak_share WHERE scan_id = $1"

// look goes through the shares once, and returns how many aren't done.
func (b *beginner) look(ctx context.Context) (left int, err error) {
	type row struct {
		share
		job, beat int64
	}
	var open []row
	var done, total int64
	rows, err := b.db.Query(ctx, selectShares, b.id)
	if err != nil {
		return 0, fmt.Errorf("look at the scan's shares: %w", err)
	}
	defer rows.Close()
	cut := map[int64]bool{} // whose stretches are counted in its place
	sizes := map[int64]int64{}
	for rows.Next() {
		r := row{share: share{Scan: b.id}}
		var state, bytes int64
		if err := rows.Scan(&r.Share, &r.Stretch, &r.job, &state, &r.beat, &bytes); err != nil {
			return 0, fmt.Errorf("look at the scan's shares: %w", err)
		}
		if r.Stretch >= 0 {
			cut[r.Share] = true
		} else {
			total += bytes
		}
		if state == 0 {
			open = append(open, r)
			continue
		}
		if r.Stretch >= 0 {
			done += bytes
		} else {
			sizes[r.Share] = bytes
		}
	}
	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("look at the scan's shares: %w", err)
	}
	rows.Close()
	for id, bytes := range sizes {
		if !cut[id] {
			done += bytes
		}
	}
	b.progress(min(done, total), total)
	for _, r := range open {
		if err := b.tend(ctx, r.share, r.job, r.beat); err != nil {
			return 0, err
		}
	}
	return len(open), nil
}

const noteJob = "UPDATE leak_share SET job_id = $4 WHERE scan_id = $1 AND share = $2 AND stretch = $3 AND job_id = 0"

const unqueue = "UPDATE leak_share SET job_id = 0 WHERE scan_id = $1 AND share = $2 AND stretch = $3 AND job_id = $4 AND state = 0"

// tend queues a share that nobody was given, and hands one on whose worker is silent.
func (b *beginner) tend(ctx context.Context, s share, job, beat int64) error {
	if job == 0 {
		id, err := b.jobs.InsertID(ctx, s)
		if err == nil {
			_, err = b.db.Exec(ctx, noteJob, s.args(id)...)
		}
		if err != nil {
			return fmt.Errorf("queue a share: %w", err)
		}
		return nil
	}
	was, now := b.seen[s], time.Now()
	if was.since.IsZero() || was.beat != beat {
		b.seen[s] = pulse{beat, now, was.on}
		return nil
	}
	if now.Sub(was.since) <= b.o.Dead {
		return nil
	}
	b.seen[s] = pulse{beat, now, was.on}
	if waits, err := jobs.Waiting(ctx, b.db, job); waits || err != nil {
		return err
	}
	if was.on == mostHandedOn {
		return errHandedOn
	}
	b.seen[s] = pulse{beat, now, was.on + 1}
	if _, err := b.db.Exec(ctx, unqueue, s.args(job)...); err != nil {
		return fmt.Errorf("hand a share on: %w", err)
	}
	return nil
}

const selectChunks = "SELECT chunk, sealed FROM leak_result WHERE scan_id = $1 AND share = $2 AND stretch = $3 ORDER BY chunk"

// load is what came of a share.
func (b *beginner) load(ctx context.Context, s share) (came outcome, err error) {
	rows, err := b.db.Query(ctx, selectChunks, s.args()...)
	if err != nil {
		return came, fmt.Errorf("read what came of a share: %w", err)
	}
	defer rows.Close()
	var whole []byte
	for n := int64(0); rows.Next(); n++ {
		var at int64
		var sealed []byte
		if err := rows.Scan(&at, &sealed); err != nil {
			return came, fmt.Errorf("read what came of a share: %w", err)
		}
		plain, err := b.seal.unseal(sealed, s.label(fmt.Sprintf("came %d of", n)))
		if err != nil || at != n {
			return came, errSealed
		}
		whole = append(whole, plain...)
	}
	if err := rows.Err(); err != nil {
		return came, fmt.Errorf("read what came of a share: %w", err)
	}
	if err := gob.NewDecoder(bytes.NewReader(whole)).Decode(&came); err != nil {
		return came, fmt.Errorf("read what came of a share: %w", err)
	}
	if came.Failed != "" {
		return came, errors.New(came.Failed)
	}
	return came, nil
}

// join puts the result together, in the order of the files.
func (b *beginner) join(ctx context.Context) (*scan.Result, error) {
	at, of := -1, outcome{}
	shareOf := make([]int, len(b.files))
	for n, r := range b.shares {
		for i := r[0]; i < r[1]; i++ {
			shareOf[i] = n
		}
	}
	return scan.Join(b.index, len(b.files), func(file, stretch int) (_ []byte, err error) {
		if at != shareOf[file] {
			at = shareOf[file]
			if of, err = b.load(ctx, share{b.id, int64(at), -1}); err != nil {
				return nil, err
			}
		}
		n := file - b.shares[at][0]
		if n >= len(of.Results) || len(of.Cuts) != len(of.Results) {
			return nil, errSealed
		}
		if stretch < 0 {
			return of.Results[n], nil
		}
		for _, cut := range of.Cuts[:n] {
			stretch += cut
		}
		came, err := b.load(ctx, share{b.id, int64(at), int64(stretch)})
		if err == nil && len(came.Results) != 1 {
			err = errSealed
		}
		if err != nil {
			return nil, err
		}
		return came.Results[0], nil
	})
}

// forget deletes what the database holds of the scan.
func (b *beginner) forget(ctx context.Context) error {
	var stmts []db.Stmt
	for _, table := range []string{"leak_result", "leak_share", "leak_scan"} {
		stmts = append(stmts, db.Stmt{SQL: "DELETE FROM " + table + " WHERE scan_id = $1", Args: []any{b.id}})
	}
	if err := b.db.Apply(context.WithoutCancel(ctx), stmts); err != nil {
		return fmt.Errorf("delete the scan from its database: %w", err)
	}
	return nil
}
