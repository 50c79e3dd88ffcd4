package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"azekura/approval"
	"azekura/auditlog"
	"azekura/keyring"
	"azekura/keyring/root"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
)

// RootOptions say how the new root key is kept.
type RootOptions struct {
	// Transit moves it to a KMS.
	Transit *root.TransitConfig
	// Passphrase keeps it in a file. With neither, the KMS that keeps it now
	// wraps the domain keys anew, under its key's newest version.
	Passphrase []byte
	Recovery   string // an age recipient for a copy in a safe
	NoRecovery bool   // there is to be no copy, though there was one
	WorkFactor int
	// By is what two people approved; it stands in the event that the change came about.
	By approval.Approved
}

// RootChange tells what was done.
type RootChange struct {
	From string `json:"from" doc:"the old root key's public id"`
	To   string `json:"to"`
	Keys int    `json:"keys" doc:"domain keys that are wrapped under it"`
}

// RootKept tells how the root key is kept, and its public id.
func (r *Rotator) RootKept(ctx context.Context) (kind, id string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, err = r.Root.KeyId(ctx)
	return r.Config.Kind, id, err
}

func (r *Rotator) hasRecovery() bool { return root.HasRecovery(r.Dir) }

// ChangeRoot puts the domain keys under a new root key and destroys the old one.
// Killed at any moment, the next start goes back or on, by what the database says.
func (r *Rotator) ChangeRoot(ctx context.Context, o RootOptions) (done RootChange, err error) {
	// Begun, it is seen through: a caller who goes away must not leave two.
	ctx = context.WithoutCancel(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, busy, err := r.unfinished(ctx); err != nil || busy {
		return done, errors.Join(err, busyWith(at, busy))
	}
	if err := r.checkRoot(o); err != nil {
		return done, err
	}
	if o.Transit == nil && len(o.Passphrase) == 0 {
		return r.moveRoot(ctx, r.Root, o)
	}
	if err := root.Stage(r.Dir, o.Transit, root.FileOptions{Passphrase: o.Passphrase, Recovery: o.Recovery, WorkFactor: o.WorkFactor}); err != nil {
		return done, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	next, _, err := root.Staged(r.Dir)
	if err != nil {
		return done, err
	}
	w, err := root.OpenStaged(ctx, r.Dir, next, func() ([]byte, error) { return append([]byte(nil), o.Passphrase...), nil })
	if err != nil {
		return done, errors.Join(fmt.Errorf("%w: %w", ErrInvalid, err), root.Discard(r.Dir))
	}
	if done, err = r.moveRoot(ctx, w, o); err != nil {
		return done, errors.Join(err, r.undoRoot(ctx, w))
	}
	// From here on the new one is the root key, wherever its files are.
	old := r.Root
	r.Root, r.Config = w, next.Config
	return done, errors.Join(root.Promote(r.Dir, r.Settle), root.Close(ctx, old))
}

func busyWith(at Rotation, busy bool) error {
	if !busy {
		return nil
	}
	return fmt.Errorf("%w (%s)", ErrBusy, at.Kind)
}

func (r *Rotator) checkRoot(o RootOptions) error {
	switch {
	case o.Transit != nil && (len(o.Passphrase) > 0 || o.Recovery != ""):
		return fmt.Errorf("%w: a KMS keeps its key itself: no passphrase, no recovery copy", ErrInvalid)
	case o.Transit != nil:
		return nil
	case len(o.Passphrase) == 0 && r.Config.Kind == root.KindFile:
		return fmt.Errorf("%w: a root key in a file needs a passphrase, the old one or another", ErrInvalid)
	case len(o.Passphrase) > 0 && o.Recovery == "" && !o.NoRecovery:
		return fmt.Errorf("%w: name the age recipient to whom the new root key is escrowed, or say that there is to be no recovery copy", ErrInvalid)
	case len(o.Passphrase) == 0 && o.Recovery != "":
		return fmt.Errorf("%w: a recovery copy is of a root key in a file; a KMS keeps copies of its own", ErrInvalid)
	}
	return nil
}

// moveRoot puts the domain keys under another root key, with the event that tells
// of it.
func (r *Rotator) moveRoot(ctx context.Context, to wrapping.Wrapper, o RootOptions) (done RootChange, err error) {
	if done.From, err = r.Root.KeyId(ctx); err != nil {
		return done, err
	}
	if done.To, err = to.KeyId(ctx); err != nil {
		return done, err
	}
	detail, err := json.Marshal(map[string]string{"from": done.From, "to": done.To})
	if err != nil {
		return done, err
	}
	event := auditlog.Event{Action: auditlog.System, Purpose: "rotate-root", Outcome: "begun", Detail: detail}
	if _, err := r.Log.RecordOne(ctx, event); err != nil {
		return done, err
	}
	stmts, err := keyring.UnderRoot(ctx, r.DB, r.Root, to)
	if err != nil {
		return done, err
	}
	done.Keys = len(stmts)
	tx, err := r.DB.Begin(ctx)
	if err != nil {
		return done, err
	}
	if err := tx.Apply(ctx, stmts); err != nil {
		tx.Rollback()
		return done, fmt.Errorf("put the domain keys under the new root key: %w", err)
	}
	event.Outcome = "ok"
	if note := o.By.Note(); note != "" {
		if event.Detail, err = json.Marshal(map[string]string{"from": done.From, "to": done.To, "approval": note}); err != nil {
			tx.Rollback()
			return done, err
		}
	}
	if _, err = r.Log.Record(ctx, auditlog.Entry{Events: []auditlog.Event{event}, Tx: tx}); err != nil && keyring.Fits(ctx, r.DB, to) == nil {
		err = nil // it was committed, and only the answer is missing
	}
	return done, err
}

// undoRoot takes the new root key away after a failure, if it is certain that the
// domain keys are under the old one. Else both stay, and the next start tells.
func (r *Rotator) undoRoot(ctx context.Context, w wrapping.Wrapper) error {
	if err := keyring.Fits(ctx, r.DB, r.Root); err != nil {
		return fmt.Errorf("both root keys are kept until the next start, which finds out: %w", err)
	}
	return errors.Join(root.Close(ctx, w), root.Discard(r.Dir))
}
