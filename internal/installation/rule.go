package installation

import (
	"context"
	"fmt"
	"time"

	"azekura/auditlog"
)

// FreezeRule ends a log without two people's word each time: at the first start in
// a new year, or at the first start at which it has so many events.
type FreezeRule struct {
	Yearly bool  `json:"yearly,omitempty"`
	Events int64 `json:"events,omitempty"`
}

// due says why a log of a size, whose first event is of a moment, ends now, or
// nothing. Years are UTC's, as the events' times are.
func (r *FreezeRule) due(size int64, first, now time.Time) freezeDue {
	switch {
	case r == nil || size == 0:
		return ""
	case r.Yearly && first.UTC().Year() < now.UTC().Year():
		return freezeDue(fmt.Sprintf("by rule: the year %d is over", first.UTC().Year()))
	case r.Events > 0 && size >= r.Events:
		return freezeDue(fmt.Sprintf("by rule: it has %d events, and ends at %d", size, r.Events))
	}
	return ""
}

// freezeDue is why a log ends now by its rule.
type freezeDue string

func (d freezeDue) Error() string { return string(d) }

func (d freezeDue) orNil() error {
	if d == "" {
		return nil
	}
	return d
}

func (i *Installation) freezeDue(ctx context.Context) (freezeDue, error) {
	size := i.Log.Committed()
	if i.Config.Freeze == nil || size == 0 {
		return "", nil
	}
	first, err := i.Log.Event(ctx, 0)
	if err != nil {
		return "", fmt.Errorf("read when the log began: %w", err)
	}
	return i.Config.Freeze.due(size, time.UnixMicro(first.Time), i.Log.Now()), nil
}

// goOn begins the next log: by the rule, or where a command began to and was cut
// off behind the event that ends this one.
func goOn(ctx context.Context, dir, why string) error {
	_, err := withFolder(ctx, dir, func(f *folder) (none struct{}, err error) {
		if why == "" {
			return none, f.continueFrozen(ctx)
		}
		return none, f.freeze(ctx, freeze{Log: f.config.Origin, Next: auditlog.NextOrigin(f.config.Origin, f.config.LogID+1), Why: why}, "")
	})
	return err
}
