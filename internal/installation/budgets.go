package installation

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"azekura/access"
	"azekura/access/budget"
	"azekura/approval"
	"azekura/approval/desk"
	"azekura/auditlog"
	"azekura/gate/canary"
	"azekura/incident/rules"
)

// appoint sets those who judge what is recorded. Where the log can't be read back
// as it was signed nothing is opened, but whoever verifies or contains can work.
func (i *Installation) appoint(ctx context.Context) error {
	i.Budgets = budget.New()
	err := i.Log.Appoint(ctx, i.Budgets, rules.New(rules.InForce(), canary.New(i.Ring).Is))
	if errors.Is(err, auditlog.ErrSigner) {
		return nil // each refusal is an event that says so, and log verify names the line
	}
	return err
}

// kindBudget is the kind of the proposals that set limits, or let them surge.
const kindBudget = "budget"

// BudgetChange is what two people approve: limits, or a surge.
type BudgetChange struct {
	Log    string         `json:"log"`
	Limits []budget.Limit `json:"limits,omitempty"`
	Surge  *budget.Extra  `json:"surge,omitempty"`
	Why    string         `json:"why"`
}

// Kind is that of its proposal.
func (c BudgetChange) Kind() string { return kindBudget }

// Words are what they read.
func (c BudgetChange) Words() string {
	english, japanese := "The budgets at "+c.Log+" are changed.\n", c.Log+" の開封予算を変更します。\n"
	for _, l := range c.Limits {
		who := strings.TrimSpace(strings.Join([]string{string(l.Kind), l.ID, l.Role}, " "))
		for w, m := range l.Max {
			english += fmt.Sprintf("Each %s may open in %s: %s participants, %s points of fields.\n", who, budget.Names[w], amount(m.Persons, "any number of"), amount(m.Points, "any number of"))
			japanese += fmt.Sprintf("%s ごとの %s の上限：被保険者 %s 人、項目点数 %s 点。\n", who, budget.Names[w], amount(m.Persons, "無制限"), amount(m.Points, "無制限"))
		}
	}
	if x := c.Surge; x != nil {
		until := x.Until.UTC().Format(time.RFC3339)
		english += fmt.Sprintf("Until %s the budget of %s is %d %% of what it is otherwise.\n", until, x.Subject, x.Percent)
		japanese += fmt.Sprintf("%s まで、%s の予算を通常の %d %% とします。\n", until, x.Subject, x.Percent)
	}
	return english + "Reason: " + c.Why + "\n" + japanese + "理由：" + c.Why + "\n"
}

func amount(n int64, endless string) string {
	if n < 0 {
		return endless
	}
	return strconv.FormatInt(n, 10)
}

// MaxSurge is the longest that a surge may last, and MaxPercent the most.
const (
	MaxSurge   = 14 * 24 * time.Hour
	MaxPercent = 500
)

func (c BudgetChange) check(now time.Time) error {
	if (len(c.Limits) == 0) == (c.Surge == nil) || len(c.Limits) > 100 {
		return errors.New("a change of budgets sets limits, up to 100, or is a surge")
	}
	if c.Why == "" || len(c.Why) > 200 || strings.ContainsFunc(c.Why, unicode.IsControl) {
		return errors.New("say why budgets are changed, in one line of up to 200 bytes")
	}
	for i := range c.Limits {
		if err := c.Limits[i].Check(); err != nil {
			return err
		}
	}
	if x := c.Surge; x != nil {
		one := budget.Limit{Kind: x.Kind, ID: x.ID}
		if err := one.Check(); err != nil || x.ID == "" {
			return errors.New("a surge is of one staff member, device, office or purpose")
		}
		if x.Percent <= 100 || x.Percent > MaxPercent || x.Persons != 0 || !x.Until.After(now) || x.Until.Sub(now) > MaxSurge {
			return fmt.Errorf("a surge is of 101 to %d percent, for up to %d days", MaxPercent, MaxSurge/(24*time.Hour))
		}
	}
	return nil
}

