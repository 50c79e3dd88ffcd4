package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"azekura/access/policy"
	"azekura/auditlog"

	"github.com/danielgtaylor/huma/v2"
)

// maxPolicy bounds a body that holds a text, in bytes; the text itself is bounded by
// package policy.
const maxPolicy = 128 << 10

// PolicyInForce is the text in force.
type PolicyInForce struct {
	InForce *policy.Text `json:"in_force" doc:"null: none was ever set, and no policy is asked"`
}

// NewPolicy sets a text.
type NewPolicy struct {
	Text     string `json:"text" maxLength:"12288"`
	Proposal string `json:"proposal,omitempty" maxLength:"32" doc:"the proposal that two people approved"`
}

// PolicyQuestion asks what would be decided.
type PolicyQuestion struct {
	Text string   `json:"text,omitempty" maxLength:"65536" doc:"of this text; else of the one in force"`
	Say  []string `json:"say,omitempty" maxItems:"32" doc:"what is other than in honest work: key=value"`
}

// PolicyAnswer is what would be decided, and by what.
type PolicyAnswer struct {
	Verdict  string         `json:"verdict" enum:"allow,refuse"`
	Policies []policy.Words `json:"policies,omitempty" doc:"those that decided; none: nothing permits it"`
	Failed   []string       `json:"failed,omitempty" doc:"policies that couldn't be evaluated; each refuses"`
	Missing  []PolicyLack   `json:"missing,omitempty" doc:"what, had it been so, these policies would have permitted"`
	Request  policy.Request `json:"request"`
}

// PolicyLack is what is missing, in words.
type PolicyLack struct {
	En string `json:"en"`
	Ja string `json:"ja"`
}

// PolicyReplay asks what a text would have refused.
type PolicyReplay struct {
	Text string    `json:"text" maxLength:"65536"`
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
}

func (s *Server) addPolicies(api huma.API) {
	get(s, api, "/operator/policy", "show-policy", "The policies in force", false, func(context.Context, *struct{}) (*body[PolicyInForce], error) {
		return &body[PolicyInForce]{PolicyInForce{s.inst.Policies.Now()}}, nil
	})
	postText(s, api, "/operator/policy", "set-policy", "Put policies in force, as two people approved them", seenThrough(s, func(ctx context.Context, in *body[NewPolicy]) (*body[PolicyInForce], error) {
		now, err := s.inst.SetPolicy(ctx, in.Body.Proposal, in.Body.Text)
		return &body[PolicyInForce]{PolicyInForce{now}}, err
	}))
	postText(s, api, "/operator/policy/explain", "explain-policy", "What policies would decide, and by what", s.explainPolicy)
	postText(s, api, "/operator/policy/replay", "replay-policy", "Which of the log's openings policies would have refused", func(ctx context.Context, in *body[PolicyReplay]) (*body[policy.Replayed], error) {
		set, err := policy.Load([]byte(in.Body.Text))
		if err != nil {
			return nil, err
		}
		r := policy.NewReplay(set, in.Body.From, in.Body.To)
		if err := s.inst.Log.Recorded(ctx, func(e *auditlog.Event) { r.Add(e) }); err != nil {
			return nil, err
		}
		return &body[policy.Replayed]{r.Result()}, nil
	})
}

// postText is post for bodies that hold a text.
func postText[In, Out any](s *Server, api huma.API, path, id, summary string, f func(context.Context, *body[In]) (*body[Out], error)) {
	huma.Register(api, huma.Operation{OperationID: id, Method: http.MethodPost, Path: path, Summary: summary, MaxBodyBytes: maxPolicy}, func(ctx context.Context, in *body[In]) (*body[Out], error) {
		out, err := f(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return out, nil
	})
}

func (s *Server) explainPolicy(_ context.Context, in *body[PolicyQuestion]) (*body[PolicyAnswer], error) {
	text := in.Body.Text
	if now := s.inst.Policies.Now(); text == "" && now != nil {
		text = now.Text
	}
	if text == "" {
		return nil, fmt.Errorf("%w: no policies are in force; give a file", errOperator)
	}
	set, err := policy.Load([]byte(text))
	if err != nil {
		return nil, err
	}
	r := policy.Usual()
	for _, word := range in.Body.Say {
		if err := r.Say(word); err != nil {
			return nil, err
		}
	}
	d := set.Decide(r)
	a := PolicyAnswer{Verdict: d.Verdict(), Policies: d.Policies, Failed: d.Failed, Request: r}
	for _, m := range d.Missing {
		a.Missing = append(a.Missing, PolicyLack(m))
	}
	return &body[PolicyAnswer]{a}, nil
}
