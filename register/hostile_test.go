package register_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/population"
	"azekura/register"
	"azekura/register/rowfile"
	"azekura/register/value"

	"github.com/google/go-cmp/cmp"
)

// hostile is a file that an import must not be hurt by.
type hostile struct {
	name    string
	content []byte
	options rowfile.Options
	fails   string   // part of the error, where the whole file is refused
	created int64    // rows that are taken
	rejects []string // row column: reason
}

// one is a case of a single bad column beside a good row.
func one(name string, n int, column, text string, why value.Reason) hostile {
	return hostile{name: name, content: csvOf(person(n), person(n+1).with(column, text)), created: 1,
		rejects: []string{fmt.Sprintf("2 %s: %s", column, why)}}
}

// taken is a case of a column that only looks hostile.
func taken(name string, n int, column, text string) hostile {
	return hostile{name: name, content: csvOf(person(n).with(column, text)), created: 1}
}

func joined(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// row is one CSV row without a header.
func row(l line) []byte { return csvOf(l)[len(csvOf()):] }

func hostileFiles() []hostile {
	columns := population.Columns()
	cp932 := []byte("T-0102,9800000102,\x8e\x8e\x8c\xb1\x89\xd4\x8e\x71\xfb,,,1950-04-12,,,,,,,,,,,,\n")
	many := strings.Repeat(",", 20_000)
	return []hostile{
		{name: "UTF-16", content: []byte("\xFF\xFEr\x00e\x00f\x00"), fails: "UTF-16"},
		{name: "EUC-JP", content: joined(csvOf(), []byte("T-1,9800000001,\xb9\xe2\xb6\xb6\xb2\xd6\xbb\xd2\x8f,,\n")), fails: "neither UTF-8 nor CP932"},
		{name: "a row in CP932", content: joined(csvOf(person(101)), cp932, row(person(103))), options: rowfile.Options{Encoding: rowfile.UTF8}, created: 2,
			rejects: []string{"2 name: " + string(rowfile.BadEncoding)}},
		{name: "quote never closed", content: joined(csvOf(person(111)), []byte(`T-0112,"9800000112,`), row(person(113)), row(person(114))), created: 2,
			rejects: []string{"2 : " + string(rowfile.OpenQuote)}},
		{name: "quote in the middle", content: joined(csvOf(), []byte(`T-0121,9800000121,a"b`+strings.Repeat(",", 15)+"\n"), row(person(122))), created: 1,
			rejects: []string{"1 : " + string(rowfile.StrayQuote)}},
		one("formula", 131, "name", `=HYPERLINK("http://x.invalid")`, value.Formula),
		one("formula in full width", 133, "address", "＝cmd|' /C calc'!A0", value.Formula),
		{name: "ref twice in a chunk", content: csvOf(person(141), person(141).with("number", "9700000000")), created: 1, rejects: []string{"2 ref: an earlier row of this file has the same ref"}},
		{name: "number twice in a chunk", content: csvOf(person(143), person(144).with("number", person(143)["number"])), created: 1,
			rejects: []string{"2 number: another participant has this number"}},
		{name: "number of another file", content: csvOf(person(145).with("number", person(101)["number"])), rejects: []string{"1 number: another participant has this number"}},
		one("fourteen digits", 151, "number", "12345678901234", value.CertificateNumber),
		one("twelve digits", 153, "number", "123456789012", value.TwelveDigits),
		one("eleven digits", 155, "number", "12345678901", value.EmployeesNumber),
		one("an older scheme's", 157, "number", "厚年12-345678", value.SymbolNumber),
		one("too short", 159, "number", "123456789", value.ShortNumber),
		one("zeros", 161, "number", "0000000000", value.ZeroNumber),
		one("no number", 163, "number", "", value.Missing),
		one("30 February", 171, "birth", "1950-02-30", value.NoSuchDay),
		one("29 February 1900", 173, "birth", "1900-02-29", value.NoSuchDay),
		one("month 13", 175, "birth", "1950-13-01", value.NoSuchDay),
		one("to come", 177, "birth", "2999-01-01", value.Future),
		one("day after Showa", 179, "birth", "昭和64年1月8日", value.OutsideEra),
		one("day before Reiwa", 181, "birth", "令和元年4月30日", value.OutsideEra),
		one("no era", 183, "birth", "25-4-12", value.NoEra),
		taken("29 February 1904", 191, "birth", "1904-02-29"),
		taken("last day of Showa", 192, "birth", "昭和64年1月7日"),
		taken("last day of Heisei", 193, "birth", "H31.4.30"),
		taken("Meiji's last day, which is Taisho's first", 194, "birth", "大正元年7月30日"),
		{name: "empty", content: nil, fails: "empty"},
		{name: "only a mark", content: []byte("\xEF\xBB\xBF"), fails: "empty"},
		{name: "header only", content: csvOf()},
		{name: "no header", content: row(person(201)), fails: "the first line must name the columns"},
		{name: "unknown column", content: csvColumns(append(slices.Clone(columns), "my_number"), person(202)), fails: "column 19 of the header"},
		{name: "column twice", content: csvColumns(append(slices.Clone(columns), "name"), person(203)), fails: "twice"},
		{name: "no birth", content: csvColumns([]string{"ref", "number", "name"}, person(204)), fails: "no column birth"},
		one("NUL", 211, "name", "試験\x00花子", rowfile.Control),
		{name: "only NULs", content: make([]byte, 1<<16), fails: "header"},
		{name: "20,001 columns", content: []byte("ref" + many + "\n"), fails: "header"},
		{name: "20,001 values", content: joined(csvOf(person(221)), []byte(many+"\n"), row(person(222))), created: 2,
			rejects: []string{"2 : 20001 columns where the header has 18"}},
		{name: "4,000 former names", content: joined(jsonOf(person(231)), bytes.Replace(jsonOf(person(232)), []byte("}"),
			[]byte(`,"former":[{}`+strings.Repeat(`,{"name":"昔"}`, 3500)+"]}"), 1)), created: 1, rejects: []string{"2 former: " + string(register.TooManyFormer)}},
		{name: "deep JSON", content: joined(jsonOf(person(241)), []byte(`{"ref":`+strings.Repeat("[", 60_000)+"\n")), created: 1,
			rejects: []string{"2 ref: " + string(rowfile.NotString)}},
	}
}

// TestHostileFiles imports each file into one register and looks at what became
// of it: the good rows are there, nothing else changed, and nobody's data is
// told.
func TestHostileFiles(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		s := insttest.Caseworker(t, i)
		insttest.Import(t, i, csvOf(person(1), person(2)))
		for _, h := range hostileFiles() {
			t.Run(h.name, func(t *testing.T) {
				before := insttest.Look(t, i, s)
				at, err := insttest.TryImport(t.Context(), i, insttest.File(t, h.content), register.ImportOptions{Options: h.options})
				h.check(t, i, at, err)
				after := insttest.Look(t, i, s)
				if n := int64(len(after.People) - len(before.People)); n != h.created {
					t.Errorf("%d people came, not %d", n, h.created)
				}
				for ref, p := range before.People {
					if diff := cmp.Diff(p, after.People[ref]); diff != "" {
						t.Errorf("ref %s changed", ref)
					}
				}
			})
		}
		checkSets(t, i)
		tellsNothing(t, i)
	})
}