// ProposeBudget makes the proposal to change budgets.
func (i *Installation) ProposeBudget(c BudgetChange, by string, life time.Duration) ([]byte, error) {
	c.Log = i.Config.Origin
	if err := c.check(i.Log.Now()); err != nil {
		return nil, err
	}
	size, _ := i.Signer.Head()
	p, err := approval.Propose(c, i.Config.Origin, size, by, time.Now(), life)
	if err != nil {
		return nil, err
	}
	return p.Text(), nil
}

// ChangeBudget changes budgets, as two people approved it with a file.
func (i *Installation) ChangeBudget(ctx context.Context, file []byte) (c BudgetChange, err error) {
	may := func(a approval.Approved) error {
		return a.For(kindBudget, i.Config.Origin, approval.AnySize, &c, func() (string, error) { return c.Words(), c.check(i.Log.Now()) })
	}
	err = i.Desk.CarryFile(ctx, file, may, func(ctx context.Context, a approval.Approved) error { return i.putBudget(ctx, c, a) })
	return c, err
}

func (i *Installation) changeBudgetBy(ctx context.Context, item desk.Item) error {
	var c BudgetChange
	if err := bodyOf(item, &c); err != nil {
		return err
	}
	if err := c.check(i.Log.Now()); err != nil {
		return fmt.Errorf("%w: %w", desk.ErrRefused, err)
	}
	return i.Desk.Carry(ctx, item.ID, c, func(ctx context.Context, a approval.Approved) error { return i.putBudget(ctx, c, a) })
}

func (i *Installation) putBudget(ctx context.Context, c BudgetChange, a approval.Approved) error {
	by := strings.Join(a.By(), ", ")
	event := budget.LimitsEvent(c.Limits, by, c.Why, a.Note())
	if c.Surge != nil {
		x := *c.Surge
		x.By, x.Why, x.Approval = by, c.Why, a.Note()
		event = budget.ExtraEvent(x)
	}
	_, err := i.Log.RecordOne(ctx, event)
	return err
}

// MaxExtra is the longest that a supervisor may add to a budget.
const MaxExtra = 24 * time.Hour

// AddToBudget lets a supervisor, at another device, add to a staff member's budget:
// at most as much as a day's, once at a time, which the budgets' own judge decides.
// A refusal is an event.
func (i *Installation) AddToBudget(ctx context.Context, s access.Session, staff string, persons int64, lasts time.Duration, why string) (budget.Extra, error) {
	x := budget.Extra{Subject: budget.Subject{Kind: budget.Staff, ID: staff}, Persons: persons, Until: i.Log.Now().Add(lasts).UTC().Truncate(time.Second), Why: why, By: s.Staff()}
	if why == "" || len(why) > 200 || strings.ContainsFunc(why, unicode.IsControl) || lasts < time.Minute || lasts > MaxExtra {
		return x, fmt.Errorf("%w: say why, in one line of up to 200 bytes, and for how long, up to %s", access.ErrInvalid, MaxExtra)
	}
	if err := i.Access.Known(staff, ""); err != nil {
		return x, err
	}
	if err := i.mayAdd(s, staff, persons); err != nil {
		if errors.Is(err, access.ErrNoSession) {
			return x, err
		}
		return x, i.Access.Refused(ctx, s.Officer(), "budget", staff, err)
	}
	_, err := i.Log.RecordOne(ctx, s.Stamp(budget.ExtraEvent(x)))
	return x, err
}

func (i *Installation) mayAdd(s access.Session, staff string, persons int64) error {
	if err := i.Access.Still(s); err != nil {
		return err
	}
	most := i.Budgets.DayOf(staff, i.Access.RolesOf(staff))
	switch {
	case s.Role() != "supervisor":
		return fmt.Errorf("%w: it takes a supervisor", access.ErrRefused)
	case s.Staff() == staff:
		return fmt.Errorf("%w: nobody adds to their own budget", access.ErrRefused)
	case persons < 1 || most >= 0 && persons > most:
		return fmt.Errorf("%w: at most as many participants as the budget of a day are added, %d", access.ErrInvalid, most)
	}
	for _, theirs := range i.Access.SessionsOf(staff) {
		if theirs.Device == s.Device() {
			return fmt.Errorf("%w: it takes another device than one that they have a session at", access.ErrRefused)
		}
	}
	return i.Access.Fresh(s)
}
