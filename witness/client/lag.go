package client

import (
	"context"
	"fmt"
	"time"

	"azekura/auditlog"
)

// Status is how the cosigning stands.
type Status struct {
	Witnesses int           `json:"witnesses"`
	Need      int           `json:"need"`
	Size      int64         `json:"size"` // events under the cosigned head
	Note      string        `json:"checkpoint,omitempty"`
	Lag       time.Duration `json:"lag_ns"` // how long the oldest head waits that isn't cosigned
	Refused   string        `json:"refused,omitempty"`
	Disputed  []string      `json:"disputed,omitempty"` // by whom, and why
	Mirrors   []MirrorAt    `json:"mirrors,omitempty"`
}

// MirrorAt is how far a mirror reaches.
type MirrorAt struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// Status tells how the cosigning stands.
func (c *Client) Status() Status {
	c.mu.Lock()
	s := Status{Witnesses: len(c.o.Witnesses), Need: c.o.Quorum(), Size: c.cosigned.Size, Note: string(c.cosigned.note), Lag: c.lag()}
	if c.refused != nil {
		s.Refused = c.refused.Error()
	}
	for _, why := range c.disputes {
		if why != nil {
			s.Disputed = append(s.Disputed, why.Error())
		}
	}
	c.mu.Unlock()
	for _, f := range c.feeds {
		if f != nil {
			s.Mirrors = append(s.Mirrors, MirrorAt{f.Name(), f.held.Load()})
		}
	}
	return s
}

// lag is how long the oldest head that isn't cosigned waits; the lock is held.
func (c *Client) lag() time.Duration {
	if c.pending.IsZero() {
		return 0
	}
	return max(c.o.Now().Sub(c.pending), 0)
}

// behind is why work of a kind must not go on now, or nil; and what to wait for,
// if waiting helps.
func (c *Client) behind(after Duration) (<-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused != nil {
		return nil, c.refused
	}
	for _, why := range c.disputes {
		if why != nil {
			return c.changed, why
		}
	}
	if lag := c.lag(); after > 0 && lag > time.Duration(after) {
		return c.changed, fmt.Errorf("%w: for %s, %d of %d are needed", auditlog.ErrUncosigned, lag.Round(time.Second), c.o.Quorum(), len(c.o.Witnesses))
	}
	return nil, nil
}

// MayOpen refuses single openings past their bound.
func (c *Client) MayOpen() error {
	_, err := c.behind(c.o.ReadAfter)
	return err
}

// WaitBulk waits until bulk work may go on. It refuses only what waiting can't
// mend.
func (c *Client) WaitBulk(ctx context.Context) error {
	for told := false; ; told = true {
		changed, err := c.behind(c.o.BulkAfter)
		if err == nil || changed == nil {
			return err
		}
		if !told {
			c.o.LogError(fmt.Errorf("bulk work waits: %w", err))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Await waits for the first answers: until k witnesses have cosigned a head of
// this process, one saw another history, all were asked in vain, or the time is
// over.
func (c *Client) Await(ctx context.Context, most time.Duration) error {
	end := time.After(most)
	for {
		c.mu.Lock()
		over, refused, changed := c.confirmed || c.tried, c.refused, c.changed
		c.mu.Unlock()
		if refused != nil || over {
			return refused
		}
		select {
		case <-changed:
		case <-end:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// AwaitSize waits until k witnesses have cosigned a head of a size or more.
func (c *Client) AwaitSize(ctx context.Context, size int64) error {
	for {
		c.mu.Lock()
		at, refused, changed := c.cosigned.Size, c.refused, c.changed
		c.mu.Unlock()
		if refused != nil || at >= size {
			return refused
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
