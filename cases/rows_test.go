package cases_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/cases"
	"azekura/gate"
	"azekura/internal/insttest"

	"github.com/google/go-cmp/cmp"
)

// alarms are how many there are about a table, each kind counted once an hour.
func (o *office) alarms(table string) (n int) {
	o.Helper()
	list, err := o.i.Log.Alarms(o.Context())
	o.ok(err)
	for _, a := range list {
		if a.Table == table {
			n++
		}
	}
	return n
}

func (o *office) exec(sql string, args ...any) {
	o.Helper()
	n, err := o.i.DB.Exec(o.Context(), sql, args...)
	o.ok(err)
	if n == 0 {
		o.Fatalf("%s changed nothing", sql)
	}
}

// TestRestart: open, waiting and closed cases are after a restart what they were,
// from a snapshot, from a snapshot and events behind it, and from all events.
func TestRestart(t *testing.T) {
	each(t, 3, func(o *office) {
		open, waiting, closed := o.open(cases.Call), o.open(cases.Visit), o.open(cases.Letter)
		_, err := o.i.Cases.SetWaiting(o.Context(), by(o.one), waiting, true)
		o.ok(err)
		_, err = o.i.Cases.AddTask(o.Context(), by(o.one), waiting, "call-back", o.i.Log.Now().Add(72*time.Hour))
		o.ok(err)
		o.ok(o.i.Cases.Write(o.Context()))
		_, err = o.i.Cases.Close(o.Context(), by(o.one), closed, "answered")
		o.ok(err)
		look := func() (list []any) {
			for _, code := range []string{open, waiting, closed} {
				info, steps, err := o.i.Cases.Show(o.Context(), by(o.one), code)
				o.ok(err)
				list = append(list, info, steps)
			}
			return list
		}
		want := look()
		for _, how := range []string{"a snapshot", "no snapshot", "a snapshot again"} {
			if how == "no snapshot" {
				o.exec("DELETE FROM case_snapshot")
			}
			o.again()
			if diff := cmp.Diff(want, look()); diff != "" {
				o.Errorf("after a restart from %s: %s", how, diff)
			}
		}
		if o.read(o.one, open, "enquiry", 0) != nil || o.read(o.one, waiting, "visit", 0) == nil || o.read(o.one, closed, "letter", 0) == nil {
			o.Error("after restarts the cases permit something else")
		}
		if n := o.alarms("case_snapshot") + o.alarms("case_file"); n != 0 {
			o.Errorf("%d alarms, and nobody tampered", n)
		}
	})
}

