package drill_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/drill"
	"azekura/internal/cli"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// plays says what this program is when it is run again: azekura, or an attacker
// that a test wants. It isn't one of AZEKURA_…, which no child inherits.
const plays = "DRILL_TEST_PLAYS"

func TestMain(m *testing.M) {
	switch part := os.Getenv(plays); part {
	case "":
		os.Exit(pgtest.Main(m))
	case "azekura":
		os.Exit(cli.Main())
	default:
		if err := act(part); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// stage sets a test up: this program is azekura, and temporary folders lie in
// one that is looked at in the end.
func stage(t *testing.T) drill.Options {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(plays, "azekura")
	// A socket's path must be short: t.TempDir's holds the test's name.
	temp, err := os.MkdirTemp("", "azd")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", temp)
	t.Cleanup(func() {
		if err := os.Remove(temp); err != nil {
			t.Errorf("the drill left something behind: %v", err)
		}
	})
	return drill.Options{People: 500, Seed: 7, Theft: 3 * time.Second, Program: self}
}

// attacker is this program in an attacker's part.
func attacker(o drill.Options, part string) string {
	return plays + "=" + part + " exec '" + o.Program + "'"
}

func TestJune2015(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		url := ""
		if engine == "postgresql" {
			url = pgtest.URL(t)
			defer noSchemas(t, url)
		}
		o := stage(t)
		o.DB = url
		r, err := drill.June(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Err(); err != nil {
			t.Error(err)
		}
		if r.Stolen.Participants == 0 || r.Stolen.Participants > 500 || r.OwnWork.Participants == 0 {
			t.Errorf("stolen of %d, own work with %d", r.Stolen.Participants, r.OwnWork.Participants)
		}
		if r.Unmatched != nil {
			t.Errorf("our attacker wrote what can't be so: %+v", *r.Unmatched)
		}
		if r.Over > 64 {
			t.Errorf("over is %d, more than can be under way at once", r.Over)
		}
		for _, a := range r.Attempts {
			// What a caseworker may open in an hour: 60 participants.
			if a.Name == "sweep" && (a.Released == 0 || a.Released > 60) {
				t.Errorf("the sweep got %d people", a.Released)
			}
		}
		raw, err := r.JSON()
		if err != nil {
			t.Fatal(err)
		}
		checkKeys(t, raw)
	})
}

// noSchemas says whether a drill left its tables in the database.
func noSchemas(t *testing.T, url string) {
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var n int
	if err := conn.QueryRow(context.Background(), "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'azekura_drill_%'").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d schemas of drills are left (%v)", n, err)
	}
}

// checkKeys holds the report's keys to the list that others rely on.
func checkKeys(t *testing.T, raw []byte) {
	t.Helper()
	var report any
	if err := json.Unmarshal(raw, &report); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	keys(report, "", found)
	got := strings.Join(slices.Sorted(maps.Keys(found)), "\n") + "\n"
	want, err := os.ReadFile(filepath.Join("testdata", "report.keys"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the report's keys (-want +got):\n%s", diff)
	}
}

// keys gathers paths; what is keyed by field is one.
func keys(v any, path string, found map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			switch path {
			case "stolen.fields", "exposed.fields":
				found[path+"{}"] = true
			default:
				keys(inner, strings.TrimPrefix(path+"."+k, "."), found)
			}
		}
	case []any:
		for _, inner := range v {
			keys(inner, path+"[]", found)
		}
	default:
		found[path] = true
	}
}

// TestLiesAreCountedApart: what an attacker makes up is neither stolen nor lost.
func TestLiesAreCountedApart(t *testing.T) {
	o := stage(t)
	o.Command = attacker(o, "liar")
	r, err := drill.June(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := &drill.Unmatched{Lines: 4, Malformed: 1, Unknown: 2, Different: 1}
	if diff := cmp.Diff(want, r.Unmatched); diff != "" {
		t.Errorf("unmatched (-want +got):\n%s", diff)
	}
	if r.Err() != nil || r.Stolen.Participants != 1 {
		t.Errorf("stolen of %d, error %v", r.Stolen.Participants, r.Err())
	}
}

// TestMissedFailsTheCommand: an attacker that has more than the exposure holds is
// named by pseudonym, and the command exits with 1.
func TestMissedFailsTheCommand(t *testing.T) {
	o := stage(t)
	cmd := exec.CommandContext(t.Context(), o.Program, "drill", "june-2015", "--days", "0", "-n", "200", "--seconds", "3", "--json", "--attacker", attacker(o, "boaster"))
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("it ended with %v: %s", err, said.String())
	}
	var r drill.Report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	if r.Missed != 1 || !strings.Contains(said.String(), "lacks, of 1 people: 0") {
		t.Errorf("missed %d; it said %s", r.Missed, said.String())
	}
	if first, _, _ := strings.Cut(said.String(), "\n"); !strings.Contains(first, "made-up people") {
		t.Errorf("its first line is %q", first)
	}
}

