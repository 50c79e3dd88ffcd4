package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options are what a cluster may differ in. The zero value is a small cluster
// that forgets on a power cut, which is right for most tests.
type Options struct {
	// Dir is the folder under which the cluster makes its own; os.TempDir() if
	// empty. User postgres must be able to enter it when root runs the tests,
	// which t.TempDir() doesn't allow.
	Dir string
	// Sync makes a commit wait for the disk, as an installation's does.
	Sync bool
	// Settings are more lines of postgresql.conf; they win over ours.
	Settings map[string]string
}

// Cluster is a running PostgreSQL server with its own data folder. Its methods
// are not for concurrent use, except URL, CreateDB and DropDB.
type Cluster struct {
	bin, dir string
	port     int
	password string
	account  *syscall.SysProcAttr

	server *exec.Cmd
	exited chan struct{} // closed when server has been reaped

	keeper     *exec.Cmd
	keeperHold io.Closer
}

// keeperScript waits until its input ends, which happens when the cluster is
// stopped and also when this process dies in whatever way; then it stops the
// server and removes the folder.
const keeperScript = `read -r _; "$1/pg_ctl" stop -D "$2/data" -m immediate; cd /; rm -rf "$2"`

// startLimit is how long a server may take to accept connections, recovery
// after a kill included.
const startLimit = 2 * time.Minute

// Start makes a cluster and starts its server. The caller calls Stop.
func Start(o Options) (*Cluster, error) {
	bin, err := findBin()
	if err != nil {
		return nil, err
	}
	c := &Cluster{bin: bin, password: rand.Text()}
	if c.account, err = account(); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp(o.Dir, "azekura-pg-"); err != nil {
		return nil, fmt.Errorf("make a folder for PostgreSQL: %w", err)
	}
	if err := c.keep(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.dir))
	}
	if err := c.create(o); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

// create fills the folder and starts the server for the first time.
func (c *Cluster) create(o Options) error {
	passwordFile := filepath.Join(c.dir, "password")
	if err := c.write(passwordFile, c.password); err != nil {
		return err
	}
	initdb := c.command("initdb", "-D", c.data(), "-U", "postgres", "-A", "password", "--pwfile", passwordFile,
		"--no-sync", "--no-instructions", "-E", "UTF8", "--locale=C")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("make a PostgreSQL cluster in %s: %w\n%s",
			c.dir, err, out)
	}
	conf := filepath.Join(c.data(), "postgresql.conf")
	base, err := os.ReadFile(conf)
	if err != nil {
		return fmt.Errorf("read the new cluster's settings: %w", err)
	}
	// A port that was free may be taken by the time the server asks for it.
	for try := 1; ; try++ {
		if c.port, err = freePort(); err != nil {
			return err
		}
		if err := c.write(conf, string(base)+o.lines(c.port)); err != nil {
			return err
		}
		if err = c.start(); err == nil || try == 3 || !strings.Contains(err.Error(), "Address already in use") {
			return err
		}
	}
}

// lines are the cluster's settings; PostgreSQL lets the last of a name win.
func (o Options) lines(port int) string {
	durable := "off"
	if o.Sync {
		durable = "on"
	}
	var b strings.Builder
	for _, s := range [][2]string{
		{"listen_addresses", "127.0.0.1"},
		{"port", strconv.Itoa(port)},
		{"unix_socket_directories", ""}, // a socket's path has to be short, and a test's folder isn't
		{"max_connections", "100"},
		{"shared_buffers", "128MB"},
		{"dynamic_shared_memory_type", "mmap"}, // in the folder, so that a kill leaves nothing in /dev/shm
		{"timezone", "UTC"},
		{"fsync", durable},
		{"synchronous_commit", durable},
		{"full_page_writes", durable},
	} {
		b.WriteString(setting(s[0], s[1]))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Settings)) {
		b.WriteString(setting(name, o.Settings[name]))
	}
	return b.String()
}

func setting(name, value string) string {
	return fmt.Sprintf("%s = '%s'\n", name, strings.ReplaceAll(value, "'", "''"))
}

