package rowfile

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding/japanese"
)

func TestCP932(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		ok             bool
	}{
		{"ascii", "abc\\~", "abc\\~", true},
		{"kanji", "\x8e\x52\x93\x63", "山田", true},
		{"backslash as second byte", "\x83\x5c\x95\x5c", "ソ表", true},
		{"half-width kana", "\xd4\xcf\xc0\xde", "ﾔﾏﾀﾞ", true},
		{"nec", "\x87\x40\x87\x8a", "①㈱", true},
		{"nec's ibm", "\xed\x95\xee\xfc", "﨑＂", true},
		{"ibm", "\xfa\xb1\xfb\xfc\xfc\x4b", "﨑髙黑", true},
		{"windows' wave, dash and parallel", "\x81\x60\x81\x7c\x81\x61", "～－∥", true},
		{"windows' cent, pound and not", "\x81\x91\x81\x92\x81\xca", "￠￡￢", true},
		{"user-defined, first", "\xf0\x40", "\uE000", true},
		{"user-defined, around 7F", "\xf0\x7e\xf0\x80", "\uE03E\uE03F", true},
		{"user-defined, last", "\xf9\xfc", "\uE757", true},
		{"cut", "\x8e", "", false},
		{"80", "\x80", "", false},
		{"a0", "\xa0", "", false},
		{"fd", "\xfd\x40", "", false},
		{"ff", "\xff", "", false},
		{"second byte 7f", "\x8e\x7f", "", false},
		{"second byte too low", "\x8e\x20", "", false},
		{"second byte too high", "\x8e\xfd", "", false},
		{"empty row", "\x85\x40", "", false},
		{"undefined", "\x81\xad", "", false},
		{"user-defined, 7f", "\xf0\x7f", "", false},
	} {
		got, ok := AppendCP932(nil, []byte(c.in))
		if ok != c.ok || ok && string(got) != c.want {
			t.Errorf("%s: got %q, %v; want %q", c.name, got, ok, c.want)
		}
		if n, ok := cp932Prefix([]byte(c.in), true); ok != c.ok || ok && n != len(c.in) {
			t.Errorf("%s: the sample's check says %v", c.name, ok)
		}
	}
}

// x/text knows the characters that aren't user-defined: for those we agree.
func TestCP932AgainstLibrary(t *testing.T) {
	user, defined := 0, 0
	for lead := 0x81; lead <= 0xFC; lead++ {
		for trail := 0x40; trail <= 0xFC; trail++ {
			if lead >= 0xA0 && lead <= 0xDF || trail == 0x7F {
				continue
			}
			two := []byte{byte(lead), byte(trail)}
			got, ok := AppendCP932(nil, two)
			theirs, err := japanese.ShiftJIS.NewDecoder().Bytes(two)
			if err != nil {
				t.Fatal(err)
			}
			r, _ := utf8.DecodeRune(got)
			switch {
			case !ok && !bytes.Contains(theirs, []byte("\uFFFD")):
				t.Errorf("%x: undefined here, %q there", two, theirs)
			case ok && r >= 0xE000 && r <= 0xE757:
				user++
			case ok && !bytes.Equal(got, theirs):
				t.Errorf("%x: %q here, %q there", two, got, theirs)
			case ok:
				defined++
			}
		}
	}
	if user != 1880 || defined != 7724 {
		t.Errorf("%d user-defined characters, %d others; Windows has 1880 and 7724", user, defined)
	}
}

func TestDetect(t *testing.T) {
	body := short + "1,2,山田,4,東京都\n"
	sjis := string(toCP932(t, []byte(body)))
	long := strings.Repeat("1,2,3,4,5\n", sample/10)
	for _, c := range []struct {
		name, file, format, encoding string
	}{
		{"utf-8", body, CSV, UTF8}, {"mark", "\xEF\xBB\xBF" + body, CSV, UTF8}, {"cp932", sjis, CSV, CP932}, {"ascii", short, CSV, UTF8},
		{"json", `{"ref":"山田"}`, JSON, UTF8}, {"json, mark", "\xEF\xBB\xBF\n {\"ref\":\"1\"}", JSON, UTF8},
		{"json cp932", string(toCP932(t, []byte(`{"name":"ソ表"}`))), JSON, CP932},
		{"user-defined", short + "1,2,\xf0\x40,4,5\n", CSV, CP932},
		{"cut by the sample's end", short + long[:sample-len(short)-1] + "山田\n", CSV, UTF8},
		{"cp932 cut by the sample's end", short + "1,2,\x8e\x52,4,5\n" + long[:sample-len(short)-12] + "\x8e\x52\n", CSV, CP932},
		{"only the sample decides", short + long + "\x8e\x52", CSV, UTF8},
	} {
		r, err := Open(strings.NewReader(c.file), int64(len(c.file)), Options{Format: Auto, Encoding: Auto})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if r.Format() != c.format || r.Encoding() != c.encoding {
			t.Errorf("%s: %s in %s, want %s in %s", c.name, r.Format(), r.Encoding(), c.format, c.encoding)
		}
	}
	checkRows(t, rows(t, open(t, sjis, Options{})), []Row{good("1", "2", "山田", "4", "東京都")})
	checkRows(t, rows(t, open(t, short+"1,2,\xf0\x40,4,\"\x8e\x52,\"\n1,2,\x85\x40,4,\xff\n", Options{Encoding: CP932})), []Row{
		good("1", "2", "\uE000", "4", "山,"),
		{Bad: append(bad("name", BadEncoding).Bad, bad("address", BadEncoding).Bad...)},
	})
	checkRows(t, rows(t, open(t, string(toCP932(t, []byte(`{"ref":"ソ表"}`))), Options{})), []Row{good("ソ表")})
	checkRows(t, rows(t, open(t, "{\"ref\":\"\x8e\"}\n", Options{Encoding: CP932})), []Row{bad("", BadEncoding)})
	// The rows of a file in the wrong encoding are reported, not turned into others.
	checkRows(t, rows(t, open(t, sjis, Options{Encoding: UTF8})), []Row{
		{Bad: append(bad("name", BadEncoding).Bad, bad("address", BadEncoding).Bad...)}})
}
