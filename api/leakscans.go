package api

import (
	"context"
	"net/http"

	"azekura/internal/installation"
	"azekura/leakscan/scan"

	"github.com/danielgtaylor/huma/v2"
)

// LeakFindings are lines of a scan's findings.
type LeakFindings struct {
	Lines []LeakFinding `json:"lines" doc:"at most 1,000"`
}

// LeakFinding is one participant and field set; types go by their bare names here.
type LeakFinding scan.Line

// LeakScanName names a scan of the server's.
type LeakScanName struct {
	ID string `json:"id" maxLength:"16"`
}

// LeakText is the text of a piece of evidence.
type LeakText struct {
	Text string `json:"text" doc:"the record's cells, a line each"`
}

// LeakEvidenceRequest asks for the text of a piece of evidence, with why.
type LeakEvidenceRequest struct {
	Reason
	installation.LeakEvidence
}

// maxUpload holds a file of 32 MiB in base64.
const maxUpload = installation.MostUpload/3*4 + maxBody

func (s *Server) addLeakScans(api huma.API) {
	huma.Register(api, huma.Operation{OperationID: "start-leak-scan", Method: http.MethodPost, Path: "/operator/leak/scans", MaxBodyBytes: maxUpload,
		Summary: "Scan a path, or a file that comes with the request, in a process of its own"}, func(ctx context.Context, in *body[installation.LeakScanOrder]) (*body[installation.LeakScan], error) {
		begun, err := s.inst.StartLeakScan(ctx, in.Body)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return &body[installation.LeakScan]{begun}, nil
	})
	get(s, api, "/operator/leak/scans/{id}", "show-leak-scan", "How far a scan is, and people by combination of fields", false, func(_ context.Context, in *struct {
		ID string `path:"id" maxLength:"16"`
	}) (*body[installation.LeakScan], error) {
		at, err := s.inst.LeakScanAt(in.ID)
		return &body[installation.LeakScan]{at}, err
	})
	post(s, api, "/operator/leak/forget", "forget-leak-scan", "Remove all that is kept of a scan that has ended: findings, and the file that was uploaded", false, func(ctx context.Context, in *body[LeakScanName]) (*body[LeakScanName], error) {
		return in, operatorError(s.inst.ForgetLeakScan(ctx, in.Body.ID))
	})
	get(s, api, "/operator/leak/scans/{id}/findings", "list-leak-findings", "A scan's findings, by pseudonym", false, func(_ context.Context, in *struct {
		ID     string `path:"id" maxLength:"16"`
		Fields string `query:"fields" maxLength:"256" doc:"a combination, as the summary writes it; all otherwise"`
		From   int    `query:"from" minimum:"0" doc:"how many lines to pass over"`
	}) (*body[LeakFindings], error) {
		list, err := s.inst.LeakFindings(in.ID, in.Fields, in.From)
		out := LeakFindings{Lines: make([]LeakFinding, len(list))}
		for n, l := range list {
			out.Lines[n] = LeakFinding(l)
		}
		return &body[LeakFindings]{out}, err
	})
}

func (s *Server) leakEvidence(ctx context.Context, in *staffInput[LeakEvidenceRequest]) (*body[LeakText], error) {
	session, err := s.session(ctx, in.Auth)
	if err != nil {
		return nil, err
	}
	text, err := s.inst.ShowLeakEvidence(ctx, session, in.Body.why(ctx), in.Body.LeakEvidence)
	return &body[LeakText]{LeakText{text}}, err
}
