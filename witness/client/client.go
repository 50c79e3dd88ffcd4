package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"azekura/auditlog"
	"azekura/internal/slotfile"
	"azekura/witness"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// pace is the least time between two rounds, and keep between two writes of
	// the cosigned head's file: a busy log has a thousand heads a second, and its
	// disk is wanted for other things.
	pace = 50 * time.Millisecond
	keep = time.Second
)

// Options say which log is cosigned and by whom.
type Options struct {
	Settings
	Path string // of the file that keeps the cosigned head
	Key  string // the log's vkey: what it signed is evidence
	// Checkpoint is the newest signed head, Signed pokes when there is a newer one.
	Checkpoint func() []byte
	Signed     <-chan struct{}
	// Hashes reads the tree of a size that was signed.
	Hashes func(ctx context.Context, size int64) (tlog.HashReader, error)
	// Since is when the event at an index was recorded.
	Since func(ctx context.Context, index int64) (time.Time, error)
	// Handovers are where keys of this log, or of those that it continues, named who
	// goes on; nil where there are none.
	Handovers func(ctx context.Context) ([]auditlog.Handover, error)
	// Refuse hears that nothing may be opened any more, and why.
	Refuse func(error)
	// Mirror feeds those witnesses that mirror; nil where none does.
	Mirror *Feed
	// Formers are the logs that this one continues, the oldest first.
	Formers []Former
	// LogError hears of witnesses that fail.
	LogError func(error)
	Now      func() time.Time
}

// Client asks witnesses. It is an auditlog.Cosigning.
type Client struct {
	o      Options
	asked  []*asked
	mail   []chan head
	result chan result
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
	feeds  []*feeder
	http   *http.Transport

	mu        sync.Mutex
	cosigned  head
	have      bool // cosigned is one
	confirmed bool // by a quorum, in this process
	tried     bool // a round is over, whatever came of it
	pending   time.Time
	refused   error
	disputes  []error       // by witness: why it doesn't cosign what is here; nil where it does
	changed   chan struct{} // closed at each change of these

	round  round // the loop's alone
	idle   []bool
	failed []string
	kept   time.Time
	stored int64
	last   time.Time
}

// round is one head on its way.
type round struct {
	head  head
	open  int // answers to come
	lines [][]byte
	begun time.Time
}

type result struct {
	who   int
	head  head
	lines []byte
	err   error
	idle  bool // it may be asked again
}

// Start begins to ask. The head that is signed now is asked for at once.
func Start(ctx context.Context, o Options) (*Client, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	log, err := note.NewVerifier(o.Key)
	if err != nil {
		return nil, fmt.Errorf("read the log's public key: %w", err)
	}
	n := len(o.Witnesses)
	c := &Client{o: o, result: make(chan result), changed: make(chan struct{}), idle: make([]bool, n), failed: make([]string, n), disputes: make([]error, n)}
	if err := c.load(ctx); err != nil {
		return nil, err
	}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.http = &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
		TLSHandshakeTimeout: patience, ForceAttemptHTTP2: true}
	for i, w := range o.Witnesses {
		keys, err := w.verifiers()
		if err != nil {
			return nil, err
		}
		a := &asked{Witness: w, keys: keys, hashes: o.Hashes, http: &http.Client{Transport: c.http, CheckRedirect: stay},
			log: log, newest: c.newest, handovers: o.Handovers, dispute: func(why error) { c.disputed(i, why) }}
		c.asked, c.mail, c.idle[i] = append(c.asked, a), append(c.mail, make(chan head)), true
		if w.Mirror && o.Mirror != nil {
			c.feeds = append(c.feeds, newFeeder(c, a, o.Mirror))
		} else {
			c.feeds = append(c.feeds, nil)
		}
	}
	for i, f := range c.feeds { // once the lists grow no more
		if f != nil {
			c.done.Go(func() { f.run(c.ctx) })
			c.done.Go(func() { c.formers(c.asked[i]) })
		}
		c.done.Go(func() { c.ask(i) })
	}
	c.done.Go(c.loop)
	return c, nil
}

