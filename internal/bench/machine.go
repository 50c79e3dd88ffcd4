package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// machine is what the figures were taken on.
type machine struct {
	Processor  string  `json:"processor"`
	Cores      int     `json:"cores"`
	MemoryGiB  float64 `json:"memory_gib"`
	FileSystem string  `json:"file_system"`
	Kernel     string  `json:"kernel"`
	Go         string  `json:"go"`
	PostgreSQL string  `json:"postgresql,omitempty"`
	Load       string  `json:"load_average_at_start"` // over 1, 5 and 15 minutes
}

func (m machine) String() string {
	text := fmt.Sprintf("%s, %d cores, %.0f GiB of memory, %s, Linux %s, %s", m.Processor, m.Cores, m.MemoryGiB, m.FileSystem, m.Kernel, m.Go)
	if m.PostgreSQL != "" {
		text += ", PostgreSQL " + m.PostgreSQL
	}
	return text + ", load average at the start " + m.Load
}

// look asks the system; what it doesn't tell stays empty.
func look(folder string) machine {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version(), Processor: "unknown processor"}
	m.Kernel = strings.TrimSpace(slurp("/proc/sys/kernel/osrelease"))
	if load := strings.Fields(slurp("/proc/loadavg")); len(load) > 2 {
		m.Load = strings.Join(load[:3], " ")
	}
	for l := range strings.Lines(slurp("/proc/cpuinfo")) {
		if name, ok := strings.CutPrefix(l, "model name"); ok {
			m.Processor = strings.TrimSpace(strings.TrimLeft(name, "\t :"))
			break
		}
	}
	m.MemoryGiB = float64(kib("/proc/meminfo", "MemTotal:")) / (1 << 20)
	m.FileSystem = fileSystem(folder)
	return m
}

// fileSystem is the type of the one that a folder lies on.
func fileSystem(folder string) string {
	found, kind := "", "unknown file system"
	for l := range strings.Lines(slurp("/proc/self/mounts")) {
		words := strings.Fields(l)
		if len(words) < 3 || len(words[1]) < len(found) {
			continue
		}
		if inside, err := filepath.Rel(words[1], folder); err == nil && !strings.HasPrefix(inside, "..") {
			found, kind = words[1], words[2]
		}
	}
	return kind
}

func slurp(path string) string {
	raw, _ := os.ReadFile(path) // what isn't there is empty
	return string(raw)
}

// kib reads a line like "VmHWM:  1234 kB"; 0 where there is none.
func kib(path, name string) int64 {
	for l := range strings.Lines(slurp(path)) {
		if rest, ok := strings.CutPrefix(l, name); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n
		}
	}
	return 0
}

// peak is the most memory that a process has had, in bytes (proc(5), VmHWM).
func peak(pid int) int64 { return kib(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:") << 10 }

// tick is the unit of times in /proc: USER_HZ, 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// processCPU is what a process has used, and with its ended children what they
// have (proc(5), stat: fields 14 to 17, counted behind the name's bracket).
func processCPU(pid int) (own, ended time.Duration) {
	raw := []byte(slurp(fmt.Sprintf("/proc/%d/stat", pid)))
	words := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
	if len(words) < 15 {
		return 0, 0 // it is gone
	}
	ticks := func(i int) time.Duration {
		n, _ := strconv.ParseInt(string(words[i]), 10, 64)
		return time.Duration(n) * tick
	}
	return ticks(11) + ticks(12), ticks(13) + ticks(14)
}

// familyCPU is what a process, its living and its ended children have used.
func familyCPU(pid int) time.Duration {
	own, ended := processCPU(pid)
	sum := own + ended
	for _, child := range strings.Fields(slurp(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))) {
		if n, err := strconv.Atoi(child); err == nil {
			own, _ := processCPU(n)
			sum += own
		}
	}
	return sum
}

// selfCPU is what this process has used.
func selfCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
