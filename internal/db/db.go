// Package db runs one SQL text on two engines: SQLite, embedded, for one
// machine; and PostgreSQL (and so Citus) for more. It holds the few things that
// differ and nothing else: opening, transactions, a list of keys, many-row
// inserts, and who writes next.
//
// It promises that a statement written with $1 placeholders, BYTEA, BIGINT and
// TEXT, and without triggers or row locks, behaves alike on both. It doesn't
// promise more than read committed: statements must be correct by themselves
// (conditional updates, compare-and-swap).
package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Engine names the database behind a DB.
type Engine string

// The two engines.
const (
	SQLite     Engine = "sqlite"
	PostgreSQL Engine = "postgresql"
)

var (
	// ErrNoRows means that a QueryRow found nothing.
	ErrNoRows = errors.New("no such row")
	// ErrRefused means that a statement of Apply changed another number of
	// rows than it must: the transaction was rolled back and nothing happened.
	ErrRefused = errors.New("the row isn't in the state that the change expects")
	// ErrUnknown means that the connection broke during a commit: the
	// transaction may or may not have happened. Settle it by reading.
	ErrUnknown = errors.New("the outcome of the commit is unknown")
)

// Rows are the rows of a query; Close is safe to call more than once. An empty
// BYTEA may read back as nil, like NULL.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close()
}

// Querier is what both a DB and a Tx can do.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (Rows, error)
	QueryRow(ctx context.Context, sql string, args []any, dest ...any) error
	Exec(ctx context.Context, sql string, args ...any) (int64, error)
	Insert(ctx context.Context, into *Insert, columns ...any) error
	// In makes the condition that column is one of keys, and its arguments.
	// first is the number of its first placeholder; it must be the last
	// condition of its statement, all numbers before it used in order.
	In(column string, first int, keys [][]byte) (condition string, args []any)
}

// Stmt is one statement of an Apply.
type Stmt struct {
	SQL  string
	Args []any
	// Must is the number of rows that the statement has to change; 0 lets it
	// change any number.
	Must int64
	// Insert, when set, is a many-row insert of Args' columns in place of SQL.
	Insert *Insert
}

// DB is a database, safe for many callers.
type DB interface {
	Querier
	Engine() Engine
	// Begin starts a transaction. On SQLite it waits for its turn to write.
	Begin(ctx context.Context) (Tx, error)
	// Apply runs the statements in one transaction, in as few round trips as
	// the engine allows, ahead of others that wait to write. It returns
	// ErrRefused, ErrUnknown, or another error after which nothing happened.
	// The end of ctx ends the wait for a turn or a connection, and no more: a
	// transaction that has begun goes to its end.
	Apply(ctx context.Context, stmts []Stmt) error
	// Scrub sees to it that rows deleted from a table leave the database's
	// files, as far as the engine can; backups and archives are beyond it.
	Scrub(ctx context.Context, table string) error
	// Snapshot fixes one state of the database, to be read at leisure while
	// others go on writing.
	Snapshot(ctx context.Context) (*Snapshot, error)
	// Empty removes a table's rows, and from its files; SQLite's write-ahead log
	// keeps them until the next Scrub. On SQLite it goes by pieces along a BYTEA
	// column that leads the primary key, so that others write between them.
	// Killed half way, it can be run again.
	Empty(ctx context.Context, table, along string) error
	// Size is the database's size on disk in bytes.
	Size(ctx context.Context) (int64, error)
	// Pool is the driver's own handle, for River: *sql.DB or *pgxpool.Pool.
	Pool() any
	Close() error
}

// Tx is a transaction. Rollback after Commit does nothing.
type Tx interface {
	Querier
	Apply(ctx context.Context, stmts []Stmt) error
	Commit(ctx context.Context) error
	Rollback()
	// Handle is the driver's own transaction, for River: *sql.Tx or pgx.Tx.
	Handle() any
}

// Open opens postgres://… or the SQLite file at a path.
func Open(ctx context.Context, url string) (DB, error) {
	if strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://") {
		return openPostgres(ctx, url)
	}
	// Neither may become the name of a file: they may hold a password.
	if strings.Contains(url, "://") || strings.Contains(url, "password=") {
		return nil, fmt.Errorf("the database must be a postgres:// URL or the path of an SQLite file")
	}
	return openSQLite(ctx, url)
}

// Insert is a many-row insert. Its values are columns, not rows: each is a
// [][]byte (nil is NULL), []int64 or []string of one length.
type Insert struct {
	Table   string
	Columns []string
	// Suffix follows the values, for example ON CONFLICT DO NOTHING.
	Suffix string
}

func (i *Insert) head() string {
	return "INSERT INTO " + i.Table + " (" + strings.Join(i.Columns, ", ") + ") "
}

// length checks that the columns agree and tells how many rows they make.
func (i *Insert) length(columns []any) (int, error) {
	if len(columns) != len(i.Columns) {
		return 0, fmt.Errorf("insert into %s: %d columns for %d names", i.Table, len(columns), len(i.Columns))
	}
	n := -1
	for c, column := range columns {
		var l int
		switch v := column.(type) {
		case [][]byte:
			l = len(v)
		case []int64:
			l = len(v)
		case []string:
			l = len(v)
		default:
			return 0, fmt.Errorf("insert into %s: column %s is %T", i.Table, i.Columns[c], column)
		}
		if n >= 0 && l != n {
			return 0, fmt.Errorf("insert into %s: column %s has %d rows, not %d", i.Table, i.Columns[c], l, n)
		}
		n = l
	}
	return n, nil
}

// cell is row r of a column.
func cell(column any, r int) any {
	switch v := column.(type) {
	case [][]byte:
		if v[r] == nil {
			return nil
		}
		return v[r]
	case []int64:
		return v[r]
	default:
		return column.([]string)[r]
	}
}
