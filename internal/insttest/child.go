package insttest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"azekura/internal/pgtest"
)

// What a child process is told: the installation, and what to do there.
const (
	envDir = "AZEKURA_TEST_DIR"
	envArg = "AZEKURA_TEST_ARG"
)

// Main is a TestMain's: in a process that InChild started it runs child and ends;
// else it runs the tests.
func Main(m *testing.M, child func(ctx context.Context, dir, arg string) error) {
	if dir := os.Getenv(envDir); dir != "" {
		if err := child(context.Background(), dir, os.Getenv(envArg)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(pgtest.Main(m))
}

// Begun tells the parent that the child's work begins, from which on it may be
// killed.
func Begun() { fmt.Println("begun") }

// InChild runs a child until it ends, or kills it a while after it has begun; 0
// lets it end. It returns how long it ran from there.
func InChild(t testing.TB, dir, arg string, killAfter time.Duration) (killed bool, took time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envDir+"="+dir, envArg+"="+arg)
	cmd.Stderr = os.Stderr
	// The child doesn't outlive its test, however that ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal("the child didn't begin:", err, cmd.Wait())
	}
	begun := time.Now()
	if killAfter > 0 {
		timer := time.AfterFunc(killAfter, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
		defer timer.Stop()
	}
	err = cmd.Wait()
	took = time.Since(begun)
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL) {
		t.Fatal("the child failed:", err)
	}
	return err != nil, took
}
