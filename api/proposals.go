package api

import (
	"context"
	"time"

	"azekura/access"
	"azekura/access/budget"
	"azekura/approval/desk"
	"azekura/internal/installation"

	"github.com/danielgtaylor/huma/v2"
)

// maxProposal bounds a body that holds a proposal's file, in bytes; the file
// itself is bounded by package approval.
const maxProposal = 64 << 10

// NewProposal asks for a proposal's text.
type NewProposal struct {
	Kind        string         `json:"kind" enum:"rotate-root,rotate-data,rotate-index,shred,leak-index,policy,approver,approver-remove,release,budget"`
	Approver    string         `json:"approver,omitempty" maxLength:"256" doc:"of approver: the public key; of approver-remove: it, or the name"`
	Participant string         `json:"participant,omitempty" maxLength:"36" doc:"of shred: the participant's id"`
	Purpose     string         `json:"purpose,omitempty" maxLength:"32" doc:"of shred and leak-index"`
	Case        string         `json:"case,omitempty" maxLength:"64" doc:"of shred and leak-index"`
	Target      *access.Target `json:"target,omitempty" doc:"of release: what is contained"`
	Limits      []budget.Limit `json:"limits,omitempty" maxItems:"100" doc:"of budget: the limits, or"`
	Surge       *budget.Extra  `json:"surge,omitempty" doc:"of budget: the surge"`
	Why         string         `json:"why,omitempty" maxLength:"200" doc:"of release and budget, without personal data"`
	Text        string         `json:"text,omitempty" maxLength:"12288" doc:"of policy: the text"`
	Hours       int64          `json:"hours" minimum:"1" maximum:"336" doc:"how long it may wait"`
}

// ProposalFile is a proposal, with the signatures that it bears.
type ProposalFile struct {
	File string `json:"file" maxLength:"24576" doc:"the proposal's text, and below it its signatures (C2SP signed-note)"`
}

// Proposals are all that the server knows of.
type Proposals struct {
	Proposals []desk.Item `json:"proposals"`
}

type proposalByID struct {
	Auth
	ID string `path:"id" pattern:"^[0-9a-f]{32}$" doc:"the proposal's id"`
}

func (s *Server) addProposals(api huma.API) {
	draft := huma.Operation{OperationID: "draft-proposal", Method: "POST", Path: "/v1/proposals/draft", MaxBodyBytes: maxProposal,
		Summary: "The text of a proposal, to be signed", Security: []map[string][]string{{"session": {}}}}
	huma.Register(api, draft, func(ctx context.Context, in *staffInput[NewProposal]) (*body[ProposalFile], error) {
		ctx, cancel := context.WithTimeout(ctx, maxWait)
		defer cancel()
		out, err := s.draftProposal(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return out, nil
	})
	get(s, api, "/v1/proposals", "list-proposals", "The proposals that wait, and what became of others", true, func(ctx context.Context, in *struct{ Auth }) (*body[Proposals], error) {
		if _, err := s.session(ctx, in.Auth); err != nil {
			return nil, err
		}
		return &body[Proposals]{Proposals{s.inst.Desk.List()}}, nil
	})
	get(s, api, "/v1/proposals/{id}", "show-proposal", "One proposal, in words", true, func(ctx context.Context, in *proposalByID) (*body[desk.Item], error) {
		if _, err := s.session(ctx, in.Auth); err != nil {
			return nil, err
		}
		item, err := s.inst.Desk.Show(in.ID)
		return &body[desk.Item]{item}, err
	})
	submit := huma.Operation{OperationID: "submit-proposal", Method: "POST", Path: "/v1/proposals", MaxBodyBytes: maxProposal,
		Summary: "Bring a signed proposal, or a consent from another device", Security: []map[string][]string{{"session": {}}}}
	huma.Register(api, submit, func(ctx context.Context, in *staffInput[ProposalFile]) (*body[desk.Item], error) {
		ctx, cancel := context.WithTimeout(ctx, maxWait)
		defer cancel()
		out, err := seenThrough(s, s.submitProposal)(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return out, nil
	})
	post(s, api, "/v1/proposals/{id}/withdraw", "withdraw-proposal", "Take one's own proposal back", true, seenThrough(s, func(ctx context.Context, in *proposalByID) (*body[desk.Item], error) {
		session, err := s.session(ctx, in.Auth)
		if err != nil {
			return nil, err
		}
		item, err := s.inst.Desk.Withdraw(ctx, session, in.ID)
		return &body[desk.Item]{item}, err
	}))
	post(s, api, "/v1/proposals/{id}/refuse", "refuse-proposal", "End another's proposal", true, seenThrough(s, func(ctx context.Context, in *proposalByID) (*body[desk.Item], error) {
		session, err := s.session(ctx, in.Auth)
		if err != nil {
			return nil, err
		}
		item, err := s.inst.Desk.Refuse(ctx, session, in.ID)
		return &body[desk.Item]{item}, err
	}))
	post(s, api, "/v1/proposals/{id}/carry", "carry-proposal", "Carry out a release or a change of budgets that two people approved, as one of the two", true, seenThrough(s, func(ctx context.Context, in *proposalByID) (*body[desk.Item], error) {
		session, err := s.session(ctx, in.Auth)
		if err != nil {
			return nil, err
		}
		item, err := s.inst.CarryOut(ctx, session, in.ID)
		return &body[desk.Item]{item}, err
	}))
}

func (s *Server) draftProposal(ctx context.Context, in *staffInput[NewProposal]) (*body[ProposalFile], error) {
	session, err := s.session(ctx, in.Auth)
	if err != nil {
		return nil, err
	}
	r := in.Body
	var change *installation.BudgetChange
	if r.Limits != nil || r.Surge != nil {
		change = &installation.BudgetChange{Limits: r.Limits, Surge: r.Surge}
	}
	file, err := s.inst.Propose(ctx, installation.Draft{Target: r.Target, Budget: change, Why: r.Why, Kind: r.Kind, Approver: r.Approver, Participant: r.Participant, Purpose: r.Purpose, Case: r.Case, Text: r.Text,
		By: session.Staff(), Life: time.Duration(r.Hours) * time.Hour})
	return &body[ProposalFile]{ProposalFile{string(file)}}, err
}

func (s *Server) submitProposal(ctx context.Context, in *staffInput[ProposalFile]) (*body[desk.Item], error) {
	session, err := s.session(ctx, in.Auth)
	if err != nil {
		return nil, err
	}
	item, err := s.inst.Desk.Submit(ctx, session, []byte(in.Body.File))
	return &body[desk.Item]{item}, err
}