func (h *hostile) check(t *testing.T, i *installation.Installation, at register.Import, err error) {
	t.Helper()
	if h.fails != "" {
		if err == nil || !strings.Contains(err.Error(), h.fails) {
			t.Fatalf("the error is %v; it should speak of %q", err, h.fails)
		}
		if now, err := i.Register.Import(t.Context(), at.ID); err != nil || now.Finished || !strings.Contains(now.Failure, h.fails) {
			t.Errorf("%v %+v", err, now)
		}
		noTexts(t, err.Error())
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	list, err := i.Register.Rejects(t.Context(), at.ID, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	rows := map[int64]bool{}
	for _, r := range list {
		got = append(got, fmt.Sprintf("%d %s: %s", r.Row, r.Column, r.Reason))
		rows[r.Row] = true
	}
	if diff := cmp.Diff(h.rejects, got); diff != "" {
		t.Errorf("rejects (-want +got):\n%s", diff)
	}
	if at.Created != h.created || at.Rejected != int64(len(rows)) || !at.Finished {
		t.Errorf("%+v", at)
	}
}

// noTexts fails the test if a text holds anything of the made-up rows.
func noTexts(t *testing.T, text string) {
	t.Helper()
	for n := range 250 {
		for _, secret := range person(n).texts() {
			if strings.Contains(text, secret) {
				t.Fatalf("a text tells %d bytes of row %d", len(secret), n)
			}
		}
	}
}

// tellsNothing looks at all that an import writes in the clear.
func tellsNothing(t *testing.T, i *installation.Installation) {
	t.Helper()
	for _, sql := range []string{"SELECT failure FROM register_import", "SELECT column_name || reason FROM register_reject", "SELECT line FROM log_event"} {
		rows, err := i.DB.Query(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for ; rows.Next(); n++ {
			var text []byte
			if err := rows.Scan(&text); err != nil {
				t.Fatal(err)
			}
			noTexts(t, string(text))
		}
		rows.Close()
		if err := rows.Err(); err != nil || n == 0 {
			t.Fatal(sql, n, err)
		}
	}
}

// TestNotAFile: what isn't a file is refused, and not waited for.
func TestNotAFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, fifo, "/dev/null", filepath.Join(dir, "none")} {
		f, _, err := register.OpenFile(path)
		if err == nil {
			t.Errorf("%s was opened", filepath.Base(path))
			f.Close()
		}
	}
}

// TestLongLine imports a file with a line of one gibibyte, which takes no room
// on the disk.
func TestLongLine(t *testing.T) {
	path := insttest.File(t, csvOf(person(1)))
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Seek(0, 2)
	if err == nil {
		err = f.Truncate(size + 1<<30)
	}
	if err == nil {
		_, err = f.Write(joined([]byte("\n"), row(person(2))))
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		h := hostile{created: 2, rejects: []string{"2 : " + string(rowfile.TooLong)}}
		at, err := insttest.TryImport(t.Context(), i, path, register.ImportOptions{})
		h.check(t, i, at, err)
		if n := len(insttest.Look(t, i, insttest.Caseworker(t, i)).People); n != 2 {
			t.Errorf("%d people", n)
		}
	})
}

