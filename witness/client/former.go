package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"azekura/witness"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Former is a log that the one in force continues. Its last events were recorded
// when no server ran that could have mirrored them.
type Former struct {
	Key        string // the vkey that signed its last head
	Checkpoint []byte // that head
	Hashes     func(ctx context.Context, size int64) (tlog.HashReader, error)
	// Feed opens what mirrors are fed from, with the former log's own key.
	Feed func() (feed *Feed, close func() error, err error)
}

// errNotMirrored says that a witness keeps no mirror of a log.
var errNotMirrored = errors.New("it doesn't mirror this log; have it added there with azekura witness add-log --mirror")

// formers brings a mirror to the ends of the former logs, one after the other, and
// tries again until it has.
func (c *Client) formers(a *asked) {
	for _, one := range c.o.Formers {
		said := ""
		for pause := firstPause; ; pause = min(2*pause, lastPause) {
			err := c.former(c.ctx, a, one)
			if err == nil || errors.Is(err, errNotMirrored) { // its people didn't want that one
				break
			}
			if c.ctx.Err() == nil && err.Error() != said {
				said = err.Error()
				c.o.LogError(fmt.Errorf("feed the mirror %s with the end of a former log: %w", a.Name(), err))
			}
			select {
			case <-time.After(pause):
			case <-c.ctx.Done():
				return
			}
		}
	}
}

func (c *Client) former(ctx context.Context, a *asked, one Former) (err error) {
	cp, err := witness.ParseCheckpoint(one.Checkpoint)
	if err != nil {
		return err
	}
	key, err := note.NewVerifier(one.Key)
	if err != nil {
		return err
	}
	last := head{cp, one.Checkpoint}
	f := newFeeder(c, &asked{Witness: a.Witness, keys: a.keys, http: a.http, hashes: one.Hashes, log: key, dispute: a.dispute, former: true,
		newest: func() (head, error) { return last, nil }}, &Feed{Origin: cp.Origin})
	if err := f.ask(ctx); err != nil || f.held.Load() >= last.Size {
		return err
	}
	lines, err := f.request(ctx, last)
	if err != nil {
		return err
	}
	last.note = append(bytes.Clone(last.note), lines...)
	from, end, err := one.Feed()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	f.from = from
	for f.held.Load() < last.Size {
		if err := f.feed(ctx, last); err != nil {
			return err
		}
	}
	return nil
}

// ask learns how far the mirror is.
func (f *feeder) ask(ctx context.Context) error {
	status, _, answer, err := f.get(ctx, "logs/"+witness.LogName(f.from.Origin)+"/mirror")
	if err != nil {
		return err
	}
	if status == http.StatusNotFound {
		return errNotMirrored
	}
	return f.heard(status, "", answer)
}
