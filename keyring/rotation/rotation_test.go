package rotation_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/keyring"
	"azekura/keyring/rotation"
	"azekura/register/rowfile"
	"azekura/register/value"
)

func who(ref string) gate.Who { return gate.Who{Ref: ref} }

// TestUnderLoad changes each key while people are read, searched, changed and
// imported.
func TestUnderLoad(t *testing.T) {
	for _, kind := range []string{rotation.Data, rotation.Index} {
		t.Run(kind, func(t *testing.T) {
			insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
				r := furnish(t, i)
				if opened, all := r.oldKeys(t); opened != all || all != first-1 {
					t.Fatalf("the key that is there opens %d of %d data keys", opened, all)
				}
				if found, all := r.oldTokens(t); found != all || all < 5*first {
					t.Fatalf("%d of %d forms are found under the key that is there", found, all)
				}
				if err := i.StartJobs(t.Context()); err != nil {
					t.Fatal(err)
				}
				s := insttest.Caseworker(t, i)
				const arrived = 900
				file := insttest.File(t, arrivals(t, arrived))
				acts, err := under(i, s, insttest.People(seed, first-1), func() error {
					if _, err := i.StartImport(t.Context(), file, rowfile.Options{}); err != nil {
						return err
					}
					at, err := i.StartRotation(t.Context(), kind, "")
					if err != nil {
						return err
					}
					_, err = finish(t.Context(), i, at.ID)
					return errors.Join(err, imported(t.Context(), i))
				})
				if err != nil || acts == 0 {
					t.Fatalf("%d acts: %v", acts, err)
				}
				t.Logf("%d acts meanwhile", acts)
				r.check(t, kind, arrived)
				told(t, i, "rotate-"+kind)
			})
		})
	}
}

// arrivals is a file of people who are in the register already, unchanged, and
// then n others.
func arrivals(t *testing.T, n int64) []byte {
	t.Helper()
	lines := bytes.SplitAfter(insttest.NDJSON(t, seed, first+n), []byte("\n"))
	return bytes.Join(slices.Concat(lines[:first/3], lines[first:]), nil)
}

// told checks that the rotation's events are in the log, in order.
func told(t *testing.T, i *installation.Installation, purpose string) {
	t.Helper()
	var outcomes []string
	for _, e := range insttest.Events(t, i) {
		if e.Action == auditlog.System && e.Purpose == purpose {
			outcomes = append(outcomes, e.Outcome)
		}
	}
	want := map[string][]string{"rotate-data": {"begun", "ok"}, "rotate-index": {"begun", "switched", "ok"}}[purpose]
	if !slices.Equal(outcomes, want) {
		t.Errorf("the log tells %v of %s", outcomes, purpose)
	}
}

