package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"azekura/auditlog"
	"azekura/witness"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// A chunk ends at so many events, bytes of lines or blocks of sets, whichever
	// comes first; and so many blocks of 24 KiB go into one upload.
	chunkEvents = 4096
	chunkBytes  = 4 << 20
	chunkBlocks = 1600
	partBlocks  = 160
)

// Feed is what mirrors are fed from.
type Feed struct {
	Origin string
	// To is the incident key's recipient: who has its identity can read a mirror.
	To age.Recipient
	// Lines calls f with lines from one index up to another, in order.
	Lines func(ctx context.Context, from, to int64, f func(index int64, line []byte) error) error
	// Blocks calls f with the sealed blocks of a set from one number up to another.
	Blocks func(ctx context.Context, setID, from, to int64, f func(block int64, sealed []byte) error) error
	// Sign signs an upload's note with the log's key.
	Sign func(text string) ([]byte, error)
}

// feeder keeps one mirror fed, with what its witness cosigned.
type feeder struct {
	*asked
	c    *Client
	from *Feed
	held atomic.Int64 // what the mirror has, as far as we know

	round head // that its witness was asked for last, with the lines of all who answered; the client's loop's alone
	lines int
	own   bool // one of them is its witness's

	mu    sync.Mutex
	head  head // that the witness cosigned last, its lines in the note
	full  head // the last that a quorum did, this witness among them
	since time.Time
	all   bool // don't wait for more events
	poke  chan struct{}
	moved chan struct{} // closed when held grows
}

func newFeeder(c *Client, a *asked, from *Feed) *feeder {
	own := *a // its size is the other goroutine's
	f := &feeder{asked: &own, c: c, from: from, poke: make(chan struct{}, 1), moved: make(chan struct{})}
	f.held.Store(-1)
	return f
}

// asking begins a round in which the mirror's witness is asked.
func (f *feeder) asking(h head) {
	h.note = bytes.Clone(h.note)
	f.round, f.lines, f.own = h, 0, false
}

// cosigned takes a witness's lines. What is uploaded bears all that came by then: a
// refill goes by a quorum's.
func (f *feeder) cosigned(h head, lines []byte, own bool) {
	if h.Size != f.round.Size {
		return // of another round
	}
	f.round.note = append(bytes.Clone(f.round.note), lines...)
	f.lines++
	f.own = f.own || own
	if !f.own {
		return
	}
	f.mu.Lock()
	f.head = f.round
	if f.lines >= f.c.o.Quorum() {
		f.full = f.round
	}
	if f.since.IsZero() && f.head.Size > f.held.Load() {
		f.since = time.Now()
	}
	f.mu.Unlock()
	f.wake()
}

func (f *feeder) wake() {
	select {
	case f.poke <- struct{}{}:
	default:
	}
}

