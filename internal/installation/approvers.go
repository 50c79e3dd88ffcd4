package installation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"azekura/approval"
	"azekura/approval/roll"
	"azekura/auditlog"
)

// enrol is a further approver.
type enrol struct {
	Log    string `json:"log"`
	Add    string `json:"add"`
	Change int64  `json:"change"`
}

func (a enrol) Kind() string { return kindApprover }

func (a enrol) words() string { return a.Words() }

// Words say of which change of the list they are, so that they aren't good again
// after the approver was struck off.
func (a enrol) Words() string {
	return "A further approver is enrolled at " + a.Log + ": whoever holds the key of\n" + a.Add +
		fmt.Sprintf("\nThen any two of the approvers can decide together. It is change %d of the list.\n", a.Change) +
		fmt.Sprintf("上の鍵を持つ者を %s の承認者に加えます。以後、承認者のうち二名で決定できます。名簿の変更 %d 回目です。\n", a.Log, a.Change)
}

// enrolling is the act of enrolling a key, and the list then.
func enrolling(people *roll.Roll, origin, vkey string) (enrol, []string, error) {
	list, err := approval.Enrol(people.List(), vkey)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrApprover, err)
	}
	return enrol{origin, vkey, people.Changes() + 1}, list, err
}

// ProposeApprover makes the proposal to enrol one more approver.
func ProposeApprover(ctx context.Context, dir, vkey, by string, life time.Duration) ([]byte, error) {
	return withFolder(ctx, dir, func(f *folder) ([]byte, error) {
		if err := f.lead(ctx); err != nil { // it takes an event
			return nil, err
		}
		a, _, err := enrolling(f.people, f.config.Origin, vkey)
		if err != nil {
			return nil, err
		}
		return f.propose(kindApprover, a, by, life)
	})
}

// AddApprover enrols an approver: the first two on the operator's word, which is
// in the log, and every further one if two of those approved it. Where the log
// can't be opened because events are lost, the first two are enrolled all the
// same, and the event that names the gap names them; recorded is false then.
func AddApprover(ctx context.Context, dir, vkey string, file []byte) (recorded bool, err error) {
	return withFolder(ctx, dir, func(f *folder) (bool, error) {
		if err := f.readApprovers(ctx); err != nil {
			return false, err
		}
		lost := f.log == nil
		a, list, err := enrolling(f.people, f.config.Origin, vkey)
		if err != nil {
			return false, err
		}
		detail := map[string]any{"approver": vkey}
		if f.people.Enough() {
			if file == nil {
				return false, errors.New("two approvers are enrolled: a further one takes their approval; --propose writes what they sign")
			}
			if lost {
				return false, errors.New("a further approver is enrolled by an event, and the log can't be opened: its events are lost, or a restore isn't confirmed")
			}
			ok, err := approved(f, file, kindApprover, approval.AnySize, a)
			if err != nil {
				return false, err
			}
			detail["approval"] = ok.Note()
		}
		if !lost {
			if err := recordChange(ctx, f.log, f.people, roll.Enrolled, detail); err != nil {
				return false, fmt.Errorf("record the approver: %w", err)
			}
		}
		f.config.Approvers = list
		return !lost, f.config.write(dir)
	})
}

// ListApprovers lists who decides. lost tells that the log can't be opened because
// events are lost, or a restore isn't confirmed.
func ListApprovers(ctx context.Context, dir string) (list []string, lost bool, err error) {
	list, err = withFolder(ctx, dir, func(f *folder) ([]string, error) {
		if err := f.readApprovers(ctx); err != nil {
			return nil, err
		}
		lost = f.log == nil
		return f.people.List(), nil
	})
	return list, lost, err
}

// confirm is the word that nothing was signed after a restored head.
type confirm struct {
	Log  string `json:"log"`
	Size int64  `json:"size"`
	// Held and Root are the database's head: it may hold events that were
	// recorded and not signed yet when the backup was made.
	Held int64  `json:"held"`
	Root string `json:"root"`
}

func (a confirm) words() string {
	tail := ""
	if a.Held > a.Size {
		tail = fmt.Sprintf("Behind the signed head of %d the database holds events to %d, not signed yet: they are signed now, to the root %s.\n", a.Size, a.Held-1, a.Root)
	}
	return fmt.Sprintf("Nothing was recorded in the audit log %s after its first %d events, which the backup holds.\n", a.Log, a.Held) + tail +
		"It goes on there. If something was, the log forks, and a witness or a head noted elsewhere will show it.\n"
}

// ProposeConfirm makes the proposal to go on after a restore.
func ProposeConfirm(ctx context.Context, dir, by string, life time.Duration) ([]byte, error) {
	return withFolder(ctx, dir, func(f *folder) ([]byte, error) {
		a, err := f.confirming(ctx)
		if err != nil {
			return nil, err
		}
		return f.propose(kindConfirm, a, by, life)
	})
}

func (f *folder) confirming(ctx context.Context) (confirm, error) {
	size, _ := f.signer.Head()
	if _, unconfirmed := f.signer.Restored(); !unconfirmed {
		return confirm{}, errors.New("nothing waits to be confirmed: the signer's state isn't a restored one")
	}
	if err := auditlog.CheckTail(ctx, f.db, f.config.LogID, f.signer); err != nil {
		return confirm{}, err
	}
	held, root, err := auditlog.HeadOf(ctx, f.db, f.config.LogID)
	return confirm{f.config.Origin, size, held, root.String()}, err
}

// Confirm says that nothing was signed after the head of size events that a
// restored signer stands at. Where approvers are enrolled two of them must say so.
// Whoever says it wrongly lets the log fork, which a witness shows.
func Confirm(ctx context.Context, dir string, size int64, file []byte) error {
	_, err := withFolder(ctx, dir, func(f *folder) (struct{}, error) {
		var none struct{}
		note := ""
		a, err := f.confirming(ctx)
		if err != nil {
			return none, err
		}
		if err := f.readApprovers(ctx); err != nil {
			return none, err
		}
		if a.Size != size {
			return none, fmt.Errorf("the restored signer stands at %d events, not at %d", a.Size, size)
		}
		if f.people.Enough() {
			if file == nil {
				return none, fmt.Errorf("%w: approvers are enrolled, and two of them must say so; --propose writes what they sign", approval.ErrNotApproved)
			}
			ok, err := approved(f, file, kindConfirm, size, a)
			if err != nil {
				return none, err
			}
			note = ok.Note()
		}
		if err := f.signer.Confirm(note); err != nil {
			return none, err
		}
		return none, f.lead(ctx) // which signs what the backup held unsigned, and records it
	})
	return err
}
