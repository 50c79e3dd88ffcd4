package rules_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"azekura/access"
	"azekura/auditlog"
	"azekura/incident/rules"
	"azekura/register/field"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func canary(id auditlog.ID) bool { return id[15] == 0xcc }

func someone(n byte) auditlog.ID { return uuid.UUID{1, 15: n} }

const second = int64(1e6)

// record does what the log does with an entry of one event.
func record(w *rules.Watch, e auditlog.Event, commit bool) (auditlog.Verdict, []auditlog.Event) {
	v := w.Judge([]auditlog.Event{e})
	stands := []auditlog.Event{e}
	if v.Refuse != nil {
		stands[0].Action, stands[0].Outcome, stands[0].Fields = auditlog.Deny, v.Outcome, nil
	}
	for _, a := range v.Add {
		a.Time = e.Time
		stands = append(stands, a)
	}
	for i := range stands {
		w.Note(&stands[i])
	}
	w.Settle(commit)
	return v, stands
}

func read(at int64, n, who byte) auditlog.Event {
	return auditlog.Event{Action: auditlog.Read, Outcome: "ok", Time: at * second, Session: auditlog.Session(n), Staff: fmt.Sprint("s-", n), Device: fmt.Sprint("d-", n), Participant: someone(who)}
}

func office(w *rules.Watch, staff, of string) {
	record(w, auditlog.Event{Action: auditlog.Grant, Detail: []byte(`{"grants":"staff","staff":"` + staff + `","office":"` + of + `"}`)}, true)
}

func targets(t *testing.T, v auditlog.Verdict) (list []string) {
	t.Helper()
	for _, e := range v.Add {
		if e.Action == auditlog.Contain {
			list = append(list, string(e.Detail))
		}
	}
	return list
}

func TestCanaryContains(t *testing.T) {
	w := rules.New(rules.Shipped(), canary)
	office(w, "s-1", "o-1")
	office(w, "s-2", "o-1")
	office(w, "s-3", "o-2")
	if v, _ := record(w, read(10, 1, 7), true); v.Refuse != nil || len(v.Add) > 0 {
		t.Fatalf("an opening of somebody: %+v", v)
	}
	v, _ := record(w, read(20, 1, 0xcc), true)
	if !errors.Is(v.Refuse, access.ErrContained) || len(targets(t, v)) != 3 || v.Add[0].Action != auditlog.Alarm {
		t.Fatalf("a canary's opening: %+v", v)
	}
	if v, _ := record(w, read(30, 3, 0xcc), true); len(targets(t, v)) != 3 {
		t.Fatalf("another office was asked for touches: %v", targets(t, v))
	}
	v, _ = record(w, read(20+3599, 2, 0xcc), true)
	if list := targets(t, v); len(list) != 4 || !bytes.Contains([]byte(list[3]), []byte(`"office"`)) || !bytes.Contains([]byte(list[3]), []byte(`"step_up":true`)) {
		t.Fatalf("the second device within an hour: %v", list)
	}
}

func TestSecondDeviceTooLate(t *testing.T) {
	w := rules.New(rules.Shipped(), canary)
	office(w, "s-1", "o-1")
	office(w, "s-2", "o-1")
	record(w, read(20, 1, 0xcc), true)
	if v, _ := record(w, read(20+3600, 2, 0xcc), true); len(targets(t, v)) != 3 {
		t.Fatalf("after an hour: %v", targets(t, v))
	}
}

// TestGateItselfTouches: without a session it is a job of the gate.
func TestGateItselfTouches(t *testing.T) {
	w := rules.New(rules.Shipped(), canary)
	e := read(10, 0, 0xcc)
	if v, _ := record(w, e, true); v.Refuse != nil || len(v.Add) > 0 {
		t.Fatalf("%+v", v)
	}
}

