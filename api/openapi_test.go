package api_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"azekura/api"
	"azekura/internal/insttest"

	"github.com/google/go-cmp/cmp"
)

// staffOperations are all that the network offers; whoever adds one adds it here.
var staffOperations = []string{
	"POST /v1/alarms/seen", "GET /v1/proposals", "GET /v1/proposals/{id}", "POST /v1/budget/grant", "POST /v1/canaries/count", "POST /v1/cases", "POST /v1/cases/assign", "POST /v1/cases/close", "POST /v1/cases/identify", "POST /v1/cases/list",
	"POST /v1/cases/note", "POST /v1/cases/reopen", "POST /v1/cases/show", "POST /v1/cases/task", "POST /v1/cases/wait", "POST /v1/change", "POST /v1/check", "POST /v1/contain", "POST /v1/leak/evidence", "POST /v1/leak/resolve",
	"POST /v1/log/complete", "POST /v1/log/export", "POST /v1/proposals", "POST /v1/proposals/draft", "POST /v1/proposals/{id}/carry", "POST /v1/proposals/{id}/refuse", "POST /v1/proposals/{id}/withdraw", "POST /v1/read", "POST /v1/search",
	"POST /v1/step-up/end",
}

var operatorOperations = []string{
	"GET /operator/approvers", "GET /operator/budgets", "GET /operator/budgets/history", "GET /operator/devices", "GET /operator/imports/{id}", "GET /operator/imports/{id}/rejects", "GET /operator/keys", "GET /operator/keys/rotations/{id}", "GET /operator/leak/scans/{id}", "GET /operator/leak/scans/{id}/findings", "GET /operator/log", "GET /operator/log/alarms", "GET /operator/policy", "GET /operator/sessions", "GET /operator/staff", "GET /operator/witnesses",
	"POST /operator/approvers", "POST /operator/approvers/remove", "POST /operator/backup", "POST /operator/backup/rehearsed", "POST /operator/budgets/change", "POST /operator/budgets/proposal", "POST /operator/cases/require", "POST /operator/devices", "POST /operator/exposure", "POST /operator/imports", "POST /operator/imports/dry-run", "POST /operator/keys/rotate", "POST /operator/leak/close", "POST /operator/leak/forget", "POST /operator/leak/index", "POST /operator/leak/key", "POST /operator/leak/scans", "POST /operator/leak/strays", "POST /operator/log/verify", "POST /operator/policy", "POST /operator/policy/explain", "POST /operator/policy/replay",
	"POST /operator/sessions", "POST /operator/sessions/{id}/close", "POST /operator/shred", "POST /operator/staff", "POST /operator/verify",
}

// peopleOperations are what officers do about staff, and containedOperations are of
// containment on the operator's socket.
var (
	peopleOperations = []string{"GET /v1/people/deputies", "GET /v1/people/devices", "GET /v1/people/passkeys", "GET /v1/people/sessions", "GET /v1/people/staff",
		"POST /v1/people/close-session", "POST /v1/people/code", "POST /v1/people/deputy", "POST /v1/people/deputy-end", "POST /v1/people/device-code", "POST /v1/people/device-revoke", "POST /v1/people/remove",
		"POST /v1/people/reset", "POST /v1/people/roles", "POST /v1/people/vouch"}
	peopleOperatorOperations = []string{"GET /operator/people/deputies", "GET /operator/people/passkeys", "POST /operator/people/code", "POST /operator/people/deputy",
		"POST /operator/people/deputy-end", "POST /operator/people/device-code", "POST /operator/people/device-revoke", "POST /operator/people/remove", "POST /operator/people/roles", "POST /operator/people/vouch"}
	containedOperations = []string{"GET /operator/contained", "POST /operator/contain", "POST /operator/release", "POST /operator/release/proposal", "POST /operator/step-up/end",
		"GET /operator/alarms", "GET /operator/alarms/targets", "POST /operator/alarms/seen", "POST /operator/alarms/test"}
)

