// Package scan reads files and says which of an index's people are in them, in
// which fields, where, and how sure that is.
//
// It promises that nothing is decided across records; that no digit is corrected;
// that every byte of every file is accounted for in a ledger, as parsed, partial,
// encrypted, unsupported or failed, so that "not found" is never said of what
// wasn't read; that a file can't make it crash, write outside of its own folder, or
// use more than bounded memory for reading; and that the result is the same bytes
// whatever the number of workers, and whether it was interrupted or not.
//
// It doesn't promise to find everything: what it reads is the list in formats,
// and the rest is unsupported in the ledger. The findings themselves are held in
// memory, 48 bytes each. Results name pseudonyms, never anybody's data.
package scan

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"azekura/leakscan"
)

// Options say what to scan and how.
type Options struct {
	Paths   []string
	Workers int    // 0: one a processor
	Limits  Limits // the zero value: DefaultLimits
	// Passwords are tried on what is locked: archives, their members, PDFs.
	Passwords []string
	// Journal is a file that keeps what was done, so that a scan which was
	// interrupted goes on where it was; "" for none.
	Journal string
	// Stretch is how many blocks of 1 MiB a Hand cuts large texts by; 0: 64.
	Stretch int
	// Progress, when given, hears how many bytes of how many were read, from
	// several goroutines.
	Progress func(done, total int64)
}

// file is one of the walk.
type file struct {
	path     string
	size     int64
	modified int64
	why      string // it can't be read
}

// done is a file that was scanned, as the journal keeps it.
type done struct {
	Index    [32]byte
	Path     string
	Size     int64
	Modified int64
	Ledger   []Entry
	Parts    []donePart
}

// locked says whether something in it took a password: one that was given since may
// open it.
func (d *done) locked() bool {
	return slices.ContainsFunc(d.Ledger, func(e Entry) bool { return e.State == Encrypted })
}

type donePart struct {
	Path, Encoding string
	Found          []Finding
	Numbers        int64 // of ten digits
}

// Run scans, and returns what was found.
func Run(ctx context.Context, index *leakscan.Index, o Options) (*Result, error) {
	files, err := walk(ctx, o.Paths)
	if err != nil {
		return nil, err
	}
	j, err := openJournal(o.Journal, index.Sum())
	if err != nil {
		return nil, err
	}
	defer j.close()
	r, err := newRunner(index, o)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(r.temp)
	r.journal = j
	results := make([]done, len(files))
	for _, f := range files {
		r.total += f.size
	}
	if err := r.each(ctx, len(files), func(w *work, i int) error { return r.one(w, files[i], &results[i]) }); err != nil {
		return nil, err
	}
	return gather(index, results)
}

// walk lists the files under the paths, in order of their names. Links are named
// in the ledger and not followed: they could lead anywhere, or in circles.
func walk(ctx context.Context, paths []string) ([]file, error) {
	var files []file
	seen := map[string]bool{}
	for _, root := range paths {
		root = filepath.Clean(root)
		if _, err := os.Lstat(root); err != nil {
			return nil, fmt.Errorf("scan: %w", err)
		}
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if seen[path] {
				return nil
			}
			f := file{path: path}
			switch {
			case err != nil:
				f.why = reason(err)
			case d.IsDir():
				return nil
			case !d.Type().IsRegular():
				f.why = "not a regular file: links and devices aren't followed"
			default:
				info, err := d.Info()
				if err != nil {
					f.why = reason(err)
					break
				}
				f.size, f.modified = info.Size(), info.ModTime().UnixNano()
			}
			seen[path] = true
			files = append(files, f)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(files, func(a, b file) int {
		if a.path < b.path {
			return -1
		}
		return 1
	})
	return files, nil
}

// runner scans files, as many at once as there are workers.
type runner struct {
	index   *leakscan.Index
	o       Options
	journal *journal
	pool    chan *matcher
	blocks  chan []byte
	temp    string
	read    atomic.Int64
	total   int64
}

// newRunner makes one, without a journal, and the folder that it unpacks in, which is
// the caller's to remove.
func newRunner(index *leakscan.Index, o Options) (*runner, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Limits == (Limits{}) {
		o.Limits = DefaultLimits
	}
	if o.Stretch <= 0 {
		o.Stretch = stretchBlocks
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	r := &runner{index: index, o: o, journal: &journal{}, pool: make(chan *matcher, o.Workers), blocks: make(chan []byte, 2*o.Workers+1)}
	for range o.Workers {
		r.pool <- newMatcher(index)
	}
	var err error
	if r.temp, err = os.MkdirTemp("", "azekura-scan-"); err != nil {
		return nil, fmt.Errorf("make a folder for unpacking: %w", err)
	}
	return r, nil
}

// work is what one goroutine scans with.
func (r *runner) work(ctx context.Context) *work {
	return &work{ctx: ctx, index: r.index, pool: r.pool, blocks: r.blocks, limits: r.o.Limits, temp: r.temp, workers: r.o.Workers, passwords: r.o.Passwords,
		read: func(n int64) { r.o.Progress(r.read.Add(n), r.total) }}
}

// each calls do with 0 to n-1, by as many goroutines as there are workers.
func (r *runner) each(ctx context.Context, n int, do func(w *work, i int) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next := make(chan int)
	errs := make(chan error, r.o.Workers)
	var workers sync.WaitGroup
	for range r.o.Workers {
		workers.Go(func() {
			w := r.work(ctx)
			for i := range next {
				if err := do(w, i); err != nil {
					errs <- err
					cancel()
					return
				}
			}
		})
	}
feed:
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	workers.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return ctx.Err()
	}
}

// one scans a file, unless the journal has it.
func (r *runner) one(w *work, f file, to *done) error {
	if d, ok := r.journal.find(f); ok && (len(r.o.Passwords) == 0 || !d.locked()) {
		*to = d
		w.read(f.size)
		return nil
	}
	*to = done{Index: r.index.Sum(), Path: f.path, Size: f.size, Modified: f.modified}
	if f.why != "" {
		to.Ledger = []Entry{{Path: f.path, State: Failed, Reason: f.why}}
		return nil
	}
	if err := w.file(f); err != nil {
		return err
	}
	r.keep(w, to)
	return r.journal.put(to)
}

// keep takes what came of a file out of its work.
func (r *runner) keep(w *work, to *done) {
	to.Ledger = w.ledger
	for _, p := range w.parts {
		settleColumns(p, r.index.People())
		to.Parts = append(to.Parts, donePart{p.path, p.encoding, p.found, numbersOf(p)})
	}
	w.ledger, w.parts = nil, nil
}

// file scans one.
func (w *work) file(f file) error {
	w.ledger, w.parts = nil, nil
	w.left = max(w.limits.Unpack, w.limits.Ratio*f.size)
	w.until = time.Time{}
	if w.limits.Time > 0 {
		w.until = time.Now().Add(w.limits.Time)
	}
	file, err := os.Open(f.path)
	if err != nil {
		w.ledger = []Entry{{Path: f.path, State: Failed, Reason: reason(err)}}
		return w.ctx.Err()
	}
	defer file.Close()
	in := w.input(f.path, file, f.size, 0)
	in.file = file
	w.any(in)
	if err := w.ctx.Err(); err != nil {
		return err
	}
	// What the reader left (a container's directory, say) is read for the sum.
	if err := in.drain(); err == nil {
		w.ledger[0].SHA256 = hex.EncodeToString(in.count.sum.Sum(nil))
		w.ledger[0].To = in.count.n
	} else if errors.Is(err, context.Canceled) {
		return err
	}
	return w.ctx.Err()
}
