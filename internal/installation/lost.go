package installation

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/keyring"
	keyrotation "azekura/keyring/rotation"
	"azekura/register"
)

// importJob begins the job of an import's set events; its name follows.
const importJob = "import "

// wrote is how many participants an import wrote, by the log, and the last event
// that says so.
type wrote struct{ log, event, count int64 }

// judge holds every event of the log that changed the register against what the
// register has. The log knows that something was changed, and not what to: that
// has to be done again. It looks at all of the log, and of those before it, so that a refill which was cut
// off and run again says as much as one that wasn't.
func (r *refill) judge(ctx context.Context) error {
	var back []auditlog.Event
	rows, err := r.db.Query(ctx, "SELECT line FROM log_event WHERE action IN ($1, $2, $3, $4) ORDER BY log_id, idx",
		int64(auditlog.Change), int64(auditlog.Set), int64(auditlog.Shred), int64(auditlog.System))
	if err != nil {
		return fmt.Errorf("read the log's changes: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var line []byte
		if err := rows.Scan(&line); err != nil {
			return err
		}
		e, err := auditlog.ParseLine(line)
		if err == nil { // else log verify names it
			var keyBack bool
			if keyBack, err = r.judgeOne(ctx, &e); keyBack {
				back = append(back, e)
			}
		}
		if err != nil {
			return fmt.Errorf("compare an event with the register: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close()
	if err := r.shredAgain(ctx, back); err != nil {
		return fmt.Errorf("destroy a data key that the backup brought back: %w", err)
	}
	return errors.Join(r.judgeImports(ctx), r.judgeKeys(ctx))
}

// judgeKeys holds the stored keys against the log: an older backup has the keys of
// its time, with what is under them.
func (r *refill) judgeKeys(ctx context.Context) (err error) {
	var last auditlog.Event
	if r.stored, last, err = otherKeys(ctx, r.db); r.stored != nil {
		r.lose(&last, "the keys are those of the backup: change the data and the index key again")
	}
	return err
}

// otherKeys are the stored keys where those aren't the ones of which the log tells,
// and the last of its events about a rotation.
func otherKeys(ctx context.Context, d db.DB) (stored *keyrotation.Epochs, last auditlog.Event, err error) {
	rows, err := d.Query(ctx, "SELECT line FROM log_event WHERE action = $1 ORDER BY log_id, idx", int64(auditlog.System))
	if err != nil {
		return nil, last, fmt.Errorf("read the keys' rotations: %w", err)
	}
	defer rows.Close()
	var told keyrotation.History
	for rows.Next() {
		var line []byte
		if err := rows.Scan(&line); err != nil {
			return nil, last, err
		}
		e, err := auditlog.ParseLine(line)
		if err != nil {
			continue // log verify names it
		}
		if err := told.Replay(e); err != nil {
			return nil, last, err
		}
		if strings.HasPrefix(e.Purpose, "rotate-") {
			last = e
		}
	}
	if err := rows.Err(); err != nil {
		return nil, last, err
	}
	rows.Close()
	infos, err := keyring.Keys(ctx, d)
	return told.Differs(infos), last, err
}

// shredAgain destroys the data keys that the log says were destroyed, and the
// tokens with them: nobody else may touch who was shredded.
func (r *refill) shredAgain(ctx context.Context, back []auditlog.Event) error {
	for _, e := range back {
		tx, err := r.db.Begin(ctx)
		if err != nil {
			return err
		}
		for _, table := range []string{"register_index_0", "register_index_1", "keyring_participant"} {
			if _, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE participant_id = $1", e.Participant[:]); err != nil {
				tx.Rollback()
				return err
			}
		}
		if err := tx.Commit(ctx); err != nil {
			return err
		}
		r.lose(&e, fmt.Sprintf("the data key of participant %s was back; it is destroyed again", e.Participant))
	}
	if len(back) == 0 {
		return nil
	}
	return r.db.Scrub(ctx, "keyring_participant")
}

func (r *refill) judgeOne(ctx context.Context, e *auditlog.Event) (keyBack bool, err error) {
	var n int64
	switch {
	case e.Action == auditlog.Change && e.Outcome == "ok" && len(e.Fields) > 0:
		version := e.Fields[0].Version // all that a change sets, it sets in one version
		err = r.db.QueryRow(ctx, "SELECT count(*) FROM register_version WHERE participant_id = $1 AND version = $2", []any{e.Participant[:], version}, &n)
		if n == 0 {
			r.lose(e, fmt.Sprintf("version %d of participant %s isn't in the register: make the change again", version, e.Participant))
			r.gone.Changes = append(r.gone.Changes, register.LostVersion{Participant: e.Participant, Version: version, Event: e.Index})
		}
	case e.Action == auditlog.Shred && e.Outcome == "ok":
		err = r.db.QueryRow(ctx, "SELECT count(*) FROM keyring_participant WHERE participant_id = $1", []any{e.Participant[:]}, &n)
		keyBack = n > 0
	case e.Action == auditlog.System && e.Purpose == register.Refill:
		err = r.recorded(e)
	case e.Set != nil && !e.Set.Opens && strings.HasPrefix(e.Set.Job, importJob):
		r.imports[e.Set.Job] = wrote{e.Log, e.Index, r.imports[e.Set.Job].count + e.Set.Count}
	}
	return keyBack, err
}

// recorded takes away what an earlier refill's event names already.
func (r *refill) recorded(e *auditlog.Event) error {
	var says register.Lost
	if err := json.Unmarshal(e.Detail, &says); err != nil {
		return err
	}
	named := map[register.LostVersion]bool{}
	for _, c := range says.Changes {
		named[c] = true
	}
	r.gone.Changes = slices.DeleteFunc(r.gone.Changes, func(c register.LostVersion) bool { return named[c] })
	r.named = append(r.named, says.Imports...)
	return nil
}

func (r *refill) lose(e *auditlog.Event, what string) {
	r.lost = append(r.lost, LostChange{Log: e.Log, Event: e.Index, Action: e.Action.String(), What: what})
}

// judgeImports compares how many participants the imports wrote, by the log, with
// how many versions of theirs the register holds.
func (r *refill) judgeImports(ctx context.Context) error {
	for _, job := range slices.Sorted(maps.Keys(r.imports)) {
		w := r.imports[job]
		name := strings.TrimPrefix(job, importJob)
		id, err := strconv.ParseInt(name, 16, 64)
		if err != nil {
			continue // no import of this program's
		}
		var have int64
		if err := r.db.QueryRow(ctx, "SELECT count(DISTINCT participant_id) FROM register_version WHERE job = $1", []any{id}, &have); err != nil {
			return fmt.Errorf("compare an import with the register: %w", err)
		}
		if have < w.count {
			r.lose(&auditlog.Event{Log: w.log, Index: w.event, Action: auditlog.Set},
				fmt.Sprintf("%d of the %d participants that the import %s wrote aren't in the register: run it again", w.count-have, w.count, name))
			if !slices.Contains(r.named, id) {
				r.gone.Imports = append(r.gone.Imports, id)
			}
		}
	}
	slices.SortFunc(r.lost, func(a, b LostChange) int { return cmp.Or(cmp.Compare(a.Log, b.Log), cmp.Compare(a.Event, b.Event)) })
	return nil
}
