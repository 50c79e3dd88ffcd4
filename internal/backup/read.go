package backup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"

	"azekura/internal/db"
	"azekura/internal/jobs"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// Reader reads a backup, in the order in which it was written.
type Reader struct {
	Header Header
	Files  []File

	// Loaded, when set, reads the tables at the moment at which Load finds that
	// they hold what the backup says.
	Loaded func(ctx context.Context, q db.Querier) error

	in    recordReader
	close func()
	// pending is a record that was read to see where the files end.
	kind    byte
	payload []byte
}

const maxFiles = 1000

// Open opens a backup with an identity and reads what comes before the tables.
func Open(from io.Reader, identities ...age.Identity) (*Reader, error) {
	opened, err := age.Decrypt(from, identities...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, errors.New("the backup isn't encrypted to this identity")
	}
	if err != nil {
		return nil, fmt.Errorf("open the backup: %w", err)
	}
	unpacked, err := zstd.NewReader(opened, zstd.WithDecoderMaxMemory(64<<20), zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderConcurrency(2))
	if err != nil {
		return nil, fmt.Errorf("open the backup: %w", err)
	}
	r := &Reader{in: recordReader{r: bufio.NewReaderSize(unpacked, 64<<10)}, close: unpacked.Close}
	if err := r.begin(); err != nil {
		r.Close()
		return nil, fmt.Errorf("open the backup: %w", err)
	}
	return r, nil
}

// Close gives its memory back.
func (r *Reader) Close() { r.close() }

func (r *Reader) begin() error {
	first := make([]byte, len(magic))
	if _, err := io.ReadFull(r.in.r, first); err != nil {
		return cut(err)
	}
	if string(first) != magic {
		return errDamaged
	}
	kind, payload, err := r.in.next()
	if err != nil {
		return err
	}
	if kind != kindHeader {
		return errDamaged
	}
	if err := unmarshal(payload, &r.Header); err != nil {
		return err
	}
	for {
		if r.kind, r.payload, err = r.in.next(); err != nil {
			return err
		}
		if r.kind != kindFile {
			return nil
		}
		var f File
		if err := unmarshal(r.payload, &f); err != nil {
			return err
		}
		// A path out of the folder, or anything but plain names, isn't ours.
		if !filePath.MatchString(f.Name) || path.Clean(f.Name) != f.Name || len(r.Files) >= maxFiles {
			return errDamaged
		}
		r.Files = append(r.Files, f)
	}
}

var (
	filePath   = regexp.MustCompile(`^[a-z0-9._-]{1,64}(/[a-z0-9._-]{1,64})?$`)
	tableNames = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
)

// File is the content of a file, or nil.
func (r *Reader) File(name string) []byte {
	for _, f := range r.Files {
		if f.Name == name {
			return f.Content
		}
	}
	return nil
}

// Load fills the tables of a database, which must be there and empty, and reads
// them back: what they then hold is what the backup says. It returns the jobs
// that were to be done. fence is asked in each transaction that writes, before it
// writes: of a load that was killed the database may still be at the last one.
func (r *Reader) Load(ctx context.Context, d db.DB, fence func(ctx context.Context, tx db.Tx) error, progress func(rows int64)) (End, []jobs.Job, error) {
	l := &loader{r: r, d: d, fence: fence, progress: progress, there: map[string]db.Table{}}
	tables, err := db.Tables(ctx, d, d.Engine())
	if err != nil {
		return End{}, nil, err
	}
	for _, t := range tables {
		l.there[t.Name] = t
	}
	for {
		switch r.kind {
		case kindTable:
			err = l.table(ctx)
		case kindJob:
			err = l.job()
		case kindWhole:
			return l.finish(ctx)
		default:
			err = errDamaged
		}
		if err == nil {
			r.kind, r.payload, err = r.in.next()
		}
		if err != nil {
			return End{}, nil, fmt.Errorf("load the backup: %w", err)
		}
	}
}

type loader struct {
	r        *Reader
	d        db.DB
	fence    func(ctx context.Context, tx db.Tx) error
	progress func(rows int64)
	there    map[string]db.Table
	loaded   []db.Table
	ends     []TableEnd
	jobs     []jobs.Job
	end      End
}

// Rows of a batch, which is one transaction.
const (
	batchRows = 8192
	batchSize = 4 << 20
)

