package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"azekura/access"
	"azekura/approval"
	"azekura/auditlog"
	"azekura/register"
	"azekura/register/field"
	"azekura/register/value"

	"github.com/google/uuid"
)

// ChangeRequest sets fields of one participant, in a new version.
type ChangeRequest struct {
	Who
	Why
	Values map[field.Field]string // as typed; an empty text clears a field that may be empty
}

// Changed tells what a change made.
type Changed struct {
	Participant uuid.UUID
	Version     int64
	Event       int64
}

// indexed are the fields that index forms are made of.
var indexed = field.SetOf(field.Number, field.Name, field.Kana, field.Birth, field.Address, field.Phone, field.Ref)

// Change writes a new version. What its index forms need beside the new values
// (a birth date beside a new name) is opened inside the gate, against the
// receipt of an event of its own, and doesn't leave.
func (g *Gate) Change(ctx context.Context, s access.Session, r ChangeRequest) (Changed, error) {
	var fields field.Set
	for f := range r.Values {
		fields |= field.SetOf(f)
	}
	event, on, err := g.decide(ctx, s, auditlog.Change, fields, r.Why)
	if err != nil {
		return Changed{}, err
	}
	values, err := g.parse(fields, r.Values)
	if err != nil {
		return Changed{}, err
	}
	p, err := g.one(ctx, event, on, r.Who)
	if err != nil {
		return Changed{}, err
	}
	event.Detail = p.detail()
	if fields&indexed == 0 || fields.Contains(indexed) {
		if err := g.isAsked(ctx, s, event, p); err != nil {
			return Changed{}, err
		}
	}
	forms, err := g.formsOf(ctx, s, event, p, fields, values)
	if err != nil {
		return Changed{}, err
	}
	event.Outcome = "ok"
	receipt, err := g.store.Change(ctx, event, p.Sealed, values, forms)
	if err != nil {
		return Changed{}, g.refused(ctx, event, p.Sealed, err)
	}
	return Changed{Participant: p.Key.ID, Version: p.Latest() + 1, Event: receipt.Index()}, nil
}

// isAsked opens the ref by which a change found its participant, inside and
// against an event of its own, where nothing else is opened that would show a
// redirected index row.
func (g *Gate) isAsked(ctx context.Context, s access.Session, event auditlog.Event, p person) error {
	if p.by == "" {
		return nil
	}
	event.Action = auditlog.Index
	_, err := g.open(ctx, s, event, p, field.SetOf(field.Ref), p.Latest())
	return err
}

func (g *Gate) parse(fields field.Set, texts map[field.Field]string) ([]register.NewValue, error) {
	var values []register.NewValue
	for _, f := range fields.Fields() {
		text := texts[f]
		if text == "" {
			if required.Has(f) {
				return nil, fmt.Errorf("%w: the %s can't be empty", ErrInvalid, f)
			}
		} else {
			var err error
			if text, err = value.ParseField(f, text, g.log.Now()); err != nil {
				return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, f, err)
			}
		}
		values = append(values, register.NewValue{Field: f, Text: text})
	}
	return values, nil
}

var required = field.SetOf(field.Ref, field.Number, field.Name, field.Birth)

// formsOf makes the index forms of the record as it will be.
func (g *Gate) formsOf(ctx context.Context, s access.Session, event auditlog.Event, p person, fields field.Set, values []register.NewValue) ([]value.Form, error) {
	if fields&indexed == 0 {
		return nil, nil
	}
	var record value.Record
	if rest := indexed &^ fields; rest != 0 {
		event.Action = auditlog.Index
		old, err := g.open(ctx, s, event, p, rest, p.Latest())
		if err != nil {
			return nil, err
		}
		if err := fill(&record, old); err != nil {
			return nil, err
		}
	}
	for _, v := range values {
		if err := record.Set(v.Field, v.Text); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, v.Field, err)
		}
	}
	return value.IndexForms(&record), nil
}

func fill(record *value.Record, from opened) error {
	for _, v := range from.list {
		if err := record.Set(v.Field, v.Plain); err != nil {
			return fmt.Errorf("the stored %s: %w", v.Field, err)
		}
	}
	return nil
}

// refused records what a refusal tells before it is told: that a participant
// exists.
func (g *Gate) refused(ctx context.Context, event auditlog.Event, p *register.Sealed, why error) error {
	var taken register.Taken
	switch {
	case errors.As(why, &taken):
		found, err := g.store.FetchRows(ctx, []uuid.UUID{taken.By})
		if err != nil {
			return err
		}
		if other := found[taken.By]; other != nil {
			p, event.Detail = other, nil // the ref that was named isn't theirs
		}
		why = fmt.Errorf("%w: %w", ErrInvalid, taken)
	case !errors.Is(why, register.ErrConflict):
		return why
	}
	if err := g.exists(ctx, event, p, "refused"); err != nil {
		return err
	}
	return why
}

// Shred destroys a participant's data key for good. It opens every version's
// indexed fields, inside, to take their index tokens away too. It is refused but
// where one person may decide (LetOneDecide); ShredBy is for all others.
func (g *Gate) Shred(ctx context.Context, s access.Session, who Who, why Why) (Changed, error) {
	return g.ShredBy(ctx, s, who, why, approval.Approved{})
}

// ShredBy is Shred by what two people approved, which stands in its event; the
// caller has held the approval against what it is for. Without one it is refused.
func (g *Gate) ShredBy(ctx context.Context, s access.Session, who Who, why Why, by approval.Approved) (Changed, error) {
	if !by.Given() && (g.alone == nil || !g.alone()) {
		return Changed{}, fmt.Errorf("%w: azekura proposal draft shred begins it", approval.ErrNotApproved)
	}
	event, on, err := g.decide(ctx, s, auditlog.Shred, field.SetOf(field.All()...), why)
	if err != nil {
		return Changed{}, err
	}
	p, err := g.one(ctx, event, on, who)
	if err != nil {
		return Changed{}, err
	}
	var forms []value.Form
	for _, v := range p.Versions {
		inside := event
		inside.Action = auditlog.Index
		old, err := g.open(ctx, s, inside, p, indexed, v.No)
		if err != nil {
			return Changed{}, err
		}
		var record value.Record
		if err := fill(&record, old); err != nil {
			return Changed{}, err
		}
		forms = append(forms, value.IndexForms(&record)...)
	}
	event.Outcome = "ok"
	if event.Detail, err = shredDetail(p, by); err != nil {
		return Changed{}, err
	}
	receipt, err := g.store.Shred(ctx, event, p.Sealed, forms)
	if receipt.Time() == 0 { // nothing was done
		return Changed{}, g.refused(ctx, event, p.Sealed, err)
	}
	return Changed{Participant: p.Key.ID, Version: p.Latest(), Event: receipt.Index()}, err
}

func shredDetail(p person, by approval.Approved) ([]byte, error) {
	named := ""
	if p.by != "" {
		named = "ref"
	}
	return json.Marshal(struct {
		By       string `json:"by,omitempty"` // as auditlog.ByRef has it
		Key      int64  `json:"key"`
		Epoch    int64  `json:"epoch"`
		Approval string `json:"approval,omitempty"`
	}{named, p.Key.No, p.Key.Epoch, by.Note()})
}
