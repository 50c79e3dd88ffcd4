// Package clock is the time that an installation goes by: the machine's, or, in an
// installation of made-up people alone, one that a drill drives through a shared file.
//
// It promises that a driven clock is read in one step and never goes back, whoever
// drives it. It doesn't say who may have a driven one: the installation refuses it
// where the people are real.
package clock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// size is of a clock's file in bytes: microseconds since 1970, UTC, in the order
// of the machine, which alone reads it.
const size = 8

// Driven is a clock that stands until it is set.
type Driven struct {
	memory []byte
	micros *atomic.Int64
}

// Create makes a clock's file and sets it.
func Create(path string, at time.Time) (*Driven, error) {
	var raw [size]byte
	binary.NativeEndian.PutUint64(raw[:], uint64(at.UnixMicro()))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the clock: %w", err)
	}
	_, err = f.Write(raw[:])
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("make the clock: %w", err)
	}
	return Open(path)
}

// Open opens a clock's file, to read it or to drive it.
func Open(path string) (*Driven, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open the clock: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open the clock: %w", err)
	}
	if info.Size() != size || !info.Mode().IsRegular() {
		return nil, errors.New("open the clock: the file isn't a clock's")
	}
	memory, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("open the clock: %w", err)
	}
	return &Driven{memory: memory, micros: (*atomic.Int64)(unsafe.Pointer(&memory[0]))}, nil
}

// Now is the clock's time.
func (d *Driven) Now() time.Time { return time.UnixMicro(d.micros.Load()).UTC() }

// Set moves the clock on; a time that is past changes nothing.
func (d *Driven) Set(to time.Time) {
	next := to.UnixMicro()
	for {
		at := d.micros.Load()
		if next <= at || d.micros.CompareAndSwap(at, next) {
			return
		}
	}
}

// Close lets go of the file. Nobody may read the clock afterwards.
func (d *Driven) Close() error { return syscall.Munmap(d.memory) }
