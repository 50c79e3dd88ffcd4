package normal

import (
	"strings"
	"unicode/utf8"
)

// Place is an address cut into what two writings of it share: the town, without
// the prefecture, the county (郡) and the marks of villages that were (大字, 字), which
// files write or leave out; and the numbers of block and house. What comes after
// them, a building and its doors, isn't in it.
type Place struct {
	Town  string // canonical: 霞ケ関, 3番町
	Block string // 2-21-9; "" if there is none
	Known bool   // the town is one of the table's; else it is all before the first number
}

// longestTown bounds the characters that are tried as a town.
const longestTown = 48

// pastTown bounds how far beyond a town a longer one is looked for.
const pastTown = 16

// PlaceOf reads an address. The town is the longest one of the table that the
// address begins with: so 六本木3-1 isn't cut at 六, nor 三番町6-2 at 三. The
// block ends at the first character that isn't a number or a joint: at a
// building's name (5番地二引ビル is block 5), at a space before a door.
func PlaceOf(s string) Place {
	if len(s) > 4*maxAddressText {
		return Place{}
	}
	s = withoutPostal(Address(separated(s)))
	table := towns()
	s = withoutStreets(table.withoutCounty(withoutPrefecture(s)))
	var stack [4 * longestTown]byte
	c := canonical{text: stack[:0]}
	var p Place
	rest, town := 0, 0
	for i, n := 0, 0; i < len(s) && n < longestTown; n++ {
		if s[i] == '|' {
			break
		}
		if i = c.next(s, i); table.may(c.hash) && table.has(c.hash) {
			rest, town, n = i, len(c.text), max(n, longestTown-pastTown)
		}
	}
	if p.Known = town > 0; p.Known {
		p.Town = string(c.text[:town])
	}
	if !p.Known {
		if rest = strings.IndexAny(s, "0123456789|"); rest < 0 {
			rest = len(s)
		}
		c = canonical{}
		for i := 0; i < rest; {
			i = c.next(s, i)
		}
		p.Town = string(c.text)
	}
	s = strings.TrimLeft(s[rest:], "|-")
	if p.Block = block(s); p.Block == "" && p.Known {
		p.Block = bareNumber(s)
	}
	return p
}

// bareNumber is a lot's number in kanji that nothing but a known town's name tells
// from a name: 宮本千五百十五. One character may be a name's end: 大通西二.
func bareNumber(s string) string {
	if number, end := numberAt(s, 0); end == len(s) && utf8.RuneCountInString(s) > 1 {
		return number
	}
	return ""
}

// maxAddressText bounds an address, in characters.
const maxAddressText = 300

// Form is what an index is made of; "" if the address has no number, and so
// names a town and not a home.
func (p Place) Form() string {
	if p.Block == "" || p.Town == "" {
		return ""
	}
	return p.Town + "\x1f" + p.Block
}

// block is the numbers at the head of s: at most three, since a fourth is a door
// as often as a branch number, and files write it or leave it out.
func block(s string) string {
	parts, end := 0, 0
	for end < len(s) {
		if isDigit(s[end]) {
			end++
			continue
		}
		if s[end] != '-' || end+1 == len(s) || !isDigit(s[end+1]) {
			break
		}
		if parts++; parts == 3 {
			break
		}
		end++
	}
	return s[:end]
}

// separated is s with a bar where a space stands between two numbers, which
// would run together otherwise: 2-21-9 301号.
func separated(s string) string {
	var out []byte
	last := rune(0) // the last one that is no space
	gap := -1
	for i, r := range s {
		if r == ' ' || r == '\u3000' || r == '\t' {
			if gap < 0 {
				gap = i
			}
			continue
		}
		if gap >= 0 && endsNumber(last) {
			if out == nil {
				out = append(make([]byte, 0, len(s)+8), s[:gap]...)
			}
			out = append(out, '|')
		}
		gap, last = -1, r
		if out != nil {
			out = utf8.AppendRune(out, r)
		}
	}
	if out == nil {
		return s
	}
	return string(out)
}

func endsNumber(r rune) bool {
	return r >= '0' && r <= '9' || r >= '０' && r <= '９' || r == '号' || r == '地' || numeral(r) >= 0
}

func withoutPostal(s string) string {
	rest := strings.TrimPrefix(s, "〒")
	if len(rest) > 8 && allDigits(rest[:3]) {
		for _, tail := range [...]string{rest[3:], strings.TrimPrefix(rest[3:], "-")} {
			if len(tail) > 4 && allDigits(tail[:4]) && !isDigit(tail[4]) {
				return strings.TrimLeft(tail[4:], "|")
			}
		}
	}
	return rest
}

func withoutPrefecture(s string) string {
	if rest, found := strings.CutPrefix(s, "北海道"); found {
		return rest
	}
	for _, end := range [...]string{"都", "府", "県"} {
		at := strings.Index(s, end)
		if at < 0 || at > 9 {
			continue
		}
		if prefectures[s[:at]] {
			return s[at+len(end):]
		}
	}
	return s
}

// streetMarks end what Kyoto's addresses say between ward and town: the crossing
// that a house is at, and which way from there.
var streetMarks = [...]string{"上る", "下る", "上ル", "下ル", "上がる", "下がる", "東入る", "西入る", "東入ル", "西入ル", "東入", "西入"}

// withoutStreets is an Address form without that crossing, which the same people
// write one day and leave out the next: 中京区寺町通御池上る上本能寺前町.
func withoutStreets(s string) string {
	const city = "京都市"
	ward := strings.Index(s[:min(len(s), 3*8)], "区")
	if ward < 0 || !strings.HasPrefix(s, city) {
		return s
	}
	ward += len("区")
	end := 0
	for _, m := range streetMarks {
		if at := strings.LastIndex(s[ward:], m); at >= 0 {
			end = max(end, at+len(m))
		}
	}
	if end == 0 {
		return s
	}
	town := strings.TrimLeft(s[ward+end:], "|")
	// A street's own chome may stand between: 三条上る2丁目下丸屋町.
	return s[:ward] + strings.TrimLeft(town, "0123456789")
}

var prefectures = func() map[string]bool {
	m := map[string]bool{}
	for _, p := range strings.Fields(`青森 岩手 宮城 秋田 山形 福島 茨城 栃木 群馬 埼玉 千葉 東京 神奈川 新潟 富山 石川 福井 山梨 長野
		岐阜 静岡 愛知 三重 滋賀 京都 大阪 兵庫 奈良 和歌山 鳥取 島根 岡山 広島 山口 徳島 香川 愛媛 高知 福岡 佐賀 長崎 熊本 大分 宮崎
		鹿児島 沖縄`) {
		m[p] = true
	}
	return m
}()
