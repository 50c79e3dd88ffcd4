package apart

import (
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"

	"azekura/leakscan"
	"azekura/leakscan/scan"
)

// Worker has pieces of scans done by a process of its own, which is begun with the
// first, and anew after it failed. A zero Paths lets it read whatever its user may.
type Worker struct {
	Program []string
	Order   Order // its index, key and paths

	mu   sync.Mutex
	cmd  *exec.Cmd
	end  context.CancelFunc
	temp string
	in   *gob.Encoder
	out  *json.Decoder
	left *io.LimitedReader // of what an answer may have
}

// request is what it is asked to do.
type request struct {
	Options scan.Options
	Pieces  []scan.Piece
}

// answer is what it says to that. It names no path: those are known here.
type answer struct {
	Came   []scan.Came `json:"came"`
	Error  string      `json:"error,omitempty"`
	Change bool        `json:"change,omitempty"` // it was scan.ErrChanged
}

// mostAnswer bounds what came of some pieces: a finding is some 40 bytes.
const mostAnswer = 4 << 30

// Do is scan.Do, in the other process, one call after the other.
func (w *Worker) Do(ctx context.Context, o scan.Options, pieces []scan.Piece) ([]scan.Came, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cmd == nil {
		if err := w.begin(); err != nil {
			return nil, errors.Join(fmt.Errorf("%w: %w", ErrFailed, err), w.stop())
		}
	}
	// Who is told to stop stops the process: it may be deep in a file.
	stop := context.AfterFunc(ctx, w.end)
	defer stop()
	var a answer
	w.left.N = mostAnswer
	err := w.in.Encode(request{o, pieces})
	if err == nil {
		err = w.out.Decode(&a)
	}
	switch {
	case ctx.Err() != nil:
		return nil, errors.Join(ctx.Err(), w.stop())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("%w: it ended too early", ErrFailed), w.stop())
	case a.Change:
		return nil, scan.ErrChanged
	case a.Error != "":
		return nil, fmt.Errorf("%w: %s", ErrFailed, a.Error)
	case !a.of(pieces):
		return nil, errors.Join(fmt.Errorf("%w: what it says isn't of what it was asked", ErrFailed), w.stop())
	}
	return a.Came, nil
}

// of says whether an answer can be of these pieces, and puts their paths into it: who
// has taken the process over makes nobody read another file.
func (a *answer) of(pieces []scan.Piece) bool {
	if len(a.Came) != len(pieces) {
		return false
	}
	for i, c := range a.Came {
		for n := range c.More {
			p := &c.More[n]
			if p.Stretch == nil || len(p.Stretch.Blocks) == 0 {
				return false
			}
			p.Path = pieces[i].Path
		}
	}
	return true
}

func (w *Worker) begin() (err error) {
	if w.temp, err = os.MkdirTemp("", tempPattern); err != nil {
		return err
	}
	var ctx context.Context
	ctx, w.end = context.WithCancel(context.Background())
	cmd, in, out, err := start(ctx, w.Program, w.temp)
	if err != nil {
		return err
	}
	w.cmd, w.in, w.left = cmd, gob.NewEncoder(in), &io.LimitedReader{R: out}
	w.out = json.NewDecoder(w.left)
	o := w.Order
	o.Pieces = true
	return w.in.Encode(o)
}

// stop ends the process, and removes what it unpacked.
func (w *Worker) stop() error {
	if w.end != nil {
		w.end()
	}
	if w.cmd != nil {
		_ = w.cmd.Wait() // it was killed
	}
	w.cmd, w.end = nil, nil
	return os.RemoveAll(w.temp)
}

// Close ends it.
func (w *Worker) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.Order.Key)
	return w.stop()
}

// pieces does what comes, until nobody is there who asks.
func (o *Order) pieces(ctx context.Context, x *leakscan.Index, asked <-chan request, out *json.Encoder) error {
	do := scan.By(x)
	for {
		var r request
		select {
		case r = <-asked:
		case <-ctx.Done():
			return nil
		}
		came, err := do(ctx, r.Options, r.Pieces)
		for i := range came {
			for n := range came[i].More {
				came[i].More[n].Path = ""
			}
		}
		a := answer{Came: came, Change: errors.Is(err, scan.ErrChanged)}
		if err != nil {
			a.Error, a.Came = err.Error(), nil
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}
