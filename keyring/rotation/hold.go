package rotation

import (
	"context"
	"fmt"

	"azekura/auditlog"
)

// fact is what the log says last of a rotation. Its row is only a note of how far
// the job is, and whoever writes the database can write that too; so it is held
// against this before it is believed.
type fact struct {
	kind, outcome string
	id, from, to  int64
}

// stage is where the row of such a rotation is.
func (f fact) stage() string {
	switch {
	case f.outcome == "begun" && f.kind == Data:
		return stageWrap
	case f.outcome == "begun":
		return stageBuild
	case f.outcome == "switched":
		return stageEmpty
	}
	return stageScrub
}

func (f fact) fits(at Rotation) bool {
	if at.ID != f.id || at.Kind != f.kind || at.From != f.from || at.To != f.to {
		return false
	}
	return at.Stage == f.stage() && !at.Finished || f.outcome == "ok" && at.Stage == stageEnd && at.Finished
}

// hold puts the rows of keyring_rotation back to where the log says that they are,
// with an alarm. Once the log says that the old key is gone, nothing is lost if the
// row is gone too.
func (r *Rotator) hold(ctx context.Context) error {
	var found []auditlog.Tampering
	err := r.Register.Alone(ctx, func() error {
		at, busy, err := r.unfinished(ctx)
		if err != nil {
			return err
		}
		if busy && at.ID != r.last.id && !r.unsure.fits(at) {
			found = append(found, wrongRow(at.ID, "no event of the log tells of its rotation; it was ended"))
			if _, err := r.DB.Exec(ctx, "UPDATE keyring_rotation SET stage = $1, finished_us = $2 WHERE rotation_id = $3",
				stageEnd, r.Log.Now().UnixMicro(), at.ID); err != nil {
				return err
			}
		}
		if r.last.id == 0 {
			return nil
		}
		at, there, err := r.one(ctx, "WHERE rotation_id = $1", r.last.id)
		if err != nil || there && (r.last.fits(at) || r.unsure.id == at.ID && r.unsure.fits(at)) || !there && r.last.outcome == "ok" {
			return err
		}
		found = append(found, wrongRow(r.last.id, "it isn't where the log says that the rotation is; it was put back"))
		return r.mend(ctx, there)
	})
	for _, t := range found {
		if raised := r.Log.Raise(ctx, t); raised != nil && err == nil {
			err = raised
		}
	}
	if err != nil {
		return fmt.Errorf("hold the key's rotation against the log: %w", err)
	}
	return nil
}

func wrongRow(id int64, kind string) auditlog.Tampering {
	return auditlog.Tampering{Table: "keyring_rotation", Key: fmt.Sprint(id), Kind: kind}
}

// mend writes the row of the last rotation as the log tells it, at the begin of its
// stage: each stage can be done again.
func (r *Rotator) mend(ctx context.Context, there bool) error {
	f, begin := r.last, make([]byte, 16)
	if there {
		_, err := r.DB.Exec(ctx, `UPDATE keyring_rotation SET kind = $1, from_epoch = $2, to_epoch = $3, stage = $4, at = $5, done = 0, finished_us = 0, failure = ''
			WHERE rotation_id = $6`, f.kind, f.from, f.to, f.stage(), begin, f.id)
		return err
	}
	total, err := r.Register.Count(ctx)
	if err != nil {
		return err
	}
	return insert(ctx, r.DB, Rotation{ID: f.id, Kind: f.kind, From: f.from, To: f.to, Stage: f.stage(), Total: total, Started: r.Log.Now()})
}
