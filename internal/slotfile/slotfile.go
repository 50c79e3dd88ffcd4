// Package slotfile keeps a small state in a file that a kill, a power cut or a
// full disk can't spoil: what was stored last stays readable until what comes
// after it is durable.
//
// The file has two slots, written in turn and synced; each begins with its
// SHA-256, so a torn write leaves the slot before it. It has its full size from
// the start, so storing needs no new disk space. One process at a time opens it.
// It promises nothing against somebody who may write the file.
//
// Files that are written once, or in whole, go through WriteNew and Replace.
package slotfile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// Size is how many bytes one slot takes.
const Size = 8 << 10

// header is the hash, the turn and the length of what follows.
const header = sha256.Size + 8 + 4

// Max is how many bytes a state may have.
const Max = Size - header

var (
	// ErrHeld means that another process has the file open.
	ErrHeld = errors.New("another process holds the state")
	// ErrDamaged means that neither slot is whole. An empty file is no new state
	// either: a power cut can empty one.
	ErrDamaged = errors.New("the state is damaged in both its slots")
)

// File is an open state file. It isn't safe for many callers.
type File struct {
	f    *os.File
	slot int64
	turn uint64
}

// Create makes a file that holds a first state; it must not be there yet.
func Create(path string, first []byte) error {
	if len(first) > Max {
		return tooLong(first)
	}
	return WriteNew(path, append(make([]byte, Size), encode(1, first)...))
}

func tooLong(state []byte) error {
	return fmt.Errorf("the state has %d bytes, and a slot holds %d", len(state), Max)
}

// Open opens a file for this process alone and returns the newest whole state.
func Open(path string) (*File, []byte, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, nil, errors.Join(ErrHeld, f.Close())
	}
	s := &File{f: f}
	state, err := s.load()
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return s, state, nil
}

// Await waits until no process has a file open.
func Await(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	got := make(chan error, 1)
	go func() { // which can't be woken but by the lock; whoever gives up is about to end
		got <- errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_EX), f.Close())
	}()
	select {
	case err := <-got:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Read returns the newest whole state, whoever has the file open.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return (&File{f: f}).load()
}

func (s *File) load() (state []byte, err error) {
	found := false
	for slot := range int64(2) {
		raw := make([]byte, Size)
		if _, err := s.f.ReadAt(raw, slot*Size); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		turn, body, whole := decode(raw)
		if whole && (!found || turn > s.turn) {
			s.slot, s.turn, state, found = slot, turn, body, true
		}
	}
	if !found {
		return nil, ErrDamaged
	}
	return state, nil
}

func encode(turn uint64, state []byte) []byte {
	raw := make([]byte, Size)
	binary.BigEndian.PutUint64(raw[sha256.Size:], turn)
	binary.BigEndian.PutUint32(raw[sha256.Size+8:], uint32(len(state)))
	copy(raw[header:], state)
	sum := sha256.Sum256(raw[sha256.Size:])
	copy(raw, sum[:])
	return raw
}

func decode(raw []byte) (turn uint64, state []byte, whole bool) {
	sum := sha256.Sum256(raw[sha256.Size:])
	n := binary.BigEndian.Uint32(raw[sha256.Size+8:])
	if !bytes.Equal(sum[:], raw[:sha256.Size]) || n > Max {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(raw[sha256.Size:]), raw[header : header+n], true
}

// Store writes a state into the slot that isn't the newest, and syncs. After an
// error the state before it still stands.
func (s *File) Store(state []byte) error {
	if len(state) > Max {
		return tooLong(state)
	}
	if _, err := s.f.WriteAt(encode(s.turn+1, state), (s.slot^1)*Size); err != nil {
		return err
	}
	// The file's size and place don't change, so its data is all there is to sync.
	if err := syscall.Fdatasync(int(s.f.Fd())); err != nil {
		return err
	}
	s.slot, s.turn = s.slot^1, s.turn+1
	return nil
}

// Close lets another process open the file.
func (s *File) Close() error { return s.f.Close() }
