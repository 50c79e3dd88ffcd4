package installation_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/leakscan/apart"
)

// scanChild is what this test's program is told to be a scan's process.
const scanChild = "scan-in-a-process-of-its-own"

// scanned waits for a scan's end.
func scanned(t *testing.T, i *installation.Installation, id string) installation.LeakScan {
	t.Helper()
	for until := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		s, err := i.LeakScanAt(id)
		if err != nil {
			t.Fatal(err)
		}
		if s.State != "begun" {
			return s
		}
		if time.Now().After(until) {
			t.Fatal("the scan doesn't end")
		}
	}
}

// TestLeakScans: a scan of an uploaded file and of a folder, results by combination,
// and evidence, which is an opening in the log before its text is out: refused, or
// without a log, nothing is shown.
func TestLeakScans(t *testing.T) {
	before := installation.ScanProgram
	installation.ScanProgram = func() []string { return []string{os.Args[0], scanChild} }
	t.Cleanup(func() { installation.ScanProgram = before })
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		const n = 20
		insttest.Import(t, i, insttest.NDJSON(t, 9, n))
		if i.Jobs == nil {
			if err := i.StartJobs(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		s := insttest.Caseworker(t, i)
		why := gate.Why{Purpose: "review", Case: "L-4"}
		index := filepath.Join(t.TempDir(), "index")
		if _, err := i.MakeLeakIndex(t.Context(), s, why, index, func(int64, int64) {}); err != nil {
			t.Fatal(err)
		}
		var list bytes.Buffer
		for _, p := range insttest.People(9, n) {
			list.WriteString(p.Number + "," + p.Name + ",beside\n")
		}
		for _, bad := range []installation.LeakScanOrder{{Index: index}, {Index: "index", Path: "/"}, {Index: index, Path: "/nowhere/at/all"}, {Index: "/dev/null", Path: "/"},
			{Index: index, Path: "/", Content: []byte("x")}, {Index: index, Content: make([]byte, installation.MostUpload+1)}} {
			if _, err := i.StartLeakScan(t.Context(), bad); !errors.Is(err, installation.ErrScan) {
				t.Errorf("%q: %v", bad.Path, err)
			}
		}
		if _, err := i.LeakScanAt("../../etc"); !errors.Is(err, installation.ErrNoScan) {
			t.Errorf("a way out of the folder: %v", err)
		}
		begun, err := i.StartLeakScan(t.Context(), installation.LeakScanOrder{Index: index, Content: list.Bytes()})
		if err != nil {
			t.Fatal(err)
		}
		at := scanned(t, i, begun.ID)
		if at.State != "done" || at.Summary.People["A"] != n || len(at.Summary.Combinations) == 0 {
			t.Fatalf("%s %s", at.State, at.Problem)
		}
		all, err := i.LeakFindings(begun.ID, "", 0)
		if err != nil || len(all) != n {
			t.Fatalf("%d findings: %v", len(all), err)
		}
		sum := 0
		for _, c := range at.Summary.Combinations {
			some, err := i.LeakFindings(begun.ID, c.Fields, 0)
			if sum += len(some); err != nil || len(some) != c.People {
				t.Errorf("%d of %s, not %d: %v", len(some), c.Fields, c.People, err)
			}
		}
		if sum != n {
			t.Errorf("%d by combination", sum)
		}
		size := len(insttest.Events(t, i))
		ask := installation.LeakEvidence{Scan: begun.ID, Participant: all[3].Participant}
		text, err := i.ShowLeakEvidence(t.Context(), s, why, ask)
		if err != nil || strings.Count(text, "\n") != 3 || !strings.Contains(list.String(), strings.ReplaceAll(strings.TrimSpace(text), "\n", ",")) {
			t.Fatalf("%v, %d lines", err, strings.Count(text, "\n"))
		}
		events := insttest.Events(t, i)[size:]
		if len(events) != 2 || events[0].Action != auditlog.Read || events[0].Participant != ask.Participant || events[1].Purpose != "leak-key" {
			t.Errorf("it wrote %d events", len(events))
		}
		for what, refused := range map[string]installation.LeakEvidence{"nobody": {Scan: begun.ID}, "no such evidence": {Scan: begun.ID, Participant: ask.Participant, Evidence: 9},
			"no such scan": {Scan: "0123456789abcdef", Participant: ask.Participant}} {
			if text, err := i.ShowLeakEvidence(t.Context(), s, why, refused); err == nil || text != "" {
				t.Errorf("%s is shown", what)
			}
		}
		if text, err := i.ShowLeakEvidence(t.Context(), s, gate.Why{Case: "L-4"}, ask); err == nil || text != "" {
			t.Error("shown without a purpose")
		}
		i.Log.Close()
		if text, err := i.ShowLeakEvidence(t.Context(), s, why, ask); err == nil || text != "" {
			t.Error("shown without a log")
		}
	})
}

