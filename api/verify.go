package api

import (
	"context"
	"net/http"

	"azekura/auditlog"
	"azekura/register"

	"github.com/danielgtaylor/huma/v2"
)

// VerifiedAll is what azekura verify found.
type VerifiedAll struct {
	OK        bool              `json:"ok"`
	Log       Verified          `json:"log"`
	Authority string            `json:"authority,omitempty" doc:"what is wrong with the events that grant, as their index finds them"`
	Register  register.Verified `json:"register"`
}

func (s *Server) addVerify(api huma.API) {
	huma.Register(api, huma.Operation{OperationID: "verify-all", Method: http.MethodPost, Path: "/operator/verify", MaxBodyBytes: maxBody,
		Summary: "Hold the audit log against its signed head and the register against the log; newline-delimited JSON"}, s.verifyAll)
	get(s, api, "/operator/log/alarms", "list-alarms", "The rows that were found altered, added or gone", false,
		func(ctx context.Context, _ *struct{}) (*body[[]auditlog.Raised], error) {
			list, err := s.inst.Log.Alarms(ctx)
			return &body[[]auditlog.Raised]{list}, err
		})
}

func (s *Server) verifyLog(ctx context.Context, progress func(done, total int64)) (Verified, error) {
	r, earlier, err := auditlog.VerifyAll(ctx, s.inst.DB, s.inst.Log.ID(), s.inst.Signer,
		auditlog.VerifyOptions{Progress: progress, OpenMembers: s.inst.Gate.OpenMembers})
	return Verified{r, r.Root.String(), earlier}, err
}

// verifyAll verifies the log first, since the register is held against it.
func (s *Server) verifyAll(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
	return lines(func(progress func(done, total int64)) (VerifiedAll, error) {
		w, err := s.inst.VerifyAll(ctx, progress)
		return VerifiedAll{OK: w.OK, Log: Verified{w.Log, w.Log.Root.String(), w.Earlier}, Authority: w.Authority, Register: w.Register}, err
	}, s.teller(ctx)), nil
}
