package incident_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/incident"
	"azekura/register/field"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got); go test -update writes it anew:\n%s", path, diff)
	}
}

// outputs compares all forms of an answer.
func outputs(t *testing.T, name string, e *incident.Exposure) {
	t.Helper()
	for suffix, write := range map[string]func(w *bytes.Buffer) error{
		".json":   func(w *bytes.Buffer) error { return e.WriteJSON(w) },
		".csv":    func(w *bytes.Buffer) error { return e.WriteCSV(w) },
		".en.txt": func(w *bytes.Buffer) error { return e.WriteTable(w, incident.English, nil) },
		".ja.txt": func(w *bytes.Buffer) error {
			return e.WriteTable(w, incident.Japanese, time.FixedZone("JST", 9*60*60))
		},
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		golden(t, name+suffix, b.Bytes())
	}
}

// TestForms writes an answer with something of everything in every form; both
// engines give the same bytes.
func TestForms(t *testing.T) {
	onBoth(t, func(t *testing.T, l *testLog) {
		l.record(t, auditlog.Event{Action: auditlog.Grant, Session: 1})
		for n := range 1200 {
			l.at(int64(n+1) * 1_000_000)
			fields := []field.Field{field.Number, field.Name, field.Birth, field.Address}
			switch {
			case n%40 == 0:
				fields = fields[:2]
			case n%25 != 0:
				fields = fields[:3]
			}
			l.record(t, opened(1, n, fields...))
			if n == 2 { // the CSV's
				outputs(t, "small", l.ask(t, incident.Query{Label: "device pc-07", Sessions: []auditlog.Session{1}}))
			}
		}
		l.record(t, auditlog.Event{Action: auditlog.Show, Session: 1, Participant: who(5), Fields: versions(field.Existence, field.Mask)},
			auditlog.Event{Action: auditlog.Check, Session: 1, Participant: who(2000), Fields: versions(field.Phone)})
		l.set(t, auditlog.Event{Session: 1}, true, auditlog.Member{ID: who(2001), Fields: field.SetOf(field.All()...), Version: 1})
		e := l.ask(t, incident.Query{Label: "staff s-12", Sessions: []auditlog.Session{1}, Since: when(0), Until: when(86_400_000_000)})
		for _, f := range []struct {
			name  string
			write func(*bytes.Buffer) error
		}{
			{"large.json", func(w *bytes.Buffer) error { return e.WriteJSON(w) }},
			{"large.en.txt", func(w *bytes.Buffer) error { return e.WriteTable(w, incident.English, time.UTC) }},
			{"large.ja.txt", func(w *bytes.Buffer) error {
				return e.WriteTable(w, incident.Japanese, time.FixedZone("JST", 9*60*60))
			}},
		} {
			var b bytes.Buffer
			if err := f.write(&b); err != nil {
				t.Fatal(err)
			}
			golden(t, f.name, b.Bytes())
		}
	})
}

// TestFormsSayWhatIsMissing: an incomplete answer can't be read as another.
func TestFormsSayWhatIsMissing(t *testing.T) {
	onBoth(t, func(t *testing.T, l *testLog) {
		twoSessions(t, l)
		l.exec(t, "UPDATE log_event SET session_seq = 1 WHERE idx = 2")
		l.exec(t, "DELETE FROM log_event WHERE idx IN (4, 7)")
		outputs(t, "incomplete", l.ask(t, incident.Query{Sessions: []auditlog.Session{1, 99}, Label: "session z0000000000000001"}))
	})
}

// TestNobodyInEveryForm: the answer "nobody" is one too, and says on what head
// it stands.
func TestNobodyInEveryForm(t *testing.T) {
	onBoth(t, func(t *testing.T, l *testLog) {
		l.record(t, auditlog.Event{Action: auditlog.Grant, Session: 1})
		outputs(t, "nobody", l.ask(t, incident.Query{Sessions: []auditlog.Session{1}, Label: "device pc-08"}))
	})
}

func TestLanguages(t *testing.T) {
	for code, ok := range map[string]bool{"en": true, "ja": true, "": false, "de": false} {
		if _, err := incident.ParseLanguage(code); (err == nil) != ok {
			t.Errorf("%q: %v", code, err)
		}
	}
}
