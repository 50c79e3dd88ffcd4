// Package serve is the audit log's public face: its checkpoint, hash tiles and
// entry bundles over HTTP, at the paths and with the headers of C2SP tlog-tiles,
// and its public keys at a well-known path, so that tools which no one here wrote
// can check it.
//
// It promises that nothing is served which a signed head doesn't cover, that an
// entry goes out only to whom Admit let in and after Admit has recorded it, and
// that strangers, however many, keep only a few of the database's connections
// busy. It has no way to the register, to keys, or to the log's writing side:
// what it can reach is what Options gives it.
//
// What it doesn't do: it checks no tile against the root (package check does, for
// whoever reads), and it doesn't bound how much one stranger asks for; put a cache
// in front where that matters, as every tile may be kept for ever.
package serve

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"azekura/auditlog"
	"azekura/auditlog/check"

	"golang.org/x/mod/sumdb/tlog"
)

// Source is the part of an *auditlog.Reader that is served.
type Source interface {
	Signed() int64
	Tile(context.Context, tlog.Tile) ([]byte, error)
	Bundle(context.Context, tlog.Tile) ([]byte, error)
}

var (
	// ErrNoSession and ErrRole are Admit's refusals: nobody, and not an auditor.
	ErrNoSession = errors.New("entries are for auditors; send a live session's token as a bearer token")
	ErrRole      = errors.New("entries are for auditors; this session has another role")
)

// Keys is what the well-known file says.
type Keys struct {
	Log       int64    `json:"log"` // its number; it is at /log/<number>/ too, and will be there when another follows it
	Origin    string   `json:"origin"`
	Keys      []string `json:"keys"`                // the log's vkeys
	Witnesses []string `json:"witnesses,omitempty"` // theirs
	Need      int      `json:"need,omitempty"`      // how many of them cosign what is at /checkpoint
	// Earlier are keys that signed this log's heads before, Former the logs that
	// this one continues; of which nothing is lost, they are at /log/<number>/.
	Earlier []auditlog.KeyPeriod `json:"earlier_keys,omitempty"`
	Former  []auditlog.Past      `json:"former_logs,omitempty"`
	// Succession shows how each key vouched for the one after it, the oldest
	// first: whoever trusts one of them can follow from there.
	Succession []check.Step `json:"succession,omitempty"`
}

// KeysPath is the well-known file's place.
const KeysPath = "/.well-known/azekura-log.json"

// Log is one log that is served.
type Log struct {
	ID         int64
	Source     Source
	Checkpoint func() []byte // what is published: a signed head, cosigned if there are witnesses
}

// Options are all that the handler can reach.
type Options struct {
	Logs []Log // the one in force, and those that it continues
	Keys func(context.Context) (Keys, error)
	// Admit lets a session read a log's entries, and returns after it is recorded
	// that it reads those from first on, before end.
	Admit func(ctx context.Context, token string, log, first, end int64) error
	// LogError hears of failures that are told to nobody else.
	LogError func(error)
}

// busy is how many requests read from the database at once; patience is how
// long the others wait.
const (
	busy     = 2
	patience = 10 * time.Second
)

// Span is the unit in which the reading of entries is recorded: one event for a
// session that reads any of so many entries, not one for each bundle.
const Span = 1 << 16

// Handler serves each log under its number, and the first of the list at the top.
func Handler(o Options) *http.ServeMux {
	slots := make(chan struct{}, busy)
	mux := http.NewServeMux()
	for i, log := range o.Logs {
		h := handler{o, log, slots}
		prefixes := []string{fmt.Sprintf("/log/%d", log.ID)}
		if i == 0 {
			prefixes = append(prefixes, "")
			mux.HandleFunc("GET "+KeysPath, h.keys)
		}
		for _, prefix := range prefixes {
			mux.HandleFunc("GET "+prefix+"/checkpoint", h.checkpoint)
			mux.HandleFunc("GET "+prefix+"/tile/{path...}", h.tile)
		}
	}
	return mux
}

type handler struct {
	Options
	log   Log
	slots chan struct{}
}

