package auditlog_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"azekura/auditlog"
	"azekura/internal/db"

	"golang.org/x/mod/sumdb/tlog"
)

func grant(n int) auditlog.Event {
	return auditlog.Event{Action: auditlog.Grant, Outcome: "ok", Staff: "s-01", Detail: fmt.Appendf(nil, `{"grants":"test","n":%d}`, n)}
}

// withGrants records ten grants, 300 reads and one grant more, and stops.
func withGrants(t *testing.T, in *installation) {
	t.Helper()
	for n := range 10 {
		_, err := in.log.RecordOne(t.Context(), grant(n))
		ok(t, err)
	}
	in.record(t, 300)
	_, err := in.log.RecordOne(t.Context(), grant(310))
	ok(t, err)
}

// heard are the indexes of the events of authority.
func heard(t *testing.T, l *auditlog.Log) (list []int64, err error) {
	t.Helper()
	err = l.Authority(t.Context(), func(e auditlog.Event) error {
		list = append(list, e.Index)
		return nil
	})
	return list, err
}

// TestAuthority: the events that grant are found by their index, all and in
// order, before and after a restart.
func TestAuthority(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		withGrants(t, in)
		const want = "[0 1 2 3 4 5 6 7 8 9 310]"
		for range 2 {
			if list, err := heard(t, in.log); err != nil || fmt.Sprint(list) != want {
				t.Errorf("heard %v, %v", list, err)
			}
			in.stop(t)
			in.start(t)
		}
		wrong := errors.New("no good")
		if err := in.log.Authority(t.Context(), func(auditlog.Event) error { return wrong }); !errors.Is(err, wrong) {
			t.Errorf("what the listener refused: %v", err)
		}
		// A signer that an earlier version of the program left.
		ok(t, in.signer.ForgetAuthority())
		in.kill()
		in.start(t)
		if list, err := heard(t, in.log); err != nil || fmt.Sprint(list) != want {
			t.Errorf("heard %v, %v", list, err)
		}
	})
}

// TestAuthorityTampered: what a database administrator does to the events that
// grant is found, by their index alone, and named.
func TestAuthorityTampered(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(h hand)
		says string
	}{
		"a grant hidden":   {func(h hand) { h.column(3, "action", "1") }, "event 3: the column action"},
		"a read made one":  {func(h hand) { h.column(40, "action", "9") }, "event 40: the column action"},
		"a grant deleted":  {func(h hand) { h.exec("DELETE FROM log_event WHERE idx = 5") }, "event 5 is missing"},
		"a grant altered":  {func(h hand) { h.forge(4) }, "4"},
		"the last altered": {func(h hand) { h.forge(310) }, "310"},
		"two swapped": {func(h hand) {
			a, b := h.line(1), h.line(2)
			h.exec("UPDATE log_event SET line = $1 WHERE idx = 1", b)
			h.exec("UPDATE log_event SET line = $1 WHERE idx = 2", a)
		}, "event 1"},
		"none is left": {func(h hand) { h.exec("UPDATE log_event SET action = 1 WHERE action = 9") }, "event 0: the column action"},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, in *installation) {
				withGrants(t, in)
				tx, err := in.d.Begin(t.Context())
				ok(t, err)
				c.do(hand{t, tx})
				ok(t, tx.Commit(t.Context()))
				_, err = heard(t, in.log)
				if !errors.Is(err, auditlog.ErrAuthority) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "azekura log verify") {
					t.Errorf("it should say %q: %v", c.says, err)
				}
			})
		})
	}
}

// TestForgedTail: a grant appended to a log that stands still, its head and its
// root moved as they should be, isn't signed at the next start.
func TestForgedTail(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		in.record(t, 3)
		in.log.Close()
		forged := grant(1)
		var lines [][]byte
		for n := range 3 {
			var line []byte
			ok(t, in.d.QueryRow(t.Context(), "SELECT line FROM log_event WHERE idx = $1", []any{int64(n)}, &line))
			lines = append(lines, line)
		}
		line := []byte(`{"v":1,"log":1,"index":3,"time":"2026-05-08T00:00:00.000000Z","action":"grant","outcome":"ok","staff":"s-01","detail":` +
			string(forged.Detail) + `,"salt":"AAECAwQFBgcICQoLDA0ODw"}`)
		if _, err := auditlog.ParseLine(line); err != nil {
			t.Fatal(err)
		}
		var hashes []tlog.Hash
		reader := tlog.HashReaderFunc(func(indexes []int64) (list []tlog.Hash, err error) {
			for _, i := range indexes {
				list = append(list, hashes[i])
			}
			return list, nil
		})
		for n, line := range append(lines, line) {
			stored, err := tlog.StoredHashes(int64(n), line, reader)
			ok(t, err)
			hashes = append(hashes, stored...)
		}
		root, err := tlog.TreeHash(4, reader)
		ok(t, err)
		tx, err := in.d.Begin(t.Context())
		ok(t, err)
		h := hand{t, tx}
		h.exec(`INSERT INTO log_event (log_id, idx, time_us, action, session_id, session_seq, participant_seq, fields, line)
			VALUES (1, 3, 1778198400000000, 9, 0, 0, 0, 0, $1)`, line)
		h.exec("UPDATE log_head SET size = 4, root = $1 WHERE log_id = 1", root[:])
		ok(t, tx.Commit(t.Context()))
		if log, err := in.lead(); !errors.Is(err, auditlog.ErrSigner) || !strings.Contains(err.Error(), "somebody else than this log's sequencer") {
			t.Errorf("the forged grant: %v, %v", log, err)
		}
		if size, _ := in.signer.Head(); size != 3 {
			t.Errorf("the signer signed %d events", size)
		}
	})
}

// TestAlarms: an alarm is recorded once an hour, and so many at the most.
func TestAlarms(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		for n := range 250 {
			for range 2 {
				ok(t, in.log.Raise(t.Context(), auditlog.Tampering{Table: "register_version", Key: fmt.Sprint("p-", n), Kind: "altered"}))
			}
		}
		list, err := in.log.Alarms(t.Context())
		ok(t, err)
		if len(list) != 201 || list[0].Key != "p-0" || list[0].Table != "register_version" || list[0].Index != 0 || list[200].Table != "any" {
			t.Errorf("%d alarms", len(list))
		}
		if e := in.line(t, 0); e.Action != auditlog.Alarm || e.Outcome != "found" || !json.Valid(e.Detail) {
			t.Errorf("%+v", e)
		}
	})
}

// TestAuthorityByItsIndex: a start must not read every event.
func TestAuthorityByItsIndex(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		withGrants(t, in)
		explain := "EXPLAIN QUERY PLAN "
		if in.d.Engine() == db.PostgreSQL {
			explain = "EXPLAIN "
		}
		rows, err := in.d.Query(t.Context(), explain+auditlog.SelectAuthority, int64(1), int64(311))
		ok(t, err)
		defer rows.Close()
		var plan strings.Builder
		for rows.Next() {
			var id, parent, unused int64
			var text string
			if in.d.Engine() == db.PostgreSQL {
				err = rows.Scan(&text)
			} else {
				err = rows.Scan(&id, &parent, &unused, &text)
			}
			ok(t, err)
			plan.WriteString(text + "\n")
		}
		ok(t, rows.Err())
		if !strings.Contains(plan.String(), "log_event_authority") || strings.Contains(plan.String(), "Sort") {
			t.Errorf("plan:\n%s", &plan)
		}
	})
}
