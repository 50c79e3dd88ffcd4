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

// named is what the log says last, by purpose, of the settings on which it hangs who
// hears of a theft: where alarms go, and who cosigns the log.
type named map[string]string

// Replay takes the log's events of authority, in order.
func (n named) Replay(e auditlog.Event) error {
	if e.Action == auditlog.System && (e.Purpose == alarms.TargetsPurpose || e.Purpose == alarms.WitnessesPurpose) {
		n[e.Purpose] = string(e.Detail)
	}
	return nil
}

// name has the log say what a setting is, where that isn't what it says already. Of
// what never was, nothing is said.
func (i *Installation) name(ctx context.Context, purpose string, is any, any bool) error {
	detail, err := json.Marshal(is)
	if err != nil || string(detail) == i.named[purpose] || i.named[purpose] == "" && !any {
		return err
	}
	return recordAct(ctx, i.Log, purpose, json.RawMessage(detail))
}

// SendAlarms sends the log's alarms where the settings say, until the installation is
// closed. Where that isn't as it was, or other witnesses cosign the log, the log says
// so, and they that are told.
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
	if err := i.name(ctx, alarms.TargetsPurpose, map[string]any{"targets": i.Outbox.Named()}, len(i.Config.Alarms) > 0); err != nil {
		return err
	}
	cosigners := i.Config.cosigners()
	return i.name(ctx, alarms.WitnessesPurpose, cosigners, len(cosigners.Keys) > 0)
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
