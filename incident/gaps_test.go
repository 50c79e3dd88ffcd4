package incident_test

import (
	"errors"
	"strings"
	"testing"

	"azekura/auditlog"
	"azekura/incident"
	"azekura/register/field"

	"github.com/google/go-cmp/cmp"
)

// twoSessions is a log of eight reads, by turns of session 1 and session 2, so
// that index i is number 1+i/2 of its session. Each is of somebody else.
func twoSessions(t testing.TB, l *testLog) {
	for n := range 8 {
		l.at(int64(n))
		l.record(t, opened(auditlog.Session(1+n%2), n, field.Name))
	}
}

// TestGapsAreNamed does what a database's administrator could, and expects the
// answer about session 1 to say that it lacks something, and what.
func TestGapsAreNamed(t *testing.T) {
	const one = "z0000000000000001"
	for name, c := range map[string]struct {
		sql  []string
		want []incident.Gap
	}{
		"untouched": {},
		"in the middle": {[]string{"DELETE FROM log_event WHERE idx = 2"},
			[]incident.Gap{{Kind: incident.Missing, Session: one, From: 2, To: 2}}},
		"two apart and two together": {[]string{"DELETE FROM log_event WHERE idx IN (2, 4, 5)"},
			[]incident.Gap{{Kind: incident.Missing, Session: one, From: 2, To: 3}}},
		"the session's last three and others": {[]string{"DELETE FROM log_event WHERE idx IN (2, 4, 5, 6)"},
			[]incident.Gap{{Kind: incident.Cut, From: 2, To: 2}, {Kind: incident.Cut, From: 4, To: 6}}},
		"the other session's only": {[]string{"DELETE FROM log_event WHERE idx IN (1, 3, 5)"}, nil},
		"after the session's last": {[]string{"DELETE FROM log_event WHERE idx = 7"},
			[]incident.Gap{{Kind: incident.Cut, From: 7, To: 7}}}, // it may have been the session's
		"the session's last": {[]string{"DELETE FROM log_event WHERE idx = 6"},
			[]incident.Gap{{Kind: incident.Cut, From: 6, To: 6}}},
		"the log's last": {[]string{"DELETE FROM log_event WHERE idx >= 6"},
			[]incident.Gap{{Kind: incident.Cut, From: 6, To: 7}}},
		"the session's first": {[]string{"DELETE FROM log_event WHERE idx = 0"},
			[]incident.Gap{{Kind: incident.Missing, Session: one, From: 1, To: 1}}},
		"before the session began": {[]string{"DELETE FROM log_event WHERE idx = 0", "UPDATE log_event SET session_seq = session_seq - 1 WHERE session_id = 1"},
			nil}, // only log verify sees this one: the columns were altered too
		"the whole session": {[]string{"DELETE FROM log_event WHERE session_id = 1"},
			[]incident.Gap{{Kind: incident.Unknown, Session: one}}},
		"given to another session": {[]string{"UPDATE log_event SET session_id = 2, session_seq = 5 WHERE idx = 4"},
			[]incident.Gap{{Kind: incident.Missing, Session: one, From: 3, To: 3}}},
		"twice the same number": {[]string{"UPDATE log_event SET session_seq = 1 WHERE idx = 2"},
			[]incident.Gap{{Kind: incident.Repeated, Session: one, From: 1, To: 1}, {Kind: incident.Missing, Session: one, From: 2, To: 2}}},
		"a number before the first": {[]string{"UPDATE log_event SET session_seq = 0 WHERE idx = 0"},
			[]incident.Gap{{Kind: incident.Repeated, Session: one}, {Kind: incident.Missing, Session: one, From: 1, To: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, l *testLog) {
				twoSessions(t, l)
				for _, sql := range c.sql {
					l.exec(t, sql)
				}
				// A window doesn't hide what is missing outside it.
				for _, q := range []incident.Query{{}, {Until: when(1)}} {
					q.Sessions = []auditlog.Session{1}
					e := l.ask(t, q)
					if e.Gaps == nil || e.Complete != (len(c.want) == 0) {
						t.Errorf("complete: %v, gaps: %v", e.Complete, e.Gaps)
					}
					if diff := cmp.Diff(append([]incident.Gap{}, c.want...), e.Gaps); diff != "" {
						t.Errorf("until %s, gaps (-want +got):\n%s", q.Until, diff)
					}
				}
			})
		})
	}
}

