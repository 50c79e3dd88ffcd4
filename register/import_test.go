package register_test

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/population"
	"azekura/register"
	"azekura/register/field"
	"azekura/register/value"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/japanese"
)

// asStored is what the register must tell of the people.
func asStored(t *testing.T, people []population.Person) map[string]insttest.Person {
	t.Helper()
	want := map[string]insttest.Person{}
	for n := range people {
		p := &people[n]
		raw := value.Raw{p.Ref, p.Number, p.Name, p.Kana, p.Romaji, p.Birth, p.Sex, p.PostalCode, p.Address, p.Phone, p.Email,
			p.BankCode, p.BranchCode, p.AccountType, p.AccountNumber, p.AccountHolder, p.AwardKind, ""}
		if p.AwardKind != "" {
			raw[value.ColAwardAnnualYen] = strconv.FormatInt(p.AwardAnnualYen, 10)
		}
		record, _, problems := value.Parse(raw, time.Now())
		if len(problems) > 0 {
			t.Fatalf("person %d: %v", n, problems)
		}
		values := map[field.Field]string{}
		for _, f := range record.Fields().Fields() {
			values[f] = record.Get(f)
		}
		want[p.Ref] = insttest.Person{Versions: 1 + int64(len(p.Former)), Values: values}
	}
	return want
}

// sameValues compares people, but for the number of their versions.
func sameValues(t *testing.T, want, got map[string]insttest.Person) {
	t.Helper()
	if len(want) != len(got) {
		t.Errorf("%d people, not %d", len(got), len(want))
	}
	for ref, w := range want {
		if !maps.Equal(w.Values, got[ref].Values) {
			t.Errorf("ref %s: fields %v, want %v, or they have other values", ref,
				slices.Sorted(maps.Keys(got[ref].Values)), slices.Sorted(maps.Keys(w.Values)))
		}
	}
}

func TestImport(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		people := insttest.People(3, 500)
		content := insttest.NDJSON(t, 3, 500)
		at := insttest.Import(t, i, content)
		if at.Created != 500 || at.Rows != 500 || at.Rejected != 0 || at.Done != at.Bytes || !at.Finished {
			t.Fatalf("%+v", at)
		}
		checkSets(t, i)
		s := insttest.Caseworker(t, i)
		first := insttest.Look(t, i, s)
		sameValues(t, asStored(t, people), first.People)

		events := i.Log.Committed()
		if again := insttest.Import(t, i, content); again.Name != at.Name || again.Created != 500 {
			t.Errorf("the same file: %+v", again)
		}
		at = insttest.Import(t, i, append(content, '\n'))
		if at.Unchanged != 500 || at.Created+at.Updated+at.Rejected != 0 {
			t.Errorf("the same rows in another file: %+v", at)
		}
		if n := i.Log.Committed(); n != events {
			t.Errorf("nothing changed, and %d events say what", n-events)
		}
		second := insttest.Look(t, i, s)
		first.Rows["register_import"]++
		if diff := cmp.Diff(first.Rows, second.Rows); diff != "" {
			t.Errorf("rows (-first +second):\n%s", diff)
		}
		sameValues(t, first.People, second.People)
		if n := insttest.Count(t, i, "register_unchanged"); n != 0 {
			t.Errorf("%d rows are left of what the import noted for itself", n)
		}
	})
}

// TestChangedFile imports people, and then what became of them.
func TestChangedFile(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		before := []line{person(1), person(2), person(3), person(4)}
		insttest.Import(t, i, csvOf(before...))
		after := []line{person(1), person(2), person(3).with("phone", ""), person(4).with("award_kind", "").with("award_annual_yen", "")}
		after[1]["name"], after[1]["address"] = "新しい　名", "大阪府大阪市北区梅田1-1"
		if at := insttest.Import(t, i, csvOf(after...)); at.Unchanged != 1 || at.Updated != 3 {
			t.Fatalf("%+v", at)
		}
		checkSets(t, i)
		s := insttest.Caseworker(t, i)
		read := func(n int, version int64) gate.Answer {
			a, err := i.Gate.Read(t.Context(), s, gate.ReadRequest{Who: gate.Who{Ref: person(n)["ref"]}, Why: insttest.Why,
				Fields: field.SetOf(field.All()...), Version: version})
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		if a := read(1, 0); a.Version != 1 {
			t.Errorf("an unchanged row made version %d", a.Version)
		}
		if a := read(2, 0); a.Version != 2 || a.Values[field.Name] != "新しい　名" {
			t.Errorf("version %d isn't the new one", a.Version)
		}
		if a := read(2, 1); a.Values[field.Name] != before[1]["name"] || a.Values[field.Address] != "1000005\t"+before[1]["address"] {
			t.Error("the old version isn't what it was")
		}
		if a := read(3, 0); a.Values[field.Phone] != "" {
			t.Error("a telephone that the file no longer has is still there")
		}
		if a := read(3, 1); a.Values[field.Phone] == "" {
			t.Error("the old version lost its telephone")
		}
		// A file without the column says nothing about telephones.
		narrow := csvColumns([]string{"ref", "number", "name", "birth"}, person(1).with("name", "別の　名"))
		if at := insttest.Import(t, i, narrow); at.Updated != 1 {
			t.Fatalf("%+v", at)
		}
		if a := read(1, 0); a.Values[field.Phone] == "" || a.Values[field.Name] != "別の　名" {
			t.Error("a column that isn't there took its field away, or the name didn't change")
		}
	})
}

