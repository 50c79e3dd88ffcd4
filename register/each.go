package register

import (
	"bytes"
	"context"
	"fmt"

	"azekura/register/field"

	"github.com/google/uuid"
)

// EachVersion calls f with every version of every participant, in order: whose
// it is, its number, and the fields that it set (those a read can open).
func (s *Store) EachVersion(ctx context.Context, f func(id uuid.UUID, version int64, fields field.Set) error) error {
	all := field.SetOf(field.All()...)
	after, version := make([]byte, 16), int64(0)
	for {
		rows, err := s.db.Query(ctx, `SELECT participant_id, version, fields FROM register_version
			WHERE (participant_id, version) > ($1, $2) ORDER BY participant_id, version LIMIT 1000`, after, version)
		if err != nil {
			return fmt.Errorf("read from the register: %w", err)
		}
		type row struct {
			id      uuid.UUID
			version int64
			fields  field.Set
		}
		var page []row
		for rows.Next() {
			var id []byte
			var fields int64
			var r row
			if err := rows.Scan(&id, &r.version, &fields); err != nil {
				rows.Close()
				return fmt.Errorf("read from the register: %w", err)
			}
			r.id, r.fields = uuid.UUID(id), field.Set(fields)&all
			page = append(page, r)
		}
		err = rows.Err()
		rows.Close()
		if err != nil {
			return fmt.Errorf("read from the register: %w", err)
		}
		if len(page) == 0 {
			return nil
		}
		for _, r := range page {
			if r.fields == 0 {
				continue
			}
			if err := f(r.id, r.version, r.fields); err != nil {
				return err
			}
		}
		last := page[len(page)-1]
		after, version = bytes.Clone(last.id[:]), last.version
	}
}
