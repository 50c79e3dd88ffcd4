package installation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"azekura/access"
	"azekura/approval"
	"azekura/approval/desk"
)

// ProposeRelease makes the proposal to release what is contained.
func (i *Installation) ProposeRelease(t access.Target, why, by string, life time.Duration) ([]byte, error) {
	r, err := i.Access.ProposeRelease(i.Config.Origin, t, why)
	if err != nil {
		return nil, err
	}
	size, _ := i.Signer.Head()
	p, err := approval.Propose(r, i.Config.Origin, size, by, i.Log.Now(), life)
	if err != nil {
		return nil, err
	}
	return p.Text(), nil
}

// Release releases what two people approved with a file.
func (i *Installation) Release(ctx context.Context, file []byte) (t access.Target, err error) {
	may := func(a approval.Approved) error { return i.Access.Releases(i.Config.Origin, a) }
	err = i.Desk.CarryFile(ctx, file, may, func(ctx context.Context, a approval.Approved) (err error) {
		t, err = i.Access.Release(ctx, i.Config.Origin, a)
		return err
	})
	return t, err
}

// CarryOut does what two people approved at the desk, where the proposal says all
// that there is to say: the release of what is contained, and a change of budgets.
// One of the two staff members who brought it does, in their session.
func (i *Installation) CarryOut(ctx context.Context, s access.Session, id string) (desk.Item, error) {
	item, err := i.Desk.Show(id)
	switch {
	case err != nil:
		return item, err
	case !s.Live():
		return item, access.ErrNoSession
	case s.Staff() != item.Staff && s.Staff() != item.Second:
		return item, fmt.Errorf("%w: one of the two who brought it carries it out", desk.ErrRefused)
	}
	switch item.Kind {
	case access.KindRelease:
		err = i.releaseBy(ctx, item)
	case kindBudget:
		err = i.changeBudgetBy(ctx, item)
	default:
		err = fmt.Errorf("%w: the command of its kind carries it out, with --proposal", desk.ErrRefused)
	}
	if err != nil {
		return item, err
	}
	return i.Desk.Show(id)
}

func (i *Installation) releaseBy(ctx context.Context, item desk.Item) error {
	var asked access.Releasing
	if err := bodyOf(item, &asked); err != nil {
		return err
	}
	now, err := i.Access.ProposeRelease(i.Config.Origin, asked.Target, asked.Why)
	if err != nil {
		return err
	}
	return i.Desk.Carry(ctx, item.ID, now, func(ctx context.Context, by approval.Approved) error {
		_, err := i.Access.Release(ctx, i.Config.Origin, by)
		return err
	})
}

// bodyOf reads what a proposal is for. The desk holds it against what was signed.
func bodyOf(item desk.Item, body any) error {
	p, _, err := approval.Read([]byte(item.File))
	if err != nil {
		return err
	}
	in := json.NewDecoder(bytes.NewReader(p.Body))
	in.DisallowUnknownFields()
	if err := in.Decode(body); err != nil {
		return fmt.Errorf("%w: it isn't of a form that this version knows", desk.ErrRefused)
	}
	return nil
}
