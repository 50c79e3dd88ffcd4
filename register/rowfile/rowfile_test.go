package rowfile

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"azekura/register/value"
)

// short is a header that is quick to write rows for.
const short = "ref,number,name,birth,address\n"

// rowOf is a row of the short header, as Raw.
func rowOf(cells ...string) (raw value.Raw) {
	for i, c := range []value.Column{value.ColRef, value.ColNumber, value.ColName, value.ColBirth, value.ColAddress} {
		if i < len(cells) {
			raw[c] = cells[i]
		}
	}
	return raw
}

func open(t testing.TB, file string, o Options) *Reader {
	t.Helper()
	r, err := Open(strings.NewReader(file), int64(len(file)), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// rows reads all rows, each with memory of its own.
func rows(t testing.TB, r *Reader) (all []Row) {
	t.Helper()
	var row Row
	for {
		err := r.Next(&row)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		own := row
		own.Bad, own.Former = append([]value.Problem(nil), row.Bad...), append([]value.RawFormer(nil), row.Former...)
		all = append(all, own)
	}
}

// good and bad are rows as the tables below expect them.
func good(cells ...string) Row { return Row{Raw: rowOf(cells...)} }
func bad(column string, why value.Reason) Row {
	return Row{Bad: []value.Problem{{Column: column, Reason: why}}}
}

// checkRows compares what was read, apart from the positions, which must be
// without gap or overlap.
func checkRows(t *testing.T, got, want []Row) {
	t.Helper()
	var plain []Row
	for i, row := range got {
		if row.N != int64(i+1) || row.End <= row.Start || i > 0 && row.Start < got[i-1].End {
			t.Errorf("row %d is number %d, bytes %d to %d", i+1, row.N, row.Start, row.End)
		}
		plain = append(plain, Row{Raw: row.Raw, Former: row.Former, Bad: row.Bad})
	}
	if diff := cmp.Diff(want, plain); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestCSV(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       []Row
	}{
		{"nothing", "", nil},
		{"plain", "1,2,3,4,5\n", []Row{good("1", "2", "3", "4", "5")}},
		{"empty fields", ",,,,\n", []Row{good()}},
		{"no last line end", "1,2,3,4,5", []Row{good("1", "2", "3", "4", "5")}},
		{"crlf", "1,2,3,4,5\r\n6,7,8,9,0\r\n", []Row{good("1", "2", "3", "4", "5"), good("6", "7", "8", "9", "0")}},
		{"cr at the end", "1,2,3,4,5\r", []Row{good("1", "2", "3", "4", "5")}},
		{"empty lines", "\n\r\n1,2,3,4,5\n\n\n6,7,8,9,0\n\n", []Row{good("1", "2", "3", "4", "5"), good("6", "7", "8", "9", "0")}},
		{"quotes", `"1","2","a,b","","say ""hi"""` + "\n", []Row{good("1", "2", "a,b", "", `say "hi"`)}},
		{"quotes crlf", "\"1\",2,3,4,\"5\"\r\n\"6\",7,8,9,0\r\n", []Row{good("1", "2", "3", "4", "5"), good("6", "7", "8", "9", "0")}},
		{"quotes at the end", `1,2,3,4,"5"`, []Row{good("1", "2", "3", "4", "5")}},
		{"line feed in quotes", "1,2,3,4,\"a\nb\"\n6,7,8,9,0\n", []Row{good("1", "2", "3", "4", "a\nb"), good("6", "7", "8", "9", "0")}},
		{"crlf in quotes", "1,2,3,4,\"a\r\nb\"\r\n", []Row{good("1", "2", "3", "4", "a\nb")}},
		{"empty line in quotes", "1,2,3,4,\"a\n\nb\"\n", []Row{good("1", "2", "3", "4", "a\n\nb")}},
		{"spaces kept", " 1 ,\u3000,3,4,5\n", []Row{good(" 1 ", "\u3000", "3", "4", "5")}},
		{"formula is value's business", "=1,2,3,4,5\n", []Row{good("=1", "2", "3", "4", "5")}},

		{"too few", "1,2,3\n6,7,8,9,0\n", []Row{bad("", "3 columns where the header has 5"), good("6", "7", "8", "9", "0")}},
		{"too many", "1,2,3,4,5,6\n6,7,8,9,0\n", []Row{bad("", "6 columns where the header has 5"), good("6", "7", "8", "9", "0")}},
		{"never closed", "1,2,3,4,\"5\n6,7,8,9,0\na,b,c,d,e\n",
			[]Row{bad("", OpenQuote), good("6", "7", "8", "9", "0"), good("a", "b", "c", "d", "e")}},
		{"never closed, then quotes", "1,2,3,4,\"5\n6,7,8,9,\"0\"\na,b,c,d,e\n",
			[]Row{bad("", StrayQuote), good("6", "7", "8", "9", "0"), good("a", "b", "c", "d", "e")}},
		{"never closed, closed by the next", "1,2,3,4,\"5\n6\",7,8,9,0\na,b,c,d,e\n",
			[]Row{bad("", "9 columns where the header has 5"), bad("", StrayQuote), good("a", "b", "c", "d", "e")}},
		{"never closed, a good row after", "1,2,3,4,\"5\n6,7,8,9,\",\"\na,b,c,d,e\n",
			[]Row{bad("", OpenQuote), good("6", "7", "8", "9", ","), good("a", "b", "c", "d", "e")}},
		{"stray quote", "1,2,3\",4,5\n6,7,8,9,0\n", []Row{bad("", StrayQuote), good("6", "7", "8", "9", "0")}},
		{"text after quote", "1,2,\"3\"x,4,5\n6,7,8,9,0\n", []Row{bad("", StrayQuote), good("6", "7", "8", "9", "0")}},
		{"quote alone at the end", "\"", []Row{bad("", OpenQuote)}},
		{"nul", "1,2,a\x00b,4,5\n6,7,8,9,0\n", []Row{bad("name", Control), good("6", "7", "8", "9", "0")}},
		{"tab", "1,2,a\tb,4,5\n", []Row{bad("name", Control)}},
		{"delete", "1,2,3,4,\x7f\n", []Row{bad("address", Control)}},
		{"c1", "1,2,3,4,\u0085\n", []Row{bad("address", Control)}},
		{"cr inside", "1,2,a\rb,4,5\n", []Row{bad("name", Control)}},
		{"bad utf-8", "1,2,\xff,4,5\n6,7,8,9,0\n", []Row{bad("name", BadEncoding), good("6", "7", "8", "9", "0")}},
		{"cut utf-8", "1,2,\xe5\xb1,4,5\n1,2,\xc2,4,5\n", []Row{bad("name", BadEncoding), bad("name", BadEncoding)}},
		{"surrogates", "1,2,\xed\xa0\x80,4,5\n", []Row{bad("name", BadEncoding)}},
		{"two bad", "1,\x01,\xff,4,5\n", []Row{{Bad: []value.Problem{{Column: "number", Reason: Control}, {Column: "name", Reason: BadEncoding}}}}},
		{"private use", "1,2,\uE000,4,5\n", []Row{good("1", "2", "\uE000", "4", "5")}},
		{"longest", "1,2,3,4," + strings.Repeat("x", MaxRow-8) + "\r\n6,7,8,9,0\n",
			[]Row{good("1", "2", "3", "4", strings.Repeat("x", MaxRow-8)), good("6", "7", "8", "9", "0")}},
		{"too long", "1,2,3,4," + strings.Repeat("x", MaxRow-7) + "\n6,7,8,9,0\n", []Row{bad("", TooLong), good("6", "7", "8", "9", "0")}},
		{"too long, last", "1,2,3,4," + strings.Repeat("x", MaxRow+10), []Row{bad("", TooLong)}},
		{"quoted, longest", "1,2,3,4,\"" + strings.Repeat("x\n", (MaxRow-10)/2) + "\"\n6,7,8,9,0\n",
			[]Row{good("1", "2", "3", "4", strings.Repeat("x\n", (MaxRow-10)/2)), good("6", "7", "8", "9", "0")}},
		{"commas", strings.Repeat(",", MaxRow) + "\n6,7,8,9,0\n", []Row{bad("", "65537 columns where the header has 5"), good("6", "7", "8", "9", "0")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkRows(t, rows(t, open(t, short+c.body, Options{Encoding: UTF8})), c.want)
		})
	}
}

// A quote that closes beyond the longest row: only the first line is lost.
func TestQuoteTooFar(t *testing.T) {
	lines := MaxRow / len("6,7,8,9,0\n")
	got := rows(t, open(t, short+"1,2,3,4,\"5\n"+strings.Repeat("6,7,8,9,0\n", lines+10)+"1,2,3,4,5\"\n", Options{}))
	if len(got) != lines+12 || len(got[0].Bad) != 1 || got[0].Bad[0].Reason != OpenQuote {
		t.Fatalf("%d rows, the first %v", len(got), got[0].Bad)
	}
	for _, row := range got[1 : len(got)-1] {
		if row.Bad != nil {
			t.Fatalf("row %d is bad: %v", row.N, row.Bad)
		}
	}
}

func TestHeader(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"", "the file is empty"},
		{"\n\n", "the file is empty"},
		{"\xEF\xBB\xBF", "the file is empty"},
		{"ref,number,name\n", "no column birth"},
		{"ref,number,name,birth,ref\n", "the column ref twice"},
		{"ref,number,name,birth,shoe_size\n", "column 5 of the header has no name that is known"},
		{"P1,1234567890,YAMADA,1950-04-12\n", "column 1 of the header has no name that is known"},
		{"ref,\"number\n", "can't read the header"},
		{"ref" + strings.Repeat("x", MaxRow), "can't read the header"},
		{"ref;number;name;birth\n", "account_holder"},
		{"\xFF\xFEr\x00", "UTF-16"},
		{"ref,number,name,birth\n1,2,\xff,\x81\n", "pass --encoding"},
	} {
		_, err := Open(strings.NewReader(c.file), int64(len(c.file)), Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: %v, want an error with %q", c.file, err, c.want)
			continue
		}
		for _, secret := range []string{"YAMADA", "1234567890", "shoe_size"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%.40q: the error holds what stands in the file", c.file)
			}
		}
	}
	// Any order, quotes, a mark, spaces around the names.
	for _, file := range []string{"birth,name,number,ref\n4,3,2,1\n", "\xEF\xBB\xBF\"birth\",name, number ,\"ref\"\r\n4,3,2,1\r\n"} {
		checkRows(t, rows(t, open(t, file, Options{})), []Row{good("1", "2", "3", "4")})
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{Format: "xlsx"}, {Encoding: "euc-jp"}} {
		if _, err := Open(strings.NewReader(short), int64(len(short)), o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	if _, err := Open(strings.NewReader("\xEF\xBB\xBF"+short), int64(len(short)+3), Options{Encoding: CP932}); err == nil {
		t.Error("UTF-8's mark is read as CP932")
	}
}

func TestResumeRefuses(t *testing.T) {
	file := short + "1,2,3,4,5\n6,7,8,9,0"
	r := open(t, file, Options{})
	for _, at := range []int64{-1, 1, int64(len(short)) - 1, int64(len(short)) + 3, int64(len(file)) + 1} {
		if err := r.Resume(at, 1); err == nil {
			t.Errorf("resumes at byte %d", at)
		}
	}
	if err := r.Resume(int64(len(file)), 2); err != nil {
		t.Fatal(err)
	}
	if err := r.Next(new(Row)); err != io.EOF {
		t.Errorf("after the last row: %v", err)
	}
	if err := r.Resume(0, 0); err != nil {
		t.Fatal(err)
	}
	if all := rows(t, r); len(all) != 2 {
		t.Errorf("%d rows from the beginning", len(all))
	}
}

// Whatever the file holds, resuming at any row gives the rows that reading on
// would have given.
func TestResume(t *testing.T) {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"1,2,3,4,5\n", "1,2,\"a\nb\",4,5\r\n", "\"", ",", "\n", "\r\n", "\r", "x", "1,2,3\n", "\xff", "\"\"", "山", "{\"ref\":\"1\"}\n",
			strings.Repeat("y", MaxRow/2)}),
		rapid.StringN(0, 5, -1),
	)
	rapid.Check(t, func(t *rapid.T) {
		body := strings.Join(rapid.SliceOfN(piece, 0, 30).Draw(t, "body"), "")
		file, o := short+body, Options{Format: CSV, Encoding: UTF8}
		if rapid.Bool().Draw(t, "json") {
			file, o.Format = body+" ", JSON
		}
		checkResume(t, file, o)
	})
}

