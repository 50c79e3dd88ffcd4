package installation_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"azekura/access/budget"
	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/register/field"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// small is every staff member's budget here.
var small = budget.Limits{{Persons: 3, Points: 60}, {Persons: 5, Points: 150}, {Persons: 9, Points: 300}}

// counted is an installation with small budgets, a clock that the test turns, and
// tables that a commit can fail by.
type counted struct {
	t      *testing.T
	engine string
	dir    string
	i      *installation.Installation
	at     time.Time
	set    func(time.Time)
	runs   int
}

// fresh makes one. It begins in the present: the book's seconds end in 2106.
func (c *counted) fresh() {
	if c.i != nil {
		must(c.t, c.i.Close())
	}
	c.dir, c.at = insttest.New(c.t, c.engine), time.Now().UTC()
	driven, err := installation.CreateClock(c.dir, c.at)
	must(c.t, err)
	c.t.Cleanup(func() { _ = driven.Close() })
	c.set = driven.Set
	c.open()
	_, err = c.i.Log.RecordOne(c.t.Context(), budget.LimitsEvent([]budget.Limit{{Kind: budget.Staff, Max: small}}, "test", "a test", ""))
	must(c.t, err)
	for _, sql := range []string{"CREATE TABLE parent (id BIGINT PRIMARY KEY)", "CREATE TABLE child (id BIGINT REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)"} {
		_, err := c.i.DB.Exec(c.t.Context(), sql)
		must(c.t, err)
	}
}

func (c *counted) open() {
	var err error
	c.i, err = insttest.OpenDir(c.t.Context(), c.dir)
	must(c.t, err)
}

// ask is one read that a staff member asks for.
type ask struct{ Staff, Who, Fields int }

func (c *counted) event(a ask) auditlog.Event {
	e := auditlog.Event{Action: auditlog.Read, Outcome: "ok", Staff: c.staff(a.Staff), Role: "caseworker", Device: "d-1", Purpose: "enquiry", Case: "C-1",
		Participant: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, a.Who))}
	for _, f := range []field.Field{field.Name, field.Birth, field.Address, field.Account}[:a.Fields] {
		e.Fields = append(e.Fields, auditlog.FieldVersion{Field: f, Version: 1})
	}
	return e
}

// staff is a name that no run before used.
func (c *counted) staff(n int) string { return fmt.Sprintf("r%d-%d", c.runs, n) }

// failing is a read whose own rows can't be committed: the batch fails with it, and
// its neighbours are judged again.
func (c *counted) failing(a ask) error {
	tx, err := c.i.DB.Begin(c.t.Context())
	if err != nil {
		return err
	}
	en := auditlog.Entry{Events: []auditlog.Event{c.event(a)}, Tx: tx}
	if _, err := tx.Exec(c.t.Context(), "INSERT INTO child VALUES (1)"); err != nil {
		return err
	}
	if c.i.DB.Engine() == db.SQLite { // which doesn't mind orphans here
		en.Finish = func(context.Context, db.Tx, []auditlog.Event) error { return errors.New("made to fail") }
	}
	if _, err := c.i.Log.Record(c.t.Context(), en); !errors.Is(err, auditlog.ErrNotRecorded) && !errors.Is(err, budget.ErrSpent) {
		return fmt.Errorf("rows that can't be committed: %w", err)
	}
	return nil
}

// recount counts this run's reads in the log's own lines, by the words of package
// budget's comment, and how many there are.
func (c *counted) recount(from int64) (used map[string]budget.Limits, reads int, err error) {
	rows, err := c.i.DB.Query(c.t.Context(), "SELECT line FROM log_event WHERE log_id = $1 AND idx >= $2 ORDER BY idx", c.i.Log.ID(), from)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	used = map[string]budget.Limits{}
	seen := map[string]bool{}
	for rows.Next() {
		var line []byte
		if err := rows.Scan(&line); err != nil {
			return nil, 0, err
		}
		e, err := auditlog.ParseLine(line)
		if err != nil {
			return nil, 0, err
		}
		if e.Action != auditlog.Read {
			continue
		}
		reads++
		sum := used[e.Staff]
		for w, span := range budget.Windows {
			if e.Time/1e6+int64(span) <= c.at.Unix() {
				continue
			}
			for _, f := range e.Fields {
				sum[w].Points += budget.Weights[f.Field]
			}
			if k := fmt.Sprint(e.Staff, w, e.Participant); !seen[k] {
				seen[k] = true
				sum[w].Persons++
			}
		}
		used[e.Staff] = sum
	}
	return used, reads, rows.Err()
}

