package register_test

import (
	"context"
	"errors"
	"testing"

	"azekura/internal/insttest"
	"azekura/register"
)

func TestMain(m *testing.M) { insttest.Main(m, child) }

// child imports a file in a process of its own, to be killed.
func child(ctx context.Context, dir, file string) error {
	i, err := insttest.OpenDir(ctx, dir)
	if err != nil {
		return err
	}
	insttest.Begun()
	_, err = insttest.TryImport(ctx, i, file, register.ImportOptions{})
	return errors.Join(err, i.Close())
}
