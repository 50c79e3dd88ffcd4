package api

import (
	"context"

	"azekura/approval"

	"github.com/danielgtaylor/huma/v2"
)

// Approver is one of those of whom two decide.
type Approver struct {
	Name string `json:"name"`
	Key  string `json:"key" doc:"the public key, as azekura approver new printed it"`
}

// Approvers are those whom the log's events name.
type Approvers struct {
	Approvers []Approver `json:"approvers"`
}

// ApproverChange enrols an approver, or strikes one off.
type ApproverChange struct {
	Approver string `json:"approver" maxLength:"256" doc:"the public key; to strike off, or the name"`
	Proposal string `json:"proposal,omitempty" maxLength:"32" doc:"the proposal that two people approved; the first two are enrolled without"`
}

func (s *Server) addApprovers(api huma.API) {
	get(s, api, "/operator/approvers", "list-approvers", "Those of whom two decide, as the log's events name them", false,
		func(context.Context, *struct{}) (*body[Approvers], error) { return approvers(s.inst.Approvers()) })
	change := func(change func(ctx context.Context, proposal, who string) ([]string, error)) func(context.Context, *body[ApproverChange]) (*body[Approvers], error) {
		return seenThrough(s, func(ctx context.Context, in *body[ApproverChange]) (*body[Approvers], error) {
			list, err := change(ctx, in.Body.Proposal, in.Body.Approver)
			if err != nil {
				return nil, err
			}
			return approvers(list)
		})
	}
	post(s, api, "/operator/approvers", "add-approver", "Enrol an approver: the first two at once, further ones by two people", false, change(s.inst.Enrol))
	post(s, api, "/operator/approvers/remove", "remove-approver", "Strike an approver off, by two people", false, change(s.inst.Strike))
}

func approvers(vkeys []string) (*body[Approvers], error) {
	out := Approvers{Approvers: []Approver{}}
	for _, vkey := range vkeys {
		name, err := approval.Name(vkey)
		if err != nil {
			return nil, err
		}
		out.Approvers = append(out.Approvers, Approver{name, vkey})
	}
	return &body[Approvers]{out}, nil
}
