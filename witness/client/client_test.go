package client_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"azekura/access"
	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/register"
	"azekura/register/field"
	"azekura/witness"
	"azekura/witness/client"

	cosign "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// TestQuorum: two of three cosign while one is away, and the file holds what
// x/mod's note takes for cosigned.
func TestQuorum(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		dir := insttest.New(t, engine)
		a, b, c := newCoSigner(t, "a.invalid", dir, false), newCoSigner(t, "b.invalid", dir, false), newCoSigner(t, "c.invalid", dir, false)
		trust(t, dir, client.Defaults(), a.trusted(false), b.trusted(false), c.trusted(false))
		c.stop()
		i := open(t, dir)
		insttest.Import(t, i, insttest.CSV(t, 1, 20))
		s := insttest.Caseworker(t, i)
		for n := range 300 {
			read(t, i, s, n%20)
		}
		cosigned(t, i)
		if st := i.Witnesses.Status(); st.Size != a.head(t).Size || st.Size != b.head(t).Size || st.Lag != 0 || st.Need != 2 {
			t.Errorf("%+v, and the witnesses have %d and %d", st, a.head(t).Size, b.head(t).Size)
		}
		c.start(t)
		eventually(t, "the third is asked again", func() bool {
			read(t, i, s, 0)
			return c.head(t).Size > 0
		})
		cosigned(t, i)
		size, root := i.Signer.Head()
		ok(t, i.Close())

		raw, err := os.ReadFile(filepath.Join(dir, "signer", "cosigned"))
		ok(t, err)
		keys := []note.Verifier{}
		for _, w := range []*coSigner{a, b, c} {
			key, err := cosign.NewVerifierForCosignatureV1(w.trusted(false).Keys[0])
			ok(t, err)
			keys = append(keys, key)
		}
		n, err := note.Open(raw, note.VerifierList(keys...))
		ok(t, err)
		cp, err := witness.ParseCheckpoint(raw)
		ok(t, err)
		if len(n.Sigs) < 2 || cp.Size != size || cp.Root != root {
			t.Errorf("%d cosignatures over %d events of %d", len(n.Sigs), cp.Size, size)
		}
	})
}

// TestLag holds work up by its kind: bulk work first, then single openings, and
// what grants never. It goes on when the witness answers.
func TestLag(t *testing.T) {
	dir := insttest.New(t, "sqlite")
	w := newCoSigner(t, "a.invalid", dir, false)
	w.stop()
	settings := client.Defaults()
	settings.BulkAfter = client.Duration(time.Nanosecond)
	trust(t, dir, settings, w.trusted(false))
	i := open(t, dir)
	s := insttest.Caseworker(t, i)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := insttest.TryImport(ctx, i, insttest.File(t, insttest.CSV(t, 1, 20)), register.ImportOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an import past its bound: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := i.Gate.OpenSet(ctx, s, gate.SetRequest{Why: insttest.Why, Job: "x", Fields: field.SetOf(field.Name)}, insttest.Members(ctx, i, field.SetOf(field.Name)), nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a set past its bound: %v", err)
	}
	w.start(t)
	insttest.Import(t, i, insttest.CSV(t, 1, 20)) // waits until the witness answers
	read(t, i, s, 0)
	w.stop()
	read(t, i, s, 0) // bulk work would wait now, and this doesn't
	ok(t, i.Close())

	settings.ReadAfter = client.Duration(time.Nanosecond)
	trust(t, dir, settings, w.trusted(false))
	i = open(t, dir)
	s = insttest.Caseworker(t, i) // grants go on, and so does the log
	before, _ := i.Signer.Head()
	for _, f := range []func() error{
		func() error { _, err := i.Gate.Read(t.Context(), s, request(0)); return err },
		func() error {
			_, err := i.Gate.Check(t.Context(), s, gate.CheckRequest{Who: request(0).Who, Why: insttest.Why, Field: field.Name, Claim: "x"})
			return err
		},
	} {
		if err := f(); !errors.Is(err, auditlog.ErrUncosigned) {
			t.Errorf("past its bound: %v", err)
		}
	}
	if after, _ := i.Signer.Head(); after != before {
		t.Error("a refusal for want of witnesses was recorded, which makes the lag longer")
	}
	w.start(t)
	eventually(t, "reads go on", func() bool {
		_, err := i.Gate.Read(t.Context(), s, request(0))
		return err == nil
	})
	ok(t, i.Close())
}

// TestLagSurvivesARestart: the wait counts from the event, and not from the start.
func TestLagSurvivesARestart(t *testing.T) {
	dir := insttest.New(t, "sqlite")
	w := newCoSigner(t, "a.invalid", dir, false)
	trust(t, dir, client.Defaults(), w.trusted(false))
	i := open(t, dir)
	cosigned(t, i)
	w.stop()
	insttest.Caseworker(t, i)
	recorded := time.Now()
	ok(t, i.Close())
	time.Sleep(50 * time.Millisecond)
	i = open(t, dir)
	defer i.Close()
	least := time.Since(recorded) // the event is older
	if lag := i.Witnesses.Status().Lag; lag < least {
		t.Errorf("after a restart the lag is %s, and the event is %s old", lag, least)
	}
}

// TestCosignedFileIsChecked: a file that somebody made isn't believed.
func TestCosignedFileIsChecked(t *testing.T) {
	dir := insttest.New(t, "sqlite")
	w := newCoSigner(t, "a.invalid", dir, false)
	w.stop()
	trust(t, dir, client.Defaults(), w.trusted(false))
	signed := open(t, dir)
	ok(t, os.WriteFile(installation.CosignedFile(dir), signed.Log.Checkpoint(), 0o600))
	ok(t, signed.Close())
	i := open(t, dir)
	defer i.Close()
	if st := i.Witnesses.Status(); st.Size != 0 || st.Note != "" || st.Lag == 0 {
		t.Errorf("a head without cosignatures counts: %+v", st)
	}
}

func open(t testing.TB, dir string) *installation.Installation {
	t.Helper()
	i, err := insttest.OpenDir(context.Background(), dir)
	ok(t, err)
	t.Cleanup(func() { i.Close() })
	return i
}

var people = insttest.People(1, 20)

func request(n int) gate.ReadRequest {
	return gate.ReadRequest{Who: gate.Who{Ref: people[n].Ref}, Why: insttest.Why, Fields: field.SetOf(field.Name)}
}

func read(t testing.TB, i *installation.Installation, s access.Session, n int) {
	t.Helper()
	_, err := i.Gate.Read(t.Context(), s, request(n))
	ok(t, err)
}
