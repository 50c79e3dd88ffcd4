package leakscan

import (
	"math/bits"
	"os"
	"syscall"
)

// mapFile maps a file for reading. The file must not be cut while it is mapped;
// Builder only ever puts whole files under a name.
func mapFile(file *os.File, size int64) ([]byte, func() error, error) {
	data, err := syscall.Mmap(int(file.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	return data, func() error { return syscall.Munmap(data) }, nil
}

// largePages is memory of its own that the system is asked to keep in pages of 2 MiB.
func largePages(size int) ([]byte, func() error, error) {
	room, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, nil, err
	}
	const hugePage = 14 // MADV_HUGEPAGE, which Linux alone has; others refuse or ignore it
	_ = syscall.Madvise(room, hugePage)
	return room, func() error { return syscall.Munmap(room) }, nil
}

func bits16(mask uint16) int { return bits.OnesCount16(mask) }