// Cache headers as tlog-tiles asks for them: a tile never changes, a checkpoint
// is old after a few seconds. Entries aren't for shared caches.
const (
	cacheShort   = "public, max-age=2"
	cacheForever = "public, max-age=31536000, immutable"
	cachePrivate = "private, max-age=31536000, immutable"
)

func (h handler) checkpoint(w http.ResponseWriter, r *http.Request) {
	send(w, "text/plain; charset=utf-8", cacheShort, h.log.Checkpoint())
}

func (h handler) keys(w http.ResponseWriter, r *http.Request) {
	k, err := h.Keys(r.Context())
	var raw []byte
	if err == nil {
		raw, err = json.MarshalIndent(k, "", "  ")
	}
	if err != nil {
		h.fail(w, err)
		return
	}
	send(w, "application/json", cacheShort, append(raw, '\n'))
}

func send(w http.ResponseWriter, kind, cache string, data []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", cache)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) // the reader may be gone
}

func (h handler) tile(w http.ResponseWriter, r *http.Request) {
	t, err := check.ParsePath("tile/" + r.PathValue("path"))
	if err != nil {
		problem(w, http.StatusNotFound, err.Error())
		return
	}
	if t.L == -1 {
		h.entries(w, r, t)
		return
	}
	data, err := h.read(r.Context(), h.log.Source.Tile, t)
	if err != nil {
		h.fail(w, err)
		return
	}
	send(w, "application/octet-stream", cacheForever, data)
}

func (h handler) entries(w http.ResponseWriter, r *http.Request, t tlog.Tile) {
	w.Header().Set("Vary", "Authorization, Accept-Encoding")
	first := t.N * 256
	if size := h.log.Source.Signed(); t.N > size>>8 || first+int64(t.W) > size { // before anything is recorded
		h.fail(w, auditlog.ErrBeyond)
		return
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") { // RFC 9110, 11.1
		h.fail(w, ErrNoSession)
		return
	}
	from := first - first%Span
	err := h.Admit(r.Context(), token, h.log.ID, from, from+Span)
	var data []byte
	if err == nil {
		data, err = h.read(r.Context(), h.log.Source.Bundle, t)
	}
	if err != nil {
		h.fail(w, err)
		return
	}
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		data = compress(data)
	}
	send(w, "application/octet-stream", cachePrivate, data)
}

// read waits for a slot, and gives it back before the answer is written, since
// that takes as long as the reader likes.
func (h handler) read(ctx context.Context, from func(context.Context, tlog.Tile) ([]byte, error), t tlog.Tile) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return from(ctx, t)
}

var compressors = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil { // only for a level that doesn't exist
		panic(err)
	}
	return w
}}

func compress(data []byte) []byte {
	var b strings.Builder
	z := compressors.Get().(*gzip.Writer)
	defer compressors.Put(z)
	z.Reset(&b)
	_, _ = z.Write(data) // a strings.Builder takes everything
	_ = z.Close()
	return []byte(b.String())
}

// fail tells what went wrong, and to the log what nobody else should hear.
func (h handler) fail(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, auditlog.ErrBeyond):
		problem(w, http.StatusNotFound, auditlog.ErrBeyond.Error())
	case errors.Is(err, ErrNoSession):
		w.Header().Set("WWW-Authenticate", "Bearer")
		problem(w, http.StatusUnauthorized, ErrNoSession.Error())
	case errors.Is(err, ErrRole):
		problem(w, http.StatusForbidden, ErrRole.Error())
	case errors.Is(err, context.Canceled):
		problem(w, 499, "the request was taken back") // nobody listens any more
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, auditlog.ErrNotRecorded):
		w.Header().Set("Retry-After", "1")
		problem(w, http.StatusServiceUnavailable, "the log is busy or its database is away; try again")
	default:
		h.LogError(fmt.Errorf("serve the audit log: %w", err))
		problem(w, http.StatusInternalServerError, "the log can't be read; its keeper has been told why")
	}
}

// problem answers with problem+json (RFC 9457).
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}
