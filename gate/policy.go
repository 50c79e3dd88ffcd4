package gate

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"azekura/access"
	"azekura/access/policy"
	"azekura/auditlog"
	"azekura/cases"
	"azekura/register/field"

	"github.com/google/uuid"
)

// ground is what an opening stands on: the case, and the policies as they were when
// it was asked for.
type ground struct {
	cases.Ground
	under  *policy.Text
	office string // the staff member's
	fields field.Set
	touch  bool // the key was touched for this opening
}

// asked is what the policies are asked: nothing of it is personal data.
func (on ground) asked(event auditlog.Event, id uuid.UUID) policy.Request {
	r := policy.Request{Role: event.Role, Office: on.office, Action: event.Action.String(), Purpose: event.Purpose, Fields: on.fields.Names(), Touch: on.touch}
	if on.Known() { // which is open, and theirs, or nobody came so far
		r.Case, r.Kind, r.State, r.Assigned, r.CaseOffice, r.CaseTouch = true, on.Kind.String(), cases.Open.String(), true, on.Office, on.Touched
		r.Bound, r.Declared = on.Ground.Bound(), on.Ground.Declared(on.fields)
		r.Level, _ = on.About(id)
	}
	return r
}

// permitted asks the policies, where some were set.
func (g *Gate) permitted(ctx context.Context, event auditlog.Event, on ground, id uuid.UUID) error {
	if on.under == nil {
		return nil
	}
	return g.askPolicies(ctx, event, on.under, on.asked(event, id))
}

// notesPermitted asks them of a case's notes, which are of no field and no purpose of
// their own: both are "notes".
func (g *Gate) notesPermitted(ctx context.Context, s access.Session, event auditlog.Event, under *policy.Text) error {
	if under == nil {
		return nil
	}
	i, err := g.cases.Stands(event.Case)
	if err != nil {
		return err
	}
	return g.askPolicies(ctx, event, under, policy.Request{Role: s.Role(), Office: s.Office(), Action: auditlog.Read.String(), Purpose: "notes", Fields: []string{"notes"},
		Case: true, Kind: i.Kind, State: i.State, Assigned: i.Staff == s.Staff(), CaseTouch: i.Touched, Bound: i.Bound, CaseOffice: i.Office})
}

// askPolicies records in full what they refuse before it is told. About whom isn't
// told, as in a case's refusal.
func (g *Gate) askPolicies(ctx context.Context, event auditlog.Event, under *policy.Text, r policy.Request) error {
	now := g.log.Now()
	d := under.Decide(r, now)
	if d.Allowed {
		return nil
	}
	detail, err := json.Marshal(under.Denial(r, d, now))
	if err != nil {
		return err
	}
	event.Action, event.Outcome, event.Detail = auditlog.Deny, "policy", detail
	if _, err := g.log.RecordOne(ctx, event); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", ErrDenied, refusalWords(d))
}

// maxTold bounds what a refusal names as missing.
const maxTold = 4

// refusalWords say in both languages which policy refused and what is missing.
func refusalWords(d policy.Decision) string {
	var b strings.Builder
	switch {
	case len(d.Failed) > 0:
		fmt.Fprintf(&b, "the policy %s can't be evaluated, which refuses. 方針 %[1]s を評価できないため、開けません。", strings.Join(d.Failed, ", "))
	case len(d.Policies) == 0:
		b.WriteString("no policy permits this. これを認める方針がありません。")
	}
	for _, p := range d.Policies {
		if len(d.Failed) == 0 {
			fmt.Fprintf(&b, "policy %s: %s %s ", p.ID, p.En, p.Ja)
		}
	}
	for i, m := range d.Missing[:min(len(d.Missing), maxTold)] {
		fmt.Fprintf(&b, "%s%s（%s）", map[bool]string{true: " It takes ", false: ", or "}[i == 0], m.En, m.Ja)
	}
	return strings.TrimSpace(b.String())
}
