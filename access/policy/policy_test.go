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
		{"no case", func(r *Request) { r.Case, r.Kind, r.State, r.Assigned, r.CaseOffice = false, "", "", false, "" }, false, "", "an open case that is assigned to you, with identification of level 1"},
		{"not assigned", func(r *Request) { r.Assigned = false }, false, "", "the case assigned to you"},
		{"waits", func(r *Request) { r.State = "waiting" }, false, "", "the case open"},
		{"not identified", func(r *Request) { r.Level = 0 }, false, "", "identification of level 1"},
		{"change, once identified", func(r *Request) { r.Purpose = "change" }, false, "identified-twice", "identification of level 2"},
		{"change, twice identified", func(r *Request) { r.Purpose, r.Level = "change", 2 }, true, "caseworker-case", ""},
		{"another office", func(r *Request) { r.CaseOffice = "osaka" }, false, "other-office", "a case of your own office"},
		{"supervisor, not assigned", func(r *Request) { r.Role, r.Assigned = "supervisor", false }, true, "supervisor-case", ""},
		{"administrator", func(r *Request) { r.Role = "administrator" }, false, "", ""},
		{"before seven", func(r *Request) { r.Minute = 419 }, false, "night", "another time: noon of a working day"},
		{"at seven", func(r *Request) { r.Minute = 420 }, true, "caseworker-case", ""},
		{"at ten", func(r *Request) { r.Minute = 1320 }, false, "night", "another time: noon of a working day"},
		{"holiday", func(r *Request) { r.Workday = false }, false, "day-off", "another time: noon of a working day"},
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
		if d.Allowed != c.allowed || strings.Join(ids, ",") != c.policy || strings.Join(missing, ",") != c.missing || len(d.Failed) > 0 {
			t.Errorf("%s: allowed %v by %v, missing %v, failed %v; want %v by %q, missing %q", c.name, d.Allowed, ids, missing, d.Failed, c.allowed, c.policy, c.missing)
		}
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
