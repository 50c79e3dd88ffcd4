package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"azekura/access"
	"azekura/auditlog"
	"azekura/auditlog/complete"
	"azekura/auditlog/export"
	"azekura/gate"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
)

// ExportRequest asks for the log's events in another form.
type ExportRequest struct {
	Log         int64     `json:"log,omitempty" minimum:"0" doc:"a log that the present one continues; 0 is the present one"`
	Format      string    `json:"format" enum:"ocsf,fhir,csv"`
	Since       time.Time `json:"since,omitzero" doc:"the first moment that counts"`
	Until       time.Time `json:"until,omitzero" doc:"the first moment that doesn't"`
	Participant string    `json:"participant,omitempty" maxLength:"36" doc:"a pseudonym"`
	Session     string    `json:"session,omitempty" maxLength:"32"`
	Staff       string    `json:"staff,omitempty" maxLength:"32"`
	ExpandSets  bool      `json:"expand_sets,omitempty" doc:"a row for each member of a set event, beside the event's"`
}

// CompleteRequest asks for a proof that nothing of a subject's is missing.
type CompleteRequest struct {
	Log         int64  `json:"log,omitempty" minimum:"0" doc:"a log that the present one continues; 0 is the present one"`
	Participant string `json:"participant,omitempty" maxLength:"36" doc:"a pseudonym"`
	Session     string `json:"session,omitempty" maxLength:"32"`
	From        string `json:"from,omitempty" pattern:"^[0-9]{4}-[0-9]{2}-[0-9]{2}$" patternDescription:"a day" maxLength:"10" doc:"the first day, UTC; the log's first otherwise"`
	To          string `json:"to,omitempty" pattern:"^[0-9]{4}-[0-9]{2}-[0-9]{2}$" patternDescription:"a day" maxLength:"10" doc:"the last day; the last that is over otherwise"`
}

// RowsHeader says in an export's answer how many rows it has when it is whole.
const RowsHeader = "X-Azekura-Rows"

// addAuditor is what auditors ask for. Its answers may be long: they are streamed,
// and each part of them has as long as a short answer has.
func (s *Server) addAuditor(api huma.API) {
	operation := func(id, path, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: http.MethodPost, Path: path, MaxBodyBytes: maxBody, Summary: summary,
			Security: []map[string][]string{{"session": {}}},
			Errors:   []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusServiceUnavailable}}
	}
	huma.Register(api, operation("export-log", "/v1/log/export", "The log's events as OCSF, FHIR AuditEvents or CSV, for an auditor; an event itself"), s.export)
	huma.Register(api, operation("complete-log", "/v1/log/complete", "A proof that nothing of a participant's or a session's is missing, for an auditor"), s.complete)
}

func (s *Server) export(ctx context.Context, in *staffInput[ExportRequest]) (*huma.StreamResponse, error) {
	r := in.Body
	session, err := s.session(ctx, in.Auth)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	q := export.Query{Log: r.Log, Format: r.Format, Since: r.Since, Until: r.Until, Staff: r.Staff, ExpandSets: r.ExpandSets, Request: request(ctx)}
	if q.Participant, err = pseudonym(r.Participant); err == nil && r.Session != "" {
		if q.Session, err = auditlog.ParseSession(r.Session); err != nil {
			err = fmt.Errorf("%w: %w", gate.ErrInvalid, err)
		}
	}
	var ready *export.Ready
	if err == nil {
		err = s.begin()
	}
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	if ready, err = export.Prepare(ctx, export.Source{Log: s.inst.Log, OpenMembers: s.inst.Gate.OpenMembers}, session, q); err != nil {
		s.done()
		return nil, s.problem(ctx, err)
	}
	return &huma.StreamResponse{Body: func(out huma.Context) {
		defer s.done()
		out.SetHeader("Content-Type", ready.ContentType())
		out.SetHeader(RowsHeader, strconv.FormatInt(ready.Rows, 10))
		if err := ready.Write(ctx, s.patient(out, session)); err != nil { // the header tells the reader that rows are missing
			s.logError(request(ctx), err)
		}
	}}, nil
}

// pseudonym reads a participant's id; none is the zero ID.
func pseudonym(text string) (id uuid.UUID, err error) {
	if text == "" {
		return id, nil
	}
	if id, err = uuid.Parse(text); err != nil || id == (uuid.UUID{}) || len(text) != 36 {
		return uuid.UUID{}, fmt.Errorf("%w: a participant's pseudonym is a UUID", gate.ErrInvalid)
	}
	return id, nil
}

func (s *Server) complete(ctx context.Context, in *staffInput[CompleteRequest]) (*huma.StreamResponse, error) {
	r := in.Body
	session, err := s.session(ctx, in.Auth)
	if err == nil {
		err = export.Allowed(ctx, s.inst.Log, session, request(ctx))
	}
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	subject := complete.Subject{Kind: complete.Participant}
	id, err := pseudonym(r.Participant)
	if subject.ID = id.String(); r.Session != "" {
		subject = complete.Subject{Kind: complete.Session, ID: r.Session}
		if _, err = auditlog.ParseSession(r.Session); err != nil {
			err = fmt.Errorf("%w: %w", gate.ErrInvalid, err)
		}
	}
	if err == nil && (r.Session == "") == (r.Participant == "") {
		err = fmt.Errorf("%w: ask about one participant or one session", gate.ErrInvalid)
	}
	if err == nil {
		_, err = s.inst.Log.History(r.Log)
	}
	if err == nil {
		err = export.Proof(ctx, s.inst.Log, session, subject, r.Log, r.From, r.To, request(ctx))
	}
	if err == nil {
		err = s.begin()
	}
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	return &huma.StreamResponse{Body: func(out huma.Context) {
		defer s.done()
		out.SetHeader("Content-Type", "application/x-ndjson")
		o := auditlog.CompleteOptions{Log: r.Log, From: r.From, To: r.To, OpenMembers: s.inst.Gate.OpenMembers}
		w := s.patient(out, session)
		if _, err := s.inst.Log.ProveComplete(ctx, subject, o, w); err != nil {
			// A proof without its end is none; this says why.
			_, _ = fmt.Fprintf(w, `{"error":%q}`+"\n", s.teller(ctx)(err))
		}
	}}, nil
}

// begin takes a place among the long answers; done gives it back.
func (s *Server) begin() error {
	select {
	case s.long <- struct{}{}:
		return nil
	default:
		return errLong
	}
}

func (s *Server) done() { <-s.long }

// patientWriter gives each part of a long answer the time that a short one has,
// and ends with the session.
type patientWriter struct {
	io.Writer
	control *http.ResponseController
	still   func() error
}

func (s *Server) patient(out huma.Context, session access.Session) io.Writer {
	w := patientWriter{Writer: out.BodyWriter(), still: func() error { return s.inst.Access.Still(session) }}
	if h, ok := w.Writer.(http.ResponseWriter); ok {
		w.control = http.NewResponseController(h)
	}
	return w
}

func (p patientWriter) Write(b []byte) (int, error) {
	if err := p.still(); err != nil {
		return 0, err
	}
	if p.control != nil {
		// A writer in this process has no deadline to move.
		_ = p.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	return p.Writer.Write(b)
}
