package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"

	"azekura/internal/db"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
)

// Job is a job as it is carried from one database to another.
type Job struct {
	Kind     string          `json:"kind"`
	Args     json.RawMessage `json:"args"`
	Queue    string          `json:"queue"`
	Priority int64           `json:"priority"`
}

// unfinishedJobs are those that were running or waiting. The engines keep JSON
// in forms of their own.
func unfinishedJobs(engine db.Engine) string {
	args := "args::text"
	if engine == db.SQLite {
		args = "json(args)"
	}
	return "SELECT kind, " + args + ", queue, priority FROM river_job" +
		" WHERE state IN ('available', 'running', 'pending', 'retryable', 'scheduled') ORDER BY id"
}

// Unfinished lists the jobs that are still to be done.
func Unfinished(ctx context.Context, q db.Querier, engine db.Engine) ([]Job, error) {
	rows, err := q.Query(ctx, unfinishedJobs(engine))
	if err != nil {
		return nil, fmt.Errorf("read the jobs: %w", err)
	}
	defer rows.Close()
	var list []Job
	for rows.Next() {
		var job Job
		var args string
		if err := rows.Scan(&job.Kind, &args, &job.Queue, &job.Priority); err != nil {
			return nil, fmt.Errorf("read the jobs: %w", err)
		}
		job.Args = json.RawMessage(args)
		list = append(list, job)
	}
	return list, rows.Err()
}

// carried is a job's arguments as they were stored.
type carried struct {
	kind string
	args json.RawMessage
}

// Kind names the job.
func (c carried) Kind() string { return c.kind }

// MarshalJSON is how the arguments were stored.
func (c carried) MarshalJSON() ([]byte, error) { return c.args, nil }

// Queue puts jobs into a database that nobody works on yet; each is run from its
// start, when an installation is opened on it.
func Queue(ctx context.Context, d db.DB, list []Job) error {
	switch pool := d.Pool().(type) {
	case *pgxpool.Pool:
		return queue[pgx.Tx](ctx, riverpgxv5.New(pool), list)
	case *sql.DB:
		return queue[*sql.Tx](ctx, riversqlite.New(pool), list)
	default:
		return fmt.Errorf("no job engine for %s", d.Engine())
	}
}

func queue[Tx any](ctx context.Context, driver riverdriver.Driver[Tx], list []Job) error {
	if err := migrate(ctx, driver); err != nil {
		return err
	}
	// It isn't started, and returns what goes wrong.
	client, err := river.NewClient(driver, &river.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("prepare the job engine: %w", err)
	}
	for len(list) > 0 {
		n := min(len(list), 500)
		params := make([]river.InsertManyParams, n)
		for i, job := range list[:n] {
			params[i] = river.InsertManyParams{Args: carried{job.Kind, job.Args},
				InsertOpts: &river.InsertOpts{MaxAttempts: 3, Queue: job.Queue, Priority: int(job.Priority)}}
		}
		if _, err := client.InsertMany(ctx, params); err != nil {
			return fmt.Errorf("queue the jobs: %w", err)
		}
		list = list[n:]
	}
	return nil
}
