package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Options say what to check.
type Options struct {
	Keys    Keys
	Since   []byte // an earlier checkpoint, from which the log must have grown
	Entries bool   // fail where entries can't be read; otherwise they are left out, and the report says so
	Workers int    // read beside each other; 0 is 8
	// Progress hears of entries under the tiles done so far, from one goroutine
	// at a time.
	Progress func(done, total int64)
	// Keep is given every file once it is checked, and the checkpoint last. Tiles
	// come from several goroutines.
	Keep func(path string, data []byte) error

	ever  []note.Verifier // keys that sign or signed the log; for Since
	grown []Head          // heads at which a key handed on
	ends  bool            // the last of these is the log's end
}

// Report is what Log checked.
type Report struct {
	Head
	RootText string `json:"root"`
	Tiles    int64  `json:"tiles"`   // hash tiles, partial ones too
	Entries  int64  `json:"entries"` // entries hashed: all, or none
	Since    int64  `json:"since"`   // the earlier checkpoint's size, or -1
	Signed   []byte `json:"-"`       // the checkpoint
}

// Fault is a file that isn't what was signed, or isn't there. The entries from
// First up to End stand under it; those before First are right, if they were
// asked for.
type Fault struct {
	Path       string
	First, End int64
	What       string
}

func (f *Fault) Error() string {
	if f.End == f.First+1 {
		return fmt.Sprintf("%s: %s (entry %d)", f.Path, f.What, f.First)
	}
	return fmt.Sprintf("%s: %s (entries %d to %d)", f.Path, f.What, f.First, f.End-1)
}

// Log checks a log. An error is a *Fault if the log is to blame.
func Log(ctx context.Context, src Source, o Options) (Report, error) {
	c := &checker{src: src, o: o}
	signed, err := src.Read(ctx, "checkpoint", maxCheckpoint)
	if err != nil {
		return Report{}, fmt.Errorf("read the checkpoint: %w", err)
	}
	if c.head, err = o.Keys.Open(signed); err != nil {
		return Report{}, err
	}
	since, err := c.grown(ctx)
	if err != nil {
		return Report{}, err
	}
	if err := c.findEntries(ctx); err != nil {
		return Report{}, err
	}
	if err := c.walk(ctx); err != nil {
		return Report{}, err
	}
	if o.Keep != nil {
		if err := o.Keep("checkpoint", signed); err != nil {
			return Report{}, err
		}
	}
	r := Report{Head: c.head, RootText: c.head.Root.String(), Tiles: c.tiles, Since: since, Signed: signed}
	if c.entries {
		r.Entries = c.head.Size
	}
	return r, nil
}

type checker struct {
	src     Source
	o       Options
	head    Head
	entries bool // are checked too

	mu    sync.Mutex
	tiles int64
	done  int64
	fault *Fault // the first so far
	err   error  // why something couldn't be read
}

// grown proves that the log at the earlier checkpoint is the beginning of this
// one (RFC 6962 2.1.2). tlog's reader takes no hash that the signed root doesn't
// vouch for.
func (c *checker) grown(ctx context.Context) (int64, error) {
	for _, old := range c.o.grown {
		if err := c.extends(ctx, old); err != nil {
			return -1, fmt.Errorf("the head at which a key handed on: %w", err)
		}
	}
	if n := len(c.o.grown); c.o.ends && c.head.Size != c.o.grown[n-1].Size {
		return -1, &Fault{"checkpoint", c.o.grown[n-1].Size, c.head.Size, "the log goes on behind the head that names the log after it"}
	}
	if c.o.Since == nil {
		return -1, nil
	}
	keys := Keys{Log: c.o.Keys.Log}
	if c.o.ever != nil {
		keys.Log = c.o.ever
	}
	old, err := keys.Open(c.o.Since)
	if err != nil {
		return -1, fmt.Errorf("the earlier checkpoint: %w", err)
	}
	return old.Size, c.extends(ctx, old)
}

func (c *checker) extends(ctx context.Context, old Head) error {
	rewritten := &Fault{"checkpoint", 0, max(old.Size, 1), fmt.Sprintf("an earlier checkpoint of %d entries has another beginning: history was rewritten", old.Size)}
	switch {
	case old.Origin != c.head.Origin:
		return fmt.Errorf("the earlier checkpoint is of another log, %q", old.Origin)
	case old.Size > c.head.Size:
		return &Fault{"checkpoint", c.head.Size, old.Size, fmt.Sprintf("the log is shorter than it was: an earlier checkpoint has %d entries", old.Size)}
	case old.Size == c.head.Size && old.Root != c.head.Root:
		return rewritten
	case old.Size == c.head.Size:
		return nil
	case old.Size == 0:
		if empty, _ := tlog.TreeHash(0, nil); old.Root != empty {
			return rewritten
		}
		return nil
	}
	proof, err := tlog.ProveTree(c.head.Size, old.Size, c.hashes(ctx))
	if err != nil {
		return fmt.Errorf("prove that the log has grown: %w", err)
	}
	if tlog.CheckTree(proof, c.head.Size, c.head.Root, old.Size, old.Root) != nil {
		return rewritten
	}
	return nil
}

// findEntries asks for the first bundle, to see whether entries may be read.
func (c *checker) findEntries(ctx context.Context) error {
	if c.head.Size == 0 {
		c.entries = c.o.Entries
		return nil
	}
	_, err := c.read(ctx, tlog.Tile{H: height, L: -1, W: int(min(width, c.head.Size))})
	var fault *Fault
	missing := errors.As(err, &fault) && fault.What == isMissing
	if err == nil || fault != nil && !missing {
		c.entries = true // what is wrong with it is found again
		return nil
	}
	if c.o.Entries || !missing && !errors.Is(err, ErrRefused) {
		return fmt.Errorf("read the entries: %w", err)
	}
	return nil
}

const isMissing = "it is missing"

// read reads a tile or a bundle. Where a partial one is gone, because the log has
// grown, the full one has what it had.
func (c *checker) read(ctx context.Context, t tlog.Tile) ([]byte, error) {
	bad := func(what string) error {
		level := height * max(t.L, 0)
		first := t.N << (level + height)
		return &Fault{Path(t), first, min(first+int64(t.W)<<level, c.head.Size), what}
	}
	for _, w := range []int{t.W, width} {
		whole := t
		whole.W = w
		limit := int64(w) * tlog.HashSize
		if t.L == -1 {
			limit = int64(w) * (2 + 1<<16)
		}
		data, err := c.src.Read(ctx, Path(whole), limit)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, errLong):
			return nil, bad("it is too long")
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", Path(whole), err)
		}
		if t.L == -1 {
			if data = cutBundle(data, w, t.W); data == nil {
				return nil, bad(fmt.Sprintf("it isn't %d entries behind their lengths", w))
			}
		} else if len(data) != w*tlog.HashSize {
			return nil, bad(fmt.Sprintf("it isn't %d hashes long", w))
		} else {
			data = data[:t.W*tlog.HashSize]
		}
		return data, nil
	}
	return nil, bad(isMissing)
}

// hashes reads nodes of the tree, each one vouched for by the signed root.
func (c *checker) hashes(ctx context.Context) tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: c.head.Size, Hash: c.head.Root}, tileReader{ctx, c})
}

type tileReader struct {
	ctx context.Context
	c   *checker
}

func (r tileReader) Height() int { return height }

func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	list := make([][]byte, len(tiles))
	for i, t := range tiles {
		var err error
		if list[i], err = r.c.read(r.ctx, t); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (r tileReader) SaveTiles([]tlog.Tile, [][]byte) {}
