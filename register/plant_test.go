package register_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"azekura/gate/canary"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/register"
	"azekura/register/rowfile"

	"github.com/google/uuid"
)

// plant imports content with canaries beside its people.
func plant(t *testing.T, i *installation.Installation, content []byte, density float64) register.Import {
	t.Helper()
	at, err := insttest.TryImport(t.Context(), i, insttest.File(t, content), register.ImportOptions{Density: density})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// sound holds the register against the log and its index against the values.
func sound(t *testing.T, i *installation.Installation) {
	t.Helper()
	if v, err := i.Gate.VerifyRegister(t.Context(), func(int64) {}); err != nil || !v.OK {
		t.Fatalf("%d problems: %v %v", len(v.Problems), v.Problems, err)
	}
}

// planted are the canaries in the register, and how many others there are.
func planted(t *testing.T, i *installation.Installation) (birds []uuid.UUID, others int) {
	t.Helper()
	marks := canary.New(i.Ring)
	err := i.Register.EachID(t.Context(), func(ids []uuid.UUID, _ []int64) error {
		for _, id := range ids {
			if marks.Is(id) {
				birds = append(birds, id)
			} else {
				others++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return birds, others
}

// sparse is a file in which every tenth ref is nobody's.
func sparse(t *testing.T, seed uint64, n int) []byte {
	t.Helper()
	lines := bytes.SplitAfter(insttest.CSV(t, seed, int64(n)), []byte("\n"))
	var b bytes.Buffer
	for at, line := range lines {
		if at%10 != 7 {
			b.Write(line)
		}
	}
	return b.Bytes()
}

func TestPlant(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		at := plant(t, i, sparse(t, 3, 1000), 0.1)
		birds, others := planted(t, i)
		if at.Created != 900 || at.Rejected != 0 || others != 900 || len(birds) < 40 || len(birds) > 160 {
			t.Fatalf("%d made of 900 rows, %d there, %d canaries", at.Created, others, len(birds))
		}
		again := plant(t, i, sparse(t, 3, 1000), 0.1)
		if more, _ := planted(t, i); again.Created != 900 || len(more) != len(birds) {
			t.Fatalf("the same file again: %d canaries, were %d", len(more), len(birds))
		}
		// Most rows are known now, and canaries are planted beside new people alone.
		plant(t, i, append(sparse(t, 3, 1000), '\n'), 0.1)
		if more, others := planted(t, i); len(more) != len(birds) || others != 900 {
			t.Fatalf("a file of known people planted %d canaries", len(more)-len(birds))
		}
		sound(t, i)
	})
}

// TestPlantedGivesWay imports those who were left out: their refs may be canaries'.
func TestPlantedGivesWay(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		plant(t, i, sparse(t, 3, 1000), 0.1)
		before, _ := planted(t, i)
		at := plant(t, i, insttest.CSV(t, 3, 1000), 0)
		birds, others := planted(t, i)
		if at.Rejected != 0 || at.Created != 100 || others != 1000 {
			t.Fatalf("%d made, %d rejected, %d there", at.Created, at.Rejected, others)
		}
		shredded := 0
		for _, id := range birds { // the sealed versions of the shredded stay
			if i.Register.Shredded(id) {
				shredded++
			}
		}
		if len(birds) != len(before) || shredded == 0 {
			t.Fatalf("%d of %d canaries gave way", shredded, len(before))
		}
		sound(t, i)
	})
}

// density is what is planted in processes that are killed.
const density = 0.05

// TestPlantKilled kills an import with canaries at random moments, again and again:
// those whom a chunk planted stay, and none is planted twice.
func TestPlantKilled(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		content := sparse(t, 3, killRows)
		file, rows := insttest.File(t, content), float64(bytes.Count(content, []byte("\n"))-1)
		r := insttest.Random(t)
		_, took := insttest.InChild(t, insttest.New(t, engine), planting+file, 0)
		for kills := 0; kills < insttest.Soak(1, 30); {
			dir := insttest.New(t, engine)
			had := map[uuid.UUID]bool{}
			for killed := true; killed; {
				if killed, _ = insttest.InChild(t, dir, planting+file, time.Duration(1+r.Int64N(int64(took)))); killed {
					kills++
				}
				i, err := insttest.OpenDir(t.Context(), dir)
				if err != nil {
					t.Fatal(err)
				}
				birds, others := planted(t, i)
				now := map[uuid.UUID]bool{}
				for _, id := range birds {
					now[id] = true
				}
				for id := range had {
					if !now[id] {
						t.Fatal("a canary that was planted is gone")
					}
				}
				had = now
				if want := density * float64(others); math.Abs(float64(len(birds))-want) > 6*math.Sqrt(want)+1 {
					t.Fatalf("%d canaries among %d people", len(birds), others)
				}
				if !killed {
					if float64(others) != rows {
						t.Fatalf("%d people of %g rows", others, rows)
					}
					sound(t, i)
				}
				if err := i.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// TestPlantDense finds place behind a file without gaps.
func TestPlantDense(t *testing.T) {
	i := insttest.Open(t, insttest.New(t, "sqlite"))
	at := plant(t, i, insttest.NDJSON(t, 5, 600), 0.1)
	birds, others := planted(t, i)
	if at.Created != 600 || others != 600 || len(birds) < 20 {
		t.Fatalf("%d made, %d there, %d canaries", at.Created, others, len(birds))
	}
	for _, d := range []float64{-0.1, 0.3} {
		if _, err := insttest.TryImport(t.Context(), i, insttest.File(t, insttest.CSV(t, 6, 10)), register.ImportOptions{Density: d}); err == nil {
			t.Fatalf("density %g", d)
		}
	}
}

// TestPlantGoesOn: an import that stopped with canaries goes on with as many by a plain
// import of the file, and neither it nor a plain one goes on with another density.
func TestPlantGoesOn(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		stopped := func(path string, density float64) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			at, err := insttest.TryImport(ctx, i, path, register.ImportOptions{Density: density, Progress: func(register.Import) { cancel() }})
			if err == nil || at.Finished {
				t.Fatal("the import wasn't stopped")
			}
		}
		const rows = 10_000 // a chunk is of 8,000
		file := insttest.File(t, insttest.CSV(t, 9, rows))
		stopped(file, 0.02)
		before, first := planted(t, i)
		if len(before) == 0 || first == 0 || first == rows {
			t.Fatalf("%d canaries among %d", len(before), first)
		}
		if _, err := insttest.TryImport(t.Context(), i, file, register.ImportOptions{Density: 0.01}); !errors.Is(err, register.ErrOtherDensity) {
			t.Fatalf("with another density: %v", err)
		}
		if _, err := i.StartPlanting(t.Context(), file, rowfile.Options{}, 0.01); !errors.Is(err, register.ErrOtherDensity) {
			t.Fatalf("asked for with another density: %v", err)
		}
		at, err := insttest.TryImport(t.Context(), i, file, register.ImportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		birds, others := planted(t, i)
		if want := 0.02 * float64(others-first); !at.Finished || others != rows || math.Abs(float64(len(birds)-len(before))-want) > 6*math.Sqrt(want) {
			t.Fatalf("%d canaries more among %d people", len(birds)-len(before), others-first)
		}
		plain := insttest.File(t, append(insttest.CSV(t, 9, rows), '\n'))
		stopped(plain, 0)
		if _, err := insttest.TryImport(t.Context(), i, plain, register.ImportOptions{Density: 0.02}); !errors.Is(err, register.ErrOtherDensity) {
			t.Fatalf("a plain import with a density: %v", err)
		}
	})
}
