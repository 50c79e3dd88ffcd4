package db

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// copyFrom is the number of rows from which COPY is worth its round trips.
const copyFrom = 512

// planning settles how statements are planned. All of ours look rows up by a
// key's order; before the statistics of a fresh import are there, the planner
// would read whole tables instead, and each custom plan would cost more than the
// look-up itself.
var planning = map[string]string{
	"application_name": "azekura", "plan_cache_mode": "force_generic_plan", "jit": "off",
	"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
	"max_parallel_workers_per_gather": "0",
}

type postgresDB struct {
	pgQuerier
	pool *pgxpool.Pool
	// begun bounds the transactions that are open, so that they never hold all
	// of the pool's connections: those who hold one wait for the log's
	// sequencer, and the sequencer needs one.
	begun chan struct{}
}

// spare is how many connections transactions leave to others.
const spare = 2

func openPostgres(ctx context.Context, url string) (DB, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		// pgx's error may repeat the URL's password.
		return nil, errors.New("the database's URL can't be read; it must look like postgres://user@host:port/name")
	}
	for name, value := range planning {
		config.ConnConfig.RuntimeParams[name] = value
	}
	config.MaxConns = max(config.MaxConns, spare+2)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return &postgresDB{pgQuerier: pgQuerier{pool}, pool: pool, begun: make(chan struct{}, config.MaxConns-spare)}, nil
}

func (d *postgresDB) Engine() Engine { return PostgreSQL }
func (d *postgresDB) Pool() any      { return d.pool }
func (d *postgresDB) Close() error   { d.pool.Close(); return nil }

func (d *postgresDB) Size(ctx context.Context) (size int64, err error) {
	err = d.QueryRow(ctx, "SELECT pg_database_size(current_database())", nil, &size)
	return size, err
}

// wholeTable is the size up to which Scrub writes a table anew, in bytes: a
// second or so, during which others wait for it.
const wholeTable = 256 << 20

const (
	lockNotAvailable = "55P03"
	scrubLockWait    = "SET lock_timeout = '3s'"
)

// Scrub writes a small table anew: VACUUM alone frees a dead row's place and
// leaves its bytes there until another row takes it. A large table, or one that
// somebody holds, is vacuumed, and the error says what is left. The write-ahead
// log keeps the bytes until it is recycled.
func (d *postgresDB) Scrub(ctx context.Context, table string) error {
	name := pgx.Identifier{table}.Sanitize()
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	var size int64
	var mine bool
	err = conn.QueryRow(ctx, `SELECT pg_relation_size(oid), pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = $1::text::regclass`, name).Scan(&size, &mine)
	if err != nil {
		return err
	}
	if !mine { // VACUUM would pass over it with a warning that nobody hears
		return fmt.Errorf("table %s belongs to another role, so its dead rows stay in its files; run azekura migrate as the tables' owner, then VACUUM FULL %s", table, name)
	}
	if size <= wholeTable {
		if _, err := conn.Exec(ctx, scrubLockWait); err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "VACUUM FULL "+name)
		_, reset := conn.Exec(context.WithoutCancel(ctx), "RESET lock_timeout")
		var refused *pgconn.PgError
		if err == nil || !errors.As(err, &refused) || refused.Code != lockNotAvailable {
			return errors.Join(err, reset)
		}
	}
	if _, err := conn.Exec(ctx, "VACUUM "+name); err != nil {
		return err
	}
	return fmt.Errorf("the deleted row's place in table %s is free, and its bytes stay there until another row takes it; VACUUM FULL %s, when the table may be locked, takes them away", table, name)
}

// Empty gives the table new, empty files; the old ones are deleted.
func (d *postgresDB) Empty(ctx context.Context, table, _ string) error {
	_, err := d.pool.Exec(ctx, "TRUNCATE "+pgx.Identifier{table}.Sanitize())
	return err
}