// document is the part of OpenAPI 3.1 that we hold ours to.
type document struct {
	OpenAPI string
	Info    struct{ Title, Version string }
	Paths   map[string]map[string]struct {
		OperationID string
		Summary     string
		Security    []map[string][]string
		Parameters  []struct{ Name, In string }
		RequestBody *struct {
			Required bool
			Content  map[string]struct{ Schema map[string]any }
		}
		Responses map[string]struct{ Description string }
	}
	Components struct {
		Schemas         map[string]any
		SecuritySchemes map[string]any
	}
}

func TestOpenAPI(t *testing.T) {
	o := newOffice(t, insttest.Open(t, insttest.New(t, "sqlite")))
	shared := slices.Concat(staffOperations, peopleOperations)
	staff := slices.Concat(shared, []string{"POST " + api.EnrolPath, "POST " + api.RenewPath}) // for who has no certificate yet
	all := slices.Concat(shared, operatorOperations, peopleOperatorOperations, containedOperations)
	slices.Sort(staff)
	slices.Sort(all)
	for name, c := range map[string]struct {
		handler http.Handler
		want    []string
	}{"staff": {o.staff, staff}, "operator": {o.server.Operator(), all}} {
		t.Run(name, func(t *testing.T) {
			r := o.request(http.MethodGet, "/openapi.json", "")
			r.Header.Del("Authorization")
			w := answer(c.handler, r)
			if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Content-Type"), "json") {
				t.Fatalf("status %d, %s", w.Code, w.Header())
			}
			var d document
			if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(d.OpenAPI, "3.1.") || d.Info.Title == "" || d.Info.Version == "" {
				t.Errorf("it is %s, %+v", d.OpenAPI, d.Info)
			}
			if diff := cmp.Diff(c.want, d.operations(t)); diff != "" {
				t.Errorf("operations (-want +got):\n%s", diff)
			}
			var whole any
			if err := json.Unmarshal(w.Body.Bytes(), &whole); err != nil {
				t.Fatal(err)
			}
			references(t, whole, whole)
			// What it lists is there: no such path is answered with 404 or 405.
			for _, op := range c.want {
				method, path, _ := strings.Cut(op, " ")
				r := o.request(method, strings.ReplaceAll(path, "{id}", "x"), "[]")
				if w := answer(c.handler, r); w.Code == 404 || w.Code == 405 {
					t.Errorf("%s isn't there: %d", op, w.Code)
				}
			}
		})
	}
}

func (d *document) operations(t *testing.T) []string {
	var list []string
	ids := map[string]bool{}
	for path, methods := range d.Paths {
		for method, op := range methods {
			name := strings.ToUpper(method) + " " + path
			list = append(list, name)
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || len(op.Responses) == 0 {
				t.Errorf("%s: id %q, summary %q, %d responses", name, op.OperationID, op.Summary, len(op.Responses))
			}
			ids[op.OperationID] = true
			for status, r := range op.Responses {
				if r.Description == "" {
					t.Errorf("%s: the response %s isn't described", name, status)
				}
			}
			// What opens records wants a session, by a scheme that is there.
			if secured := strings.HasPrefix(path, "/v1/") && path != api.EnrolPath && path != api.RenewPath || path == "/operator/shred" || path == "/operator/leak/index"; secured != (len(op.Security) > 0) {
				t.Errorf("%s: security %v", name, op.Security)
			}
			for _, scheme := range op.Security {
				for s := range scheme {
					if d.Components.SecuritySchemes[s] == nil {
						t.Errorf("%s: no security scheme %s", name, s)
					}
				}
			}
			for _, p := range op.Parameters {
				if p.In == "path" && !strings.Contains(path, "{"+p.Name+"}") {
					t.Errorf("%s: no place for the parameter %s", name, p.Name)
				}
			}
			if b := op.RequestBody; b != nil && (!b.Required || b.Content["application/json"].Schema == nil) {
				t.Errorf("%s: a body that isn't required JSON", name)
			}
		}
	}
	slices.Sort(list)
	return list
}

// references follows each $ref to its end.
func references(t *testing.T, whole, v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			references(t, whole, item)
		}
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			at := whole
			for _, name := range strings.Split(ref, "/")[1:] {
				m, _ := at.(map[string]any)
				at = m[name]
			}
			if !strings.HasPrefix(ref, "#/") || at == nil {
				t.Errorf("%s leads nowhere", ref)
			}
		}
		for _, item := range v {
			references(t, whole, item)
		}
	}
}
