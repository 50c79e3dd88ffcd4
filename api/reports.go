package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"azekura/auditlog"
	"azekura/incident"
	"azekura/register"

	"github.com/danielgtaylor/huma/v2"
)

// ExposureRequest asks whom a device, a session or a staff member saw.
type ExposureRequest struct {
	Device   string    `json:"device,omitempty" maxLength:"32"`
	Session  string    `json:"session,omitempty" maxLength:"32"`
	Staff    string    `json:"staff,omitempty" maxLength:"32"`
	Since    time.Time `json:"since,omitzero" doc:"the first moment that counts"`
	Until    time.Time `json:"until,omitzero" doc:"the first moment that doesn't"`
	Found    string    `json:"found,omitempty" maxLength:"4096" doc:"the folder of a leak scan's result, an absolute path on the server's machine: who was found in files is joined with who was opened"`
	Format   string    `json:"format,omitempty" enum:"json,csv,table," doc:"json: figures; csv: a line for each participant; table: for people"`
	Language string    `json:"language,omitempty" enum:"en,ja," doc:"of a table"`
	Zone     string    `json:"zone,omitempty" maxLength:"64" doc:"of a table's times, as in Asia/Tokyo; UTC otherwise"`
}

// Line is one line of an answer that comes as newline-delimited JSON: progress
// while it works, then a result or an error.
type Line[T any] struct {
	Done   int64  `json:"done,omitempty"`
	Total  int64  `json:"total,omitempty"`
	Result *T     `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Verified is what azekura log verify found.
type Verified struct {
	auditlog.Report
	Root    string             `json:"root"`
	Earlier []auditlog.Earlier `json:"earlier,omitempty"` // the logs before, the newest first
}

func (s *Server) addReports(api huma.API) {
	s.addVerify(api)
	huma.Register(api, huma.Operation{OperationID: "exposure", Method: http.MethodPost, Path: "/operator/exposure", MaxBodyBytes: maxBody,
		Summary: "Whom a device, a session or a staff member saw: person by field"}, s.exposure)
	huma.Register(api, huma.Operation{OperationID: "verify-log", Method: http.MethodPost, Path: "/operator/log/verify", MaxBodyBytes: maxBody,
		Summary: "Re-hash the audit log against its signed head; newline-delimited JSON"}, s.verify)
	huma.Register(api, huma.Operation{OperationID: "dry-run-import", Method: http.MethodPost, Path: "/operator/imports/dry-run", MaxBodyBytes: maxBody,
		Summary: "Judge a file and write nothing; newline-delimited JSON"}, s.dryRun)
}

func (s *Server) exposure(ctx context.Context, in *body[ExposureRequest]) (*huma.StreamResponse, error) {
	r := in.Body
	q := incident.Query{Since: r.Since, Until: r.Until}
	var err error
	if q.Sessions, q.Label, err = s.subject(ctx, r); err != nil {
		return nil, s.problem(ctx, err)
	}
	if r.Found != "" {
		if q.Found, err = foundIn(r.Found); err != nil {
			return nil, s.problem(ctx, err)
		}
	}
	zone, err := time.LoadLocation(r.Zone)
	if err != nil {
		return nil, huma.NewError(http.StatusUnprocessableEntity, "no time zone has that name; give one like Asia/Tokyo")
	}
	e, err := incident.Compute(ctx, incident.Source{DB: s.inst.DB, LogID: s.inst.Log.ID(), Earlier: s.inst.Log.Past(), Signed: s.inst.Signer.Head,
		OpenMembers: s.inst.Gate.OpenMembers, Nobody: s.inst.Gate.IsCanary}, q, nil)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	return &huma.StreamResponse{Body: func(out huma.Context) {
		write, kind := e.WriteJSON, "application/json"
		switch r.Format {
		case "csv":
			write, kind = e.WriteCSV, "text/csv; charset=utf-8"
		case "table":
			out.SetHeader("Content-Type", "text/plain; charset=utf-8")
			if err := e.WriteTable(out.BodyWriter(), incident.Language(or(r.Language, "en")), zone); err != nil {
				s.logError(request(ctx), err)
			}
			return
		}
		out.SetHeader("Content-Type", kind)
		if err := write(out.BodyWriter()); err != nil { // the reader is gone
			s.logError(request(ctx), err)
		}
	}}, nil
}

// foundIn reads a leak scan's result.
func foundIn(folder string) (*incident.Found, error) {
	if !filepath.IsAbs(folder) {
		return nil, fmt.Errorf("%w: the folder's path must be absolute", errOperator)
	}
	var files [2]*os.File
	for n, name := range []string{"findings.ndjson", "ledger.ndjson"} {
		file, err := os.Open(filepath.Join(folder, name))
		if err != nil {
			return nil, fmt.Errorf("%w: it has no %s that can be read; azekura leak scan -o makes such a folder", incident.ErrFound, name)
		}
		defer file.Close()
		files[n] = file
	}
	return incident.ReadFound(files[0], files[1])
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// subject resolves whom the question is about into sessions.
func (s *Server) subject(ctx context.Context, r ExposureRequest) ([]auditlog.Session, string, error) {
	given := 0
	for _, id := range []string{r.Device, r.Session, r.Staff} {
		if id != "" {
			given++
		}
	}
	if given != 1 {
		return nil, "", fmt.Errorf("%w: ask about one device, one session or one staff member", errOperator)
	}
	if r.Session != "" {
		id, err := auditlog.ParseSession(r.Session)
		if err != nil {
			return nil, "", fmt.Errorf("%w: %w", errOperator, err)
		}
		return []auditlog.Session{id}, "session " + r.Session, nil
	}
	if err := s.inst.Access.Known(r.Staff, r.Device); err != nil {
		return nil, "", err
	}
	label := "device " + r.Device
	if r.Staff != "" {
		label = "staff " + r.Staff
	}
	sessions, err := s.inst.Access.Of(ctx, r.Staff, r.Device)
	return sessions, label, err
}

// lines answers with newline-delimited JSON.
func lines[T any](work func(progress func(done, total int64)) (T, error), tell func(error) string) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", "application/x-ndjson")
		w := ctx.BodyWriter()
		out := json.NewEncoder(w)
		send := func(l Line[T]) {
			// A reader that is gone ends the work through its context.
			_ = out.Encode(l)
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
			}
		}
		last := time.Now()
		result, err := work(func(done, total int64) {
			if time.Since(last) > 200*time.Millisecond {
				last = time.Now()
				send(Line[T]{Done: done, Total: total})
			}
		})
		if err != nil {
			send(Line[T]{Error: tell(err)})
			return
		}
		send(Line[T]{Result: &result})
	}}
}

func (s *Server) verify(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
	return lines(func(progress func(done, total int64)) (Verified, error) { return s.verifyLog(ctx, progress) }, s.teller(ctx)), nil
}

func (s *Server) dryRun(ctx context.Context, in *body[NewImport]) (*huma.StreamResponse, error) {
	if !filepath.IsAbs(in.Body.Path) {
		return nil, s.problem(ctx, fmt.Errorf("%w: the path must be absolute", errOperator))
	}
	return lines(func(progress func(done, total int64)) (register.Import, error) {
		at, err := s.inst.DryRun(ctx, in.Body.Path, in.Body.options(), func(at register.Import) { progress(at.Done, at.Bytes) })
		if err != nil {
			err = fmt.Errorf("%w: %w", errOperator, err)
		}
		return at, err
	}, s.teller(ctx)), nil
}

// teller says an error as problem would.
func (s *Server) teller(ctx context.Context) func(error) string {
	return func(err error) string { return s.problem(ctx, err).Error() }
}
