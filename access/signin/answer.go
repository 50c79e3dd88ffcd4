package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"azekura/access"
	"azekura/access/device"
	"azekura/auditlog"
)

// statuses are the errors that are told as they are, since they hold nobody's data.
var statuses = []struct {
	err    error
	status int
}{
	{access.ErrNoSession, http.StatusUnauthorized},
	{access.ErrRefused, http.StatusForbidden},
	{access.ErrTouch, http.StatusForbidden},
	{access.ErrCode, http.StatusForbidden},
	{errPasskey, http.StatusForbidden},
	{errClone, http.StatusForbidden},
	{errProvider, http.StatusForbidden},
	{device.ErrNoDevice, http.StatusForbidden},
	{errCeremony, http.StatusConflict},
	{access.ErrExists, http.StatusConflict},
	{access.ErrNotFound, http.StatusNotFound},
	{access.ErrInvalid, http.StatusUnprocessableEntity},
	{errBody, http.StatusUnprocessableEntity},
	{errMany, http.StatusServiceUnavailable},
	{errProviderAway, http.StatusServiceUnavailable},
	{auditlog.ErrNotRecorded, http.StatusServiceUnavailable},
	{auditlog.ErrStopped, http.StatusServiceUnavailable},
}

func (s *Server) told(err error) (status int, message string) {
	for _, known := range statuses {
		if errors.Is(err, known.err) {
			if known.status >= http.StatusInternalServerError {
				s.trouble(err)
				return known.status, known.err.Error()
			}
			return known.status, err.Error()
		}
	}
	s.trouble(err)
	return http.StatusInternalServerError, "an internal error; the server's log has it"
}

// answer makes an operation of JSON in and out of f.
func (s *Server) answer(f func(http.ResponseWriter, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := f(w, r)
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			status, message := s.told(err)
			w.Header().Set("Content-Type", "application/problem+json") // RFC 9457
			w.WriteHeader(status)
			out = struct {
				Status int    `json:"status"`
				Title  string `json:"title"`
				Detail string `json:"detail"`
			}{status, http.StatusText(status), message}
		}
		_ = json.NewEncoder(w).Encode(out) // the reader may be gone
	}
}

// refusals bounds how many failed sign-ins become events: whoever can fail could
// fill the log.
type refusals struct {
	mu     sync.Mutex
	minute int64
	n      int
	more   int
}

// mostRefusals is how many a minute are recorded; those beyond are counted in the
// next one's first.
const mostRefusals = 60

func (n *refusals) one(now time.Time) (passed int, record bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at := now.Unix() / 60; at != n.minute {
		n.minute, n.n = at, 0
	}
	if n.n++; n.n > mostRefusals {
		n.more++
		return 0, false
	}
	passed, n.more = n.more, 0
	return passed, true
}

// deny records a failed sign-in before it is told.
func (s *Server) deny(ctx context.Context, staff, device, via, why string, refused error) error {
	passed, record := s.refused.one(time.Now())
	if !record {
		return refused
	}
	if err := s.dir.Refuse(context.WithoutCancel(ctx), access.Refusal{Staff: staff, Device: device, Via: via, Why: why, Passed: passed}); err != nil {
		return fmt.Errorf("record the refusal: %w", err)
	}
	return refused
}

// listed is what a session's holder sees of sessions.
type listed struct {
	Staff    string               `json:"staff"`
	Role     string               `json:"role"`
	Roles    []string             `json:"roles"`
	Session  string               `json:"session"`
	Sessions []access.SessionInfo `json:"sessions"`
}

// sessions lists the holder's own, and everybody's for a security officer.
func (s *Server) sessions(_ http.ResponseWriter, r *http.Request) (any, error) {
	session, err := s.session(r)
	if err != nil {
		return nil, err
	}
	out := listed{session.Staff(), session.Role(), s.dir.RolesOf(session.Staff()), session.ID().String(), s.dir.SessionsOf(session.Staff())}
	if session.Role() == "security-officer" {
		out.Sessions = s.dir.Sessions()
	}
	return out, nil
}

func (s *Server) closeOne(w http.ResponseWriter, r *http.Request) (any, error) {
	session, err := s.session(r)
	if err != nil {
		return nil, err
	}
	var in struct{ Session string }
	if err := read(w, r, &in); err != nil {
		return nil, err
	}
	id, err := auditlog.ParseSession(in.Session)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", access.ErrInvalid, err)
	}
	return s.dir.End(context.WithoutCancel(r.Context()), session.Officer(), id)
}
