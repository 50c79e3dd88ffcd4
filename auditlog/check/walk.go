package check

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
)

// job is a tile of the lowest level: its hashes, if they are vouched for by
// themselves, or the hash that vouches for them.
type job struct {
	tile   tlog.Tile
	hashes []byte
	want   tlog.Hash
}

// walk goes from the root down and left to right. The lowest tiles and the
// entries under them, which are nearly all, go to workers.
func (c *checker) walk(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	edge, err := c.edge(ctx)
	if err != nil {
		return err
	}
	jobs := make(chan job)
	var workers sync.WaitGroup
	n := c.o.Workers
	if n <= 0 {
		n = 8
	}
	for range n {
		workers.Go(func() {
			for j := range jobs {
				if err := c.lowest(ctx, j); err != nil && c.blame(err) {
					cancel()
				}
			}
		})
	}
	for level := len(edge) - 1; level >= 0; level-- {
		if edge[level].hashes == nil {
			continue
		}
		if err := c.descend(ctx, edge[level], jobs); err != nil {
			c.blame(err)
			break
		}
	}
	close(jobs)
	workers.Wait()
	if c.fault != nil {
		return c.fault
	}
	return c.err
}

// edge reads the unfilled tile of each level, and refuses them unless they give
// the signed root: they hold the perfect subtrees of which the root is made.
func (c *checker) edge(ctx context.Context) (edge []job, err error) {
	var roots []tlog.Hash // of the perfect subtrees, right to left
	for level := 0; c.head.Size>>(height*level) > 0; level++ {
		n := c.head.Size >> (height * level)
		j := job{tile: tlog.Tile{H: height, L: level, N: n / width, W: int(n % width)}}
		if j.tile.W > 0 {
			if j.hashes, err = c.read(ctx, j.tile); err != nil {
				return nil, err
			}
		}
		edge = append(edge, j)
		for rest, w := j.hashes, 1; w < width; w *= 2 {
			if j.tile.W&w != 0 {
				cut := len(rest) - w*tlog.HashSize
				roots = append(roots, subtree(rest[cut:]))
				rest = rest[:cut]
			}
		}
	}
	root, _ := tlog.TreeHash(0, nil) // of no entries; reads nothing
	for i, r := range roots {
		if i == 0 {
			root = r
		} else {
			root = tlog.NodeHash(r, root)
		}
	}
	if root != c.head.Root {
		return nil, &Fault{"checkpoint", 0, max(c.head.Size, 1), "the log's last tiles don't lead to the signed root; which one is wrong can't be told"}
	}
	return edge, nil
}

// subtree is the root over a power of two of hashes (RFC 6962 2.1).
func subtree(hashes []byte) tlog.Hash {
	if len(hashes) == tlog.HashSize {
		return tlog.Hash(hashes)
	}
	half := len(hashes) / 2
	return tlog.NodeHash(subtree(hashes[:half]), subtree(hashes[half:]))
}

var errEnough = errors.New("something is wrong already")

// descend checks what stands below a tile whose hashes are vouched for.
func (c *checker) descend(ctx context.Context, j job, jobs chan<- job) error {
	if j.tile.L == 0 {
		return c.hand(ctx, j, jobs)
	}
	if err := c.keep(j); err != nil {
		return err
	}
	for i := range int64(j.tile.W) {
		below := job{tile: tlog.Tile{H: height, L: j.tile.L - 1, N: j.tile.N*width + i, W: width},
			want: tlog.Hash(j.hashes[i*tlog.HashSize : (i+1)*tlog.HashSize])}
		var err error
		if below.tile.L > 0 {
			below, err = c.fetch(ctx, below)
		}
		if err == nil {
			err = c.descend(ctx, below, jobs)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// hand gives a lowest tile to a worker, unless something was found: all tiles
// before that one have been handed out then.
func (c *checker) hand(ctx context.Context, j job, jobs chan<- job) error {
	c.mu.Lock()
	enough := c.fault != nil || c.err != nil
	c.mu.Unlock()
	if enough {
		return errEnough
	}
	select {
	case jobs <- j:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fetch reads a tile and holds it against the hash that vouches for it.
func (c *checker) fetch(ctx context.Context, j job) (job, error) {
	var err error
	if j.hashes, err = c.read(ctx, j.tile); err != nil {
		return j, err
	}
	if subtree(j.hashes) != j.want {
		first := j.tile.N << (height * (j.tile.L + 1))
		return j, &Fault{Path(j.tile), first, first + 1<<(height*(j.tile.L+1)), "the tile isn't what the tile above it vouches for"}
	}
	return j, nil
}

// lowest checks a tile of leaf hashes and the entries under it.
func (c *checker) lowest(ctx context.Context, j job) (err error) {
	if j.hashes == nil {
		if j, err = c.fetch(ctx, j); err != nil {
			return err
		}
	}
	if err := c.keep(j); err != nil {
		return err
	}
	if c.entries {
		if err := c.bundle(ctx, j); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done += int64(j.tile.W)
	if c.o.Progress != nil {
		c.o.Progress(c.done, c.head.Size)
	}
	return nil
}

// bundle holds each entry of a bundle against its leaf hash.
func (c *checker) bundle(ctx context.Context, j job) error {
	t := j.tile
	t.L = -1
	data, err := c.read(ctx, t)
	if err != nil {
		return err
	}
	rest := data
	for i := range t.W {
		var entry []byte
		entry, rest = cutEntry(rest)
		if hash := tlog.RecordHash(entry); hash != tlog.Hash(j.hashes[i*tlog.HashSize:(i+1)*tlog.HashSize]) {
			index := t.N*width + int64(i)
			return &Fault{Path(t), index, index + 1, "the entry isn't what was signed"}
		}
	}
	if c.o.Keep != nil {
		return c.o.Keep(Path(t), data)
	}
	return nil
}

// cutEntry cuts the first entry off a bundle that is well formed.
func cutEntry(bundle []byte) (entry, rest []byte) {
	n := 2 + int(binary.BigEndian.Uint16(bundle))
	return bundle[2:n], bundle[n:]
}

// cutBundle is the beginning of a bundle, want entries of it, or nil if it isn't
// just so many entries.
func cutBundle(bundle []byte, entries, want int) []byte {
	at := 0
	cut := -1
	for i := range entries {
		if i == want {
			cut = at
		}
		if len(bundle)-at < 2 {
			return nil
		}
		at += 2 + int(binary.BigEndian.Uint16(bundle[at:]))
		if at > len(bundle) {
			return nil
		}
	}
	if at != len(bundle) {
		return nil
	}
	if cut < 0 {
		cut = at
	}
	return bundle[:cut]
}

// keep counts a tile that was checked, and hands it on.
func (c *checker) keep(j job) error {
	c.mu.Lock()
	c.tiles++
	c.mu.Unlock()
	if c.o.Keep == nil {
		return nil
	}
	if err := c.o.Keep(Path(j.tile), j.hashes); err != nil {
		return fmt.Errorf("keep %s: %w", Path(j.tile), err)
	}
	return nil
}

// blame keeps the first fault, and tells whether reading itself failed.
func (c *checker) blame(err error) (broken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var f *Fault
	switch {
	case errors.Is(err, errEnough):
	case errors.As(err, &f):
		if c.fault == nil || f.First < c.fault.First {
			c.fault = f
		}
	default:
		if c.err == nil {
			c.err = err
		}
		return true
	}
	return false
}