// TestRowsGrantNothing is what a database's administrator could do to a case's row
// to open more than the log says: each is an alarm at the start, and opens nothing.
func TestRowsGrantNothing(t *testing.T) {
	each(t, 2, func(o *office) {
		code := o.open(cases.Call)
		o.ok(o.i.Cases.Write(o.Context()))
		o.exec("CREATE TABLE kept_file AS SELECT * FROM case_file")
		o.exec("CREATE TABLE kept_snapshot AS SELECT * FROM case_snapshot")
		_, err := o.i.Cases.Assign(o.Context(), by(o.one), code, "s-2")
		o.ok(err)
		o.ok(o.i.Cases.Write(o.Context()))
		_, err = o.i.Cases.Close(o.Context(), by(o.two), code, "done")
		o.ok(err)
		second := insttest.Case(o.T, o.i, o.two, cases.Call, "enquiry", &o.people[1])
		o.ok(o.i.Cases.Write(o.Context()))
		o.exec("CREATE TABLE last_file AS SELECT * FROM case_file")
		o.exec("CREATE TABLE last_snapshot AS SELECT * FROM case_snapshot")
		replace := func(table, with string) func() {
			return func() {
				o.exec("DELETE FROM " + table)
				o.exec("INSERT INTO " + table + " SELECT * FROM " + with)
			}
		}
		for _, c := range []struct {
			what  string
			do    func()
			found bool // by an alarm; what isn't needs no finding, since nothing rests on it
		}{
			{"the rows put back", replace("case_file", "kept_file"), true},
			{"the snapshot put back", replace("case_snapshot", "kept_snapshot"), true},
			{"both put back", func() { replace("case_file", "kept_file")(); replace("case_snapshot", "kept_snapshot")() }, false},
			{"a state edited", func() { o.exec("UPDATE case_file SET state = 1 WHERE state = 3") }, true},
			{"a body edited", func() {
				o.exec("UPDATE case_file SET body = (SELECT k.body FROM kept_file k) WHERE state = 3 AND case_no = (SELECT k.case_no FROM kept_file k)")
				o.exec("UPDATE case_file SET state = 1 WHERE state = 3")
			}, true},
			{"an open one deleted", func() { o.exec("DELETE FROM case_file WHERE state = 1") }, true},
			{"all deleted", func() { o.exec("DELETE FROM case_file") }, true},
			{"the snapshot deleted", func() { o.exec("DELETE FROM case_snapshot") }, false},
			{"the snapshot moved on", func() { o.exec("UPDATE case_snapshot SET at_size = at_size - 1") }, true},
		} {
			o.ok(o.i.Close())
			raw := insttest.Raw(o.T, o.dir)
			o.i.DB = raw
			replace("case_file", "last_file")()
			replace("case_snapshot", "last_snapshot")()
			c.do()
			o.ok(raw.Close())
			o.i = insttest.Open(o.T, o.dir)
			o.one, err = o.i.Access.AtSocket(o.tokens[0])
			o.ok(err)
			o.two, err = o.i.Access.AtSocket(o.tokens[1])
			o.ok(err)
			if o.read(o.one, code, "enquiry", 0) == nil || o.read(o.two, code, "enquiry", 0) == nil {
				o.Errorf("%s: a closed case opens", c.what)
			}
			if err := o.read(o.two, second, "enquiry", 1); err != nil {
				o.Errorf("%s: an open case doesn't open: %v", c.what, err)
			}
			if n := o.alarms("case_snapshot") + o.alarms("case_file"); n == 0 && c.found {
				o.Errorf("%s: no alarm", c.what)
			}
		}
	})
}

// TestClosedRow: a closed case's row that was altered, or put back to when it was
// open, is an alarm when it is asked for, and can't be opened again.
func TestClosedRow(t *testing.T) {
	each(t, 1, func(o *office) {
		code := o.open(cases.Call)
		o.ok(o.i.Cases.Write(o.Context()))
		o.exec("CREATE TABLE kept_file AS SELECT * FROM case_file")
		_, err := o.i.Cases.Close(o.Context(), by(o.one), code, "done")
		o.ok(err)
		o.ok(o.i.Cases.Write(o.Context()))
		info, _, err := o.i.Cases.Show(o.Context(), by(o.one), code)
		if err != nil || info.State != "closed" {
			o.Fatal(err, info.State)
		}
		o.exec("DELETE FROM case_file")
		o.exec("INSERT INTO case_file SELECT * FROM kept_file")
		if _, err := o.i.Cases.Reopen(o.Context(), by(o.super), code, ""); !errors.Is(err, cases.ErrTampered) || o.alarms("case_file") != 1 {
			o.Errorf("a row that was put back: %v, %d alarms", err, o.alarms("case_file"))
		}
		if o.read(o.one, code, "enquiry", 0) == nil {
			o.Error("it opens")
		}
	})
}

// TestTogether: of many who give a case away at once each act is an event, the last
// counts, and the log says the same after a restart.
func TestTogether(t *testing.T) {
	each(t, 1, func(o *office) {
		code := o.open(cases.Call)
		var wg sync.WaitGroup
		for n := range 24 {
			wg.Go(func() {
				_, err := o.i.Cases.Assign(o.Context(), by(o.super), code, fmt.Sprintf("s-%d", 1+n%2))
				if err != nil {
					o.Error(err)
				}
			})
			wg.Go(func() { _ = o.i.Cases.Write(o.Context()) })
		}
		wg.Wait()
		has := func() string {
			info, _, err := o.i.Cases.Show(o.Context(), by(o.super), code)
			o.ok(err)
			return info.Staff
		}
		before := has()
		if (o.read(o.one, code, "enquiry", 0) == nil) == (o.read(o.two, code, "enquiry", 0) == nil) {
			o.Error("two have the case, or nobody")
		}
		o.again()
		if now := has(); now != before {
			o.Errorf("%s had the case, and %s has it after a restart", before, now)
		}
	})
}