// stay follows no redirection: an answer is the witness's own, by the URL that was
// trusted.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// load reads the cosigned head, and how long the log has waited since.
func (c *Client) load(ctx context.Context) error {
	newest, err := c.newest()
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(c.o.Path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		c.pending = c.o.Now()
		return nil
	case err != nil:
		return fmt.Errorf("read the cosigned head: %w", err)
	}
	if c.cosigned, err = c.open(raw); err != nil {
		// It is a convenience: a new one comes with the next round.
		c.o.LogError(fmt.Errorf("the file of the cosigned head isn't what k witnesses signed, so it is made again: %w", err))
		c.cosigned, c.pending = head{}, c.o.Now()
		return nil
	}
	c.have, c.stored = true, c.cosigned.Size
	if c.cosigned.Size < newest.Size {
		if c.pending, err = c.o.Since(ctx, c.cosigned.Size); err != nil {
			return fmt.Errorf("read since when the log isn't cosigned: %w", err)
		}
	}
	return nil
}

// open reads a cosigned head, with a quorum of the witnesses of today.
func (c *Client) open(raw []byte) (head, error) {
	cp, got, err := c.o.Vouched(raw)
	if err != nil {
		return head{}, err
	}
	if got < c.o.Quorum() {
		return head{}, fmt.Errorf("it has %d of %d cosignatures", got, c.o.Quorum())
	}
	return head{cp, raw}, nil
}

func (c *Client) newest() (head, error) {
	raw := c.o.Checkpoint()
	cp, err := witness.ParseCheckpoint(raw)
	if err != nil {
		return head{}, fmt.Errorf("read the log's head: %w", err)
	}
	return head{cp, raw}, nil
}

// ask is one witness's goroutine.
func (c *Client) ask(i int) {
	pause := firstPause
	for {
		var h head
		select {
		case h = <-c.mail[i]:
		case <-c.ctx.Done():
			return
		}
		lines, err := c.asked[i].cosign(c.ctx, h)
		if !c.tell(result{who: i, head: h, lines: lines, err: err, idle: err == nil}) {
			return
		}
		if err == nil {
			pause = firstPause
			continue
		}
		select {
		case <-time.After(pause):
		case <-c.ctx.Done():
			return
		}
		pause = min(2*pause, lastPause)
		if !c.tell(result{who: i, idle: true}) {
			return
		}
	}
}

