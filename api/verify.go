package api

import (
	"context"
	"errors"
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
		var v VerifiedAll
		var err error
		if v.Log, err = s.verifyLog(ctx, progress); err != nil {
			return v, err
		}
		if err := s.inst.CheckAuthority(ctx); errors.Is(err, auditlog.ErrAuthority) {
			v.Authority = err.Error()
		} else if err != nil {
			return v, err
		}
		v.Register, err = s.inst.Gate.VerifyRegister(ctx, func(done int64) { progress(done, 0) })
		v.OK = v.Log.OK && v.Authority == "" && v.Register.OK
		return v, err
	}, s.teller(ctx)), nil
}
