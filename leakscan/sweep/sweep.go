// Package sweep looks through shared folders, again and again, for files that hold
// people of the register and oughtn't be there: stray copies. It is what would have
// been known before anything was stolen.
//
// It promises that a file is read again when its size, time, inode or first bytes are
// others than when it was read last, or when the index is another; that what it keeps
// names files, owners and numbers, and nobody's data; that a sweep which was cut off
// loses at most the files that it read last; and that a stray file is news until
// somebody was told of it.
//
// It doesn't promise to see a file whose bytes were changed behind its first 64 KiB
// with size, time and inode put back: a full sweep (a new state file) does. Where a
// person is in two files they are counted in each.
package sweep

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"azekura/leakscan"
	"azekura/leakscan/scan"
)

// Options say what to sweep.
type Options struct {
	Paths []string
	State string // a file that keeps what was read
	// Least is how many people, at the grades A to C, make a file a stray copy.
	Least     int
	Workers   int
	Passwords []string
	Do        scan.Doer               // reads files; nil: this process
	Progress  func(done, total int64) // files
}

// DefaultLeast lets ordinary letters about one household be.
const DefaultLeast = 10

// File is what is known of one.
type File struct {
	Path     string         `json:"path"`
	Size     int64          `json:"size"`
	Modified int64          `json:"modified"`
	Inode    uint64         `json:"inode"`
	Head     string         `json:"head"` // SHA-256 of the first 64 KiB
	Owner    string         `json:"owner"`
	People   map[string]int `json:"people,omitempty"` // by grade
	State    scan.State     `json:"state"`
	Unread   int            `json:"unread,omitempty"`
	Told     bool           `json:"told,omitempty"`
}

// Sure is how many people it holds at the grades A to C.
func (f *File) Sure() int { return f.People["A"] + f.People["B"] + f.People["C"] }

// Report is what a sweep found.
type Report struct {
	Files   int      `json:"files"`
	Read    int      `json:"read" doc:"those that weren't as they were"`
	Unread  int      `json:"unread" doc:"files that weren't, or not wholly, understood"`
	Strays  []File   `json:"strays"`
	Folders []Folder `json:"folders"`
	New     int      `json:"new" doc:"strays that nobody was told of yet"`

	known map[string]*File
	path  string
	index string
	least int
}

// Folder is what one owner's files in one folder hold.
type Folder struct {
	Folder string `json:"folder"`
	Owner  string `json:"owner"`
	Files  int    `json:"files"`
	People int    `json:"people" doc:"at the grades A to C; who is in two files counts in each"`
}

// batchFiles and batchBytes bound what is read before the state is kept again.
const (
	batchFiles = 500
	batchBytes = 1 << 30
	headSize   = 64 << 10
)

// Sweep goes through the folders once.
func Sweep(ctx context.Context, index *leakscan.Index, o Options) (*Report, error) {
	if o.Least <= 0 {
		o.Least = DefaultLeast
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	if o.Do == nil {
		o.Do = scan.By(index)
	}
	sum := index.Sum()
	r := &Report{path: o.State, index: fmt.Sprintf("%x", sum), least: o.Least, known: map[string]*File{}}
	before, err := r.read()
	if err != nil {
		return nil, err
	}
	pieces, err := scan.List(ctx, o.Paths)
	if err != nil {
		return nil, err
	}
	var batch []scan.Piece
	var size int64
	for n, p := range pieces {
		if err := ctx.Err(); err != nil {
			return nil, errors.Join(err, r.keep(before))
		}
		r.Files++
		f, err := look(p.Path)
		if err != nil { // it is gone, or may not be read: the scan says so
			f = &File{Path: p.Path}
		}
		if was := before[p.Path]; err == nil && was != nil && was.same(f) {
			was.Owner = f.Owner
			r.known[p.Path] = was
		} else {
			r.known[p.Path] = f
			batch, size = append(batch, p), size+p.Size
		}
		if len(batch) > 0 && (len(batch) >= batchFiles || size >= batchBytes || n == len(pieces)-1) {
			if err := r.scan(ctx, index, o, batch); err != nil {
				return nil, errors.Join(err, r.keep(before))
			}
			if err := r.keep(before); err != nil {
				return nil, err
			}
			batch, size = nil, 0
		}
		o.Progress(int64(n+1), int64(len(pieces)))
	}
	if len(batch) > 0 {
		if err := r.scan(ctx, index, o, batch); err != nil {
			return nil, errors.Join(err, r.keep(before))
		}
	}
	r.sum()
	return r, r.keep(nil)
}

func (f *File) same(now *File) bool {
	return f.Size == now.Size && f.Modified == now.Modified && f.Inode == now.Inode && f.Head == now.Head && f.State != ""
}

// look takes down what tells a file from what it was.
func look(path string) (*File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fs.ErrInvalid)
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(file, headSize)); err != nil {
		return nil, err
	}
	f := &File{Path: path, Size: info.Size(), Modified: info.ModTime().UnixNano(), Head: fmt.Sprintf("%x", h.Sum(nil))}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		f.Inode, f.Owner = uint64(s.Ino), owner(s.Uid)
	}
	return f, nil
}

