package api_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"azekura/api"
	"azekura/auditlog"
	"azekura/internal/insttest"
)

// as is a session of another role.
func (o *office) as(role string) *office {
	_, token := insttest.Session(o.t, o.inst, "s-"+role, role, "d-9")
	return &office{t: o.t, inst: o.inst, people: o.people, token: token, server: o.server, staff: o.staff}
}

// exported asks for an export and returns its lines.
func (o *office) exported(in api.ExportRequest) (lines [][]byte, event auditlog.Event) {
	o.t.Helper()
	raw, err := json.Marshal(in)
	if err != nil {
		o.t.Fatal(err)
	}
	before := o.inst.Log.Committed()
	w := answer(o.staff, o.request(http.MethodPost, "/v1/log/export", string(raw)))
	if w.Code != http.StatusOK {
		o.t.Fatalf("%d %s", w.Code, w.Body)
	}
	lines = bytes.Split(bytes.TrimSuffix(w.Body.Bytes(), []byte("\n")), []byte("\n"))
	if w.Body.Len() == 0 {
		lines = nil
	}
	rows := int64(len(lines))
	if in.Format == "csv" {
		rows--
	}
	if said := w.Header().Get(api.RowsHeader); said != strconv.FormatInt(rows, 10) {
		o.t.Errorf("the header says %s rows, and %d came", said, rows)
	}
	if event, err = o.event(before); err != nil {
		o.t.Fatal(err)
	}
	var detail struct {
		Format          string
		From, To, Count int64
	}
	if err := json.Unmarshal(event.Detail, &detail); err != nil || event.Action != auditlog.Export || event.Staff != "s-auditor" ||
		detail.Format != in.Format || detail.Count != rows || detail.To != before {
		o.t.Errorf("the export's event is %+v, %s (%v)", event, event.Detail, err)
	}
	insttest.Withheld(o.t, w.Body.String(), o.people)
	return lines, event
}

// TestExport: an auditor gets the events in each form, and that is an event.
func TestExport(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		read := o.reads()
		auditor := o.as("auditor")
		before := o.inst.Log.Committed()
		for _, format := range []string{"ocsf", "fhir"} {
			lines, _ := auditor.exported(api.ExportRequest{Format: format})
			for i, line := range lines {
				if !json.Valid(line) {
					t.Errorf("%s: line %d isn't JSON", format, i)
				}
			}
			if int64(len(lines)) < before || !bytes.Contains(lines[read.Event], []byte(read.Participant)) {
				t.Errorf("%s: %d lines of %d events", format, len(lines), before)
			}
		}
		lines, _ := auditor.exported(api.ExportRequest{Format: "csv", Participant: read.Participant})
		rows, err := csv.NewReader(bytes.NewReader(bytes.Join(lines, []byte("\n")))).ReadAll()
		if err != nil || len(rows) != 2 || rows[1][0] != strconv.FormatInt(read.Event, 10) || rows[1][2] != "read" {
			t.Errorf("a participant's events: %v, %v", rows, err)
		}
		// The import's chunk is a set of twenty, who now have a row each.
		all, _ := auditor.exported(api.ExportRequest{Format: "csv"})
		expanded, _ := auditor.exported(api.ExportRequest{Format: "csv", ExpandSets: true})
		if len(expanded) != len(all)+1+20 { // and the export before
			t.Errorf("%d rows, and %d expanded", len(all), len(expanded))
		}
		// Since the read and the exports about this person are events of theirs, all are found.
		found, _ := auditor.exported(api.ExportRequest{Format: "csv", ExpandSets: true, Participant: read.Participant})
		if len(found) != 1+2+1 {
			t.Errorf("a participant's events and sets: %d rows\n%s", len(found)-1, bytes.Join(found, []byte("\n")))
		}
		if none, _ := auditor.exported(api.ExportRequest{Format: "ocsf", Until: time.Now().AddDate(-1, 0, 0)}); len(none) != 0 {
			t.Errorf("a year ago: %d rows", len(none))
		}
		if mine, _ := auditor.exported(api.ExportRequest{Format: "fhir", Staff: "s-1", Session: session(t, o, "s-1")}); len(mine) != 2 { // granted, and read
			t.Errorf("one session's: %d rows", len(mine))
		}
		auditor.whole()
	})
}

func session(t *testing.T, o *office, staff string) string {
	for _, s := range o.inst.Access.Sessions() {
		if s.Staff == staff {
			return s.ID
		}
	}
	t.Fatal("no such session")
	return ""
}

