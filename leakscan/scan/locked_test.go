package scan_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"azekura/leakscan/leaktest"
	"azekura/leakscan/scan"
)

// packed packs files of a folder by a program that people use.
func packed(t testing.TB, dir string, program ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "packed")
	for i, arg := range program {
		if arg == "OUT" {
			program[i] = out
		}
	}
	cmd := exec.Command(program[0], program[1:]...)
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program[0], err, said)
	}
	made, err := filepath.Glob(out + "*") // some add a suffix of their own
	if err != nil || len(made) != 1 {
		t.Fatalf("%s made %d files: %v", program[0], len(made), err)
	}
	raw, err := os.ReadFile(made[0])
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestLocked: archives under a password, by zip and 7z, are opened by the one of the
// list that fits, and are encrypted in the ledger without it.
func TestLocked(t *testing.T) {
	x := indexOf(t, 2000)
	raw, truth := leaktest.Leak(leaktest.Style{Format: "csv"}, people(seed, 200), leaktest.Own(200))
	dir := t.TempDir()
	write(t, dir, "list.csv", raw)
	write(t, dir, "other.txt", []byte("nothing of note\n"))
	for name, program := range map[string][]string{
		"zip, PKWARE":         {"zip", "-q", "-P", "Nenkin 2015", "OUT", "list.csv", "other.txt"},
		"zip, stored":         {"zip", "-q", "-0", "-P", "Nenkin 2015", "OUT", "list.csv", "other.txt"},
		"7z's zip, AES-256":   {"7z", "a", "-bso0", "-tzip", "-mem=AES256", "-pNenkin 2015", "OUT", "list.csv", "other.txt"},
		"7z's zip, AES-128":   {"7z", "a", "-bso0", "-tzip", "-mem=AES128", "-pNenkin 2015", "OUT", "list.csv", "other.txt"},
		"7z":                  {"7z", "a", "-bso0", "-t7z", "-pNenkin 2015", "OUT", "list.csv", "other.txt"},
		"7z, its list locked": {"7z", "a", "-bso0", "-t7z", "-mhe=on", "-pNenkin 2015", "OUT", "list.csv", "other.txt"},
		"open 7z":             {"7z", "a", "-bso0", "-t7z", "OUT", "list.csv", "other.txt"},
		"bzip2":               {"7z", "a", "-bso0", "-tbzip2", "OUT", "list.csv"},
		"xz":                  {"7z", "a", "-bso0", "-txz", "OUT", "list.csv"},
	} {
		path := write(t, t.TempDir(), "f", packed(t, dir, program...))
		locked := strings.Contains(strings.Join(program, " "), "Nenkin")
		for _, c := range []struct {
			passwords []string
			want      int
		}{{nil, 0}, {[]string{"wrong", "nenkin 2015"}, 0}, {[]string{"wrong", "Nenkin 2015", "other"}, len(truth)}} {
			if !locked {
				c.want = len(truth)
			}
			r := run(t, x, scan.Options{Paths: []string{path}, Passwords: c.passwords})
			encrypted := r.Summary.Coverage[scan.Encrypted] > 0
			if n := r.Summary.People["A"]; n != c.want || encrypted != (c.want == 0) {
				t.Errorf("%s with %q: %d of %d people, %v", name, c.passwords, n, c.want, ledger(t, r))
			}
		}
	}
}

// TestPasswordsThatCameLater: a scan that goes on opens what was locked before.
func TestPasswordsThatCameLater(t *testing.T) {
	x := indexOf(t, 2000)
	raw, truth := leaktest.Leak(leaktest.Style{Format: "csv"}, people(seed, 20), leaktest.Own(20))
	dir := t.TempDir()
	write(t, dir, "list.csv", raw)
	path := write(t, t.TempDir(), "f", packed(t, dir, "zip", "-q", "-P", "later", "OUT", "list.csv"))
	o := scan.Options{Paths: []string{path}, Journal: filepath.Join(t.TempDir(), "journal")}
	if r := run(t, x, o); r.Summary.People["A"] != 0 {
		t.Fatal("a locked archive was read without its password")
	}
	o.Passwords = []string{"later"}
	if n := run(t, x, o).Summary.People["A"]; n != len(truth) {
		t.Errorf("%d of %d people were found when the password was there", n, len(truth))
	}
}

func TestPDF(t *testing.T) {
	x := indexOf(t, 2000)
	open, truth := leaktest.PDF(t, people(seed, 120), "")
	shut, _ := leaktest.PDF(t, people(seed, 120), "shut")
	for _, c := range []struct {
		name      string
		raw       []byte
		passwords []string
		want      int
		state     scan.State
	}{
		{"open", open, nil, len(truth), scan.Parsed},
		{"in an archive", zipped(map[string][]byte{"a/list.pdf": open}), nil, len(truth), scan.Parsed},
		{"shut", shut, []string{"other"}, 0, scan.Encrypted},
		{"shut, with its password", shut, []string{"other", "shut"}, len(truth), scan.Parsed},
		{"cut", open[:len(open)/3], nil, 0, scan.Failed},
		{"no more than its name", []byte("%PDF-1.7\n"), nil, 0, scan.Failed},
	} {
		path := write(t, t.TempDir(), "-x.pdf", c.raw)
		r := run(t, x, scan.Options{Paths: []string{path}, Passwords: c.passwords})
		said := false
		for _, e := range ledger(t, r) {
			said = said || e.State == c.state
		}
		if n := r.Summary.People["A"]; n != c.want || !said {
			t.Errorf("%s: %d of %d people, %v", c.name, n, c.want, ledger(t, r))
		}
	}
}
