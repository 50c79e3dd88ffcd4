package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"azekura/witness"
)

// Mirror is a mirror to read from: one that runs, or its folder.
type Mirror struct {
	origin string
	open   func(ctx context.Context, from int64, part int) (io.ReadCloser, error)
}

// ErrEnd means that a mirror holds no events from an index on.
var ErrEnd = errors.New("the mirror holds no further events")

// OpenMirror opens the mirror of a log at a witness's URL, or in a folder: the
// witness's, or a copy of its log's.
func OpenMirror(from, origin string) (*Mirror, error) {
	if strings.HasPrefix(from, "https://") || strings.HasPrefix(from, "http://") {
		return &Mirror{origin, func(ctx context.Context, at int64, part int) (io.ReadCloser, error) {
			return fetch(ctx, strings.TrimSuffix(from, "/")+"/"+witness.UploadPath(origin, at, part))
		}}, nil
	}
	for _, dir := range []string{filepath.Join(witness.LogDir(from, origin), witness.MirrorDir), filepath.Join(from, witness.MirrorDir), from} {
		if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
			return &Mirror{origin, func(_ context.Context, at int64, part int) (io.ReadCloser, error) {
				f, err := os.Open(filepath.Join(dir, witness.Place(at, part)))
				if errors.Is(err, os.ErrNotExist) {
					err = ErrEnd
				}
				return f, err
			}}, nil
		}
	}
	return nil, fmt.Errorf("no mirror of %s is in that folder", origin)
}

func fetch(ctx context.Context, url string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	out, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	switch out.StatusCode {
	case http.StatusOK:
		return out.Body, nil
	case http.StatusNotFound:
		return nil, errors.Join(ErrEnd, out.Body.Close())
	}
	return nil, errors.Join(fmt.Errorf("the mirror answers with status %d", out.StatusCode), out.Body.Close())
}

// Upload reads one upload back. Its signature isn't checked here.
func (m *Mirror) Upload(ctx context.Context, from int64, part int) (witness.Upload, []byte, error) {
	in, err := m.open(ctx, from, part)
	if err != nil {
		return witness.Upload{}, nil, err
	}
	defer in.Close()
	raw, err := io.ReadAll(io.LimitReader(in, witness.MaxUpload+1))
	if err != nil {
		return witness.Upload{}, nil, fmt.Errorf("read the mirror: %w", err)
	}
	u, signed, err := witness.ParseUpload(raw)
	if err != nil {
		return u, nil, fmt.Errorf("read the mirror from event %d: %w", from, err)
	}
	if u.Origin != m.origin || u.From != from || u.Part != part {
		return u, nil, fmt.Errorf("read the mirror from event %d: it holds something else there", from)
	}
	return u, signed, nil
}

// Describe asks a witness at a URL what it says of itself.
func Describe(ctx context.Context, url string) (witness.Description, error) {
	var d witness.Description
	in, err := fetch(ctx, strings.TrimSuffix(url, "/")+"/.well-known/azekura-witness.json")
	if err != nil {
		return d, fmt.Errorf("ask the witness for its key: %w", err)
	}
	defer in.Close()
	raw, err := io.ReadAll(io.LimitReader(in, 16<<20))
	if err == nil {
		err = json.Unmarshal(raw, &d)
	}
	if err != nil {
		return d, fmt.Errorf("ask the witness for its key: %w", err)
	}
	return d, nil
}
