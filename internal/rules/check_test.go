package rules

import (
	"fmt"
	"go/ast"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sceptics is the package that checks a log for people who don't trust us, and
// all that it may build on besides the standard library.
const sceptics = "auditlog/check"

var scepticsMayUse = []string{"golang.org/x/mod/sumdb/note", "golang.org/x/mod/sumdb/tlog"}

// longestCheck bounds what a sceptic has to read, in lines.
const longestCheck = 1300

func TestCheckerStandsAlone(t *testing.T) {
	for _, fault := range repository(t).leaning(t) {
		t.Error(fault)
	}
}

// leaning names what the checker leans on that it mustn't, and its length.
func (files tree) leaning(t *testing.T) []string {
	var faults []string
	lines := 0
	parsed := files.goFiles(t)
	for _, name := range slices.Sorted(maps.Keys(parsed)) {
		if !strings.HasPrefix(name, sceptics+"/") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		lines += strings.Count(files[name], "\n")
		for _, imported := range imported(parsed[name]) {
			first, _, _ := strings.Cut(imported, "/")
			if (strings.Contains(first, ".") || first == module || imported == "C") && !slices.Contains(scepticsMayUse, imported) {
				faults = append(faults, name+" imports "+imported+": who checks a log must need nobody's code but Go's")
			}
		}
	}
	if lines == 0 || lines > longestCheck {
		faults = append(faults, fmt.Sprintf("%s: %d lines; at most %d, to be read in one sitting", sceptics, lines, longestCheck))
	}
	return faults
}

func imported(f *ast.File) (paths []string) {
	for _, spec := range f.Imports {
		if path, err := strconv.Unquote(spec.Path.Value); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

func TestLeaningCheckerIsCaught(t *testing.T) {
	got := tree{
		"auditlog/check/a.go":      `package check; import ("azekura/auditlog"; "net/http"; "golang.org/x/mod/sumdb/tlog"; "golang.org/x/crypto/ed25519")` + strings.Repeat("\n", longestCheck+1),
		"auditlog/check/a_test.go": `package check; import "github.com/google/go-cmp/cmp"`,
		"auditlog/a.go":            `package auditlog; import "github.com/google/uuid"`,
	}.leaning(t)
	var where []string
	for _, fault := range got {
		place, _, _ := strings.Cut(fault, ": ")
		where = append(where, place)
	}
	want := []string{"auditlog/check/a.go imports azekura/auditlog", "auditlog/check/a.go imports golang.org/x/crypto/ed25519", "auditlog/check"}
	if diff := cmp.Diff(want, where); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}
