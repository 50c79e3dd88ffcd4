package scan_test

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"azekura/internal/insttest"
	"azekura/leakscan"
	"azekura/leakscan/leaktest"
	"azekura/leakscan/scan"
	"azekura/population"
	"azekura/register/field"
)

const seed, strangerSeed = 11, 12

func indexOf(t testing.TB, n int) *leakscan.Index {
	key := leaktest.Key()
	return leaktest.Open(t, leaktest.Build(t, seed, n, key, 2), key)
}

func people(seed uint64, n int) []population.Person { return insttest.People(seed, n) }

func run(t testing.TB, x *leakscan.Index, o scan.Options) *scan.Result {
	t.Helper()
	r, err := scan.Run(t.Context(), x, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func write(t testing.TB, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// hit is what a scan said of one row.
type hit struct {
	person string
	fields map[string]bool
	grade  string
}

func hitsByRow(t testing.TB, r *scan.Result) map[string][]hit {
	t.Helper()
	rows := map[string][]hit{}
	places := 0
	err := r.Each(func(l scan.Line) error {
		fields := map[string]bool{}
		for _, f := range l.Fields {
			fields[f] = true
		}
		places += l.Places
		for _, e := range l.Evidence {
			var row, col int64
			if _, err := fmt.Sscanf(e.Place, "R%dC%d", &row, &col); err != nil {
				return err
			}
			at := fmt.Sprintf("R%d", row)
			rows[at] = append(rows[at], hit{l.Participant.String(), fields, e.Grade})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// tally counts a style's truth against a scan.
type tally struct{ sure, sureRight, rows, found, fields, fieldsFound, wrongFields int }

func (a *tally) add(b tally) {
	a.sure += b.sure
	a.sureRight += b.sureRight
	a.rows += b.rows
	a.found += b.found
	a.fields += b.fields
	a.fieldsFound += b.fieldsFound
	a.wrongFields += b.wrongFields
}

// tells says whether a row of these fields can tell whose it is: a birth alone, left
// of a person whose kana the register doesn't hold, is nobody's.
func tells(f field.Set) bool {
	return f.Has(field.Number) || f.Has(field.Birth) && (f.Has(field.Name) || f.Has(field.Kana))
}

func measure(t testing.TB, r *scan.Result, truth []leaktest.Truth) (n tally) {
	hits := hitsByRow(t, r)
	for _, row := range truth {
		own := ""
		counts := row.Person >= 0 && tells(row.Fields)
		if row.Person >= 0 {
			own = leaktest.ID(row.Person).String()
			if counts {
				n.rows++
				n.fields += row.Fields.Len()
			}
		}
		found := false
		for _, h := range hits[fmt.Sprintf("R%d", row.Row)] {
			sure := h.grade == "A" || h.grade == "B"
			if sure {
				n.sure++
				if h.person == own {
					n.sureRight++
				}
			}
			if h.person != own || !counts || h.grade == "conflict" {
				continue
			}
			found = true
			for _, f := range row.Fields.Fields() {
				if h.fields[f.String()] {
					n.fieldsFound++
				}
			}
			for name := range h.fields {
				if f, err := field.Parse(name); err != nil || !row.Fields.Has(f) {
					n.wrongFields++
				}
			}
		}
		if found {
			n.found++
		}
	}
	return n
}

// lower is the 95 % lower bound of k of n (Wilson).
func lower(k, n int) float64 {
	if n == 0 {
		return 0
	}
	const z = 1.645
	p, m := float64(k)/float64(n), float64(n)
	return (p + z*z/(2*m) - z*math.Sqrt(p*(1-p)/m+z*z/(4*m*m))) / (1 + z*z/m)
}

func styles() map[string]leaktest.Style {
	base := leaktest.Style{Format: "csv", Encoding: "utf-8", Date: "iso"}
	all := map[string]leaktest.Style{"base": base}
	add := func(name string, change func(*leaktest.Style)) {
		s := base
		change(&s)
		all[name] = s
	}
	for _, f := range []string{"tsv", "quoted", "ndjson", "json", "mysql", "postgresql", "html", "text", "xlsx"} {
		add("format "+f, func(s *leaktest.Style) { s.Format = f })
	}
	for _, e := range []string{"bom", "cp932", "euc-jp", "iso-2022-jp", "utf-16le", "utf-16be"} {
		add("encoding "+e, func(s *leaktest.Style) { s.Encoding = e })
	}
	for _, d := range []string{"slash", "digits", "kanji", "letter", "two"} {
		add("date "+d, func(s *leaktest.Style) { s.Date = d })
		add("no number, date "+d, func(s *leaktest.Style) {
			s.Date, s.Columns = d, []field.Field{field.Name, field.Birth, field.Address}
		})
	}
	for _, n := range []string{"split", "spaced", "variant"} {
		add("name "+n, func(s *leaktest.Style) { s.Name = n })
		add("no number, name "+n, func(s *leaktest.Style) { s.Name, s.Columns = n, []field.Field{field.Name, field.Birth, field.Phone} })
	}
	for _, n := range []string{"hyphen", "wide"} {
		add("number "+n, func(s *leaktest.Style) { s.Number = n })
	}
	add("half kana and birth", func(s *leaktest.Style) {
		s.Kana, s.Encoding, s.Columns = "half", "cp932", []field.Field{field.Kana, field.Birth, field.Account}
	})
	for _, f := range []string{"fixed", "fixed by characters"} {
		add("format "+f, func(s *leaktest.Style) { s.Format, s.Date = f, "digits" })
		for _, d := range []string{"iso", "slash", "digits", "kanji", "letter"} {
			add("format "+f+", no number, date "+d, func(s *leaktest.Style) {
				s.Format, s.Date, s.Columns = f, d, []field.Field{field.Birth, field.Name, field.Address}
			})
		}
		add("format "+f+", digits side by side", func(s *leaktest.Style) {
			s.Format, s.Date, s.Columns = f, "digits", []field.Field{field.Number, field.Birth, field.Ref, field.Name, field.Kana}
		})
	}
	add("format fixed, encoding cp932", func(s *leaktest.Style) { s.Format, s.Encoding, s.Date = "fixed", "cp932", "digits" })
	add("format fixed, half kana", func(s *leaktest.Style) { s.Format, s.Encoding, s.Kana, s.Date = "fixed", "cp932", "half", "digits" })
	add("only numbers", func(s *leaktest.Style) { s.Columns = []field.Field{field.Number, field.Email} })
	return all
}

// TestTruth: precision of the sure grades, and recall over all but conflicts, on
// files whose rows hold a number or a name with a birth.
func TestTruth(t *testing.T) {
	n, rows := insttest.Soak(20_000, 200_000), insttest.Soak(600, 20_000)
	x := indexOf(t, n)
	register, strangers := people(seed, n), people(strangerSeed, 2000)
	random := insttest.Random(t)
	var total tally
	all := styles()
	for _, name := range slices.Sorted(maps.Keys(all)) { // in one order: a seed that failed must fail again
		style := all[name]
		list, own := leaktest.Mixed(random, register, strangers, rows)
		raw, truth := leaktest.Leak(style, list, own)
		got := measure(t, run(t, x, scan.Options{Paths: []string{write(t, t.TempDir(), "leak", raw)}}), truth)
		if got.rows == 0 || float64(got.found) < 0.99*float64(got.rows) || got.sure != got.sureRight {
			t.Errorf("%s: %+v", name, got)
		}
		t.Logf("%-28s rows %5d found %.4f, sure %5d right %.4f, fields found %.4f wrong %d", name, got.rows, float64(got.found)/float64(max(got.rows, 1)),
			got.sure, float64(got.sureRight)/float64(max(got.sure, 1)), float64(got.fieldsFound)/float64(max(got.fields, 1)), got.wrongFields)
		total.add(got)
	}
	t.Logf("precision of A and B %d of %d (95 %% at least %.5f); recall %d of %d (95 %% at least %.5f); fields %.4f",
		total.sureRight, total.sure, lower(total.sureRight, total.sure), total.found, total.rows, lower(total.found, total.rows),
		float64(total.fieldsFound)/float64(total.fields))
	if recall := float64(total.found) / float64(total.rows); recall < 0.995 {
		t.Errorf("recall %.4f", recall)
	}
}

// TestLongLine: a dump in one line of several megabytes is read as the dump that it
// is, in an encoding whose characters a block's end must not cut.
func TestLongLine(t *testing.T) {
	x := indexOf(t, 20_000)
	register := people(seed, 20_000)
	for _, style := range []leaktest.Style{{Format: "mysql"}, {Format: "mysql", Encoding: "cp932"}, {Format: "html", Encoding: "euc-jp"}} {
		raw, truth := leaktest.Leak(style, register, leaktest.Own(len(register)))
		path := write(t, t.TempDir(), "leak", raw)
		r := run(t, x, scan.Options{Paths: []string{path}})
		if got := measure(t, r, truth); got.found != got.rows || got.sure != got.sureRight || got.rows < 19_000 {
			t.Errorf("%s in %s: %+v", style.Format, style.Encoding, got)
		}
		if e := ledger(t, r)[path]; e.State != scan.Parsed || e.Records < int64(len(truth)) {
			t.Errorf("%s in %s: %+v", style.Format, style.Encoding, e)
		}
	}
}

// TestWorkersDontShow: the result is the same bytes for any number of workers, and
// for a scan that goes on from its journal.
func TestWorkersDontShow(t *testing.T) {
	x := indexOf(t, 5000)
	register := people(seed, 5000)
	random := insttest.Random(t)
	dir := t.TempDir()
	for name, style := range styles() {
		list, own := leaktest.Mixed(random, register, register[:10], 90)
		raw, _ := leaktest.Leak(style, list, own)
		write(t, dir, name, bytes.Repeat(raw, 1+random.IntN(insttest.Soak(8, 300))))
	}
	var want []byte
	journal := filepath.Join(t.TempDir(), "journal")
	for _, o := range []scan.Options{{Workers: 1}, {Workers: 2}, {Workers: 7, Journal: journal}, {Workers: 2, Journal: journal}} {
		o.Paths = []string{dir}
		r := run(t, x, o)
		var b bytes.Buffer
		if err := r.WriteFindings(&b); err != nil {
			t.Fatal(err)
		}
		if err := r.WriteLedger(&b); err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = b.Bytes()
		}
		if !bytes.Equal(want, b.Bytes()) {
			t.Errorf("with %d workers the result is another", o.Workers)
		}
		if o.Journal != "" { // torn, as a kill leaves it
			whole, err := os.ReadFile(journal)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(journal, whole[:len(whole)*2/3], 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(want) == 0 {
		t.Error("nothing was found")
	}
}
