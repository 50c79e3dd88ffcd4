package rotation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/keyring"
	"azekura/register"

	"github.com/google/uuid"
)

// chunk is the number of participants whose rows commit together.
const chunk = 1000

// wrap puts every participant's data key under the new epoch, and then destroys
// the old one.
func (r *Rotator) wrap(ctx context.Context, at *Rotation) error {
	for {
		begun := time.Now()
		keys, err := r.keysAfter(ctx, at)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			break
		}
		if err := errors.Join(r.rewrap(ctx, at, keys), r.rest(ctx, begun)); err != nil {
			return err
		}
	}
	// Nobody writes under the old epoch since the new one was taken up, so what
	// isn't there now doesn't come.
	left, err := r.left(ctx, at.To)
	if err != nil {
		return err
	}
	if left > 0 {
		return r.again(ctx, at, fmt.Errorf("%d data keys are still under epoch %d, behind the job's back; ask for the rotation again", left, at.From))
	}
	return r.destroy(ctx, at, "ok", stageScrub)
}

// left counts the data keys that would be lost with the old epoch. The row of who
// was shredded is none: it was put back, and is to be lost.
func (r *Rotator) left(ctx context.Context, to int64) (n int, err error) {
	rows, err := r.DB.Query(ctx, "SELECT participant_id FROM keyring_participant WHERE epoch <> $1", to)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return 0, err
		}
		if !r.Register.Shredded(uuid.UUID(id)) {
			n++
		}
	}
	return n, rows.Err()
}

// back tells whether the data key of somebody who was shredded is in the database,
// and raises the alarm. The row is read after the shredding is certain: a key that
// is on its way out is none that was put back.
func (r *Rotator) back(ctx context.Context, id uuid.UUID) (bool, error) {
	if !r.Register.Shredded(id) {
		return false, nil
	}
	var n int64
	if err := r.DB.QueryRow(ctx, "SELECT count(*) FROM keyring_participant WHERE participant_id = $1", []any{id[:]}, &n); err != nil || n == 0 {
		return err == nil, err
	}
	return true, r.Log.Raise(ctx, auditlog.Tampering{Table: "keyring_participant", Key: id.String(), Kind: register.KindKeyBack})
}

// again puts a rotation back to its begin, and says why.
func (r *Rotator) again(ctx context.Context, at *Rotation, why error) error {
	_, err := r.DB.Exec(ctx, "UPDATE keyring_rotation SET at = $1, done = 0 WHERE rotation_id = $2 AND stage = $3", make([]byte, 16), at.ID, at.Stage)
	return errors.Join(why, err)
}

// keysAfter are the next data keys, those that are done already among them: so a
// chunk is as long however many are.
func (r *Rotator) keysAfter(ctx context.Context, at *Rotation) ([]keyring.DataKey, error) {
	rows, err := r.DB.Query(ctx, `SELECT participant_id, key_no, epoch, wrapped FROM keyring_participant WHERE participant_id > $1
		ORDER BY participant_id LIMIT $2`, at.at, int64(chunk))
	if err != nil {
		return nil, fmt.Errorf("read the data keys: %w", err)
	}
	defer rows.Close()
	var keys []keyring.DataKey
	for rows.Next() {
		var id []byte
		var k keyring.DataKey
		if err := rows.Scan(&id, &k.No, &k.Epoch, &k.Wrapped); err != nil {
			return nil, err
		}
		k.ID = uuid.UUID(id)
		keys = append(keys, k)
	}
	return keys, rows.Err()
}

// rewrap changes rows that are as they were read: one that was shredded meanwhile
// is none, and stays so.
func (r *Rotator) rewrap(ctx context.Context, at *Rotation, keys []keyring.DataKey) error {
	var stmts []db.Stmt
	for _, k := range keys {
		if k.Epoch == at.To {
			continue
		}
		if back, err := r.back(ctx, k.ID); err != nil {
			return err
		} else if back {
			continue
		}
		again, err := r.Ring.Rewrap(k, at.To)
		if err != nil {
			return fmt.Errorf("wrap a data key anew: %w", err)
		}
		stmts = append(stmts, db.Stmt{SQL: "UPDATE keyring_participant SET epoch = $1, wrapped = $2 WHERE participant_id = $3 AND key_no = $4 AND epoch = $5",
			Args: []any{again.Epoch, again.Wrapped, again.ID[:], k.No, k.Epoch}})
	}
	next, done := keys[len(keys)-1].ID, at.Done+int64(len(keys))
	tx, err := r.DB.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := tx.Apply(ctx, stmts); err != nil {
		return fmt.Errorf("write the data keys: %w", err)
	}
	if err := place(ctx, tx, at, next[:], done); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	at.at, at.Done = next[:], done
	return nil
}

// scrub sees the old key's bytes out of the database's files, and ends the
// rotation. What was under it needs no scrubbing: nothing opens or makes it now.
func (r *Rotator) scrub(ctx context.Context, at *Rotation) error {
	if err := r.scrubKeys(ctx); err != nil {
		return fmt.Errorf("the old key is destroyed and that is recorded, but its bytes may still lie in the database's files: %w", err)
	}
	now := r.Log.Now()
	if err := stage(ctx, r.DB, at, stageEnd, now.UnixMicro()); err != nil {
		return err
	}
	at.Stage = stageEnd
	return nil
}

// scrubTries is how often it is tried while a reader holds the old bytes.
const scrubTries = 60

func (r *Rotator) scrubKeys(ctx context.Context) error {
	var err error
	for range scrubTries {
		if err = r.DB.Scrub(ctx, "keyring_key"); err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}
