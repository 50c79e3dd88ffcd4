package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"

	_ "modernc.org/sqlite" // the driver; it has no other way in
)

// pageCacheKiB is SQLite's page cache a connection. The operating system's cache
// lies below it, and a larger one of its own costs more at each commit than it
// saves.
const pageCacheKiB = 64 << 10

// readers is the number of connections that read beside the writer.
const readers = 4

// sqliteDB has one writer and a pool of readers (WAL: they don't wait for it).
type sqliteDB struct {
	path  string
	write *pool
	conn  *sql.Conn // the writer's one connection, its statements prepared on it
	read  *pool
	river *sql.DB // River writes through its own connection, and rarely
	turn  turn
}

func sqlitePool(path string, conns, cacheKiB int, extra ...string) (*sql.DB, error) {
	q := url.Values{"_txlock": {"immediate"}, "_pragma": append(extra,
		"busy_timeout(10000)", "journal_mode(wal)", "synchronous(full)", "secure_delete(1)",
		"wal_autocheckpoint(48000)", "temp_store(memory)", fmt.Sprintf("cache_size(-%d)", cacheKiB))}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

func openSQLite(ctx context.Context, path string) (DB, error) {
	// The register is personal data, though sealed: nobody else's to read. The
	// files beside it get the rights that it has when they are made. One that is
	// there isn't opened here: to close it would drop SQLite's locks on it.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err == nil {
		err = file.Close()
	} else if errors.Is(err, fs.ErrExist) {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	write, err := sqlitePool(path, 1, pageCacheKiB)
	if err != nil {
		return nil, err
	}
	conn, err := write.Conn(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the database %s: %w", path, err), write.Close())
	}
	read, err := sqlitePool(path, readers, pageCacheKiB/8, "query_only(1)")
	if err != nil {
		return nil, err
	}
	river, err := sqlitePool(path, 1, 2<<10)
	if err != nil {
		return nil, err
	}
	return &sqliteDB{path: path, conn: conn, river: river,
		write: &pool{db: write, via: conn, stmts: map[string]*sql.Stmt{}},
		read:  &pool{db: read, via: read, stmts: map[string]*sql.Stmt{}}}, nil
}

func (d *sqliteDB) Engine() Engine { return SQLite }
func (d *sqliteDB) Pool() any      { return d.river }

func (d *sqliteDB) Close() error {
	return errors.Join(d.river.Close(), d.read.close(), d.write.close())
}

func (d *sqliteDB) Size(context.Context) (int64, error) {
	var total int64
	for _, suffix := range []string{"", "-wal"} {
		info, err := os.Stat(d.path + suffix)
		if err != nil && !os.IsNotExist(err) {
			return 0, err
		}
		if err == nil {
			total += info.Size()
		}
	}
	return total, nil
}

// Scrub empties the write-ahead log; deleted rows are zeroed as they go
// (secure_delete).
func (d *sqliteDB) Scrub(ctx context.Context, _ string) error {
	if err := d.turn.take(ctx, false); err != nil {
		return err
	}
	defer d.turn.give()
	var busy, pages, moved int64
	err := d.conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
	if err == nil && busy != 0 {
		err = errors.New("a reader holds the write-ahead log; it is emptied when the database is next idle")
	}
	return err
}

// emptied is the number of rows that Empty removes at a time.
const emptied = 4096

func (d *sqliteDB) Empty(ctx context.Context, table, along string) error {
	for n := int64(1); n > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if n, err = d.Exec(ctx, "DELETE FROM "+table+" WHERE "+along+" <= (SELECT max("+along+") FROM (SELECT "+along+" FROM "+table+
			" ORDER BY "+along+" LIMIT $1))", int64(emptied)); err != nil {
			return err
		}
	}
	return nil
}

func (d *sqliteDB) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	return d.read.query(ctx, query, args)
}

