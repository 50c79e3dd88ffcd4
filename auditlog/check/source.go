package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"
)

// Source gives a log's files by their paths under its prefix. Read returns at
// most limit bytes and fails for a longer file; fs.ErrNotExist says that there is
// none, ErrRefused that the reader may not have it.
type Source interface {
	Read(ctx context.Context, path string, limit int64) ([]byte, error)
}

// ErrRefused means that a server wants a token, or another one.
var ErrRefused = errors.New("the server refuses it: entries are for auditors, by a session's token")

var errLong = errors.New("the file is longer than it may be")

// Dir is a log in a folder, as azekura log export-tiles writes it.
func Dir(folder fs.FS) Source { return dir{folder} }

type dir struct{ fs.FS }

func (d dir) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := d.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, limit)
}

func readAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = errLong
	}
	return data, err
}

// Web is a log behind a URL prefix. The token, if there is one, is shown only
// where entries are asked for.
func Web(prefix string, client *http.Client, token string) Source {
	return web{strings.TrimRight(prefix, "/") + "/", client, token}
}

type web struct {
	prefix string
	client *http.Client
	token  string
}

// errAgain means that the server may answer if it is asked again.
var errAgain = errors.New("the server can't answer now")

func (w web) Read(ctx context.Context, path string, limit int64) (data []byte, err error) {
	for wait := 200 * time.Millisecond; ; wait *= 2 {
		data, err = w.once(ctx, path, limit)
		if !errors.Is(err, errAgain) || wait > 3*time.Second {
			return data, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (w web) once(ctx context.Context, path string, limit int64) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.prefix+path, nil)
	if err != nil {
		return nil, err
	}
	if w.token != "" && strings.HasPrefix(path, "tile/entries/") {
		r.Header.Set("Authorization", "Bearer "+w.token)
	}
	answer, err := w.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	switch s := answer.StatusCode; {
	case s == http.StatusOK:
		return readAll(answer.Body, limit)
	case s == http.StatusNotFound || s == http.StatusGone:
		return nil, fs.ErrNotExist
	case s == http.StatusUnauthorized || s == http.StatusForbidden:
		return nil, ErrRefused
	case s == http.StatusTooManyRequests || s >= 500:
		return nil, fmt.Errorf("%w: %s", errAgain, answer.Status)
	}
	return nil, fmt.Errorf("the server answers %s", answer.Status)
}
