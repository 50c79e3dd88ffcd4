package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Client speaks the API, to a running server or to a handler in this process.
type Client struct {
	http  *http.Client
	base  string
	Token string // of the session, where an operation wants one
}

// Dial reaches a running server through the operator's socket of its folder. It
// fails where none answers.
func Dial(dir string) (*Client, error) {
	path := filepath.Join(dir, SocketName)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "unix", path)
	}
	conn, err := dial(context.Background(), "", "")
	if err != nil {
		return nil, err
	}
	return &Client{http: &http.Client{Transport: &http.Transport{DialContext: dial}}, base: "http://azekura"}, conn.Close()
}

// Local speaks to a handler in this process.
func Local(h http.Handler) *Client {
	return &Client{http: &http.Client{Transport: local{h}}, base: "http://azekura"}
}

// Problem is an error that the API answered.
type Problem struct {
	Status int
	Detail string
}

func (p *Problem) Error() string { return p.Detail }

// Do sends a request, with a JSON body unless in is nil, and reads a JSON
// answer into out unless that is nil.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	answer, err := c.Stream(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer answer.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(answer).Decode(out); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}

// Stream sends a request and hands on the answer's body.
func (c *Client) Stream(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	answer, err := c.ask(ctx, method, path, in)
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}

// Export asks for an export, and says how many rows it has when it is whole.
func (c *Client) Export(ctx context.Context, in ExportRequest) (rows int64, body io.ReadCloser, err error) {
	answer, err := c.ask(ctx, http.MethodPost, "/v1/log/export", in)
	if err != nil {
		return 0, nil, err
	}
	if rows, err = strconv.ParseInt(answer.Header.Get(RowsHeader), 10, 64); err != nil {
		return 0, nil, errors.Join(errors.New("the server doesn't say how many rows its export has"), answer.Body.Close())
	}
	return rows, answer.Body, nil
}

func (c *Client) ask(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var content io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return nil, err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask the server: %w", err)
	}
	if answer.StatusCode/100 != 2 {
		defer answer.Body.Close()
		return nil, problemOf(answer)
	}
	return answer, nil
}

func problemOf(answer *http.Response) error {
	var model huma.ErrorModel
	err := json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(&model)
	p := &Problem{Status: answer.StatusCode, Detail: model.Detail}
	if err != nil || p.Detail == "" {
		p.Detail = "the server answered " + answer.Status
	}
	for _, d := range model.Errors {
		if d != nil {
			p.Detail += "; " + strings.TrimPrefix(d.Location, "body.") + ": " + d.Message
		}
	}
	return p
}

// Lines sends a request whose answer is newline-delimited JSON, and returns its
// result; progress hears of the rest.
func Lines[T any](ctx context.Context, c *Client, path string, in any, progress func(done, total int64)) (T, error) {
	var zero T
	answer, err := c.Stream(ctx, http.MethodPost, path, in)
	if err != nil {
		return zero, err
	}
	defer answer.Close()
	for d := json.NewDecoder(answer); ; {
		var l Line[T]
		if err := d.Decode(&l); err != nil {
			return zero, fmt.Errorf("the server's answer ends too early: %w", err)
		}
		switch {
		case l.Error != "":
			return zero, errors.New(l.Error)
		case l.Result != nil:
			return *l.Result, nil
		}
		progress(l.Done, l.Total)
	}
}

// local is a transport that calls a handler in this process, its answer
// streamed through a pipe.
type local struct{ handler http.Handler }

func (l local) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	pr, pw := io.Pipe()
	w := &localWriter{header: http.Header{}, body: pw, started: make(chan struct{})}
	go func() {
		l.handler.ServeHTTP(w, r)
		w.WriteHeader(http.StatusOK)
		pw.Close()
	}()
	<-w.started
	return &http.Response{StatusCode: w.status, Status: http.StatusText(w.status), Header: w.header, Body: pr, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1}, nil
}

type localWriter struct {
	header  http.Header
	body    *io.PipeWriter
	status  int
	started chan struct{}
}

func (w *localWriter) Header() http.Header { return w.header }
func (w *localWriter) Flush()              {}

func (w *localWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		close(w.started)
	}
}

func (w *localWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}
