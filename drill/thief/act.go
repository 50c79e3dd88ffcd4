package thief

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// open opens a case, as the PC's user could, and gives its code.
func (s seat) open(ctx context.Context, kind string) (string, error) {
	var got struct {
		Case string `json:"code"`
	}
	err := s.post(ctx, "/v1/cases", map[string]any{"kind": kind}, &got)
	return got.Case, err
}

func (s seat) close(ctx context.Context, room string) error {
	return s.post(ctx, "/v1/cases/close", map[string]any{"case": room, "outcome": "answered"}, nil)
}

func (s seat) check(ctx context.Context, a *attempt, room, purpose string, who map[string]any, field, claim string) (bool, error) {
	var got struct {
		Match bool `json:"match"`
	}
	in := map[string]any{"field": field, "claim": claim, "purpose": purpose, "case": room}
	for k, v := range who {
		in[k] = v
	}
	a.tried.Add(1)
	if err := s.post(ctx, "/v1/check", in, &got); err != nil {
		return false, err
	}
	if id, ok := who["participant"].(string); ok {
		// That it is right, or that they are there at all, is told by the answer.
		l := line{Attempt: a.name, Participant: id, Fields: []string{"existence"}}
		if got.Match {
			l.Fields = append(l.Fields, field)
		}
		a.obtainedAt(s.of.Device, &l)
	}
	return got.Match, nil
}

func (s seat) identify(ctx context.Context, room string, who map[string]any, document string) error {
	in := map[string]any{"case": room, "document": document}
	for k, v := range who {
		in[k] = v
	}
	return s.post(ctx, "/v1/cases/identify", in, nil)
}

// take reads fields of somebody.
func (s seat) take(ctx context.Context, a *attempt, room, purpose string, who map[string]any, fields []string) error {
	var got struct {
		Participant string                     `json:"participant"`
		Values      map[string]json.RawMessage `json:"values"`
	}
	in := map[string]any{"fields": fields, "purpose": purpose, "case": room}
	for k, v := range who {
		in[k] = v
	}
	a.tried.Add(1)
	if err := s.post(ctx, "/v1/read", in, &got); err != nil {
		return err
	}
	l := line{Attempt: a.name, Participant: got.Participant, Values: got.Values}
	for _, f := range fields {
		if _, there := got.Values[f]; there {
			l.Fields = append(l.Fields, f)
		} else {
			l.None = append(l.None, f)
		}
	}
	a.obtainedAt(s.of.Device, &l)
	return nil
}

// target is a whole call that nobody made, about somebody known from elsewhere: the
// thief answers as they would.
func (s seat) target(ctx context.Context, a *attempt, p person) error {
	a.tried.Add(1)
	room, err := s.open(ctx, "call")
	if err != nil {
		return err
	}
	if err := s.answer(ctx, a, room, p, []string{"address", "phone", "account"}); err != nil {
		return err
	}
	return s.close(ctx, room)
}

// answer says in a case what somebody known from elsewhere would say, and reads fields
// of theirs.
func (s seat) answer(ctx context.Context, a *attempt, room string, p person, fields []string) error {
	list, err := s.search(ctx, a, room, search{By: "number", Value: p.Number, Birth: p.Birth}, "")
	if err != nil {
		return err
	}
	if len(list) != 1 {
		return nil // who was found elsewhere isn't here
	}
	who := map[string]any{"participant": list[0]}
	for _, say := range [][2]string{{"number", p.Number}, {"birth", p.Birth}} {
		if _, err := s.check(ctx, a, room, "enquiry", who, say[0], say[1]); err != nil {
			return err
		}
	}
	if err := s.identify(ctx, room, who, ""); err != nil {
		return err
	}
	if len(fields) == 0 { // the user was going to check alone
		fields = []string{"address"}
	}
	return s.take(ctx, a, room, "enquiry", who, fields)
}

// theirs is a case of the PC's user.
type theirs struct {
	Code   string   `json:"code"`
	State  string   `json:"state"`
	Fields []string `json:"fields"`
	People []struct {
		Participant string `json:"participant"`
		About       bool   `json:"about"`
	} `json:"people"`
}

// ride uses the cases that the PC's user has open: about nobody so far, it makes one be
// about somebody known from elsewhere; about somebody, it reads of them what the user
// may read, and on what more it can until it is refused.
func (s seat) ride(ctx context.Context, a *attempt, next func() (person, bool)) error {
	var got struct {
		Cases []theirs `json:"cases"`
	}
	if err := s.post(ctx, "/v1/cases/list", map[string]any{}, &got); err != nil {
		return err
	}
	for _, room := range got.Cases {
		if room.State != "open" {
			continue
		}
		about := ""
		for _, p := range room.People {
			if p.About {
				about = p.Participant
			}
		}
		switch {
		case about == "":
			if p, ok := next(); ok {
				if err := s.answer(ctx, a, room.Code, p, room.Fields); err != nil {
					return err
				}
			}
		case len(room.Fields) > 0:
			who := map[string]any{"participant": about}
			if err := s.take(ctx, a, room.Code, "enquiry", who, room.Fields); err != nil {
				return err
			}
			if err := s.take(ctx, a, room.Code, "enquiry", who, everything); err != nil {
				return err
			}
		}
	}
	return nil
}

// end notes what stopped a way at a PC.
func (a *attempt) end(pc string, now time.Time, err error) {
	var refused status
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, errNobody):
		return
	case !errors.As(err, &refused):
		a.heldUp(pc, "connection", now)
		return
	}
	why := map[status]string{http.StatusUnauthorized: "session", http.StatusForbidden: "case-or-policy", http.StatusTooManyRequests: "budget"}[refused]
	if why == "" {
		why = "error"
	}
	a.heldUp(pc, why, now)
}

// status is a refusal's.
type status int

func (s status) Error() string { return http.StatusText(int(s)) }

func (s status) Is(target error) bool {
	return target == errRefused && (s == http.StatusUnauthorized || s == http.StatusForbidden) ||
		target == errNobody && (s == http.StatusNotFound || s == http.StatusGone)
}
