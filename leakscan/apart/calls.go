package apart

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// refused are the system calls that a scan never needs, and whoever has taken a parser
// over would. A socket is the way out: a network of its own has none that leads
// anywhere, but a socket with a path, as the operator's is, is of no network, and
// Landlock knows it only from version 9 on. io_uring makes sockets without the call.
// The others reach into other processes, or far into the kernel.
var refused = []uint32{
	unix.SYS_SOCKET, unix.SYS_IO_URING_SETUP,
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD,
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_OPEN_BY_HANDLE_AT,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_ADD_KEY, unix.SYS_KEYCTL, unix.SYS_REQUEST_KEY,
}

// machines are how the kernel names those that Azekura is built for. Calls of another,
// as 64-bit processors know those of 32-bit ones, have numbers of their own: who makes
// one is killed.
var machines = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// Where a filter finds the call's number and the machine (struct seccomp_data).
const (
	callAt    = 0
	machineAt = 4
	x32       = 0x40000000 // amd64's third set of calls has this bit
)

// refuseCalls has the kernel refuse them, for this process and all that it begins.
func refuseCalls() error {
	machine, ok := machines[runtime.GOARCH]
	if !ok {
		return errors.New("system calls can't be refused on this machine")
	}
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: machineAt, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: machine, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS},
		bpf.LoadAbsolute{Off: callAt, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: x32, SkipTrue: uint8(len(refused) + 1)},
	}
	for i, call := range refused {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpEqual, Val: call, SkipTrue: uint8(len(refused) - i)})
	}
	raw, err := bpf.Assemble(append(program,
		bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EACCES)},
	))
	if err != nil {
		return err
	}
	filters := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filters[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	list := unix.SockFprog{Len: uint16(len(filters)), Filter: &filters[0]}
	// Both are for one thread, and the second hands them to the others.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("refuse system calls: %w", err)
	}
	thread, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&list)))
	switch {
	case e != 0:
		return fmt.Errorf("refuse system calls: %w", e)
	case thread != 0:
		return errors.New("refuse system calls: a thread of this process has a filter of its own")
	}
	return nil
}