func (l *loader) table(ctx context.Context) error {
	var t db.Table
	if err := unmarshal(l.r.payload, &t); err != nil {
		return err
	}
	if err := l.known(t); err != nil {
		return err
	}
	r, err := newRow(t.Columns)
	if err != nil {
		return err
	}
	var got TableEnd
	b := newBatch(t)
	flush := func() error {
		if b.rows == 0 {
			return nil
		}
		err := l.insert(ctx, b)
		b.empty(t.Columns)
		if l.progress != nil {
			l.progress(l.end.Rows + got.Rows)
		}
		return err
	}
	for {
		kind, payload, err := l.r.in.next()
		if err != nil {
			return err
		}
		if kind == kindEnd {
			var want TableEnd
			if err := errors.Join(unmarshal(payload, &want), flush()); err != nil {
				return fmt.Errorf("table %s: %w", t.Name, err)
			}
			if got != want {
				return fmt.Errorf("table %s: %w", t.Name, errDamaged)
			}
			l.loaded, l.ends = append(l.loaded, t), append(l.ends, want)
			l.end.Tables++
			l.end.Rows += got.Rows
			return nil
		}
		if kind != kindRows {
			return errDamaged
		}
		err = chunkRows(payload, r, func(encoded []byte) error {
			got.Rows++
			got.Sum.add(encoded)
			b.add(r, len(encoded))
			if b.rows >= batchRows || b.size >= batchSize {
				return flush()
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
}

func (l *loader) insert(ctx context.Context, b *batch) error {
	tx, err := l.d.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := l.fence(ctx, tx); err != nil {
		return err
	}
	if err := tx.Insert(ctx, b.into, b.columns...); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// known refuses a table that the schema doesn't have just so: its name and its
// columns' become SQL.
func (l *loader) known(t db.Table) error {
	there, ok := l.there[t.Name]
	if !ok || !tableNames.MatchString(t.Name) || skipped(t.Name) || len(there.Columns) != len(t.Columns) {
		return errors.New("the backup holds a table that its schema doesn't have, or not so")
	}
	columns := map[string]db.Column{}
	for _, c := range there.Columns {
		columns[c.Name] = c
	}
	for _, c := range t.Columns {
		if columns[c.Name] != c {
			return fmt.Errorf("the backup holds table %s with other columns than its schema has", t.Name)
		}
		delete(columns, c.Name)
	}
	for _, before := range l.loaded {
		if before.Name == t.Name {
			return errDamaged
		}
	}
	return nil
}

const maxJobs = 1 << 20

func (l *loader) job() error {
	var job jobs.Job
	if len(l.jobs) >= maxJobs {
		return errDamaged
	}
	l.jobs = append(l.jobs, job)
	return unmarshal(l.r.payload, &l.jobs[len(l.jobs)-1])
}

// finish checks that the stream says the same as came, that nothing follows, and
// that the tables hold it.
func (l *loader) finish(ctx context.Context) (End, []jobs.Job, error) {
	var want End
	l.end.Files, l.end.Jobs = int64(len(l.r.Files)), int64(len(l.jobs))
	if err := unmarshal(l.r.payload, &want); err != nil || want != l.end {
		return End{}, nil, errDamaged
	}
	if _, err := l.r.in.r.ReadByte(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errDamaged
		}
		return End{}, nil, err
	}
	snapshot, err := l.d.Snapshot(ctx)
	if err != nil {
		return End{}, nil, err
	}
	defer snapshot.Close()
	for i, t := range l.loaded {
		var got TableEnd
		err := eachRow(ctx, snapshot, t, func(encoded []byte) error {
			got.Rows++
			got.Sum.add(encoded)
			return nil
		})
		if err != nil {
			return End{}, nil, fmt.Errorf("read table %s back: %w", t.Name, err)
		}
		if got != l.ends[i] {
			return End{}, nil, fmt.Errorf("table %s doesn't hold what was loaded: %d rows, and the backup has %d", t.Name, got.Rows, l.ends[i].Rows)
		}
	}
	if l.r.Loaded != nil {
		if err := l.r.Loaded(ctx, snapshot); err != nil {
			return End{}, nil, err
		}
	}
	return l.end, l.jobs, nil
}

// Clear empties the tables of a load that didn't end.
func Clear(ctx context.Context, d db.DB) error {
	tables, err := db.Tables(ctx, d, d.Engine())
	if err != nil {
		return err
	}
	for _, t := range tables {
		if skipped(t.Name) && t.Name != "river_job" {
			continue
		}
		if _, err := d.Exec(ctx, "DELETE FROM "+t.Name); err != nil {
			return fmt.Errorf("empty table %s: %w", t.Name, err)
		}
	}
	return nil
}
