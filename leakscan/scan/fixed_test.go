package scan_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"azekura/leakscan/leaktest"
	"azekura/leakscan/scan"
	"azekura/population"
	"azekura/register/field"
)

// layoutOf is what the ledger calls a text, and the people that are found in it.
func layoutOf(t *testing.T, text string) (layout string, found int) {
	t.Helper()
	r := run(t, indexOf(t, 300), scan.Options{Paths: []string{write(t, t.TempDir(), "text", []byte(text))}})
	for _, n := range r.Summary.People {
		found += n
	}
	if err := r.Ledger(func(e scan.Entry) error {
		if layout == "" {
			layout = e.Format
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return layout, found
}

// TestFixed: lines of fixed widths are cut at their columns, also where their first line
// is another, blanks at their ends were taken off, or few are as wide as the rest; and
// what only looks as wide is a text as before.
func TestFixed(t *testing.T) {
	list := slices.DeleteFunc(people(seed, 300), func(p population.Person) bool { return p.Name[0] < 0x80 }) // three words aren't a name in a text
	style := leaktest.Style{Format: "fixed", Date: "digits", Columns: []field.Field{field.Number, field.Birth, field.Name, field.Address}}
	raw, _ := leaktest.Leak(style, list[:60], leaktest.Own(60))
	records := strings.SplitAfter(string(raw), "\r\n")
	var logged, wrapped strings.Builder
	for i := range 60 {
		fmt.Fprintf(&logged, "2026-11-23 10:%02d:%02d GET /people?id=%s&by=pc-%02d 200\n", i%60, (i*7)%60, list[i].Number, i%40)
		wrapped.WriteString(prose(&list[i], i) + "\n")
	}
	trimmed := make([]string, len(records))
	for i, r := range records {
		trimmed[i] = strings.TrimRight(r, " \r\n") + "\n"
	}
	for name, c := range map[string]struct {
		text, layout string
		found        int
	}{
		"all of it":           {string(raw), "fixed width", 60},
		"a heading":           {"加入者の一覧\r\n" + string(raw), "fixed width", 60},
		"a wider line":        {strings.Join(records[:30], "") + records[0][:10] + strings.Repeat("x", 300) + "\r\n" + strings.Join(records[30:], ""), "fixed width", 60},
		"no blanks at ends":   {strings.Join(trimmed, ""), "fixed width", 60},
		"ten of them":         {strings.Join(records[:10], ""), "fixed width", 10},
		"a log":               {logged.String(), "", 60},
		"a text of one width": {wrapped.String(), "text", 60},
	} {
		layout, found := layoutOf(t, c.text)
		if found != c.found || c.layout != "" && layout != c.layout {
			t.Errorf("%s: %d of %d people in a %s", name, found, c.found, layout)
		}
	}
}

// prose is a line of 60 characters with somebody's name and birth in it.
func prose(p *population.Person, i int) string {
	line := strings.Repeat("このたびの件について、", i%2) + "対象者は「" + p.Name + "」、生年月日（" + p.Birth + "）"
	return string([]rune(line + strings.Repeat("である。以下同じ。", 10))[:60])
}

// TestFixedStretches: a large one is cut for several workers as others are.
func TestFixedStretches(t *testing.T) {
	x, dir := indexOf(t, 3000), t.TempDir()
	list := people(seed, 3000)
	raw, _ := leaktest.Leak(leaktest.Style{Format: "fixed", Encoding: "cp932", Date: "digits"}, list, leaktest.Own(len(list)))
	write(t, dir, "fixed", bytes.Repeat(raw, 1+4<<20/len(raw)))
	want := run(t, x, scan.Options{Paths: []string{dir}})
	r, stretches := inPieces(t, x, dir, 1)
	if !bytes.Equal(told(t, r), told(t, want)) || stretches < 3 || want.Summary.People["A"] < 2900 {
		t.Errorf("%d stretches, %v people, in pieces %v", stretches, want.Summary.People, r.Summary.People)
	}
}
