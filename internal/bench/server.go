package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"azekura/internal/pgtest"

	"github.com/jackc/pgx/v5"
)

// clusterSettings are PostgreSQL's own advice on memory for a machine of 4 GB,
// and a max_wal_size that keeps checkpoints out of runs of some seconds. All else
// is PostgreSQL's default, but for pgtest's addresses, and commits are durable:
// fsync, synchronous_commit and full_page_writes are on.
var clusterSettings = map[string]string{"shared_buffers": "1GB", "max_wal_size": "8GB"}

// server is the throw-away PostgreSQL of this run, with pgbench's tables in it.
type server struct {
	cluster *pgtest.Cluster
	pid     int
	lasts   time.Duration
}

const pgbenchDB = "pgbench"

// postgres starts the server when it is first needed.
func (b *bench) postgres(ctx context.Context) (*server, error) {
	if b.server != nil {
		return b.server, nil
	}
	b.say("starting PostgreSQL")
	c, err := pgtest.Start(pgtest.Options{Dir: b.dir, Sync: true, Settings: clusterSettings})
	if err != nil {
		return nil, err
	}
	b.server = &server{cluster: c, lasts: b.scale.Lasts}
	line, _, _ := strings.Cut(slurp(filepath.Join(c.Dir(), "data", "postmaster.pid")), "\n")
	if b.server.pid, err = strconv.Atoi(line); err != nil {
		return nil, fmt.Errorf("PostgreSQL's process id: %w", err)
	}
	if err := c.CreateDB(pgbenchDB); err != nil {
		return nil, err
	}
	if _, err := b.server.pgbench(ctx, "-i", "-q", "-s", strconv.Itoa(b.scale.Pgbench)); err != nil {
		return nil, err
	}
	return b.server, b.server.sql(ctx, pgbenchDB, "SHOW server_version", &b.machine.PostgreSQL)
}

// sql runs one statement as itself, without Azekura's settings; a row, where
// dest are given.
func (s *server) sql(ctx context.Context, database, sql string, dest ...any) error {
	conn, err := pgx.Connect(ctx, s.cluster.URL(database))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if len(dest) > 0 {
		return conn.QueryRow(ctx, sql).Scan(dest...)
	}
	_, err = conn.Exec(ctx, sql)
	return err
}

// copyFile loads a CSV file into a table with nothing but its columns, and
// returns how long that took.
func (s *server) copyFile(ctx context.Context, path string, columns []string) (time.Duration, error) {
	conn, err := pgx.Connect(ctx, s.cluster.URL(pgbenchDB))
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	table := "CREATE TABLE raw_people (" + strings.Join(columns, " text, ") + " text)"
	if _, err := conn.Exec(ctx, table); err != nil {
		return 0, err
	}
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	began := time.Now()
	if _, err := conn.PgConn().CopyFrom(ctx, f, "COPY raw_people FROM STDIN WITH (FORMAT csv, HEADER)"); err != nil {
		return 0, err
	}
	took := time.Since(began)
	_, err = conn.Exec(ctx, "DROP TABLE raw_people")
	return took, err
}

var tps = regexp.MustCompile(`tps = ([0-9.]+)`)

// transactions is pgbench's rate with so many clients: its script is -S for
// single-row selects or -N for its simple update and insert.
func (s *server) transactions(ctx context.Context, script string, clients int, more ...string) (float64, error) {
	length := []string{"-T", strconv.Itoa(int(s.lasts.Seconds()))}
	if s.lasts < time.Second { // less than pgbench can be told
		length = []string{"-t", "10"}
	}
	args := []string{"-n", script, "-c", strconv.Itoa(clients), "-j", strconv.Itoa(min(clients, runtime.NumCPU()))}
	out, err := s.pgbench(ctx, slices.Concat(args, length, more)...)
	if err != nil {
		return 0, err
	}
	found := tps.FindSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("pgbench said no rate:\n%s", out)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

func (s *server) pgbench(ctx context.Context, args ...string) ([]byte, error) {
	u, err := url.Parse(s.cluster.URL(pgbenchDB))
	if err != nil {
		return nil, err
	}
	password, _ := u.User.Password()
	cmd := exec.CommandContext(ctx, filepath.Join(s.cluster.BinDir(), "pgbench"), args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PGHOST="+u.Hostname(), "PGPORT="+u.Port(), "PGUSER="+u.User.Username(),
		"PGPASSWORD="+password, "PGDATABASE="+pgbenchDB, "PGSSLMODE=disable")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("pgbench %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return out, nil
}
