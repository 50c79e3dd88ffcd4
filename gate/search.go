package gate

import (
	"context"
	"fmt"

	"azekura/access"
	"azekura/access/policy"
	"azekura/auditlog"
	"azekura/keyring"
	"azekura/keyring/opening"
	"azekura/register"
	"azekura/register/field"
	"azekura/register/value"

	"github.com/google/uuid"
)

// SearchRequest asks who matches: one of the register's indexes, its text, and the
// date of birth. Every search takes a birth: numbers, refs and telephone numbers can
// be counted through, and whoever does so knows nobody's.
type SearchRequest struct {
	Why
	By            value.Kind
	First, Second string
	// Salt is that of the search which the case was opened for (cases.Seek).
	Salt string
}

// errBirth says what a search lacks.
var errBirth = fmt.Errorf("%w: a search takes the date of birth too, as the caller says it: two things about one participant", ErrInvalid)

// Candidate is one match, masked.
type Candidate struct {
	Participant uuid.UUID
	Mask        map[field.Field]string
	Event       int64 // the opening's index in the audit log
}

// maskFields are what a mask is made of.
var maskFields = field.SetOf(field.Name, field.Birth, field.Address)

// Search finds participants through a blind index and shows each as a mask.
// The search and each mask shown are events of one commit. One by an index without
// births compares the birth before, inside the gate: who is found and not meant isn't
// shown, and no answer tells that they are there.
func (g *Gate) Search(ctx context.Context, s access.Session, r SearchRequest) ([]Candidate, error) {
	event, on, err := g.maySearch(ctx, s, &r)
	if err != nil {
		return nil, err
	}
	form, birth, err := g.question(r)
	if err != nil {
		return nil, err
	}
	ids, err := g.store.Find(ctx, form, MaxCandidates+1)
	if err != nil {
		return nil, err
	}
	found, err := g.store.Fetch(ctx, ids)
	if err != nil {
		return nil, err
	}
	marks := []string{fmt.Sprintf(`"by":"%s"`, r.By), markIf(g.typed.near(event.Staff, form, g.log.Now()), near)}
	if on.Bound() { // by a touch for this very search
		marks = append(marks, g.slips.mended(event.Staff, g.meant(&r), g.log.Now()))
	}
	if birth != "" && len(ids) <= MaxCandidates {
		var former bool
		if ids, former, err = g.born(ctx, s, event, on.under, form, ids, found, birth); err != nil {
			return nil, err
		}
		marks = append(marks, markIf(former, `"former":true`))
	}
	events := []auditlog.Event{event}
	shown := []*register.Sealed{nil}
	for _, id := range ids {
		if p := found[id]; p != nil && p.Key.Wrapped != nil && len(ids) <= MaxCandidates {
			e := show(event, p)
			e.Detail = marked(auditlog.Said + (r.By.Fields() | field.SetOf(field.Birth)).String() + `"`)
			events = append(events, e)
			shown = append(shown, p)
		}
	}
	events[0].Outcome = outcome(len(ids))
	var who []uuid.UUID
	for _, p := range shown[1:] {
		who = append(who, p.Key.ID)
	}
	events[0].Detail = marked(append(marks, fmt.Sprintf(`"candidates":%d`, len(shown)-1), markIf(g.sought.other(on.Ground, g.log.Now(), who...), crossed))...)
	receipts, err := g.log.Record(ctx, auditlog.Entry{Events: events})
	if err != nil {
		return nil, err
	}
	if len(ids) > MaxCandidates {
		return nil, ErrTooMany
	}
	if err := g.still(s, event, on.under); err != nil {
		return nil, err
	}
	candidates := make([]Candidate, 0, len(shown)-1)
	for i := 1; i < len(shown); i++ {
		c, err := g.mask(ctx, receipts[i], shown[i])
		if err != nil {
			return nil, err
		}
		candidates = append(candidates, c)
	}
	return candidates, nil
}

// question is what the index is asked for, and the birth to compare where the index
// has none in it.
func (g *Gate) question(r SearchRequest) (form value.Form, birth string, err error) {
	if r.Second == "" {
		return form, "", errBirth
	}
	second := r.Second
	if !r.By.Fields().Has(field.Birth) {
		b, err := value.ParseBirth(r.Second, g.log.Now())
		if err != nil {
			return form, "", invalid(err)
		}
		birth, second = b.Format(), ""
	}
	if form, err = value.QueryForm(r.By, r.First, second, g.log.Now()); err != nil {
		return form, "", invalid(err)
	}
	return form, birth, nil
}

