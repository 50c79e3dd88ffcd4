package installation

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"azekura/approval"
	"azekura/approval/roll"
	"azekura/auditlog"
)

// Approvers are those whom the log's events name, who decide. The list in
// azekura.json is a copy, for when no log can be read.
func (i *Installation) Approvers() []string { return i.people.List() }

// readApprovers reads who the log's events name, and settles the copy.
func readApprovers(ctx context.Context, people *roll.Roll, dir string, c *Config, log *auditlog.Log, restored bool) error {
	if err := log.Authority(ctx, people.Replay); err != nil {
		return fmt.Errorf("read from the log who is an approver: %w", err)
	}
	return settleApprovers(ctx, people, dir, c, log, restored)
}

// settleApprovers makes the copy of the approvers in the settings anew out of the
// log, where it is empty or a change was cut off behind its event. On a log that
// goes on after a restore, the first two, whom one person enrolled meanwhile, are
// recorded now. Any other difference is refused: somebody edited the list.
func settleApprovers(ctx context.Context, people *roll.Roll, dir string, c *Config, log *auditlog.Log, restored bool) error {
	named := people.List()
	switch {
	case slices.Equal(c.Approvers, named):
		return nil
	case len(c.Approvers) == 0 || slices.Equal(c.Approvers, people.Before()):
		c.Approvers = named
		return c.write(dir)
	case restored && !log.Frozen() && len(c.Approvers) <= approval.Needed && len(named) < len(c.Approvers) && slices.Equal(c.Approvers[:len(named)], named):
		for _, vkey := range c.Approvers[len(named):] {
			if err := recordChange(ctx, log, people, roll.Enrolled, map[string]any{"approver": vkey}); err != nil {
				return fmt.Errorf("record the approver: %w", err)
			}
		}
		return nil
	}
	return errors.New("the approvers in azekura.json aren't those that the log's events name: somebody edited the list. " +
		"Put it back as it was, or empty it, then it is made anew out of the log")
}

// recordChange records a change of the list and makes it by the code that replays
// it.
func recordChange(ctx context.Context, log *auditlog.Log, people *roll.Roll, purpose string, detail map[string]any) error {
	e, err := recordEvent(ctx, log, purpose, detail)
	if err != nil {
		return err
	}
	return people.Replay(e)
}

// recordEvent records an act, and returns its event as a replay would give it.
func recordEvent(ctx context.Context, log *auditlog.Log, purpose string, detail any) (auditlog.Event, error) {
	e, err := actOf(purpose, detail)
	if err != nil {
		return e, err
	}
	r, err := log.RecordOne(ctx, e)
	if err != nil {
		return e, err
	}
	e.Index, e.Time = r.Index(), r.Time()
	return e, nil
}

// readApprovers reads who decides: from the log, or where that can't be opened
// because events are lost, from what is left of it and can be proven, and from the
// settings.
func (f *folder) readApprovers(ctx context.Context) error {
	err := f.lead(ctx)
	if errors.Is(err, auditlog.ErrBehindSigner) || errors.Is(err, auditlog.ErrRestored) {
		return f.readHeld(ctx)
	}
	return err
}

// readHeld is readApprovers for who doesn't lead the log.
func (f *folder) readHeld(ctx context.Context) error {
	f.people = new(roll.Roll)
	err := auditlog.HeldAuthority(ctx, f.db, f.config.LogID, f.signer, f.people.Replay)
	switch {
	case errors.Is(err, auditlog.ErrBehindSigner): // a log before this one is gone: nothing that is left says who is
		f.people = new(roll.Roll)
	case err != nil:
		return fmt.Errorf("read who is an approver from what is left of the log: %w", err)
	}
	return f.people.Believe(f.config.Approvers)
}
