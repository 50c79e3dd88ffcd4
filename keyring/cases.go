package keyring

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"azekura/internal/db"
	"azekura/keyring/internal/core"
)

//go:embed cases.sql
var casesSchema string

// ErrNoCase means that no key is kept for a case: none was made, or it was
// destroyed when the case was closed.
var ErrNoCase = errors.New("no key is kept for that case: none was made, or it was destroyed when the case was closed")

// MakeCase gives the key of a case's leak scan, and makes it if there is none.
// Its row is wrapped under the members domain's key, which the root key wraps.
func (r *Ring) MakeCase(ctx context.Context, q db.Querier, name string, now time.Time) ([]byte, error) {
	key := make([]byte, core.KeySize)
	_, _ = rand.Read(key) // never fails: the program ends instead
	_, err := q.Exec(ctx, "INSERT INTO keyring_case (case_code, created_us, wrapped) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
		name, now.UnixMicro(), r.core.SealCase(name, key))
	if err != nil {
		return nil, fmt.Errorf("store the case's key: %w", err)
	}
	return r.Case(ctx, q, name) // ours, or that of whoever came first
}

// Case is the key of a case's leak scan, or ErrNoCase.
func (r *Ring) Case(ctx context.Context, q db.Querier, name string) ([]byte, error) {
	rows, err := q.Query(ctx, "SELECT wrapped FROM keyring_case WHERE case_code = $1", name)
	if err != nil {
		return nil, fmt.Errorf("read the case's key: %w", err)
	}
	defer rows.Close()
	var wrapped []byte
	if rows.Next() {
		if err := rows.Scan(&wrapped); err != nil {
			return nil, fmt.Errorf("read the case's key: %w", err)
		}
		wrapped = bytes.Clone(wrapped)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the case's key: %w", err)
	}
	if wrapped == nil {
		return nil, ErrNoCase
	}
	return r.core.OpenCase(name, wrapped)
}

// DestroyCase deletes a case's key and sees to it that the row leaves the
// database's files. Backups made before keep it.
func (r *Ring) DestroyCase(ctx context.Context, d db.DB, name string) error {
	n, err := d.Exec(ctx, "DELETE FROM keyring_case WHERE case_code = $1", name)
	if err != nil {
		return fmt.Errorf("destroy the case's key: %w", err)
	}
	if n == 0 {
		return ErrNoCase
	}
	if err := d.Scrub(ctx, "keyring_case"); err != nil {
		return fmt.Errorf("the case's key is deleted, but its bytes may still lie in the database's files: %w", err)
	}
	return nil
}