func (d *sqliteDB) QueryRow(ctx context.Context, query string, args []any, dest ...any) error {
	rows, err := d.Query(ctx, query, args...)
	return scanOne(rows, err, dest)
}

func (d *sqliteDB) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	var n int64
	err := d.once(ctx, false, func(tx *sqliteTx) (err error) {
		n, err = tx.Exec(ctx, query, args...)
		return err
	})
	return n, err
}

func (d *sqliteDB) Insert(ctx context.Context, into *Insert, columns ...any) error {
	return d.once(ctx, false, func(tx *sqliteTx) error { return tx.Insert(ctx, into, columns...) })
}

func (d *sqliteDB) Apply(ctx context.Context, stmts []Stmt) error {
	return d.once(ctx, true, func(tx *sqliteTx) error { return tx.Apply(ctx, stmts) })
}

func (d *sqliteDB) once(ctx context.Context, first bool, f func(*sqliteTx) error) error {
	tx, err := d.begin(ctx, first)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func (d *sqliteDB) Begin(ctx context.Context) (Tx, error) {
	tx, err := d.begin(ctx, false)
	if err != nil {
		return nil, err
	}
	return tx, nil
}

func (d *sqliteDB) begin(ctx context.Context, first bool) (*sqliteTx, error) {
	if err := d.turn.take(ctx, first); err != nil {
		return nil, err
	}
	// The transaction outlives the caller's context on purpose: database/sql
	// would roll it back from another goroutine.
	tx, err := d.conn.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		d.turn.give()
		return nil, err
	}
	return &sqliteTx{db: d, tx: tx}, nil
}

func (d *sqliteDB) In(column string, _ int, keys [][]byte) (string, []any) {
	// A power of two of placeholders keeps the number of prepared statements
	// small; the last key fills up.
	n := 1
	for n < len(keys) {
		n *= 2
	}
	args := make([]any, n)
	var b strings.Builder
	b.WriteString(column + " IN (")
	for i := range args {
		if i > 0 {
			b.WriteByte(',')
		}
		// A bare mark takes the next number. The driver looks each name up, and
		// that is slow with many.
		b.WriteByte('?')
		if i < len(keys) {
			args[i] = keys[i]
		} else if len(keys) > 0 {
			args[i] = keys[len(keys)-1]
		}
	}
	b.WriteByte(')')
	return b.String(), args
}

type sqliteTx struct {
	db   *sqliteDB
	tx   *sql.Tx
	done bool
	// failed is the first error. After some (a full disk) SQLite has rolled back
	// by itself, and what followed would commit by itself; so, as on PostgreSQL,
	// nothing follows.
	failed error
}

// usable guards the one connection: behind the transaction's end it is somebody
// else's.
func (t *sqliteTx) usable() error {
	if t.done {
		return sql.ErrTxDone
	}
	if t.failed != nil {
		return fmt.Errorf("the transaction has failed before: %w", t.failed)
	}
	return nil
}

func (t *sqliteTx) Handle() any { return t.tx }

func (t *sqliteTx) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	rows, err := t.db.write.query(ctx, query, args)
	t.failed = err
	return rows, err
}

func (t *sqliteTx) QueryRow(ctx context.Context, query string, args []any, dest ...any) error {
	rows, err := t.Query(ctx, query, args...)
	return scanOne(rows, err, dest)
}

// Exec runs on the connection that holds the transaction.
func (t *sqliteTx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if err := t.usable(); err != nil {
		return 0, err
	}
	n, err := t.db.write.exec(ctx, query, args)
	t.failed = err
	return n, err
}

func (t *sqliteTx) Insert(ctx context.Context, into *Insert, columns ...any) error {
	_, err := t.insert(ctx, into, columns)
	return err
}

