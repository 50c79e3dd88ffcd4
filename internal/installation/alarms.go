package installation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"azekura/access"
	"azekura/auditlog"
	"azekura/incident/alarms"
)

// ErrNoAlarm means that an event of the log isn't an alarm.
var ErrNoAlarm = errors.New("there is no alarm of that number; azekura alarms list shows them")

// alarmsTo is what the log says last of where alarms go.
type alarmsTo struct{ said string }

// Replay takes the log's events of authority, in order.
func (a *alarmsTo) Replay(e auditlog.Event) error {
	if e.Action == auditlog.System && e.Purpose == alarms.TargetsPurpose {
		a.said = string(e.Detail)
	}
	return nil
}

// SendAlarms sends the log's alarms where the settings say, until the installation is
// closed. Where that isn't as it was, the log says so, and they that are told.
func (i *Installation) SendAlarms(ctx context.Context) error {
	if i.unsent != nil {
		return i.unsent
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	trouble := i.Trouble
	if trouble == nil {
		trouble = func(error) {}
	}
	sending, err := i.Outbox.Start(running, i.Config.LogID, i.Log.Committed(), trouble)
	if err != nil {
		cancel()
		return err
	}
	i.onClose(func() error {
		cancel()
		sending.Wait()
		return nil
	})
	detail, err := json.Marshal(map[string]any{"targets": i.Outbox.Named()})
	if err != nil || string(detail) == i.alarmsTo.said || i.alarmsTo.said == "" && len(i.Config.Alarms) == 0 {
		return err
	}
	return recordAct(ctx, i.Log, alarms.TargetsPurpose, json.RawMessage(detail))
}

// TestAlarms records an event that is sent like an alarm.
func (i *Installation) TestAlarms(ctx context.Context) (event int64, err error) {
	if len(i.Config.Alarms) == 0 {
		return 0, errors.New("azekura.json names nowhere that alarms go to; see doc/operations.md, “Where alarms go”")
	}
	r, err := i.Log.RecordOne(ctx, auditlog.Event{Action: auditlog.System, Outcome: "ok", Purpose: alarms.TestPurpose})
	if err != nil {
		return 0, fmt.Errorf("record the test: %w", err)
	}
	return r.Index(), nil
}

// Alarms lists the alarms, containments and releases of the log.
func (i *Installation) Alarms(ctx context.Context) ([]alarms.Entry, error) {
	return alarms.List(ctx, i.Config.Origin, i.Log.Authority)
}

// Acknowledge says that somebody has looked at an alarm; log 0 is the one in force.
func (i *Installation) Acknowledge(ctx context.Context, o access.Officer, log, event int64, found string) (access.Acknowledgement, error) {
	if log == 0 {
		log = i.Config.LogID
	}
	list, err := i.Alarms(ctx)
	if err != nil {
		return access.Acknowledgement{}, err
	}
	for _, e := range list {
		if e.Log == log && e.Event == event {
			return i.Access.Acknowledge(ctx, o, log, event, found)
		}
	}
	return access.Acknowledgement{}, ErrNoAlarm
}
