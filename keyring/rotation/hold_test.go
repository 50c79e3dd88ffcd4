package rotation_test

import (
	"errors"
	"slices"
	"testing"

	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/keyring"
	"azekura/keyring/rotation"
)

// TestRowForged: who writes the database can't end a rotation by writing into its
// row that it is over, nor begin one; it is put back and done, with an alarm.
func TestRowForged(t *testing.T) {
	for _, c := range []struct{ name, kind, sql string }{
		{"data said to be done", rotation.Data, "UPDATE keyring_rotation SET stage = 'scrubbing'"},
		{"data said to be over", rotation.Data, "UPDATE keyring_rotation SET stage = 'ended', finished_us = 1"},
		{"data the other way round", rotation.Data, "UPDATE keyring_rotation SET from_epoch = 2, to_epoch = 1"},
		{"data's row gone", rotation.Data, "DELETE FROM keyring_rotation"},
		{"index said to be built", rotation.Index, "UPDATE keyring_rotation SET stage = 'emptying'"},
		{"index said to be data", rotation.Index, "UPDATE keyring_rotation SET kind = 'data', stage = 'wrapping'"},
		{"index's row gone", rotation.Index, "DELETE FROM keyring_rotation"},
	} {
		t.Run(c.name, func(t *testing.T) {
			insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
				insttest.Import(t, i, insttest.CSV(t, seed, 20))
				old := &room{Installation: i, old: insttest.Keyring(t, i)}
				at, err := i.Rotator.Start(t.Context(), c.kind)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := i.DB.Exec(t.Context(), c.sql); err != nil {
					t.Fatal(err)
				}
				if err := i.Rotator.Run(t.Context(), at.ID); err != nil {
					t.Fatal(err)
				}
				told(t, i, "rotate-"+c.kind)
				alarmed(t, i, "keyring_rotation")
				want := keyring.State{Data: 2, Index: 1}
				if c.kind == rotation.Index {
					want = keyring.State{Data: 1, Index: 2}
					if n := insttest.Count(t, i, "register_index_1"); n != 0 {
						t.Errorf("%d tokens of the old epoch are left", n)
					}
				} else if opened, all := old.oldKeys(t); opened != 0 || all != 20 {
					t.Errorf("the old data key opens %d of %d data keys", opened, all)
				}
				if state := i.Ring.State(); state != want {
					t.Errorf("%+v", state)
				}
				if now := insttest.Look(t, i, insttest.Caseworker(t, i)); len(now.People) != 20 {
					t.Errorf("%d people are read", len(now.People))
				}
				dir := i.Dir
				if err := i.Close(); err != nil {
					t.Fatal(err)
				}
				if err := insttest.Open(t, dir).Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestRowInvented: a row of a rotation that was never begun isn't worked off.
func TestRowInvented(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		insttest.Import(t, i, insttest.CSV(t, seed, 20))
		if _, err := i.DB.Exec(t.Context(), `INSERT INTO keyring_rotation (rotation_id, kind, from_epoch, to_epoch, stage, done, total, started_us, finished_us, failure, at)
			VALUES (7, 'index', 0, 1, 'emptying', 0, 0, 1, 0, '', $1)`, make([]byte, 16)); err != nil {
			t.Fatal(err)
		}
		if err := i.Rotator.Run(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
		alarmed(t, i, "keyring_rotation")
		at, err := i.Rotator.Start(t.Context(), rotation.Data)
		if err == nil {
			err = i.Rotator.Run(t.Context(), at.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
		if now := insttest.Look(t, i, insttest.Caseworker(t, i)); len(now.People) != 20 {
			t.Errorf("%d people are read", len(now.People))
		}
	})
}

// alarmed checks that one alarm was raised, about a table.
func alarmed(t *testing.T, i *installation.Installation, table string) {
	t.Helper()
	alarms, err := i.Log.Alarms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(alarms) != 1 || alarms[0].Table != table {
		t.Errorf("the alarms are %+v", alarms)
	}
}

// TestKeyPutBack: the data key of who was shredded, put back, isn't carried over to
// the new epoch, and doesn't keep a rotation from its end.
func TestKeyPutBack(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		insttest.Import(t, i, insttest.CSV(t, seed, 20))
		s := insttest.Caseworker(t, i)
		p := insttest.People(seed, 20)[7]
		if _, err := i.DB.Exec(t.Context(), "CREATE TABLE kept AS SELECT * FROM keyring_participant"); err != nil {
			t.Fatal(err)
		}
		gone, err := i.Gate.Shred(t.Context(), s, gate.Who{Ref: p.Ref}, why)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.DB.Exec(t.Context(), "INSERT INTO keyring_participant SELECT * FROM kept WHERE participant_id = $1", gone.Participant[:]); err != nil {
			t.Fatal(err)
		}
		at, err := i.Rotator.Start(t.Context(), rotation.Data)
		if err == nil {
			err = i.Rotator.Run(t.Context(), at.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
		alarmed(t, i, "keyring_participant")
		var epochs []int64
		for _, under := range []int64{1, 2} {
			var n int64
			if err := i.DB.QueryRow(t.Context(), "SELECT count(*) FROM keyring_participant WHERE epoch = $1", []any{under}, &n); err != nil {
				t.Fatal(err)
			}
			epochs = append(epochs, n)
		}
		if !slices.Equal(epochs, []int64{1, 19}) {
			t.Errorf("%v data keys are under the old epoch and the new one", epochs)
		}
		_, err = i.Gate.Read(t.Context(), s, gate.ReadRequest{Who: gate.Who{Participant: gone.Participant}, Why: why})
		if err == nil || errors.Is(err, keyring.ErrEpoch) {
			t.Errorf("who was shredded reads: %v", err)
		}
	})
}
