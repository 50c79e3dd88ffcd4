// Package apart scans in a process of its own: strangers' files are parsed where
// there is nothing to be had but one case's key and index. All scans run so, those by
// the server and those by hand, sweeps and the workers of a scan that is shared.
//
// It promises that the other process gets no environment but where programs and
// temporary files are, ends when the one that began it does, and opens no socket: it
// reaches no network and no program, the operator's socket among them, but by what it
// answers. Where the kernel has Landlock (Linux 5.13 and later) it opens only the files
// that it is to read and the system's programs, and writes only into the scan's folder
// and a temporary one that goes with it. Where that isn't there, as in some containers,
// it could read and write what its user can. A network of its own is a second bar,
// where the system gives it one.
//
// It doesn't promise that the answer is true: who takes the process over can say that
// people are in a file who aren't, or aren't who are.
package apart

import (
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"azekura/leakscan"
	"azekura/leakscan/scan"
)

// Order is what the other process is to do: scan paths into a folder, show a piece of
// evidence, or do pieces as they come.
type Order struct {
	Index     string      `json:"index"`
	Key       []byte      `json:"key"`
	Paths     []string    `json:"paths,omitempty"`
	Folder    string      `json:"folder,omitempty"`
	Passwords []string    `json:"passwords,omitempty"`
	Workers   int         `json:"workers,omitempty"`
	Show      *scan.Place `json:"show,omitempty"`
	// Pieces of scans come after the order: see Worker.
	Pieces bool `json:"pieces,omitempty"`
}

// line is what it answers with.
type line struct {
	Done  int64  `json:"done,omitempty"`
	Total int64  `json:"total,omitempty"`
	Text  string `json:"text,omitempty"`
	Error string `json:"error,omitempty"`
	End   bool   `json:"end,omitempty"`
}

// ErrFailed is what became of a process that didn't come to its end.
var ErrFailed = errors.New("the scan's process failed")

const tempPattern = "azekura-apart-"

// Run has a program, which calls Main, carry an order out. It returns the text that
// was to be shown.
func Run(ctx context.Context, program []string, o Order, progress func(done, total int64)) (text string, err error) {
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	// What was unpacked goes even where the other process is killed.
	temp, err := os.MkdirTemp("", tempPattern)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrFailed, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	cmd, in, out, err := start(running, program, temp)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrFailed, err)
	}
	err = gob.NewEncoder(in).Encode(o) // a path may be of any bytes
	last := line{Error: "it ended too early"}
	for d := json.NewDecoder(io.LimitReader(out, 64<<20)); err == nil; {
		var l line
		if err = d.Decode(&l); err != nil {
			break
		}
		if l.End {
			last = l
			break
		}
		progress(l.Done, l.Total)
	}
	cancel()
	_ = cmd.Wait() // what counts is what it said
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if last.Error != "" {
		return "", fmt.Errorf("%w: %s", ErrFailed, last.Error)
	}
	return last.Text, nil
}

// Main is the other process: it carries out the order that comes in.
func Main(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := gob.NewDecoder(in) // of who began this
	var o Order
	if err := d.Decode(&o); err != nil {
		return fmt.Errorf("read what to do: %w", err)
	}
	if err := o.confine(); err != nil {
		return fmt.Errorf("confine the scan's process: %w", err)
	}
	asked := make(chan request)
	go func() {
		defer cancel() // whoever began this is gone
		for {
			var r request
			if d.Decode(&r) != nil {
				return
			}
			select {
			case asked <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	text, err := o.carry(ctx, asked, json.NewEncoder(out))
	if o.Pieces && err != nil {
		return errors.Join(err, json.NewEncoder(out).Encode(answer{Error: err.Error()}))
	}
	last := line{End: true, Text: text}
	if err != nil {
		last.Error = err.Error()
	}
	return json.NewEncoder(out).Encode(last)
}

func (o *Order) carry(ctx context.Context, asked <-chan request, out *json.Encoder) (text string, err error) {
	keys, err := leakscan.NewKeys(o.Key)
	clear(o.Key)
	if err != nil {
		return "", err
	}
	x, err := leakscan.Open(o.Index, keys)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	if o.Pieces {
		return "", o.pieces(ctx, x, asked, out)
	}
	if o.Show != nil {
		return scan.Show(ctx, x, scan.Options{Passwords: o.Passwords}, *o.Show)
	}
	var turn sync.Mutex
	var last time.Time
	r, err := scan.Run(ctx, x, scan.Options{Paths: o.Paths, Workers: o.Workers, Passwords: o.Passwords, Journal: filepath.Join(o.Folder, scan.JournalFile),
		Progress: func(done, total int64) {
			if !turn.TryLock() {
				return
			}
			defer turn.Unlock()
			if time.Since(last) > 200*time.Millisecond {
				last = time.Now()
				_ = out.Encode(line{Done: done, Total: total}) // a reader that is gone ends us
			}
		}})
	if err != nil {
		return "", err
	}
	return "", r.WriteFolder(o.Folder)
}
