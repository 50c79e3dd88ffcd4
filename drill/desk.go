package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"azekura/access"
	"azekura/api"
	"azekura/cases"
	"azekura/drill/schedule"
	"azekura/drill/workday"
	"azekura/population"
	"azekura/register/field"

	"github.com/google/uuid"
)

// Honest is the honest work of the drill's days, and what of it was refused.
type Honest struct {
	Callers  int64 `json:"callers"`
	Openings int64 `json:"openings"` // reads asked for
	Checks   int64 `json:"checks"`
	Mistyped int64 `json:"mistyped"`
	// Refused are the openings that were refused; Hindered all requests that were, by
	// what refused.
	Refused  int64            `json:"openings_refused"`
	PerTenK  float64          `json:"openings_refused_per_10000"`
	AtClean  int64            `json:"openings_refused_at_clean_pcs"` // those at PCs that were never infected
	Hindered map[string]int64 `json:"requests_refused"`
	Unknown  int64            `json:"unidentified"` // callers whom their answers didn't identify
}

func (h *Honest) add(o *Honest) {
	h.Callers += o.Callers
	h.Openings += o.Openings
	h.Checks += o.Checks
	h.Mistyped += o.Mistyped
	h.Refused += o.Refused
	h.AtClean += o.AtClean
	h.Unknown += o.Unknown
	for reason, n := range o.Hindered {
		h.Hindered[reason] += n
	}
	if h.Openings > 0 {
		h.PerTenK = math.Round(1e6*float64(h.Refused)/float64(h.Openings)) / 100
	}
}

// desk is a staff member at work through the drill's days.
type desk struct {
	*days
	no    int
	token string
	pc    *http.Client // that shows the PC's certificate
	rand  *rand.Rand
	actor *schedule.Actor
	did   Honest
	hit   int64 // requests that were refused
	own   map[uuid.UUID]field.Set
}

func (d *days) desk(no int) *desk {
	return &desk{days: d, no: no, rand: rand.New(rand.NewPCG(d.Seed, 1<<60|uint64(no))), actor: d.sched.Join(),
		did: Honest{Hindered: map[string]int64{}}, own: map[uuid.UUID]field.Set{}}
}

