package db

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Application is the role that serves an installation on PostgreSQL, beside the
// owner of the tables, who migrates. It needn't exist: then the owner serves.
const Application = "azekura_app"

// owner, in place of privileges, gives the table to the application. PostgreSQL
// lets only an owner vacuum (MAINTAIN came with version 17), and where rows must
// leave the table's files once they are deleted the application has to.
const owner = "OWNER"

var grantLine = regexp.MustCompile(`(?m)^-- grant: ([a-z0-9_]+) ([A-Z]+(?:, [A-Z]+)*)\n`)

// Grants are what the migrations' "-- grant:" lines say, by table. What a later
// migration says of a table counts.
func Grants(migrations []Migration) map[string]string {
	grants := map[string]string{"azekura_migration": "SELECT"}
	for _, m := range migrations {
		for _, line := range grantLine.FindAllStringSubmatch(m.SQL, -1) {
			grants[line[1]] = line[2]
		}
	}
	return grants
}

// Grant gives the application's role just these privileges on these tables, and
// takes any other away. It does nothing on SQLite, where there is no such role, or
// where that role itself is asking. A table that is gone is passed over.
func Grant(ctx context.Context, d DB, grants map[string]string) error {
	if d.Engine() != PostgreSQL {
		return nil
	}
	var other int64
	err := d.QueryRow(ctx, "SELECT count(*) FROM pg_roles WHERE rolname = $1 AND rolname <> current_user", []any{Application}, &other)
	if err != nil || other == 0 {
		return err
	}
	tx, err := d.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := grantAll(ctx, tx, grants); err != nil {
		return ownersWork(fmt.Errorf("grant the role %s what it needs: %w", Application, err))
	}
	return tx.Commit(ctx)
}

func grantAll(ctx context.Context, tx Tx, grants map[string]string) error {
	var schema string
	if err := tx.QueryRow(ctx, "SELECT current_schema()", nil, &schema); err != nil {
		return err
	}
	in := "ON SCHEMA " + pgx.Identifier{schema}.Sanitize()
	// Whom a table is given to must be able to make one there, for that moment.
	statements := []string{"GRANT USAGE, CREATE " + in + " TO " + Application}
	for _, table := range slices.Sorted(maps.Keys(grants)) {
		var theirs int64 // -1: there is no such table
		err := tx.QueryRow(ctx, `SELECT coalesce((SELECT (pg_get_userbyid(relowner) = $2)::int FROM pg_class
			WHERE oid = to_regclass(quote_ident($1))), -1)::bigint`, []any{table, Application}, &theirs)
		switch {
		case err != nil:
			return err
		case theirs != 0:
		case grants[table] == owner:
			statements = append(statements, "ALTER TABLE "+table+" OWNER TO "+Application)
		default:
			statements = append(statements, "REVOKE ALL ON "+table+" FROM "+Application, "GRANT "+grants[table]+" ON "+table+" TO "+Application)
		}
	}
	for _, sql := range append(statements, "REVOKE CREATE "+in+" FROM "+Application) {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

const notAllowed = "42501" // insufficient_privilege

// ownersWork says who can do what the server didn't let us do.
func ownersWork(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == notAllowed {
		return fmt.Errorf("%w; run azekura migrate --db with the URL of the role that owns the tables, which must be a member of %s", err, Application)
	}
	return err
}
