package installation

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"azekura/access/signin"
	"azekura/internal/slotfile"
	"azekura/population"
	"azekura/register"
)

const (
	// madeUpPassphrase is the file in which a made-up installation keeps the
	// passphrase of its own root key.
	madeUpPassphrase = "passphrase"
	// madeUpFile holds the people of a made-up installation until they are in.
	madeUpFile = "made-up.csv"
)

// MadeUpOptions say what to make up.
type MadeUpOptions struct {
	Database string // a postgres:// URL, or "" for SQLite
	People   int64
	Seed     uint64
	// Canaries, when above 0, leaves gaps in the people's refs (population.Gap) by
	// this share, and plants as many canaries for each person, most of them there.
	Canaries float64
	// DeviceKeys demands a device's certificate of staff, as other installations do.
	DeviceKeys bool
	// SignIn, when given, lets staff sign in.
	SignIn *signin.Settings
	// Progress, when given, hears of people imported.
	Progress func(done int64)
}

// MakeUp makes an installation of made-up people for a demo or a drill. Its
// passphrase lies beside it: it guards nobody.
func MakeUp(ctx context.Context, dir string, o MadeUpOptions) error {
	passphrase := rand.Text()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	people := filepath.Join(dir, madeUpFile)
	if err := writePeople(ctx, people+".new", o); err != nil {
		return err
	}
	if err := slotfile.WriteNew(filepath.Join(dir, madeUpPassphrase), []byte(passphrase+"\n")); err != nil {
		return err
	}
	if err := os.Rename(people+".new", people); err != nil {
		return err
	}
	c := CreateOptions{Database: o.Database, Passphrase: []byte(passphrase), WorkFactor: 12, MadeUp: true, DeviceKeys: o.DeviceKeys}
	if _, err := Create(ctx, dir, c); err != nil {
		return err
	}
	if err := setSignIn(dir, o.SignIn); err != nil {
		return err
	}
	return finishMadeUp(ctx, dir, o.Canaries, o.Progress)
}

func setSignIn(dir string, to *signin.Settings) error {
	if to == nil {
		return nil
	}
	c, err := ReadConfig(dir)
	if err != nil {
		return err
	}
	c.SignIn = to
	return c.write(dir)
}

func writePeople(ctx context.Context, path string, o MadeUpOptions) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(population.WriteCSVWithGaps(ctx, f, o.Seed, o.People, o.Canaries, nil), f.Close())
}

// FinishMadeUp imports the people that wait in a made-up installation's folder,
// if any: all of them, or those that were left when it was stopped.
func FinishMadeUp(ctx context.Context, dir string, progress func(done int64)) error {
	return finishMadeUp(ctx, dir, 0, progress)
}

func finishMadeUp(ctx context.Context, dir string, canaries float64, progress func(done int64)) error {
	people := filepath.Join(dir, madeUpFile)
	file, size, err := register.OpenFile(people)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	inst, err := OpenMadeUp(ctx, dir)
	if err != nil {
		return err
	}
	at, err := inst.Register.FileImport(ctx, file, size)
	if err == nil && !at.Finished {
		o := register.ImportOptions{Density: canaries, Progress: func(at register.Import) {
			if progress != nil {
				progress(at.Rows)
			}
		}}
		at, err = inst.Register.Run(ctx, at, file, o)
	}
	if err == nil && at.Rejected > 0 {
		err = fmt.Errorf("import the made-up people: %d of %d rejected", at.Rejected, at.Rows)
	}
	if err = errors.Join(err, inst.Close()); err != nil {
		return err
	}
	return os.Remove(people)
}

// OpenMadeUp opens a made-up installation with its own passphrase.
func OpenMadeUp(ctx context.Context, dir string) (*Installation, error) {
	return Open(ctx, dir, func() ([]byte, error) {
		passphrase, ok := MadeUpPassphrase(dir)
		if !ok {
			return nil, errors.New("this folder holds no made-up installation")
		}
		return passphrase, nil
	})
}

// MadeUpPassphrase is what a made-up installation keeps beside itself; ok is
// false for any other.
func MadeUpPassphrase(dir string) (passphrase []byte, ok bool) {
	config, err := ReadConfig(dir)
	if err != nil || !config.MadeUp {
		return nil, false
	}
	raw, err := os.ReadFile(filepath.Join(dir, madeUpPassphrase))
	return []byte(strings.TrimSpace(string(raw))), err == nil
}