type failer interface{ Fatalf(string, ...any) }

func checkResume(t failer, file string, o Options) {
	r, err := Open(strings.NewReader(file), int64(len(file)), o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	var all []Row
	for {
		var row Row
		if err := r.Next(&row); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v", err)
		}
		if row.Start < r.body || row.End > int64(len(file)) || row.Start >= row.End {
			t.Fatalf("row %d is at %d to %d", row.N, row.Start, row.End)
		}
		for _, s := range row.Raw {
			if clean([]byte(s)) != "" {
				t.Fatalf("row %d holds what it mustn't", row.N)
			}
		}
		all = append(all, row)
	}
	for i := range all {
		if i > 20 {
			break
		}
		if err := r.Resume(all[i].End, all[i].N); err != nil {
			t.Fatalf("row %d: %v", all[i].N, err)
		}
		var next Row
		err := r.Next(&next)
		if i+1 == len(all) {
			if err != io.EOF {
				t.Fatalf("after the last row: %v", err)
			}
			continue
		}
		if diff := cmp.Diff(all[i+1], next, cmp.Transformer("nil", func(p []value.Problem) int { return len(p) })); err != nil || diff != "" {
			t.Fatalf("resumed after row %d (%v):\n%s", all[i].N, err, diff)
		}
	}
}

