package db

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Snapshot is one committed state of the database: all that is read through it
// belongs to one moment. It has a connection of its own, for one reader at a
// time. While it is open PostgreSQL keeps the rows that died meanwhile, and
// SQLite's write-ahead log grows: close it soon.
type Snapshot struct {
	Querier
	engine Engine
	close  func() error
}

// Engine is that of the database.
func (s *Snapshot) Engine() Engine { return s.engine }

// Close lets the snapshot go.
func (s *Snapshot) Close() error { return s.close() }

// ColumnType is what both engines have a type for.
type ColumnType string

// The types. Other is for tables that aren't ours.
const (
	Int   ColumnType = "int"
	Bytes ColumnType = "bytes"
	Text  ColumnType = "text"
	Other ColumnType = "other"
)

// Column is a column of a table.
type Column struct {
	Name string     `json:"name"`
	Type ColumnType `json:"type"`
	Null bool       `json:"null,omitempty"` // whether it may be NULL
}

// Table is a table as the database's catalog knows it.
type Table struct {
	Name    string   `json:"name"`
	Columns []Column `json:"columns"`
}

const sqliteColumns = `SELECT m.name, c.name, c.type, c."notnull" FROM sqlite_master m JOIN pragma_table_info(m.name) c
	WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY m.name, c.cid`

// Asked of the catalog and not of information_schema, which leaves out what the
// role may not read: a missing right must be an error, not a missing table.
const postgresColumns = `SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL), a.attnotnull::int::bigint
	FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace ORDER BY c.relname, a.attnum`

// Tables are the tables of a database by name.
func Tables(ctx context.Context, q Querier, engine Engine) ([]Table, error) {
	query := postgresColumns
	if engine == SQLite {
		query = sqliteColumns
	}
	rows, err := q.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	defer rows.Close()
	found := map[string]*Table{}
	for rows.Next() {
		var table, column, kind string
		var notNull int64
		if err := rows.Scan(&table, &column, &kind, &notNull); err != nil {
			return nil, fmt.Errorf("list the tables: %w", err)
		}
		if found[table] == nil {
			found[table] = &Table{Name: table}
		}
		found[table].Columns = append(found[table].Columns, Column{column, columnType(kind), notNull == 0})
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	list := make([]Table, 0, len(found))
	for _, t := range found {
		list = append(list, *t)
	}
	// In Go's order: the engines' collations differ.
	slices.SortFunc(list, func(a, b Table) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

func columnType(declared string) ColumnType {
	switch declared {
	case "BIGINT", "bigint":
		return Int
	case "BYTEA", "bytea":
		return Bytes
	case "TEXT", "text":
		return Text
	}
	return Other
}

// Snapshot holds a read transaction of the write-ahead log.
func (d *sqliteDB) Snapshot(ctx context.Context) (*Snapshot, error) {
	one, err := sqlitePool(d.path, 1, pageCacheKiB/8, "query_only(1)")
	if err != nil {
		return nil, err
	}
	conn, err := one.Conn(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a snapshot: %w", err), one.Close())
	}
	r := &sqliteReader{pool{db: one, via: conn, stmts: map[string]*sql.Stmt{}}}
	tx, err := conn.BeginTx(context.WithoutCancel(ctx), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a snapshot: %w", err), r.close())
	}
	end := func() error { return errors.Join(tx.Rollback(), r.close()) }
	var tables int64 // the first read fixes the state
	if err := r.QueryRow(ctx, "SELECT count(*) FROM sqlite_master", nil, &tables); err != nil {
		return nil, errors.Join(fmt.Errorf("open a snapshot: %w", err), end())
	}
	return &Snapshot{Querier: r, engine: SQLite, close: end}, nil
}

var errReadOnly = errors.New("a snapshot is only read")

// sqliteReader reads in the transaction that its one connection is in.
type sqliteReader struct{ pool }

func (r *sqliteReader) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	return r.query(ctx, query, args)
}

func (r *sqliteReader) QueryRow(ctx context.Context, query string, args []any, dest ...any) error {
	rows, err := r.query(ctx, query, args)
	return scanOne(rows, err, dest)
}

func (r *sqliteReader) Exec(context.Context, string, ...any) (int64, error) { return 0, errReadOnly }

func (r *sqliteReader) Insert(context.Context, *Insert, ...any) error { return errReadOnly }

func (r *sqliteReader) In(column string, first int, keys [][]byte) (string, []any) {
	return (*sqliteDB)(nil).In(column, first, keys)
}

// Snapshot holds a transaction of a connection beside the pool's, so that a long
// read takes none from the gate. It isn't planned as ours are: whole tables are
// read.
func (d *postgresDB) Snapshot(ctx context.Context) (*Snapshot, error) {
	config := d.pool.Config().ConnConfig.Copy()
	config.RuntimeParams = maps.Clone(config.RuntimeParams)
	for name := range planning {
		if name != "application_name" {
			delete(config.RuntimeParams, name)
		}
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open a snapshot: %w", err)
	}
	end := func() error { return conn.Close(context.WithoutCancel(ctx)) }
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err == nil {
		_, err = tx.Exec(ctx, "SELECT 1") // the first statement fixes the state
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a snapshot: %w", err), end())
	}
	return &Snapshot{Querier: pgQuerier{tx}, engine: PostgreSQL, close: end}, nil
}
