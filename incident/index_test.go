package incident_test

import (
	"strings"
	"testing"

	"azekura/auditlog"
	"azekura/incident"
	"azekura/internal/db"
	"azekura/internal/madelog"
	"azekura/register/field"
)

// TestSessionsAreReadFromTheirIndexAlone: by way of the table's rows a million
// openings take ten times as long, so nothing may take the index away.
func TestSessionsAreReadFromTheirIndexAlone(t *testing.T) {
	onBoth(t, func(t *testing.T, l *testLog) {
		explain, want := "EXPLAIN QUERY PLAN ", "USING COVERING INDEX log_event_session"
		tx, err := l.db.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if l.db.Engine() == db.PostgreSQL {
			explain, want = "EXPLAIN ", "Index Only Scan using log_event_session"
			// A table of no rows is cheaper to read whole.
			for _, sql := range []string{"SET LOCAL enable_seqscan = off", "SET LOCAL enable_bitmapscan = off"} {
				if _, err := tx.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
		}
		if plan := planOf(t, tx, explain+incident.SelectSession); !strings.Contains(plan, want) || strings.Contains(strings.ToLower(plan), "sort") {
			t.Errorf("plan:\n%s", plan)
		}
	})
}

// planOf joins the last column of the plan's rows, which both engines have text in.
func planOf(t *testing.T, q db.Querier, sql string) string {
	rows, err := q.Query(t.Context(), sql, int64(1), int64(1))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var id, parent, unused int64
		var text string
		if strings.Contains(sql, "QUERY") {
			err = rows.Scan(&id, &parent, &unused, &text)
		} else {
			err = rows.Scan(&text)
		}
		if err != nil {
			t.Fatal(err)
		}
		plan.WriteString(text + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}

// BenchmarkSetEvent expands one set event of a million members (of 10,000
// without AZEKURA_SOAK).
func BenchmarkSetEvent(b *testing.B) {
	l := openLog(b, b.TempDir()+"/log.db")
	members := make([]auditlog.Member, benchEvents()/10)
	if len(members) < 1_000_000 {
		members = members[:10_000]
	}
	for i := range members {
		members[i] = auditlog.Member{ID: madelog.ID(uint64(i)), Fields: field.SetOf(field.Name, field.Address), Version: 1}
	}
	l.set(b, auditlog.Event{Session: 1}, true, members...)
	for b.Loop() {
		if e := l.ask(b, incident.Query{Sessions: []auditlog.Session{1}}); e.Participants != int64(len(members)) {
			b.Fatalf("%d participants", e.Participants)
		}
	}
	b.ReportMetric(float64(len(members))*float64(b.N)/b.Elapsed().Seconds(), "members/s")
}
