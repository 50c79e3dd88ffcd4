package installation_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/register"
	"azekura/register/rowfile"

	"filippo.io/age"
)

// TestJobKilled kills the process at work on an import, again and again. Nobody
// asks for the import again: the job is there, and the next process takes it up.
func TestJobKilled(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		dir, file := insttest.New(t, engine), insttest.File(t, insttest.CSV(t, 21, 9000))
		r := insttest.Random(t)
		killed, asked := 0, file
		for range insttest.Soak(4, 30) {
			if again, _ := insttest.InChild(t, dir, asked, time.Duration(1+r.Int64N(int64(800*time.Millisecond)))); !again {
				break
			}
			killed, asked = killed+1, ""
		}
		i := insttest.Open(t, dir)
		if err := i.StartJobs(t.Context()); err != nil {
			t.Fatal(err)
		}
		at, err := wait(t.Context(), i)
		if err != nil || at.Created != 9000 || at.Rows != 9000 {
			t.Fatalf("after %d kills: %v %+v", killed, err, at)
		}
		if n := len(insttest.Look(t, i, insttest.Caseworker(t, i)).People); n != 9000 {
			t.Errorf("after %d kills: %d people", killed, n)
		}
		t.Logf("killed %d times", killed)
	})
}

// TestJobStopped stops the installation in good order, as often as River would
// try a failing job and more: a stop is no failure.
func TestJobStopped(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		dir, file := insttest.New(t, engine), insttest.File(t, insttest.CSV(t, 22, 9000))
		for n := range 5 {
			i := insttest.Open(t, dir)
			if err := i.StartJobs(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				startImport(t, i, file)
				startImport(t, i, file) // it is under way: the second job finds it done
			}
			if err := i.Close(); err != nil {
				t.Fatal(err)
			}
		}
		i := insttest.Open(t, dir)
		if err := i.StartJobs(t.Context()); err != nil {
			t.Fatal(err)
		}
		if at, err := wait(t.Context(), i); err != nil || at.Created != 9000 || at.Failure != "" {
			t.Fatalf("%v %+v", err, at)
		}
	})
}

func startImport(t *testing.T, i *installation.Installation, file string) register.Import {
	t.Helper()
	at, err := i.StartImport(t.Context(), file, rowfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestJobFails: a job that can't go on says why in the import's row, and can be
// asked for again.
func TestJobFails(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		if err := i.StartJobs(t.Context()); err != nil {
			t.Fatal(err)
		}
		content := insttest.CSV(t, 23, 20)
		path := insttest.File(t, content)
		file, size, err := register.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		at, err := i.Register.FileImport(t.Context(), file, size)
		if err != nil {
			t.Fatal(err)
		}
		// What was to be imported is gone when the job comes to it.
		if err := os.WriteFile(path, bytes.Repeat([]byte("x"), len(content)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := i.Jobs.Insert(t.Context(), installation.ImportArgs{ImportID: at.ID, Path: path}); err != nil {
			t.Fatal(err)
		}
		if at, err = wait(t.Context(), i); err != nil || at.Failure != register.ErrFileChanged.Error() || at.Finished {
			t.Fatalf("%v %+v", err, at)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		startImport(t, i, path)
		if at, err = wait(t.Context(), i); err != nil || at.Created != 20 || at.Failure != "" {
			t.Errorf("%v %+v", err, at)
		}
		if again := startImport(t, i, path); !again.Finished || again.Created != 20 {
			t.Errorf("a finished import began again: %+v", again)
		}
	})
}

func TestUnreadableIsToldAtOnce(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		if err := i.StartJobs(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, content := range []string{"", "\xFF\xFEr\x00", "name\n"} {
			if _, err := i.StartImport(t.Context(), insttest.File(t, []byte(content)), rowfile.Options{}); err == nil {
				t.Errorf("%q is imported", content)
			}
		}
		if n := insttest.Count(t, i, "register_import") + insttest.Count(t, i, "river_job"); n != 0 {
			t.Errorf("%d imports and jobs are left of it", n)
		}
	})
}

// TestRejectsFile: the operator's key opens the rejects file, and the rows are in
// it as they stood in the file; nobody else can read them.
func TestRejectsFile(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		lines := bytes.SplitAfter(insttest.CSV(t, 24, 1300), []byte("\n"))
		var content []byte
		var want []string
		for n, l := range lines {
			content = append(content, l...)
			if n > 0 && n <= 1100 { // more than one page of them
				content = append(content, l...)
				want = append(want, string(l))
			}
		}
		latin := []byte("R-1,1234567899,\xff,,,1950-04-12,,,,,,,,,,,,\n")
		content, want = append(content, latin...), append(want, string(latin))
		path := insttest.File(t, content)
		if err := i.StartJobs(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := i.StartImport(t.Context(), path, rowfile.Options{Encoding: rowfile.UTF8}); err != nil {
			t.Fatal(err)
		}
		at, err := wait(t.Context(), i)
		if err != nil || at.Rejected != int64(len(want)) {
			t.Fatalf("%v %+v", err, at)
		}
		sealed, err := os.ReadFile(i.RejectsFile(at.Name))
		if err != nil {
			t.Fatal(err)
		}
		insttest.Withheld(t, string(sealed), insttest.People(24, 1300))
		if got := openRejects(t, i, sealed); strings.Join(got, "") != strings.Join(want, "") {
			t.Errorf("%d rows in the rejects file, not the %d that were rejected", len(got), len(want))
		}
		info, err := os.Stat(i.RejectsFile(at.Name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("others may read it: %v %v", info.Mode(), err)
		}
	})
}

// openRejects are the rows in a rejects file.
func openRejects(t *testing.T, i *installation.Installation, sealed []byte) (rows []string) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(i.Dir, "operator.key"))
	if err != nil {
		t.Fatal(err)
	}
	identity, err := age.ParseX25519Identity(strings.TrimSpace(string(key)))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := age.Decrypt(bytes.NewReader(sealed), identity)
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(plain); ; {
		var row struct {
			Row      int64
			Problems []register.Reject
			Text     string
			Bytes    []byte
		}
		if err := d.Decode(&row); errors.Is(err, io.EOF) {
			return rows
		} else if err != nil {
			t.Fatal(err)
		}
		if row.Row == 0 || len(row.Problems) == 0 || row.Problems[0].Reason == "" {
			t.Errorf("row %d doesn't say why", row.Row)
		}
		rows = append(rows, row.Text+string(row.Bytes))
	}
}
