package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// reach is how far a rule looks.
type reach int

const (
	imports reach = iota // the package's own imports, its tests' too
	reaches              // all that the package's code brings with it; its tests may do more
)

// rule forbids packages to packages, as folders of this module.
type rule struct {
	who, but  []string
	how       reach
	what      []string
	exceptFor []string
	why       string
}

// words is the one package of the register that all may use: names of fields,
// and nothing about anybody.
const words = "register/field"

var importRules = []rule{
	{
		who: []string{"..."}, but: []string{"gate", "keyring/opening"},
		how: imports, what: []string{"keyring/opening"},
		why: "plaintext has one way out, and the gate is where policy, budget and audit log stand",
	},
	{
		who: []string{"auditlog/..."},
		how: reaches, what: []string{"register/...", "keyring/...", "gate/..."}, exceptFor: []string{words},
		why: "the log holds no personal data, so it has no use for code that can get at it",
	},
	{
		who: []string{"witness/..."},
		how: reaches, what: []string{"register/...", "keyring/...", "gate/..."}, exceptFor: []string{words},
		why: "a witness runs at somebody else's and must not be a way in",
	},
	{
		who: []string{"mailguard/...", "intel/...", "console/public/..."},
		how: reaches, what: []string{"register/...", "keyring/..."}, exceptFor: []string{words},
		why: "these take what strangers send, and a hole in one of them must not open on the register",
	},
	{
		who: []string{"leakscan/..."},
		how: reaches, what: []string{"register/...", "keyring/...", "gate/...", "auditlog/..."},
		exceptFor: []string{words, "register/normal/...", "register/value/...", "register/rowfile/..."},
		why:       "a scan runs on strangers' files with an index and its key, and must not be a way to the register",
	},
	{
		who: []string{"population/..."},
		how: reaches, what: []string{"..."}, exceptFor: []string{words, "population/..."},
		why: "made-up people are an input like any other, made without knowing how we store them",
	},
	{
		who: []string{"drill/thief/..."},
		how: reaches, what: []string{"..."}, exceptFor: []string{"drill/thief/..."},
		why: "the drill's thief has what malware on a staff PC has: HTTPS and a session",
	},
	{
		who: []string{"cmd/..."},
		how: reaches, what: []string{"internal/pgtest"},
		why: "a test's throw-away server has no place in the product",
	},
}

// coming are the names above whose packages don't exist yet, so that a rule
// which checks nothing because a package was renamed isn't taken for one that
// waits.
var coming = []string{"console/public/...", "intel/...", "mailguard/..."}

func TestImports(t *testing.T) {
	g := repository(t).graph(t)
	for _, broken := range g.check(importRules) {
		t.Error(broken)
	}
	missing := g.missing(importRules)
	for _, name := range coming {
		if !slices.Contains(missing, name) {
			t.Errorf("%s is here: take it off the list of what is coming", name)
		}
	}
	for _, name := range missing {
		if slices.Contains(coming, name) {
			t.Logf("no package is named %s yet: its rules hold for want of it", name)
		} else {
			t.Errorf("no package is named %s: mend the rules if it was renamed, or list it as coming", name)
		}
	}
}

// check names each forbidden import with the way that leads to it.
func (g graph) check(rules []rule) []string {
	var broken []string
	for _, r := range rules {
		for _, from := range slices.Sorted(maps.Keys(g)) {
			if !is(from, r.who) || is(from, r.but) {
				continue
			}
			for _, way := range g.ways(from, r.how) {
				to := way[len(way)-1]
				if is(to, r.what) && !is(to, r.exceptFor) {
					broken = append(broken, fmt.Sprintf("%s: %s", strings.Join(way, " imports "), r.why))
				}
			}
		}
	}
	return broken
}

// ways are the shortest ways from a package to all that it imports or reaches.
func (g graph) ways(from string, how reach) [][]string {
	next := maps.Clone(g[from].code)
	if how == imports {
		maps.Copy(next, g[from].tests)
	}
	var ways [][]string
	for _, to := range slices.Sorted(maps.Keys(next)) {
		ways = append(ways, []string{from, to})
	}
	if how == imports {
		return ways
	}
	seen := maps.Clone(next)
	for i := 0; i < len(ways); i++ {
		way := ways[i]
		for _, to := range slices.Sorted(maps.Keys(g[way[len(way)-1]].code)) {
			if !seen[to] {
				seen[to] = true
				ways = append(ways, append(slices.Clone(way), to))
			}
		}
	}
	return ways
}

// missing are the names in the rules that no package bears.
func (g graph) missing(rules []rule) []string {
	var missing []string
	for _, r := range rules {
		for _, name := range slices.Concat(r.who, r.but, r.what, r.exceptFor) {
			borne := slices.ContainsFunc(slices.Collect(maps.Keys(g)), func(dir string) bool { return is(dir, []string{name}) })
			if !borne && !slices.Contains(missing, name) {
				missing = append(missing, name)
			}
		}
	}
	return missing
}

// TestImportRulesCatch shows the checker a tree that breaks rules, and nothing
// else, so that a rule which stopped working is noticed.
func TestImportRulesCatch(t *testing.T) {
	g := tree{
		"gate/gate.go":                   `package gate; import "azekura/keyring/opening"`,
		"register/register.go":           `package register; import "azekura/gate"`,
		"register/register_test.go":      `package register_test; import "azekura/keyring/opening"`,
		"register/field/field.go":        `package field`,
		"register/importing/i.go":        `package importing; import "azekura/keyring/opening"`,
		"keyring/keyring.go":             `package keyring`,
		"keyring/opening/o.go":           `package opening; import "azekura/keyring"`,
		"keyring/opening/o_test.go":      `package opening_test; import "azekura/keyring/opening"`,
		"auditlog/log.go":                `package auditlog; import ("azekura/internal/db"; "azekura/register/field")`,
		"auditlog/log_test.go":           `package auditlog; import "azekura/internal/pgtest"`,
		"internal/db/db.go":              `package db; import "azekura/internal/deep"`,
		"internal/deep/deep.go":          `package deep; import "azekura/keyring"`,
		"internal/pgtest/p.go":           `package pgtest`,
		"mailguard/m.go":                 `package mailguard; import "azekura/register/field"`,
		"console/public/tagged_plan9.go": `package public; import "azekura/register"`,
		"population/p.go":                `package population; import ("azekura/register/field"; "azekura/internal/db")`,
		"drill/testdata/x.go":            `package x; import "azekura/keyring/opening"`,
	}.graph(t)
	var got []string
	for _, broken := range g.check(importRules) {
		way, _, _ := strings.Cut(broken, ":")
		got = append(got, way)
	}
	want := []string{
		"register imports keyring/opening",
		"register/importing imports keyring/opening",
		"auditlog imports internal/db imports internal/deep imports keyring",
		"console/public imports register",
		"console/public imports register imports gate imports keyring/opening",
		"console/public imports register imports gate imports keyring/opening imports keyring",
		"population imports internal/db",
		"population imports internal/db imports internal/deep",
		"population imports internal/db imports internal/deep imports keyring",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("broken rules (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"witness/...", "intel/...", "leakscan/...", "register/normal/...", "register/value/...", "register/rowfile/...", "drill/thief/...", "cmd/..."}, g.missing(importRules)); diff != "" {
		t.Errorf("names without a package (-want +got):\n%s", diff)
	}
}
