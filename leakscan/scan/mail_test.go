package scan_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime/quotedprintable"
	"strings"
	"testing"

	"azekura/leakscan/leaktest"
	"azekura/leakscan/scan"
	"azekura/population"
	"azekura/register/field"

	"github.com/google/go-cmp/cmp"
)

// letter is a message as mail programs here write it: its text in ISO-2022-JP, a
// table in CP932 and an archive beside it.
func letter(t *testing.T, list []population.Person) []byte {
	t.Helper()
	encoded := func(style leaktest.Style, p population.Person) []byte {
		style.Columns = []field.Field{field.Number, field.Name, field.Birth}
		raw, truth := leaktest.Leak(style, []population.Person{p}, []int{0})
		if len(truth) != 1 {
			t.Fatal("the person's name can't be written in that encoding; choose another seed")
		}
		return raw
	}
	wrapped := func(raw []byte) string {
		text := base64.StdEncoding.EncodeToString(raw)
		var b strings.Builder
		for len(text) > 76 {
			b.WriteString(text[:76] + "\r\n")
			text = text[76:]
		}
		return b.String() + text + "\r\n"
	}
	var quoted bytes.Buffer
	q := quotedprintable.NewWriter(&quoted)
	_, _ = q.Write(encoded(leaktest.Style{Format: "html"}, list[3]))
	_ = q.Close()
	subject := base64.StdEncoding.EncodeToString([]byte(list[4].Number + " " + list[4].Name))
	return []byte("Received: from somewhere\r\n\tby somewhere else\r\nFrom: someone@example.com\r\nTo: other@example.com\r\nSubject: =?UTF-8?B?" + subject + "?=\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=\"outer\"\r\n\r\npreamble\r\n--outer\r\nContent-Type: multipart/alternative; boundary=inner\r\n\r\n" +
		"--inner\r\nContent-Type: text/plain; charset=iso-2022-jp\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + string(encoded(leaktest.Style{Format: "text", Encoding: "iso-2022-jp"}, list[0])) +
		"\r\n--inner\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted.String() +
		"\r\n--inner--\r\n--outer\r\nContent-Type: application/octet-stream; name=\"list.csv\"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + wrapped(encoded(leaktest.Style{Format: "csv", Encoding: "cp932"}, list[1])) +
		"\r\n--outer\r\nContent-Type: application/zip\r\nContent-Disposition: attachment; filename*=UTF-8''%E5%90%8D%E7%B0%BF.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		wrapped(zipped(map[string][]byte{"a.tsv": encoded(leaktest.Style{Format: "tsv"}, list[2])})) + "\r\n--outer--\r\n")
}

func TestMail(t *testing.T) {
	x := indexOf(t, 2000)
	list := people(seed, 5)
	one := letter(t, list)
	var mbox bytes.Buffer
	for range 2 {
		mbox.WriteString("From someone@example.com Thu May 28 09:00:00 2015\n")
		mbox.Write(bytes.ReplaceAll(one, []byte("\r\n"), []byte("\n")))
		mbox.WriteString("\n")
	}
	parts := []string{"|part 1", "|part 2", "|list.csv", "|名簿.zip|a.tsv", "|header"}
	for name, c := range map[string]struct {
		raw   []byte
		paths []string
	}{
		"message.eml": {one, parts},
		"folder":      {mbox.Bytes(), append(prefixed("|message 1", parts), prefixed("|message 2", parts)...)},
	} {
		path := write(t, t.TempDir(), name, c.raw)
		r := run(t, x, scan.Options{Paths: []string{path}})
		if n := r.Summary.People["A"]; n != len(list) {
			t.Errorf("%s: %d of %d people are found: %v, %v", name, n, len(list), r.Summary.People, ledger(t, r))
		}
		got, want := map[string]int{}, map[string]int{}
		for _, p := range c.paths {
			want[p]++
		}
		if err := r.Each(func(l scan.Line) error {
			for _, e := range l.Evidence {
				got[strings.TrimPrefix(e.Path, path)]++
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: where they are found (-want +got):\n%s", name, diff)
		}
	}
}

func prefixed(with string, list []string) (all []string) {
	for _, s := range list {
		all = append(all, with+s)
	}
	return all
}

// TestBrokenMail: a message that breaks off, or lies about its parts, is in the
// ledger as such, and what can be read of it is.
func TestBrokenMail(t *testing.T) {
	x := indexOf(t, 2000)
	p := people(seed, 1)[0]
	head := "From: a@example.com\nTo: b@example.com\nDate: Thu, 28 May 2015 09:00:00 +0900\n"
	row := p.Number + "," + p.Name + "," + p.Birth + "\n"
	deep := head
	for i := range 60 {
		deep += fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	for name, c := range map[string]struct {
		raw   string
		state scan.State
		found int
	}{
		"cut in a part":         {head + "Content-Type: multipart/mixed; boundary=x\n\n--x\n\n" + row, scan.Partial, 1},
		"no boundary in it":     {head + "Content-Type: multipart/mixed; boundary=x\n\n" + row, scan.Partial, 0},
		"no boundary named":     {head + "Content-Type: multipart/mixed\n\n" + row, scan.Parsed, 1},
		"broken base64":         {head + "Content-Transfer-Encoding: base64\n\n" + "!!!!\n", scan.Failed, 0},
		"parts in parts":        {deep, scan.Partial, 0},
		"a table with a colon":  {"番号: 氏名\n" + row, scan.Parsed, 1},
		"a header and no more":  {head, scan.Parsed, 0},
		"mbox without an empty": {"From a\n" + head + "\n" + row + "From b, which is no message\n" + row, scan.Parsed, 1},
	} {
		path := write(t, t.TempDir(), "m", []byte(c.raw))
		r := run(t, x, scan.Options{Paths: []string{path}, Limits: scan.DefaultLimits})
		said := false
		for _, e := range ledger(t, r) {
			said = said || e.State == c.state
		}
		if n := r.Summary.People["A"]; !said || n != c.found {
			t.Errorf("%s: %d people found and %+v; want %d and %q", name, n, ledger(t, r), c.found, c.state)
		}
	}
}

// FuzzMail: whatever the bytes, a scan ends and leaves a ledger.
func FuzzMail(f *testing.F) {
	x := indexOf(f, 100)
	f.Add([]byte("From a\nFrom: a\nTo: b\n\nx\n\nFrom b\nFrom: c\nTo: d\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\n1\n--x--\n"))
	f.Add([]byte("From: a\nTo: b\nContent-Type: multipart/mixed; boundary=\"\"\nContent-Transfer-Encoding: base64\n\nAAAA"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := write(t, t.TempDir(), "m", raw)
		if len(ledger(t, run(t, x, scan.Options{Paths: []string{path}, Workers: 1}))) == 0 {
			t.Error("nothing is in the ledger")
		}
	})
}
