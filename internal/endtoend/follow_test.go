package endtoend

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// approved has two people decide on a command of the log, whose first half is given.
func (a *agency) approved(t *testing.T, command string, propose ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "proposal")
	a.must(t, append([]string{"log", command, "--propose", file}, propose...)...)
	for _, name := range []string{"hanako", "jiro"} {
		cmd := a.command("approve", file, "--key", filepath.Join(a.dir, "..", name+".key"))
		cmd.Stdin = strings.NewReader("approve\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return a.must(t, "log", command, "--approved", file)
}

func (a *agency) enrolTwo(t *testing.T) {
	t.Helper()
	for _, name := range []string{"hanako", "jiro"} {
		vkey := a.must(t, "approver", "new", name, "-o", filepath.Join(a.dir, "..", name+".key"), "--plain")
		a.must(t, "approver", "add", strings.TrimSpace(vkey))
	}
}

// key is the log's public key of now.
func (a *agency) key(t *testing.T) string {
	t.Helper()
	return strings.SplitN(a.must(t, "log", "head"), "\n", 2)[0]
}

// heads are what the witness cosigned last, and how much it mirrors, by origin.
func (o *outsider) heads(t *testing.T) map[string][2]int64 {
	t.Helper()
	out, err := exec.Command(binary, "witness", "heads", "--json", "--dir", o.dir).Output()
	var d struct {
		Logs []struct {
			Origin         string
			Size, Mirrored int64
		}
	}
	if err == nil {
		err = json.Unmarshal(out, &d)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	list := map[string][2]int64{}
	for _, l := range d.Logs {
		list[l.Origin] = [2]int64{l.Size, l.Mirrored}
	}
	return list
}

// TestWitnessFollows: a log's key is changed, the log is frozen and goes on, its key
// is changed again; a witness in a process of its own, told of the first key and of
// nothing else, cosigns and mirrors all the way, also where it was away meanwhile. Who
// holds the first key alone checks everything.
func TestWitnessFollows(t *testing.T) {
	eachEngine(t, 20, func(t *testing.T, a *agency) {
		o := a.witnessed(t)
		first := a.key(t)
		origin, _, _ := strings.Cut(first, "+")
		a.enrolTwo(t)
		token := a.token(t, 0)
		a.work(t, token, 5)
		putBack := a.wholeFolder(t)
		settings, err := os.ReadFile(filepath.Join(a.dir, "azekura.json"))
		fatal(t, err)

		follows := func(t *testing.T, origin string, logs int) {
			t.Helper()
			a.work(t, token, 5)
			size := a.size(t)
			eventually(t, "the witness cosigns and mirrors "+origin, func() bool {
				heads := o.heads(t)
				if at := heads[origin]; len(heads) == logs && at[0] == size && at[1] == size {
					return true
				}
				a.must(t, "witness", "status") // opens it, and feeds what is left
				size = a.size(t)
				return false
			})
		}
		a.approved(t, "rotate-signer")
		follows(t, origin, 1)
		second := a.key(t)
		if second == first {
			t.Fatal("the key is the old one")
		}

		o.kill() // it is away while the log ends
		a.approved(t, "freeze", "--why", "year 2026")
		o.start(t)
		follows(t, origin+"/2", 2)
		a.approved(t, "rotate-signer")
		follows(t, origin+"/2", 2)
		a.approved(t, "freeze", "--why", "year 2027")
		follows(t, origin+"/3", 3)
		a.verified(t)

		// The first key is all that a stranger has.
		vkeys := filepath.Join(o.dir, "vkey")
		dir := filepath.Join(t.TempDir(), "tiles")
		a.must(t, "log", "export-tiles", dir, "--vkey", first)
		out := a.must(t, "log", "check", dir, "--vkey", first, "--witness", vkeys)
		if strings.Count(out, "is whole") != 3 || !strings.Contains(out, "Cosigned by 1 of 1") {
			t.Error(out)
		}
		if _, errs, status := a.try(t, "log", "check", filepath.Join(dir, "log", "1"), "--vkey", first); status == 0 || !strings.Contains(errs, "isn't signed by a key") {
			t.Errorf("the first key is taken for the second: %d %s", status, errs)
		}

		// A folder put back to before all that, its key and witness's file with it.
		putBack()
		fatal(t, os.WriteFile(filepath.Join(a.dir, "azekura.json"), settings, 0o600))
		s := a.serve(t)
		c := a.client(t, token)
		if status, err := c.read(t.Context(), s, a.people[0].Ref, "name"); status != http.StatusServiceUnavailable {
			t.Errorf("read from a folder that was put back: %d, %v\n%s", status, err, s.stderr())
		}
		if !strings.Contains(s.stderr(), "saw another history") {
			t.Error(s.stderr())
		}
	})
}