func TestRules(t *testing.T) {
	for _, c := range []struct {
		name   string
		action auditlog.Action
		is     string
		n      int
		acts   int
	}{
		{"misses", auditlog.Search, "none", 40, 1},
		{"wrong-answers", auditlog.Checked, "no", 30, 1},
		{"no-case", auditlog.Deny, "case", 200, 3},
		{"touch-not-given", auditlog.Deny, "touch", 20, 3},
		{"budget-spent", auditlog.Deny, "budget", 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := rules.New(rules.Shipped(), canary)
			for n := range c.n + 5 {
				e := read(int64(100+n), 1, 0)
				e.Participant, e.Action, e.Outcome = auditlog.ID{}, c.action, c.is
				v, _ := record(w, e, true)
				if fired := len(v.Add) > 0; fired != (n == c.n-1) {
					t.Fatalf("event %d: fired is %t", n+1, fired)
				}
				if n == c.n-1 && (len(targets(t, v)) != c.acts || !bytes.Contains(v.Add[0].Detail, []byte(c.name))) {
					t.Fatalf("%s", v.Add[0].Detail)
				}
			}
		})
	}
}

func TestHours(t *testing.T) {
	list, err := rules.Parse([]byte(`{"rules":[{"name":"night","says":"at night","severity":"low","actions":["read"],
		"outside":{"from":6,"to":22,"utc_offset":9},"count":1,"within":60,"per":"staff","action":"note"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for hour, night := range map[int64]bool{0: false, 12: false, 13: true, 20: true, 21: false} {
		w := rules.New(list, canary)
		if v, _ := record(w, read(hour*3600, 1, 1), true); (len(v.Add) == 1) != night {
			t.Errorf("%d o'clock UTC: %+v", hour, v.Add)
		}
	}
}

// TestMarks: what the gate marks counts, and nothing else.
func TestMarks(t *testing.T) {
	w := rules.New(rules.InForce(), canary)
	search := func(at int64, detail string) auditlog.Event {
		return auditlog.Event{Action: auditlog.Search, Outcome: "ok", Time: at * second, Session: 1, Staff: "s-1", Device: "d-1", Detail: []byte(detail)}
	}
	for n := range int64(30) {
		if v, _ := record(w, search(100+n, `{"by":"ref","candidates":1}`), true); len(v.Add) > 0 {
			t.Fatalf("without a mark: %s", v.Add[0].Detail)
		}
	}
	for n := range int64(10) {
		v, _ := record(w, search(200+n, `{"by":"ref","candidates":0,"near":true}`), true)
		if (len(v.Add) > 0) != (n == 9) {
			t.Fatalf("neighbour %d: %+v", n+1, v.Add)
		}
		if n == 9 && (len(v.Add) != 2 || !bytes.Contains(v.Add[0].Detail, []byte("number-sequence")) || !bytes.Contains(v.Add[1].Detail, []byte(`"step_up":true`))) {
			t.Errorf("%+v", v.Add)
		}
	}
	if v, _ := record(w, search(300, `{"by":"number","candidates":1,"former":true}`), true); len(v.Add) != 1 || !bytes.Contains(v.Add[0].Detail, []byte("retired-number")) {
		t.Errorf("a former number: %+v", v.Add)
	}
}

// TestTouchRules: who asks on in cases without a touch, or for fields without one, is
// contained, and so is who uses cases for others; another policy's denials don't count.
func TestTouchRules(t *testing.T) {
	for _, c := range []struct {
		rule, outcome, detail string
		n                     int
	}{
		{"case-without-touch", "policy", `{"policies":["case-by-touch","night"]}`, 10},
		{"fields-without-touch", "policy", `{"policies":["fields-by-touch"]}`, 2},
		{"case-crossed", "case", `{"asked":"check","case":"participant","crossed":true}`, 4},
	} {
		w := rules.New(rules.InForce(), canary)
		deny := func(n int, outcome, detail string) auditlog.Verdict {
			v, _ := record(w, auditlog.Event{Action: auditlog.Deny, Outcome: outcome, Time: int64(100+n) * second, Session: 1, Staff: "s-1", Device: "d-1", Case: fmt.Sprint("C-", n), Detail: []byte(detail)}, true)
			return v
		}
		for n := range 30 {
			for _, other := range []string{`{"policies":["night"],"missing":["case-by-touch"]}`, `{"policies":"case-by-touch"}`, `not JSON`} {
				if v := deny(n, "policy", other); len(v.Add) > 0 {
					t.Fatalf("%s: another policy's denial: %s", c.rule, v.Add[0].Detail)
				}
			}
		}
		for n := range c.n {
			v := deny(100+n, c.outcome, c.detail)
			if fired := len(v.Add) > 0; fired != (n == c.n-1) || fired && (len(targets(t, v)) != 3 || !bytes.Contains(v.Add[0].Detail, []byte(c.rule))) {
				t.Fatalf("%s, denial %d: %+v", c.rule, n+1, v.Add)
			}
		}
	}
	for _, bad := range []string{`"actions":["read"],"policy":"night"`, `"actions":["deny"],"policy":"Night!"`, `"actions":["deny"],"mark":"other"`} {
		if _, err := rules.Parse([]byte(`{"rules":[{"name":"one","says":"a test","severity":"low",` + bad + `,"count":1,"within":60,"per":"staff","action":"note"}]}`)); err == nil {
			t.Errorf("%s is a rule", bad)
		}
	}
}

// TestMended: what is made good by a touch of the key isn't counted, nor is what a case
// refuses twice; whatever else is done, in other cases or without a touch, leaves it.
func TestMended(t *testing.T) {
	const fields, crossed = `{"policies":["fields-by-touch"]}`, `{"asked":"search","case":"participant","crossed":true}`
	const beyond = `{"asked":"search","case":"participant","crossed":true,"beyond":true}`
	do := func(w *rules.Watch, at int64, action auditlog.Action, outcome, room, detail string) bool {
		v, _ := record(w, auditlog.Event{Action: action, Outcome: outcome, Time: at * second, Session: 1, Staff: "s-1", Device: "d-1", Case: room, Detail: []byte(detail)}, true)
		return len(targets(t, v)) > 0
	}
	for _, c := range []struct {
		outcome, detail string // of what is refused
		n               int    // of them contain
		action          auditlog.Action
		mends           func(room string) (in, detail string)
		not             [][2]string // what a like event's case and detail are that mends nothing
	}{
		{"policy", fields, 2, auditlog.Read, func(room string) (string, string) { return room, `{"by":"ref","touch":true}` },
			[][2]string{{"C-1", ``}, {"C-1", `{"by":"ref"}`}, {"C-9", `{"touch":true}`}}},
		{"case", crossed, 4, auditlog.Search, func(room string) (string, string) { return "C-99", `{"by":"number","mends":"` + room + `"}` },
			[][2]string{{"C-1", `{"by":"number"}`}, {"C-1", `{"touch":true}`}, {"C-99", `{"mends":"C-9"}`}}},
		{"case", beyond, 3, auditlog.Search, func(room string) (string, string) { return "C-99", `{"mends":"C-8,` + room + `"}` }, nil},
	} {
		w := rules.New(rules.InForce(), canary)
		for n := range int64(50) { // each is made good
			room := fmt.Sprint("C-", n)
			if do(w, 100+10*n, auditlog.Deny, c.outcome, room, c.detail) {
				t.Fatalf("%s: contained for what was made good", c.outcome)
			}
			in, detail := c.mends(room)
			do(w, 101+10*n, c.action, "ok", in, detail)
		}
		w = rules.New(rules.InForce(), canary)
		for n := 1; n <= c.n; n++ {
			if n == 1 && c.outcome == "policy" { // twice in one case
				do(w, 100, auditlog.Deny, c.outcome, "C-1", c.detail)
			}
			for _, other := range c.not {
				if do(w, 101, c.action, "ok", other[0], other[1]) {
					t.Fatalf("%s: contained for nothing", c.outcome)
				}
			}
			if got := do(w, 102, auditlog.Deny, c.outcome, fmt.Sprint("C-", n), c.detail); got != (n == c.n) {
				t.Fatalf("%s: %d denials: contained is %t", c.outcome, n, got)
			}
		}
	}
	// Whom two people released is counted anew, and can be contained again.
	w := rules.New(rules.InForce(), canary)
	for n := range 3 {
		for i, contained := range []bool{false, true, false} {
			if got := do(w, int64(200+10*n+i), auditlog.Deny, "policy", fmt.Sprint("C-", i), fields); got != contained {
				t.Errorf("release %d, denial %d: contained is %t", n, i+1, got)
			}
		}
		record(w, auditlog.Event{Action: auditlog.Grant, Outcome: "ok", Time: int64(205+10*n) * second, Detail: []byte(`{"grants":"release","target":{"kind":"staff","id":"s-1"}}`)}, true)
	}
	// What wasn't committed is no mending.
	w = rules.New(rules.InForce(), canary)
	do(w, 100, auditlog.Deny, "policy", "C-1", fields)
	record(w, auditlog.Event{Action: auditlog.Read, Outcome: "ok", Time: 101 * second, Session: 1, Staff: "s-1", Device: "d-1", Case: "C-1", Detail: []byte(`{"touch":true}`)}, false)
	if !do(w, 102, auditlog.Deny, "policy", "C-2", fields) {
		t.Error("a reading that never was made something good")
	}
	if _, err := rules.Parse([]byte(`{"rules":[{"name":"one","says":"a test","severity":"low","actions":["read"],"mended":true,"count":1,"within":60,"per":"staff","action":"note"}]}`)); err == nil {
		t.Error("what isn't refused is made good")
	}
}

// TestNovel: what an office never read is a sign once its habits are known, at each
// device once, and what was taken back is no habit.
func TestNovel(t *testing.T) {
	w := rules.New(rules.InForce(), canary)
	office(w, "s-1", "o-1")
	office(w, "s-2", "o-2")
	of := func(at int64, n byte, f field.Field, purpose string) auditlog.Event {
		e := read(at, n, 7)
		e.Purpose, e.Fields = purpose, []auditlog.FieldVersion{{Field: f, Version: 1}}
		return e
	}
	for n := range int64(500) {
		if v, _ := record(w, of(100+n, 1, field.Name, "enquiry"), true); len(v.Add) > 0 {
			t.Fatalf("a habit: %+v", v.Add)
		}
	}
	for _, c := range []struct {
		what   string
		e      auditlog.Event
		commit bool
		sign   bool
	}{
		{"the habit", of(1000, 1, field.Name, "enquiry"), true, false},
		{"another field, not committed", of(1001, 1, field.Account, "enquiry"), false, true},
		{"again", of(1002, 1, field.Account, "enquiry"), true, true},
		{"and again", of(1003, 1, field.Account, "enquiry"), true, false},
		{"another purpose a day later", of(90000, 1, field.Name, "death"), true, true},
		{"an office without habits", of(90001, 2, field.Account, "enquiry"), true, false},
	} {
		v, _ := record(w, c.e, c.commit)
		if (len(v.Add) == 1) != c.sign || c.sign && (!bytes.Contains(v.Add[0].Detail, []byte("new-to-the-office")) || v.Refuse != nil) {
			t.Errorf("%s: %+v", c.what, v.Add)
		}
	}
}

func saved(t interface{ Fatal(...any) }, w *rules.Watch) []byte {
	var b bytes.Buffer
	if err := w.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestRestartAndFailedCommit: a watch that was told of the log alone, one that was
// saved and loaded midway, and one beside which commits failed say the same.
func TestRestartAndFailedCommit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := []rules.Rule{rules.Shipped()[0], rules.Shipped()[1],
			{Name: "a", Says: "a", Severity: "low", Actions: []string{"search"}, Count: 3, Within: 20, Per: "session", Action: rules.StepUp},
			{Name: "b", Says: "b", Severity: "low", Actions: []string{"read", "search"}, Distinct: true, Count: 4, Within: 30, Per: "device", Action: rules.Note}}
		live, clean := rules.New(list, canary), rules.New(list, canary)
		for n := byte(1); n <= 3; n++ {
			office(live, fmt.Sprint("s-", n), "o-1")
			office(clean, fmt.Sprint("s-", n), "o-1")
		}
		at := int64(100)
		for range rapid.IntRange(1, 80).Draw(t, "events") {
			at += rapid.Int64Range(0, 9).Draw(t, "later")
			e := read(at, rapid.ByteRange(1, 3).Draw(t, "session"), rapid.SampledFrom([]byte{1, 2, 3, 4, 5, 0xcc}).Draw(t, "who"))
			e.Action = rapid.SampledFrom([]auditlog.Action{auditlog.Read, auditlog.Search, auditlog.Show}).Draw(t, "action")
			if rapid.IntRange(0, 3).Draw(t, "fails") == 0 {
				record(live, e, false)
				continue
			}
			_, one := record(live, e, true)
			_, other := record(clean, e, true)
			if fmt.Sprint(one) != fmt.Sprint(other) {
				t.Fatalf("beside failed commits:\n%v\n%v", one, other)
			}
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				again := rules.New(list, canary)
				if err := again.Load(bytes.NewReader(saved(t, live))); err != nil {
					t.Fatal(err)
				}
				live = again
			}
		}
	})
}

func TestSavedForOtherRules(t *testing.T) {
	w := rules.New(rules.Shipped(), canary)
	if err := w.Load(bytes.NewReader(saved(t, rules.New(rules.Shipped()[1:], canary)))); err == nil {
		t.Fatal("it was taken up")
	}
	if err := w.Load(bytes.NewReader([]byte("not ours"))); err == nil {
		t.Fatal("it was taken up")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"rules":[{"name":"a","says":"a","severity":"low","actions":["read"],"count":1,"within":60,"per":"staff","action":"note"}]}`))
	f.Add([]byte(`{"rules":[]}`))
	f.Add([]byte(`{"rules":[{"name":"a","count":100000}]} x`))
	f.Fuzz(func(t *testing.T, file []byte) {
		list, err := rules.Parse(file)
		if err != nil {
			return
		}
		w := rules.New(list, canary)
		for n := range 50 {
			record(w, read(int64(n), 1, byte(n)), true)
		}
	})
}

