package installation_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/register"
	"azekura/register/rowfile"
)

func TestMain(m *testing.M) {
	scanInChild()
	insttest.Main(m, child)
}

// child works off jobs in a process of its own, to be killed: the import of a
// file, or where none is named what is there.
func child(ctx context.Context, dir, file string) error {
	i, err := insttest.OpenDir(ctx, dir)
	if err != nil {
		return err
	}
	if err := i.StartJobs(ctx); err != nil {
		return errors.Join(err, i.Close())
	}
	if file != "" {
		if _, err := i.StartImport(ctx, file, rowfile.Options{}); err != nil {
			return errors.Join(err, i.Close())
		}
	}
	insttest.Begun()
	_, err = wait(ctx, i)
	return errors.Join(err, i.Close())
}

// wait waits for the only import, or for what stops it.
func wait(ctx context.Context, i *installation.Installation) (at register.Import, err error) {
	var id int64
	for err == nil && !at.Finished && at.Failure == "" {
		time.Sleep(10 * time.Millisecond)
		if err = i.DB.QueryRow(ctx, "SELECT import_id FROM register_import", nil, &id); err == nil {
			at, err = i.Register.Import(ctx, id)
		}
	}
	return at, err
}