func (t *sqliteTx) insert(ctx context.Context, into *Insert, columns []any) (total int64, err error) {
	rows, err := into.length(columns)
	if err != nil {
		return 0, err
	}
	args := make([]any, 0, 64*len(columns))
	for at := 0; at < rows; {
		n := 64
		for n > rows-at {
			n /= 2
		}
		args = args[:0]
		for r := at; r < at+n; r++ {
			for _, column := range columns {
				args = append(args, cell(column, r))
			}
		}
		changed, err := t.Exec(ctx, into.values(n), args...)
		if err != nil {
			return total, err
		}
		total += changed
		at += n
	}
	return total, nil
}

var valuesCache sync.Map // [head, suffix, rows] to text

func (i *Insert) values(rows int) string {
	head := i.head()
	key := [3]string{head, i.Suffix, strconv.Itoa(rows)}
	if text, ok := valuesCache.Load(key); ok {
		return text.(string)
	}
	var b strings.Builder
	b.WriteString(head + "VALUES ")
	for r := range rows {
		if r > 0 {
			b.WriteByte(',')
		}
		b.WriteString("(?" + strings.Repeat(",?", len(i.Columns)-1))
		b.WriteByte(')')
	}
	b.WriteString(" " + i.Suffix)
	valuesCache.Store(key, b.String())
	return b.String()
}

func (t *sqliteTx) In(column string, first int, keys [][]byte) (string, []any) {
	return t.db.In(column, first, keys)
}

func (t *sqliteTx) Apply(ctx context.Context, stmts []Stmt) error {
	for _, s := range stmts {
		var n int64
		var err error
		if s.Insert != nil {
			n, err = t.insert(ctx, s.Insert, s.Args)
		} else {
			n, err = t.Exec(ctx, s.SQL, s.Args...)
		}
		if err != nil {
			return err
		}
		if s.Must != 0 && n != s.Must {
			return ErrRefused
		}
	}
	return nil
}

func (t *sqliteTx) Commit(context.Context) error {
	if err := t.usable(); err != nil {
		t.Rollback()
		return err
	}
	// A commit that fails is rolled back by the driver.
	t.done = true
	err := t.tx.Commit()
	t.db.turn.give()
	return err
}

func (t *sqliteTx) Rollback() {
	if t.done {
		return
	}
	t.done = true
	// Nothing can be done about a rollback that fails: SQLite does it again
	// when the file is next opened.
	_ = t.tx.Rollback()
	t.db.turn.give()
}

// pool prepares each statement once.
type pool struct {
	db  *sql.DB
	via interface { // the pool itself, or its one connection
		PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	}
	mu    sync.Mutex
	stmts map[string]*sql.Stmt
}

func (p *pool) prepare(query string) (*sql.Stmt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if stmt := p.stmts[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := p.via.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	p.stmts[query] = stmt
	return stmt, nil
}

func (p *pool) query(ctx context.Context, query string, args []any) (Rows, error) {
	stmt, err := p.prepare(query)
	if err != nil {
		return nil, err
	}
	rows, err := stmt.QueryContext(context.WithoutCancel(ctx), args...)
	if err != nil {
		return nil, err
	}
	return sqlRows{rows}, nil
}

func (p *pool) exec(ctx context.Context, query string, args []any) (int64, error) {
	stmt, err := p.prepare(query)
	if err != nil {
		return 0, err
	}
	// A context that can end would cost the driver a goroutine a statement.
	result, err := stmt.ExecContext(context.WithoutCancel(ctx), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, stmt := range p.stmts {
		errs = append(errs, stmt.Close())
	}
	if conn, ok := p.via.(*sql.Conn); ok {
		errs = append(errs, conn.Close())
	}
	return errors.Join(append(errs, p.db.Close())...)
}

// sqlRows gives *sql.Rows the shape that pgx's rows have.
type sqlRows struct{ *sql.Rows }

// Close drops the error: Err has it, and Close is for the early way out.
func (r sqlRows) Close() { _ = r.Rows.Close() }

func scanOne(rows Rows, err error, dest []any) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return err
		}
		return ErrNoRows
	}
	if err := rows.Scan(dest...); err != nil {
		return err
	}
	rows.Close()
	return rows.Err()
}
