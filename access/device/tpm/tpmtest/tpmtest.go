// Package tpmtest gives tests a TPM 2.0: swtpm, a program that is one. It promises
// that each has a state of its own and ends with its test.
package tpmtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Start starts a TPM, and returns its socket's path.
func Start(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "az-tpm-") // short, for the socket's sake
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "tpm.sock")
	cmd := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir, "--server", "type=unixio,path="+socket,
		"--flags", "not-need-init,startup-clear", "--seccomp", "action=none")
	if err := cmd.Start(); err != nil {
		t.Fatal("no TPM to test with; run make setup: ", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			return socket
		}
		if time.Now().After(until) {
			t.Fatal("swtpm doesn't listen")
		}
	}
}
