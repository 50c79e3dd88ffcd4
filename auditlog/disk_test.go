package auditlog_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"azekura/auditlog"
	"azekura/internal/pgtest"

	"golang.org/x/sys/unix"
)

// TestFullDisk fills the disk under a log. SQLite's is a small file system of
// its own, or, where none may be mounted, a limit on the size of files.
// PostgreSQL's is such a limit on the server.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		child := func(attr *syscall.SysProcAttr) ([]byte, error) {
			cmd := exec.Command(os.Args[0], dir)
			cmd.Env = append(os.Environ(), asChild+"=filler")
			cmd.SysProcAttr = attr
			return cmd.CombinedOutput()
		}
		own := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		if os.Geteuid() != 0 {
			own.Cloneflags |= syscall.CLONE_NEWUSER
			own.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
			own.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
		}
		said, err := child(own)
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) {
			said, err = child(nil)
		}
		t.Logf("%s", said)
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Run("postgresql", func(t *testing.T) {
		c := pgtest.New(t, pgtest.Options{})
		in := install(t, c.URL("postgres"))
		// One row a page, so that little work makes a large file.
		mustExec(t, in.d, "ALTER TABLE log_event SET (fillfactor = 10)")
		in.stop(t)
		server := postmaster(t, c)
		// What is forked from now on has it. A segment of its log fits in.
		limit(t, c, "17825792", server)
		in.start(t)
		in.fillAndFree(t, func() {
			limit(t, c, "unlimited", append(in.backends(t), server)...)
		})
	})
}

// limit bounds the files that a cluster's processes write. Only a process of
// the same user may, so it's another program's work.
func limit(t testing.TB, c *pgtest.Cluster, bytes string, pids ...int) {
	t.Helper()
	var owner unix.Stat_t
	ok(t, unix.Stat(filepath.Join(c.Dir(), "data"), &owner))
	for _, pid := range pids {
		cmd := exec.Command("prlimit", "--pid", fmt.Sprint(pid), "--fsize="+bytes+":")
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
		}
		if said, err := cmd.CombinedOutput(); err != nil && unix.Kill(pid, 0) != unix.ESRCH {
			t.Fatalf("%v: %s", err, said) // and not because it ended meanwhile
		}
	}
}

// postmaster is the process id of a cluster's server.
func postmaster(t testing.TB, c *pgtest.Cluster) (pid int) {
	said, err := os.ReadFile(filepath.Join(c.Dir(), "data", "postmaster.pid"))
	ok(t, err)
	if _, err := fmt.Sscan(string(said), &pid); err != nil {
		t.Fatal(err)
	}
	return pid
}

func (in *installation) backends(t testing.TB) (pids []int) {
	rows, err := in.d.Query(t.Context(), "SELECT pid::bigint FROM pg_stat_activity WHERE backend_type = 'client backend'")
	ok(t, err)
	defer rows.Close()
	for rows.Next() {
		var pid int64
		ok(t, rows.Scan(&pid))
		pids = append(pids, int(pid))
	}
	return pids
}

// fillAndFree records until the disk is full, sees what still works, and goes
// on when there is room again.
func (in *installation) fillAndFree(t testing.TB, free func()) {
	var released []auditlog.Receipt
	recorded, refused := 0, 0
	for n := 0; refused < 5; n++ {
		list := make([]auditlog.Event, 64)
		for i := range list {
			list[i] = event(person(n*64+i), 1)
		}
		receipts, err := in.log.Record(context.Background(), auditlog.Entry{Events: list})
		switch {
		case err == nil:
			released = append(released, receipts...)
			recorded++
		case errors.Is(err, auditlog.ErrNotRecorded):
			refused++
		default:
			t.Fatal(err)
		}
		if n > 10_000 {
			t.Fatal("the disk doesn't get full")
		}
	}
	t.Logf("%d entries recorded, %d refused", recorded, refused)
	if n := in.log.Committed(); n != int64(64*recorded) {
		t.Fatalf("%d events for %d entries", n, recorded)
	}
	in.mustVerify(t)
	size, root := in.signer.Head()
	ok(t, in.signer.Extend(nil, size, root)) // its state has its place already

	free()
	in.record(t, 100)
	in.mustVerify(t)
	in.mustBeNumbered(t)
	for _, r := range released {
		if e := in.line(t, r.Index()); e.Time != r.Time() {
			t.Fatalf("event %d isn't the receipt's", r.Index())
		}
	}
	in.stop(t)
	in.start(t)
	in.mustVerify(t)
}

// filler is the program that has SQLite's disk to itself, the signer's too.
func filler() {
	tests := []testing.InternalTest{{Name: "filler", F: func(t *testing.T) {
		dir := os.Args[len(os.Args)-1]
		// Cut off from the parent's mounts, so that it is gone with us.
		err := errors.Join(syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
			syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"))
		if err != nil {
			t.Logf("no file system of its own (%v), so a limit on files", err)
			in := installIn(t, dir)
			signal.Ignore(syscall.SIGXFSZ)
			var before syscall.Rlimit
			ok(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before))
			ok(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4 << 20, Max: before.Max}))
			in.fillAndFree(t, func() { ok(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before)) })
			return
		}
		ballast := filepath.Join(dir, "ballast")
		ok(t, os.WriteFile(ballast, make([]byte, 10<<20), 0o600))
		in := installIn(t, dir)
		in.fillAndFree(t, func() {
			if err := os.WriteFile(filepath.Join(dir, "more"), make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("the disk isn't full: %v", err)
			}
			ok(t, os.Remove(filepath.Join(dir, "more")))
			ok(t, os.Remove(ballast))
		})
	}}}
	os.Args = []string{os.Args[0], "-test.v", os.Args[1]}
	testing.Main(func(string, string) (bool, error) { return true, nil }, tests, nil, nil)
}

// installIn is install with the signer in the same folder.
func installIn(t testing.TB, dir string) *installation {
	in := &installation{url: filepath.Join(dir, "azekura.db"), dir: filepath.Join(dir, "signer")}
	ok(t, auditlog.CreateSigner(in.dir, origin))
	in.start(t)
	t.Cleanup(in.kill)
	return in
}

// TestSQLiteSaysFull reaches the limit of pages, which is another error of
// SQLite's, in the middle of a transaction that an entry brought.
func TestSQLiteSaysFull(t *testing.T) {
	in := install(t, databaseURL(t, "sqlite"))
	in.ledger(t)
	mustExec(t, in.d, "PRAGMA max_page_count = 60")
	full := 0
	for n := int64(1); full < 5; n++ {
		tx, err := in.d.Begin(t.Context())
		ok(t, err)
		_, err = tx.Exec(t.Context(), "INSERT INTO ledger (idx, note) VALUES ($1, $2)", n, strings.Repeat("x", 3000))
		if _, again := tx.Exec(t.Context(), "INSERT INTO ledger (idx, note) VALUES ($1, '')", -n); err != nil && again == nil {
			t.Fatal("a statement went through behind one that failed")
		}
		_, err = in.log.Record(t.Context(), auditlog.Entry{Events: []auditlog.Event{event(person(1), 1)}, Tx: tx})
		if err != nil {
			full++
			if !errors.Is(err, auditlog.ErrNotRecorded) {
				t.Fatal(err)
			}
		}
	}
	if rows, events := in.count(t, "SELECT count(*) FROM ledger"), in.log.Committed(); rows != 2*events {
		t.Fatalf("%d rows for %d events", rows, events)
	}
	mustExec(t, in.d, "PRAGMA max_page_count = 100000")
	in.record(t, 10)
	in.mustVerify(t)
}
