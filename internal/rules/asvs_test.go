package rules

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// named is a folder and the tests that a row names in it: `access` TestIdle, TestTouch.
// A test without a folder is of the one before it.
var (
	folderOrTest = regexp.MustCompile("`([a-z][a-z/]*)`|\\b((?:Test|Fuzz)[A-Z]\\w*)")
	testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	met          = regexp.MustCompile(`^\| ?\d+\.[^|]*\|[^|]*\| (yes|partly)[^|]*\|(.*)\|$`)
)

// unknown are the tests that a table names and no folder holds, and the lines that say
// "yes" and name none.
func (files tree) unknown(table string) (faults []string) {
	have := map[string]bool{}
	folders := map[string]bool{}
	for file, text := range files {
		if strings.HasSuffix(file, "_test.go") {
			for _, fn := range testFunction.FindAllStringSubmatch(text, -1) {
				have[path.Dir(file)+" "+fn[1]], folders[path.Dir(file)] = true, true
			}
		}
	}
	for line := range strings.Lines(table) {
		row := met.FindStringSubmatch(strings.TrimSpace(line))
		if row == nil {
			continue
		}
		folder, tests := "", 0
		for _, m := range folderOrTest.FindAllStringSubmatch(row[2], -1) {
			if m[1] != "" {
				if folders[m[1]] { // else a word of the code
					folder = m[1]
				}
				continue
			}
			if tests++; !have[folder+" "+m[2]] {
				faults = append(faults, folder+" "+m[2])
			}
		}
		if row[1] == "yes" && tests == 0 && !strings.Contains(row[2], "no test") && !strings.Contains(row[2], "as 13.") {
			faults = append(faults, line)
		}
	}
	return faults
}

// TestASVSNamesTests: what doc/asvs.md says is met is met by tests that exist.
func TestASVSNamesTests(t *testing.T) {
	table, err := os.ReadFile(filepath.Join("..", "..", "doc", "asvs.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range repository(t).unknown(string(table)) {
		t.Errorf("doc/asvs.md names no test that exists: %s", fault)
	}
}

func TestASVSFaultsAreCaught(t *testing.T) {
	files := tree{"access/a_test.go": "package access\nfunc TestIdle() {}"}
	table := "| 3.1.1 | a | yes | `access` TestIdle |\n| 3.1.2 | a | yes | `access` TestGone |\n| 3.1.3 | a | yes | by care |\n| 3.1.4 | a | no | |\n| 3.1.5 | a | partly | by care |\n"
	if got := files.unknown(table); len(got) != 2 || got[0] != "access TestGone" {
		t.Errorf("%q", got)
	}
}
