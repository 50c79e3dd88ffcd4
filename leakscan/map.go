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

func bits16(mask uint16) int { return bits.OnesCount16(mask) }
