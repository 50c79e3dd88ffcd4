package api

import (
	"context"
	"net/http"

	"azekura/internal/installation"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
)

// LeakResolve asks whom pseudonyms in a leak scan's findings stand for.
type LeakResolve struct {
	Reason
	Participants []uuid.UUID `json:"participants" minItems:"1" maxItems:"10000"`
}

// LeakResolved says whom they stand for; those whom the register has no more are left out.
type LeakResolved struct {
	Resolved []installation.Resolved `json:"resolved"`
	Event    int64                   `json:"event" doc:"the set event's index in the audit log"`
}

// maxResolve holds 10,000 pseudonyms.
const maxResolve = 512 << 10

func (s *Server) addLeakByStaff(api huma.API) {
	huma.Register(api, huma.Operation{OperationID: "leak-resolve", Method: http.MethodPost, Path: "/v1/leak/resolve", MaxBodyBytes: maxResolve,
		Summary:  "Open the refs of those whom a leak scan found, against one set event",
		Errors:   []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusServiceUnavailable},
		Security: []map[string][]string{{"session": {}}}}, s.leakResolve)
	post(s, api, "/v1/leak/evidence", "leak-evidence", "Show the text of a piece of a scan's evidence: an opening of what was found of the participant", true, s.leakEvidence)
}

func (s *Server) leakResolve(ctx context.Context, in *staffInput[LeakResolve]) (*body[LeakResolved], error) {
	session, err := s.session(ctx, in.Auth)
	var out LeakResolved
	if err == nil {
		out.Resolved, out.Event, err = s.inst.Resolve(ctx, session, in.Body.why(ctx), in.Body.Participants)
	}
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	return &body[LeakResolved]{out}, nil
}

// LeakStrays is the alarm that stands for a report of stray copies.
type LeakStrays struct {
	Event int64 `json:"event" doc:"the alarm's index in the audit log"`
}

func (s *Server) addLeakWatch(api huma.API) {
	post(s, api, "/operator/leak/strays", "leak-strays", "Raise the alarm for stray copies that a sweep found", false,
		func(ctx context.Context, in *body[installation.Strays]) (*body[LeakStrays], error) {
			event, err := s.inst.RaiseStrays(ctx, in.Body)
			return &body[LeakStrays]{LeakStrays{event}}, err
		})
}
