package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"azekura/access"
	"azekura/gate"
	"azekura/internal/db"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/register/field"
)

const setTarget = 100_000 // members a second

// sets opens everybody as one set, beside a bare read of the same rows.
func sets(ctx context.Context, b *bench) error {
	for _, engine := range b.engines {
		r, err := b.furnished(ctx, engine)
		if err != nil {
			return err
		}
		i, err := r.open(ctx)
		if err != nil {
			return err
		}
		s, err := setSession(ctx, i)
		if err == nil {
			err = b.rounds(ctx, "a set on "+engineNames[engine], b.runs, func() error { return r.openSet(ctx, i, s) })
		}
		if err := errors.Join(err, i.Close()); err != nil {
			return err
		}
	}
	return nil
}

func setSession(ctx context.Context, i *installation.Installation) (access.Session, error) {
	if _, err := i.Access.AddStaff(ctx, "s-set", "caseworker", "o-1"); err != nil {
		return access.Session{}, err
	}
	if _, err := i.Access.AddDevice(ctx, "d-set", "o-1"); err != nil {
		return access.Session{}, err
	}
	_, token, err := i.Access.OpenSession(ctx, "s-set", "d-set", access.MaxSession)
	if err != nil {
		return access.Session{}, err
	}
	return i.Access.AtSocket(token)
}

func (r *room) openSet(ctx context.Context, i *installation.Installation, s access.Session) error {
	fields := field.SetOf(field.Name, field.Address)
	n, began := int64(0), time.Now()
	_, err := i.Gate.OpenSet(ctx, s, gate.SetRequest{Why: readWhy, Job: "bench", Fields: fields}, insttest.Members(ctx, i, fields),
		func(gate.Opened) error { n++; return nil })
	took := time.Since(began)
	if err != nil {
		return err
	}
	if n != r.people {
		return fmt.Errorf("the set opened %d of %d people", n, r.people)
	}
	bare, err := readAll(ctx, i.DB, "SELECT packed FROM register_version ORDER BY participant_id, version")
	if err != nil {
		return err
	}
	r.bench.figure("set", fmt.Sprintf("%s, a set of %s: recorded, opened, handed on", engineNames[r.engine], number(float64(n))), "members/s",
		target{Least: setTarget}, stick{name: "a bare read of the same rows"}, float64(n)/took.Seconds(), bare)
	return nil
}

// readAll is how many rows of one column of bytes a second a bare query reads.
func readAll(ctx context.Context, d db.DB, sql string, args ...any) (float64, error) {
	began := time.Now()
	rows, err := d.Query(ctx, sql, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var column []byte
		if err := rows.Scan(&column); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(began).Seconds(), rows.Err()
}