// TestStubbornAttackerIsKilled: one that doesn't hear SIGTERM.
func TestStubbornAttackerIsKilled(t *testing.T) {
	o := stage(t)
	o.People, o.Theft = 20, time.Second
	pid := filepath.Join(t.TempDir(), "pid")
	o.Command = `trap "" TERM; echo $$ > '` + pid + `'; echo '{"tried":3}' >> "$AZEKURA_DRILL_OUT"; while :; do sleep 1; done`
	r, err := drill.June(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Attempts) != 1 || r.Attempts[0].Name != "attacker" || r.Attempts[0].Tried != 3 || r.Attempts[0].StoppedBy != "the drill's end" {
		t.Errorf("attempts %+v", r.Attempts)
	}
	gone(t, pid)
}

func gone(t *testing.T, file string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there (%v)", pid, err)
	}
}

// TestInterruptLeavesNothing: Ctrl-C in any stage ends the children and takes the
// folder away.
func TestInterruptLeavesNothing(t *testing.T) {
	for _, at := range []drill.Stage{drill.Making, drill.Knowing, drill.Serving, drill.Stealing, drill.Asking} {
		t.Run(fmt.Sprint("stage ", int(at)), func(t *testing.T) {
			o := stage(t)
			pid := filepath.Join(t.TempDir(), "pid")
			o.People = 50
			o.Theft = time.Second
			o.Command = `echo $$ > '` + pid + `'; echo '{"tried":1}' >> "$AZEKURA_DRILL_OUT"; exec sleep 1000`
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o.Tell = func(p drill.Progress) {
				// The theft is interrupted when the attacker is at work.
				if p.Stage == at && (at != drill.Stealing || p.Count > 0) {
					cancel()
				}
			}
			if _, err := drill.June(ctx, o); !errors.Is(err, context.Canceled) {
				t.Errorf("it ended with %v", err)
			}
			if at >= drill.Stealing {
				gone(t, pid)
			}
		})
	}
}

// TestKilledDrillLeavesNobody: kill -9 lets a drill end nothing itself, and yet
// its server and its attacker, a grandchild, are gone.
func TestKilledDrillLeavesNobody(t *testing.T) {
	o := stage(t)
	dir := t.TempDir()
	kept, pid := filepath.Join(dir, "kept"), filepath.Join(dir, "pid")
	command := `sh -c 'echo $$ > "` + pid + `"; echo "{\"tried\":1}" >> "$AZEKURA_DRILL_OUT"; exec sleep 1000'; true`
	cmd := exec.Command(o.Program, "drill", "june-2015", "--days", "0", "-n", "20", "--seconds", "600", "--keep", kept, "--attacker", command)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	await(t, "the attacker is at work", func() bool {
		raw, err := os.ReadFile(pid)
		return err == nil && len(raw) > 0
	})
	if inst, err := installation.OpenMadeUp(t.Context(), kept); !errors.Is(err, auditlog.ErrHeld) {
		t.Fatalf("no server holds the installation: %v %v", inst, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	attacker, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the attacker has ended", func() bool { return ended(attacker) })
	await(t, "the server has ended", func() bool {
		inst, err := installation.OpenMadeUp(t.Context(), kept)
		if err != nil {
			return false
		}
		return inst.Close() == nil
	})
}

// ended tells whether a process runs no more; whoever inherited it may not have
// buried it yet.
func ended(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(raw), ") ")
	return err != nil || strings.HasPrefix(state, "Z")
}

// await waits for what must come; none is as slow as it waits.
func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came about that %s", what)
		}
	}
}

func TestFailingAttackerIsSaid(t *testing.T) {
	o := stage(t)
	o.People = 20
	o.Command = "echo no such exploit >&2; exit 3"
	_, err := drill.June(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "the attacker ended too early (exit status 3); its last words: no such exploit") {
		t.Errorf("it ended with %v", err)
	}
}

// TestKeptInstallationAnswers: with --keep the same question can be asked again.
func TestKeptInstallationAnswers(t *testing.T) {
	o := stage(t)
	o.People, o.Keep = 30, filepath.Join(t.TempDir(), "kept")
	r, err := drill.June(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), o.Program, "--dir", o.Keep, "exposure", "--device", drill.InfectedDevice, "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var again struct {
		Participants int64 `json:"participants"`
	}
	if err := json.Unmarshal(out, &again); err != nil || again.Participants < r.Exposed.Participants {
		t.Errorf("exposed %d, then %d (%v)", r.Exposed.Participants, again.Participants, err)
	}
	if _, err := drill.June(t.Context(), o); !errors.Is(err, drill.ErrOptions) {
		t.Errorf("a folder that isn't empty: %v", err)
	}
}

func TestImpossibleDrillsAreRefused(t *testing.T) {
	for name, change := range map[string]func(*drill.Options){
		"nobody":       func(o *drill.Options) { o.People = 0 },
		"too many":     func(o *drill.Options) { o.People = drill.MaxPeople + 1 },
		"no time":      func(o *drill.Options) { o.Theft = 0 },
		"too long":     func(o *drill.Options) { o.Theft = 2 * drill.MaxTheft },
		"another base": func(o *drill.Options) { o.DB = "mysql://u:secret@host/x" },
	} {
		t.Run(name, func(t *testing.T) {
			o := stage(t)
			change(&o)
			_, err := drill.June(t.Context(), o)
			if !errors.Is(err, drill.ErrOptions) || strings.Contains(err.Error(), "secret") {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}
