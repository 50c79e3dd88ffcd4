package incident_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/incident"
	"azekura/register/field"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// seen is what an exposure says of one participant.
type seen struct {
	Fields      field.Set
	First, Last time.Time
	Openings    int64
}

// listed reads an exposure through Each, which must be in order.
func listed(t rapid.TB, e *incident.Exposure) map[uuid.UUID]seen {
	all, before := map[uuid.UUID]seen{}, uuid.UUID{}
	err := e.Each(func(id uuid.UUID, fields field.Set, first, last time.Time, openings int64) error {
		if slices.Compare(before[:], id[:]) >= 0 {
			t.Errorf("%s comes after %s", id, before)
		}
		before = id
		all[id] = seen{fields, first, last, openings}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return all
}

// recount is the exposure by the longest way: every line of the log, parsed,
// and set members as the test remembers them.
func recount(t rapid.TB, l *testLog, q incident.Query, sets map[int64][]auditlog.Member) map[uuid.UUID]seen {
	all := map[uuid.UUID]seen{}
	rows, err := l.db.Query(context.Background(), "SELECT line FROM log_event ORDER BY idx")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line []byte
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		e, err := auditlog.ParseLine(line)
		if err != nil {
			t.Fatal(err)
		}
		at := time.UnixMicro(e.Time).UTC()
		if !slices.Contains(q.Sessions, e.Session) || !q.Since.IsZero() && at.Before(q.Since) || !q.Until.IsZero() && !at.Before(q.Until) {
			continue
		}
		if e.Set == nil && e.Opened() != 0 && e.Participant != (uuid.UUID{}) {
			addSeen(all, e.Participant, e.Opened(), at)
		}
		if e.Set != nil && e.Set.Opens {
			for _, m := range sets[e.Set.ID] {
				if m.Fields != 0 {
					addSeen(all, m.ID, m.Fields, at)
				}
			}
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func addSeen(all map[uuid.UUID]seen, id uuid.UUID, fields field.Set, at time.Time) {
	s, known := all[id]
	if !known || at.Before(s.First) {
		s.First = at
	}
	if at.After(s.Last) {
		s.Last = at
	}
	s.Fields |= fields
	s.Openings++
	all[id] = s
}

// TestExposureIsWhatTheLinesSay holds the answer against a recount of lines, for
// whatever happens in a log and whatever is asked.
func TestExposureIsWhatTheLinesSay(t *testing.T) {
	onBoth(t, func(t *testing.T, l *testLog) {
		now, session := int64(0), auditlog.Session(0)
		rapid.Check(t, func(r *rapid.T) {
			first := session + 1 // the log is shared, the sessions are new
			session += 4
			began := now
			sets := map[int64][]auditlog.Member{}
			for range rapid.IntRange(0, 25).Draw(r, "events") {
				now += rapid.Int64Range(0, 3).Draw(r, "pause")
				l.at(now)
				e := anyEvent(r, first)
				if e.Action != auditlog.Set {
					l.record(t, e)
					continue
				}
				members := rapid.SliceOfN(rapid.Custom(anyMember), 1, 6).Draw(r, "members")
				sets[l.set(t, e, rapid.Bool().Draw(r, "opens"), members...)] = members
			}
			q := anyQuery(r, first, began, now)
			e := l.ask(t, q)
			want := recount(r, l, q, sets)
			if diff := cmp.Diff(want, listed(r, e)); diff != "" {
				r.Fatalf("exposure (-lines +computed):\n%s", diff)
			}
			checkFigures(r, e, want)
		})
	})
}

// anyEvent is one of the kinds that open something or don't, in one of three
// sessions or in none.
func anyEvent(r *rapid.T, first auditlog.Session) auditlog.Event {
	e := auditlog.Event{Outcome: "ok", Purpose: "enquiry",
		Action:  rapid.SampledFrom([]auditlog.Action{auditlog.Read, auditlog.Show, auditlog.Check, auditlog.Checked, auditlog.Search, auditlog.Deny, auditlog.Change, auditlog.Set}).Draw(r, "action"),
		Session: rapid.SampledFrom([]auditlog.Session{0, first, first, first + 1, first + 2}).Draw(r, "session")}
	if e.Action == auditlog.Set || e.Action == auditlog.Search {
		return e
	}
	if n := rapid.IntRange(0, 5).Draw(r, "participant"); n > 0 {
		e.Participant = who(n)
	}
	e.Fields = versions(anyFields(r)...)
	if e.Action == auditlog.Show {
		e.Fields = versions(field.Existence, field.Mask)
	}
	if e.Participant == (uuid.UUID{}) && e.Action == auditlog.Read {
		e.Action = auditlog.Check // a read is always of somebody
	}
	return e
}

func anyFields(r *rapid.T) []field.Field {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(field.All()), 1, 4, rapid.ID).Draw(r, "fields")
}

func anyMember(r *rapid.T) auditlog.Member {
	m := auditlog.Member{ID: who(rapid.IntRange(1, 8).Draw(r, "member")), Version: 1}
	if rapid.IntRange(0, 4).Draw(r, "written only") > 0 {
		m.Fields = field.SetOf(anyFields(r)...)
	}
	return m
}

// anyQuery asks for some of the sessions, one of them perhaps unknown or named
// twice, in a window that is open or not.
func anyQuery(r *rapid.T, first auditlog.Session, began, now int64) incident.Query {
	q := incident.Query{Sessions: rapid.SliceOf(rapid.SampledFrom([]auditlog.Session{first, first + 1, first + 2, first + 3})).Draw(r, "asked")}
	since, until := rapid.Int64Range(began, now).Draw(r, "since"), rapid.Int64Range(began, now+1).Draw(r, "until")
	if rapid.Bool().Draw(r, "from") {
		q.Since = when(since)
	}
	if rapid.Bool().Draw(r, "to") && (q.Since.IsZero() || since < until) {
		q.Until = when(until)
	}
	return q
}

// checkFigures recounts the sums from the participants.
func checkFigures(t rapid.TB, e *incident.Exposure, want map[uuid.UUID]seen) {
	figures := incident.Figures{Participants: int64(len(want)), Fields: map[string]int64{}}
	var openings int64
	var first, last time.Time
	for _, s := range want {
		openings += s.Openings
		if first.IsZero() || s.First.Before(first) {
			first = s.First
		}
		if s.Last.After(last) {
			last = s.Last
		}
		for _, f := range s.Fields.Fields() {
			figures.Fields[f.String()]++
		}
	}
	var inCombinations int64
	for _, c := range e.Combinations {
		inCombinations += c.Participants
	}
	got := e.Figures
	got.Combinations = nil
	if diff := cmp.Diff(figures, got); diff != "" {
		t.Fatalf("figures (-lines +computed):\n%s", diff)
	}
	if e.Openings != openings || !e.First.Equal(first) || !e.Last.Equal(last) || inCombinations != e.Participants {
		t.Fatalf("%d openings from %s to %s, %d in combinations; the lines say %d from %s to %s", e.Openings, e.First, e.Last, inCombinations, openings, first, last)
	}
}

// TestCombinationsAsTheReferenceCaseGivesThem: unions over a participant's
// openings, the most frequent first, equals by name.
func TestCombinationsAsTheReferenceCaseGivesThem(t *testing.T) {
	onBoth(t, func(t *testing.T, l *testLog) {
		l.record(t,
			opened(1, 1, field.Number, field.Name), opened(1, 2, field.Number), opened(2, 2, field.Name, field.Birth),
			opened(2, 3, field.Number, field.Name, field.Birth), opened(1, 4, field.Number, field.Name, field.Birth, field.Address),
			opened(1, 3, field.Name), opened(9, 5, field.Account),
			auditlog.Event{Action: auditlog.Show, Session: 2, Participant: who(6), Fields: versions(field.Existence, field.Mask)},
			auditlog.Event{Action: auditlog.Check, Session: 2, Participant: who(7), Fields: versions(field.Phone)},
			auditlog.Event{Action: auditlog.Deny, Session: 2, Participant: who(8), Fields: versions(field.Account)})
		e := l.ask(t, incident.Query{Sessions: []auditlog.Session{1, 2}})
		want := incident.Figures{Participants: 6,
			Fields: map[string]int64{"number": 4, "name": 4, "birth": 3, "address": 1, "existence": 2, "mask": 1},
			Combinations: []incident.Combination{
				{Fields: []string{"number", "name", "birth"}, Participants: 2},
				{Fields: []string{"existence"}, Participants: 1},
				{Fields: []string{"existence", "mask"}, Participants: 1},
				{Fields: []string{"number", "name"}, Participants: 1},
				{Fields: []string{"number", "name", "birth", "address"}, Participants: 1},
			}}
		if diff := cmp.Diff(want, e.Figures); diff != "" {
			t.Errorf("figures (-want +got):\n%s", diff)
		}
		if !e.Complete || e.Openings != 8 || e.Head.Size != 10 {
			t.Errorf("complete %v, %d openings, head of %d", e.Complete, e.Openings, e.Head.Size)
		}
	})
}

func TestWindowTakesItsFirstMomentAndNotItsLast(t *testing.T) {
	onBoth(t, func(t *testing.T, l *testLog) {
		for n := range 4 {
			l.at(int64(n))
			l.record(t, opened(1, n, field.Name))
		}
		for _, c := range []struct {
			since, until time.Time
			want         int64
		}{
			{want: 4},
			{since: when(1), want: 3},
			{until: when(1), want: 1},
			{since: when(1), until: when(3), want: 2},
			{since: when(4), want: 0},
			{since: when(1).Add(500), until: when(2).Add(1), want: 2}, // within a microsecond: outwards
		} {
			e := l.ask(t, incident.Query{Sessions: []auditlog.Session{1}, Since: c.since, Until: c.until})
			if e.Participants != c.want || !e.Complete {
				t.Errorf("from %s until %s: %d participants, complete %v; want %d", c.since, c.until, e.Participants, e.Complete, c.want)
			}
		}
	})
}

func TestQueriesWithoutAnswer(t *testing.T) {
	onBoth(t, func(t *testing.T, l *testLog) {
		for name, q := range map[string]incident.Query{
			"backwards": {Since: when(2), Until: when(1)},
			"empty":     {Since: when(1), Until: when(1)},
			"nobody's":  {Sessions: []auditlog.Session{0}},
		} {
			if _, err := incident.Compute(t.Context(), l.source(), q, nil); !errors.Is(err, incident.ErrQuery) {
				t.Errorf("%s: %v", name, err)
			}
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		l.record(t, opened(1, 1, field.Name))
		if _, err := incident.Compute(ended, l.source(), incident.Query{Sessions: []auditlog.Session{1}}, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// TestNobodyExposed: no session at all, or one that opened nothing, is a
// complete answer.
func TestNobodyExposed(t *testing.T) {
	onBoth(t, func(t *testing.T, l *testLog) {
		l.record(t, auditlog.Event{Action: auditlog.Grant, Session: 1}, auditlog.Event{Action: auditlog.Deny, Session: 1, Participant: who(1)})
		for _, sessions := range [][]auditlog.Session{nil, {1}, {1, 1}} {
			e := l.ask(t, incident.Query{Sessions: sessions})
			if e.Participants != 0 || e.Openings != 0 || !e.Complete || !e.First.IsZero() || len(listed(t, e)) != 0 {
				t.Errorf("sessions %v: %+v", sessions, e)
			}
		}
	})
}

// TestNothingReleasedIsMissed asks while others read: what had its receipt
// before the question is in the answer, and the answer is complete.
func TestNothingReleasedIsMissed(t *testing.T) {
	onBoth(t, func(t *testing.T, l *testLog) {
		l.record(t, opened(1, 0, field.Name), opened(2, 1, field.Name)) // so that both sessions are known
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		released := map[uuid.UUID]bool{}
		var wg sync.WaitGroup
		for caller := range 4 {
			wg.Go(func() {
				for n := caller; ctx.Err() == nil; n += 4 {
					e := opened(auditlog.Session(1+caller%2), n%4000, field.Name)
					if _, err := l.RecordOne(context.Background(), e); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					released[e.Participant] = true
					mu.Unlock()
				}
			})
		}
		for range 20 {
			mu.Lock()
			before := make([]uuid.UUID, 0, len(released))
			for id := range released {
				before = append(before, id)
			}
			mu.Unlock()
			e := l.ask(t, incident.Query{Sessions: []auditlog.Session{1, 2}})
			all := listed(t, e)
			for _, id := range before {
				if _, ok := all[id]; !ok {
					t.Errorf("%s was released and isn't in the exposure", id)
				}
			}
			if !e.Complete {
				t.Errorf("gaps in a whole log: %v", e.Gaps)
			}
		}
		cancel()
		wg.Wait()
	})
}

func TestProgressRisesToTheOpenings(t *testing.T) {
	onBoth(t, func(t *testing.T, l *testLog) {
		members := make([]auditlog.Member, 40_000)
		for i := range members {
			members[i] = auditlog.Member{ID: who(i), Fields: field.SetOf(field.Name, field.Address), Version: 1}
		}
		l.set(t, auditlog.Event{Session: 1}, true, members...)
		var told []int64
		e, err := incident.Compute(t.Context(), l.source(), incident.Query{Sessions: []auditlog.Session{1}}, func(done int64) { told = append(told, done) })
		if err != nil {
			t.Fatal(err)
		}
		if len(told) < 3 || !slices.IsSorted(told) || told[len(told)-1] != e.Openings || e.Openings != 40_000 || e.Sets != 1 {
			t.Errorf("told %v of %d openings in %d sets", told, e.Openings, e.Sets)
		}
		if want := fmt.Sprint([]incident.Combination{{Fields: []string{"name", "address"}, Participants: 40_000}}); fmt.Sprint(e.Combinations) != want {
			t.Errorf("combinations %v, want %s", e.Combinations, want)
		}
	})
}