// TestGapsBeyondAThousandAreCounted: the answer stays readable, and no less
// incomplete.
func TestGapsBeyondAThousandAreCounted(t *testing.T) {
	onBoth(t, func(t *testing.T, l *testLog) {
		l.record(t, opened(1, 1, field.Name))
		l.exec(t, "UPDATE log_event SET session_seq = 2")
		sql := "INSERT INTO log_event (log_id, idx, time_us, action, session_id, session_seq, participant_seq, fields, line) VALUES (1, $1, 0, 1, 1, $2, 0, 0, '')"
		for n := 1; n < 1100; n++ {
			l.exec(t, sql, 1000+n, 2+2*n)
		}
		e := l.ask(t, incident.Query{Sessions: []auditlog.Session{1}})
		if e.Complete || len(e.Gaps) != 1000 || e.UnlistedGaps != 100 {
			t.Errorf("complete %v, %d gaps and %d more", e.Complete, len(e.Gaps), e.UnlistedGaps)
		}
	})
}

// TestSetsThatDontAgree: members that were altered are an error that names the
// event, never a smaller answer.
func TestSetsThatDontAgree(t *testing.T) {
	for name, c := range map[string]struct{ sql, want string }{
		"block gone":        {"DELETE FROM log_set_block WHERE block = 1", "set event 1: its members don't agree"},
		"last block gone":   {"DELETE FROM log_set_block WHERE block = 2", "set event 1: its members don't agree"},
		"blocks exchanged":  {"UPDATE log_set_block SET block = 5 WHERE block = 1", "set event 1: its members don't agree"},
		"another's block":   {"UPDATE log_set_block SET sealed = (SELECT sealed FROM log_set_block WHERE block = 0) WHERE block = 1", "set event 1: its members don't agree"},
		"all gone":          {"DELETE FROM log_set_block", "set event 1: its members don't agree"},
		"a block cut short": {"UPDATE log_set_block SET sealed = line FROM log_event WHERE idx = 0", "set event 1: a block of a set's members has a broken length"},
		"fields altered":    {"UPDATE log_event SET fields = 1 WHERE idx = 1", "event 1: its columns don't repeat its line"},
		"time altered":      {"UPDATE log_event SET time_us = 1 WHERE idx = 1", "event 1: its columns don't repeat its line"},
		"line altered":      {"UPDATE log_event SET line = (SELECT sealed FROM log_set_block WHERE block = 2) WHERE idx = 1", "read event 1: not a line that this log writes"},
		"participant altered": {"UPDATE log_event SET participant_id = (SELECT sealed FROM log_set_block WHERE block = 2) WHERE idx = 1",
			"a participant's id has 48 bytes"},
		"read made a set":       {"UPDATE log_event SET participant_id = NULL WHERE idx = 0", "event 0: its columns don't repeat its line"},
		"fields that can't be":  {"UPDATE log_event SET fields = 4294967296 WHERE idx = 0", "event 1 opened fields that don't exist"},
		"fields less than none": {"UPDATE log_event SET fields = -1 WHERE idx = 0", "event 1 opened fields that don't exist"},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, l *testLog) {
				l.record(t, opened(1, 1, field.Name))
				members := make([]auditlog.Member, 2*auditlog.BlockMembers+2)
				for i := range members {
					members[i] = auditlog.Member{ID: who(i), Fields: field.SetOf(field.Name), Version: 1}
				}
				l.set(t, auditlog.Event{Session: 1}, true, members...)
				q := incident.Query{Sessions: []auditlog.Session{1}}
				if e := l.ask(t, q); e.Participants != int64(len(members)) {
					t.Fatalf("%d participants before", e.Participants)
				}
				l.exec(t, c.sql)
				if _, err := incident.Compute(t.Context(), l.source(), q, nil); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %s", err, c.want)
				}
			})
		})
	}
}

// TestSetThatCantBeOpened: without its key there is no answer either.
func TestSetThatCantBeOpened(t *testing.T) {
	onBoth(t, func(t *testing.T, l *testLog) {
		l.set(t, auditlog.Event{Session: 1}, true, auditlog.Member{ID: who(1), Fields: field.SetOf(field.Name), Version: 1})
		noKey := errors.New("no key")
		src := l.source()
		src.OpenMembers = func(int64, int64, []byte) ([]byte, error) { return nil, noKey }
		_, err := incident.Compute(t.Context(), src, incident.Query{Sessions: []auditlog.Session{1}}, nil)
		if !errors.Is(err, noKey) || !strings.Contains(err.Error(), "set event 0: open block 0") {
			t.Errorf("got %v", err)
		}
	})
}
