package api

import (
	"context"
	"fmt"
	"time"

	"azekura/access"

	"github.com/danielgtaylor/huma/v2"
)

// NewContain stops something, on a person's word.
type NewContain struct {
	access.Target
	Why string `json:"why" maxLength:"200" doc:"for people, without personal data"`
}

// NewRelease proposes to release it.
type NewRelease struct {
	access.Target
	Why   string `json:"why" maxLength:"200"`
	By    string `json:"by" maxLength:"32" doc:"who proposes, a code"`
	Hours int64  `json:"hours" minimum:"1" maximum:"336" doc:"how long the proposal may wait"`
}

// ProposalText is a proposal, or one that was signed.
type ProposalText struct {
	Text string `json:"text" maxLength:"12000"`
}

func (s *Server) addContain(api huma.API) {
	post(s, api, "/operator/contain", "contain", "Contain a session, a device, a staff member, an office or all", false,
		seenThrough(s, func(ctx context.Context, in *body[NewContain]) (*body[access.Contained], error) {
			c, err := s.inst.Access.Contain(ctx, access.Operator(), in.Body.Target, in.Body.Why)
			return &body[access.Contained]{c}, err
		}))
	post(s, api, "/operator/step-up/end", "end-step-up", "End a step-up", false,
		seenThrough(s, func(ctx context.Context, in *body[NewContain]) (*body[access.Target], error) {
			t, err := s.inst.Access.EndStepUp(ctx, access.Operator(), in.Body.Target, in.Body.Why)
			return &body[access.Target]{t}, err
		}))
	get(s, api, "/operator/contained", "list-contained", "List what is contained", false,
		func(context.Context, *struct{}) (*body[[]access.Contained], error) {
			return &body[[]access.Contained]{s.inst.Access.Contained()}, nil
		})
	post(s, api, "/operator/release/proposal", "propose-release", "Propose to release what is contained", false,
		func(_ context.Context, in *body[NewRelease]) (*body[ProposalText], error) {
			text, err := s.inst.ProposeRelease(in.Body.Target, in.Body.Why, in.Body.By, time.Duration(in.Body.Hours)*time.Hour)
			return &body[ProposalText]{ProposalText{string(text)}}, err
		})
	post(s, api, "/operator/release", "release", "Release what is contained, as two people approved it", false,
		seenThrough(s, func(ctx context.Context, in *body[ProposalText]) (*body[access.Target], error) {
			t, err := s.inst.Release(ctx, []byte(in.Body.Text))
			return &body[access.Target]{t}, err
		}))
}

func (s *Server) addContainByStaff(api huma.API) {
	post(s, api, "/v1/contain", "contain-by-session", "Contain, as the security officer whose session it is", true,
		func(ctx context.Context, in *staffInput[NewContain]) (*body[access.Contained], error) {
			session, err := s.session(ctx, in.Auth)
			if err != nil {
				return nil, err
			}
			c, err := s.inst.Access.Contain(ctx, session.Officer(), in.Body.Target, in.Body.Why)
			if err != nil {
				return nil, fmt.Errorf("contain: %w", err)
			}
			return &body[access.Contained]{c}, nil
		})
	post(s, api, "/v1/step-up/end", "end-step-up-by-session", "End a step-up, as the security officer whose session it is", true,
		func(ctx context.Context, in *staffInput[NewContain]) (*body[access.Target], error) {
			session, err := s.session(ctx, in.Auth)
			if err != nil {
				return nil, err
			}
			t, err := s.inst.Access.EndStepUp(ctx, session.Officer(), in.Body.Target, in.Body.Why)
			return &body[access.Target]{t}, err
		})
}