// owner is the name of a file's owner, or their number.
func owner(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// scan reads a batch.
func (r *Report) scan(ctx context.Context, index *leakscan.Index, o Options, batch []scan.Piece) error {
	came, err := o.Do(ctx, scan.Options{Workers: o.Workers, Passwords: o.Passwords, Stretch: scan.Uncut}, batch)
	if err != nil {
		return err
	}
	result, err := scan.Join(index, len(came), func(file, _ int) ([]byte, error) { return came[file].Result, nil })
	if err != nil {
		return err
	}
	result.PerFile(func(found scan.FileFindings) {
		f := r.known[found.Path]
		if f == nil {
			return
		}
		if _, err := os.Lstat(f.Path); errors.Is(err, fs.ErrNotExist) { // it was deleted meanwhile
			delete(r.known, f.Path)
			return
		}
		f.State, f.Unread, f.People, f.Told = found.State, found.Unread, map[string]int{}, false
		for grade, n := range found.People {
			f.People[grade.String()] = n
		}
		r.Read++
	})
	return nil
}

// sum makes the report.
func (r *Report) sum() {
	type key struct{ folder, owner string }
	folders := map[key]*Folder{}
	for _, path := range slices.Sorted(maps.Keys(r.known)) {
		f := r.known[path]
		if f.Unread > 0 {
			r.Unread++
		}
		if f.Sure() < r.least {
			continue
		}
		r.Strays = append(r.Strays, *f)
		if !f.Told {
			r.New++
		}
		k := key{filepath.Dir(path), f.Owner}
		if folders[k] == nil {
			folders[k] = &Folder{Folder: k.folder, Owner: k.owner}
		}
		folders[k].Files++
		folders[k].People += f.Sure()
	}
	for _, f := range folders {
		r.Folders = append(r.Folders, *f)
	}
	slices.SortFunc(r.Folders, func(a, b Folder) int {
		return cmp.Or(cmp.Compare(b.People, a.People), cmp.Compare(a.Folder, b.Folder), cmp.Compare(a.Owner, b.Owner))
	})
}

// Told notes that somebody was told of the strays: they are no news any more.
func (r *Report) Told() error {
	for i := range r.Strays {
		r.known[r.Strays[i].Path].Told = true
	}
	r.New = 0
	return r.keep(nil)
}

// People are those in strays that nobody was told of; who is in two counts in each.
func (r *Report) People() (n int) {
	for i := range r.Strays {
		if !r.Strays[i].Told {
			n += r.Strays[i].Sure()
		}
	}
	return n
}

// stateHead is the state's first line.
type stateHead struct {
	Version int    `json:"version"`
	Index   string `json:"index"`
}

// longestLine bounds a line of the state: a path has at most 4,096 bytes.
const longestLine = 1 << 20

// read reads what an earlier sweep kept, if it was with this index.
func (r *Report) read() (map[string]*File, error) {
	known := map[string]*File{}
	file, err := os.Open(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of the sweeps: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 1<<16), longestLine)
	for n := 0; lines.Scan(); n++ {
		if n == 0 {
			var head stateHead
			if json.Unmarshal(lines.Bytes(), &head) != nil || head.Version != 1 {
				return nil, errors.New("the state of the sweeps isn't one; give another file for it")
			}
			if head.Index != r.index {
				return known, nil // what that index didn't know, this one may
			}
			continue
		}
		var f File
		if json.Unmarshal(lines.Bytes(), &f) != nil || f.Path == "" {
			continue // it is read again
		}
		known[f.Path] = &f
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the state of the sweeps: %w", err)
	}
	return known, nil
}

// keep writes the state, with what an unfinished sweep hasn't come to yet.
func (r *Report) keep(before map[string]*File) error {
	temp, err := os.CreateTemp(filepath.Dir(r.path), ".sweep-*")
	if err != nil {
		return fmt.Errorf("keep the state of the sweeps: %w", err)
	}
	defer os.Remove(temp.Name()) // gone, once it is renamed
	w := bufio.NewWriter(temp)
	enc := json.NewEncoder(w)
	err = enc.Encode(stateHead{1, r.index})
	put := func(f *File) {
		if err == nil && f.State != "" {
			err = enc.Encode(f)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(r.known)) {
		put(r.known[path])
	}
	for path, f := range before {
		if r.known[path] == nil {
			put(f)
		}
	}
	err = errors.Join(err, w.Flush(), temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), r.path)
	}
	if err != nil {
		return fmt.Errorf("keep the state of the sweeps: %w", err)
	}
	return nil
}
