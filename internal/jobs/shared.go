package jobs

import (
	"context"
	"database/sql"
	"fmt"

	"azekura/internal/db"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
)

// Join is Start for a database that several processes work on at once, and that is
// no installation's: what runs there may be another's work, so none of it is taken up.
// Whoever waits for a job queues it anew when its worker is silent. Each process does
// one job at a time.
func Join(ctx context.Context, d db.DB, workers *river.Workers, guard Guard, tell func(error)) (*Runner, error) {
	if err := Migrate(ctx, d); err != nil {
		return nil, err
	}
	switch pool := d.Pool().(type) {
	case *pgxpool.Pool:
		return join[pgx.Tx](ctx, riverpgxv5.New(pool), workers, guard, tell)
	case *sql.DB:
		return join[*sql.Tx](ctx, riversqlite.New(pool), workers, guard, tell)
	default:
		return nil, fmt.Errorf("no job engine for %s", d.Engine())
	}
}

func join[Tx any](ctx context.Context, driver riverdriver.Driver[Tx], workers *river.Workers, guard Guard, tell func(error)) (*Runner, error) {
	working, told := &atWork{}, newSaid(tell)
	c := config(workers, working, guard, told)
	c.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 1}}
	return run(ctx, driver, c, working, told)
}

// waiting tells whether a job is still to be begun.
const waiting = "SELECT count(*) FROM river_job WHERE id = $1 AND state IN ('available', 'pending', 'retryable', 'scheduled')"

// Waiting tells whether a job waits for somebody to do it. One that doesn't is being
// done, or nobody will do it any more.
func Waiting(ctx context.Context, d db.DB, id int64) (bool, error) {
	var n int64
	if err := d.QueryRow(ctx, waiting, []any{id}, &n); err != nil {
		return false, fmt.Errorf("look at a job: %w", err)
	}
	return n > 0, nil
}

// InsertID queues a job and returns its number.
func (r *Runner) InsertID(ctx context.Context, args river.JobArgs) (int64, error) {
	id, err := r.insert(ctx, args)
	if err != nil {
		return 0, fmt.Errorf("queue the job: %w", err)
	}
	return id, nil
}
