package value

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"azekura/register/field"
)

// reasons is the closed list, read from the source so that it can't lag behind.
var reasons = func() map[Reason]bool {
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		panic(err)
	}
	list := map[Reason]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			panic(err)
		}
		list[Reason(text)] = true
		return true
	})
	return list
}()

func TestReasons(t *testing.T) {
	if len(reasons) < 30 {
		t.Fatalf("only %d reasons found", len(reasons))
	}
	for r := range reasons {
		if r == "" || strings.HasSuffix(string(r), ".") && r != NotHolder || strings.ContainsAny(string(r), "%\n") {
			t.Errorf("reason %q isn't in the house's style", r)
		}
	}
}

// parsers are all that turns text into values.
var parsers = func() map[string]func(string) (string, error) {
	all := map[string]func(string) (string, error){
		"old number":  func(s string) (string, error) { v, err := ParseOldSchemeNumber(s); return v.Text(), err },
		"postal code": func(s string) (string, error) { v, err := ParsePostalCode(s); return v.Text(), err },
		"award kind":  func(s string) (string, error) { v, err := ParseAward(s, "1"); return v.Kind, err },
		"holder":      Holder,
	}
	for _, f := range field.All() {
		all[f.String()] = func(s string) (string, error) { return ParseField(f, s, now) }
	}
	return all
}()

type failer interface {
	Fatalf(string, ...any)
	Helper()
}

// checkParsers holds every parser to what the package promises, for any text.
func checkParsers(t failer, s string) {
	t.Helper()
	for name, parse := range parsers {
		got, err := parse(s)
		if err != nil {
			if r, ok := err.(Reason); !ok || !reasons[r] {
				t.Fatalf("%s: an error that isn't of the closed list", name)
			}
			if got != "" {
				t.Fatalf("%s: refused, and yet a value", name)
			}
			continue
		}
		if got == "" && name != "award kind" {
			t.Fatalf("%s: %q is accepted as nothing", name, s)
		}
		if again, err := parse(got); got != "" && (again != got || err != nil) {
			t.Fatalf("%s: %q is stored as %q, which would be stored as %q (%v)", name, s, got, again, err)
		}
		if strings.ContainsAny(got, "\x00\r\n\x1f") || strings.ToValidUTF8(got, "") != got {
			t.Fatalf("%s: %q is stored with a control character", name, s)
		}
		if name != "phone" && name != "address" && got != "" && strings.ContainsRune("=+-@", rune(got[0])) {
			t.Fatalf("%s: %q would be run by a spreadsheet", name, s)
		}
	}
	for _, f := range field.All() {
		var r Record
		if canonical, err := ParseField(f, s, now); err == nil {
			if err := r.Set(f, canonical); err != nil || r.Get(f) != canonical {
				t.Fatalf("%s: %q is stored as %q, which Set refuses: %v", f, s, canonical, err)
			}
			Mask(f, canonical)
		}
		if err := r.Set(f, s); err == nil && r.Get(f) != s {
			t.Fatalf("%s: Set changes %q", f, s)
		}
	}
}

// likely draws texts that look like what stands in a register's columns.
func likely() *rapid.Generator[string] {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"山田", "太郎", "髙", "ﾔﾏﾀﾞ", "やまだ", "ー", "-", "－", " ", "\u3000", "昭和", "S", "元", "年", "月", "日", "4", "12",
			"1950", "25", ".", "/", "\t", "@", "example.jp", "〒", "100-0005", "東京都", "=", "+", "+81", "0", "1234567890", "1234-567890", "記号",
			"0001", "001", "\x00", "\n", "\uFFFD", "\uE000", "\U000E0100", "TARO", "ﾞ", "゛", "\u3099", "男", "(", ")"}),
		rapid.StringMatching(`[0-9]{1,14}`), rapid.StringN(0, 4, -1),
	)
	return rapid.Map(rapid.SliceOfN(piece, 0, 9), func(p []string) string { return strings.Join(p, "") })
}

func TestParsersHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkParsers(t, likely().Draw(t, "text")) })
}

