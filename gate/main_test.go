package gate_test

import (
	"context"
	"flag"
	"os"
	"testing"

	"azekura/access"
	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"
	"azekura/population"
)

func TestMain(m *testing.M) {
	if os.Getenv("AZEKURA_SOAK") == "1" {
		if err := flag.Set("rapid.checks", "2000"); err != nil {
			panic(err)
		}
	}
	os.Exit(pgtest.Main(m))
}

var why = gate.Why{Purpose: "enquiry", Case: "C-1"}

// room is an installation with people in it, and a session that may open.
type room struct {
	*installation.Installation
	s      access.Session
	people []population.Person
}

// withPeople runs f on each engine, with n people.
func withPeople(t *testing.T, n int, f func(t *testing.T, r *room)) {
	t.Helper()
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		f(t, furnish(t, i, n))
	})
}

func furnish(t testing.TB, i *installation.Installation, n int) *room {
	t.Helper()
	insttest.Import(t, i, insttest.NDJSON(t, 1, int64(n)))
	return &room{Installation: i, s: insttest.Caseworker(t, i), people: insttest.People(1, n)}
}

func (r *room) who(n int) gate.Who { return gate.Who{Ref: r.people[n].Ref} }

// since are the events from an index on.
func (r *room) since(t *testing.T, index int64) []auditlog.Event {
	t.Helper()
	return insttest.Events(t, r.Installation)[index:]
}

// size is how many events the log has.
func (r *room) size() int64 { return r.Log.Committed() }

// background is a context that no test's end cancels.
var background = context.Background()
