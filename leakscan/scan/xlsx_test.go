package scan_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"azekura/leakscan/leaktest"
	"azekura/leakscan/scan"

	"github.com/google/go-cmp/cmp"
)

// TestWorkbookByHand holds what a spreadsheet's own file may hold beside plain cells:
// rich texts with readings, texts in place, formulas' results, dates since 1904,
// cells without places, a sheet that isn't there.
func TestWorkbookByHand(t *testing.T) {
	x := indexOf(t, 2000)
	p := people(seed, 3)
	split := strings.Split(p[0].Name, "　")
	files := map[string][]byte{
		"xl/workbook.xml": []byte(`<?xml version="1.0"?><workbook xmlns:r="r"><workbookPr date1904="1"/><sheets><sheet name="名簿 &amp; 他" sheetId="1" r:id="rId1"/>` +
			`<sheet name="gone" sheetId="2" r:id="rId9"/></sheets></workbook>`),
		"xl/_rels/workbook.xml.rels": []byte(`<Relationships><Relationship Target="worksheets/s.xml" Id="rId1"/></Relationships>`),
		"xl/styles.xml":              []byte(`<styleSheet><cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf numFmtId="0"/><xf numFmtId="57"/></cellXfs></styleSheet>`),
		"xl/sharedStrings.xml": []byte(`<sst><!-- a comment with <si> in it --><si><r><t>` + split[0] + `</t></r><r><t xml:space="preserve">　` + split[1] + `</t></r><rPh sb="0" eb="1"><t>` +
			p[0].Kana + `</t></rPh></si><si><t><![CDATA[` + p[1].Name + `]]></t></si><si/></sst>`),
		"xl/worksheets/s.xml": []byte(`<worksheet><sheetData>` +
			`<row r="3"><c r="B3"><v>` + p[0].Number + `</v></c><c r="D3" t="s"><v>0</v></c></row>` +
			`<row><c><v>` + p[1].Number + `</v></c><c t="s"><v>1</v></c><c s="1"><v>` + fmt.Sprint(days1904(p[1].Birth)) + `</v></c></row>` +
			`<row r="9"><c r="A9" t="inlineStr"><is><t>` + p[2].Number + `</t></is></c><c r="C9" t="str"><f>A1&amp;"&lt;>"</f><v>` + p[2].Name + `</v></c><c t="s"><v>77</v></c></row>` +
			`</sheetData></worksheet>`),
	}
	path := write(t, t.TempDir(), "list.dat", zipped(files))
	r := run(t, x, scan.Options{Paths: []string{path}})
	got := map[string]string{}
	if err := r.Each(func(l scan.Line) error {
		e := l.Evidence[0]
		got[strings.TrimPrefix(e.Path, path)+"!"+e.Place] = l.Grade + " " + strings.Join(l.Fields, ",")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"|名簿 & 他!R3C2": "A number,name,kana",
		"|名簿 & 他!R4C1": "A number,name,birth",
		"|名簿 & 他!R9C1": "A number,name",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	entries := ledger(t, r)
	if e := entries[path+"|gone"]; e.State != scan.Failed {
		t.Errorf("a sheet that isn't there is %q in the ledger", e.State)
	}
	if e := entries[path+"|名簿 & 他"]; e.State != scan.Parsed || e.Records != 3 {
		t.Errorf("the sheet is %q with %d records in the ledger", e.State, e.Records)
	}
}

func days1904(iso string) int {
	day, err := time.Parse(time.DateOnly, iso)
	if err != nil {
		panic(err)
	}
	return int(day.Sub(time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)) / (24 * time.Hour))
}

// FuzzXML: whatever the bytes and however they come, the scanner ends, and gives the
// same as when they come at once, and as when it takes whole elements.
func FuzzXML(f *testing.F) {
	f.Add([]byte(`<a b="c>d">x&amp;y<!-- > --><c/><![CDATA[<]]></a>`))
	f.Add([]byte(`<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`))
	f.Add([]byte("<" + strings.Repeat("a", 70<<10)))
	f.Add([]byte("a<![CDATA"))
	f.Add([]byte(`<a b="1"><v>x&lt;y</v></a><a b="c>d"><v>2</v></a><a b="3" /><a b="4"><v></v></a><a b="5"><v>6<!-- --></v></a><v><a b="7"><v>8</v></a><a b="9><v>1</v></a>"><v>2</v></a>`))
	f.Add([]byte("a<b>after the last tag"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		whole, err := scan.XMLTokens(strings.NewReader(string(raw)), false)
		slowly, slowErr := scan.XMLTokens(iotest.OneByteReader(strings.NewReader(string(raw))), false)
		if len(raw) < 100_000 && (whole != slowly || (err == nil) != (slowErr == nil)) {
			t.Errorf("%q: %q, %v at once; %q, %v byte by byte", raw, whole, err, slowly, slowErr)
		}
		leaves, leavesErr := scan.XMLTokens(strings.NewReader(string(raw)), true)
		if whole != leaves || (err == nil) != (leavesErr == nil) {
			t.Errorf("%q: %q, %v token by token; %q, %v by leaves", raw, whole, err, leaves, leavesErr)
		}
	})
}

func BenchmarkWorkbook(b *testing.B) {
	x := indexOf(b, 100_000)
	raw, _ := leaktest.Leak(leaktest.Style{Format: "xlsx"}, people(seed, 20_000), leaktest.Own(20_000))
	text, _ := leaktest.Leak(leaktest.Style{Format: "csv"}, people(seed, 20_000), leaktest.Own(20_000))
	path := write(b, b.TempDir(), "f.xlsx", raw)
	b.SetBytes(int64(len(text))) // of text
	for b.Loop() {
		run(b, x, scan.Options{Paths: []string{path}, Workers: 1})
	}
}