// An error never holds what it is about. Texts that happen to be words of a
// reason can't be drawn: the letters are kanji and digits.
func TestErrorsHoldNoValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[0-9山田太郎高橋=+]{4,40}`).Draw(t, "secret")
		for name, parse := range parsers {
			if _, err := parse(secret); err != nil && strings.Contains(err.Error(), secret) {
				t.Fatalf("%s: the error holds the value", name)
			}
		}
		raw := Raw{}
		for c := range raw {
			raw[c] = secret
		}
		_, _, problems := Parse(raw, now)
		for _, p := range problems {
			if strings.Contains(string(p.Reason), secret) || !slices.Contains(columnNames[:], p.Column) {
				t.Fatalf("column %s: the problem holds the value", p.Column)
			}
		}
	})
}

// Every day from Meiji on is read alike in all forms that can write it.
func TestBirthForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := time.Date(1868, 10, 23, 0, 0, 0, 0, time.UTC)
		day := first.AddDate(0, 0, rapid.IntRange(0, int(now.Sub(first).Hours()/24)).Draw(t, "days"))
		want := day.Format("2006-01-02")
		d := date{int16(day.Year()), int8(day.Month()), int8(day.Day())}
		texts := []string{want, day.Format("20060102"), day.Format("2006/1/2"), day.Format("2006年1月2日")}
		for _, e := range eras {
			if d.before(e.first) || e.last.before(d) {
				continue
			}
			y := day.Year() - int(e.first.year) + 1
			two := strconv.Itoa(y/10) + strconv.Itoa(y%10)
			for _, name := range e.names {
				texts = append(texts, name+strconv.Itoa(y)+day.Format("年1月2日"), name+two+day.Format("0102"), name+two+day.Format(".01.02"))
			}
			texts = append(texts, string(e.code)+"-"+two+day.Format("0102"), string(e.code)+two+day.Format("0102"))
		}
		for _, s := range texts {
			if b, err := ParseBirth(s, now); err != nil || b.Format() != want {
				t.Fatalf("%s is read as %s (%v), want %s", s, b.Format(), err, want)
			}
		}
	})
}

// A record and a search for it meet, however the search is written.
func TestFormsMeet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := likely().Draw(t, "name")
		raw := full()
		raw[ColName], raw[ColKana] = name, name
		r, _, _ := Parse(raw, now)
		for _, f := range IndexForms(&r) {
			if f.Kind != KindNameBirth && f.Kind != KindKanaBirth {
				continue
			}
			q, err := QueryForm(f.Kind, name, raw[ColBirth], now)
			if err != nil || q != f {
				t.Fatalf("%s: %q isn't found (%v)", f.Kind, name, err)
			}
		}
	})
}

func FuzzParsers(f *testing.F) {
	for _, s := range []string{"", "1234-567890", "12345678901234", "昭和25年4月12日", "5-250412", "〒100-0005 東京都", "=1+1", "山田\u202e", "ﾔﾏﾀﾞ ﾀﾛｳ",
		"0001\t001\t1\t1\tｱ", "+81 (0)3-1234-5678", "a@example.jp", "\xff\xfe", "・", "\u3099"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkParsers(t, s) })
}

func FuzzParseRow(f *testing.F) {
	f.Add("P1,1234567890,山田,ヤマダ,YAMADA,1950-04-12,M,1000005,東京都,0312345678,a@b.jp,0001,001,1,1,ｱ,old-age-basic,1")
	f.Add(",,,,,,,,,,,,,,,,,")
	f.Fuzz(func(t *testing.T, s string) {
		var raw Raw
		copy(raw[:], strings.Split(s, ","))
		r, award, problems := Parse(raw, now)
		for _, p := range problems {
			if !reasons[p.Reason] || !slices.Contains(columnNames[:], p.Column) {
				t.Fatal("a problem that isn't of the closed lists")
			}
		}
		if award.AnnualYen < 0 || award.AnnualYen > maxYen || award.AnnualYen > 0 && award.Kind == "" {
			t.Fatal("an award out of bounds")
		}
		IndexForms(&r)
	})
}

func BenchmarkParse(b *testing.B) {
	plain := full()
	plain[ColNumber], plain[ColBirth], plain[ColSex] = "1234567890", "1950-04-12", "M"
	for name, raw := range map[string]Raw{"plain": plain, "messy": full()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, problems := Parse(raw, now); problems != nil {
					b.Fatal(problems)
				}
			}
		})
	}
}

func BenchmarkIndexForms(b *testing.B) {
	r, _, _ := Parse(full(), now)
	b.ReportAllocs()
	for b.Loop() {
		IndexForms(&r)
	}
}
