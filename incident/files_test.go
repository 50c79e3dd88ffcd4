package incident_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"azekura/auditlog"
	"azekura/incident"
	"azekura/register/field"

	"github.com/google/uuid"
)

// finding is a line as a leak scan writes it.
func finding(n int, grade string, fields ...string) string {
	return fmt.Sprintf(`{"participant":%q,"fields":["%s"],"grade":%q,"places":1,"evidence":[]}`+"\n", who(n), strings.Join(fields, `","`), grade)
}

const readAll = `{"path":"a","from":0,"to":9,"state":"parsed"}` + "\n"

// TestFoundInFiles: who was found and opened, only found, found with more than was
// opened; what is too weak to count, and canaries, aren't among them.
func TestFoundInFiles(t *testing.T) {
	onBoth(t, func(t *testing.T, l *testLog) {
		l.record(t, auditlog.Event{Action: auditlog.Grant, Session: 1})
		for n := range 3 {
			l.at(int64(n+1) * 1_000_000)
			l.record(t, opened(1, n, field.Number, field.Name))
		}
		text := finding(0, "A", "number", "name") + finding(1, "A", "number") + finding(1, "C", "address") +
			finding(7, "B", "name", "birth", "address") + finding(8, "D", "number") + finding(2, "conflict", "number") + finding(9, "A", "number", "name")
		found, err := incident.ReadFound(strings.NewReader(text), strings.NewReader(readAll+`{"path":"b.zip","state":"encrypted"}`+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		src := l.source()
		src.Nobody = func(id uuid.UUID) bool { return id == who(9) }
		e, err := incident.Compute(t.Context(), src, incident.Query{Label: "device pc-07", Sessions: []auditlog.Session{1}, Found: found}, nil)
		if err != nil {
			t.Fatal(err)
		}
		f := e.Files
		if e.Participants != 3 || f.Participants != 3 || f.Both != 2 || f.Beyond != 1 || f.Only != 1 || f.Together.Participants != 4 {
			t.Errorf("%d opened; found %d, both %d, beyond %d, only %d, together %d", e.Participants, f.Participants, f.Both, f.Beyond, f.Only, f.Together.Participants)
		}
		if f.Grades["A"] != 2 || f.Grades["B"] != 1 || f.Grades["D"] != 1 || f.Grades["conflict"] != 1 || f.Unread["encrypted"] != 1 {
			t.Errorf("grades %v, unread %v", f.Grades, f.Unread)
		}
		if n := f.Together.Fields["address"]; n != 2 {
			t.Errorf("an address is exposed of %d, not 2", n)
		}
		outputs(t, "files", e)
	})
}

// TestNotFindings refuses what isn't a scan's result, and names the line only.
func TestNotFindings(t *testing.T) {
	good := finding(1, "A", "number")
	for name, in := range map[string][2]string{
		"no JSON":          {"secret\n", readAll},
		"no participant":   {`{"fields":[],"grade":"A"}` + "\n", readAll},
		"no such grade":    {finding(1, "Z", "number"), readAll},
		"no such field":    {finding(1, "A", "secret"), readAll},
		"no such state":    {good, `{"state":"secret"}` + "\n"},
		"a ledger of text": {good, "secret\n"},
		"an endless line":  {strings.Repeat("secret", 1<<20), readAll},
	} {
		_, err := incident.ReadFound(strings.NewReader(in[0]), strings.NewReader(in[1]))
		if !errors.Is(err, incident.ErrFound) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzReadFound: whatever the bytes, no crash.
func FuzzReadFound(f *testing.F) {
	f.Add([]byte(finding(1, "A", "number")), []byte(readAll))
	f.Fuzz(func(t *testing.T, findings, ledger []byte) {
		if found, err := incident.ReadFound(bytes.NewReader(findings), bytes.NewReader(ledger)); (found == nil) == (err == nil) {
			t.Error("neither an answer nor an error, or both")
		}
	})
}