// flush waits until all that was cosigned is mirrored.
func (f *feeder) flush(ctx context.Context) {
	for {
		f.mu.Lock()
		f.all = true
		reached, moved := f.held.Load() >= f.head.Size, f.moved
		f.mu.Unlock()
		if reached {
			return
		}
		f.wake()
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// run uploads whenever enough has gathered or has waited long enough.
func (f *feeder) run(ctx context.Context) {
	pause, said := firstPause, ""
	wait := time.Hour
	for {
		select {
		case <-f.poke:
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		var h head
		if h, wait = f.due(); wait > 0 {
			continue
		}
		err := f.feed(ctx, h)
		if err == nil {
			pause, said, wait = firstPause, "", time.Millisecond // look again
			continue
		}
		if ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			f.c.o.LogError(fmt.Errorf("feed the mirror %s: %w", f.Name(), err))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause, wait = min(2*pause, lastPause), time.Millisecond
	}
}

// due is the head up to which to upload now, or how long to wait: a quorum's if
// there is one, and after the time that an event may wait this witness's own.
func (f *feeder) due() (head, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := f.held.Load()
	if f.head.note == nil || held >= f.head.Size {
		return head{}, time.Hour
	}
	rest := time.Duration(f.c.o.MirrorAfter) - time.Since(f.since)
	switch waited := rest <= 0 || held < 0; {
	case f.full.Size > held && (waited || f.all || f.full.Size-held >= chunkEvents):
		return f.full, 0
	case waited || f.all && f.full.Size <= held:
		return f.head, 0
	default:
		return head{}, rest
	}
}

// feed uploads one chunk under a head, or learns how far the mirror is.
func (f *feeder) feed(ctx context.Context, h head) error {
	if f.held.Load() < 0 {
		return f.ask(ctx)
	}
	chunk, err := f.from.gather(ctx, f.held.Load(), h.Size)
	if err != nil {
		return err
	}
	chain, err := f.chain(ctx, h, chunk.to)
	if err != nil {
		return err
	}
	return chunk.each(ctx, f.from, chain, func(raw []byte) error {
		status, kind, answer, err := f.post(ctx, "logs/"+witness.LogName(f.from.Origin)+"/mirror", raw)
		if err != nil {
			return err
		}
		return f.heard(status, kind, answer)
	})
}

// chain proves that a head extends the tree of a size.
func (f *feeder) chain(ctx context.Context, h head, size int64) ([]byte, error) {
	r := witness.Request{Old: size, Note: h.note}
	if size < h.Size {
		reader, err := f.hashes(ctx, h.Size)
		if err == nil {
			r.Proof, err = tlog.ProveTree(h.Size, size, reader)
		}
		if err != nil {
			return nil, fmt.Errorf("prove the log's growth: %w", err)
		}
	}
	return r.Format(), nil
}

// heard takes the mirror's answer.
func (f *feeder) heard(status int, kind string, answer []byte) error {
	var held witness.Held
	switch {
	case status == http.StatusOK:
		if err := json.Unmarshal(answer, &held); err != nil {
			return errNoAnswer
		}
	case status == http.StatusConflict && kind == witness.SizeType:
		n, err := strconv.ParseInt(strings.TrimSpace(string(answer)), 10, 64)
		if err != nil {
			return errNoAnswer
		}
		f.at(n)
		return errors.New("the mirror wants the chunk again from its beginning")
	case status == http.StatusNotFound:
		return errNotMirrored
	default:
		return fmt.Errorf("%w (status %d: %s)", errNoAnswer, status, strings.TrimSpace(string(answer)))
	}
	f.at(held.Size)
	return nil
}

// at notes how far the mirror is.
func (f *feeder) at(size int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held.Store(size)
	f.since = time.Time{}
	if size < f.head.Size {
		f.since = time.Now()
	}
	close(f.moved)
	f.moved = make(chan struct{})
}

// chunk is a run of events, and the sets among them.
type chunk struct {
	from, to int64
	lines    []Record
	leaves   []tlog.Hash
	sets     []setBlocks
	blocks   int64
}

type setBlocks struct{ id, blocks int64 }

var errFull = errors.New("the chunk is full")

// gather reads the events from one index on, up to another at the most.
func (m *Feed) gather(ctx context.Context, from, to int64) (*chunk, error) {
	c := &chunk{from: from, to: from}
	size := 0
	err := m.Lines(ctx, from, min(to, from+chunkEvents), func(_ int64, line []byte) error {
		e, err := auditlog.ParseLine(line)
		if err != nil {
			return fmt.Errorf("event %d: %w", c.to, err)
		}
		blocks := int64(0)
		if e.Set != nil {
			blocks = (e.Set.Count + auditlog.BlockMembers - 1) / auditlog.BlockMembers
		}
		if c.to > from && (size+len(line) > chunkBytes || c.blocks+blocks > chunkBlocks) {
			return errFull
		}
		if e.Set != nil {
			c.sets = append(c.sets, setBlocks{e.Set.ID, blocks})
			c.blocks += blocks
		}
		c.lines = append(c.lines, Record{Line: bytes.Clone(line)})
		c.leaves = append(c.leaves, tlog.RecordHash(line))
		c.to++
		size += len(line)
		return nil
	})
	if errors.Is(err, errFull) {
		err = nil
	}
	return c, err
}

// each makes the chunk's uploads, the sets' blocks first, and sends them in order.
func (c *chunk) each(ctx context.Context, m *Feed, chain []byte, send func(raw []byte) error) error {
	u := witness.Upload{Origin: m.Origin, From: c.from, To: c.to, Parts: int((c.blocks+partBlocks-1)/partBlocks) + 1}
	if u.Parts > witness.MaxParts {
		return errors.New("a set is larger than a mirror takes")
	}
	upload := func(list []Record) error {
		var err error
		if u.Sealed, err = seal(m.To, list); err != nil {
			return err
		}
		raw, err := u.Encode(m.Sign)
		if err != nil {
			return err
		}
		if err := send(raw); err != nil {
			return err
		}
		u.Part++
		return nil
	}
	var list []Record
	for _, set := range c.sets {
		for at := int64(0); at < set.blocks; {
			// Nothing is sent while the database's cursor is open.
			end := min(set.blocks, at+int64(partBlocks-len(list)))
			if err := m.Blocks(ctx, set.id, at, end, func(block int64, sealed []byte) error {
				list = append(list, Record{Set: set.id, Block: block, Sealed: bytes.Clone(sealed)})
				return nil
			}); err != nil {
				return err
			}
			if at = end; len(list) >= partBlocks {
				if err := upload(list); err != nil {
					return err
				}
				list = list[:0]
			}
		}
	}
	if len(list) > 0 {
		if err := upload(list); err != nil {
			return err
		}
	}
	if !u.Last() {
		return fmt.Errorf("blocks of the sets between events %d and %d are missing; run azekura log verify", c.from, c.to)
	}
	u.Chain, u.Leaves = chain, c.leaves
	return upload(c.lines)
}
