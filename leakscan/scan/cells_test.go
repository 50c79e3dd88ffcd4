package scan

import (
	"bytes"
	"strings"
	"testing"

	"azekura/population"

	"pgregory.net/rapid"
)

// classifySlowly is classify as it is for any cell: by counting all of its bytes, and
// then all of its characters.
func classifySlowly(text []byte) cell {
	c, scratch := cell{text: text}, []byte{}
	if len(text) < 2 || len(text) > longestCell {
		return c
	}
	for _, x := range text {
		if x >= 0x80 {
			c.wide(&scratch)
			return c
		}
	}
	c.counted(&scratch)
	return c
}

// TestClassify: the quick ways say what the slow one does.
func TestClassify(t *testing.T) {
	quick := 0
	same := func(t interface{ Fatalf(string, ...any) }, text string) {
		want, got, scratch := classifySlowly([]byte(text)), cell{text: []byte(text)}, []byte{}
		got.classify(&scratch)
		if got.class != want.class || !bytes.Equal(got.digits, want.digits) || !bytes.Equal(got.text, want.text) {
			t.Fatalf("%q: class %b, %b slowly", text, got.class, want.class)
		}
		if c := (cell{text: []byte(text)}); len(text) > 2 && text[0] >= 0xE3 && text[0] <= 0xE9 && c.japanese() {
			quick++
		}
	}
	g := population.New(7)
	for range 3000 {
		var p population.Person
		g.Next(&p)
		for _, text := range []string{p.Name, p.Kana, p.Address, p.Number, p.Birth, p.Phone, p.Romaji, p.AccountHolder} {
			same(t, text)
		}
	}
	pieces := []string{"山", "田", "年", "二十", "ア", "ー", "の", "\u3040", "\u3041", "\u30FF", "々", "　", " ", "0", "12", "９", "31415926", "/", "ｱ", "Ａ", "-", "−", "@", "＠", "a", ".", "é", "𠮷", "\uE000", "、", "年月日", "東京都港区芝公園一丁目"}
	rapid.Check(t, func(t *rapid.T) {
		text := ""
		for _, p := range rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 14).Draw(t, "pieces") {
			text += p
		}
		same(t, string(trim([]byte(text))))
	})
	if quick < 6000 {
		t.Errorf("only %d cells went the quick way", quick)
	}
}

// TestCountDigits: eight bytes at a time count as one by one do.
func TestCountDigits(t *testing.T) {
	pieces := []string{"山", "0", "9", "/", ":", "０", "９", "；", "／", "ｱ", "Ａ", "\xEF", "\xEF\xBC", "\xBC\x90", "\x90", "\xAF", "\xB5", "12345678", "\uE000"}
	most := 0
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 16).Draw(t, "pieces"), "")
		want := 0
		for i := range len(text) {
			if text[i]-'0' <= 9 || len(text)-i >= 3 && text[i:i+2] == "\xEF\xBC" && text[i+2]-0x90 <= 9 {
				want++
			}
		}
		if got := countDigits([]byte(text)); got != want {
			t.Fatalf("%q has %d digits, not %d", text, want, got)
		}
		most = max(most, want)
	})
	if most < 8 {
		t.Errorf("no text had more than %d digits", most)
	}
}

// TestCountKinds: the counts that share a number are those of one by one.
func TestCountKinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes")
		var want [byteKinds]uint16
		for _, x := range b {
			want[byteKind[x]]++
		}
		if got := countKinds(b); got != want {
			t.Fatalf("%v, want %v", got, want)
		}
	})
	all := bytes.Repeat([]byte("1"), 255)
	if got := countKinds(all); got[byteDigit] != 255 || got[byteLetter] != 0 {
		t.Errorf("255 digits are %v", got)
	}
}
