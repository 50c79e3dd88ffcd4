package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"azekura/auditlog"
	"azekura/witness"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// patience is how long one request may take.
	patience = 10 * time.Second
	// maxAnswer bounds what a witness may answer, in bytes.
	maxAnswer = 64 << 10
	// firstPause and lastPause are between requests to a witness that fails.
	firstPause = 250 * time.Millisecond
	lastPause  = time.Minute
)

// head is a signed head of the log.
type head struct {
	witness.Checkpoint
	note []byte
}

// asked is a witness as the client sees it. Only its own goroutine uses it.
type asked struct {
	Witness
	keys   []note.Verifier
	http   *http.Client
	hashes func(ctx context.Context, size int64) (tlog.HashReader, error)
	size   int64 // what it cosigned last, as far as we know
	// log is the log's own key, newest its head now; dispute hears at once that the
	// witness saw another history, before it is asked for the evidence.
	log     note.Verifier
	newest  func() (head, error)
	dispute func(why error)
	// handovers are shown to a witness that doesn't know the log, or its key, yet.
	handovers func(ctx context.Context) ([]auditlog.Handover, error)
	former    bool // the head that is asked for isn't the log's newest
}

// errNoAnswer says that a witness gave none of the specification's answers.
var errNoAnswer = errors.New("the witness gives no answer that can be used")

// cosign has a head cosigned and returns the witness's signature lines, checked.
// auditlog.ErrDisputed says that the witness claims to have seen another history,
// or more of this one than there is here; auditlog.ErrOtherHistory that it proves it.
func (a *asked) cosign(ctx context.Context, h head) ([]byte, error) {
	lines, err := a.request(ctx, h)
	if !errors.Is(err, errUnknown) || a.handovers == nil {
		return lines, err
	}
	if followed, why := a.follow(ctx); !followed {
		return nil, errors.Join(err, why)
	}
	return a.request(ctx, h)
}

// errPassed says that a witness went on from a former head.
var errPassed = errors.New("it was followed by")

// errUnknown says that a witness doesn't know the log, or not its key.
var errUnknown = errors.New("have it added there with azekura witness add-log")

func (a *asked) request(ctx context.Context, h head) ([]byte, error) {
	// The first answer may say the size; a witness that says another one each time
	// isn't asked for ever.
	for range 4 {
		proof, err := a.prove(ctx, h)
		if err != nil {
			return nil, fmt.Errorf("prove the log's growth: %w", err)
		}
		body := witness.Request{Old: a.size, Proof: proof, Note: h.note}.Format()
		status, kind, answer, err := a.post(ctx, "add-checkpoint", body)
		if err != nil {
			return nil, err
		}
		switch {
		case status == http.StatusOK:
			lines, err := a.checked(h, answer)
			if err == nil {
				a.size = h.Size
			}
			return lines, err
		case status == http.StatusConflict && kind == witness.SizeType:
			size, err := strconv.ParseInt(strings.TrimSpace(string(answer)), 10, 64)
			if err != nil || size < 0 || size == a.size {
				return nil, errNoAnswer
			}
			if size > h.Size && a.former {
				return nil, errPassed
			}
			if size > h.Size {
				return nil, a.contradicted(ctx, h, fmt.Sprintf("it cosigned %d events, and here are %d", size, h.Size))
			}
			a.size = size
		case status == http.StatusConflict:
			return nil, a.contradicted(ctx, h, fmt.Sprintf("at %d events it cosigned another root", h.Size))
		case status == http.StatusUnprocessableEntity:
			return nil, a.contradicted(ctx, h, fmt.Sprintf("the %d events that it cosigned aren't the first of those here", a.size))
		case status == http.StatusNotFound:
			return nil, fmt.Errorf("the witness doesn't know this log; %w", errUnknown)
		case status == http.StatusForbidden:
			return nil, fmt.Errorf("the witness doesn't know this log's key; %w", errUnknown)
		default:
			return nil, fmt.Errorf("%w (status %d)", errNoAnswer, status)
		}
	}
	return nil, errNoAnswer
}

// contradicted tells of a witness's claim at once, and asks for the evidence.
func (a *asked) contradicted(ctx context.Context, h head, what string) error {
	claim := fmt.Errorf("%w: %s (the witness %s)", auditlog.ErrDisputed, what, a.Name())
	a.dispute(claim)
	proven, err := a.evidence(ctx, h.Origin)
	if err == nil && proven {
		return fmt.Errorf("%w: %s (the witness %s)", auditlog.ErrOtherHistory, what, a.Name())
	}
	return claim
}

// evidence tells whether the witness shows a head of the log, signed with its key,
// that isn't one of those here. Nobody else can make one, whoever is on the way.
func (a *asked) evidence(ctx context.Context, origin string) (bool, error) {
	status, _, raw, err := a.get(ctx, "logs/"+witness.LogName(origin)+"/checkpoint")
	if err != nil || status != http.StatusOK {
		return false, err
	}
	c, err := witness.ParseCheckpoint(raw)
	if err != nil || c.Origin != origin || c.Size == 0 {
		return false, err
	}
	if _, err := c.Verified(raw, []note.Verifier{a.log}); err != nil {
		return false, err
	}
	// Read after the answer: a head that was signed meanwhile contradicts nothing.
	here, err := a.newest()
	if err != nil || c.Size > here.Size {
		return err == nil, err
	}
	reader, err := a.hashes(ctx, here.Size)
	if err != nil {
		return false, err
	}
	root, err := tlog.TreeHash(c.Size, reader)
	return err == nil && root != c.Root, err
}

func (a *asked) prove(ctx context.Context, h head) (tlog.TreeProof, error) {
	if a.size == 0 || a.size >= h.Size {
		return nil, nil
	}
	reader, err := a.hashes(ctx, h.Size)
	if err != nil {
		return nil, err
	}
	return tlog.ProveTree(h.Size, a.size, reader)
}

// checked takes from an answer the signature lines by the witness's keys.
func (a *asked) checked(h head, answer []byte) ([]byte, error) {
	signed, err := h.Verified(append(bytes.Clone(h.note), answer...), a.keys)
	if err != nil {
		return nil, errors.New("the witness's answer holds no cosignature by a key that is trusted")
	}
	return signed[len(h.Text)+1:], nil
}

func (a *asked) post(ctx context.Context, path string, body []byte) (status int, kind string, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(a.URL, "/")+"/"+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	return a.do(r)
}

func (a *asked) get(ctx context.Context, path string) (status int, kind string, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(a.URL, "/")+"/"+path, nil)
	if err != nil {
		return 0, "", nil, err
	}
	return a.do(r)
}

func (a *asked) do(r *http.Request) (status int, kind string, answer []byte, err error) {
	out, err := a.http.Do(r)
	if err != nil {
		return 0, "", nil, err
	}
	defer out.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(out.Body, maxAnswer+1))
	if err == nil && len(answer) > maxAnswer {
		err = errNoAnswer
	}
	return out.StatusCode, out.Header.Get("Content-Type"), answer, err
}
