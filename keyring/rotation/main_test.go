package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"azekura/access"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/keyring/rotation"
	"azekura/population"
	"azekura/register"
	"azekura/register/field"
	"azekura/register/rowfile"
	"azekura/register/value"
)

func TestMain(m *testing.M) { insttest.Main(m, child) }

var why = gate.Why{Purpose: "change", Case: "T-1"}

// busy are the people of the seed whom the load changes; the others stay as they
// are.
const busy = 40

// load works with a register as staff do, until ctx ends: it reads, searches and
// changes telephone numbers. It returns how often.
func load(ctx context.Context, i *installation.Installation, s access.Session, people []population.Person, seed uint64) (acts int, err error) {
	r := rand.New(rand.NewPCG(seed, 2))
	for ctx.Err() == nil {
		n := r.IntN(len(people))
		who := gate.Who{Ref: people[n].Ref}
		switch r.IntN(4) {
		case 0:
			who.Ref = people[n%busy].Ref
			_, err = i.Gate.Change(context.Background(), s, gate.ChangeRequest{Who: who, Why: why,
				Values: map[field.Field]string{field.Phone: fmt.Sprintf("080-%04d-%04d", 1+r.IntN(9000), r.IntN(10000))}})
			if errors.Is(err, register.ErrConflict) { // another goroutine's change came first
				err = nil
			}
		case 1:
			var found []gate.Candidate
			found, err = i.Gate.Search(context.Background(), s, gate.SearchRequest{Why: why, By: value.KindNameBirth, First: people[n].Name, Second: people[n].Birth})
			if err == nil && len(found) == 0 {
				err = fmt.Errorf("person %d isn't found by name and birth", n)
			}
		default:
			var a gate.Answer
			a, err = i.Gate.Read(context.Background(), s, gate.ReadRequest{Who: who, Why: why, Fields: field.SetOf(field.Name, field.Number)})
			if err == nil && (a.Values[field.Number] != people[n].Number || a.Values[field.Name] == "") {
				err = fmt.Errorf("person %d reads otherwise", n)
			}
		}
		if err != nil {
			return acts, fmt.Errorf("act %d: %w", acts, err)
		}
		acts++
	}
	return acts, nil
}

// under runs f with some loads beside it.
func under(i *installation.Installation, s access.Session, people []population.Person, f func() error) (acts int, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var mu sync.Mutex
	for n := range 3 {
		wg.Go(func() {
			did, failed := load(ctx, i, s, people, uint64(n))
			mu.Lock()
			defer mu.Unlock()
			acts, err = acts+did, errors.Join(err, failed)
		})
	}
	failed := f()
	cancel()
	wg.Wait()
	return acts, errors.Join(err, failed)
}

// finish waits until a rotation is over.
func finish(ctx context.Context, i *installation.Installation, id int64) (rotation.Rotation, error) {
	for {
		at, err := i.Rotator.Show(ctx, id)
		if err == nil && at.Failure != "" {
			err = errors.New(at.Failure)
		}
		if err != nil || at.Finished {
			return at, err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// imported waits until the imports under way are over.
func imported(ctx context.Context, i *installation.Installation) error {
	for {
		var left int64
		var failure string
		if err := i.DB.QueryRow(ctx, "SELECT count(*), coalesce(max(failure), '') FROM register_import WHERE finished_us = 0", nil, &left, &failure); err != nil {
			return err
		}
		if left == 0 || failure != "" {
			if failure != "" {
				return errors.New(failure)
			}
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// seed and first are the people whom the register holds before.
const seed, first = 31, 1100

// child opens what is there, begins what arg names (a kind of rotation and a file
// to import), and works under load until both are over.
func child(ctx context.Context, dir, arg string) error {
	var kind, file string
	if arg == "root" {
		return changeRoots(ctx, dir)
	}
	if _, err := fmt.Sscan(arg, &kind, &file); err != nil && arg != "" {
		return err
	}
	i, err := insttest.OpenDir(ctx, dir)
	if err != nil {
		return err
	}
	return errors.Join(work(ctx, i, kind, file), i.Close())
}

func work(ctx context.Context, i *installation.Installation, kind, file string) error {
	if err := i.StartJobs(ctx); err != nil {
		return err
	}
	s, err := session(ctx, i)
	if err != nil {
		return err
	}
	if kind != "" {
		if _, err := i.StartImport(ctx, file, rowfile.Options{}); err != nil {
			return err
		}
		if _, err := i.StartRotation(ctx, kind, ""); err != nil {
			return err
		}
	}
	insttest.Begun()
	_, err = under(i, s, insttest.People(seed, first), func() error {
		var id int64
		if err := i.DB.QueryRow(ctx, "SELECT max(rotation_id) FROM keyring_rotation", nil, &id); err != nil {
			return err
		}
		_, err := finish(ctx, i, id)
		return errors.Join(err, imported(ctx, i))
	})
	return err
}

func session(ctx context.Context, i *installation.Installation) (access.Session, error) {
	_, serr := i.Access.AddStaff(ctx, "s-9", "caseworker", "o-1")
	_, derr := i.Access.AddDevice(ctx, "d-9", "o-1")
	for _, err := range []error{serr, derr} {
		if err != nil && !errors.Is(err, access.ErrExists) {
			return access.Session{}, err
		}
	}
	_, token, err := i.Access.OpenSession(ctx, "s-9", "d-9", time.Hour)
	if err != nil {
		return access.Session{}, err
	}
	return i.Access.AtSocket(token)
}
