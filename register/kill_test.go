package register_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"azekura/internal/insttest"
	"azekura/register"

	"github.com/google/go-cmp/cmp"
)

// killRows are two chunks and a half.
const killRows = 20_000

// mixed is a file of people, some of whom have former names, with bad rows among
// them: a number of 14 digits, and a ref and a number that were there before.
func mixed(t *testing.T, n int64) []byte {
	lines := bytes.SplitAfter(insttest.NDJSON(t, 7, n), []byte("\n"))
	for at := 50; at < len(lines)-1; at += 997 {
		bad := bytes.Replace(lines[at], []byte(`"number":"`), []byte(`"number":"1234`), 1)
		lines = slices.Insert(lines, at, bad, lines[at-1])
	}
	return bytes.Join(lines, nil)
}

// TestKilled kills an import at random moments, again and again, and holds what
// comes of it against one that ran through.
func TestKilled(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		whole := insttest.New(t, engine)
		file := insttest.File(t, mixed(t, killRows))
		_, took := insttest.InChild(t, whole, file, 0)
		want, first := state(t, whole, file)
		r := insttest.Random(t)
		for kills := 0; kills < insttest.Soak(3, 30); {
			dir := insttest.New(t, engine)
			for killed := true; killed; {
				after := time.Duration(1 + r.Int64N(int64(took)))
				if killed, _ = insttest.InChild(t, dir, file, after); killed {
					kills++
				}
			}
			got, again := state(t, dir, file)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("the register isn't that of an import without kills; %d differences", bytes.Count([]byte(diff), []byte("\n")))
			}
			if diff := cmp.Diff(first, again); diff != "" {
				t.Fatalf("the import (-without kills +with):\n%s", diff)
			}
		}
	})
}

// outcome is what an import says of itself.
type outcome struct {
	Rows, Created, Updated, Unchanged, Rejected int64
	Rejects                                     []register.Reject
}

// state opens the register, checks its set events and returns what is to be
// compared.
func state(t *testing.T, dir, file string) (insttest.State, outcome) {
	t.Helper()
	i := insttest.Open(t, dir)
	checkSets(t, i)
	at, err := insttest.TryImport(t.Context(), i, file, register.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if at.Rejected == 0 || at.Created == 0 || !at.Finished {
		t.Fatalf("%+v", at)
	}
	rejects, err := i.Register.Rejects(t.Context(), at.ID, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	got := insttest.Look(t, i, insttest.Caseworker(t, i))
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	return got, outcome{at.Rows, at.Created, at.Updated, at.Unchanged, at.Rejected, rejects}
}