// TestAwardStays: the award of somebody with former names must survive an update.
func TestAwardStays(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		person := func(yen, former string) []byte {
			return []byte(`{"ref":"A-1","number":"1234567890","name":"今","birth":"1950-04-12","award_kind":"old-age-basic","award_annual_yen":` + yen +
				`,"former":[` + former + `]}` + "\n")
		}
		insttest.Import(t, i, person("700000", `{"name":"昔"}`))
		insttest.Import(t, i, person("800000", `{"name":"昔"}`))
		insttest.Import(t, i, person("900000", `{"name":"大昔"},{"name":"昔"}`))
		rows, err := i.DB.Query(t.Context(), "SELECT fields FROM register_version ORDER BY version")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var got []bool
		for rows.Next() {
			var set int64
			if err := rows.Scan(&set); err != nil {
				t.Fatal(err)
			}
			got = append(got, field.Set(set).Has(field.Award))
		}
		// 昔 with the award; 今; the same with another award; 大昔, new; the last.
		if want := []bool{true, false, true, false, true}; !slices.Equal(got, want) {
			t.Errorf("versions with an award: %v, not %v", got, want)
		}
	})
}

func TestFormerNamesFind(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		people := insttest.People(3, 500)
		insttest.Import(t, i, insttest.NDJSON(t, 3, 500))
		found := 0
		for n := range people {
			p := &people[n]
			for _, f := range p.Former {
				if f.Name != "" {
					find(t, i, value.KindNameBirth, f.Name, p.Birth)
					find(t, i, value.KindKanaBirth, f.Kana, p.Birth)
					found++
				}
				if f.PostalCode != "" {
					find(t, i, value.KindPostalBirth, f.PostalCode, p.Birth)
					found++
				}
			}
		}
		if found < 50 {
			t.Errorf("only %d former names and addresses were tried", found)
		}
	})
}

func find(t *testing.T, i *installation.Installation, by value.Kind, first, second string) {
	t.Helper()
	form, err := value.QueryForm(by, first, second, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := i.Register.Find(t.Context(), form, 20); err != nil || len(ids) == 0 {
		t.Errorf("nobody is found by %s: %v", by, err)
	}
}

// TestEncodings imports the same people from each encoding.
func TestEncodings(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		lines := bytes.SplitAfter(insttest.CSV(t, 5, 300), []byte("\n"))
		encoder := japanese.ShiftJIS.NewEncoder()
		plain, cp932 := []byte(nil), []byte(nil)
		for _, l := range lines {
			if encoded, err := encoder.Bytes(l); err == nil { // not all kanji are in it
				plain, cp932 = append(plain, l...), append(cp932, encoded...)
			}
		}
		var want map[string]insttest.Person
		for n, content := range [][]byte{plain, append([]byte("\xEF\xBB\xBF"), plain...), cp932, bytes.ReplaceAll(cp932, []byte("\n"), []byte("\r\n"))} {
			i := insttest.Open(t, insttest.New(t, engine))
			if at := insttest.Import(t, i, content); at.Rejected != 0 || at.Created < 250 {
				t.Fatalf("%+v", at)
			}
			got := insttest.Look(t, i, insttest.Caseworker(t, i)).People
			if n == 0 {
				want = got
			}
			sameValues(t, want, got)
		}
	})
}

// TestDryRun: a dry run says what the import will do, and does nothing.
func TestDryRun(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		insttest.Import(t, i, csvOf(person(1), person(2)))
		content := insttest.NDJSON(t, 7, 8100)
		// In the second chunk: two people who are there, one changed; a number that
		// another row of the file has, whose ref is then still free; a second ref.
		content = append(content, jsonOf(person(1), person(2).with("name", "別の　名"), person(3).with("number", insttest.People(7, 1)[0].Number),
			person(3), person(3).with("name", "三度目"))...)
		path := insttest.File(t, content)
		rows := insttest.Look(t, i, insttest.Caseworker(t, i)).Rows
		events := i.Log.Committed()
		dry, err := i.DryRun(t.Context(), path, register.ImportOptions{}.Options, nil)
		if err != nil {
			t.Fatal(err)
		}
		for table, n := range rows {
			if now := insttest.Count(t, i, table); now != n {
				t.Errorf("a dry run left %d rows in %s", now-n, table)
			}
		}
		if n := i.Log.Committed(); n != events {
			t.Errorf("a dry run wrote %d events", n-events)
		}
		real, err := insttest.TryImport(t.Context(), i, path, register.ImportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		tally := func(a register.Import) [5]int64 {
			return [5]int64{a.Rows, a.Created, a.Updated, a.Unchanged, a.Rejected}
		}
		rejects, err := i.Register.Rejects(t.Context(), real.ID, 0, 100)
		if err != nil || !slices.Equal(dry.Rejects, rejects) {
			t.Errorf("dry %v, real %v, %v", dry.Rejects, rejects, err)
		}
		if want := [5]int64{8105, 8101, 1, 1, 2}; tally(dry) != want || tally(real) != want {
			t.Errorf("dry %v, real %v, not %v", tally(dry), tally(real), want)
		}
	})
}
