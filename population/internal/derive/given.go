package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

//go:embed heads/given_f.txt
var femaleHeads string

//go:embed heads/given_m.txt
var maleHeads string

type sex int

const (
	undecided sex = iota
	female
	male
)

const (
	eras       = 10 // decades of birth: before 1920, 1920s, ... 1990s, from 2000
	givenFloor = 7900
	eraPeople  = 10_000_000 // the total weight of a decade, so that rare names still count
)

// headShare is how much of a decade's people bear one of its head names; names
// have grown more varied.
var headShare = [eras]float64{0.60, 0.62, 0.60, 0.58, 0.55, 0.50, 0.45, 0.42, 0.36, 0.30}

// givenTable is lines of name, reading and one weight a decade.
func givenTable(d dictionary, want sex) ([]byte, error) {
	heads := femaleHeads
	if want == male {
		heads = maleHeads
	}
	weights := map[[2]string]*[eras]float64{}
	if err := addHeads(weights, d, heads); err != nil {
		return nil, err
	}
	addTail(weights, d, want)
	var keys [][2]string
	for k := range weights {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool {
		return keys[i][1] < keys[j][1] || keys[i][1] == keys[j][1] && keys[i][0] < keys[j][0]
	})
	var out bytes.Buffer
	for _, k := range keys {
		fmt.Fprintf(&out, "%s\t%s", k[0], k[1])
		for _, w := range weights[k] {
			fmt.Fprintf(&out, "\t%d", int(w*eraPeople))
		}
		out.WriteByte('\n')
	}
	return out.Bytes(), nil
}

// addHeads gives the names of each decade's list weights that fall with the
// rank as 1/(rank+6), which is about how the published lists fall.
func addHeads(weights map[[2]string]*[eras]float64, d dictionary, heads string) error {
	for era, section := range strings.Split(heads, "\n@")[1:] {
		words := strings.Fields(section)[1:]
		sum := 0.0
		for i := range words {
			sum += 1 / float64(i+7)
		}
		for i, word := range words {
			text, kana, found := strings.Cut(word, "/")
			if !found && isKatakana(text) {
				kana, found = text, true
			}
			if !found {
				kana, found = reading(d.given, text)
			}
			if !found {
				return fmt.Errorf("given name %s is not in the dictionary: write its reading after a slash in heads/", text)
			}
			weightOf(weights, text, kana)[era] += headShare[era] / float64(i+7) / sum
		}
	}
	return nil
}

func weightOf(weights map[[2]string]*[eras]float64, text, kana string) *[eras]float64 {
	k := [2]string{text, kana}
	if weights[k] == nil {
		weights[k] = new([eras]float64)
	}
	return weights[k]
}

// addTail shares what a decade's head leaves among the dictionary's other
// names of that sex: first by the style of the name, then by its cost.
func addTail(weights map[[2]string]*[eras]float64, d dictionary, want sex) {
	type member struct {
		entry
		style int
	}
	var tail []member
	styles := stylesOf(want)
	sums := make([]float64, len(styles))
	for _, e := range d.given {
		if weights[[2]string{e.text, e.kana}] != nil || sexOf(e) != want {
			continue
		}
		s := slices.IndexFunc(styles, func(s style) bool { return s.has(e) })
		tail = append(tail, member{e, s})
		sums[s] += costWeight(e.cost, givenFloor)
	}
	for era := range eras {
		total := 0.0
		for _, s := range styles {
			total += s.share[era]
		}
		for _, m := range tail {
			part := (1 - headShare[era]) * styles[m.style].share[era] / total
			weightOf(weights, m.text, m.kana)[era] += part * costWeight(m.cost, givenFloor) / sums[m.style]
		}
	}
}

// style is a fashion in names: which names it covers and how strong it was in
// each decade (relative to the sex's other styles).
type style struct {
	has   func(entry) bool
	share [eras]float64
}

func endsIn(kanji string) func(entry) bool {
	return func(e entry) bool {
		last, _ := utf8.DecodeLastRuneInString(e.text)
		return strings.ContainsRune(kanji, last)
	}
}

