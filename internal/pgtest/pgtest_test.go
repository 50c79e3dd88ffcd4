package pgtest

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// asChild makes this test binary a process that starts a cluster, prints its
// folder and URL, and waits to be killed.
const asChild = "AZEKURA_PGTEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(asChild) != "" {
		c, err := Start(Options{})
		if err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Stdout.WriteString(c.Dir() + "\n" + c.URL("postgres") + "\n")
		select {}
	}
	os.Exit(Main(m))
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func mustExec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestURLsAreApartAndEmpty(t *testing.T) {
	t.Parallel()
	one, two := connect(t, URL(t)), connect(t, URL(t))
	for _, conn := range []*pgx.Conn{one, two} {
		mustExec(t, conn, "CREATE TABLE same (x bigint)")
	}
}

func TestDatabaseIsDroppedWhileConnected(t *testing.T) {
	var url string
	t.Run("test with a connection left open", func(t *testing.T) {
		url = URL(t)
		if _, err := pgx.Connect(t.Context(), url); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := pgx.Connect(t.Context(), url); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Fatalf("connecting to a dropped database: %v", err)
	}
}

func TestPasswordIsNeeded(t *testing.T) {
	config, err := pgx.ParseConfig(URL(t))
	if err != nil {
		t.Fatal(err)
	}
	config.Password = "guess"
	if _, err := pgx.ConnectConfig(t.Context(), config); err == nil {
		t.Fatal("a wrong password was let in")
	}
}

func TestKilledClusterRecoversWhatWasCommitted(t *testing.T) {
	t.Parallel()
	c := New(t, Options{Sync: true, Settings: map[string]string{"application_name": "it's ours"}})
	if err := c.CreateDB("kept"); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, c.URL("kept"))
	mustExec(t, conn, "CREATE TABLE t AS SELECT 42 AS x")
	var fsync, name string
	if err := conn.QueryRow(t.Context(), "SELECT current_setting('fsync'), current_setting('application_name')").Scan(&fsync, &name); err != nil {
		t.Fatal(err)
	}
	if fsync != "on" || name != "it's ours" {
		t.Fatalf("settings: fsync %q, application_name %q", fsync, name)
	}
	for _, end := range []func() error{c.Kill, c.Shutdown, c.Restart, c.Kill} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := c.Restart(); err != nil {
			t.Fatal(err)
		}
		var x int
		if err := connect(t, c.URL("kept")).QueryRow(t.Context(), "SELECT x FROM t").Scan(&x); err != nil || x != 42 {
			t.Fatalf("after a restart: %d, %v", x, err)
		}
	}
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	c.Stop()
	mustBeGone(t, c.Dir())
}

// TestClusterDiesWithItsProcess kills a process that has a cluster and waits
// for both server and folder to go.
func TestClusterDiesWithItsProcess(t *testing.T) {
	t.Parallel()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), asChild+"=1")
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	dir := lines.Text()
	lines.Scan()
	url := lines.Text()
	connect(t, url)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	mustBeGone(t, dir)
	if _, err := pgx.Connect(t.Context(), url); err == nil {
		t.Fatal("the server outlived its process")
	}
}

func mustBeGone(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		_, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there after a minute: %v", dir, err)
		}
	}
}

func TestNoPostgreSQLSaysWhatToDo(t *testing.T) {
	t.Setenv("AZEKURA_PG_BIN", t.TempDir())
	if _, err := Start(Options{}); err == nil || !strings.Contains(err.Error(), "AZEKURA_PG_BIN") {
		t.Fatalf("got %v", err)
	}
}

func TestMissingFolderIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	if _, err := Start(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Fatalf("got %v", err)
	}
}