// meant is what a search asks for, however it was typed.
func (g *Gate) meant(r *SearchRequest) string {
	form, birth, err := g.question(*r)
	if err != nil { // it asks for nothing
		return r.By.String() + "\n" + r.First + "\n" + r.Second
	}
	return form.Kind.String() + "\n" + form.Text + "\n" + birth
}

// born keeps whom the index found and who was born then. That somebody's birth is
// compared is an event that names them: it tells the asker nothing, and it is how the
// log sees who counts through refs. former tells that one of them had the number that
// was asked for, and has another now.
func (g *Gate) born(ctx context.Context, s access.Session, search auditlog.Event, under *policy.Text, form value.Form, ids []uuid.UUID, found map[uuid.UUID]*register.Sealed, birth string) (meant []uuid.UUID, former bool, err error) {
	search.Outcome, search.Detail = "asked", fmt.Appendf(nil, `{"by":"%s"}`, form.Kind)
	var events []auditlog.Event
	var named []*register.Sealed
	for _, id := range ids {
		if p := found[id]; p != nil && p.Key.Wrapped != nil {
			e := search
			e.Participant, e.Known = id, p.Known
			events, named = append(events, e), append(named, p)
		}
	}
	if events == nil {
		events = append(events, search) // so that nobody takes as long as somebody
	}
	receipts, err := g.log.Record(ctx, auditlog.Entry{Events: events})
	if err != nil {
		return nil, false, err
	}
	if err := g.still(s, search, under); err != nil {
		return nil, false, err
	}
	for i, p := range named {
		yes, err := g.has(ctx, receipts[i], p, field.Birth, birth) // who has no birth is found by a check
		if err != nil {
			return nil, false, err
		}
		if yes {
			meant = append(meant, p.Key.ID)
		}
		if yes && form.Kind == value.KindNumber {
			now, err := g.has(ctx, receipts[i], p, field.Number, form.Text)
			if err != nil {
				return nil, false, err
			}
			former = former || !now
		}
	}
	return meant, former, nil
}

// has tells whether a field is a text now.
func (g *Gate) has(ctx context.Context, receipt auditlog.Receipt, p *register.Sealed, f field.Field, text string) (yes bool, err error) {
	set := p.At(f, p.Latest())
	if set == 0 {
		return false, nil
	}
	sealed, err := p.Envelope(f, set)
	if err != nil {
		return false, err
	}
	err = g.withKey(ctx, p.Key, func(key keyring.DataKey) (err error) {
		yes, err = g.opener.Is(receipt, key, []opening.Value{{Field: f, Version: set, Sealed: sealed}}, text)
		return err
	})
	return yes, err
}

func outcome(n int) string {
	switch {
	case n == 0:
		return "none"
	case n > MaxCandidates:
		return "too many"
	}
	return "ok"
}

// show is the event of one candidate's existence and mask.
func show(search auditlog.Event, p *register.Sealed) auditlog.Event {
	e := search
	e.Action, e.Outcome, e.Participant, e.Known = auditlog.Show, "ok", p.Key.ID, p.Known
	e.Fields = []auditlog.FieldVersion{{Field: field.Existence, Version: p.Latest()}, {Field: field.Mask, Version: p.Latest()}}
	return e
}

func (g *Gate) mask(ctx context.Context, receipt auditlog.Receipt, p *register.Sealed) (Candidate, error) {
	c := Candidate{Participant: p.Key.ID, Mask: map[field.Field]string{}, Event: receipt.Index()}
	var list []opening.Value
	for _, f := range maskFields.Fields() {
		if set := p.At(f, p.Latest()); set != 0 {
			sealed, err := p.Envelope(f, set)
			if err != nil {
				return c, err
			}
			list = append(list, opening.Value{Field: f, Version: set, Sealed: sealed})
		}
	}
	if err := g.unseal(ctx, receipt, p.Key, list); err != nil {
		return c, fmt.Errorf("open the mask of event %d: %w", receipt.Index(), err)
	}
	for _, v := range list {
		if m := value.Mask(v.Field, v.Plain); m != "" {
			c.Mask[v.Field] = m
		}
	}
	return c, nil
}
