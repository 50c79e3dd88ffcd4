package scan_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"azekura/leakscan"
	"azekura/leakscan/leaktest"
	"azekura/leakscan/scan"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// tight are limits under which nothing that a fuzzer makes takes long.
var tight = scan.Limits{Depth: 3, Ratio: 10, Unpack: 1 << 20, Time: time.Minute}

// lines are a scan's findings without the file's sum, and its ledger without it.
func lines(t testing.TB, x *leakscan.Index, raw []byte, passwords ...string) (found []scan.Line, entries []scan.Entry) {
	t.Helper()
	path := write(t, t.TempDir(), "f", raw)
	r := run(t, x, scan.Options{Paths: []string{path}, Workers: 1, Passwords: passwords, Limits: tight})
	if err := r.Each(func(l scan.Line) error {
		for i := range l.Evidence {
			l.Evidence[i].File, l.Evidence[i].Path = "", strings.TrimPrefix(l.Evidence[i].Path, path)
		}
		found = append(found, l)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := r.Ledger(func(e scan.Entry) error {
		if e.State == "" || e.Path == "" {
			t.Errorf("an entry of the ledger says %+v", e)
		}
		e.Path, e.SHA256, e.To = strings.TrimPrefix(e.Path, path), "", 0
		entries = append(entries, e)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(entries) == 0 || len(entries) > 20_000 {
		t.Errorf("%d entries in the ledger", len(entries))
	}
	return found, entries
}

// FuzzWorkbook: whatever a workbook's parts hold, the scan ends with an entry; and what
// it says is the same where no cell and no shared string stands as programs usually
// write it, so that each is read tag by tag.
func FuzzWorkbook(f *testing.F) {
	key := leaktest.Key()
	x := leaktest.Open(f, leaktest.Build(f, seed, 50, key, 1), key)
	p := people(seed, 3)
	shared := `<sst><si><t>` + p[0].Name + `</t></si><si><t>` + p[1].Kana + `</t></si><si><r><t>a</t></r><rPh><t>b</t></rPh></si></sst>`
	styles := `<styleSheet><numFmts><numFmt numFmtId="9" formatCode="0000000000"/></numFmts><cellXfs><xf numFmtId="9"/><xf numFmtId="14"/></cellXfs></styleSheet>`
	f.Add([]byte(shared), []byte(styles), []byte(`<row r="1"><c r="A1" s="0"><v>`+p[0].Number+`</v></c><c r="B1" t="s"><v>0</v></c></row><row><c><v>`+p[1].Number+`</v></c><c t="s"><v>1</v></c></row>`))
	f.Add([]byte(shared), []byte(styles), []byte(`<row><c r="XFD1" s="1"><v>12345.5</v></c><c r="B1" t="s" a="c>d"><v>2</v></c><c t="b"><v></v></c><c r="A2"/></row>`))
	f.Add([]byte(`<sst><si><t>`), []byte(`<xf`), []byte(`<row>`))
	f.Add([]byte(``), []byte(``), []byte(`<row><v><c r="A1"><v></v></c>`+p[0].Number+`</c></row>`))
	f.Add([]byte(`<sst><rPh><si><t>a</t></si></rPh></sst>`), []byte(``), []byte(`<row><rPh><c r="A1"><v>`+p[0].Number+`</v></c></rPh></row>`))
	f.Fuzz(func(t *testing.T, shared, styles, rows []byte) {
		file := func(shared, rows []byte) []byte {
			return zipped(map[string][]byte{
				"xl/workbook.xml":            []byte(`<workbook><sheets><sheet name="s" r:id="rId1"/></sheets></workbook>`),
				"xl/_rels/workbook.xml.rels": []byte(`<Relationships><Relationship Target="worksheets/s.xml" Id="rId1"/></Relationships>`),
				"xl/styles.xml":              styles, "xl/sharedStrings.xml": shared, "xl/worksheets/s.xml": rows,
			})
		}
		found, entries := lines(t, x, file(shared, rows))
		if both := string(shared) + string(rows); len(both) > 50_000 || strings.Contains(both, "<!") {
			return // what stands in a CDATA section isn't a tag
		}
		slowly, slowEntries := lines(t, x, file(bytes.ReplaceAll(shared, []byte("<si>"), []byte("<si >")), bytes.ReplaceAll(rows, []byte("<c "), []byte("<c\t"))))
		if diff := cmp.Diff(slowly, found); diff != "" {
			t.Errorf("tag by tag, and as it is (-tag +is):\n%s", diff)
		}
		if diff := cmp.Diff(slowEntries, entries); diff != "" {
			t.Errorf("the ledger tag by tag, and as it is (-tag +is):\n%s", diff)
		}
	})
}

// FuzzLocked: archives under a password, with whatever bytes changed, end with an entry,
// and hold nobody who isn't in them without the change.
func FuzzLocked(f *testing.F) {
	key := leaktest.Key()
	x := leaktest.Open(f, leaktest.Build(f, seed, 50, key, 1), key)
	raw, _ := leaktest.Leak(leaktest.Style{Format: "csv"}, people(seed, 5), leaktest.Own(5))
	dir := f.TempDir()
	write(f, dir, "list.csv", raw)
	for _, program := range [][]string{{"zip", "-q", "-P", "a", "OUT", "list.csv"}, {"zip", "-q", "-0", "-P", "a", "OUT", "list.csv"},
		{"7z", "a", "-bso0", "-tzip", "-mem=AES256", "-pa", "OUT", "list.csv"}, {"7z", "a", "-bso0", "-tzip", "-mem=AES128", "-mx=0", "-pa", "OUT", "list.csv"}} {
		locked := packed(f, dir, program...)
		if found, _ := lines(f, x, locked, "b", "a"); len(found) != 5 {
			f.Errorf("%v: %d of 5 people", program, len(found))
		}
		f.Add(locked)
	}
	inIt := map[uuid.UUID]bool{}
	for i := range 5 {
		inIt[leaktest.ID(i)] = true
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		found, _ := lines(t, x, raw, "b", "a")
		for _, l := range found {
			if !inIt[l.Participant] {
				t.Errorf("%s is found, who isn't in it", l.Participant)
			}
		}
	})
}
