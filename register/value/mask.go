package value

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"azekura/register/field"
)

// Mask is what a search shows of a candidate: enough to tell two apart, too
// little to serve as an extract. A name keeps its first character, a birth its
// year, an address its prefecture, a number its last two digits; of other fields
// nothing is shown.
func Mask(f field.Field, canonical string) string {
	switch {
	case canonical == "":
		return ""
	case f == field.Name:
		return maskName(canonical)
	case f == field.Birth && len(canonical) == len("2006-01-02"):
		return canonical[:4]
	case f == field.Number && len(canonical) == 10:
		return canonical[8:]
	case f == field.Address:
		_, text, _ := SplitAddress(canonical)
		return prefecture(text)
	}
	return ""
}

// maskName keeps the first character with what belongs to it (a variation
// selector, a combining mark).
func maskName(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	for n < len(s) {
		r, size := utf8.DecodeRuneInString(s[n:])
		if !unicode.Is(unicode.M, r) {
			break
		}
		n += size
	}
	rest := 0
	for _, r := range s[n:] {
		if !unicode.Is(unicode.M, r) {
			rest++
		}
	}
	return s[:n] + strings.Repeat("＊", rest)
}

// prefectures are listed because their names can't be cut by rule: 京都府 begins
// with what a rule would take for a 都.
var prefectures = strings.Fields(`北海道 青森県 岩手県 宮城県 秋田県 山形県 福島県 茨城県 栃木県 群馬県 埼玉県 千葉県
東京都 神奈川県 新潟県 富山県 石川県 福井県 山梨県 長野県 岐阜県 静岡県 愛知県 三重県 滋賀県 京都府 大阪府 兵庫県 奈良県
和歌山県 鳥取県 島根県 岡山県 広島県 山口県 徳島県 香川県 愛媛県 高知県 福岡県 佐賀県 長崎県 熊本県 大分県 宮崎県 鹿児島県
沖縄県`)

// prefecture is the prefecture that an address begins with, "" if it leaves it
// out: a city's name would say more than a candidate may.
func prefecture(address string) string {
	for _, p := range prefectures {
		if strings.HasPrefix(address, p) {
			return p
		}
	}
	return ""
}
