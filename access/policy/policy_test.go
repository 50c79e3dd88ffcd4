package policy

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func good() Request {
	return Request{Role: "caseworker", Office: "tokyo", Action: "read", Purpose: "enquiry", Fields: []string{"name"}, Case: true,
		Kind: "call", State: "open", Assigned: true, Level: 1, CaseOffice: "tokyo", Minute: 600, Workday: true}
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
		for minute := range 1440 {
			for _, office := range []string{"tokyo", "osaka", "nagoya", "kyoto"} {
				r := good()
				r.Minute, r.CaseOffice = minute, office
				if got, want := set.Decide(r).Allowed, minute >= 420 && minute < 1320 && office == "tokyo"; got != want {
					t.Fatalf("round %d, minute %d, office %s: allowed %v", round, minute, office, got)
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

func FuzzLoad(f *testing.F) {
	f.Add(Strict())
	f.Add([]byte(`@id("a") permit (principal, action, resource) when { !!!!!!!!true };`))
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