// stylesOf lists a sex's styles; the first that covers a name has it, and the
// last covers all.
func stylesOf(want sex) []style {
	any := func(entry) bool { return true }
	if want == female {
		return []style{
			{hasKatakana, [eras]float64{8, 7, 5, 2, .3, .1, .01, .01, .01, .01}},
			{endsIn("子"), [eras]float64{30, 52, 62, 60, 52, 40, 25, 12, 6, 4}},
			{endsIn("江枝代恵惠世ヱゑえ"), [eras]float64{30, 28, 22, 20, 18, 15, 12, 7, 4, 2}},
			{endsIn("美"), [eras]float64{2, 2, 4, 8, 15, 22, 25, 18, 12, 8}},
			{endsIn("奈菜花華音咲葉彩羽月海夏里希香佳沙衣織穂乃絵未央"), [eras]float64{2, 2, 2, 3, 7, 15, 32, 55, 68, 75}},
			{isHiragana, [eras]float64{8, 3, 1, 1, 2, 3, 4, 5, 6, 8}},
			{any, [eras]float64{15, 4, 3, 3, 4, 5, 6, 6, 6, 6}},
		}
	}
	return []style{
		{endsIn("吉助蔵造作松門衛平熊亀六七八"), [eras]float64{35, 18, 9, 4, 2, 1.5, 1.5, 2, 3, 3}},
		{endsIn("郎一二三次治"), [eras]float64{40, 35, 32, 30, 32, 32, 28, 22, 16, 14}},
		{endsIn("雄夫男生"), [eras]float64{20, 35, 42, 40, 32, 16, 7, 4, 3, 3}},
		{endsIn("也哉介輔樹太斗翔真馬希貴朗磨人大"), [eras]float64{1, 1, 2, 5, 10, 22, 38, 52, 62, 66}},
		{any, [eras]float64{10, 12, 16, 22, 26, 28, 26, 20, 16, 14}},
	}
}

func hasKatakana(e entry) bool {
	return strings.ContainsFunc(e.text, func(r rune) bool { return r >= 'ァ' && r <= 'ヶ' })
}

func isHiragana(e entry) bool {
	return !strings.ContainsFunc(e.text, func(r rune) bool { return r < 'ぁ' || r > 'ん' })
}

const (
	femaleKanji = "子美江代枝恵香里奈世実絵乃穂希花佳栄菜華衣織惠季未央沙緒夏葉音咲彩羽"
	maleKanji   = "郎彦助義一朗司敏志男俊夫二史雄弘門治吉博宏次三介輔也哉斗太平造蔵作士徳信隆範則憲人大真馬翔磨正行之樹"
)

var (
	femaleEnds = []string{"コ", "エ", "ミ", "カ", "ヨ", "リ", "ナ", "ホ", "サ", "ノ", "ネ"}
	maleEnds   = []string{"ロウ", "ヨシ", "トシ", "ヒコ", "スケ", "ヒロ", "イチ", "ロシ", "ジ", "ゾウ", "キチ", "オ", "タ", "ト", "ヤ", "ヘイ", "シ", "ノリ", "マサ", "ユキ", "ハル", "ノブ", "アキ", "キ", "マ", "モン", "ダイ", "テル", "タカ", "ミツ"}
)

// sexOf reads a name's sex from its last character and its reading. A name
// that fits neither or both is left out: an unlikely sex is worse than one
// rare name less.
func sexOf(e entry) sex {
	if utf8.RuneCountInString(e.text) < 2 {
		return undecided
	}
	f := endsIn(femaleKanji)(e) || isHiragana(e) || hasKatakana(e)
	m := endsIn(maleKanji)(e) && !strings.HasPrefix(e.text, "美") && !strings.HasPrefix(e.text, "亜")
	fk := hasSuffix(e.kana, femaleEnds)
	mk := hasSuffix(e.kana, maleEnds)
	switch {
	case f && !m && fk && !hasSuffix(e.kana, maleEnds[:10]):
		return female
	case m && !f && mk:
		return male
	}
	return undecided
}

func hasSuffix(s string, ends []string) bool {
	return slices.ContainsFunc(ends, func(end string) bool { return strings.HasSuffix(s, end) })
}
