package installation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"azekura/approval"
	"azekura/auditlog"
)

// purposeApprover is of the event that enrols one.
const purposeApprover = "approver"

// enrolled are the approvers by the log's own events. Whoever writes azekura.json
// could name others there.
type enrolled struct{ list []string }

// Replay hears of one event of authority.
func (n *enrolled) Replay(e auditlog.Event) error {
	if e.Action != auditlog.System || e.Outcome != "ok" {
		return nil
	}
	var d struct {
		Approver  string   `json:"approver"`
		Approvers []string `json:"approvers"` // all, where events were lost that enrolled some
	}
	switch e.Purpose {
	case purposeApprover, auditlog.PurposeGap:
		if err := json.Unmarshal(e.Detail, &d); err != nil {
			return fmt.Errorf("read who was enrolled by event %d: %w", e.Index, err)
		}
	}
	switch {
	case d.Approvers != nil:
		n.list = d.Approvers
	case d.Approver != "":
		n.list = append(n.list, d.Approver)
	}
	return nil
}

// settle holds the settings' list against the log's. An enrolment that was cut off
// behind its event is finished; the first two, which were enrolled on one person's
// word while the log couldn't be opened, are recorded now. Any other difference is
// refused.
func (n *enrolled) settle(ctx context.Context, dir string, c *Config, log *auditlog.Log) error {
	begins := func(list, with []string) bool { return len(with) <= len(list) && slices.Equal(list[:len(with)], with) }
	switch {
	case slices.Equal(c.Approvers, n.list):
		return nil
	case begins(n.list, c.Approvers):
		c.Approvers = slices.Clone(n.list)
		return c.write(dir)
	case begins(c.Approvers, n.list) && len(c.Approvers) <= approval.Needed && !log.Frozen():
		for _, vkey := range c.Approvers[len(n.list):] {
			if err := recordAct(ctx, log, purposeApprover, map[string]any{"approver": vkey}); err != nil {
				return fmt.Errorf("record the approver: %w", err)
			}
		}
		return nil
	}
	return errors.New("the approvers in azekura.json aren't those that the log's events enrolled: somebody edited the list. " +
		"Put it back as it was, or empty it, then it is made anew out of the log")
}
