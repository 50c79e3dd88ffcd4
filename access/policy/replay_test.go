package policy

import (
	"encoding/json"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/register/field"
)

// TestReplay: what the events hold decides; what hangs on what they don't is unknown;
// a refusal by policy is asked again as it was asked.
func TestReplay(t *testing.T) {
	at := func(clock string) int64 {
		when, err := time.ParseInLocation("2006-01-02 15:04", "2026-11-20 "+clock, japan)
		if err != nil {
			t.Fatal(err)
		}
		return when.UnixMicro()
	}
	read := func(staff, of, clock string) auditlog.Event {
		return auditlog.Event{Action: auditlog.Read, Outcome: "ok", Staff: staff, Role: "caseworker", Purpose: "enquiry", Case: of, Time: at(clock),
			Fields: []auditlog.FieldVersion{{Field: field.Name, Version: 1}}}
	}
	refused := good()
	refused.Minute = 0 // in the log's own words; the event's time says the same
	detail, err := json.Marshal(Denial{Asked: "read", Request: refused})
	if err != nil {
		t.Fatal(err)
	}
	events := []auditlog.Event{
		{Action: auditlog.Grant, Outcome: "ok", Detail: []byte(`{"grants":"staff","staff":"s-1","office":"tokyo"}`)},
		{Action: auditlog.Case, Outcome: "ok", Case: "C-A", Detail: []byte(`{"act":"open","kind":"call","staff":"s-1","office":"tokyo","fields":"name","for":["x"],"touch":true}`)},
		{Action: auditlog.Case, Outcome: "ok", Case: "C-B", Detail: []byte(`{"act":"open","kind":"call","staff":"s-1","office":"osaka","fields":"name","for":["x"],"touch":true}`)},
		read("s-1", "C-A", "09:00"),
		read("s-1", "C-A", "23:00"),
		read("s-1", "C-A", "23:01"),
		read("s-1", "C-B", "09:00"), // given over from another office
		read("s-1", "C-9", "09:00"), // no case of ours
		read("", "C-A", "23:00"),    // of nobody: not an opening by staff
		{Action: auditlog.Deny, Outcome: "policy", Staff: "s-1", Time: at("09:00"), Detail: detail},
		{Action: auditlog.Deny, Outcome: "policy", Staff: "s-1", Time: at("23:00"), Detail: detail},
		{Action: auditlog.Deny, Outcome: "case", Staff: "s-1", Time: at("09:00")},
	}
	run := func(text string, from, to time.Time) Replayed {
		set, err := Load([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		r := NewReplay(set, from, to)
		for n := range events {
			r.Add(&events[n])
		}
		return r.Result()
	}
	got := run(string(Strict()), time.Time{}, time.Time{})
	if got.Openings != 5 || got.Refused != 4 || got.Unknown != 0 || got.Denied != 2 || got.Allowed != 1 {
		t.Errorf("strict: %+v", got)
	}
	if len(got.Stopped) != 3 || got.Stopped[0] != (StoppedCount{Stopped{"s-1", "enquiry", "night"}, 2}) ||
		got.Stopped[1].Policy != "" || got.Stopped[2].Policy != "other-office" {
		t.Errorf("strict stopped %+v", got.Stopped)
	}
	if got := run(string(Strict()), time.UnixMicro(at("23:00")), time.UnixMicro(at("23:01"))); got.Openings != 1 || got.Refused != 1 || got.Denied != 1 {
		t.Errorf("of a minute: %+v", got)
	}
	more := events[3]
	more.Fields = []auditlog.FieldVersion{{Field: field.Phone, Version: 1}}
	byTouch := more
	byTouch.Detail = []byte(`{"touch":true}`)
	events = append(events, more, byTouch, auditlog.Event{Action: auditlog.Case, Outcome: "ok", Case: "C-A", Detail: []byte(`{"act":"reopen"}`)}, events[3])
	if got := run(string(Strict()), time.Time{}, time.UnixMicro(at("10:00"))); got.Openings != 6 || got.Refused != 4 || got.Stopped[1].Policy != "case-by-touch fields-by-touch" || got.Stopped[2].Policy != "fields-by-touch" {
		t.Errorf("touches: %+v", got)
	}
	events = events[:len(events)-4]
	level := string(Strict()) + `@id("level") @en("a") @ja("a") forbid (principal is Staff, action, resource) when { context.case && context.level < 2 };`
	if got := run(level, time.Time{}, time.UnixMicro(at("10:00"))); got.Unknown != 1 || got.Refused != 2 {
		t.Errorf("what hangs on the level: %+v", got)
	}
}
