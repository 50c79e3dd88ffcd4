package register_test

import (
	"context"
	"sync"
	"testing"

	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/register"
	"azekura/register/field"

	"github.com/google/uuid"
)

// TestImportBesideReaders imports while sixteen callers read: neither waits for
// the other for ever, and nobody gets a half.
func TestImportBesideReaders(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		insttest.Import(t, i, insttest.CSV(t, 11, 200))
		s := insttest.Caseworker(t, i)
		ids := idsOf(t, i)
		path := insttest.File(t, insttest.CSV(t, 12, 10_000))
		ctx, done := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		for c := range 16 {
			readers.Go(func() {
				for n := c; ctx.Err() == nil; n++ {
					a, err := i.Gate.Read(t.Context(), s, gate.ReadRequest{Who: gate.Who{Participant: ids[n%len(ids)]}, Why: insttest.Why,
						Fields: field.SetOf(field.Name, field.Number)})
					if err != nil || a.Values[field.Number] == "" {
						t.Errorf("a read beside the import: %v", err)
						return
					}
				}
			})
		}
		at, err := insttest.TryImport(t.Context(), i, path, register.ImportOptions{})
		done()
		readers.Wait()
		if err != nil || at.Created != 9_800 || at.Updated != 200 { // a seed's refs are another's too
			t.Fatalf("%v %+v", err, at)
		}
		checkSets(t, i)
	})
}

func idsOf(t *testing.T, i *installation.Installation) (ids []uuid.UUID) {
	t.Helper()
	err := i.Register.EachID(t.Context(), func(more []uuid.UUID, _ []int64) error {
		ids = append(ids, more...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// TestImportsAtOnce runs imports beside each other: files that share people, and
// one file twice. Nobody may be there twice, and no number be two people's.
func TestImportsAtOnce(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		content := insttest.CSV(t, 13, 8500)
		paths := []string{insttest.File(t, content), insttest.File(t, append(content, '\n')), insttest.File(t, append(content, "\n\n"...)), insttest.File(t, content)}
		errs := make([]error, len(paths))
		var wg sync.WaitGroup
		for n, path := range paths {
			wg.Go(func() { _, errs[n] = insttest.TryImport(t.Context(), i, path, register.ImportOptions{}) })
		}
		wg.Wait()
		// Of the same file's two, one may find the other at work and stop; the
		// import is done all the same.
		if errs[1] != nil || errs[2] != nil || errs[0] != nil && errs[3] != nil {
			t.Fatal(errs)
		}
		if n := len(insttest.Look(t, i, insttest.Caseworker(t, i)).People); n != 8500 {
			t.Errorf("%d people, not 8500", n)
		}
		for _, path := range paths {
			if at, err := insttest.TryImport(t.Context(), i, path, register.ImportOptions{}); err != nil || at.Rejected != 0 || at.Created+at.Unchanged != 8500 {
				t.Errorf("%v %+v", err, at)
			}
		}
		checkSets(t, i)
	})
}

// TestTwiceInOneFile: whatever an earlier row did, a later one with its ref is a
// second one, and a number that a row gave away is taken, in the same chunk and
// in others.
func TestTwiceInOneFile(t *testing.T) {
	for name, between := range map[string]int64{"same chunk": 10, "another chunk": 8100} {
		t.Run(name, func(t *testing.T) {
			insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
				insttest.Import(t, i, csvOf(person(1), person(2)))
				renumbered := person(2).with("number", "9700000002")
				content := joined(jsonOf(person(1), renumbered, person(3)), insttest.NDJSON(t, 14, between),
					jsonOf(person(1).with("name", "別の　名"), renumbered, person(3), person(4).with("number", "9700000002"), person(5).with("number", person(2)["number"])))
				at := insttest.Import(t, i, content)
				if at.Rejected != 5 || at.Created != between+1 || at.Updated != 1 || at.Unchanged != 1 {
					t.Errorf("%+v", at)
				}
				list, err := i.Register.Rejects(t.Context(), at.ID, 0, 10)
				if err != nil || len(list) != 5 {
					t.Fatal(err, list)
				}
				for n, column := range []string{"ref", "ref", "ref", "number", "number"} {
					if list[n].Row != between+4+int64(n) || list[n].Column != column {
						t.Errorf("reject %d: %+v", n, list[n])
					}
				}
			})
		})
	}
}
