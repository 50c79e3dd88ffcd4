package serve_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"azekura/auditlog"
	"azekura/auditlog/serve"

	"golang.org/x/mod/sumdb/tlog"
)

// source stands for a log whose database misbehaves, which a real one doesn't do
// to order. What a real log serves is tested in package api.
type source struct {
	mu    sync.Mutex
	now   int // reading at this moment
	most  int
	err   error
	block chan struct{}
}

func (s *source) Signed() int64 { return 1000 }

func (s *source) Tile(ctx context.Context, t tlog.Tile) ([]byte, error) {
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}()
	if s.block != nil {
		select {
		case <-s.block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return make([]byte, 32*t.W), s.err
}

func (s *source) Bundle(ctx context.Context, t tlog.Tile) ([]byte, error) { return s.Tile(ctx, t) }

func handler(s *source, told func(error)) http.Handler {
	return serve.Handler(serve.Options{Logs: []serve.Log{{ID: 1, Source: s, Checkpoint: func() []byte { return nil }}},
		Keys:  func(context.Context) (serve.Keys, error) { return serve.Keys{}, nil },
		Admit: func(context.Context, string, int64, int64, int64) error { return nil }, LogError: told})
}

func get(ctx context.Context, h http.Handler, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	r.Header.Set("Authorization", "Bearer x")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestFailures tells a stranger what concerns them, and the keeper the cause.
func TestFailures(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
		told   bool
	}{
		"a database that is away":   {errors.New("dial tcp db.internal: refused"), 500, true},
		"an altered database":       {auditlog.ErrSigner, 500, true},
		"too slow":                  {context.DeadlineExceeded, 503, false},
		"a log that can't record":   {auditlog.ErrNotRecorded, 503, false},
		"beyond the head after all": {auditlog.ErrBeyond, 404, false},
		"whoever asked went away":   {context.Canceled, 499, false},
	} {
		for _, path := range []string{"/tile/0/000", "/tile/entries/000"} {
			var told []error
			w := get(t.Context(), handler(&source{err: c.err}, func(err error) { told = append(told, err) }), path)
			if w.Code != c.status || (len(told) == 1) != c.told || c.told && !errors.Is(told[0], c.err) || strings.Contains(w.Body.String(), "internal:") ||
				w.Header().Get("Cache-Control") != "no-store" || (w.Code == 503) != (w.Header().Get("Retry-After") != "") {
				t.Errorf("%s, %s: %d, %v, told %v\n%s", name, path, w.Code, w.Header(), told, w.Body)
			}
		}
	}
}

// TestFewReadAtOnce: however many strangers ask, two read; who goes away makes
// room, and all are answered in the end.
func TestFewReadAtOnce(t *testing.T) {
	s := &source{block: make(chan struct{})}
	h := handler(s, func(err error) { t.Error(err) })
	gone, leave := context.WithCancel(t.Context())
	var away, stay sync.WaitGroup
	for range 10 {
		away.Go(func() {
			if w := get(gone, h, "/tile/0/000"); w.Code == http.StatusOK {
				t.Error("who went away is answered")
			}
		})
	}
	leave()
	away.Wait()
	for range 10 {
		stay.Go(func() {
			if w := get(t.Context(), h, "/tile/0/001.p/5"); w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), make([]byte, 160)) {
				t.Errorf("%d: %s", w.Code, w.Body)
			}
		})
	}
	close(s.block)
	stay.Wait()
	if s.most > 2 {
		t.Errorf("%d read at once", s.most)
	}
}
