package installation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"azekura/approval"
	"azekura/auditlog"
	keyrotation "azekura/keyring/rotation"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	"github.com/riverqueue/river"
)

// RotateArgs is the job of a key's rotation.
type RotateArgs struct {
	RotationID int64 `json:"rotation_id"`
}

// Kind names the job.
func (RotateArgs) Kind() string { return "keys-rotate" }

// startRotator makes the one that changes keys, which takes the root key over.
func (i *Installation) startRotator(ctx context.Context, keys *rootKeys, w wrapping.Wrapper) (err error) {
	if keys.discarded {
		event := auditlog.Event{Action: auditlog.System, Purpose: "rotate-root", Outcome: "abandoned"}
		if _, err := i.Log.RecordOne(ctx, event); err != nil {
			return err
		}
	}
	i.Rotator, err = keyrotation.Open(ctx, keyrotation.Parts{Dir: i.Dir, DB: i.DB, Ring: i.Ring, Log: i.Log, Register: i.Register, Gate: i.Gate,
		Root: w, Config: i.Config.Root, Settle: i.settleRoot}, &i.told)
	return err
}

// StartRotation begins to change the data or the index key, by two people, or goes
// on with what they approved.
func (i *Installation) StartRotation(ctx context.Context, kind, proposal string) (keyrotation.Rotation, error) {
	at, err := i.Rotator.Resume(ctx, kind)
	if errors.Is(err, keyrotation.ErrNothing) {
		var act rotateKey
		if act, err = i.rotating(ctx, kind); err == nil {
			err = i.decided(ctx, proposal, act, func(ctx context.Context, by approval.Approved) (err error) {
				at, err = i.Rotator.StartBy(ctx, kind, by)
				return err
			})
		}
	}
	if err != nil {
		return at, err
	}
	return at, i.Jobs.Insert(ctx, RotateArgs{RotationID: at.ID})
}

// resumeRotation sees to it that a rotation under way has a job: its row is
// written before its job.
func (i *Installation) resumeRotation(ctx context.Context) error {
	at, busy, err := i.Rotator.Unfinished(ctx)
	if err != nil || !busy {
		return err
	}
	return i.Jobs.Insert(ctx, RotateArgs{RotationID: at.ID})
}

func (i *Installation) runRotation(ctx context.Context, args RotateArgs) error {
	// One job at a time; another comes back and mostly finds it done.
	work := fmt.Sprint("rotation ", args.RotationID)
	if _, atWork := i.atWork.LoadOrStore(work, true); atWork {
		return river.JobSnooze(time.Second)
	}
	defer i.atWork.Delete(work)
	err := i.Rotator.Run(ctx, args.RotationID)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		// The process is ending; that is no failed attempt of the job's.
		return river.JobSnooze(0)
	}
	// The rotation's row says why; who asked decides whether to go on, and so does
	// the next start.
	return river.JobCancel(err)
}
