package scan

import (
	"testing"

	"azekura/register/normal"

	"pgregory.net/rapid"
)

// TestKatakanaAlone: what is katakana alone is folded alike as kana and as a name.
func TestKatakanaAlone(t *testing.T) {
	pieces := []string{"ア", "ァ", "ヶ", "ッ", "ヴ", "ー", "・", "ヽ", "ヿ", "゠", " ", "　", "ャ", "あ", "ん", "゛", "ゝ", "ｱ", "ﾞ", "山", "-", "a", "\u3099"}
	alone := 0
	rapid.Check(t, func(t *rapid.T) {
		text := ""
		for _, p := range rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 8).Draw(t, "pieces") {
			text += p
		}
		c := cell{text: []byte(text)}
		if c.classify(new([]byte)); !c.katakana {
			return
		}
		alone++
		if kana, name := string(normal.AppendKana(nil, text)), string(normal.AppendNameLoose(nil, text)); kana != name {
			t.Fatalf("%q is %q as kana and %q as a name", text, kana, name)
		}
	})
	if alone == 0 {
		t.Error("no text was katakana alone")
	}
}
