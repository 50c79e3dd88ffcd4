package api_test

import (
	"net/http"
	"testing"

	"azekura/api"
	"azekura/cases"
)

// TestCases is a call as a caseworker's program has it, from the first ring to the
// closing; and each refusal is a problem that repeats nobody's data.
func TestCases(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		p := &o.people[0]
		var info cases.Info
		must := func(want int, path string, in, out any) {
			t.Helper()
			if status := o.post(path, in, out); status != want {
				t.Fatalf("%s: %d, not %d", path, status, want)
			}
		}
		must(200, "/v1/cases", api.NewCase{Kind: "call"}, &info)
		code := api.CaseCode{Case: info.Code}
		why := api.Reason{Purpose: "enquiry", Case: info.Code}
		whom := api.Whom{Ref: p.Ref}
		read := api.ReadRequest{Whom: whom, Reason: why, Fields: []string{"name"}}
		must(403, "/v1/read", read, nil)
		must(403, "/v1/cases/identify", api.IdentifyRequest{CaseCode: code, Whom: whom}, nil)
		for field, claim := range map[string]string{"birth": p.Birth, "number": p.Number, "name": p.Name} {
			var a api.CheckAnswer
			must(200, "/v1/check", api.CheckRequest{Whom: whom, Reason: why, Field: field, Claim: claim}, &a)
			if !a.Match {
				t.Errorf("their own %s doesn't match", field)
			}
		}
		must(200, "/v1/cases/identify", api.IdentifyRequest{CaseCode: code, Whom: whom}, &info)
		if len(info.People) != 1 || info.People[0].Level != 2 || !info.People[0].About {
			t.Errorf("%+v", info)
		}
		must(200, "/v1/read", read, nil)
		must(200, "/v1/cases/note", api.NoteRequest{CaseCode: code, Text: "折り返し電話を希望"}, nil)
		must(200, "/v1/cases/task", api.TaskRequest{CaseCode: code, Kind: "call-back", Due: o.inst.Log.Now().AddDate(0, 0, 2).Format("2006-01-02")}, nil)
		must(200, "/v1/cases/task", api.TaskRequest{CaseCode: code, Done: 1}, nil)
		must(422, "/v1/cases/task", api.TaskRequest{CaseCode: code, Done: 2}, nil)
		must(422, "/v1/cases/close", api.CloseRequest{CaseCode: code, Outcome: "bored"}, nil)
		must(403, "/v1/cases/list", api.CaseList{Office: true}, nil)
		var list api.CasesAnswer
		must(200, "/v1/cases/list", api.CaseList{}, &list)
		var shown api.CaseAnswer
		must(200, "/v1/cases/show", api.ShowCase{CaseCode: code, Notes: true}, &shown)
		if len(list.Cases) != 1 || len(shown.Notes) != 1 || shown.Notes[0].Text != "折り返し電話を希望" || len(shown.History) != 5 {
			t.Errorf("%d cases, %d notes, %d events of history", len(list.Cases), len(shown.Notes), len(shown.History))
		}
		must(200, "/v1/cases/close", api.CloseRequest{CaseCode: code, Outcome: "answered"}, &info)
		must(403, "/v1/read", read, nil)
		must(403, "/v1/cases/reopen", api.CaseStaff{CaseCode: code}, nil)
		must(404, "/v1/cases/show", api.ShowCase{CaseCode: api.CaseCode{Case: "C-0000000000000"}}, nil)
		for path, body := range map[string]string{"/v1/cases": `{"kind":"` + secret + `"}`, "/v1/cases/show": `{"case":"` + secret + `"}`,
			"/v1/cases/note": `{"case":"` + info.Code + `","text":"` + secret + `\u0007"}`} {
			w := answer(o.staff, o.request(http.MethodPost, path, body))
			if w.Code != 422 {
				t.Errorf("%s: %d", path, w.Code)
			}
			o.refusal(w, secret)
		}
		o.whole()
	})
}
