package installation_test

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

	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"
	"azekura/register"
	"azekura/register/rowfile"
)

// What a child process is told: the installation and, unless it is only to take
// up what is there, the file to import.
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

// child works off jobs in a process of its own, to be killed.
func child(dir, file string) error {
	ctx := context.Background()
	i, err := insttest.OpenDir(ctx, dir)
	if err != nil {
		return err
	}
	if err := i.StartJobs(ctx); err != nil {
		return errors.Join(err, i.Close())
	}
	if file != "" {
		if _, err := i.StartImport(ctx, file, rowfile.Options{}); err != nil {
			return errors.Join(err, i.Close())
		}
	}
	fmt.Println("begun")
	_, err = wait(ctx, i)
	return errors.Join(err, i.Close())
}

// wait waits for the only import, or for what stops it.
func wait(ctx context.Context, i *installation.Installation) (at register.Import, err error) {
	var id int64
	for err == nil && !at.Finished && at.Failure == "" {
		time.Sleep(10 * time.Millisecond)
		if err = i.DB.QueryRow(ctx, "SELECT import_id FROM register_import", nil, &id); err == nil {
			at, err = i.Register.Import(ctx, id)
		}
	}
	return at, err
}

// runIn runs a child until it ends, or kills it after a while.
func runIn(t *testing.T, dir, file string, killAfter time.Duration) (killed bool) {
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
	timer := time.AfterFunc(killAfter, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
	defer timer.Stop()
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL) {
		t.Fatal("the child failed:", err)
	}
	return err != nil
}