// TestCountedThrough: whoever counts through refs names canaries, on different days
// none that matters, and is contained; the second device that does has the office
// asked for touches.
func TestCountedThrough(t *testing.T) {
	w := rules.New(rules.InForce(), func(id auditlog.ID) bool { return id[14] == 0xcc })
	office(w, "s-1", "o-1")
	office(w, "s-2", "o-1")
	named := func(at int64, n, who byte) auditlog.Verdict {
		e := read(at, n, who)
		e.Action, e.Outcome, e.Participant[14] = auditlog.Search, "asked", 0xcc
		v, _ := record(w, e, true)
		return v
	}
	for at, who := range []byte{1, 2, 3, 3, 3} { // the same mistyped ref again is one
		if v := named(int64(at), 1, who); v.Refuse != nil || len(v.Add) > 0 {
			t.Fatalf("canary %d: %+v", who, v)
		}
	}
	if v := named(86400*2, 1, 4); len(v.Add) > 0 {
		t.Fatalf("two days later: %+v", v)
	}
	for who := byte(5); who < 7; who++ {
		named(86400*2, 1, who)
	}
	if list := targets(t, named(86400*2, 1, 7)); len(list) != 3 {
		t.Fatalf("the fourth in a day: %v", list)
	}
	for who := byte(1); who < 4; who++ {
		named(86400*2+60, 2, who)
	}
	if list := targets(t, named(86400*2+60, 2, 4)); len(list) != 4 || !bytes.Contains([]byte(list[3]), []byte(`"office"`)) {
		t.Fatalf("the second device: %v", list)
	}
}

// TestMissesOnAndOn: misses in numbers that no honest day has ask for a touch, then
// contain.
func TestMissesOnAndOn(t *testing.T) {
	w := rules.New(rules.InForce(), canary)
	for n := range 60 {
		e := read(int64(n)*200, 1, 0)
		e.Action, e.Outcome, e.Participant = auditlog.Search, "none", auditlog.ID{}
		v, _ := record(w, e, true)
		want := map[int]int{39: 1, 59: 3}[n]
		if list := targets(t, v); len(list) != want {
			t.Fatalf("miss %d: %v", n+1, list)
		}
	}
}
