package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// CanaryCount is how many canaries are in the register.
type CanaryCount struct {
	Canaries int64 `json:"canaries"`
}

func (s *Server) addCanariesByStaff(api huma.API) {
	huma.Register(api, huma.Operation{OperationID: "count-canaries", Method: http.MethodPost, Path: "/v1/canaries/count", MaxBodyBytes: maxBody,
		Summary:  "How many canaries there are, for a security officer; an event itself; newline-delimited JSON",
		Security: []map[string][]string{{"session": {}}}}, s.countCanaries)
}

func (s *Server) countCanaries(ctx context.Context, in *staffInput[struct{}]) (*huma.StreamResponse, error) {
	session, err := s.session(ctx, in.Auth)
	var count func(progress func(done, total int64)) (int64, error)
	if err == nil {
		count, err = s.inst.Gate.CountCanaries(ctx, session, request(ctx))
	}
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	return lines(func(progress func(done, total int64)) (CanaryCount, error) {
		n, err := count(progress)
		return CanaryCount{n}, err
	}, s.teller(ctx)), nil
}
