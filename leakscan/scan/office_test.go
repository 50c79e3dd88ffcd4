package scan_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"azekura/internal/insttest"
	"azekura/leakscan/leaktest"
	"azekura/leakscan/scan"

	_ "modernc.org/sqlite" // what writes the databases
)

// sqliteFile writes a database by the engine itself.
func sqliteFile(t testing.TB, setup string, rows int, statements ...string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "people.db")
	d, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	d.SetMaxOpenConns(1)
	for _, s := range append(strings.Split(setup, ";"), statements...) {
		if _, err := d.Exec(s); err != nil {
			t.Fatal(s, err)
		}
	}
	if _, err := d.Exec("BEGIN"); err != nil {
		t.Fatal(err)
	}
	for _, p := range insttest.People(seed, rows) {
		if _, err := d.Exec("INSERT INTO people VALUES (?, ?, ?, ?)", p.Number, p.Name, strings.Repeat("長い文", len(p.Name)*40), p.Birth); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Exec("COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

var sqliteSetups = map[string]string{
	"rowid":          "PRAGMA page_size=512; CREATE TABLE people (a TEXT, b TEXT, c TEXT, d TEXT)",
	"without rowid":  "CREATE TABLE people (a TEXT PRIMARY KEY, b TEXT, c TEXT, d TEXT) WITHOUT ROWID",
	"utf-16":         "PRAGMA encoding='UTF-16le'; CREATE TABLE people (a TEXT, b TEXT, c TEXT, d TEXT)",
	"large pages":    "PRAGMA page_size=65536; PRAGMA encoding='UTF-16be'; CREATE TABLE people (a TEXT, b TEXT, c TEXT, d TEXT)",
	"key is the row": "CREATE TABLE people (a INTEGER PRIMARY KEY, b TEXT, c TEXT, d TEXT)",
}

// TestSQLite: tables of every kind give their rows, long ones too, and what the file
// says is to be run isn't.
func TestSQLite(t *testing.T) {
	const n = 400
	x := indexOf(t, 2000)
	for name, setup := range sqliteSetups {
		raw := sqliteFile(t, setup, n, "CREATE VIEW v AS SELECT zeroblob(1000000000)", "CREATE INDEX i ON people (b)")
		path := write(t, t.TempDir(), "f.dat", raw)
		r := run(t, x, scan.Options{Paths: []string{path}})
		want := n
		if name == "key is the row" {
			for _, p := range insttest.People(seed, n) {
				if p.Number[0] == '0' {
					want-- // its zero is lost: no digit is put back
				}
			}
		}
		if got := r.Summary.People["A"]; got != want {
			t.Errorf("%s: %d of %d people: %v", name, got, want, r.Summary.People)
		}
		e := ledger(t, r)
		if e[path].State != scan.Parsed || e[path].Format != "sqlite" || e[path+"|people"].Records != n || e[path+"|people"].State != scan.Parsed {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// xlsFile writes a workbook by xlwt: numbers as text, or as numbers with zeros in
// front, births as dates.
func xlsFile(t testing.TB, rows int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "people.xls")
	list, err := json.Marshal(insttest.People(seed, rows))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/usr/bin/python3", "-c", `
import sys, json, datetime, xlwt
book = xlwt.Workbook(encoding="utf-8")
zeros, date = xlwt.easyxf(num_format_str="0000000000"), xlwt.easyxf(num_format_str="yyyy/m/d")
for name in ("文字", "数"):
    sheet = book.add_sheet(name)
    for i, p in enumerate(json.load(open(sys.argv[2])) ):
        p = {k.lower(): v for k, v in p.items()}
        if name == "数":
            sheet.write(i, 0, int(p["number"]), zeros)
            y, m, d = map(int, p["birth"].split("-"))
            if y > 1900: sheet.write(i, 2, datetime.date(y, m, d), date)
        else:
            sheet.write(i, 0, p["number"])
            sheet.write(i, 2, p["birth"])
        sheet.write(i, 1, p["name"])
        sheet.write(i, 3, p["name"] + " " + "注記" * 50 + str(i))
book.save(sys.argv[1])`, path, write(t, t.TempDir(), "people.json", list))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("xlwt, of the package python3-xlwt (make setup): %v: %s", err, out)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestXLS: an old workbook's cells are what they show, and its strings go on from
// record to record.
func TestXLS(t *testing.T) {
	const n = 300
	x := indexOf(t, 2000)
	path := write(t, t.TempDir(), "f.dat", xlsFile(t, n))
	r := run(t, x, scan.Options{Paths: []string{path}})
	e := ledger(t, r)
	if e[path].State != scan.Parsed || e[path].Format != "xls" || e[path+"|文字"].Records != n || e[path+"|数"].Records != n {
		t.Errorf("%+v", e)
	}
	if r.Summary.People["A"] != n {
		t.Errorf("%v", r.Summary.People)
	}
	in := map[string]int{}
	if err := r.Each(func(l scan.Line) error {
		for _, place := range l.Evidence {
			if slices.Contains(l.Fields, "birth") && place.Grade == "A" {
				in[strings.TrimPrefix(place.Path, path)]++
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if in["|文字"] != n || in["|数"] < n*9/10 {
		t.Errorf("with births: %v", in)
	}
}

// TestBrokenOffice: cut short, and with bytes that lie, both end, and what was read
// stays; nothing is "parsed" that was cut.
func TestBrokenOffice(t *testing.T) {
	x := indexOf(t, 2000)
	random := insttest.Random(t)
	for name, raw := range map[string][]byte{"sqlite": sqliteFile(t, sqliteSetups["rowid"], 60), "xls": xlsFile(t, 60)} {
		path := filepath.Join(t.TempDir(), "f.dat")
		for n := range insttest.Soak(60, 5000) {
			b := bytes.Clone(raw)
			if n%3 == 0 {
				b = b[:len(b)*(n%60)/60]
			} else {
				for range 1 + random.IntN(20) {
					b[8+random.IntN(len(b)-8)] = byte(random.IntN(256))
				}
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			r := run(t, x, scan.Options{Paths: []string{path}})
			found := ledger(t, r)
			if len(found) == 0 {
				t.Fatalf("%s: no entry", name)
			}
			if n%3 == 0 && len(b) > 0 && len(b) < len(raw)*9/10 {
				whole := true
				for _, e := range found {
					whole = whole && e.State == scan.Parsed
				}
				if whole {
					t.Errorf("%s cut at %d of %d is parsed", name, len(b), len(raw))
				}
			}
		}
	}
}

// fuzzFile scans whatever bytes as a file.
func fuzzFile(f *testing.F, seeds ...[]byte) {
	for _, s := range seeds {
		f.Add(s)
	}
	key := leaktest.Key()
	x := leaktest.Open(f, leaktest.Build(f, seed, 100, key, 1), key)
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := write(t, t.TempDir(), "f", raw)
		if r := run(t, x, scan.Options{Paths: []string{path}, Workers: 1}); len(ledger(t, r)) == 0 {
			t.Error("no entry")
		}
	})
}

func FuzzSQLite(f *testing.F) {
	fuzzFile(f, sqliteFile(f, sqliteSetups["rowid"], 5), sqliteFile(f, sqliteSetups["without rowid"], 5), sqliteFile(f, sqliteSetups["utf-16"], 5))
}

func FuzzXLS(f *testing.F) { fuzzFile(f, xlsFile(f, 5)) }