// hugeLine is a file with one line of a gigabyte, which is never in memory.
type hugeLine struct {
	head, tail string
	middle     int64
}

func (h hugeLine) size() int64 { return int64(len(h.head)) + h.middle + int64(len(h.tail)) }

var manyX = bytes.Repeat([]byte("x"), bufferSize)

func (h hugeLine) ReadAt(b []byte, at int64) (n int, err error) {
	for n < len(b) {
		p, middle := at+int64(n), int64(len(h.head))
		switch {
		case p >= h.size():
			return n, io.EOF
		case p < middle:
			n += copy(b[n:], h.head[p:])
		case p < middle+h.middle:
			n += copy(b[n:], manyX[:min(bufferSize, middle+h.middle-p)])
		default:
			n += copy(b[n:], h.tail[p-middle-h.middle:])
		}
	}
	return n, nil
}

func TestGigabyteLine(t *testing.T) {
	for _, head := range []string{short + "1,2,3,4,", short + "1,2,3,4,\""} {
		h := hugeLine{head: head, middle: 1 << 30, tail: "\n6,7,8,9,0\n"}
		r, err := Open(h, h.size(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var row Row
		if err := r.Next(&row); err != nil || len(row.Bad) != 1 || row.Bad[0].Reason != TooLong {
			t.Errorf("%v %v", err, row.Bad)
		}
		if err := r.Next(&row); err != nil || row.Raw != rowOf("6", "7", "8", "9", "0") {
			t.Errorf("after the line: %v %v", err, row.Bad)
		}
		if len(r.w.buf) != bufferSize || cap(r.scratch) > 2*MaxRow || cap(r.decoded) > 4*MaxRow {
			t.Error("the line was held in memory")
		}
	}
}

// brokenFile fails from some byte on, as a disk or a share does.
type brokenFile struct {
	io.ReaderAt
	from int64
}

var errDisk = errors.New("the disk is gone")

func (f brokenFile) ReadAt(b []byte, at int64) (int, error) {
	if at+int64(len(b)) > f.from {
		return 0, errDisk
	}
	return f.ReaderAt.ReadAt(b, at)
}

func TestBrokenFile(t *testing.T) {
	file := sampleCSV(20000)
	r, err := Open(brokenFile{bytes.NewReader(file), 3 * bufferSize}, int64(len(file)), Options{Encoding: UTF8})
	if err != nil {
		t.Fatal(err)
	}
	var row Row
	for err == nil {
		err = r.Next(&row)
	}
	if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "byte") {
		t.Errorf("got %v", err)
	}
	// A file that has become shorter.
	r, err = Open(bytes.NewReader(file[:2*bufferSize]), int64(len(file)), Options{Encoding: UTF8})
	for err == nil {
		err = r.Next(&row)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) || r == nil {
		t.Errorf("got %v", err)
	}
}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{"1,2,3,4,5\n", "\"1\",\"a\nb\",3,4,5\r\n", "\"", "1,2,\"3", "\x00", "\xff\xfe", "\r\n\r\n", "1,2,3\"4,5,6\n7,8,9,0,1"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, s string, sjis bool) {
		o := Options{Format: CSV, Encoding: UTF8}
		if sjis {
			o.Encoding = CP932
		}
		checkResume(t, short+s, o)
	})
}

func FuzzOpen(f *testing.F) {
	f.Add(short)
	f.Add("{\"ref\":\"1\"}")
	f.Add("\xEF\xBB\xBFref")
	f.Add("\x83\x6e,")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Open(strings.NewReader(s), int64(len(s)), Options{})
		if err == nil {
			checkResume(t, s, Options{Format: r.Format(), Encoding: r.Encoding()})
		}
	})
}
