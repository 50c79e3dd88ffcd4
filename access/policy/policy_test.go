package policy

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func good() Request {
	r := Usual()
	r.Office, r.CaseOffice = "tokyo", "tokyo"
	return r
}

// TestStrictsOwn: the shipped text fits, and each of its own tests can fail.
func TestStrictsOwn(t *testing.T) {
	set, err := Fit(Strict())
	if err != nil || set.Tests() < 15 {
		t.Fatal(err)
	}
	for n := range set.tests {
		set.tests[n].allow = !set.tests[n].allow
	}
	if failed := set.Test(); len(failed) != set.Tests() {
		t.Errorf("%d of %d tests fail when each is turned round", len(failed), set.Tests())
	}
}

// TestClock: a request is of Japan's clock and days, and of the text's own holidays.
func TestClock(t *testing.T) {
	set, err := Load(append(Strict(), "//! holiday 2026-11-23 a name\n"...))
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]Request{
		"2026-11-19T21:59:59Z": {Minute: 419, Workday: true},
		"2026-11-19T15:00:00Z": {Minute: 0, Workday: true},
		"2026-11-20T15:00:00Z": {Minute: 0}, // a Saturday, there
		"2026-11-22T14:59:00Z": {Minute: 1439},
		"2026-11-22T15:00:00Z": {Minute: 0}, // the Monday is a holiday
		"2026-11-23T15:00:00Z": {Minute: 0, Workday: true},
	} {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := set.At(Request{}, when); got.Minute != want.Minute || got.Workday != want.Workday {
			t.Errorf("%s: minute %d, workday %v", at, got.Minute, got.Workday)
		}
	}
}

