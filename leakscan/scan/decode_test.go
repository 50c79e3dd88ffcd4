package scan

import (
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// TestValidUTF8: what is checked eight bytes at a time is what utf8.Valid says, for
// pieces of every kind put together.
func TestValidUTF8(t *testing.T) {
	pieces := []string{"a", "abcdefgh", "é", "山", "田", "ア", "０", "ﾞ", "\uE000", "𠮷", "\xE0\xA0\x80", "\xE0\x9F\xBF", "\xED\x9F\xBF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xC1\x80",
		"\x80", "\xBF", "\xE3", "\xE3\x81", "\xF0\x9F", "\xFF", "\xE3\x81a", "\xE3a\x81"}
	valid := 0
	for shift := range 8 { // wherever a word of eight bytes ends
		for _, p := range pieces {
			for _, q := range pieces {
				b := []byte("山田山田山田山田" + "abcdefgh"[:shift] + p + q + "太郎太郎太郎太郎")
				if want := utf8.Valid(b); validUTF8(b) != want {
					t.Fatalf("%q: %v", b, !want)
				}
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		for _, p := range rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 24).Draw(t, "pieces") {
			b = append(b, p...)
		}
		want := utf8.Valid(b)
		if validUTF8(b) != want {
			t.Fatalf("%q: %v", b, !want)
		}
		if want {
			valid++
		}
	})
	if valid == 0 {
		t.Error("no text was valid")
	}
}
