package installation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"azekura/auditlog"
)

// importJob begins the job of an import's set events; its name follows.
const importJob = "import "

// wrote is how many participants an import wrote, by the log, and the last event
// that says so.
type wrote struct{ event, count int64 }

// judge holds every event of the log that changed the register against what the
// register has. The log knows that something was changed, and not what to: that
// has to be done again. It looks at the whole log, so that a refill which was cut
// off and run again says as much as one that wasn't.
func (r *refill) judge(ctx context.Context, logID int64) error {
	rows, err := r.db.Query(ctx, "SELECT line FROM log_event WHERE log_id = $1 AND action IN ($2, $3, $4) ORDER BY idx",
		logID, int64(auditlog.Change), int64(auditlog.Set), int64(auditlog.Shred))
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
			err = r.judgeOne(ctx, &e)
		}
		if err != nil {
			return fmt.Errorf("compare an event with the register: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return r.judgeImports(ctx)
}

func (r *refill) judgeOne(ctx context.Context, e *auditlog.Event) (err error) {
	var n int64
	switch {
	case e.Action == auditlog.Change && e.Outcome == "ok" && len(e.Fields) > 0:
		version := e.Fields[0].Version // all that a change sets, it sets in one version
		err = r.db.QueryRow(ctx, "SELECT count(*) FROM register_version WHERE participant_id = $1 AND version = $2", []any{e.Participant[:], version}, &n)
		if n == 0 {
			r.lose(e, fmt.Sprintf("version %d of participant %s isn't in the register: make the change again", version, e.Participant))
		}
	case e.Action == auditlog.Shred && e.Outcome == "ok":
		err = r.db.QueryRow(ctx, "SELECT count(*) FROM keyring_participant WHERE participant_id = $1", []any{e.Participant[:]}, &n)
		if n > 0 {
			r.lose(e, fmt.Sprintf("the data key of participant %s is back: destroy it again", e.Participant))
		}
	case e.Set != nil && !e.Set.Opens && strings.HasPrefix(e.Set.Job, importJob):
		r.imports[e.Set.Job] = wrote{e.Index, r.imports[e.Set.Job].count + e.Set.Count}
	}
	return err
}

func (r *refill) lose(e *auditlog.Event, what string) {
	r.lost = append(r.lost, LostChange{Event: e.Index, Action: e.Action.String(), What: what})
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
			r.lose(&auditlog.Event{Index: w.event, Action: auditlog.Set},
				fmt.Sprintf("%d of the %d participants that the import %s wrote aren't in the register: run it again", w.count-have, w.count, name))
		}
	}
	slices.SortFunc(r.lost, func(a, b LostChange) int { return int(a.Event - b.Event) })
	return nil
}
