package installation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"azekura/approval/roll"
	"azekura/auditlog"
)

// settle finishes what a command before this start began and didn't finish: a
// restore that was confirmed and isn't in the log yet, a change of the signer's
// key.
func (i *Installation) settle(ctx context.Context) error {
	if i.Log.Frozen() {
		return auditlog.ErrFrozen
	}
	if why, err := i.freezeDue(ctx); err != nil || why != "" {
		return errors.Join(err, why.orNil())
	}
	if restored, _ := i.Signer.Restored(); restored {
		// First the approvers whom nothing names yet: what follows ends the restore.
		var people roll.Roll
		if err := readApprovers(ctx, &people, i.Dir, &i.Config, i.Log, restored); err != nil {
			return err
		}
	}
	return settle(ctx, i.Signer, i.Log)
}

// settle does so for a log that is open and whose commands must not go before it.
func settle(ctx context.Context, signer *auditlog.Signer, log *auditlog.Log) error {
	if restored, _ := signer.Restored(); restored && !log.Frozen() {
		if err := recordRestored(ctx, signer, log); err != nil {
			return err
		}
	}
	from, begun := signer.Rotating()
	if !begun {
		return nil
	}
	return settleRotation(ctx, signer, log, from)
}

// recordRestored writes into the log that it goes on after a restore.
func recordRestored(ctx context.Context, signer *auditlog.Signer, log *auditlog.Log) error {
	size, root := signer.Head()
	note, err := signer.ConfirmedBy()
	if err != nil {
		return fmt.Errorf("read who confirmed the restore: %w", err)
	}
	detail := map[string]any{"size": size, "root": root.String()}
	if note != "" {
		detail["approval"] = note
	}
	if err := recordAct(ctx, log, "restore", detail); err != nil {
		return err
	}
	return signer.EndRestored()
}

// settleRotation adopts the key that the log names, and forgets the change if
// it names none: then its event was never recorded.
func settleRotation(ctx context.Context, signer *auditlog.Signer, log *auditlog.Log, from int64) error {
	next := ""
	for size, _ := signer.Head(); from < size; from++ {
		e, err := log.Event(ctx, from)
		if err != nil {
			return err
		}
		var d rotation
		if e.Action == auditlog.System && e.Purpose == auditlog.PurposeRotate && json.Unmarshal(e.Detail, &d) == nil {
			next = d.Next
		}
	}
	if next == "" {
		return signer.ForgetRotation()
	}
	if err := signer.AdoptKey(next); err != nil {
		return fmt.Errorf("finish the change of the signer's key: %w", err)
	}
	return nil
}