// start starts the server and waits until it answers.
func (c *Cluster) start() error {
	logName := filepath.Join(c.dir, "log")
	log, err := os.Create(logName)
	if err != nil {
		return fmt.Errorf("make PostgreSQL's log: %w", err)
	}
	defer log.Close()

	server, exited := c.command("postgres", "-D", c.data()), make(chan struct{})
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	// As its parent we reap it: after a kill a zombie would look to the next
	// server like one still at work.
	go func() { defer close(exited); server.Wait() }()
	c.server, c.exited = server, exited

	for deadline := time.Now().Add(startLimit); ; {
		err := c.exec("SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			said, _ := os.ReadFile(logName)
			return fmt.Errorf("PostgreSQL in %s stopped at its start:\n%s", c.dir, said)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("PostgreSQL in %s did not answer within %v: %w", c.dir, startLimit, err)
		}
	}
}

// keep starts the process that cleans up after this one.
func (c *Cluster) keep() error {
	if c.account.Credential != nil {
		if err := os.Chown(c.dir, int(c.account.Credential.Uid), int(c.account.Credential.Gid)); err != nil {
			return fmt.Errorf("give PostgreSQL's folder to user postgres: %w", err)
		}
	}
	keeper := exec.Command("/bin/sh", "-c", keeperScript, "pgtest-keeper", c.bin, c.dir)
	keeper.Dir, keeper.SysProcAttr = c.dir, c.account
	hold, err := keeper.StdinPipe()
	if err != nil {
		return fmt.Errorf("start PostgreSQL's keeper: %w", err)
	}
	if err := keeper.Start(); err != nil {
		return fmt.Errorf("start PostgreSQL's keeper in %s (a folder that its user must be able to enter): %w", c.dir, err)
	}
	c.keeper, c.keeperHold = keeper, hold
	return nil
}

// Stop ends the server and removes its folder. A second call does nothing.
func (c *Cluster) Stop() {
	if c.keeper == nil {
		return
	}
	if !c.running() {
		c.forgetKilled()
	}
	c.keeperHold.Close()
	c.keeper.Wait() // its exit code is that of rm, and what is left of a temporary folder is no test's matter
	if c.exited != nil {
		<-c.exited
	}
	c.keeper = nil
}

// Shutdown stops the server cleanly and keeps its folder, so that it can be
// copied or put back. Restart starts it again.
func (c *Cluster) Shutdown() error {
	if !c.running() {
		return nil
	}
	// SIGINT is PostgreSQL's "fast": end the sessions, write a checkpoint.
	if err := c.server.Process.Signal(syscall.SIGINT); err != nil {
		return fmt.Errorf("shut PostgreSQL down: %w", err)
	}
	<-c.exited
	return nil
}

// Kill ends the server and all its processes at once by SIGKILL, as a crash
// would. The folder stays; Restart recovers from it.
func (c *Cluster) Kill() error {
	if !c.running() {
		return nil
	}
	// Stopped first, so that it starts no more children while we read their list.
	pid := c.server.Process.Pid
	if err := c.server.Process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("kill PostgreSQL: %w", err)
	}
	if !within(startLimit, func() bool { return strings.Contains("TZ", state(pid)) }) {
		return errors.New("kill PostgreSQL: it doesn't stop")
	}
	children, err := c.children()
	if err != nil {
		return fmt.Errorf("kill PostgreSQL: %w", err)
	}
	for _, child := range children {
		syscall.Kill(child, syscall.SIGKILL)
	}
	if err := c.server.Process.Kill(); err != nil {
		return fmt.Errorf("kill PostgreSQL: %w", err)
	}
	<-c.exited
	// A busy machine takes its time to end them, and the next server won't start
	// beside one that holds on to the memory they share.
	if !within(startLimit, func() bool { return !slices.ContainsFunc(children, func(n int) bool { return state(n) != "Z" }) }) {
		return errors.New("kill PostgreSQL: its processes don't end")
	}
	return nil
}

// children are the server's processes.
func (c *Cluster) children() (list []int, err error) {
	pid := c.server.Process.Pid
	names, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil, fmt.Errorf("list PostgreSQL's processes: %w", err)
	}
	for _, name := range strings.Fields(string(names)) {
		if n, err := strconv.Atoi(name); err == nil {
			list = append(list, n)
		}
	}
	return list, nil
}

// state is a process's as /proc tells it: R, S, T, or Z for one that has ended.
func state(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, named := strings.Cut(string(stat), ") ")
	if err != nil || !named || rest == "" {
		return "Z" // gone
	}
	return rest[:1]
}

