package api

import (
	"context"
	"fmt"
	"time"

	"azekura/access/budget"
	"azekura/auditlog"
	"azekura/internal/installation"

	"github.com/danielgtaylor/huma/v2"
)

// Budgets are the budgets as they stand.
type Budgets struct {
	Lines  []budget.Line  `json:"lines" doc:"those that were used within thirty days"`
	Limits []budget.Limit `json:"limits" doc:"those that are set"`
	Extras []budget.Extra `json:"extras" doc:"what is added now"`
}

// NewBudget proposes a change of budgets.
type NewBudget struct {
	Limits []budget.Limit `json:"limits,omitempty" maxItems:"100"`
	Surge  *budget.Extra  `json:"surge,omitempty"`
	Why    string         `json:"why" maxLength:"200"`
	By     string         `json:"by" maxLength:"32"`
	Hours  int64          `json:"hours" minimum:"1" maximum:"336" doc:"how long the proposal may wait"`
}

// NewExtra adds to a staff member's budget.
type NewExtra struct {
	Staff   string `json:"staff" maxLength:"32"`
	Persons int64  `json:"persons" minimum:"1"`
	Minutes int64  `json:"minutes" minimum:"1" maximum:"1440"`
	Why     string `json:"why" maxLength:"200"`
}

func (s *Server) addBudget(api huma.API) {
	get(s, api, "/operator/budgets", "list-budgets", "The budgets as they stand", false, func(context.Context, *struct{}) (*body[Budgets], error) {
		now := s.inst.Log.Now()
		return &body[Budgets]{Budgets{s.inst.Budgets.Lines(now), s.inst.Budgets.Limits(), s.inst.Budgets.Extras(now)}}, nil
	})
	get(s, api, "/operator/budgets/history", "derive-budgets", "Limits derived from the log's history, and the honest days that they would have hurt", false,
		func(ctx context.Context, _ *struct{}) (*body[budget.Proposal], error) {
			h := budget.NewHistory()
			if err := s.inst.Log.Recorded(ctx, func(e *auditlog.Event) { h.Add(e) }); err != nil {
				return nil, err
			}
			return &body[budget.Proposal]{h.Propose()}, nil
		})
	post(s, api, "/operator/budgets/proposal", "propose-budgets", "Propose limits or a surge, for two people to sign", false,
		func(_ context.Context, in *body[NewBudget]) (*body[ProposalText], error) {
			c := installation.BudgetChange{Limits: in.Body.Limits, Surge: in.Body.Surge, Why: in.Body.Why}
			text, err := s.inst.ProposeBudget(c, in.Body.By, time.Duration(in.Body.Hours)*time.Hour)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", errOperator, err)
			}
			return &body[ProposalText]{ProposalText{string(text)}}, nil
		})
	post(s, api, "/operator/budgets/change", "change-budgets", "Change budgets, as two people approved it", false,
		seenThrough(s, func(ctx context.Context, in *body[ProposalText]) (*body[installation.BudgetChange], error) {
			c, err := s.inst.ChangeBudget(ctx, []byte(in.Body.Text))
			return &body[installation.BudgetChange]{c}, err
		}))
}

func (s *Server) addBudgetByStaff(api huma.API) {
	post(s, api, "/v1/budget/grant", "add-to-budget", "Add to a staff member's budget for a while, as a supervisor at another device", true,
		func(ctx context.Context, in *staffInput[NewExtra]) (*body[budget.Extra], error) {
			session, err := s.session(ctx, in.Auth)
			if err != nil {
				return nil, err
			}
			x, err := s.inst.AddToBudget(ctx, session, in.Body.Staff, in.Body.Persons, time.Duration(in.Body.Minutes)*time.Minute, in.Body.Why)
			return &body[budget.Extra]{x}, err
		})
}