func (d *postgresDB) Begin(ctx context.Context) (Tx, error) {
	select {
	case d.begun <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	tx, err := d.pool.Begin(ctx)
	if err != nil {
		<-d.begun
		return nil, err
	}
	return &postgresTx{pgQuerier: pgQuerier{tx}, tx: tx, db: d}, nil
}

// Apply is one round trip: statements sent without a BEGIN up to one Sync are a
// transaction, which the Sync commits (the protocol's pipelining). A statement
// that changes another number of rows than it must fails, and so fails them all.
func (d *postgresDB) Apply(ctx context.Context, stmts []Stmt) error {
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	batch, err := batchOf(stmts, true)
	if err != nil {
		return err
	}
	// What each must change is checked by the server.
	err = run(context.WithoutCancel(ctx), conn.SendBatch, batch, make([]int64, len(stmts)))
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == divisionByZero {
		return ErrRefused
	}
	if err != nil {
		return commitError(err)
	}
	return nil
}

const divisionByZero = "22012"

// batchOf queues statements for one round trip. A guarded one divides by zero
// where the number of its rows isn't what it must be.
func batchOf(stmts []Stmt, guarded bool) (*pgx.Batch, error) {
	batch := &pgx.Batch{}
	for _, s := range stmts {
		sql := s.SQL
		if s.Insert != nil {
			if _, err := s.Insert.length(s.Args); err != nil {
				return nil, err
			}
			sql = s.Insert.unnest(s.Args)
		}
		if guarded && s.Must != 0 {
			sql = "WITH changed AS (" + sql + " RETURNING 1) SELECT 1 / (count(*) = " + strconv.FormatInt(s.Must, 10) + ")::int FROM changed"
		}
		batch.Queue(sql, s.Args...)
	}
	return batch, nil
}

// run sends a batch and checks what each statement changed; 0 is any number.
func run(ctx context.Context, send func(context.Context, *pgx.Batch) pgx.BatchResults, batch *pgx.Batch, must []int64) error {
	results := send(ctx, batch)
	defer results.Close()
	for _, n := range must {
		tag, err := results.Exec()
		if err != nil {
			return err
		}
		if n != 0 && tag.RowsAffected() != n {
			return ErrRefused
		}
	}
	return results.Close()
}

// commitError tells a commit that the server refused from one whose answer
// never came. A server that gives up altogether (FATAL, PANIC) may have written
// the commit before.
func commitError(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.SeverityUnlocalized == "ERROR" {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}

func (i *Insert) unnest(columns []any) string {
	sql := i.head() + "SELECT * FROM unnest("
	for c, column := range columns {
		if c > 0 {
			sql += ", "
		}
		sql += "$" + strconv.Itoa(c+1) + "::" + arrayType(column)
	}
	return sql + ") " + i.Suffix
}

func arrayType(column any) string {
	switch column.(type) {
	case [][]byte:
		return "bytea[]"
	case []int64:
		return "bigint[]"
	default:
		return "text[]"
	}
}

type postgresTx struct {
	pgQuerier
	tx    pgx.Tx
	db    *postgresDB
	ended bool
}

// end lets the next transaction begin; this one's connection is free by then.
func (t *postgresTx) end() {
	if !t.ended {
		t.ended = true
		<-t.db.begun
	}
}

func (t *postgresTx) Handle() any { return t.tx }

func (t *postgresTx) Apply(ctx context.Context, stmts []Stmt) error {
	batch, err := batchOf(stmts, false)
	if err != nil {
		return err
	}
	must := make([]int64, len(stmts))
	for i, s := range stmts {
		must[i] = s.Must
	}
	return run(ctx, t.tx.SendBatch, batch, must)
}

func (t *postgresTx) Commit(ctx context.Context) error {
	defer t.end()
	if err := t.tx.Commit(ctx); err != nil {
		if errors.Is(err, pgx.ErrTxClosed) || errors.Is(err, pgx.ErrTxCommitRollback) {
			return err
		}
		return commitError(err)
	}
	return nil
}

func (t *postgresTx) Rollback() {
	defer t.end()
	// A rollback that fails has lost its connection, and its transaction too.
	_ = t.tx.Rollback(context.Background())
}

// pgQuerier is what a pool and a transaction share.
type pgQuerier struct {
	q interface {
		Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
		Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
		CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error)
	}
}

func (p pgQuerier) Query(ctx context.Context, sql string, args ...any) (Rows, error) {
	rows, err := p.q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (p pgQuerier) QueryRow(ctx context.Context, sql string, args []any, dest ...any) error {
	rows, err := p.Query(ctx, sql, args...)
	return scanOne(rows, err, dest)
}

func (p pgQuerier) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	tag, err := p.q.Exec(ctx, sql, args...)
	return tag.RowsAffected(), err
}

func (p pgQuerier) Insert(ctx context.Context, into *Insert, columns ...any) error {
	rows, err := into.length(columns)
	if err != nil || rows == 0 {
		return err
	}
	if rows < copyFrom || into.Suffix != "" {
		_, err = p.q.Exec(ctx, into.unnest(columns), columns...)
		return err
	}
	row := make([]any, len(columns))
	at := -1
	_, err = p.q.CopyFrom(ctx, pgx.Identifier{into.Table}, into.Columns, pgx.CopyFromFunc(func() ([]any, error) {
		if at++; at >= rows {
			return nil, nil
		}
		for c, column := range columns {
			row[c] = cell(column, at)
		}
		return row, nil
	}))
	return err
}

func (p pgQuerier) In(column string, first int, keys [][]byte) (string, []any) {
	return column + " = ANY($" + strconv.Itoa(first) + "::bytea[])", []any{keys}
}