func within(limit time.Duration, f func() bool) bool {
	for deadline := time.Now().Add(limit); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// Pause stops every process of the server where it stands, as a machine or a disk
// that hangs would: connections stay, and nothing answers. Resume lets them go on.
func (c *Cluster) Pause() error { return c.signalAll(syscall.SIGSTOP) }

// Resume ends a Pause.
func (c *Cluster) Resume() error { return c.signalAll(syscall.SIGCONT) }

func (c *Cluster) signalAll(s syscall.Signal) error {
	if !c.running() {
		return errors.New("PostgreSQL isn't running")
	}
	if err := c.server.Process.Signal(s); err != nil {
		return fmt.Errorf("send PostgreSQL %v: %w", s, err)
	}
	children, err := c.children()
	for _, child := range children {
		_ = syscall.Kill(child, s) // it may have ended meanwhile
	}
	return err
}

// Restart starts the server again on the same folder and port, after a clean
// shutdown if it was running.
func (c *Cluster) Restart() error {
	if err := c.Shutdown(); err != nil {
		return err
	}
	return c.start()
}

// URL is the address of a database in the cluster.
func (c *Cluster) URL(db string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword("postgres", c.password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)),
		Path:     db,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// CreateDB makes an empty database.
func (c *Cluster) CreateDB(db string) error {
	return c.exec("CREATE DATABASE " + pgx.Identifier{db}.Sanitize())
}

// DropDB removes a database and ends its connections.
func (c *Cluster) DropDB(db string) error {
	return c.exec("DROP DATABASE " + pgx.Identifier{db}.Sanitize() + " WITH (FORCE)")
}

// Port is the TCP port on 127.0.0.1.
func (c *Cluster) Port() int { return c.port }

// BinDir is the folder of PostgreSQL's programs, pgbench and psql among them.
func (c *Cluster) BinDir() string { return c.bin }

// Dir is the cluster's folder: the server's log, and data/.
func (c *Cluster) Dir() string { return c.dir }

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

func (c *Cluster) exec(sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		return fmt.Errorf("connect to the test cluster: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("test cluster: %s: %w", sql, err)
	}
	return nil
}

func (c *Cluster) running() bool {
	if c.server == nil {
		return false
	}
	select {
	case <-c.exited:
		return false
	default:
		return true
	}
}

// forgetKilled tidies up what a killed server couldn't: the shared memory
// segment that marks its folder as in use, and the process id by which the
// keeper would stop a stranger that has got the same number since.
func (c *Cluster) forgetKilled() {
	name := filepath.Join(c.data(), "postmaster.pid")
	said, err := os.ReadFile(name)
	if err != nil {
		return // it never started, or was shut down
	}
	os.Remove(name)
	// Line 7 is the segment's key and id (src/include/utils/pidfile.h).
	if lines := strings.Split(string(said), "\n"); len(lines) > 6 {
		if words := strings.Fields(lines[6]); len(words) == 2 {
			exec.Command("ipcrm", "-m", words[1]).Run()
		}
	}
}

// write puts text in a file that the server's user owns.
func (c *Cluster) write(name, text string) error {
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the test cluster's files: %w", err)
	}
	if cred := c.account.Credential; cred != nil {
		if err := os.Chown(name, int(cred.Uid), int(cred.Gid)); err != nil {
			return fmt.Errorf("write the test cluster's files: %w", err)
		}
	}
	return nil
}

// command is one of PostgreSQL's programs, run as the right user, with its
// messages in English.
func (c *Cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir, cmd.SysProcAttr = c.dir, c.account
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	return cmd
}

// account says as whom to run: PostgreSQL refuses root, so root becomes
// postgres. Each program gets a session of its own, so that an interrupt at
// the terminal ends the tests and leaves the ending of the cluster to them.
func account() (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() != 0 {
		return attr, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("root can't run PostgreSQL and there is no user postgres; run `make setup`: %w", err)
	}
	uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return nil, fmt.Errorf("user postgres has no number: %w", err)
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, nil
}

// findBin finds PostgreSQL's programs: AZEKURA_PG_BIN, or Debian's newest.
func findBin() (string, error) {
	if bin := os.Getenv("AZEKURA_PG_BIN"); bin != "" {
		if _, err := os.Stat(filepath.Join(bin, "initdb")); err != nil {
			return "", fmt.Errorf("AZEKURA_PG_BIN has no PostgreSQL server: %w", err)
		}
		return bin, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed; run `make setup`, or set AZEKURA_PG_BIN to its programs' folder")
	}
	version := func(initdb string) float64 { // 9.6 is a version too
		v, _ := strconv.ParseFloat(filepath.Base(filepath.Dir(filepath.Dir(initdb))), 64)
		return v
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return int(10 * (version(a) - version(b))) })
	return filepath.Dir(newest), nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port for PostgreSQL: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
