package installation_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/register/field"
)

// TestVerifyDaily: a server verifies everything by itself when the hour has gone by,
// once, while it reads; what is wrong is an alarm in the log and a line in the
// server's own. The index is looked at although a version is wrong too.
func TestVerifyDaily(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 40)
		ids := everybody(t, o.Installation)
		index := fmt.Sprintf("register_index_%d", o.Ring.State().Index%2)
		exec := func(sql string, args ...any) {
			t.Helper()
			if _, err := o.DB.Exec(t.Context(), sql, args...); err != nil {
				t.Fatal(err)
			}
		}
		exec("DELETE FROM register_version WHERE participant_id = $1", ids[3][:])
		exec("UPDATE register_version SET packed = (SELECT packed FROM register_version WHERE participant_id = $2) WHERE participant_id = $1", ids[5][:], ids[6][:])
		exec("DELETE FROM "+index+" WHERE participant_id = $1", ids[7][:])
		exec("INSERT INTO "+index+" SELECT token, $1 FROM "+index+" WHERE participant_id = $2", ids[11][:], ids[12][:])
		o.stop(t)
		replaceInConfig(t, o.dir, `"created": "20`, `"created": "19`)

		var mu sync.Mutex
		var said []string
		serve := func() {
			o.start(t)
			o.Trouble = func(err error) {
				mu.Lock()
				defer mu.Unlock()
				said = append(said, err.Error())
			}
			if err := o.StartJobs(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := o.VerifyDaily(); err != nil {
				t.Fatal(err)
			}
		}
		serve()
		for deadline := time.Now().Add(time.Minute); o.verifications(t) == 0; {
			if time.Now().After(deadline) {
				mu.Lock()
				t.Fatal("nothing was verified: ", said)
			}
			if _, err := o.Gate.Read(t.Context(), o.session, gate.ReadRequest{Who: gate.Who{Participant: ids[20]}, Why: insttest.Why, Fields: field.SetOf(field.Name)}); err != nil {
				t.Fatal(err)
			}
		}
		alarms, err := o.Log.Alarms(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for key, what := range map[string]string{ids[3].String(): "", ids[5].String(): "was altered", ids[7].String(): "a row of the index is gone", ids[11].String(): "by what was never theirs"} {
			found := false
			for _, a := range alarms {
				found = found || a.Key == key && strings.Contains(a.Kind, what)
			}
			if !found {
				t.Errorf("no alarm about %s (%q): %v", key, what, alarms)
			}
		}
		o.stop(t) // waits for the job, which says it last
		mu.Lock()
		if all := strings.Join(said, "\n"); !strings.Contains(all, "ALARM: the daily verification found") || strings.Count(all, "ALARM") != 1 {
			t.Errorf("the server says %q", all)
		}
		mu.Unlock()

		// Once a day: a start behind it has nothing to do.
		serve()
		o.read(t, 1)
		o.stop(t)
		o.start(t)
		if n := o.verifications(t); n != 1 {
			t.Errorf("%d verifications", n)
		}
		o.stop(t)
		replaceInConfig(t, o.dir, `"log_id"`, `"verify": {"hour": 24}, "log_id"`)
		o.start(t)
		if err := o.StartJobs(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := o.VerifyDaily(); err == nil || !strings.Contains(err.Error(), "0 to 23") {
			t.Error(err)
		}
	})
}

// verifications counts the events that say that everything was verified.
func (o *office) verifications(t *testing.T) (n int) {
	t.Helper()
	for _, e := range insttest.Events(t, o.Installation) {
		if e.Action == auditlog.System && e.Purpose == "verify" {
			n++
		}
	}
	return n
}

// TestHours: the next hour is today's or tomorrow's, and one that went by is due.
func TestHours(t *testing.T) {
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 5, day, hour, minute, 0, 0, time.UTC) }
	for _, c := range []struct {
		since, now time.Time
		due        bool
	}{
		{at(1, 2, 0), at(1, 2, 59), false},
		{at(1, 2, 0), at(1, 3, 0), true},
		{at(1, 3, 0), at(1, 23, 0), false},
		{at(1, 3, 20), at(2, 2, 0), false},
		{at(1, 3, 20), at(2, 3, 0), true},
		{at(1, 3, 20), at(9, 1, 0), true},
	} {
		if got := installation.Missed(3, c.since, c.now); got != c.due {
			t.Errorf("verified %s, now %s: due %v", c.since, c.now, got)
		}
	}
}