// work is all the days, a session each.
func (w *desk) work(ctx context.Context) error {
	defer w.actor.Leave()
	defer func() {
		if w.pc != nil {
			w.pc.CloseIdleConnections()
		}
	}()
	m := w.team[w.no]
	for day := range w.Days {
		callers := w.model.Day(w.Seed, w.no, day, w.People)
		if err := w.actor.Until(ctx, w.midnight(day).Add(callers[0].At-5*time.Minute)); err != nil {
			return err
		}
		if err := w.morning(ctx, day); err != nil {
			return err
		}
		var opened api.OpenedSession
		err := w.operator.Do(ctx, http.MethodPost, "/operator/sessions", api.NewSession{Staff: m.staff, Device: m.device, Minutes: 720}, &opened)
		var refused *api.Problem
		if errors.As(err, &refused) && refused.Status < http.StatusInternalServerError {
			err = nil // who is contained gets none: the day's callers are sent away
		}
		if err != nil {
			return fmt.Errorf("open the day's session of %s: %w", m.staff, err)
		}
		w.token = opened.Token
		if err := w.loot.session(m.device, w.token); err != nil {
			return err
		}
		for i := range callers {
			if err := w.actor.Until(ctx, w.midnight(day).Add(callers[i].At)); err != nil {
				return err
			}
			if err := w.serve(ctx, &callers[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// morning renews the PC's certificate, and begins with new connections: one is cut
// when its certificate ends.
func (w *desk) morning(ctx context.Context, day int) (err error) {
	p := w.team[w.no].pc
	if day > 0 {
		if _, err := w.renew(ctx, p); err != nil {
			return err
		}
		w.pc.CloseIdleConnections()
	}
	w.pc, err = p.at(api.CertFile(w.dir))
	return err
}

// pause is the talk between two steps: some 20 seconds.
func (w *desk) pause(ctx context.Context) error {
	return w.actor.Sleep(ctx, time.Duration(20*math.Exp(0.5*w.rand.NormFloat64())*float64(time.Second)))
}

// serve is one caller: a case, the search, what they say, what they ask, and the end
// of it. What is refused ends it: an honest member doesn't look for a way around.
func (w *desk) serve(ctx context.Context, c *workday.Caller) error {
	hit, asked := w.hit, w.did.Openings
	err := w.call(ctx, c)
	// What was refused before the read came to be asked for is an opening refused too.
	if err == nil && w.hit > hit && w.did.Openings == asked && c.What != workday.CheckOnly {
		w.did.Openings++
		w.did.Refused++
	}
	return err
}

func (w *desk) call(ctx context.Context, c *workday.Caller) error {
	w.did.Callers++
	p := w.callers[c.Place]
	kind, purpose := "call", "enquiry"
	if c.What == workday.Form {
		kind, purpose = "application", "application"
	}
	var info cases.Info
	if ok, err := w.ask(ctx, "/v1/cases", api.NewCase{Kind: kind}, &info); err != nil || !ok {
		return err
	}
	why := api.Reason{Purpose: purpose, Case: info.Code}
	who, err := w.find(ctx, c, p, why)
	outcome := "answered"
	if who == "" && err == nil {
		w.did.Unknown++
		outcome = "not-identified"
	}
	if who != "" && err == nil {
		err = w.answer(ctx, c, p, why, api.Whom{Participant: who})
	}
	if err != nil {
		return err
	}
	_, err = w.ask(ctx, "/v1/cases/close", api.CloseRequest{CaseCode: api.CaseCode{Case: info.Code}, Outcome: outcome}, nil)
	return err
}

// find searches, and takes the candidate whose number the caller says.
func (w *desk) find(ctx context.Context, c *workday.Caller, p *population.Person, why api.Reason) (string, error) {
	search := api.SearchRequest{Reason: why, By: "name_birth", Value: p.Name, Birth: p.Birth}
	if c.Mistyped {
		w.did.Mistyped++
		slip := search
		slip.Birth = slipped(w.rand, p.Birth)
		var found api.SearchAnswer
		if _, err := w.ask(ctx, "/v1/search", slip, &found); err != nil {
			return "", err
		}
		w.seen(found.Candidates)
		if err := w.pause(ctx); err != nil {
			return "", err
		}
	}
	var found api.SearchAnswer
	if ok, err := w.ask(ctx, "/v1/search", search, &found); err != nil || !ok {
		return "", err
	}
	w.seen(found.Candidates)
	for _, one := range found.Candidates[:min(3, len(found.Candidates))] {
		if err := w.pause(ctx); err != nil {
			return "", err
		}
		if yes, err := w.check(ctx, why, one.Participant, field.Number, p.Number); err != nil || yes {
			return one.Participant, err
		}
	}
	return "", nil
}

func (w *desk) seen(list []api.Candidate) {
	for _, one := range list {
		w.told(one.Participant, field.SetOf(field.Existence, field.Mask))
	}
}

func (w *desk) check(ctx context.Context, why api.Reason, who string, f field.Field, claim string) (bool, error) {
	w.did.Checks++
	var a struct{ Match bool }
	ok, err := w.ask(ctx, "/v1/check", api.CheckRequest{Whom: api.Whom{Participant: who}, Reason: why, Field: f.String(), Claim: claim}, &a)
	if ok {
		told := field.SetOf(field.Existence)
		if a.Match {
			told |= field.SetOf(f)
		}
		w.told(who, told)
	}
	return ok && a.Match, err
}

// answer identifies the caller and opens what they ask about.
func (w *desk) answer(ctx context.Context, c *workday.Caller, p *population.Person, why api.Reason, who api.Whom) error {
	said := []field.Field{field.Birth}
	if c.What == workday.Form {
		said = append(said, field.Name)
	}
	for _, f := range said {
		claim := map[field.Field]string{field.Birth: p.Birth, field.Name: p.Name}[f]
		if _, err := w.check(ctx, why, who.Participant, f, claim); err != nil {
			return err
		}
	}
	ok, err := w.ask(ctx, "/v1/cases/identify", api.IdentifyRequest{CaseCode: api.CaseCode{Case: why.Case}, Whom: who}, nil)
	if err != nil || !ok {
		return err
	}
	if err := w.pause(ctx); err != nil || c.What == workday.CheckOnly {
		return err
	}
	fields := field.SetOf(field.Name, field.Birth, field.Address)
	if c.What == workday.Form {
		fields |= field.SetOf(field.Account, field.Phone)
	}
	var names []string
	for _, f := range fields.Fields() {
		names = append(names, f.String())
	}
	w.did.Openings++
	ok, err = w.ask(ctx, "/v1/read", api.ReadRequest{Whom: who, Reason: why, Fields: names}, nil)
	if ok {
		w.told(who.Participant, fields)
	} else if err == nil {
		w.did.Refused++
	}
	return err
}

func (w *desk) told(participant string, fields field.Set) {
	if id, err := uuid.Parse(participant); err == nil {
		w.own[id] |= fields
	}
}

// slipped is a birth with its last digit changed.
func slipped(r *rand.Rand, birth string) string {
	last := birth[len(birth)-1]
	return birth[:len(birth)-1] + string('0'+(last-'0'+byte(1+r.IntN(8)))%10)
}

// ask sends a request. ok is false for what was refused, which is counted.
func (w *desk) ask(ctx context.Context, path string, in, out any) (ok bool, err error) {
	status, detail, err := send(ctx, w.pc, "https://"+w.address+path, w.token, in, out)
	switch {
	case err != nil && w.contained(ctx):
		w.did.Hindered["contained"]++ // its connections are cut
		w.hit++
		return false, nil
	case err != nil:
		return false, fmt.Errorf("honest work at %s: %w", w.team[w.no].device, err)
	case status == http.StatusOK:
		return true, nil
	case status >= 500:
		return false, fmt.Errorf("honest work at %s: the server answered %s with %d", w.team[w.no].device, path, status)
	case status == http.StatusUnprocessableEntity && path == "/v1/search":
		return false, nil // no day of the calendar, or more than may be shown: part of the work
	}
	w.did.Hindered[reason(status, detail)]++
	w.hit++
	return false, nil
}

// contained asks whether the desk's PC or user is stopped.
func (w *desk) contained(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	var list []access.Contained
	if err := w.operator.Do(ctx, http.MethodGet, "/operator/contained", nil, &list); err != nil {
		return false
	}
	m := w.team[w.no]
	return slices.ContainsFunc(list, func(c access.Contained) bool {
		return !c.StepUp && (c.String() == "device "+m.device || c.String() == "staff "+m.staff)
	})
}

// reason is what refused, in a word.
func reason(status int, detail string) string {
	switch {
	case status == http.StatusTooManyRequests:
		return "budget"
	case strings.Contains(detail, "contained"):
		return "contained"
	case status == http.StatusUnauthorized:
		return "session"
	case strings.Contains(detail, "touch"):
		return "step-up"
	case strings.Contains(detail, "wrong answers"):
		return "tries"
	case strings.Contains(detail, "case"), strings.Contains(detail, "identif"):
		return "case"
	case status == http.StatusForbidden:
		return "policy"
	}
	return fmt.Sprintf("status %d", status)
}

// send posts JSON and reads the answer, or why it was refused.
func send(ctx context.Context, c *http.Client, url, token string, in, out any) (status int, detail string, err error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return 0, "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(raw))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := c.Do(r)
	if err != nil {
		return 0, "", fmt.Errorf("ask the server: %w", err)
	}
	defer answer.Body.Close()
	body := io.LimitReader(answer.Body, 1<<20)
	if answer.StatusCode == http.StatusOK {
		if out != nil {
			err = json.NewDecoder(body).Decode(out)
		}
	} else {
		var problem struct{ Detail string }
		_ = json.NewDecoder(body).Decode(&problem) // an answer without one is told by its status
		detail = problem.Detail
	}
	_, _ = io.Copy(io.Discard, body)
	return answer.StatusCode, detail, err
}

// gather adds up the desks' work.
type gather struct {
	mu  sync.Mutex
	sum Honest
	own []map[uuid.UUID]field.Set // by place in the team
}

func (g *gather) take(w *desk) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.ContainsFunc(w.infections, func(i workday.Infection) bool { return i.Staff == w.no }) {
		w.did.AtClean = w.did.Refused
	}
	g.sum.add(&w.did)
	g.own[w.no] = w.own
}