// TestFitRefuses: a text that couldn't be set, though it may load.
func TestFitRefuses(t *testing.T) {
	text := string(Strict())
	for name, bad := range map[string]string{
		"its test fails":     text + "//! refuse: time=10:00\n",
		"by another policy":  text + "//! refuse night: workday=no\n",
		"no tests":           text[:strings.Index(text, "//!")] + "\n//\n",
		"an unknown policy":  text + "//! refuse nobody: time=06:00\n",
		"an unknown thing":   text + "//! allow: colour=red\n",
		"a misspelt holiday": text + "//! holiday 23.11.2026\n",
		"too many holidays":  text + holidays(),
		"tab":                text + "\t\n",
		"no end":             text + "//",
		"long":               text + strings.Repeat("// long\n", MaxInForce/8),
	} {
		if _, err := Fit([]byte(bad)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMissingIsBounded: a long text's refusal asks no more than it may.
func TestMissingIsBounded(t *testing.T) {
	var text strings.Builder
	for n := range MaxPolicies {
		fmt.Fprintf(&text, "@id(\"p-%d\") @ja(\"a\") @en(\"a\") forbid (principal is Staff, action, resource) when { !context.workday };\n", n)
	}
	text.WriteString(`@id("late") @ja("a") @en("a") permit (principal is Staff, action, resource);`)
	few, err := Load([]byte(strings.Join(strings.SplitAfter(text.String(), "\n")[MaxPolicies-2:], "")))
	if err != nil {
		t.Fatal(err)
	}
	many, err := Load([]byte(strings.Join(strings.SplitAfter(text.String(), "\n")[1:], "")))
	if err != nil {
		t.Fatal(err)
	}
	r := good()
	r.Workday = false // the last thing that is tried
	if got := few.Decide(r).Missing; len(got) != 1 {
		t.Errorf("of three policies %v is missing", got)
	}
	if got := many.Decide(r); got.Allowed || len(got.Missing) != 0 {
		t.Errorf("of %d policies %v is missing, and all were asked", MaxPolicies, got.Missing)
	}
}

func holidays() string {
	var b strings.Builder
	for n := range maxHolidays + 1 {
		b.WriteString("//! holiday " + time.Date(2026, 1, 1+n, 0, 0, 0, 0, time.UTC).Format(time.DateOnly) + "\n")
	}
	return b.String()
}

// TestStrict: each row is honest work with one thing other than it should be.
func TestStrict(t *testing.T) {
	set, err := Load(Strict())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name            string
		with            func(*Request)
		allowed         bool
		policy, missing string
	}{
		{"honest", func(*Request) {}, true, "caseworker-case", ""},
		{"no case", func(r *Request) { r.Case, r.Kind, r.State, r.Assigned, r.CaseOffice = false, "", "", false, "" }, false, "", anyCase()},
		{"search, nobody identified", func(r *Request) { r.Action, r.Level = "search", 0 }, true, "caseworker-case", ""},
		{"check, nobody identified", func(r *Request) { r.Action, r.Level = "check", 0 }, true, "caseworker-case", ""},
		{"not assigned", func(r *Request) { r.Assigned = false }, false, "", "the case assigned to you"},
		{"waits", func(r *Request) { r.State = "waiting" }, false, "", "the case open"},
		{"waits, not assigned", func(r *Request) { r.State, r.Assigned = "waiting", false }, false, "", "the case open, and the case assigned to you"},
		{"a case without a touch", func(r *Request) { r.CaseTouch = false }, false, "case-by-touch", "a case for whose opening, and for whose search, the key was touched"},
		{"a case for any search", func(r *Request) { r.Bound = false }, false, "case-by-touch", "a case of the kind review; a case that was opened for one search"},
		{"fields that weren't named", func(r *Request) { r.Declared = false }, false, "fields-by-touch", "a case for whose opening the key was touched with these fields named; a touch of your key for this very opening"},
		{"by a touch", func(r *Request) { r.Declared, r.Touch = false, true }, true, "caseworker-case", ""},
		{"another office", func(r *Request) { r.CaseOffice = "osaka" }, false, "other-office", "a case of your own office"},
		{"supervisor, not assigned", func(r *Request) { r.Role, r.Assigned = "supervisor", false }, true, "supervisor-case", ""},
		{"administrator", func(r *Request) { r.Role = "administrator" }, false, "", ""},
		{"before seven", func(r *Request) { r.Minute = 419 }, false, "night", "another hour: noon"},
		{"at seven", func(r *Request) { r.Minute = 420 }, true, "caseworker-case", ""},
		{"at ten", func(r *Request) { r.Minute = 1320 }, false, "night", "another hour: noon"},
		{"holiday", func(r *Request) { r.Workday = false }, false, "day-off", "a working day"},
		{"night of a holiday", func(r *Request) { r.Minute, r.Workday = 0, false }, false, "day-off,night", "another hour: noon, and a working day"},
		{"supervisor on a holiday", func(r *Request) { r.Role, r.Workday = "supervisor", false }, true, "supervisor-case", ""},
	} {
		r := good()
		c.with(&r)
		d := set.Decide(r)
		var ids, missing []string
		for _, w := range d.Policies {
			ids = append(ids, w.ID)
		}
		for _, m := range d.Missing {
			missing = append(missing, m.En)
		}
		if d.Allowed != c.allowed || strings.Join(ids, ",") != c.policy || strings.Join(missing, "; ") != c.missing || len(d.Failed) > 0 {
			t.Errorf("%s: allowed %v by %v, missing %v, failed %v; want %v by %q, missing %q", c.name, d.Allowed, ids, missing, d.Failed, c.allowed, c.policy, c.missing)
		}
	}
}

// anyCase is what is missing where no case was named, and any kind would do.
func anyCase() string {
	var all []string
	for _, kind := range kinds {
		all = append(all, "an open "+kind+" case of your office, assigned to you")
	}
	return strings.Join(all, "; ")
}

// TestRemembered: what is remembered of one request isn't told of another, and is
// bounded.
func TestRemembered(t *testing.T) {
	set, err := Load(Strict())
	if err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		for minute := 415; minute < 1325; minute++ {
			for _, purpose := range []string{"enquiry", "change", "visit", "letter", "death"} {
				r := good()
				r.Minute, r.Purpose = minute, purpose
				if got, want := set.Decide(r).Allowed, minute >= 420 && minute < 1320; got != want {
					t.Fatalf("round %d, minute %d, purpose %s: allowed %v", round, minute, purpose, got)
				}
				if len(set.seen) > maxSeen {
					t.Fatalf("%d are remembered", len(set.seen))
				}
			}
		}
	}
	a, b := good(), good()
	a.Fields, b.Fields = []string{"a", "b"}, []string{"a1:b"}
	if a.key() == b.key() {
		t.Error("two lists of fields are remembered as one")
	}
}

// TestLoadRefuses: what isn't whole doesn't load.
func TestLoadRefuses(t *testing.T) {
	const words = `@ja("あ") @en("a") `
	for name, text := range map[string]string{
		"empty":             "",
		"no id":             words + `permit (principal, action, resource);`,
		"no words":          `@id("a") permit (principal, action, resource);`,
		"twice":             strings.Repeat(`@id("a") `+words+`permit (principal is Staff, action, resource);`, 2),
		"unknown attribute": `@id("a") ` + words + `permit (principal is Staff, action, resource) when { context.colour == "red" };`,
		"wrong type":        `@id("a") ` + words + `permit (principal is Staff, action, resource) when { context.level == "two" };`,
		"unknown action":    `@id("a") ` + words + `permit (principal is Staff, action == Action::"burn", resource);`,
		"deep":              `@id("a") ` + words + `permit (principal, action, resource) when { ` + strings.Repeat("(", 1000) + `true` + strings.Repeat(")", 1000) + ` };`,
		"long":              strings.Repeat(" ", MaxText+1),
	} {
		if _, err := Load([]byte(text)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestChains: a chain of names is refused before anything unfolds it, through spaces
// and comments' ends too; the longest that isn't gets to the schema.
func TestChains(t *testing.T) {
	const head = `@id("a") @ja("あ") @en("a") permit (principal is Staff, action, resource) when { context has case`
	for link, deep := range map[string]bool{strings.Repeat(".case", maxChain+1): true, strings.Repeat("\n . c_1", maxChain+1): true, strings.Repeat(".case", maxChain): false} {
		_, err := Load([]byte(head + link + " };"))
		if !errors.Is(err, ErrInvalid) || strings.Contains(err.Error(), "in a row") != deep {
			t.Errorf("%.20q: %v", link, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(Strict())
	f.Add([]byte(`@id("a") permit (principal, action, resource) when { !!!!!!!!true };`))
	f.Add([]byte(`@id("a") @ja("a") @en("a") permit (principal is Staff, action, resource) when { context has case.case.case };`))
	f.Add([]byte("//! refuse a: kind=none\n//! holiday 2026-11-23\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := Load(text)
		if err != nil {
			return
		}
		set.Decide(good())
		again, err := Load(bytes.Clone(text))
		if err != nil || again.Hash() != set.Hash() {
			t.Fatal("a text that loaded doesn't load alike again")
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	set, err := Load(Strict())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !set.Decide(good()).Allowed {
			b.Fatal("refused")
		}
	}
}

// BenchmarkRefuse is a refusal that isn't remembered, with all that is missing asked
// for, one and two at a time: the dearest answer.
func BenchmarkRefuse(b *testing.B) {
	set, err := Load(Strict())
	if err != nil {
		b.Fatal(err)
	}
	r := good()
	r.Role, r.Level, r.Workday, r.State, r.Assigned, r.CaseOffice, r.Minute = "auditor", 0, false, "waiting", false, "osaka", 0
	b.ReportAllocs()
	for b.Loop() {
		if set.ask(r).Allowed || len(set.nearest(r)) > 0 {
			b.Fatal("allowed")
		}
	}
}

// BenchmarkEvaluate is a decision that isn't remembered.
func BenchmarkEvaluate(b *testing.B) {
	set, err := Load(Strict())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !set.ask(good()).Allowed {
			b.Fatal("refused")
		}
	}
}