// TestKilled kills the process at work on a rotation and an import, under load,
// again and again.
func TestKilled(t *testing.T) {
	for _, kind := range []string{rotation.Data, rotation.Index} {
		t.Run(kind, func(t *testing.T) {
			insttest.Each(t, func(t *testing.T, engine string) {
				rnd := insttest.Random(t)
				for kills := 0; kills < insttest.Soak(2, 30); {
					r := furnish(t, insttest.Open(t, insttest.New(t, engine)))
					if err := r.Close(); err != nil {
						t.Fatal(err)
					}
					const arrived = 900
					arg := kind + " " + insttest.File(t, arrivals(t, arrived))
					for killed := true; killed; {
						after := time.Duration(1 + rnd.Int64N(int64(600*time.Millisecond)))
						if killed, _ = insttest.InChild(t, r.Dir, arg, after); killed {
							kills++
						}
						arg = ""
					}
					again := r.reopen(t)
					again.check(t, kind, arrived)
					told(t, again.Installation, "rotate-"+kind)
					if err := again.Close(); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}

// TestOneAtATime: a second rotation of another kind is refused, one of the same
// kind is the one that is there, and none can be begun of what isn't a key.
func TestOneAtATime(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		furnish(t, i)
		at, err := i.Rotator.Start(t.Context(), rotation.Data)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := i.Rotator.Start(t.Context(), rotation.Data); err != nil || again.ID != at.ID {
			t.Errorf("%+v, %v", again, err)
		}
		if _, err := i.Rotator.Start(t.Context(), rotation.Index); !errors.Is(err, rotation.ErrBusy) {
			t.Errorf("a second rotation: %v", err)
		}
		if _, err := i.Rotator.ChangeRoot(t.Context(), rotation.RootOptions{Passphrase: []byte("another raft of logs"), NoRecovery: true}); !errors.Is(err, rotation.ErrBusy) {
			t.Errorf("another root key meanwhile: %v", err)
		}
		if _, err := i.Rotator.Start(t.Context(), "members"); !errors.Is(err, rotation.ErrInvalid) {
			t.Errorf("another domain: %v", err)
		}
		keys, err := i.Rotator.Keys(t.Context())
		if err != nil || keys.Rotation == nil {
			t.Fatalf("%+v, %v", keys, err)
		}
		var uses []string
		for _, k := range keys.Keys {
			if k.Domain == rotation.Data {
				uses = append(uses, k.Use)
			}
		}
		if !slices.Equal(uses, []string{"leaving", "in use"}) {
			t.Errorf("%v", uses)
		}
		if err := i.Rotator.Run(t.Context(), at.ID); err != nil {
			t.Fatal(err)
		}
		if err := i.Rotator.Run(t.Context(), at.ID); err != nil {
			t.Errorf("a rotation that is over, run again: %v", err)
		}
	})
}

// TestAgainAndAgain changes each key several times: the tables of the index take
// turns.
func TestAgainAndAgain(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		r := furnish(t, i)
		for range 2 {
			for _, kind := range []string{rotation.Index, rotation.Data} {
				at, err := i.Rotator.Start(t.Context(), kind)
				if err == nil {
					err = i.Rotator.Run(t.Context(), at.ID)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			now := insttest.Look(t, i, insttest.Caseworker(t, i))
			r.checkFound(t, insttest.People(seed, first-1), now)
		}
		if state := i.Ring.State(); state != (keyring.State{Data: 3, Index: 3}) {
			t.Errorf("%+v", state)
		}
	})
}

// TestShreddedStaysShredded: whoever is shredded while a rotation is at work isn't
// brought back by it.
func TestShreddedStaysShredded(t *testing.T) {
	for _, kind := range []string{rotation.Data, rotation.Index} {
		t.Run(kind, func(t *testing.T) {
			insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
				r := furnish(t, i)
				s := insttest.Caseworker(t, i)
				at, err := i.Rotator.Start(t.Context(), kind)
				if err != nil {
					t.Fatal(err)
				}
				done := make(chan error, 1)
				go func() { done <- i.Rotator.Run(t.Context(), at.ID) }()
				people := insttest.People(seed, first-1)
				for _, p := range people[first/2:] {
					if _, err := i.Gate.Shred(t.Context(), s, who(p.Ref), why); err != nil {
						t.Fatal(err)
					}
					if len(done) > 0 {
						break
					}
				}
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				now := insttest.Look(t, i, s)
				t.Logf("%d people were shredded meanwhile", first-1-len(now.People))
				if len(now.People) == first-1 {
					t.Fatal("nobody was shredded")
				}
				for _, p := range people {
					_, there := now.People[p.Ref]
					for _, w := range waysTo(&p) {
						// A name, or a telephone, may be somebody else's as well.
						alone := w.kind == value.KindRef || w.kind == value.KindNumber
						if n := r.count(t, w); n == 0 && there || n > 0 && !there && alone {
							t.Fatalf("found by %s: %d, in the register: %v", w.kind, n, there)
						}
					}
				}
			})
		})
	}
}
