package normal

import "unicode"

// The two long-vowel marks.
const (
	longMark     = 'ー'
	halfLongMark = 'ｰ'
)

// What foldRune answers where there is no single rune to write.
const (
	drop  rune = -1 - iota // write nothing
	dash                   // a hyphen: '-', or a long mark after kana
	long                   // a long mark: 'ー' after kana, else '-'
	voice                  // a half-width voicing mark
	hard                   // needs decomposing: only the slow way knows
)

// isHyphen says whether r is one of the characters that stand for a hyphen, a
// minus sign or a dash. The box-drawing lines are what old hosts printed.
func isHyphen(r rune) bool {
	switch r {
	case '-', 0x2043, 0x2212, 0x2500, 0x2501, 0xFF0D, 0xFE58, 0xFE63:
		return true
	}
	return r >= 0x2010 && r <= 0x2015
}

// isKana says whether a hyphen after r is a long mark: kana, a long or
// iteration mark, or a voicing mark that no character took.
func isKana(r rune) bool {
	switch {
	case r >= 0x3041 && r <= 0x3096, r >= 0x30A1 && r <= 0x30FA:
		return true
	case r >= 0x30FC && r <= 0x30FE, r == 0x309D, r == 0x309E, r == 0x3099, r == 0x309A:
		return true
	}
	return false
}

// dropped says whether r is a space, invisible, a variation selector, or a dot
// between the parts of a foreign name (which other files write as a space).
func dropped(r rune) bool {
	switch {
	case r <= ' ' || r >= 0x7F && r <= 0xA0:
		return true
	case r < 0x80:
		return false
	case r == '・' || r == '･' || r == 0xB7 || r == '\u3000':
		return true
	case r == 0x3164 || r == 0xFFA0 || r == 0x115F || r == 0x1160 || r == 0x2800:
		return true // blanks that Unicode counts as letters or symbols
	case r == 0x34F || r == 0x17B4 || r == 0x17B5 || r >= 0x180B && r <= 0x180F:
		return true
	case r >= 0xFE00 && r <= 0xFE0F || r >= 0xE0100 && r <= 0xE01EF:
		return true // variation selectors
	case r >= 0x3001 && r <= 0xABFF:
		return false // kana, kanji and the like: no need to ask the tables
	}
	return unicode.Is(unicode.White_Space, r) || unicode.Is(unicode.Cf, r)
}

// asciiFold is what an ASCII character becomes; 0 drops it.
var asciiFold = func() (t [0x80]byte) {
	for c := byte('!'); c < 0x7F; c++ {
		t[c] = c
		if c >= 'A' && c <= 'Z' {
			t[c] = c + 'a' - 'A'
		}
	}
	return t
}()

// largeKana is what the characters U+3041..U+3096 become, written as katakana's
// offset: the small ones grow, the others stay.
var largeKana = func() (t [0x3097 - 0x3041]rune) {
	small := map[rune]rune{
		'ぁ': 'あ', 'ぃ': 'い', 'ぅ': 'う', 'ぇ': 'え', 'ぉ': 'お', 'っ': 'つ', 'ゃ': 'や', 'ゅ': 'ゆ',
		'ょ': 'よ', 'ゎ': 'わ', 'ゕ': 'か', 'ゖ': 'け',
	}
	for i := range t {
		t[i] = 0x3041 + rune(i)
		if l, ok := small[t[i]]; ok {
			t[i] = l
		}
	}
	return t
}()

// largeAinu is what the small katakana U+31F0..U+31FF become.
var largeAinu = [...]rune{'ク', 'シ', 'ス', 'ト', 'ヌ', 'ハ', 'ヒ', 'フ', 'ヘ', 'ホ', 'ム', 'ラ', 'リ', 'ル', 'レ', 'ロ'}

// fullWidth is U+FF61..U+FF9D in full width.
var fullWidth = [...]rune{
	'。', '「', '」', '、', '・', 'ヲ', 'ァ', 'ィ', 'ゥ', 'ェ', 'ォ', 'ャ', 'ュ', 'ョ', 'ッ', 'ー',
	'ア', 'イ', 'ウ', 'エ', 'オ', 'カ', 'キ', 'ク', 'ケ', 'コ', 'サ', 'シ', 'ス', 'セ', 'ソ',
	'タ', 'チ', 'ツ', 'テ', 'ト', 'ナ', 'ニ', 'ヌ', 'ネ', 'ノ', 'ハ', 'ヒ', 'フ', 'ヘ', 'ホ',
	'マ', 'ミ', 'ム', 'メ', 'モ', 'ヤ', 'ユ', 'ヨ', 'ラ', 'リ', 'ル', 'レ', 'ロ', 'ワ', 'ン',
}

// voiced composes a katakana and the voicing mark that follows it; 0 if there
// is no such character.
func voiced(base, mark rune) rune {
	semi := mark == 'ﾟ' || mark == 0x309A
	switch {
	case base >= 'ハ' && base <= 'ホ' && (base-'ハ')%3 == 0:
		if semi {
			return base + 2
		}
		return base + 1
	case semi:
		return 0
	case base == 'ウ':
		return 'ヴ'
	case base == 'ワ':
		return 'ヷ'
	case base == 'ヲ':
		return 'ヺ'
	case base >= 'カ' && base <= 'チ' && (base-'カ')%2 == 0, base == 'ツ' || base == 'テ' || base == 'ト':
		return base + 1
	}
	return 0
}
