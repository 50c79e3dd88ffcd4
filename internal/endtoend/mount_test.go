package endtoend

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// disks are the small file systems that tests fill: tmpfs, in MiB.
var disks = map[string]int{"sqlite": 48, "postgresql": 160}

const (
	// stageVar says how far a run by somebody who isn't root has come: such a
	// run mounts in a user namespace of its own, where it is root, and tests in
	// one within, where it is itself again (PostgreSQL refuses root).
	stageVar = "AZEKURA_ENDTOEND_STAGE"
	disksVar = "AZEKURA_ENDTOEND_DISKS"
)

// smallDisk mounts a disk for the time of a test.
func smallDisk(t *testing.T, name string) string {
	t.Helper()
	if dir := os.Getenv(disksVar); dir != "" {
		return filepath.Join(dir, name)
	}
	// t.TempDir() lets nobody else in, and PostgreSQL isn't root.
	dir, err := os.MkdirTemp("", "azekura-disk-")
	if err != nil {
		t.Fatal(err)
	}
	if err := mount(dir, disks[name]); err != nil {
		t.Fatal(errors.Join(err, os.Remove(dir)))
	}
	t.Cleanup(func() {
		// Lazily: a server that dies slowly may still have a file there.
		if err := errors.Join(syscall.Unmount(dir, syscall.MNT_DETACH), os.Remove(dir)); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func mount(dir string, mib int) error {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0755", mib)); err != nil {
		return fmt.Errorf("mount a small disk: %w", err)
	}
	return nil
}

// inNamespace moves a run by somebody who isn't root to where it may mount. It
// reports whether the tests have been run there, and how they ended.
func inNamespace() (done bool, code int) {
	var err error
	switch stage := os.Getenv(stageVar); {
	case stage == "mount":
		code, err = mountAll()
	case stage == "test" || os.Geteuid() == 0:
		return false, 0
	default:
		code, err = again("mount", syscall.CLONE_NEWUSER|syscall.CLONE_NEWNS, 0, 0,
			stageVar+"=mount", fmt.Sprintf("AZEKURA_ENDTOEND_USER=%d %d", os.Geteuid(), os.Getegid()))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "these tests mount small disks and need root, or user namespaces that anyone may make:", err)
		return true, 1
	}
	return true, code
}

func mountAll() (int, error) {
	dir, err := os.MkdirTemp("", "azekura-disk-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	for name, mib := range disks {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return 1, err
		}
		if err := mount(filepath.Join(dir, name), mib); err != nil {
			return 1, err
		}
		defer syscall.Unmount(filepath.Join(dir, name), syscall.MNT_DETACH)
	}
	var uid, gid int
	if _, err := fmt.Sscan(os.Getenv("AZEKURA_ENDTOEND_USER"), &uid, &gid); err != nil {
		return 1, err
	}
	return again("test", syscall.CLONE_NEWUSER, uid, gid, stageVar+"=test", disksVar+"="+dir)
}

// again runs these tests once more as a child in new namespaces, as uid and gid there.
func again(stage string, flags uintptr, uid, gid int, env ...string) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: gid, HostID: os.Getegid(), Size: 1}}}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, fmt.Errorf("the stage %s: %w", strconv.Quote(stage), err)
	}
	return 0, nil
}