// TestFileChanges puts other rows, or fewer, into a file under its import.
func TestFileChanges(t *testing.T) {
	old, other := csvOf(person(1), person(2)), csvOf(person(1), person(3))
	for name, c := range map[string]struct {
		before, during func(path string) error
		created        int
	}{
		"before":    {before: func(path string) error { return os.WriteFile(path, other, 0o600) }},
		"cut":       {before: func(path string) error { return os.Truncate(path, 200) }},
		"meanwhile": {during: func(path string) error { return os.WriteFile(path, other, 0o600) }, created: 2},
	} {
		t.Run(name, func(t *testing.T) {
			insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
				path := insttest.File(t, old)
				at, err := changeDuring(t.Context(), i, path, c.before, c.during)
				if err == nil || at.Finished {
					t.Fatalf("%v %+v", err, at)
				}
				noTexts(t, err.Error())
				if n := len(insttest.Look(t, i, insttest.Caseworker(t, i)).People); n != c.created {
					t.Errorf("%d people, not %d", n, c.created)
				}
				// As it is now, it is another file.
				if at = insttest.Import(t, i, other); at.Rejected != 0 || at.Created+at.Unchanged != 2 {
					t.Errorf("%+v", at)
				}
			})
		})
	}
}

func changeDuring(ctx context.Context, i *installation.Installation, path string, before, during func(string) error) (register.Import, error) {
	file, size, err := register.OpenFile(path)
	if err != nil {
		return register.Import{}, err
	}
	defer file.Close()
	at, err := i.Register.FileImport(ctx, file, size)
	if err != nil {
		return at, err
	}
	at, err = i.Register.Import(ctx, at.ID) // as a job finds it
	if before != nil && err == nil {
		err = before(path)
	}
	if err != nil {
		return at, err
	}
	failed := error(nil)
	at, err = i.Register.Run(ctx, at, file, register.ImportOptions{Progress: func(register.Import) {
		if during != nil && failed == nil {
			failed = during(path)
		}
	}})
	return at, errors.Join(err, failed)
}
