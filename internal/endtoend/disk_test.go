package endtoend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"azekura/internal/insttest"
	"azekura/internal/pgtest"
)

func TestFullDiskSQLite(t *testing.T) {
	disk := smallDisk(t, "sqlite")
	a := newAgency(t, disk, "", 200)
	fillWhileServing(t, a, disk, func() {}, func() {})
}

// TestFullDiskPostgreSQL fills the disk under PostgreSQL's folder. PostgreSQL may
// refuse what it can't write, or panic and restart, or, where it finds no room
// to recover in, end: then somebody starts it again, here the test.
func TestFullDiskPostgreSQL(t *testing.T) {
	disk := smallDisk(t, "postgresql")
	c, err := pgtest.Start(pgtest.Options{Dir: disk, Settings: map[string]string{"min_wal_size": "32MB", "max_wal_size": "48MB"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	if err := c.CreateDB("register"); err != nil {
		t.Fatal(err)
	}
	a := newAgency(t, "", c.URL("register"), 200)
	d := a.open(t)
	burst := func() {
		// Until its own log doesn't find room, which makes it panic.
		eventually(t, "PostgreSQL panics", func() bool {
			_, err := d.Exec(context.Background(), "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000))")
			return err != nil
		})
	}
	fillWhileServing(t, a, disk, burst, func() {
		if !alive(c) {
			t.Log("PostgreSQL has ended; it is started again")
			if err := c.Restart(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// alive tells whether the cluster's server still runs.
func alive(c *pgtest.Cluster) bool {
	said, err := os.ReadFile(filepath.Join(c.Dir(), "data", "postmaster.pid"))
	if err != nil {
		return false
	}
	var pid int
	if _, err := fmt.Sscan(string(said), &pid); err != nil {
		return false
	}
	return syscall.Kill(pid, 0) == nil
}

// fillWhileServing fills the disk under load. Reads must be refused, each with
// its reason, and must go on by themselves once there is room again. burst makes
// it worse for the database; nurse does meanwhile what an operator would.
func fillWhileServing(t *testing.T, a *agency, disk string, burst, nurse func()) {
	s := a.serve(t)
	tokens := make([]string, 8)
	for i := range tokens {
		tokens[i] = a.token(t, i%devices)
	}
	w := a.crowd(t, s, tokens, chance(t))
	eventually(t, "clients are answered", func() bool { return w.given.Load() > 0 })

	ballast := filepath.Join(disk, "ballast")
	probe := a.client(t, tokens[0])
	for n := 0; n < 20; n++ { // again and again: a log or a cleaner may make room
		for deadline := time.Now().Add(patience); ; {
			fill(t, ballast)
			if status, _ := probe.read(t.Context(), s, a.people[0].Ref, "name"); status != 200 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the disk is full, and reads go on")
			}
		}
	}
	asked := w.asked.Load()
	eventually(t, "the crowd asks on", func() bool { return w.asked.Load() > asked+50 })
	burst()
	// It may find a corner that still has room; what counts is that it says what
	// happened.
	_, errs, added := a.try(t, "staff", "add", "s-2")
	if added != 0 && (added != 1 || !strings.Contains(errs, "nothing is opened")) {
		t.Errorf("adding staff on a full disk: exit status %d\n%s", added, errs)
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, "reads go on", func() bool {
		nurse()
		status, _ := probe.read(t.Context(), s, a.people[0].Ref, "name")
		return status == 200
	})
	given := w.given.Load()
	eventually(t, "everybody's reads go on", func() bool { return w.given.Load() > given+100 })
	w.wait()
	mayCome := strings.Contains(errs, "may be granted yet")
	if listed := strings.Contains(a.must(t, "staff", "list"), "s-2"); listed != (added == 0) && !(listed && mayCome) {
		t.Errorf("adding staff on a full disk ended with %d, and they are listed: %t", added, listed)
	}
	a.must(t, "staff", "add", "s-3")

	for _, c := range append(w.clients, probe) {
		for kind, n := range c.refused {
			t.Logf("%d times %s: %s", n, kind, strings.TrimSpace(c.refusal[kind]))
			if kind != "503 application/problem+json" {
				t.Errorf("refused with %s: %s", kind, c.refusal[kind])
			}
			insttest.Withheld(t, c.refusal[kind], a.people)
		}
	}
	insttest.Withheld(t, s.stderr(), a.people)
	a.audit(t, append(w.seen(), probe.seen...))
	a.verified(t)
	if status := s.stop(t); status != 0 {
		t.Errorf("the server ended with %d\n%s", status, s.stderr())
	}
	a.verified(t)
}

// fill writes a file until not one byte more fits.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := bytes.Repeat([]byte{'x'}, 1<<20); len(chunk) > 0; {
		n, err := f.Write(chunk)
		switch {
		case errors.Is(err, syscall.ENOSPC):
			chunk = chunk[:min(len(chunk)-1, len(chunk)/2+n/2)]
		case err != nil:
			t.Fatal(err)
		}
	}
}
