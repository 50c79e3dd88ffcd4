package installation

import (
	"context"
	"errors"

	"azekura/access/budget"
	"azekura/auditlog"
)

// appoint sets those who judge what is recorded. Where the log can't be read back
// as it was signed nothing is opened, but whoever verifies or contains can work.
func (i *Installation) appoint(ctx context.Context) error {
	i.Budgets = budget.New()
	err := i.Log.Appoint(ctx, i.Budgets)
	if errors.Is(err, auditlog.ErrSigner) {
		return i.Log.Raise(ctx, auditlog.Tampering{Table: "log_event", Key: "-", Kind: "what was recorded can't be read back as it was signed, so nothing is opened; run azekura log verify"})
	}
	return err
}
