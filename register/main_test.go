package register_test

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

	"azekura/internal/insttest"
	"azekura/internal/pgtest"
	"azekura/register"
)

// What a child process is told: the installation and the file to import.
const (
	envDir  = "AZEKURA_TEST_DIR"
	envFile = "AZEKURA_TEST_FILE"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envDir); dir != "" {
		if err := child(dir, os.Getenv(envFile)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(pgtest.Main(m))
}

// child imports a file in a process of its own, to be killed. It says when the
// import begins.
func child(dir, file string) error {
	ctx := context.Background()
	i, err := insttest.OpenDir(ctx, dir)
	if err != nil {
		return err
	}
	fmt.Println("begun")
	_, err = insttest.TryImport(ctx, i, file, register.ImportOptions{})
	return errors.Join(err, i.Close())
}

// importIn runs a child until it ends, or kills it after a while.
func importIn(t *testing.T, dir, file string, killAfter time.Duration) (killed bool, took time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envDir+"="+dir, envFile+"="+file)
	cmd.Stderr = os.Stderr
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
	if err == nil {
		return false, took
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatal("the child failed:", err)
	}
	return true, took
}