const noteText = "次女の勤務先の件で折り返し。合言葉は睡蓮。"

// TestNotes: a note reads back through the gate against a receipt; in the database's
// files there is nothing of it, and who is shredded takes it along.
func TestNotes(t *testing.T) {
	each(t, 2, func(o *office) {
		code := o.open(cases.Call)
		if _, err := o.i.Gate.WriteNote(o.Context(), by(o.two), code, "", noteText); !errors.Is(err, cases.ErrDenied) {
			o.Error("a colleague writes into the case:", err)
		}
		_, err := o.i.Gate.WriteNote(o.Context(), by(o.one), code, "", noteText)
		o.ok(err)
		events := o.i.Log.Committed()
		notes, err := o.i.Gate.ReadNotes(o.Context(), by(o.one), code)
		if err != nil || len(notes) != 1 || notes[0].Text != noteText {
			o.Fatal(err, len(notes))
		}
		if e := insttest.Events(o.T, o.i)[events:]; len(e) != 1 || e[0].Action != auditlog.Case || e[0].Participant.String() != notes[0].Participant || !strings.Contains(string(e[0].Detail), `"notes"`) {
			o.Errorf("reading notes left %+v", e)
		}
		if _, err := o.i.Gate.ReadNotes(o.Context(), by(o.two), code); !errors.Is(err, cases.ErrDenied) {
			o.Error("a colleague reads the notes:", err)
		}
		o.again()
		o.needle(noteText)
		if notes, err := o.i.Gate.ReadNotes(o.Context(), by(o.one), code); err != nil || len(notes) != 1 {
			o.Error("after a restart:", err)
		}
		death := insttest.Case(o.T, o.i, o.one, cases.Death, "death", &o.people[0])
		_, err = o.i.Gate.Shred(o.Context(), o.one, o.who(0), gate.Why{Purpose: "death", Case: death})
		o.ok(err)
		if _, err := o.i.Gate.ReadNotes(o.Context(), by(o.one), code); err == nil {
			o.Error("a shredded participant's note opens")
		}
		other := insttest.Case(o.T, o.i, o.one, cases.Call, "enquiry", &o.people[1])
		_, err = o.i.Gate.WriteNote(o.Context(), by(o.one), other, "", noteText)
		o.ok(err)
		o.exec("UPDATE case_note SET sealed = (SELECT k.sealed FROM case_note k WHERE k.case_no <> case_note.case_no) WHERE idx = (SELECT max(m.idx) FROM case_note m)")
		if _, err := o.i.Gate.ReadNotes(o.Context(), by(o.one), other); !errors.Is(err, cases.ErrTampered) || o.alarms("case_note") != 1 {
			o.Errorf("another's note: %v, %d alarms", err, o.alarms("case_note"))
		}
	})
}

// needle looks for a text in all that the tables and SQLite's files hold.
func (o *office) needle(text string) {
	o.Helper()
	rows, err := o.i.DB.Query(o.Context(), "SELECT sealed FROM case_note")
	o.ok(err)
	defer rows.Close()
	for rows.Next() {
		var sealed []byte
		o.ok(rows.Scan(&sealed))
		if bytes.Contains(sealed, []byte(text[:12])) {
			o.Error("a note lies in the clear")
		}
	}
	for _, f := range insttest.Files(o.T, o.dir, "azekura.db*") {
		raw, err := os.ReadFile(f)
		o.ok(err)
		if bytes.Contains(raw, []byte(text[:12])) {
			o.Errorf("a note lies in the clear in %s", filepath.Base(f))
		}
	}
}
