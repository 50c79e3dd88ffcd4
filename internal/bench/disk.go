package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"
)

// appends is how many lines of so many bytes a second a bare file takes, synced
// after each batch: the least that a durable log on this disk can cost.
func (b *bench) appends(size, batch int) (perSecond float64, err error) {
	path := filepath.Join(b.folder, "append")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	line := make([]byte, size)
	n, began := 0, time.Now()
	for time.Since(began) < b.scale.Lasts {
		for range batch {
			if _, err := f.Write(line); err != nil {
				return 0, err
			}
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		n += batch
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// rewrite writes a file's bytes to another, synced after each part, and returns
// how long that took.
func (b *bench) rewrite(path string, part int64) (took time.Duration, err error) {
	from, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer from.Close()
	copied := filepath.Join(b.folder, "copied")
	to, err := os.Create(copied)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, to.Close(), os.Remove(copied)) }()
	began := time.Now()
	for {
		_, err := io.CopyN(to, from, part)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if err := to.Sync(); err != nil {
			return 0, err
		}
		if err != nil {
			return time.Since(began), nil
		}
	}
}
