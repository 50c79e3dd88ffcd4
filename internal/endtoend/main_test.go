package endtoend

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"azekura/access/budget"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"
	"azekura/population"
)

// patience is how long a test waits for what must come; none is that slow.
const patience = 2 * time.Minute

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if done, code := inNamespace(); done {
		return code
	}
	dir, err := os.MkdirTemp("", "azekura-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "azekura")
	build := exec.Command("go", "build", "-o", binary, "azekura/cmd/azekura")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the program:", err)
		return 1
	}
	return pgtest.Main(m)
}

// agency is an installation of our own, worked with through the program.
type agency struct {
	dir        string
	database   string // empty: SQLite in the folder
	passphrase string // its file
	people     []population.Person
	pcs        [devices]tls.Certificate
	at         map[string]int // the device of a token
}

const passphrase = "an old raft of cypress logs"

// newAgency makes an installation that isn't marked as made up, and imports
// people by the program. Its folder's path is short: sockets want that.
func newAgency(t *testing.T, parent, database string, people int64) *agency {
	t.Helper()
	home, err := os.MkdirTemp(parent, "az-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	a := &agency{dir: filepath.Join(home, "inst"), database: database, passphrase: filepath.Join(t.TempDir(), "passphrase"), at: map[string]int{}}
	if err := os.WriteFile(a.passphrase, []byte(passphrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := installation.CreateOptions{Database: database, Passphrase: []byte(passphrase), WorkFactor: 10, Budgets: budget.Unlimited()}
	if _, err := installation.Create(t.Context(), a.dir, o); err != nil {
		t.Fatal(err)
	}
	const seed = 7
	a.people = insttest.People(seed, int(people))
	a.must(t, "participants", "import", insttest.File(t, insttest.CSV(t, seed, people)))
	a.must(t, "staff", "add", "s-1")
	for n := range devices {
		a.must(t, "device", "add", fmt.Sprint("pc-", n))
	}
	a.enrol(t)
	return a
}

// enrol gives each PC its certificate.
func (a *agency) enrol(t *testing.T) {
	t.Helper()
	i, err := insttest.OpenWith(t.Context(), a.dir, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	for n := range a.pcs {
		if a.pcs[n], err = i.EnrolDevice(t.Context(), fmt.Sprint("pc-", n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
}

// devices is how many PCs an agency has.
const devices = 4

// eachEngine runs f with an agency on each engine.
func eachEngine(t *testing.T, people int64, f func(t *testing.T, a *agency)) {
	insttest.Each(t, func(t *testing.T, engine string) {
		database := ""
		if engine == "postgresql" {
			database = pgtest.URL(t)
		}
		f(t, newAgency(t, "", database, people))
	})
}

func (a *agency) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, append([]string{"--dir", a.dir}, args...)...)
	cmd.Env = append(os.Environ(), "AZEKURA_PASSPHRASE_FILE="+a.passphrase, "LC_ALL=C")
	return cmd
}

// try runs the program to its end and returns what it printed and its exit
// status.
func (a *agency) try(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := a.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must runs the program, which must succeed.
func (a *agency) must(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, status := a.try(t, args...)
	if status != 0 {
		t.Fatalf("azekura %s: exit status %d\n%s%s", strings.Join(args, " "), status, out, errs)
	}
	return out
}

// token opens a session at a device.
func (a *agency) token(t *testing.T, device int) string {
	t.Helper()
	token := strings.TrimSpace(a.must(t, "session", "open", "--staff", "s-1", "--device", fmt.Sprint("pc-", device)))
	a.at[token] = device
	return token
}

// verified runs azekura log verify, which must find nothing.
func (a *agency) verified(t *testing.T) {
	t.Helper()
	if out := a.must(t, "log", "verify"); !strings.Contains(out, "The audit log is whole") {
		t.Fatalf("log verify says\n%s", out)
	}
}

// server is a running azekura serve.
type server struct {
	cmd     *exec.Cmd
	address string
	exited  chan struct{}

	mu   sync.Mutex
	said strings.Builder // its stderr
}

// serve starts a server on a free port and waits until it listens. It is
// killed at the end of the test if it still runs.
func (a *agency) serve(t *testing.T) *server {
	t.Helper()
	return a.started(t, "serving https://", "serve", "--listen", "127.0.0.1:0")
}

// standby starts a second gate, and waits until it listens.
func (a *agency) standby(t *testing.T) *server {
	t.Helper()
	return a.started(t, "standing by at https://", "serve", "--standby", "--listen", "127.0.0.1:0")
}

func (a *agency) started(t *testing.T, says string, args ...string) *server {
	t.Helper()
	s := &server{cmd: a.command(args...), exited: make(chan struct{})}
	// The server doesn't outlive its test, however that ends.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr = s
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	address := make(chan string, 1)
	go func() {
		defer close(address)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if rest, ok := strings.CutPrefix(lines.Text(), says); ok {
				address <- strings.Fields(rest)[0]
			}
		}
	}()
	go func() {
		defer close(s.exited)
		s.cmd.Wait() // its status is read from ProcessState
	}()
	select {
	case s.address = <-address:
	case <-time.After(patience):
	}
	if s.address == "" {
		t.Fatalf("the server didn't start:\n%s", s.stderr())
	}
	return s
}

// Write keeps what the server says on stderr.
func (s *server) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.Write(b)
}

func (s *server) stderr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.String()
}

// kill ends the server as a power cut would.
func (s *server) kill() {
	s.cmd.Process.Kill()
	<-s.exited
}

// stop asks the server to end and returns its exit status.
func (s *server) stop(t *testing.T) int {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.exited:
	case <-time.After(patience):
		t.Fatal("the server doesn't end on SIGTERM")
	}
	return s.cmd.ProcessState.ExitCode()
}

// rounds is how often a test kills: n, or a hundred times with AZEKURA_SOAK=1.
func rounds(n int) int {
	if os.Getenv("AZEKURA_SOAK") == "1" {
		return 100
	}
	return n
}

// chance makes a generator from a seed that the test prints.
func chance(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// eventually waits until f holds.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came about that %s", what)
		}
	}
}
