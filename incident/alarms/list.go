package alarms

import (
	"context"
	"encoding/json"

	"azekura/access"
	"azekura/auditlog"
)

// Entry is a notice, and who has looked at it.
type Entry struct {
	Notice
	Acknowledged *access.Acknowledgement `json:"acknowledged,omitempty"`
}

// List is every alarm, containment and release that the log holds, the oldest first.
// each reads the events of authority (auditlog.Log.Authority): all, or an error.
func List(ctx context.Context, origin string, each func(context.Context, func(auditlog.Event) error) error) ([]Entry, error) {
	list, at := []Entry{}, map[place]int{}
	err := each(ctx, func(e auditlog.Event) error {
		if n, ok := notice(origin, &e); ok {
			at[place{e.Log, e.Index}] = len(list)
			list = append(list, Entry{Notice: n})
			return nil
		}
		var a access.Acknowledgement
		if e.Action != auditlog.System || e.Purpose != access.Acknowledged || json.Unmarshal(e.Detail, &a) != nil {
			return nil
		}
		if i, ok := at[place{a.Log, a.Event}]; ok {
			list[i].Acknowledged = &a
		}
		return nil
	})
	return list, err
}