// TestOnlyAuditorsExport: whoever else asks is refused, and that is an event too.
func TestOnlyAuditorsExport(t *testing.T) {
	o := newOffice(t, insttest.Open(t, insttest.New(t, "sqlite")))
	asks := map[string]string{"/v1/log/export": `{"format":"csv"}`, "/v1/log/complete": `{"participant":"0190163d-8694-739b-aea5-966c26f8ad91"}`}
	for _, role := range []string{"caseworker", "supervisor", "administrator", "security-officer"} {
		other := o.as(role)
		for path, body := range asks {
			before := o.inst.Log.Committed()
			w := answer(o.staff, other.request(http.MethodPost, path, body))
			if w.Code != http.StatusForbidden {
				t.Errorf("%s: %s: %d", role, path, w.Code)
			}
			o.refusal(w)
			if e, err := o.event(before); err != nil || e.Action != auditlog.Deny || !strings.Contains(string(e.Detail), "export") {
				t.Errorf("%s: %s: the refusal is recorded as %v, %v", role, path, e.Action, err)
			}
		}
	}
	auditor := o.as("auditor")
	for path, bodies := range map[string][]string{
		"/v1/log/export": {`{"format":"pdf"}`, `{}`, `{"format":"csv","participant":"himitsu"}`, `{"format":"csv","session":"himitsu"}`,
			`{"format":"csv","since":"2026-05-09T00:00:00Z","until":"2026-05-08T00:00:00Z"}`},
		"/v1/log/complete": {`{}`, `{"participant":"himitsu"}`, `{"session":"himitsu"}`, `{"participant":"0190163d-8694-739b-aea5-966c26f8ad91","from":"himitsu"}`,
			`{"participant":"0190163d-8694-739b-aea5-966c26f8ad91","session":"z0000000000000011"}`},
	} {
		for _, body := range bodies {
			w := answer(o.staff, auditor.request(http.MethodPost, path, body))
			if w.Code != http.StatusUnprocessableEntity {
				t.Errorf("%s %s: %d %s", path, body, w.Code, w.Body)
			}
			o.refusal(w, "himitsu")
		}
	}
	if w := answer(o.staff, auditor.request(http.MethodPost, "/v1/log/complete", fmt.Sprintf(`{"session":%q}`, session(t, o, "s-1")))); !strings.Contains(w.Body.String(), "no day of that range is over") {
		t.Errorf("before any day is over: %s", w.Body)
	}
	o.whole()
}

// TestExportEndsWithItsSession: a session that is closed while its export goes out
// gets no more of it, and a third long answer waits for nobody.
func TestExportEndsWithItsSession(t *testing.T) {
	o := newOffice(t, insttest.Open(t, insttest.New(t, "sqlite")))
	auditor := o.as("auditor")
	for range 300 {
		o.reads()
	}
	ask := func(w http.ResponseWriter) {
		o.staff.ServeHTTP(w, auditor.request(http.MethodPost, "/v1/log/export", `{"format":"fhir"}`))
	}
	first := &slowReader{ResponseRecorder: httptest.NewRecorder(), begun: make(chan bool), goOn: make(chan bool)}
	second := &slowReader{ResponseRecorder: httptest.NewRecorder(), begun: make(chan bool), goOn: make(chan bool)}
	done := make(chan bool)
	for _, w := range []*slowReader{first, second} {
		go func() { ask(w); done <- true }()
		<-w.begun
	}
	third := httptest.NewRecorder()
	ask(third)
	if third.Code != http.StatusServiceUnavailable || !strings.Contains(third.Body.String(), "under way") {
		t.Errorf("a third at once: %d %s", third.Code, third.Body)
	}
	id, err := auditlog.ParseSession(session(t, o, "s-auditor"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.inst.Access.CloseSession(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*slowReader{first, second} {
		close(w.goOn)
		<-done
		rows, _ := strconv.Atoi(w.Header().Get(api.RowsHeader))
		if got := bytes.Count(w.Body.Bytes(), []byte("\n")); rows < 300 || got >= rows {
			t.Errorf("%d of %d rows came though the session was closed", got, rows)
		}
	}
	if status := answer(o.staff, auditor.request(http.MethodPost, "/v1/log/export", `{"format":"csv"}`)).Code; status != http.StatusUnauthorized {
		t.Errorf("a closed session's export: %d", status)
	}
}

// slowReader takes the first part of an answer and then waits.
type slowReader struct {
	*httptest.ResponseRecorder
	begun, goOn chan bool
	once        sync.Once
}

func (s *slowReader) Write(b []byte) (int, error) {
	n, err := s.ResponseRecorder.Write(b)
	s.once.Do(func() { close(s.begun); <-s.goOn })
	return n, err
}
