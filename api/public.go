package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"azekura/access"
	"azekura/auditlog"
	"azekura/auditlog/check"
	"azekura/auditlog/serve"
)

// Log is the audit log's public side, for a listener of its own: checkpoint, hash
// tiles and keys for everybody, entries for auditors. It reaches nothing else.
func (s *Server) Log() http.Handler {
	return s.identify(s.guard(s.log, "/.well-known/azekura-log.json says whose log this is; C2SP tlog-tiles says what there is"), false)
}

// addLog puts the same on the operator's socket, for the commands that read it.
func (s *Server) addLog(mux *http.ServeMux) {
	for _, path := range []string{"/checkpoint", "/tile/", "/log/", serve.KeysPath} {
		mux.Handle("GET "+path, s.log)
	}
}

func (s *Server) publicLog() *http.ServeMux {
	readers := &entryReaders{spans: map[readSpan]*recorded{}}
	return serve.Handler(serve.Options{
		Logs: s.inst.PublicLogs(), Keys: s.inst.LogKeys,
		Admit: func(ctx context.Context, token string, log, first, end int64) error {
			return s.admit(ctx, readers, token, readSpan{log: log, first: first}, end)
		},
		LogError: func(err error) { s.logError("-", err) },
	})
}

// admit lets an auditor read entries, after an event says so: one for each span
// that a session reads, so that reading the log doesn't grow it as fast.
func (s *Server) admit(ctx context.Context, readers *entryReaders, token string, span readSpan, end int64) error {
	session, err := s.authenticate(ctx, token)
	if errors.Is(err, access.ErrNoSession) {
		return serve.ErrNoSession
	}
	if err != nil {
		return err
	}
	event := session.Stamp(auditlog.Event{Action: auditlog.Export, Outcome: "ok", Purpose: "entries", Request: request(ctx),
		Detail: fmt.Appendf(nil, `{"entries":{"log":%d,"from":%d,"before":%d}}`, span.log, span.first, end)})
	if session.Role() != "auditor" {
		event.Action, event.Outcome = auditlog.Deny, "role"
		if _, err := s.inst.Log.RecordOne(ctx, event); err != nil {
			return err
		}
		return serve.ErrRole
	}
	span.session = session.ID()
	return readers.once(ctx, span, func(ctx context.Context) error {
		_, err := s.inst.Log.RecordOne(ctx, event)
		return err
	})
}

// entryReaders remembers which session's reading of which entries is recorded.
// What it forgets is recorded once more.
type entryReaders struct {
	mu    sync.Mutex
	spans map[readSpan]*recorded
}

type readSpan struct {
	session    auditlog.Session
	log, first int64
}

// recorded is closed once its event is durable, or couldn't be made so.
type recorded struct {
	done chan struct{}
	err  error
}

const maxSpans = 10_000

// once runs record for the first that asks; the others wait for its end, so that
// it doesn't end with the first one's request. After a failure the next tries
// again.
func (e *entryReaders) once(ctx context.Context, span readSpan, record func(context.Context) error) error {
	e.mu.Lock()
	r := e.spans[span]
	if r == nil {
		if len(e.spans) >= maxSpans {
			clear(e.spans)
		}
		r = &recorded{done: make(chan struct{})}
		e.spans[span] = r
		e.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxWait)
		defer cancel()
		if r.err = record(ctx); r.err != nil {
			e.mu.Lock()
			if e.spans[span] == r {
				delete(e.spans, span)
			}
			e.mu.Unlock()
		}
		close(r.done)
		return r.err
	}
	e.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Log reads the log that a client's server serves, through whatever way the
// client has to it.
func (c *Client) Log() check.Source { return check.Web(c.base, c.http, c.Token) }
