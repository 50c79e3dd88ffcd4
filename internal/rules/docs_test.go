package rules

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/modfile"
)

// TestPackagesSayWhatTheyGuard: who reads only the package comments understands
// the system.
func TestPackagesSayWhatTheyGuard(t *testing.T) {
	for _, fault := range repository(t).undocumented(t) {
		t.Error(fault)
	}
}

// undocumented names the packages without one comment of two lines or more that
// starts as godoc expects.
func (files tree) undocumented(t *testing.T) []string {
	docs, names := map[string][]string{}, map[string]string{}
	for file, f := range files.goFiles(t) {
		dir := path.Dir(file)
		if !strings.HasSuffix(f.Name.Name, "_test") {
			names[dir] = f.Name.Name
		}
		if f.Doc != nil {
			docs[dir] = append(docs[dir], f.Doc.Text())
		}
	}
	var faults []string
	for _, dir := range slices.Sorted(maps.Keys(names)) {
		start := "Package " + names[dir] + " "
		if names[dir] == "main" {
			start = "Command " + path.Base(dir) + " "
		}
		switch {
		case len(docs[dir]) != 1:
			faults = append(faults, fmt.Sprintf("%s: %d package comments; write one, what the package guards, promises and doesn't", dir, len(docs[dir])))
		case !strings.HasPrefix(docs[dir][0], start):
			faults = append(faults, fmt.Sprintf("%s: its comment must begin %q", dir, start))
		case textLines(docs[dir][0]) < 2:
			faults = append(faults, fmt.Sprintf("%s: its comment is one line; say what the package guards, promises and doesn't", dir))
		}
	}
	return faults
}

func textLines(doc string) int {
	n := 0
	for line := range strings.Lines(doc) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n
}

func TestUndocumentedPackageIsCaught(t *testing.T) {
	got := tree{
		"good/good.go":        "// Package good guards something\n// and says so.\npackage good",
		"good/good_test.go":   "package good_test",
		"none/none.go":        "package none",
		"short/short.go":      "// Package short is short.\n//\n// # Heading\npackage short",
		"other/other.go":      "// Another one\n// of two lines.\npackage other",
		"twice/a.go":          "// Package twice says\n// this.\npackage twice",
		"twice/b.go":          "// Package twice says\n// that.\npackage twice",
		"cmd/azekura/main.go": "// Command azekura is\n// the program.\npackage main",
	}.undocumented(t)
	var dirs []string
	for _, fault := range got {
		dir, _, _ := strings.Cut(fault, ":")
		dirs = append(dirs, dir)
	}
	if diff := cmp.Diff([]string{"none", "other", "short", "twice"}, dirs); diff != "" {
		t.Errorf("undocumented packages (-want +got):\n%s", diff)
	}
}

// TestDependenciesAreAccountedFor: what we build on is chosen, and has a line
// that says what for and what then.
func TestDependenciesAreAccountedFor(t *testing.T) {
	for _, fault := range repository(t).unaccounted(t) {
		t.Error(fault)
	}
}

// unaccounted compares go.mod's direct requirements with the tables of
// doc/dependencies.md, which name modules in backquotes.
func (files tree) unaccounted(t *testing.T) []string {
	mod, err := modfile.Parse("go.mod", []byte(files["go.mod"]), nil)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for line := range strings.Lines(files["doc/dependencies.md"]) {
		if strings.HasPrefix(line, "|") {
			for i, word := range strings.Split(line, "`") {
				told[word] = told[word] || i%2 == 1
			}
		}
	}
	var faults []string
	for _, require := range mod.Require {
		if !require.Indirect && !told[require.Mod.Path] {
			faults = append(faults, require.Mod.Path+": add a line to doc/dependencies.md: what it does for us, its licence, and what we would do if it died")
		}
	}
	return faults
}

func TestUnaccountedDependencyIsCaught(t *testing.T) {
	got := tree{
		"go.mod":              "module x\nrequire (\n a.example/told v1.0.0\n a.example/silent v1.0.0\n a.example/far v1.0.0 // indirect\n)",
		"doc/dependencies.md": "| `a.example/told`, `a.example/more` | why |\n\nHere `a.example/silent` is only mentioned.\n",
	}.unaccounted(t)
	if len(got) != 1 || !strings.HasPrefix(got[0], "a.example/silent:") {
		t.Errorf("got %q", got)
	}
}
