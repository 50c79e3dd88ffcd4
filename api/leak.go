package api

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"

	"azekura/internal/installation"

	"github.com/danielgtaylor/huma/v2"
)

// LeakIndexRequest asks for a leak scan's index.
type LeakIndexRequest struct {
	Reason
	Path     string `json:"path" maxLength:"4096" doc:"an absolute path on the server's machine; the file must not be there yet"`
	Proposal string `json:"proposal,omitempty" maxLength:"32" doc:"the proposal that two people approved"`
	Confirm  string `json:"confirm" maxLength:"64" doc:"the word open: all participants are opened, and the index can test guesses"`
}

// LeakCase names a case that has an index.
type LeakCase struct {
	Case    string `json:"case" maxLength:"64"`
	Confirm string `json:"confirm,omitempty" maxLength:"64" doc:"for closing, the word destroy"`
}

// LeakKey is a case's key.
type LeakKey struct {
	Key []byte `json:"key" doc:"32 bytes; who has it and the index can test guesses"`
}

func (s *Server) addLeak(api huma.API) {
	huma.Register(api, huma.Operation{OperationID: "leak-index", Method: http.MethodPost, Path: "/operator/leak/index", MaxBodyBytes: maxBody,
		Summary: "Make a leak scan's index; newline-delimited JSON", Security: []map[string][]string{{"session": {}}}}, s.leakIndex)
	post(s, api, "/operator/leak/key", "leak-key", "The key of a case's index, for a scan", false, func(ctx context.Context, in *body[LeakCase]) (*body[LeakKey], error) {
		key, err := s.inst.LeakKey(ctx, in.Body.Case)
		return &body[LeakKey]{LeakKey{key}}, operatorError(err)
	})
	post(s, api, "/operator/leak/close", "leak-close", "Destroy the key of a case's index", false, func(ctx context.Context, in *body[LeakCase]) (*body[LeakCase], error) {
		if in.Body.Confirm != "destroy" {
			return nil, fmt.Errorf("%w: confirm must be the word destroy; the case's index can't be read afterwards", errOperator)
		}
		return &body[LeakCase]{LeakCase{Case: in.Body.Case}}, operatorError(s.inst.CloseLeak(ctx, in.Body.Case))
	})
}

func operatorError(err error) error {
	if err != nil {
		err = fmt.Errorf("%w: %w", errOperator, err)
	}
	return err
}

func (s *Server) leakIndex(ctx context.Context, in *staffInput[LeakIndexRequest]) (*huma.StreamResponse, error) {
	session, err := s.session(ctx, in.Auth)
	switch {
	case err != nil:
	case !filepath.IsAbs(in.Body.Path):
		err = fmt.Errorf("%w: the path must be absolute", errOperator)
	case in.Body.Confirm != "open":
		err = fmt.Errorf("%w: confirm must be the word open; the job opens every participant once", errOperator)
	}
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	return lines(func(progress func(done, total int64)) (installation.LeakIndex, error) {
		return s.inst.LeakIndex(ctx, session, in.Body.Proposal, in.Body.why(ctx), in.Body.Path, progress)
	}, s.teller(ctx)), nil
}