// run is one history: callers at once, commits that fail, time that passes, and
// restarts. After each step the book is a recount of the log, nobody is past a
// limit, and whoever got a receipt is in the log.
func (c *counted) run(r *rapid.T) {
	if c.at.Year() > 2090 {
		c.fresh()
	}
	c.runs++
	from, let := c.i.Log.Committed(), 0
	ok := func(err error) {
		if err != nil {
			r.Fatal(err)
		}
	}
	drawAsk := rapid.Custom(func(r *rapid.T) ask {
		return ask{rapid.IntRange(0, 1).Draw(r, "staff"), rapid.IntRange(1, 12).Draw(r, "who"), rapid.IntRange(1, 4).Draw(r, "fields")}
	})
	for range rapid.IntRange(1, 8).Draw(r, "steps") {
		c.at = c.at.Add(time.Second * time.Duration(rapid.SampledFrom([]int{0, 0, 1, 3599, 3600, 3601, 86399, 86400, 30*86400 - 1, 30 * 86400}).Draw(r, "later")))
		c.set(c.at)
		asks := rapid.SliceOfN(drawAsk, 1, 8).Draw(r, "asks")
		breaks := rapid.IntRange(0, 2).Draw(r, "breaks") == 0
		errs := make([]error, len(asks))
		var broken error
		var wg sync.WaitGroup
		for n, a := range asks {
			wg.Go(func() { _, errs[n] = c.i.Log.RecordOne(c.t.Context(), c.event(a)) })
		}
		if breaks {
			wg.Go(func() { broken = c.failing(asks[0]) })
		}
		wg.Wait()
		ok(broken)
		for _, err := range errs {
			if err == nil {
				let++
			} else if !errors.Is(err, budget.ErrSpent) {
				r.Fatal(err)
			}
		}
		if rapid.IntRange(0, 4).Draw(r, "restart") == 0 {
			ok(c.i.Close())
			c.open()
		}
		want, reads, err := c.recount(from)
		ok(err)
		if reads != let || let == 0 {
			r.Fatalf("%d reads were let through, %d are in the log", let, reads)
		}
		got := map[string]budget.Limits{}
		for _, l := range c.i.Budgets.Lines(c.at) {
			if l.Kind == budget.Staff && strings.HasPrefix(l.ID, fmt.Sprintf("r%d-", c.runs)) {
				got[l.ID] = l.Used
			}
		}
		for staff, used := range want {
			if used == (budget.Limits{}) { // one who opened nothing for thirty days may be forgotten
				delete(want, staff)
			}
			for w := range used {
				if used[w].Persons > small[w].Persons || used[w].Points > small[w].Points {
					r.Fatalf("%s is past a limit: %v", staff, used)
				}
			}
		}
		for staff, used := range got {
			if used == (budget.Limits{}) {
				delete(got, staff)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			r.Fatalf("the book isn't a recount of the log (-log +book):\n%s", diff)
		}
	}
}

// TestBudgetsAreARecount holds that on both engines' own commits and restarts.
func TestBudgetsAreARecount(t *testing.T) {
	checks := flag.Lookup("rapid.checks").Value
	before := checks.String()
	must(t, checks.Set(fmt.Sprint(insttest.Soak(6, 1000))))
	t.Cleanup(func() { _ = checks.Set(before) })
	insttest.Each(t, func(t *testing.T, engine string) {
		c := &counted{t: t, engine: engine}
		c.fresh()
		t.Cleanup(func() { _ = c.i.Close() })
		rapid.Check(t, c.run)
	})
}
