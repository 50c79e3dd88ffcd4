package installation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"azekura/approval"
	"azekura/approval/roll"
)

// ErrApprover means that the list of approvers can't be changed like that.
var ErrApprover = errors.New("the list of approvers can't be changed like that")

// strike is the end of an approver.
type strike struct {
	Log    string   `json:"log"`
	Remove string   `json:"remove"`
	Left   []string `json:"left"`
	Change int64    `json:"change"`
}

func (a strike) Kind() string { return kindStrike }

func (a strike) words() string { return a.Words() }

// Words names those who are left, so that both see who can decide then.
func (a strike) Words() string {
	gone, left := nameOf(a.Remove), make([]string, 0, len(a.Left))
	for _, vkey := range a.Left {
		left = append(left, nameOf(vkey))
	}
	return fmt.Sprintf("The approver %s is struck off at %s: whoever holds the key of\n%s\ndecides nothing any more, and what they signed and isn't done yet is void. Any two of those left decide: %s. It is change %d of the list.\n",
		gone, a.Log, a.Remove, strings.Join(left, ", "), a.Change) +
		fmt.Sprintf("承認者 %s を %s の承認者名簿から外します。以後この鍵では何も決定できず、署名済みで未実行のものは無効になります。残る承認者（うち二名で決定）：%s。名簿の変更 %d 回目です。\n",
			gone, a.Log, strings.Join(left, ", "), a.Change)
}

// striking names an approver, by name or public key, who is to be struck off.
func striking(people *roll.Roll, origin, who string) (strike, error) {
	a := strike{Log: origin, Left: []string{}, Change: people.Changes() + 1}
	for _, vkey := range people.List() {
		if vkey == who || nameOf(vkey) == who {
			a.Remove = vkey
		} else {
			a.Left = append(a.Left, vkey)
		}
	}
	switch {
	case a.Remove == "":
		return a, fmt.Errorf("%w: nobody of that name or key is an approver; azekura approver list lists them", ErrApprover)
	case len(a.Left) < approval.Needed:
		return a, fmt.Errorf("%w: at least two approvers must be left; enrol another first (azekura approver add)", ErrApprover)
	}
	return a, nil
}

func nameOf(vkey string) string {
	name, err := approval.Name(vkey)
	if err != nil {
		return "(a key that can't be read)"
	}
	return name
}

func (f *folder) striking(ctx context.Context, who string) (strike, error) {
	if err := f.lead(ctx); err != nil { // it takes an event
		return strike{}, err
	}
	return striking(f.people, f.config.Origin, who)
}

// ProposeStrike makes the proposal to strike an approver off, named by name or
// public key.
func ProposeStrike(ctx context.Context, dir, who, by string, life time.Duration) ([]byte, error) {
	return withFolder(ctx, dir, func(f *folder) ([]byte, error) {
		a, err := f.striking(ctx, who)
		if err != nil {
			return nil, err
		}
		return f.propose(kindStrike, a, by, life)
	})
}

// Strike strikes an approver off, if two people approved it, and names those left.
func Strike(ctx context.Context, dir, who string, file []byte) (left []string, err error) {
	return withFolder(ctx, dir, func(f *folder) ([]string, error) {
		a, err := f.striking(ctx, who)
		if err != nil {
			return nil, err
		}
		ok, err := approved(f, file, kindStrike, approval.AnySize, a)
		if err != nil {
			return nil, err
		}
		if err := recordChange(ctx, f.log, f.people, roll.Removed, map[string]any{"approver": a.Remove, "approval": ok.Note()}); err != nil {
			return nil, fmt.Errorf("record that the approver is struck off: %w", err)
		}
		f.config.Approvers = f.people.List()
		return f.config.Approvers, f.config.write(dir)
	})
}

// Strike strikes an approver off by a proposal that two people approved, while
// reads go on, and names those left.
func (i *Installation) Strike(ctx context.Context, proposal, who string) (left []string, err error) {
	if proposal == "" {
		return nil, fmt.Errorf("%w: azekura proposal draft %s begins it, and --proposal names it once another has consented", approval.ErrNotApproved, kindStrike)
	}
	a, err := striking(&i.people, i.Config.Origin, who)
	if err != nil {
		return nil, err
	}
	return i.changeApprovers(ctx, proposal, a, a.Change, roll.Removed, a.Remove)
}

// Enrol enrols an approver while reads go on: the first two on the operator's word,
// which is in the log, further ones by a proposal that two people approved.
func (i *Installation) Enrol(ctx context.Context, proposal, vkey string) (list []string, err error) {
	if proposal == "" {
		defer i.people.Alone()()
	}
	a, _, err := enrolling(&i.people, i.Config.Origin, vkey)
	switch {
	case err != nil:
		return nil, err
	case proposal != "":
		return i.changeApprovers(ctx, proposal, a, a.Change, roll.Enrolled, vkey)
	case i.people.Enough():
		return nil, fmt.Errorf("%w: azekura proposal draft %s begins it, and --proposal names it once another has consented", approval.ErrNotApproved, kindApprover)
	}
	if err := recordChange(context.WithoutCancel(ctx), i.Log, &i.people, roll.Enrolled, map[string]any{"approver": vkey}); err != nil {
		return nil, fmt.Errorf("record the approver: %w", err)
	}
	return i.keptApprovers()
}

// changeApprovers changes the list as two people approved it. No decision is under
// way meanwhile.
func (i *Installation) changeApprovers(ctx context.Context, proposal string, a approval.Act, change int64, purpose, vkey string) ([]string, error) {
	err := i.Desk.Change(ctx, proposal, a, func(ctx context.Context, by approval.Approved) error {
		if i.people.Changes()+1 != change { // in the moment before others were kept away
			return fmt.Errorf("%w: the list has changed since it was proposed; make the proposal anew", approval.ErrNotApproved)
		}
		e, err := recordEvent(ctx, i.Log, purpose, map[string]any{"approver": vkey, "approval": by.Note()})
		if err != nil {
			return fmt.Errorf("record the change of the approvers: %w", err)
		}
		return errors.Join(i.people.Replay(e), i.Desk.Replay(e))
	})
	if err != nil {
		return nil, err
	}
	return i.keptApprovers()
}

// keptApprovers writes the copy in the settings, and returns the list.
func (i *Installation) keptApprovers() ([]string, error) {
	list := i.people.List()
	if err := i.resettle(func(c *Config) { c.Approvers = list }); err != nil {
		return nil, fmt.Errorf("the approvers are changed, but azekura.json doesn't say so yet, which the next start mends: %w", err)
	}
	return list, nil
}

// resettle changes the settings while others may. What else is in the file stays.
func (i *Installation) resettle(change func(*Config)) error {
	i.settings.Lock()
	defer i.settings.Unlock()
	now, err := ReadConfig(i.Dir)
	if err != nil {
		return err
	}
	change(&now)
	return now.write(i.Dir)
}
