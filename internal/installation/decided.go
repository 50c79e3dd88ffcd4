package installation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"azekura/access"
	"azekura/access/policy"
	"azekura/approval"
	"azekura/auditlog"
	"azekura/gate"
	keyrotation "azekura/keyring/rotation"

	"github.com/google/uuid"
)

// rotateKey is a change of a key; From names the key that goes.
type rotateKey struct {
	Key  string `json:"key"`
	From string `json:"from"`
}

func (a rotateKey) Kind() string { return "rotate-" + a.Key }
func (a rotateKey) Words() string {
	return fmt.Sprintf("The %s key is changed. The present one, %s, is destroyed at the end; what only it opens is gone for good.\n", a.Key, a.From) +
		fmt.Sprintf("鍵（%s）を交換します。現在の鍵 %s は最後に破棄され、その鍵でしか開けないものは失われます。\n", a.Key, a.From)
}

// shred is the end of one participant's data key. It names them by the pseudonym
// that the log has, for it stands in the log.
type shred struct {
	Participant string `json:"participant"`
	Purpose     string `json:"purpose"`
	Case        string `json:"case"`
}

func (a shred) Kind() string { return "shred" }
func (a shred) Words() string {
	return fmt.Sprintf("The data key of the participant %s is destroyed, for the purpose %s, case %s. Their record can't be opened any more. It can't be undone.\n", a.Participant, a.Purpose, a.Case) +
		fmt.Sprintf("被保険者 %s のデータ鍵を破棄します（利用目的 %s、案件 %s）。以後その記録は開封できず、元に戻せません。\n", a.Participant, a.Purpose, a.Case)
}

// leakIndex is the making of a leak scan's index.
type leakIndex struct {
	Purpose string `json:"purpose"`
	Case    string `json:"case"`
}

func (a leakIndex) Kind() string { return "leak-index" }
func (a leakIndex) Words() string {
	return fmt.Sprintf("Every participant is opened once, in all versions, to make the index of the leak scan of case %s, for the purpose %s. Who has the index and its key can test guesses.\n", a.Case, a.Purpose) +
		fmt.Sprintf("漏えい照合（案件 %s、利用目的 %s）の索引を作るため、被保険者全員の全版を一度開封します。索引とその鍵を持つ者は推測を試すことができます。\n", a.Case, a.Purpose)
}

// Draft is what a proposal is asked to be for.
type Draft struct {
	Kind        string
	Approver    string // of approver and approver-remove: a public key; of the latter, or a name
	Participant string // of shred
	Purpose     string // of shred and leak-index
	Case        string
	Target      *access.Target // of release
	Budget      *BudgetChange  // of budget
	Why         string         // of release and budget
	Text        string         // of policy: the text
	By          string
	Life        time.Duration
}

// ErrDraft means that a proposal can't be for what was asked.
var ErrDraft = errors.New("that can't be proposed")

// Propose makes a proposal's text, on the state of things now.
func (i *Installation) Propose(ctx context.Context, r Draft) ([]byte, error) {
	act, err := i.draft(ctx, r)
	if err != nil {
		return nil, err
	}
	size, _ := i.Signer.Head()
	p, err := approval.Propose(act, i.Config.Origin, size, r.By, i.Log.Now(), r.Life)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDraft, err)
	}
	return p.Text(), nil
}

func (i *Installation) draft(ctx context.Context, r Draft) (approval.Act, error) {
	changes := r.Kind == kindStrike || r.Kind == kindApprover
	if (r.Kind == policy.Purpose) != (r.Text != "") {
		return nil, fmt.Errorf("%w: policies come with their text, and nothing else does", ErrDraft)
	}
	if changes == (r.Approver == "") || changes && r.Participant+r.Purpose+r.Case != "" {
		return nil, fmt.Errorf("%w: a change of the approvers names the approver, and nothing else does; nor does it name a participant, purpose or case", ErrDraft)
	}
	release, budget := r.Kind == access.KindRelease, r.Kind == kindBudget
	if release != (r.Target != nil) || budget != (r.Budget != nil) || (release || budget) == (r.Why == "") || (release || budget) && r.Participant+r.Purpose+r.Case != "" {
		return nil, fmt.Errorf("%w: a release names what is contained and why, a change of budgets the limits or the surge and why, and nothing else does", ErrDraft)
	}
	switch r.Kind {
	case access.KindRelease:
		return i.Access.ProposeRelease(i.Config.Origin, *r.Target, r.Why)
	case kindBudget:
		c := *r.Budget
		c.Log, c.Why = i.Config.Origin, r.Why
		if err := c.check(i.Log.Now()); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDraft, err)
		}
		return c, nil
	case kindStrike:
		return striking(&i.people, i.Config.Origin, r.Approver)
	case kindApprover:
		a, _, err := enrolling(&i.people, i.Config.Origin, r.Approver)
		return a, err
	case "rotate-root", "rotate-data", "rotate-index":
		if r.Participant+r.Purpose+r.Case != "" {
			return nil, fmt.Errorf("%w: a change of a key has no participant, purpose or case", ErrDraft)
		}
		return i.rotating(ctx, r.Kind[len("rotate-"):])
	case policy.Purpose:
		if r.Participant+r.Purpose+r.Case != "" {
			return nil, fmt.Errorf("%w: policies have no participant, purpose or case", ErrDraft)
		}
		return i.setting(r.Text)
	case "shred":
		id, err := uuid.Parse(r.Participant)
		if err != nil || r.Purpose == "" || r.Case == "" {
			return nil, fmt.Errorf("%w: shredding names the participant (the id that a read or a search shows), the purpose and the case", ErrDraft)
		}
		return shred{id.String(), r.Purpose, r.Case}, nil
	case "leak-index":
		if r.Purpose == "" || r.Case == "" || r.Participant != "" {
			return nil, fmt.Errorf("%w: an index names the purpose and the case", ErrDraft)
		}
		return leakIndex{r.Purpose, r.Case}, nil
	}
	return nil, fmt.Errorf("%w: the kinds are rotate-root, rotate-data, rotate-index, shred, leak-index, policy, approver, approver-remove, release and budget", ErrDraft)
}

