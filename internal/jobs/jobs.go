// Package jobs runs long jobs on River, on either database. A job survives the
// process: it is a row, and its steps are idempotent, so that a job that was
// killed is run again and goes on where it was.
//
// It promises no more than that a job is run until it succeeds or gives up; what
// "where it was" means is each job's own business.
package jobs

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"time"

	"azekura/internal/db"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
)

// Runner runs the jobs of one installation in this process.
type Runner struct {
	insert func(ctx context.Context, args river.JobArgs) (id int64, err error)
	daily  func(job *river.PeriodicJob) error
	stop   func(ctx context.Context) error
	atWork *atWork
	// patience is how long Stop waits for the engine, once no job runs.
	patience time.Duration
}

// Start prepares River's tables and starts working. tell hears of jobs that fail,
// and of the engine's own troubles.
func Start(ctx context.Context, d db.DB, workers *river.Workers, guard Guard, tell func(error)) (*Runner, error) {
	if err := Migrate(ctx, d); err != nil {
		return nil, err
	}
	switch pool := d.Pool().(type) {
	case *pgxpool.Pool:
		return start[pgx.Tx](ctx, d, riverpgxv5.New(pool), workers, guard, tell)
	case *sql.DB:
		return start[*sql.Tx](ctx, d, riversqlite.New(pool), workers, guard, tell)
	default:
		return nil, fmt.Errorf("no job engine for %s", d.Engine())
	}
}

// unfinished hands on the jobs that a process was at when it died. One process
// at a time holds an installation, so whatever is running before it starts isn't;
// River would wait an hour to be sure. Being killed is no failed attempt.
const unfinished = "UPDATE river_job SET state = 'available', attempt = attempt - 1 WHERE state = 'running' AND attempt > 0"

// grants are what the application's role needs of River's tables.
var grants = map[string]string{
	"river_job": "SELECT, INSERT, UPDATE, DELETE", "river_job_id_seq": "SELECT, USAGE", "river_leader": "SELECT, INSERT, UPDATE, DELETE",
	"river_queue": "SELECT, INSERT, UPDATE, DELETE", "river_client": "SELECT, INSERT, UPDATE, DELETE",
	"river_client_queue": "SELECT, INSERT, UPDATE, DELETE", "river_migration": "SELECT",
}

// Migrate makes River's tables, and grants the application's role what it needs
// of them. Start does it too, where the tables aren't those of this version.
func Migrate(ctx context.Context, d db.DB) error {
	switch pool := d.Pool().(type) {
	case *pgxpool.Pool:
		if err := migrate[pgx.Tx](ctx, riverpgxv5.New(pool)); err != nil {
			return err
		}
		return db.Grant(ctx, d, grants)
	case *sql.DB:
		return migrate[*sql.Tx](ctx, riversqlite.New(pool))
	default:
		return fmt.Errorf("no job engine for %s", d.Engine())
	}
}

// migrate changes nothing, and needs no right to, where all is in place.
func migrate[Tx any](ctx context.Context, driver riverdriver.Driver[Tx]) error {
	// What goes wrong it returns; the rest is how far it is.
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("prepare the job engine: %w", err)
	}
	if state, err := migrator.Validate(ctx); err != nil || state.OK {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("prepare the job engine's tables: %w", err)
	}
	return nil
}

func start[Tx any](ctx context.Context, d db.DB, driver riverdriver.Driver[Tx], workers *river.Workers, guard Guard, tell func(error)) (*Runner, error) {
	if _, err := d.Exec(ctx, unfinished); err != nil {
		return nil, fmt.Errorf("take up the jobs of the process before: %w", err)
	}
	working, told := &atWork{}, newSaid(tell)
	return run(ctx, driver, config(workers, working, guard, told), working, told)
}

func run[Tx any](ctx context.Context, driver riverdriver.Driver[Tx], c *river.Config, working *atWork, told *said) (*Runner, error) {
	client, err := river.NewClient(driver, c)
	if err != nil {
		return nil, fmt.Errorf("prepare the job engine: %w", err)
	}
	if err := client.Start(ctx); err != nil {
		return nil, fmt.Errorf("start the job engine: %w", err)
	}
	return &Runner{
		insert: func(ctx context.Context, args river.JobArgs) (int64, error) {
			inserted, err := client.Insert(ctx, args, &river.InsertOpts{MaxAttempts: 3})
			if err != nil {
				return 0, err
			}
			return inserted.Job.ID, nil
		},
		daily: func(job *river.PeriodicJob) error {
			_, err := client.PeriodicJobs().AddSafely(job)
			return err
		},
		stop: func(ctx context.Context) error {
			told.end()
			return client.StopAndCancel(ctx)
		},
		atWork:   working,
		patience: patience,
	}, nil
}

func config(workers *river.Workers, working *atWork, guard Guard, told *said) *river.Config {
	return &river.Config{
		Queues:     map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2}},
		Workers:    workers,
		Middleware: []rivertype.Middleware{working, told, &guarding{Guard: guard}},
		// A long job ends when it is done; a dead process's jobs are taken up again.
		JobTimeout:           -1,
		RescueStuckJobsAfter: time.Hour,
		FetchPollInterval:    500 * time.Millisecond,
		Logger:               slog.New(told),
		// Each midnight it would rebuild the indexes of a table that holds some tens of
		// rows, for which the application's role has no right.
		ReindexerSchedule: river.NeverSchedule(),
	}
}

// Insert queues a job.
func (r *Runner) Insert(ctx context.Context, args river.JobArgs) error {
	_, err := r.InsertID(ctx, args)
	return err
}

// Daily queues a job at each of a schedule's moments, and at the start. due says
// with what arguments, or nil where there is nothing to do.
func (r *Runner) Daily(name string, at river.PeriodicSchedule, due func() river.JobArgs) error {
	err := r.daily(river.NewPeriodicJob(at, func() (river.JobArgs, *river.InsertOpts) {
		return due(), &river.InsertOpts{MaxAttempts: 3}
	}, &river.PeriodicJobOpts{ID: name, RunOnStart: true}))
	if err != nil {
		return fmt.Errorf("prepare the daily job %s: %w", name, err)
	}
	return nil
}
