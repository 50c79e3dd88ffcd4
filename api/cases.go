package api

import (
	"context"
	"fmt"
	"time"

	"azekura/access"
	"azekura/cases"

	"github.com/danielgtaylor/huma/v2"
)

// NewCase opens a case.
type NewCase struct {
	Kind   string   `json:"kind" maxLength:"32" doc:"call, visit, letter, application, death, merge, representative or review"`
	Staff  string   `json:"staff,omitempty" maxLength:"32" doc:"whom a supervisor opens it for; absent is oneself"`
	Fields []string `json:"fields,omitempty" maxItems:"11" doc:"what is to be read in it: where the key was touched for just that, reading it takes no further touch"`
	For    []string `json:"for,omitempty" maxItems:"2" doc:"the hash of the search that is made in it, where the key was touched for just that: SHA-256 in base64url without padding of a salt (22 to 64 characters, drawn at random), by, value and birth as they will be sent, with a line feed between each two; two in a case about two"`
	Touch
}

// Touch says that a key was touched for what is asked.
type Touch struct {
	Touch string `json:"touch,omitempty" maxLength:"64" doc:"the code of a touch of one's key for this act, which /signin/touch/finish gives"`
}

// CaseAnswer is a case with its history, the newest event first.
type CaseAnswer struct {
	cases.Info
	History []cases.Step `json:"history"`
	Notes   []cases.Note `json:"notes,omitempty" doc:"if they were asked for"`
}

// CasesAnswer lists cases.
type CasesAnswer struct {
	Cases []cases.Info `json:"cases"`
}

// CaseList asks for one's own cases, or for those of an office.
type CaseList struct {
	Office bool `json:"office,omitempty" doc:"those of the whole office, for a supervisor"`
	Limit  int  `json:"limit,omitempty" minimum:"0" maximum:"1000" doc:"at most so many; absent is 100"`
}

// CaseCode names a case.
type CaseCode struct {
	Case string `json:"case" maxLength:"64" doc:"the case's code"`
}

// ShowCase asks for one case.
type ShowCase struct {
	CaseCode
	Notes bool `json:"notes,omitempty" doc:"open its notes too, which is an event of its own"`
}

// CaseStaff names a case and whom it is given to.
type CaseStaff struct {
	CaseCode
	Staff string `json:"staff,omitempty" maxLength:"32"`
}

// ReopenRequest opens a case again.
type ReopenRequest struct {
	CaseStaff
	Touch
}

// IdentifyRequest says whom a case is about.
type IdentifyRequest struct {
	CaseCode
	Whom
	Document string `json:"document,omitempty" maxLength:"32" doc:"what they showed: my-number-card, driving-licence, passport, residence-card, pension-book, power-of-attorney, court-order or family-register"`
}

// WaitRequest sets a case to wait, or takes it up again.
type WaitRequest struct {
	CaseCode
	Waiting bool `json:"waiting"`
}

// NoteRequest writes a note.
type NoteRequest struct {
	CaseCode
	Participant string `json:"participant,omitempty" maxLength:"36" doc:"whom it is about, where the case is about two"`
	Text        string `json:"text" minLength:"1" maxLength:"4000"`
}

// TaskRequest adds a task, or says that one is done.
type TaskRequest struct {
	CaseCode
	Kind string `json:"kind,omitempty" maxLength:"32" doc:"call-back, send-form, wait-for-reply, check-document, ask-supervisor, correct-record or other"`
	Due  string `json:"due,omitempty" maxLength:"10" doc:"a day in Japan, like 2026-12-01"`
	Done int    `json:"done,omitempty" minimum:"0" maximum:"1000" doc:"in place of kind and due: the number of the task that is done"`
}

// CloseRequest closes a case.
type CloseRequest struct {
	CaseCode
	Outcome string `json:"outcome" maxLength:"32" doc:"done, answered, not-identified, withdrawn, passed-on or mistake"`
}