func (i *Installation) rotating(ctx context.Context, key string) (rotateKey, error) {
	state := i.Ring.State()
	switch key {
	case keyrotation.Data:
		return rotateKey{key, fmt.Sprint("epoch ", state.Data)}, nil
	case keyrotation.Index:
		return rotateKey{key, fmt.Sprint("epoch ", state.Index)}, nil
	case "root":
		_, id, err := i.Rotator.RootKept(ctx)
		return rotateKey{key, id}, err
	}
	return rotateKey{}, fmt.Errorf("%w: the keys are root, data and index", ErrDraft)
}

// oneDecides tells whether one person may decide what takes two.
func (i *Installation) oneDecides() bool { return i.Config.MadeUp && !i.people.Enough() }

// decided does what takes two people: by the proposal that they approved. On an
// installation of made-up people where fewer than two approvers are enrolled, one
// person does it; anywhere else it is refused.
func (i *Installation) decided(ctx context.Context, proposal string, act approval.Act, do func(context.Context, approval.Approved) error) error {
	switch {
	case proposal != "":
		return i.Desk.Carry(ctx, proposal, act, do)
	case i.people.Enough():
		return fmt.Errorf("%w: azekura proposal draft %s begins one, and --proposal names it once another has consented", approval.ErrNotApproved, act.Kind())
	case i.oneDecides():
		return do(context.WithoutCancel(ctx), approval.Approved{})
	}
	return fmt.Errorf("%w, and fewer than two approvers are enrolled: stop the server, then azekura approver new and azekura approver add, for two people", approval.ErrNotApproved)
}

// ChangeRoot changes the root key, by two people.
func (i *Installation) ChangeRoot(ctx context.Context, proposal string, o keyrotation.RootOptions) (done keyrotation.RootChange, err error) {
	act, err := i.rotating(ctx, "root")
	if err != nil {
		return done, err
	}
	return done, i.decided(ctx, proposal, act, func(ctx context.Context, by approval.Approved) (err error) {
		o.By = by
		done, err = i.Rotator.ChangeRoot(ctx, o)
		return err
	})
}

// Shred destroys a participant's data key, by two people; who approve name them
// by their pseudonym.
func (i *Installation) Shred(ctx context.Context, s access.Session, proposal string, who gate.Who, why gate.Why) (done gate.Changed, err error) {
	if proposal != "" && who.Participant == uuid.Nil {
		return done, fmt.Errorf("%w: what two people approved names the participant by id, not by ref", ErrDraft)
	}
	act := shred{who.Participant.String(), why.Purpose, why.Case}
	return done, i.decided(ctx, proposal, act, func(ctx context.Context, by approval.Approved) (err error) {
		done, err = i.Gate.ShredBy(ctx, s, who, why, by)
		return err
	})
}

// LeakIndex makes a leak scan's index, by two people. The approval is used up as
// it begins: it opens everybody, whether or not it comes to its end.
func (i *Installation) LeakIndex(ctx context.Context, s access.Session, proposal string, why gate.Why, path string, progress func(done, total int64)) (LeakIndex, error) {
	err := i.decided(ctx, proposal, leakIndex{why.Purpose, why.Case}, func(ctx context.Context, by approval.Approved) error {
		if by.Note() == "" {
			return nil
		}
		detail, err := json.Marshal(map[string]string{"approval": by.Note()})
		if err != nil {
			return err
		}
		_, err = i.Log.RecordOne(ctx, s.Stamp(auditlog.Event{Action: auditlog.System, Outcome: "begun", Purpose: "leak-index", Case: why.Case, Detail: detail}))
		return err
	})
	if err != nil {
		return LeakIndex{}, err
	}
	return i.MakeLeakIndex(ctx, s, why, path, progress)
}
