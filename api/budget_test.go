package api_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"azekura/access/budget"
	"azekura/api"
	"azekura/auditlog"
	"azekura/internal/insttest"
)

// TestPastTheBudget: a staff member's program hears what is left when little is;
// past it 429, when to come again, and in words what to do; who is counted already
// is still read. Each refusal is in the log.
func TestPastTheBudget(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		const limit = 10
		max := budget.Limits{{Persons: limit, Points: -1}, {Persons: 1000, Points: -1}, {Persons: 1000, Points: -1}}
		if _, err := o.inst.Log.RecordOne(t.Context(), budget.LimitsEvent([]budget.Limit{{Kind: budget.Staff, Max: max}}, "test", "a test", "")); err != nil {
			t.Fatal(err)
		}
		ask := func(n int) api.ReadRequest {
			return api.ReadRequest{Whom: api.Whom{Ref: o.people[n].Ref}, Reason: why, Fields: []string{"name"}}
		}
		for n := range limit {
			var a api.ReadAnswer
			if status := o.post("/v1/read", ask(n), &a); status != http.StatusOK {
				t.Fatalf("read %d of %d: %d", n+1, limit, status)
			}
			left := int64(limit - n - 1)
			switch {
			case left*5 >= limit && a.Budget != nil:
				t.Errorf("with %d left the answer warns: %+v", left, a.Budget)
			case left*5 < limit && (a.Budget == nil || a.Budget.Left != left || a.Budget.Of != limit || a.Budget.Window != "hour" || a.Budget.ID != "s-1"):
				t.Errorf("with %d left the answer says %+v", left, a.Budget)
			}
		}
		raw, err := json.Marshal(ask(limit))
		if err != nil {
			t.Fatal(err)
		}
		w := answer(o.staff, o.request(http.MethodPost, "/v1/read", string(raw)))
		if w.Code != http.StatusTooManyRequests {
			t.Fatalf("past the budget: %d", w.Code)
		}
		o.refusal(w, o.people[limit].Ref)
		if wait, err := strconv.Atoi(w.Header().Get("Retry-After")); err != nil || wait < 1 || wait > 3600 {
			t.Errorf("Retry-After is %q", w.Header().Get("Retry-After"))
		}
		for _, words := range []string{"the budget is used up", "staff s-1 may open 10 participants in an hour", "ask a supervisor"} {
			if !strings.Contains(w.Body.String(), words) {
				t.Errorf("it doesn't say %q: %s", words, w.Body)
			}
		}
		events := insttest.Events(t, o.inst)
		if e := events[len(events)-1]; e.Action != auditlog.Deny || e.Outcome != "budget" || e.Staff != "s-1" {
			t.Errorf("the log ends with %v %s", e.Action, e.Outcome)
		}
		if status := o.post("/v1/read", ask(0), nil); status != http.StatusOK {
			t.Errorf("one who is counted already: %d", status)
		}
		o.whole()
	})
}