// TestLeakUploadsGo: a file that came with a request lies with its scan until its case
// is closed, or the scan is forgotten: then nothing of it is left, and the log says so.
// A file that was scanned where it lay stays, and so does another case's.
func TestLeakUploadsGo(t *testing.T) {
	before := installation.ScanProgram
	installation.ScanProgram = func() []string { return []string{os.Args[0], scanChild} }
	t.Cleanup(func() { installation.ScanProgram = before })
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		const n = 5
		insttest.Import(t, i, insttest.NDJSON(t, 9, n))
		if i.Jobs == nil {
			if err := i.StartJobs(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		s := insttest.Caseworker(t, i)
		number := insttest.People(9, n)[0].Number
		scans := map[string][]string{}
		folder := filepath.Join(t.TempDir(), "heap")
		if err := os.WriteFile(folder, []byte("own "+number+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"L-4", "L-5"} {
			index := filepath.Join(t.TempDir(), "index")
			if _, err := i.MakeLeakIndex(t.Context(), s, gate.Why{Purpose: "review", Case: name}, index, func(int64, int64) {}); err != nil {
				t.Fatal(err)
			}
			for _, o := range []installation.LeakScanOrder{{Index: index, Content: []byte("sent " + number + "\n"), Passwords: []string{"the word sent " + number}}, {Index: index, Path: folder}} {
				begun, err := i.StartLeakScan(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				if at := scanned(t, i, begun.ID); at.State != "done" {
					t.Fatal(at.State, at.Problem)
				}
				scans[name] = append(scans[name], begun.ID)
			}
		}
		if got := filesWith(t, i.Dir, "sent "+number); got != 4 {
			t.Fatalf("%d files have what was uploaded or its password, not 4", got)
		}
		size := len(insttest.Events(t, i))
		if err := i.CloseLeak(t.Context(), "L-4"); err != nil {
			t.Fatal(err)
		}
		if got := filesWith(t, i.Dir, "sent "+number); got != 2 {
			t.Errorf("after one of two cases was closed %d files have what was uploaded", got)
		}
		if at, err := i.LeakScanAt(scans["L-4"][0]); err != nil || at.State != "done" {
			t.Errorf("a closed case's findings: %s, %v", at.State, err)
		}
		for _, id := range scans["L-5"] {
			if err := i.ForgetLeakScan(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if _, err := i.LeakScanAt(id); !errors.Is(err, installation.ErrNoScan) {
				t.Errorf("a forgotten scan is known: %v", err)
			}
			if err := i.ForgetLeakScan(t.Context(), id); !errors.Is(err, installation.ErrNoScan) {
				t.Errorf("forgotten twice: %v", err)
			}
		}
		if got := filesWith(t, i.Dir, "sent "+number); got != 0 {
			t.Errorf("%d files have what was forgotten", got)
		}
		if _, err := os.Stat(folder); err != nil {
			t.Errorf("a file that was scanned where it lay: %v", err)
		}
		var why []string
		for _, e := range insttest.Events(t, i)[size:] {
			why = append(why, e.Purpose+" "+e.Case)
		}
		if want := []string{"leak-close L-4", "leak-forget L-5", "leak-forget L-5"}; !slices.Equal(why, want) {
			t.Errorf("events %q", why)
		}
		unfinished := filepath.Join(i.Dir, "leak", "0123456789abcdef")
		if err := errors.Join(os.Mkdir(unfinished, 0o700), os.WriteFile(filepath.Join(unfinished, "order.json"), []byte("{}"), 0o600)); err != nil {
			t.Fatal(err)
		}
		if err := i.ForgetLeakScan(t.Context(), "0123456789abcdef"); !errors.Is(err, installation.ErrScan) {
			t.Errorf("a scan that isn't done is forgotten: %v", err)
		}
	})
}

// filesWith counts the files of a folder's that hold a text.
func filesWith(t *testing.T, dir, text string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if bytes.Contains(raw, []byte(text)) {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func scanInChild() { // before any flag is looked at
	if len(os.Args) == 2 && os.Args[1] == scanChild {
		if apart.Main(context.Background(), os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
}
