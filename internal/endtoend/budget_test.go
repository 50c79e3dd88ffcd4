package endtoend

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"azekura/access/budget"
	"azekura/auditlog"
	"azekura/internal/installation"
)

// limits sets a budget of so many participants an hour for each staff member.
func (a *agency) limits(t *testing.T, persons int64) {
	t.Helper()
	i, err := installation.Open(t.Context(), a.dir, func() ([]byte, error) { return bytes.Clone([]byte(passphrase)), nil })
	if err != nil {
		t.Fatal(err)
	}
	max := budget.Limits{{Persons: persons, Points: -1}, {Persons: persons, Points: -1}, {Persons: persons, Points: -1}}
	_, err = i.Log.RecordOne(t.Context(), budget.LimitsEvent([]budget.Limit{{Kind: budget.Staff, Max: max}}, "test", "a test", ""))
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
}

// opened counts, past the program, the distinct participants of whom each staff
// member's reads are in the log.
func (a *agency) opened(t *testing.T) map[string]int64 {
	t.Helper()
	d := a.open(t)
	defer d.Close()
	rows, err := d.Query(t.Context(), "SELECT line FROM log_event WHERE log_id = 1 ORDER BY idx")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	seen, count := map[string]bool{}, map[string]int64{}
	for rows.Next() {
		var line []byte
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		e, err := auditlog.ParseLine(line)
		if err != nil {
			t.Fatal(err)
		}
		if k := fmt.Sprint(e.Staff, e.Participant); e.Action == auditlog.Read && !seen[k] {
			seen[k] = true
			count[e.Staff]++
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return count
}

// sweep has clients read one participant after another until the budget refuses
// them or the server is gone.
func (a *agency) sweep(s *server, clients []*client, from int, begun chan<- struct{}) {
	var wg sync.WaitGroup
	var once sync.Once
	for n, c := range clients {
		wg.Go(func() {
			for k := range a.people {
				status, err := c.read(context.Background(), s, a.people[(from+n*37+k)%len(a.people)].Ref, "name")
				once.Do(func() { close(begun) })
				if err != nil || status == http.StatusTooManyRequests {
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestKillKeepsBudgets kills the server while clients of one staff member sweep, again
// and again: after each restart the budgets are a recount of the log, and in the
// end each staff member got their limit's participants, all of them and not one more.
func TestKillKeepsBudgets(t *testing.T) {
	const limit, clientsEach = 150, 6
	eachEngine(t, 500, func(t *testing.T, a *agency) {
		rnd := chance(t)
		a.limits(t, limit)
		cutShort := 0
		for round := range rounds(3) {
			staff := fmt.Sprint("k-", round)
			a.must(t, "staff", "add", staff)
			s := a.serve(t)
			token := strings.TrimSpace(a.must(t, "session", "open", "--staff", staff, "--device", "pc-0"))
			var clients []*client
			for range clientsEach {
				clients = append(clients, a.client(t, token))
			}
			begun, done := make(chan struct{}), make(chan struct{})
			go func() { defer close(done); a.sweep(s, clients, 0, begun) }()
			<-begun
			time.Sleep(time.Duration(rnd.Int64N(int64(150 * time.Millisecond))))
			s.kill()
			<-done
			before := a.opened(t)[staff]
			s = a.serve(t)
			a.recounted(t)
			again := make([]*client, clientsEach)
			for n := range again {
				again[n] = a.client(t, token)
			}
			a.sweep(s, again, 250, make(chan struct{}))
			a.recounted(t)
			s.kill()
			got := map[string]bool{}
			for _, c := range append(clients, again...) {
				cutShort += c.broken
				for _, p := range c.seen {
					got[p.participant] = true
				}
			}
			if n := a.opened(t)[staff]; n != limit || len(got) > limit || before > limit {
				t.Errorf("%s received %d participants and %d are in the log (%d before the restart), of a budget of %d", staff, len(got), n, before, limit)
			}
		}
		if t.Logf("%d requests were cut short", cutShort); cutShort == 0 {
			t.Error("no request was under way when the server was killed")
		}
		a.verified(t)
	})
}

// recounted compares the budgets of staff with what the log holds.
func (a *agency) recounted(t *testing.T) {
	t.Helper()
	var lines []budget.Line
	if err := json.Unmarshal([]byte(a.must(t, "budget", "list", "--json")), &lines); err != nil {
		t.Fatal(err)
	}
	want := a.opened(t)
	for _, l := range lines {
		if l.Kind != budget.Staff {
			continue
		}
		for w := range l.Used {
			if l.Used[w].Persons != want[l.ID] {
				t.Errorf("%s counts %d in %s, the log %d", l.Subject, l.Used[w].Persons, budget.Names[w], want[l.ID])
			}
		}
		delete(want, l.ID)
	}
	if len(want) > 0 {
		t.Errorf("budgets that are lost: %v", want)
	}
}
