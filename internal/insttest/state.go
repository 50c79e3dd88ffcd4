package insttest

import (
	"context"
	"errors"
	"iter"
	"testing"

	"azekura/access"
	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/register/field"

	"github.com/google/uuid"
)

// Why is a reason that every door takes.
var Why = gate.Why{Purpose: "review", Case: "T-1"}

// Person is what the register tells of one participant, through the gate.
type Person struct {
	Versions int64
	Values   map[field.Field]string
}

// State is a register as the gate opens it, by ref, and how many rows its
// tables hold.
type State struct {
	People map[string]Person
	Rows   map[string]int64
}

// tables are those whose number of rows must not depend on how often an import
// was killed. The log's isn't: the test's own acts are in it.
var tables = []string{"keyring_participant", "register_version", "register_index", "register_import", "register_reject"}

// Look opens the whole register, but for the shredded.
func Look(t testing.TB, i *installation.Installation, s access.Session) State {
	t.Helper()
	state := State{People: map[string]Person{}, Rows: map[string]int64{}}
	for _, table := range tables {
		state.Rows[table] = Count(t, i, table)
	}
	if state.Rows["keyring_participant"] == 0 {
		return state
	}
	all := field.SetOf(field.All()...)
	_, err := i.Gate.OpenSet(t.Context(), s, gate.SetRequest{Why: Why, Job: "look", Fields: all}, Members(t.Context(), i, all), func(o gate.Opened) error {
		if o.Values == nil { // shredded
			return nil
		}
		ref := o.Values[field.Ref]
		if _, twice := state.People[ref]; twice {
			t.Errorf("two participants have one ref")
		}
		state.People[ref] = Person{Versions: o.Member.Version, Values: o.Values}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// Members are all participants in their newest versions.
func Members(ctx context.Context, i *installation.Installation, fields field.Set) iter.Seq2[auditlog.Member, error] {
	return func(yield func(auditlog.Member, error) bool) {
		stopped := errors.New("no more is wanted")
		err := i.Register.EachID(ctx, func(ids []uuid.UUID, versions []int64) error {
			for n := range ids {
				if !yield(auditlog.Member{ID: ids[n], Fields: fields, Version: versions[n]}, nil) {
					return stopped
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, stopped) {
			yield(auditlog.Member{}, err)
		}
	}
}

// Count is how many rows a table has; register_index is its two tables.
func Count(t testing.TB, i *installation.Installation, table string) (n int64) {
	t.Helper()
	if table == "register_index" {
		return Count(t, i, "register_index_0") + Count(t, i, "register_index_1")
	}
	if err := i.DB.QueryRow(t.Context(), "SELECT count(*) FROM "+table, nil, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Events are the log's events, read back from their lines.
func Events(t testing.TB, i *installation.Installation) []auditlog.Event {
	t.Helper()
	rows, err := i.DB.Query(t.Context(), "SELECT line FROM log_event ORDER BY idx")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var events []auditlog.Event
	for rows.Next() {
		var line []byte
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		e, err := auditlog.ParseLine(line)
		if err != nil {
			t.Fatalf("event %d: %v", len(events), err)
		}
		events = append(events, e)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return events
}
