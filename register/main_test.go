package register_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"azekura/internal/insttest"
	"azekura/register"
)

func TestMain(m *testing.M) { insttest.Main(m, child) }

// planting begins the argument of a child that plants canaries.
const planting = "plant "

// child imports a file in a process of its own, to be killed.
func child(ctx context.Context, dir, file string) error {
	i, err := insttest.OpenDir(ctx, dir)
	if err != nil {
		return err
	}
	o := register.ImportOptions{}
	file, plant := strings.CutPrefix(file, planting)
	if plant {
		o.Density = density
	}
	insttest.Begun()
	_, err = insttest.TryImport(ctx, i, file, o)
	return errors.Join(err, i.Close())
}
