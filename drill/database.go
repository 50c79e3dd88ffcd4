package drill

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"
)

// ownSchema makes a schema for one drill in a PostgreSQL database, so that a drill
// needs no empty one and leaves nothing behind. It returns the URL that leads into it.
func ownSchema(ctx context.Context, database string) (own string, drop func(context.Context) error, err error) {
	u, err := url.Parse(database)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		// The error would repeat the URL's password.
		return "", nil, fmt.Errorf("%w: the database's URL must look like postgres://user@host:port/name", ErrOptions)
	}
	var name [6]byte
	_, _ = rand.Read(name[:]) // never fails: the program ends instead
	schema := "azekura_drill_" + hex.EncodeToString(name[:])
	if err := execOnce(ctx, database, "CREATE SCHEMA "+schema); err != nil {
		return "", nil, fmt.Errorf("make a schema for the drill: %w", err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String(), func(ctx context.Context) error {
		if err := execOnce(ctx, database, "DROP SCHEMA "+schema+" CASCADE"); err != nil {
			return fmt.Errorf("drop the drill's schema %s: %w", schema, err)
		}
		return nil
	}, nil
}

func execOnce(ctx context.Context, database, sql string) error {
	config, err := pgx.ParseConfig(database)
	if err != nil {
		return errors.New("the database's URL can't be read; it must look like postgres://user@host:port/name")
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}
