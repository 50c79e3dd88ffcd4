package slotfile

import (
	"errors"
	"os"
	"path/filepath"
)

// WriteNew writes a file, whole or not at all, synced with its name, that only its
// owner may read. It replaces none: where one is, the error is fs.ErrExist. A kill
// in the midst of it leaves no more than a file beside it, named as it with .new
// and a number.
func WriteNew(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new*") // made 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil { // which a rename would write over
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// Replace puts data into a file's place, whole or not at all, and syncs both it
// and its name.
func Replace(path string, data []byte) error {
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes a folder's names as durable as the contents behind them.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