func (c *Client) tell(r result) bool {
	select {
	case c.result <- r:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// loop begins rounds and takes their results.
func (c *Client) loop() {
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		select {
		case <-c.o.Signed:
		case r := <-c.result:
			c.take(r)
		case <-tick.C:
		case <-c.ctx.Done():
			c.store(true)
			return
		}
		c.note()
		c.store(false)
		wait := time.Hour
		if c.wanted() {
			if wait = pace - time.Since(c.last); wait <= 0 {
				c.begin()
				wait = time.Hour
			}
		}
		if c.have && c.stored != c.cosigned.Size {
			wait = min(wait, keep)
		}
		tick.Reset(wait)
	}
}

// note begins the lag when a head comes that isn't cosigned.
func (c *Client) note() {
	newest, err := c.newest()
	if err != nil {
		c.o.LogError(err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending.IsZero() && newest.Size > c.cosigned.Size {
		c.pending = c.o.Now()
	}
}

// wanted tells whether a round is to begin: enough witnesses are there to be
// asked, and there is something to ask. In a new process the first round is,
// whatever was cosigned before: a witness may know better.
func (c *Client) wanted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	free, again := 0, false // again: one that disputes may have come round
	for i, idle := range c.idle {
		if idle {
			free++
			again = again || c.disputes[i] != nil
		}
	}
	return c.round.open == 0 && c.refused == nil && free >= c.o.Quorum() && (again || !c.pending.IsZero() || !c.confirmed)
}

func (c *Client) begin() {
	h, err := c.newest()
	if err != nil {
		c.o.LogError(err)
		return
	}
	c.last = time.Now()
	c.round = round{head: h, begun: c.o.Now()}
	for i, idle := range c.idle {
		if idle {
			c.idle[i] = false
			c.round.open++
			if f := c.feeds[i]; f != nil {
				f.asking(h)
			}
			select {
			case c.mail[i] <- h: // its goroutine is waiting: it said that it is idle
			case <-c.ctx.Done():
			}
		}
	}
}

func (c *Client) take(r result) {
	if r.idle {
		c.idle[r.who] = true
	}
	if r.head.note == nil {
		return
	}
	who := c.asked[r.who]
	if r.err != nil {
		if errors.Is(r.err, auditlog.ErrOtherHistory) {
			c.refuse(r.err)
		} else if errors.Is(r.err, auditlog.ErrDisputed) && c.agreed() {
			c.refuse(fmt.Errorf("%w: %d witnesses say so; one of them: %v", auditlog.ErrOtherHistory, c.o.atLeast(), r.err))
		} else if text := r.err.Error(); c.failed[r.who] != text && c.ctx.Err() == nil { // once, and not at every try
			c.failed[r.who] = text
			c.o.LogError(fmt.Errorf("ask the witness %s: %w", who.Name(), r.err))
		}
	} else {
		c.failed[r.who] = ""
		c.disputed(r.who, nil)
		for i, f := range c.feeds {
			if f != nil {
				f.cosigned(r.head, r.lines, i == r.who)
			}
		}
	}
	if r.head.Size != c.round.head.Size || c.round.open == 0 {
		return // of a round that had its quorum without it
	}
	c.round.open--
	if r.err == nil {
		c.round.lines = append(c.round.lines, r.lines)
		if len(c.round.lines) == c.o.Quorum() {
			c.reached()
			return
		}
	}
	if c.round.open == 0 {
		c.mu.Lock()
		c.tried = true
		c.poke()
		c.mu.Unlock()
	}
}

// reached makes the round's head the cosigned one. Who hasn't answered yet is
// still being asked, and nobody waits for them.
func (c *Client) reached() {
	h := c.round.head
	h.note = append(bytes.Clone(h.note), bytes.Join(c.round.lines, nil)...)
	newest, err := c.newest()
	c.mu.Lock()
	c.cosigned, c.have, c.confirmed = h, true, true
	if err == nil && newest.Size <= h.Size {
		c.pending = time.Time{}
	} else {
		// The oldest head beyond this one came after the round began.
		c.pending = c.round.begun
	}
	c.poke()
	c.mu.Unlock()
	c.round.open = 0
}

// disputed notes why a witness doesn't cosign what is here; nil is that it does.
func (c *Client) disputed(who int, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.disputes[who] != nil || why != nil {
		c.disputes[who] = why
		c.poke()
	}
}

// atLeast is how many witnesses must dispute for the log to stop for good without
// evidence: a quorum, and two at the least, for one may lie.
func (o Options) atLeast() int { return max(o.Quorum(), 2) }

// agreed tells whether so many dispute.
func (c *Client) agreed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, one := range c.disputes {
		if one != nil {
			n++
		}
	}
	return n >= c.o.atLeast()
}

func (c *Client) refuse(why error) {
	c.mu.Lock()
	first := c.refused == nil
	if first {
		c.refused = why
	}
	c.poke()
	c.mu.Unlock()
	if !first {
		return
	}
	// Said at once: nobody may ask for anything until somebody wonders.
	c.o.LogError(why)
	if c.o.Refuse != nil {
		c.o.Refuse(why)
	}
}

// poke wakes who waits; the lock is held.
func (c *Client) poke() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// store keeps the cosigned head in its file, now and then.
func (c *Client) store(now bool) {
	if !c.have || c.stored == c.cosigned.Size || !now && time.Since(c.kept) < keep {
		return
	}
	c.kept = time.Now()
	if err := slotfile.Replace(c.o.Path, c.cosigned.note); err != nil {
		c.o.LogError(fmt.Errorf("keep the cosigned head: %w", err))
		return
	}
	c.stored = c.cosigned.Size
}

// grace is how long Close waits for the last head to be cosigned and mirrored.
const grace = 3 * time.Second

// Close ends the asking. If the witnesses answer, the last head is cosigned and
// mirrored before.
func (c *Client) Close() error {
	ctx, cancel := context.WithTimeout(c.ctx, grace)
	defer cancel()
	c.mu.Lock()
	answering := c.confirmed && c.lag() < grace
	c.mu.Unlock()
	if newest, err := c.newest(); err == nil && answering && c.AwaitSize(ctx, newest.Size) == nil {
		for _, f := range c.feeds {
			if f != nil {
				f.flush(ctx)
			}
		}
	}
	c.cancel()
	c.done.Wait()
	c.http.CloseIdleConnections()
	return nil
}
