package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"azekura/api"
	"azekura/auditlog"
	"azekura/internal/insttest"
	"azekura/register/field"
)

// fuzzed are the operations that take a body, but for those that take the name
// of a file on this machine.
var fuzzed = []string{"/v1/read", "/v1/check", "/v1/search", "/v1/change", "/operator/staff", "/operator/devices", "/operator/sessions",
	"/operator/exposure", "/operator/shred", "/operator/log/verify", "/v1/cases", "/v1/cases/assign", "/v1/cases/identify", "/v1/cases/wait",
	"/v1/cases/task", "/v1/cases/note", "/v1/cases/close", "/v1/cases/reopen", "/v1/cases/list", "/v1/cases/show"}

// statuses are those that an operation may answer with, whatever it is sent.
// 503 isn't among them: nothing is wrong with the log or the database.
var statuses = []int{200, 400, 403, 404, 409, 410, 413, 415, 422}

// FuzzBodies sends anything to every operation: nothing falls over, every error
// is a problem that repeats no one's data, and plaintext rests on an event.
func FuzzBodies(f *testing.F) {
	for _, c := range hostile {
		// Long ones would have the fuzzer spend its time on shortening them.
		if at := slices.Index(fuzzed, c.path); len(c.body) < 1000 && (at >= 0 || c.path == "") {
			f.Add(uint8(max(at, 0)), c.body)
		}
	}
	for at, body := range map[int]string{
		0: fmt.Sprintf(honest, `,"version":1`), 1: `{"ref":"A0000001","purpose":"enquiry","case":"K-1","field":"birth","claim":"昭和25年4月12日"}`,
		2: `{"purpose":"enquiry","case":"K-1","by":"ref","value":"A0000001","birth":"1950-01-01"}`,
		3: `{"ref":"A0000002","purpose":"change","case":"K-1","values":{"phone":"03-1234-5678","address":{"postal_code":"1000005","text":"東京都"}},"clear":["email"]}`,
		4: `{"id":"s-2","role":"caseworker","office":"o-1"}`, 5: `{"id":"d-2","office":"o-1"}`, 6: `{"staff":"s-1","device":"d-1","minutes":5}`,
		7: `{"device":"d-1","since":"2026-01-01T00:00:00Z","format":"csv","language":"ja","zone":"Asia/Tokyo"}`,
		8: `{"ref":"A0000020","purpose":"death","case":"K-1","confirm":"destroy"}`, 9: `{}`,
		10: `{"kind":"call"}`, 11: `{"case":"C-0000000000000","staff":"s-1"}`, 12: `{"case":"C-0000000000000","ref":"A0000001","document":"passport"}`,
		13: `{"case":"C-0000000000000","waiting":true}`, 14: `{"case":"C-0000000000000","kind":"call-back","due":"2027-01-01"}`,
		15: `{"case":"C-0000000000000","text":"a\nb"}`, 16: `{"case":"C-0000000000000","outcome":"done"}`, 17: `{"case":"C-0000000000000"}`,
		18: `{"limit":5}`, 19: `{"case":"C-0000000000000","notes":true}`,
	} {
		f.Add(uint8(at), body)
	}
	o := newOffice(f, insttest.Open(f, insttest.New(f, "sqlite")))
	operator := o.server.Operator()
	f.Fuzz(func(t *testing.T, at uint8, body string) {
		o.t = t // one at a time in each process
		path := fuzzed[int(at)%len(fuzzed)]
		w := answer(operator, o.request(http.MethodPost, path, body))
		if !slices.Contains(statuses, w.Code) {
			t.Fatalf("%s: status %d: %s\n%s", path, w.Code, w.Body, o.log())
		}
		if w.Code != http.StatusOK {
			o.refusal(w)
		} else if err := o.rests(path, w.Body.Bytes()); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		o.said.Reset()
	})
}

// rests finds the events that an answer's plaintext rests on.
func (o *office) rests(path string, body []byte) error {
	switch path {
	case "/v1/read":
		var a api.ReadAnswer
		if err := json.Unmarshal(body, &a); err != nil {
			return err
		}
		return o.restsOn(a.Event, a.Participant, auditlog.Read, "")
	case "/v1/search":
		var a api.SearchAnswer
		if err := json.Unmarshal(body, &a); err != nil {
			return err
		}
		for _, c := range a.Candidates {
			if err := o.restsOn(c.Event, c.Participant, auditlog.Show, field.Mask.String()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *office) restsOn(index int64, participant string, action auditlog.Action, named string) error {
	e, err := o.event(index)
	if err != nil {
		return err
	}
	var fields []string
	for _, fv := range e.Fields {
		fields = append(fields, fv.Field.String())
	}
	if e.Action != action || e.Participant.String() != participant || e.Outcome != "ok" || len(fields) == 0 || !strings.Contains(strings.Join(fields, ","), named) {
		return fmt.Errorf("event %d is a %s of %s", index, e.Action, fields)
	}
	return nil
}
