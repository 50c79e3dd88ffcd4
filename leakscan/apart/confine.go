package apart

import (
	"context"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
)

// confine leaves this process, and those that it begins, what the order is about.
func (o *Order) confine() error {
	rules := []landlock.Rule{
		// pdftotext, the shell that bounds its memory, and what they load.
		landlock.RODirs("/usr", "/bin", "/lib", "/lib64", "/etc/fonts").IgnoreIfMissing(),
		landlock.ROFiles("/etc/ld.so.cache").IgnoreIfMissing(),
		landlock.RWFiles(os.DevNull),
		landlock.RWDirs(os.TempDir()),
	}
	read := append([]string{o.Index}, o.Paths...)
	if o.Pieces && len(o.Paths) == 0 {
		read = append(read, "/")
	}
	if o.Show != nil {
		read = append(read, o.Show.File)
	}
	for _, path := range read {
		info, err := os.Stat(path)
		switch {
		case err != nil: // who opens it tells
		case info.IsDir():
			rules = append(rules, landlock.RODirs(path))
		default:
			rules = append(rules, landlock.ROFiles(path))
		}
	}
	if o.Folder != "" {
		rules = append(rules, landlock.RWDirs(o.Folder))
	}
	if err := landlock.V11.BestEffort().Restrict(rules...); err != nil {
		return err
	}
	return refuseCalls()
}

// start begins a program in a network of its own, or where that is refused in ours. in
// stays open for as long as we live.
func start(ctx context.Context, program []string, temp string) (cmd *exec.Cmd, in io.WriteCloser, out io.ReadCloser, err error) {
	for _, how := range []*syscall.SysProcAttr{alone(), {}} {
		how.Setpgid = true // who interrupts us means us, and we end it
		cmd = exec.CommandContext(ctx, program[0], program[1:]...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + temp}
		cmd.SysProcAttr = how
		if in, err = cmd.StdinPipe(); err != nil {
			return nil, nil, nil, err
		}
		if out, err = cmd.StdoutPipe(); err != nil {
			return nil, nil, nil, err
		}
		if err = cmd.Start(); err == nil {
			break
		}
	}
	return cmd, in, out, err
}

// alone is a network in which nobody else is. Who isn't root may make one only as the
// root of a user namespace, in which they stay who they are.
func alone() *syscall.SysProcAttr {
	how := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		how.Cloneflags |= syscall.CLONE_NEWUSER
		how.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		how.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
	}
	return how
}
