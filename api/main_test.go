package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"azekura/api"
	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"
	"azekura/population"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// office is a small installation, with a session, whose API runs in this process.
type office struct {
	t      testing.TB
	inst   *installation.Installation
	people []population.Person
	token  string
	server *api.Server
	staff  http.Handler

	mu   sync.Mutex
	said strings.Builder // what the server told its log
}

func newOffice(t testing.TB, inst *installation.Installation) *office {
	t.Helper()
	const seed, n = 11, 20
	insttest.Import(t, inst, insttest.CSV(t, seed, n))
	o := &office{t: t, inst: inst, people: insttest.People(seed, n)}
	_, o.token = insttest.Session(t, inst, "s-1", "caseworker", "d-1")
	o.server = api.New(inst, func(request string, err error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		fmt.Fprintf(&o.said, "%s: %v\n", request, err)
	})
	o.staff = o.server.Staff()
	return o
}

// log is what the server has said, which must hold nobody's data.
func (o *office) log() string {
	o.t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	insttest.Withheld(o.t, o.said.String(), o.people)
	return o.said.String()
}

// each runs f on each engine.
func each(t *testing.T, f func(t *testing.T, o *office)) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) { f(t, newOffice(t, i)) })
}

// request makes one as a caseworker's program would.
func (o *office) request(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	r.URL.Path = path
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+o.token)
	return r
}

func answer(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// post asks, and reads the answer into out.
func (o *office) post(path string, in, out any) int {
	o.t.Helper()
	raw, err := json.Marshal(in)
	if err != nil {
		o.t.Fatal(err)
	}
	w := answer(o.staff, o.request(http.MethodPost, path, string(raw)))
	if w.Code == http.StatusOK && out != nil {
		if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
			o.t.Fatal(err)
		}
	}
	return w.Code
}

var why = api.Reason{Purpose: "enquiry", Case: "K-1"}

// reads opens a person's name, which must succeed.
func (o *office) reads() api.ReadAnswer {
	o.t.Helper()
	var a api.ReadAnswer
	in := api.ReadRequest{Whom: api.Whom{Ref: o.people[0].Ref}, Reason: why, Fields: []string{"name"}}
	if status := o.post("/v1/read", in, &a); status != http.StatusOK || a.Values.Name == "" {
		o.t.Fatalf("an honest read: %d", status)
	}
	return a
}

// event is an event as its line in the database has it.
func (o *office) event(index int64) (auditlog.Event, error) {
	var line []byte
	err := o.inst.DB.QueryRow(o.t.Context(), "SELECT line FROM log_event WHERE log_id = $1 AND idx = $2", []any{o.inst.Log.ID(), index}, &line)
	if err != nil {
		return auditlog.Event{}, fmt.Errorf("event %d: %w", index, err)
	}
	return auditlog.ParseLine(line)
}

// whole verifies the log.
func (o *office) whole() {
	o.t.Helper()
	size, root := o.inst.Signer.Head()
	r, err := auditlog.Verify(o.t.Context(), o.inst.DB, o.inst.Log.ID(), size, root, auditlog.VerifyOptions{OpenMembers: o.inst.Gate.OpenMembers})
	if err != nil || !r.OK {
		o.t.Errorf("the log isn't whole: %v %+v", err, r)
	}
}

// refusal checks the form of an error's answer: problem+json, and nothing of
// anybody, nor of what must not be repeated.
func (o *office) refusal(w *httptest.ResponseRecorder, secrets ...string) {
	o.t.Helper()
	if kind := w.Header().Get("Content-Type"); kind != "application/problem+json" {
		o.t.Errorf("the answer is %q", kind)
	}
	var problem struct {
		Status int
		Title  string
		Detail string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil || problem.Status != w.Code || problem.Detail == "" {
		o.t.Errorf("not a problem (RFC 9457) of status %d: %v\n%s", w.Code, err, w.Body)
	}
	said := o.log()
	for _, secret := range secrets {
		if bytes.Contains(w.Body.Bytes(), []byte(secret)) {
			o.t.Errorf("the answer repeats %q:\n%s", secret, w.Body)
		}
		if strings.Contains(said, secret) {
			o.t.Errorf("the server's log repeats %q", secret)
		}
	}
	insttest.Withheld(o.t, w.Body.String(), o.people)
}
