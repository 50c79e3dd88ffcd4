package population

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// romajiOf spells one kana; passport style (外務省ヘボン式) needs more than one
// at a time only for small kana, ッ, ン and long vowels, see appendRomaji.
var romajiOf = pairs(`ア A イ I ウ U エ E オ O カ KA キ KI ク KU ケ KE コ KO サ SA シ SHI ス SU セ SE ソ SO
タ TA チ CHI ツ TSU テ TE ト TO ナ NA ニ NI ヌ NU ネ NE ノ NO ハ HA ヒ HI フ FU ヘ HE ホ HO マ MA ミ MI ム MU メ ME モ MO
ヤ YA ユ YU ヨ YO ラ RA リ RI ル RU レ RE ロ RO ワ WA ヰ I ヱ E ヲ O ン N ガ GA ギ GI グ GU ゲ GE ゴ GO
ザ ZA ジ JI ズ ZU ゼ ZE ゾ ZO ダ DA ヂ JI ヅ ZU デ DE ド DO バ BA ビ BI ブ BU ベ BE ボ BO パ PA ピ PI プ PU ペ PE ポ PO
ヴ BU ァ A ィ I ゥ U ェ E ォ O ャ YA ュ YU ョ YO ヶ GA`)

// halfOf is the half-width form in JIS X 0201 as Zengin allows it for a party's
// name: small kana become large, a long vowel is a hyphen.
var halfOf = pairs(`ア ｱ イ ｲ ウ ｳ エ ｴ オ ｵ カ ｶ キ ｷ ク ｸ ケ ｹ コ ｺ サ ｻ シ ｼ ス ｽ セ ｾ ソ ｿ タ ﾀ チ ﾁ ツ ﾂ テ ﾃ ト ﾄ
ナ ﾅ ニ ﾆ ヌ ﾇ ネ ﾈ ノ ﾉ ハ ﾊ ヒ ﾋ フ ﾌ ヘ ﾍ ホ ﾎ マ ﾏ ミ ﾐ ム ﾑ メ ﾒ モ ﾓ ヤ ﾔ ユ ﾕ ヨ ﾖ ラ ﾗ リ ﾘ ル ﾙ レ ﾚ ロ ﾛ ワ ﾜ ヰ ｲ ヱ ｴ ヲ ｵ ン ﾝ
ガ ｶﾞ ギ ｷﾞ グ ｸﾞ ゲ ｹﾞ ゴ ｺﾞ ザ ｻﾞ ジ ｼﾞ ズ ｽﾞ ゼ ｾﾞ ゾ ｿﾞ ダ ﾀﾞ ヂ ﾁﾞ ヅ ﾂﾞ デ ﾃﾞ ド ﾄﾞ バ ﾊﾞ ビ ﾋﾞ ブ ﾌﾞ ベ ﾍﾞ ボ ﾎﾞ
パ ﾊﾟ ピ ﾋﾟ プ ﾌﾟ ペ ﾍﾟ ポ ﾎﾟ ヴ ｳﾞ ァ ｱ ィ ｲ ゥ ｳ ェ ｴ ォ ｵ ッ ﾂ ャ ﾔ ュ ﾕ ョ ﾖ ヮ ﾜ ヵ ｶ ヶ ｹ ー -`)

const kanaFirst, kanaLast = 'ァ', 'ー'

// pairs reads "kana spelling kana spelling ..." into a table by code point.
func pairs(text string) (t [kanaLast - kanaFirst + 1]string) {
	words := strings.Fields(text)
	for i := 0; i < len(words); i += 2 {
		t[[]rune(words[i])[0]-kanaFirst] = words[i+1]
	}
	return t
}

func lookUp(t *[kanaLast - kanaFirst + 1]string, r rune) string {
	if r < kanaFirst || r > kanaLast {
		return ""
	}
	return t[r-kanaFirst]
}

// appendRomaji spells a name's katakana as a passport does: long O and U lose
// their second vowel, ー is silent, ン is M before B, M and P, ッ doubles the
// next consonant (T before CH).
func appendRomaji(buf []byte, kana string) []byte {
	start := len(buf)
	double, long := false, true
	for i, r := range kana {
		s := lookUp(&romajiOf, r)
		rest := kana[i+len(string(r)):]
		switch {
		case r == 'ッ':
			double = true
			continue
		case isSmallY(r) && len(buf) > start+1:
			buf = joinSmallY(buf, s)
			long = false
			continue
		case !long && lengthens(buf[start:], s, rest):
			long = true
			continue
		case r == 'ン' && startsLabial(rest):
			s = "M"
		}
		if double && s != "" {
			s, double = doubled(s), false
		}
		buf = append(buf, s...)
		long = false
	}
	return buf
}

func isSmallY(r rune) bool { return r == 'ャ' || r == 'ュ' || r == 'ョ' }

// joinSmallY turns SHI + YA into SHA, KI + YA into KYA.
func joinSmallY(buf []byte, s string) []byte {
	buf = buf[:len(buf)-1]
	if n := len(buf); n > 0 && (buf[n-1] == 'H' && n > 1 && (buf[n-2] == 'S' || buf[n-2] == 'C') || buf[n-1] == 'J') {
		s = s[1:]
	}
	return append(buf, s...)
}

// lengthens says whether a vowel only makes the last one long: UU, OU, and OO
// except at the end of the name. イノウエ, タケノウチ and マツウラ are two words
// each, so their ウ is spoken.
func lengthens(buf []byte, s, rest string) bool {
	if len(buf) == 0 {
		return false
	}
	last := buf[len(buf)-1]
	switch s {
	case "U":
		joint := bytes.HasSuffix(buf, []byte("NO")) || bytes.HasSuffix(buf, []byte("TSU"))
		spoken := joint && (strings.HasPrefix(rest, "エ") || strings.HasPrefix(rest, "チ") || strings.HasPrefix(rest, "ラ"))
		return (last == 'U' || last == 'O') && !spoken
	case "O":
		return last == 'O' && rest != ""
	}
	return false
}

func startsLabial(kana string) bool {
	for _, r := range kana {
		s := lookUp(&romajiOf, r)
		return s != "" && strings.IndexByte("BMP", s[0]) >= 0
	}
	return false
}

func doubled(s string) string {
	if strings.HasPrefix(s, "CH") {
		return "T" + s
	}
	return s[:1] + s
}

// holderLimit is the width of a payee's name in a transfer file, in half-width
// characters; a bank cuts a longer one there.
const holderLimit = 30

// appendHolder writes a name's kana as an account's holder: half width, a gap
// as one space, cut at holderLimit but never between a kana and its voicing
// mark.
func appendHolder(buf, kana []byte) []byte {
	width := 0
	for len(kana) > 0 {
		r, size := utf8.DecodeRune(kana)
		kana = kana[size:]
		s := lookUp(&halfOf, r)
		if r == ' ' || r == '　' {
			s = " "
		}
		w := 1
		if len(s) == len("ｶﾞ") {
			w = 2
		}
		if width+w > holderLimit {
			break
		}
		buf, width = append(buf, s...), width+w
	}
	return bytes.TrimRight(buf, " ")
}
