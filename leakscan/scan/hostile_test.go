package scan_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azekura/internal/insttest"
	"azekura/leakscan/leaktest"
	"azekura/leakscan/scan"
	"azekura/population"

	"github.com/klauspost/compress/zstd"
)

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

func zipped(files map[string][]byte) []byte {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for name, b := range files {
		f, _ := w.Create(name)
		_, _ = f.Write(b)
	}
	_ = w.Close()
	return out.Bytes()
}

func tarred(name string, b []byte) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	_ = w.WriteHeader(&tar.Header{Name: name, Size: int64(len(b)), Mode: 0o600, Typeflag: tar.TypeReg})
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

func zstded(b []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	return w.EncodeAll(b, nil)
}

func ledger(t testing.TB, r *scan.Result) map[string]scan.Entry {
	t.Helper()
	entries := map[string]scan.Entry{}
	if err := r.Ledger(func(e scan.Entry) error {
		entries[e.Path] = e
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return entries
}

// TestContainers: the same rows are found in whatever they are packed in, and the
// evidence says how to get there.
func TestContainers(t *testing.T) {
	x := indexOf(t, 2000)
	raw, truth := leaktest.Leak(leaktest.Style{Format: "csv"}, people(seed, 50), leaktest.Own(50))
	docx := "<w:document><w:body><w:tbl><w:tr><w:tc><w:p><w:r><w:t>" + strings.NewReplacer(",", "</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>",
		"\r\n", "</w:t></w:r></w:p></w:tc></w:tr><w:tr><w:tc><w:p><w:r><w:t>").Replace(string(raw)) + "</w:t></w:r></w:p></w:tc></w:tr></w:tbl></w:body></w:document>"
	for name, c := range map[string]struct {
		content []byte
		path    string
	}{
		"gzip":   {gzipped(raw), "|gzip"},
		"zstd":   {zstded(raw), "|zstd"},
		"zip":    {zipped(map[string][]byte{"a/b.csv": raw}), "|a/b.csv"},
		"tar":    {tarred("c.csv", raw), "|c.csv"},
		"tgz":    {gzipped(tarred("c.csv", raw)), "|gzip|c.csv"},
		"nested": {zipped(map[string][]byte{"x": zipped(map[string][]byte{"y": gzipped(raw)})}), "|x|y|gzip"},
		"docx":   {zipped(map[string][]byte{"word/document.xml": []byte(docx)}), "|word/document.xml"},
	} {
		path := write(t, t.TempDir(), "f.dat", c.content)
		r := run(t, x, scan.Options{Paths: []string{path}})
		if n := r.Summary.People["A"]; n != len(truth) {
			t.Errorf("%s: %d of %d people: %v", name, n, len(truth), r.Summary)
		}
		if err := r.Each(func(l scan.Line) error {
			if got := l.Evidence[0].Path; got != path+c.path {
				t.Errorf("%s: evidence lies in %s", name, strings.TrimPrefix(got, path))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNobody: a corpus without anybody of the register gives no A and no B: random
// numbers, telephone numbers, moments in seconds, and strangers who bear the names
// of the register's people, or their births.
func TestNobody(t *testing.T) {
	n, rows := insttest.Soak(20_000, 1_000_000), insttest.Soak(20_000, 2_000_000)
	x := indexOf(t, n)
	random := insttest.Random(t)
	register, strangers := people(seed, n), population.New(strangerSeed)
	var b bytes.Buffer
	for i := range rows {
		p, q := &register[random.IntN(n)], &register[random.IntN(n)]
		if p.Birth == q.Birth || p.Name == q.Name {
			continue
		}
		var s population.Person
		strangers.Next(&s)
		if s.Phone == "" || i%5 == 0 {
			s.Phone = fmt.Sprintf("090%08d", random.IntN(1e8))
		}
		fmt.Fprintf(&b, "%010d,%s,%s,%s,%s,%d\n", random.Int64N(1e10), p.Name, q.Birth, s.Address, s.Phone, 1_700_000_000+random.IntN(1e7))
	}
	r := run(t, x, scan.Options{Paths: []string{write(t, t.TempDir(), "f", b.Bytes())}})
	if r.Summary.People["A"]+r.Summary.People["B"] != 0 {
		t.Errorf("%v", r.Summary.People)
	}
	t.Logf("%d rows: %v; chance makes %.2f numbers somebody's", rows, r.Summary.People, r.Summary.Expected)
}

// TestHostile: each ends in time, with an entry that says what became of it.
func TestHostile(t *testing.T) {
	x := indexOf(t, 100)
	deep := []byte("end")
	for range 30 {
		deep = gzipped(deep)
	}
	zeros := make([]byte, 64<<20)
	quine := zipped(map[string][]byte{"a": zipped(map[string][]byte{"b": gzipped(zeros)})})
	person := people(seed, 1)[0]
	for name, c := range map[string]struct {
		content []byte
		states  []scan.State // of the file or of what it holds
	}{
		"bomb":                   {gzipped(gzipped(bytes.Repeat(gzipped(zeros), 40))), []scan.State{scan.Failed, scan.Partial, scan.Unsupported}},
		"bomb in zips":           {quine, []scan.State{scan.Unsupported, scan.Failed, scan.Partial}},
		"30 deep":                {deep, []scan.State{scan.Failed}},
		"deep JSON":              {[]byte(strings.Repeat("[", 10_000)), []scan.State{scan.Failed}},
		"deep objects":           {[]byte(strings.Repeat(`{"a":`, 10_000)), []scan.State{scan.Failed}},
		"entities":               {[]byte(`<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "&b;&b;&b;"><!ENTITY b "&a;&a;">]><x>&a;</x>`), []scan.State{scan.Parsed}},
		"traversal":              {tarred("../../../../tmp/azekura-traversal", []byte("x,y\n")), []scan.State{scan.Parsed}},
		"cut gzip":               {gzipped([]byte(strings.Repeat("abc,def\n", 1000)))[:30], []scan.State{scan.Failed}},
		"cut zip":                {zipped(map[string][]byte{"a": []byte("b")})[:40], []scan.State{scan.Failed}},
		"cut tar":                {tarred("a", bytes.Repeat([]byte("a,b\n"), 500))[:700], []scan.State{scan.Partial, scan.Failed}},
		"empty":                  {nil, []scan.State{scan.Parsed}},
		"zeros":                  {make([]byte, 1<<20), []scan.State{scan.Unsupported}},
		"quotes":                 {[]byte("a,\"b\n" + strings.Repeat("c,\"d\n", 100_000)), []scan.State{scan.Parsed}},
		"one long line":          {[]byte(strings.Repeat("x1,", 12<<20) + person.Number), []scan.State{scan.Partial}},
		"bad UTF-8":              {[]byte("山田,1\n\xff\xfe\xfd,2\n" + strings.Repeat("鈴木,3\n", 100)), []scan.State{scan.Partial}},
		"a cut 7z":               {[]byte("7z\xbc\xaf\x27\x1c\x00\x04" + strings.Repeat("\xff", 200)), []scan.State{scan.Failed}},
		"a cut RAR":              {[]byte("Rar!\x1a\x07\x01\x00" + strings.Repeat("\xfe", 200)), []scan.State{scan.Failed}},
		"a cut xz":               {[]byte("\xfd7zXZ\x00\x00\x04" + strings.Repeat("\x11", 200)), []scan.State{scan.Failed}},
		"a cut bzip2":            {[]byte("BZh91AY&SY" + strings.Repeat("\x11", 200)), []scan.State{scan.Failed}},
		"a PDF":                  {[]byte("%PDF-1.7\n"), []scan.State{scan.Failed}},
		"entities in a workbook": {zipped(map[string][]byte{"xl/workbook.xml": []byte(`<!DOCTYPE a [<!ENTITY b "cc"><!ENTITY c "&b;&b;">]><a>&c;</a>`)}), []scan.State{scan.Failed}},
		"a bomb of a sheet": {zipped(map[string][]byte{"xl/workbook.xml": []byte(`<sheets><sheet name="s" r:id="1"/></sheets>`),
			"xl/_rels/workbook.xml.rels": []byte(`<Relationship Id="1" Target="s.xml"/>`), "xl/s.xml": bytes.Repeat([]byte("<row><c><v>1</v></c></row>"), 1<<20)}),
			[]scan.State{scan.Partial, scan.Failed}},
		"unclosed string": {[]byte(`[{"a":"` + strings.Repeat("x", 1<<20)), []scan.State{scan.Failed, scan.Partial}},
		"unclosed INSERT": {[]byte("INSERT INTO x VALUES ('" + strings.Repeat("y", 1<<20)), []scan.State{scan.Failed, scan.Partial}},
	} {
		path := write(t, t.TempDir(), "f", c.content)
		r := run(t, x, scan.Options{Paths: []string{path}, Limits: scan.Limits{Depth: 10, Ratio: 20, Unpack: 16 << 20, Time: time.Minute}})
		said := false
		for _, e := range ledger(t, r) {
			for _, s := range c.states {
				said = said || e.State == s
			}
		}
		if !said {
			t.Errorf("%s: %+v", name, ledger(t, r))
		}
	}
	if _, err := os.Stat(filepath.Join(os.TempDir(), "azekura-traversal")); err == nil {
		t.Error("a member was written where it wanted to be")
	}
}

func TestEncrypted(t *testing.T) {
	raw := zipped(map[string][]byte{"a": []byte("b")})
	for _, at := range []string{"PK\x03\x04", "PK\x01\x02"} {
		i := bytes.Index(raw, []byte(at)) + 6
		if at == "PK\x01\x02" {
			i += 2
		}
		raw[i] |= 1
	}
	path := write(t, t.TempDir(), "f", raw)
	if e := ledger(t, run(t, indexOf(t, 10), scan.Options{Paths: []string{path}}))[path+"|a"]; e.State != scan.Encrypted {
		t.Errorf("%+v", e)
	}
}

// TestGrades: one row each.
func TestGrades(t *testing.T) {
	x := indexOf(t, 3000)
	register := people(seed, 3000)
	unique := map[string]int{}
	for i := range register {
		unique[register[i].Name+register[i].Birth]++
		unique[register[i].Phone]++
	}
	pick := func(from int) population.Person {
		for i := from; ; i++ {
			p := register[i]
			if unique[p.Name+p.Birth] == 1 && p.Address != "" && p.Phone != "" && unique[p.Phone] == 1 && len(p.Former) == 0 && strings.ContainsAny(p.Name, "　 ") {
				return p
			}
		}
	}
	p, q := pick(0), pick(1500)
	for row, want := range map[string]string{
		p.Number + "," + p.Name:                             "A",
		p.Number + ",x," + p.Birth:                          "A",
		p.Name + "," + p.Birth + "," + p.Phone:              "B",
		p.Name + "," + p.Birth:                              "C",
		p.Number + ",nothing else":                          "D",
		p.Number + "," + q.Name + "," + q.Birth:             "conflict conflict",
		p.Number + "," + p.Name + "," + q.Birth:             "A",
		p.Name + "," + q.Birth:                              "",
		p.Number[:9] + "," + p.Name + ",x":                  "",
		"id " + p.Number + "5," + p.Name:                    "",
		p.Phone + "," + p.Name:                              "C",
		p.Name + "," + leaktest.Date("kanji", p.Birth):      "C",
		strings.ReplaceAll(p.Name, "　", "") + "," + p.Birth: "C",
	} {
		r := run(t, x, scan.Options{Paths: []string{write(t, t.TempDir(), "f", []byte(row+"\n"))}})
		var got []string
		if err := r.Each(func(l scan.Line) error {
			got = append(got, l.Grade)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("a row that is %s is graded %q", want, got)
		}
	}
	// A column of numbers alone is beyond chance.
	var b bytes.Buffer
	for i := range 20 {
		fmt.Fprintf(&b, "%d,%s\n", i, register[i].Number)
	}
	if r := run(t, x, scan.Options{Paths: []string{write(t, t.TempDir(), "f", b.Bytes())}}); r.Summary.People["C"] != 20 {
		t.Errorf("a column of numbers: %v", r.Summary.People)
	}
}

// FuzzScan sends anything to every parser.
func FuzzScan(f *testing.F) {
	key := leaktest.Key()
	x := leaktest.Open(f, leaktest.Build(f, seed, 50, key, 1), key)
	for _, style := range styles() {
		raw, _ := leaktest.Leak(style, people(seed, 6), leaktest.Own(6))
		f.Add(raw)
		f.Add(gzipped(raw))
		f.Add(zipped(map[string][]byte{"a": raw}))
	}
	f.Add(tarred("a", []byte("x")))
	f.Add(zstded([]byte("x,y")))
	path := filepath.Join(f.TempDir(), "f")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := scan.Run(t.Context(), x, scan.Options{Paths: []string{path}, Workers: 1, Limits: scan.Limits{Depth: 3, Ratio: 10, Unpack: 1 << 20, Time: time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.WriteFindings(io.Discard); err != nil {
			t.Fatal(err)
		}
		if e := ledger(t, r)[path]; e.State == "" {
			t.Fatal("a file without an entry")
		}
	})
}