func (s *Server) addCases(api huma.API) {
	caseAct(s, api, "", "open-case", "Open a case", func(ctx context.Context, b cases.By, in *NewCase) (cases.Info, error) {
		kind, err := cases.ParseKind(in.Kind)
		if err != nil {
			return cases.Info{}, err
		}
		need, err := fields(in.Fields)
		if err != nil {
			return cases.Info{}, err
		}
		if b.Touched, err = s.inst.Access.UseTouch(ctx, b.Session, in.Touch.Touch, access.OpenCase(kind.String(), need, in.For...)); err != nil {
			return cases.Info{}, err
		}
		return s.inst.Cases.Open(ctx, b, kind, need, in.For, in.Staff)
	})
	caseAct(s, api, "/assign", "assign-case", "Give a case to somebody else of its office", func(ctx context.Context, b cases.By, in *CaseStaff) (cases.Info, error) {
		return s.inst.Cases.Assign(ctx, b, in.Case, in.Staff)
	})
	caseAct(s, api, "/identify", "identify", "Say whom a case is about", func(ctx context.Context, b cases.By, in *IdentifyRequest) (cases.Info, error) {
		who, err := in.who()
		if err != nil {
			return cases.Info{}, err
		}
		return s.inst.Gate.Identify(ctx, b.Session, in.Case, who, in.Document, b.Request)
	})
	caseAct(s, api, "/wait", "wait", "Set a case to wait, or take it up again", func(ctx context.Context, b cases.By, in *WaitRequest) (cases.Info, error) {
		return s.inst.Cases.SetWaiting(ctx, b, in.Case, in.Waiting)
	})
	caseAct(s, api, "/task", "task", "Add a task to a case, or say that one is done", s.task)
	caseAct(s, api, "/note", "note", "Write a note into a case", func(ctx context.Context, b cases.By, in *NoteRequest) (cases.Info, error) {
		return s.inst.Gate.WriteNote(ctx, b, in.Case, in.Participant, in.Text)
	})
	caseAct(s, api, "/close", "close-case", "Close a case", func(ctx context.Context, b cases.By, in *CloseRequest) (cases.Info, error) {
		return s.inst.Cases.Close(ctx, b, in.Case, in.Outcome)
	})
	caseAct(s, api, "/reopen", "reopen-case", "Open a closed case again, or let one go on that had too many wrong answers", func(ctx context.Context, b cases.By, in *ReopenRequest) (info cases.Info, err error) {
		if b.Touched, err = s.inst.Access.UseTouch(ctx, b.Session, in.Touch.Touch, access.ReopenCase(in.Case)); err != nil {
			return info, err
		}
		return s.inst.Cases.Reopen(ctx, b, in.Case, in.Staff)
	})
	post(s, api, "/v1/cases/list", "list-cases", "List one's cases", true, func(ctx context.Context, in *staffInput[CaseList]) (*body[CasesAnswer], error) {
		b, err := s.by(ctx, in.Auth)
		if err != nil {
			return nil, err
		}
		limit := in.Body.Limit
		if limit == 0 {
			limit = 100
		}
		list, err := s.inst.Cases.List(ctx, b, in.Body.Office, limit)
		return &body[CasesAnswer]{CasesAnswer{list}}, err
	})
	post(s, api, "/v1/cases/show", "show-case", "A case and its history", true, s.showCase)
}

// caseAct registers something that happens to a case. An act is seen through, like a
// grant.
func caseAct[In any](s *Server, api huma.API, path, id, summary string, f func(context.Context, cases.By, *In) (cases.Info, error)) {
	post(s, api, "/v1/cases"+path, id, summary, true, seenThrough(s, func(ctx context.Context, in *staffInput[In]) (*body[cases.Info], error) {
		b, err := s.by(ctx, in.Auth)
		if err != nil {
			return nil, err
		}
		info, err := f(ctx, b, &in.Body)
		return &body[cases.Info]{info}, err
	}))
}

func (s *Server) by(ctx context.Context, a Auth) (cases.By, error) {
	session, err := s.session(ctx, a)
	return cases.By{Session: session, Request: request(ctx)}, err
}

func (s *Server) task(ctx context.Context, b cases.By, in *TaskRequest) (cases.Info, error) {
	if in.Done > 0 {
		if in.Kind != "" || in.Due != "" {
			return cases.Info{}, fmt.Errorf("%w: a task is added, by kind and due, or done, by its number", cases.ErrInvalid)
		}
		return s.inst.Cases.DoneTask(ctx, b, in.Case, in.Done)
	}
	due, err := time.ParseInLocation(time.DateOnly, in.Due, time.FixedZone("JST", 9*60*60))
	if err != nil {
		return cases.Info{}, fmt.Errorf("%w: a task is due on a day like 2026-12-01", cases.ErrInvalid)
	}
	return s.inst.Cases.AddTask(ctx, b, in.Case, in.Kind, due)
}

func (s *Server) showCase(ctx context.Context, in *staffInput[ShowCase]) (*body[CaseAnswer], error) {
	b, err := s.by(ctx, in.Auth)
	if err != nil {
		return nil, err
	}
	var a CaseAnswer
	if a.Info, a.History, err = s.inst.Cases.Show(ctx, b, in.Body.Case); err != nil {
		return nil, err
	}
	if in.Body.Notes {
		if a.Notes, err = s.inst.Gate.ReadNotes(ctx, b, in.Body.Case); err != nil {
			return nil, err
		}
	}
	return &body[CaseAnswer]{a}, nil
}
