package endtoend

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"azekura/internal/db"
)

// TestPutBack puts the database back from an earlier copy, which is behind what
// was signed since: nothing may be opened on it.
func TestPutBack(t *testing.T) {
	eachEngine(t, 50, func(t *testing.T, a *agency) {
		token := a.token(t, 0)
		a.work(t, token, 20)
		old := a.copyDatabase(t, "old")
		size := a.size(t)
		a.work(t, token, 20)
		newest := a.copyDatabase(t, "newest")

		a.putBack(t, old)
		for _, args := range [][]string{{"serve", "--listen", "127.0.0.1:0"}, {"staff", "add", "s-9"}} {
			out, errs, status := a.try(t, args...)
			for _, want := range []string{"behind its signer", "put back from an earlier copy", "Put back the newest copy", "doc/operations.md"} {
				if !strings.Contains(errs, want) {
					t.Errorf("azekura %s on the old copy doesn't say %q:\n%s", args[0], want, errs)
				}
			}
			if status != 1 || out != "" {
				t.Errorf("azekura %s on the old copy: exit status %d\n%s", args[0], status, out)
			}
		}
		a.condemned(t, fmt.Sprintf("events %d to", size))

		a.putBack(t, newest)
		a.verified(t)
		a.work(t, token, 1)
	})
}

// work reads some records through a server of its own.
func (a *agency) work(t *testing.T, token string, reads int) {
	t.Helper()
	s := a.serve(t)
	c := a.client(t, token)
	for n := range reads {
		if status, err := c.read(t.Context(), s, a.people[n%len(a.people)].Ref, "name"); status != 200 {
			t.Fatalf("read: %d, %v\n%s", status, err, s.stderr())
		}
	}
	if status := s.stop(t); status != 0 {
		t.Fatalf("the server ended with %d\n%s", status, s.stderr())
	}
}

// condemned runs azekura log verify, which must fail and say a text.
func (a *agency) condemned(t *testing.T, says string) {
	t.Helper()
	out, errs, status := a.try(t, "log", "verify")
	if status != 1 || !strings.Contains(out, "NOT what was signed") || !strings.Contains(out, says) {
		t.Errorf("log verify: exit status %d; it should say %q:\n%s%s", status, says, out, errs)
	}
}

// size is how many events the log holds.
func (a *agency) size(t *testing.T) (size int64) {
	t.Helper()
	d := a.open(t)
	defer d.Close()
	if err := d.QueryRow(t.Context(), "SELECT size FROM log_head ORDER BY log_id DESC LIMIT 1", nil, &size); err != nil {
		t.Fatal(err)
	}
	return size
}

// copyDatabase copies the database as it lies there, no server running.
func (a *agency) copyDatabase(t *testing.T, name string) string {
	t.Helper()
	if a.database != "" {
		name = a.databaseName(t) + "_" + name
		a.admin(t, "CREATE DATABASE "+name+" TEMPLATE "+a.databaseName(t))
		t.Cleanup(func() { a.admin(t, "DROP DATABASE "+name) })
		return name
	}
	to := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(to, 0o700); err != nil {
		t.Fatal(err)
	}
	copyFiles(t, a.files(t, a.dir), to)
	return to
}

// putBack puts a copy in the database's place.
func (a *agency) putBack(t *testing.T, from string) {
	t.Helper()
	if a.database != "" {
		a.admin(t, "DROP DATABASE "+a.databaseName(t)+" WITH (FORCE)")
		a.admin(t, "CREATE DATABASE "+a.databaseName(t)+" TEMPLATE "+from)
		return
	}
	for _, name := range a.files(t, a.dir) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	copyFiles(t, a.files(t, from), a.dir)
}

// files are SQLite's: the database and what lies beside it.
func (a *agency) files(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "azekura.db*"))
	if err != nil || len(names) == 0 {
		t.Fatal("there is no database to copy", err)
	}
	return names
}

func copyFiles(t *testing.T, names []string, to string) {
	t.Helper()
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(name)), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (a *agency) databaseName(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(a.database)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}

// admin runs SQL as the cluster's administrator, outside the register.
func (a *agency) admin(t *testing.T, sql string) {
	t.Helper()
	u, err := url.Parse(a.database)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/postgres"
	a.do(t, u.String(), sql)
}

// do runs SQL with all rights, past the program.
func (a *agency) do(t *testing.T, database, sql string, args ...any) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // that one has ended at a cleanup
	d, err := db.Open(ctx, database)
	if err == nil {
		defer d.Close()
		_, err = d.Exec(ctx, sql, args...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestAltered changes and deletes rows of the log behind the program's back,
// while it serves and while it doesn't.
func TestAltered(t *testing.T) {
	eachEngine(t, 50, func(t *testing.T, a *agency) {
		a.work(t, a.token(t, 0), 300)
		last := a.size(t) - 2 // behind the last full tile of 256 events
		for _, c := range []struct {
			name  string
			index int64
			sql   string
			says  string
		}{
			{"a line changed", 30, "UPDATE log_event SET line = $2 WHERE log_id = 1 AND idx = $1", "First bad event: 30\n"},
			{"a row deleted", 30, "DELETE FROM log_event WHERE log_id = 1 AND idx = $1 AND line <> $2", "First bad event: 30\n"},
			{"a late line changed", last, "UPDATE log_event SET line = $2 WHERE log_id = 1 AND idx = $1", ""},
			{"a late row deleted", last, "DELETE FROM log_event WHERE log_id = 1 AND idx = $1 AND line <> $2", fmt.Sprintf("First bad event: %d\n", last)},
		} {
			t.Run(c.name, func(t *testing.T) {
				d := a.open(t)
				s := a.serve(t)
				mend := alter(t, d, c.index, c.sql)
				says := c.says
				if says == "" {
					// Without a tile the signed head narrows it to a range.
					says = fmt.Sprintf(" or later, before %d\n", a.size(t))
				}
				a.condemned(t, says)
				if status := s.stop(t); status != 0 {
					t.Errorf("the server ended with %d\n%s", status, s.stderr())
				}
				a.condemned(t, says)
				if c.index == last {
					_, errs, status := a.try(t, "serve", "--listen", "127.0.0.1:0")
					if status != 1 || !strings.Contains(errs, "run azekura log verify") {
						t.Errorf("serve: exit status %d\n%s", status, errs)
					}
				}
				mend()
				a.verified(t)
			})
		}
	})
}

// alter does something to an event's row, and returns what undoes it.
func alter(t *testing.T, d db.DB, index int64, sql string) (mend func()) {
	t.Helper()
	const all = "log_id, idx, time_us, action, session_id, session_seq, participant_id, participant_seq, fields, line"
	if _, err := d.Exec(t.Context(), "CREATE TABLE kept AS SELECT "+all+" FROM log_event WHERE idx = $1", index); err != nil {
		t.Fatal(err)
	}
	var line []byte
	if err := d.QueryRow(t.Context(), "SELECT line FROM kept", nil, &line); err != nil {
		t.Fatal(err)
	}
	forged := strings.Replace(string(line), `"staff":"s-1"`, `"staff":"s-7"`, 1)
	if n, err := d.Exec(t.Context(), sql, index, []byte(forged)); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	return func() {
		for _, sql := range []string{"DELETE FROM log_event WHERE idx IN (SELECT idx FROM kept)",
			"INSERT INTO log_event (" + all + ") SELECT " + all + " FROM kept", "DROP TABLE kept"} {
			if _, err := d.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
	}
}
