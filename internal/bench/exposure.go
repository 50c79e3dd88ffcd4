package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"azekura/auditlog"
	"azekura/incident"
	"azekura/internal/db"
	"azekura/internal/madelog"
)

const exposureTarget = 3 // seconds, on PostgreSQL, at full scale

// exposures ask whom one device saw, beside the same sum as bare SQL.
func exposures(ctx context.Context, b *bench) error {
	for _, engine := range b.engines {
		url, err := b.emptyDatabase(ctx, engine, "exposure")
		if err != nil {
			return err
		}
		d, err := db.Open(ctx, url)
		if err != nil {
			return err
		}
		err = db.Migrate(ctx, d, time.Now(), auditlog.Migrations)
		if err == nil {
			b.say("loading %d events on %s", b.scale.Log, engineNames[engine])
			err = madelog.Rows(ctx, d, b.scale.Log)
		}
		if err == nil {
			err = b.exposureRounds(ctx, engine, d)
		}
		if err := errors.Join(err, d.Close(), b.drop(engine, "exposure")); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) exposureRounds(ctx context.Context, engine string, d db.DB) error {
	if _, err := b.expose(ctx, d); err != nil { // warm
		return err
	}
	t := target{}
	if engine == postgresql {
		t.Most = exposureTarget
	}
	name := fmt.Sprintf("%s, %s openings of %s events, warm", engineNames[engine], number(float64(b.scale.Log/8)), number(float64(b.scale.Log)))
	return b.rounds(ctx, "exposure on "+engineNames[engine], b.runs, func() error {
		took, err := b.expose(ctx, d)
		if err != nil {
			return err
		}
		bare, err := b.sum(ctx, d)
		if err != nil {
			return err
		}
		b.figure("exposure", name, "s", t, stick{name: "one SQL statement: person, fields, first and last"}, took, bare)
		return nil
	})
}

func (b *bench) expose(ctx context.Context, d db.DB) (seconds float64, err error) {
	size, began := b.scale.Log, time.Now()
	src := incident.Source{DB: d, LogID: 1, Signed: func() (int64, auditlog.Hash) { return size, auditlog.Hash{} }}
	e, err := incident.Compute(ctx, src, incident.Query{Sessions: madelog.DeviceSessions}, nil)
	if err != nil {
		return 0, err
	}
	if e.Openings != size/8 || !e.Complete {
		return 0, fmt.Errorf("the exposure has %d openings of %d", e.Openings, size/8)
	}
	return time.Since(began).Seconds(), nil
}

// sum groups the same rows by person in the database itself.
func (b *bench) sum(ctx context.Context, d db.DB) (seconds float64, err error) {
	var sessions []string
	for _, s := range madelog.DeviceSessions {
		sessions = append(sessions, fmt.Sprint(int64(s)))
	}
	began := time.Now()
	var people, openings int64
	err = d.QueryRow(ctx, `SELECT count(*), CAST(sum(n) AS BIGINT) FROM
		(SELECT participant_id, max(fields), count(*) AS n, min(time_us), max(time_us) FROM log_event
		WHERE log_id = 1 AND session_id IN (`+strings.Join(sessions, ", ")+`) GROUP BY participant_id) AS seen`, nil, &people, &openings)
	if err == nil && openings != b.scale.Log/8 {
		err = fmt.Errorf("the SQL statement found %d openings of %d", openings, b.scale.Log/8)
	}
	return time.Since(began).Seconds(), err
}
