package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
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

// desk is a staff member at work through the drill's days.
type desk struct {
	*days
	member        // who, and where they sit now
	no      int   // in the team
	line    *line // their office's
	token   string
	browser *http.Client // that shows the PC's certificate
	rand    *rand.Rand
	actor   *schedule.Actor
	did     Honest
	hit     int64  // requests that were refused, and that no sign-in and no touch mended
	why     string // the last of them
	matter  *matter
	last    string    // their last caller's case
	out     bool      // contained
	back    time.Time // when two officers may have released them
	own     map[uuid.UUID]field.Set
}

func (d *days) desk(no int) *desk {
	return &desk{days: d, member: d.team[no], no: no, line: &d.lines[no/anOffice], rand: rand.New(rand.NewPCG(d.Seed, 1<<60|uint64(no))), actor: d.sched.Join(),
		did: Honest{Hindered: map[string]int64{}, byPolicy: map[string]int64{}}, own: map[uuid.UUID]field.Set{}}
}

// work is all the days.
func (w *desk) work(ctx context.Context) error {
	defer w.actor.Leave()
	defer w.disconnect()
	for day := range w.Days {
		callers := w.model.Day(w.Seed, w.no, day, w.People)
		if err := w.actor.Until(ctx, w.midnight(day).Add(callers[0].At-5*time.Minute)); err != nil {
			return err
		}
		if err := w.morning(ctx, day); err != nil {
			return err
		}
		for i := range callers {
			if err := w.actor.Until(ctx, w.midnight(day).Add(callers[i].At)); err != nil {
				return err
			}
			if err := w.next(ctx, &matter{Caller: callers[i], came: w.sched.Now()}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *desk) disconnect() {
	if w.browser != nil {
		w.browser.CloseIdleConnections()
	}
}

// morning renews the PC's certificate, begins with new connections (one is cut when
// its certificate ends) and signs in. Who is contained waits for their release.
func (w *desk) morning(ctx context.Context, day int) (err error) {
	if w.out {
		return nil
	}
	if day > 0 {
		if _, err := w.renew(ctx, w.pc); err != nil {
			return err
		}
	}
	if err := w.connect(); err != nil {
		return err
	}
	_, err = w.signIn(ctx)
	return err
}

func (w *desk) connect() (err error) {
	w.disconnect()
	w.browser, err = w.pc.at(api.CertFile(w.dir))
	return err
}

// pause is the talk between two steps: some 20 seconds.
func (w *desk) pause(ctx context.Context) error {
	return w.actor.Sleep(ctx, time.Duration(20*math.Exp(0.5*w.rand.NormFloat64())*float64(time.Second)))
}

// serve is one caller: a case, the search, what they say, what they ask, and the end
// of it. What is refused ends it: an honest member doesn't look for a way around.
func (w *desk) serve(ctx context.Context, m *matter) error {
	hit := w.hit
	w.matter = m
	for tries := 0; ; tries++ {
		before := w.hit
		if err := w.call(ctx, m); err != nil {
			return err
		}
		if w.hit == before || m.done || w.why != "case" || tries == 2 {
			break
		}
		// Somebody else used the case meanwhile: another is opened. What it refused counts.
		if m.What != workday.CheckOnly {
			w.asked(m)
			w.did.refused(m, w.infected())
		}
	}
	if w.hit == hit || m.done {
		w.did.waited(w.sched.Now().Sub(m.came))
		return nil
	}
	if m.What != workday.CheckOnly { // also where it was refused before the read came to be asked for
		w.asked(m)
		w.did.refused(m, w.infected())
	}
	switch w.why {
	case "contained", "budget", "signed-out", "step-up", "case":
		w.pass(m)
	default: // a colleague would be refused too
		w.did.unserved(m)
	}
	return nil
}

// asked counts a matter's opening, once.
func (w *desk) asked(m *matter) {
	if !m.opening {
		m.opening = true
		w.did.Openings++
	}
}

func (w *desk) call(ctx context.Context, m *matter) error {
	if !m.called {
		m.called = true
		w.did.Callers++
	}
	c := &m.Caller
	p := w.callers[c.Place]
	kind, purpose := "call", "enquiry"
	if c.What == workday.Form {
		kind, purpose = "application", "application"
	}
	search := api.SearchRequest{Reason: api.Reason{Purpose: purpose}, By: "name_birth", Value: p.Name, Birth: p.Birth}
	if c.Last && !m.last && w.last != "" {
		m.last = true
		wrong := search
		wrong.Case = w.last
		if err := w.hasty(ctx, "/v1/search", wrong); err != nil {
			return err
		}
	}
	if c.Mistyped && !m.slipped {
		m.slipped = true
		w.did.Mistyped++
		slip := search
		slip.Birth = slipped(w.rand, p.Birth)
		if err := w.slip(ctx, kind, needs(c.What), slip); err != nil {
			return err
		}
	}
	ok, err := w.open(ctx, kind, needs(c.What), &search)
	if err != nil || !ok {
		return err
	}
	w.last = search.Case
	why := search.Reason
	who, err := w.find(ctx, search, p)
	outcome := "answered"
	if who == "" && err == nil {
		w.did.Unknown++
		outcome = "not-identified"
	}
	if who != "" && err == nil {
		err = w.answer(ctx, m, p, why, api.Whom{Participant: who})
	}
	if err != nil {
		return err
	}
	_, err = w.ask(ctx, "/v1/cases/close", api.CloseRequest{CaseCode: api.CaseCode{Case: why.Case}, Outcome: outcome}, nil)
	return err
}

// needs are the fields that a matter takes.
func needs(what workday.What) field.Set {
	switch what {
	case workday.Enquiry:
		return field.SetOf(field.Name, field.Birth, field.Address)
	case workday.Form:
		return field.SetOf(field.Name, field.Birth, field.Address, field.Account, field.Phone)
	}
	return 0
}

// open opens a case for a search, by a touch of the key for just that: its kind, what is
// to be read in it, and the search.
func (w *desk) open(ctx context.Context, kind string, need field.Set, search *api.SearchRequest) (ok bool, err error) {
	w.did.Touches++
	search.Salt = saltOf(w.rand)
	hash, err := cases.Seek(search.Salt, search.By, search.Value, search.Birth)
	if err != nil {
		return false, err
	}
	code, why, err := w.touchFor(ctx, access.OpenCase(kind, need, hash))
	if err != nil {
		return false, err
	}
	if why != "" {
		w.refusedBy(why)
		return false, nil
	}
	in := api.NewCase{Kind: kind, Fields: need.Names(), For: []string{hash}, Touch: api.Touch{Touch: code}}
	var info cases.Info
	ok, err = w.ask(ctx, "/v1/cases", in, &info)
	search.Case = info.Code
	return ok, err
}

// saltOf draws a salt: made-up people need no better randomness than a drill's seed.
func saltOf(r *rand.Rand) string { return fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()) }

// slip is a search with a slip of the pen, in a case of its own, which ends as a mistake.
func (w *desk) slip(ctx context.Context, kind string, need field.Set, search api.SearchRequest) error {
	if ok, err := w.open(ctx, kind, need, &search); err != nil || !ok {
		return err
	}
	var found api.SearchAnswer
	if _, err := w.ask(ctx, "/v1/search", search, &found); err != nil {
		return err
	}
	w.seen(found.Candidates)
	if err := w.pause(ctx); err != nil {
		return err
	}
	_, err := w.ask(ctx, "/v1/cases/close", api.CloseRequest{CaseCode: api.CaseCode{Case: search.Case}, Outcome: "mistake"}, nil)
	return err
}

// find searches, and takes the candidate whose number the caller says.
func (w *desk) find(ctx context.Context, search api.SearchRequest, p *population.Person) (string, error) {
	var found api.SearchAnswer
	if ok, err := w.ask(ctx, "/v1/search", search, &found); err != nil || !ok {
		return "", err
	}
	w.seen(found.Candidates)
	for _, one := range found.Candidates[:min(3, len(found.Candidates))] {
		if err := w.pause(ctx); err != nil {
			return "", err
		}
		if yes, err := w.check(ctx, search.Reason, one.Participant, field.Number, p.Number); err != nil || yes {
			return one.Participant, err
		}
	}
	return "", nil
}

func (w *desk) seen(list []api.Candidate) {
	for _, one := range list {
		w.told(one.Participant, field.SetOf(field.Existence, field.Mask, field.Name, field.Birth)) // what it was for is theirs
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
func (w *desk) answer(ctx context.Context, m *matter, p *population.Person, why api.Reason, who api.Whom) error {
	said := []field.Field{field.Birth}
	if m.What == workday.Form {
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
	if err := w.pause(ctx); err != nil || m.What == workday.CheckOnly {
		m.done = true
		return err
	}
	fields := needs(m.What)
	w.asked(m)
	ok, err = w.ask(ctx, "/v1/read", api.ReadRequest{Whom: who, Reason: why, Fields: fields.Names()}, nil)
	if ok {
		w.told(who.Participant, fields)
		if m.Further {
			ok, err = w.further(ctx, m, why, who)
		}
	}
	m.done = ok
	return err
}

// further reads a field that nobody thought of when the case was opened, by a touch of
// the key for that. Who asks first is refused, and then touches it.
func (w *desk) further(ctx context.Context, m *matter, why api.Reason, who api.Whom) (ok bool, err error) {
	fields := field.SetOf(field.Phone)
	in := api.ReadRequest{Whom: who, Reason: why, Fields: fields.Names()}
	if err := w.pause(ctx); err != nil {
		return false, err
	}
	if m.Hasty {
		if err := w.hasty(ctx, "/v1/read", in); err != nil {
			return false, err
		}
	}
	w.did.Further++
	code, refused, err := w.touchFor(ctx, access.ReadFields(why.Case, fields))
	if err != nil {
		return false, err
	}
	if refused != "" {
		w.refusedBy(refused)
		return false, nil
	}
	in.Touch.Touch = code
	if ok, err = w.ask(ctx, "/v1/read", in, nil); ok {
		w.told(who.Participant, fields)
	}
	return ok, err
}

// hasty asks for what is mended by asking rightly, should it be refused.
func (w *desk) hasty(ctx context.Context, path string, in any) error {
	hit, why := w.hit, w.why
	ok, err := w.ask(ctx, path, in, nil)
	if read, is := in.(api.ReadRequest); ok && is { // nothing asks for a touch
		w.told(read.Participant, field.SetOf(field.Phone))
	}
	if !ok && w.why != "contained" {
		w.did.Slips++
		w.hit, w.why = hit, why
	}
	return err
}

// told writes down what somebody was shown, at the PC that the attacker may hold.
func (w *desk) told(participant string, fields field.Set) {
	if id, err := uuid.Parse(participant); err == nil && w.device == w.team[w.no].device {
		w.own[id] |= fields
	}
}

// slipped is a birth with its last digit changed.
func slipped(r *rand.Rand, birth string) string {
	last := birth[len(birth)-1]
	return birth[:len(birth)-1] + string('0'+(last-'0'+byte(1+r.IntN(8)))%10)
}

// ask sends a request. ok is false for what was refused, which is counted. Who is signed
// out signs in, and who is asked for a touch gives it; then it is asked again.
func (w *desk) ask(ctx context.Context, path string, in, out any) (ok bool, err error) {
	for tries := 0; ; tries++ {
		status, detail, err := send(ctx, w.browser, "https://"+w.address+path, w.token, in, out)
		why := "contained" // its connections are cut
		switch {
		case err != nil && !w.contained(ctx):
			return false, fmt.Errorf("honest work at %s: %w", w.device, err)
		case err == nil && status == http.StatusOK:
			return true, nil
		case status >= 500:
			return false, fmt.Errorf("honest work at %s: the server answered %s with %d", w.device, path, status)
		case status == http.StatusUnprocessableEntity && path == "/v1/search":
			return false, nil // no day of the calendar, or more than may be shown: part of the work
		case err == nil:
			why = reason(status, detail)
		}
		w.did.Hindered[why]++
		if by, is := byPolicy(detail); is {
			w.did.byPolicy[by]++
		}
		if tries < 2 {
			if why, err = w.mend(ctx, why); err != nil {
				return false, err
			}
			if why == "" {
				continue
			}
		}
		w.refusedBy(why)
		return false, nil
	}
}

// refusedBy notes what refused for good.
func (w *desk) refusedBy(why string) {
	if why == "contained" {
		w.leave()
	}
	w.why = why
	w.hit++
}

// mend does what a person does about a refusal; "" says that it is worth asking again.
func (w *desk) mend(ctx context.Context, why string) (string, error) {
	switch why {
	case "signed-out":
		return w.signIn(ctx)
	case "step-up":
		why, err := w.touch(ctx)
		if why == "" && err == nil && !w.matter.touched {
			w.matter.touched = true
			w.did.Touched++
		}
		return why, err
	}
	return why, nil
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
	return slices.ContainsFunc(list, func(c access.Contained) bool {
		return !c.StepUp && (c.String() == "device "+w.device || c.String() == "staff "+w.staff)
	})
}

// reason is what refused, in a word.
func reason(status int, detail string) string {
	_, policies := byPolicy(detail)
	switch {
	case status == http.StatusTooManyRequests:
		return "budget"
	case policies:
		return "policy"
	case strings.Contains(detail, "contained"):
		return "contained"
	case status == http.StatusUnauthorized:
		return "signed-out"
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
