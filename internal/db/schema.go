package db

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Migration is one forward step of the schema, owned by the package whose
// tables it makes. Its SQL is read by both engines, but for these marks:
//
//   - "-- sqlite: WORDS" is WORDS on SQLite and a comment elsewhere;
//   - "-- grant: TABLE PRIVILEGES" says what the application's role may do with
//     the table on PostgreSQL, and that it may do nothing else (see Grant);
//   - what follows a line "-- postgresql only" is one more statement, run on
//     PostgreSQL alone (storage parameters).
//
// Its comment says what the code before and after it may do.
type Migration struct {
	Name string // package/number-what, unique for ever
	SQL  string
}

const migrationTable = `CREATE TABLE IF NOT EXISTS azekura_migration (
	name TEXT NOT NULL PRIMARY KEY,
	applied_us BIGINT NOT NULL
)`

// Applied are the names of the migrations that a database has behind it.
func Applied(ctx context.Context, q Querier) ([]string, error) {
	rows, err := q.Query(ctx, "SELECT name FROM azekura_migration ORDER BY applied_us, name")
	if err != nil {
		return nil, fmt.Errorf("read the schema's version: %w", err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// Migrate applies those that haven't been, each in its own transaction, and
// grants what they say. Where all have been it only reads, so that a role which
// may not change the schema can call it.
func Migrate(ctx context.Context, d DB, now time.Time, migrations []Migration) error {
	due, err := due(ctx, d, migrations)
	if err != nil || len(due) == 0 {
		return err
	}
	for _, m := range due {
		if err := m.apply(ctx, d, now); err != nil {
			return ownersWork(fmt.Errorf("apply migration %s: %w", m.Name, err))
		}
	}
	return Grant(ctx, d, Grants(migrations))
}

// due are the migrations that the database doesn't have.
func due(ctx context.Context, d DB, migrations []Migration) ([]Migration, error) {
	done, err := Applied(ctx, d)
	if err != nil { // most likely there is no table yet
		if _, err = d.Exec(ctx, migrationTable); err != nil {
			// PostgreSQL's IF NOT EXISTS fails where another makes the table at the
			// same moment; once more, and it exists.
			_, err = d.Exec(ctx, migrationTable)
		}
		if err == nil {
			done, err = Applied(ctx, d)
		}
	}
	if err != nil {
		return nil, ownersWork(fmt.Errorf("prepare the schema: %w", err))
	}
	return slices.DeleteFunc(slices.Clone(migrations), func(m Migration) bool { return slices.Contains(done, m.Name) }), nil
}

// apply runs the statements one by one: a batch would prepare a statement before
// the table it names exists. The migration's own row goes first, so that of two
// processes one waits here, and then has nothing to do.
func (m Migration) apply(ctx context.Context, d DB, now time.Time) error {
	tx, err := d.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	n, err := tx.Exec(ctx, "INSERT INTO azekura_migration (name, applied_us) VALUES ($1, $2) ON CONFLICT DO NOTHING", m.Name, now.UnixMicro())
	if err != nil || n == 0 {
		return err
	}
	for _, sql := range m.statements(d.Engine()) {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return tx.Commit(ctx)
}

func (m Migration) statements(engine Engine) []string {
	sql, only, _ := strings.Cut(grantLine.ReplaceAllString(m.SQL, ""), "-- postgresql only\n")
	if engine == SQLite {
		sql, only = strings.ReplaceAll(sql, "-- sqlite: ", ""), ""
	}
	var list []string
	for _, s := range strings.Split(sql, ";\n") {
		if s = strings.TrimSpace(s); s != "" && s != ";" {
			list = append(list, strings.TrimSuffix(s, ";"))
		}
	}
	if only != "" {
		list = append(list, only)
	}
	return list
}
