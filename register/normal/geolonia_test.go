package normal

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// townOfJapan is a line of the towns' table, cut into what the other normaliser's
// data keep apart.
type townOfJapan struct{ pref, county, city, ward, town string }

func (t townOfJapan) whole() string { return t.county + t.city + t.ward + t.town }

// municipality cuts a county and a town or village, a city and one of its wards, or
// one of Tokyo's wards off an address. The names that it spells out have the very
// character in them that ends other names; only the twenty designated cities have
// wards, other cities' 区 are parts of a town's name.
var municipality = regexp.MustCompile(`^(?:` +
	`((?:大和郡山|郡山|郡上|蒲郡|小郡)市)` +
	`|((?:余市|高市|[^市]{1,4}?)郡)((?:玉村|大町|.+?)[町村])` +
	`|((?:札幌|仙台|さいたま|千葉|横浜|川崎|相模原|新潟|静岡|浜松|名古屋|京都|大阪|堺|神戸|岡山|広島|北九州|福岡|熊本)市)([^区]{1,4}区)` +
	`|([^市町村郡]{2,3}区)` +
	`|((?:四日市|廿日市|野々市|市川|市原|.{1,6}?)市)` +
	`|([^市]{1,4}?[町村]))(.*)$`)

// townsOfJapan reads the table from which people get their homes.
func townsOfJapan(t *testing.T) (list []townOfJapan) {
	t.Helper()
	f, err := os.Open("../../population/data/towns.txt.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	pref, uncut := "", 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if head, found := strings.CutPrefix(line, "@"); found {
			pref, _, _ = strings.Cut(head, " ")
			continue
		}
		m := municipality.FindStringSubmatch(line[7:])
		if m == nil || m[9] == "" {
			uncut++
			continue
		}
		list = append(list, townOfJapan{pref, m[2], m[1] + m[3] + m[4] + m[6] + m[7] + m[8], m[5], m[9]})
	}
	if uncut > len(list)/100 {
		t.Fatalf("%d of %d lines weren't understood", uncut, len(list))
	}
	return list
}

// A home is an address in all its parts: the truth that both readings are held to.
type home struct {
	townOfJapan
	parts    []int // chome, ban and go; or a lot and its branch
	building string
}

func (h home) block() string { return joinInts(h.parts, "-") }

func joinInts(n []int, mark string) string {
	texts := make([]string, len(n))
	for i, v := range n {
		texts[i] = strconv.Itoa(v)
	}
	return strings.Join(texts, mark)
}

// writing is one way to write an address.
type writing struct {
	name string
	of   func(h home, r *rand.Rand) string
}

func inKanji(n int) string {
	const digits = "〇一二三四五六七八九"
	one := func(d int) string { return string([]rune(digits)[d]) }
	var b strings.Builder
	for _, u := range []struct {
		value int
		name  string
	}{{1000, "千"}, {100, "百"}, {10, "十"}} {
		if d := n / u.value % 10; d > 1 {
			b.WriteString(one(d) + u.name)
		} else if d == 1 {
			b.WriteString(u.name)
		}
	}
	if n%10 > 0 {
		b.WriteString(one(n % 10))
	}
	return b.String()
}

func inWide(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r - '0' + '０'
		}
		return r
	}, s)
}

// units writes the numbers with their units, each as number does.
func (h home) units(number func(int) string) string {
	if len(h.parts) == 3 {
		return number(h.parts[0]) + "丁目" + number(h.parts[1]) + "番" + number(h.parts[2]) + "号"
	}
	s := number(h.parts[0]) + "番地"
	if len(h.parts) == 2 {
		s += "の" + number(h.parts[1])
	}
	return s
}

func (h home) head() string { return h.pref + h.whole() }

// swapped is s with each character of from in the other's place.
func swapped(s, from, to string) string {
	f, g := []rune(from), []rune(to)
	return strings.Map(func(r rune) rune {
		if i := slices.Index(f, r); i >= 0 {
			return g[i]
		}
		return r
	}, s)
}

// The writings that a difference asks for by name.
const (
	postal       = "a postal code before"
	inHalf       = "half-width kana"
	drawings     = "other drawings"
	kyoto        = "by streets, as Kyoto does"
	noPrefecture = "without its prefecture"
	kanjiAndNo   = "numbers in kanji and no"
	branchByNo   = "a lot's branch by ノ"
)

var writings = []writing{
	{"units", func(h home, _ *rand.Rand) string { return h.head() + h.units(strconv.Itoa) }},
	{"units, wide", func(h home, _ *rand.Rand) string { return h.head() + inWide(h.units(strconv.Itoa)) }},
	{"units, kanji", func(h home, _ *rand.Rand) string { return h.head() + h.units(inKanji) }},
	{"hyphens", func(h home, _ *rand.Rand) string { return h.head() + joinInts(h.parts, "-") }},
	{"hyphens, wide", func(h home, _ *rand.Rand) string { return h.head() + inWide(joinInts(h.parts, "－")) }},
	{"hyphens of other kinds", func(h home, r *rand.Rand) string {
		kinds := []string{"−", "‐", "‑", "‒", "–", "—", "―", "ー", "ｰ", "─"}
		return h.head() + joinInts(h.parts, kinds[r.IntN(len(kinds))])
	}},
	{"no", func(h home, _ *rand.Rand) string { return h.head() + joinInts(h.parts, "の") }},
	{"chome in kanji, then hyphens", func(h home, _ *rand.Rand) string {
		if len(h.parts) < 3 {
			return h.head() + joinInts(h.parts, "-")
		}
		return h.head() + inKanji(h.parts[0]) + "丁目" + joinInts(h.parts[1:], "-")
	}},
	{kanjiAndNo, func(h home, _ *rand.Rand) string {
		texts := make([]string, len(h.parts))
		for i, n := range h.parts {
			texts[i] = inKanji(n)
		}
		return h.head() + strings.Join(texts, "の")
	}},
	{noPrefecture, func(h home, _ *rand.Rand) string { return h.whole() + joinInts(h.parts, "-") }},
	{"without its county", func(h home, _ *rand.Rand) string {
		return h.pref + h.city + h.ward + h.town + joinInts(h.parts, "-")
	}},
	{"spaces", func(h home, r *rand.Rand) string {
		space := []string{" ", "\u3000"}[r.IntN(2)]
		return h.pref + space + h.county + h.city + h.ward + space + h.town + space + joinInts(h.parts, "-")
	}},
	{postal, func(h home, _ *rand.Rand) string { return "〒100-0013 " + h.head() + joinInts(h.parts, "-") }},
	{"a building behind a space", func(h home, _ *rand.Rand) string {
		return h.head() + joinInts(h.parts, "-") + " " + h.building
	}},
	{"a building behind the number", func(h home, _ *rand.Rand) string {
		return h.head() + h.units(strconv.Itoa) + h.building
	}},
	{"oaza", func(h home, _ *rand.Rand) string {
		return h.pref + h.county + h.city + h.ward + "大字" + strings.TrimPrefix(h.town, "大字") + joinInts(h.parts, "-")
	}},
	{"small and large kana", func(h home, _ *rand.Rand) string {
		return swapped(h.head(), "ヶケがガ", "ケヶケヶ") + joinInts(h.parts, "-")
	}},
	{drawings, func(h home, _ *rand.Rand) string {
		return swapped(h.head(), "沢浜辺竜高崎広国沢桧槙薮籠渕曽槌諸祢", "澤濱邊龍髙﨑廣國澤檜槇藪篭淵曾鎚諸禰") + joinInts(h.parts, "-")
	}},
	{"the name's own numbers in digits", func(h home, _ *rand.Rand) string {
		return h.pref + h.county + h.city + h.ward + ownNumbers.ReplaceAllStringFunc(h.town, inDigits) + joinInts(h.parts, "-")
	}},
	{branchByNo, func(h home, _ *rand.Rand) string {
		if len(h.parts) != 2 {
			return h.head() + h.units(inKanji)
		}
		return h.head() + inWide(strconv.Itoa(h.parts[0])) + "番地ノ" + inWide(strconv.Itoa(h.parts[1]))
	}},
	{kyoto, func(h home, r *rand.Rand) string {
		if h.city != "京都市" {
			return h.head() + joinInts(h.parts, "-")
		}
		streets := []string{"寺町通御池上る", "烏丸通四条下ル", "五条通東洞院西入", "今出川通大宮東入ル", "河原町通三条上る2丁目"}
		return h.pref + h.city + h.ward + streets[r.IntN(len(streets))] + h.town + h.units(strconv.Itoa)
	}},
	{inHalf, func(h home, _ *rand.Rand) string {
		return halfKana(h.head()) + joinInts(h.parts, "-")
	}},
}

// ownNumbers are numbers that a town's name has.
var ownNumbers = regexp.MustCompile(`[一二三四五六七八九十]+(?:条|番町|丁目|線|区|号)`)

// inDigits is a number in kanji below a hundred, and what follows it, in digits.
func inDigits(s string) string {
	digits, end := numberAt(s, 0)
	return digits + s[end:]
}

func halfKana(s string) string {
	const full = "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン"
	const half = "ｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾅﾆﾇﾈﾉﾊﾋﾌﾍﾎﾏﾐﾑﾒﾓﾔﾕﾖﾗﾘﾙﾚﾛﾜﾝ"
	return swapped(s, full, half)
}

// homesIn draws n homes among the towns.
func homesIn(towns []townOfJapan, n int, r *rand.Rand) []home {
	buildings := []string{"第二若葉荘301号室", "コーポさくら205", "ヴィラ富士", "市営住宅3棟12", "みどりマンション1203号"}
	list := make([]home, n)
	for i := range list {
		h := home{townOfJapan: towns[r.IntN(len(towns))], building: buildings[r.IntN(len(buildings))]}
		switch r.IntN(4) {
		case 0:
			h.parts = []int{1 + r.IntN(2400)}
		case 1:
			h.parts = []int{1 + r.IntN(2400), 1 + r.IntN(30)}
		default:
			h.parts = []int{1 + r.IntN(9), 1 + r.IntN(40), 1 + r.IntN(30)}
		}
		list[i] = h
	}
	return list
}

// read is what @geolonia/normalize-japanese-addresses makes of an address.
type read struct {
	Pref, City, Town, Rest string
	Level                  int
}

var leadingNumbers = regexp.MustCompile(`^-?([0-9]+(?:-[0-9]+){0,2})`)

// place is the reading in the form that ours has.
func (g read) place() (town, block string) {
	if g.Level < 3 {
		return "", ""
	}
	if m := leadingNumbers.FindStringSubmatch(g.Rest); m != nil {
		block = m[1]
	}
	return PlaceOf(g.City + g.Town).Town, block
}

// geolonia reads the addresses by the other normaliser, whose place names are
// written from the towns.
func geolonia(t *testing.T, towns []townOfJapan, addresses []string) []read {
	t.Helper()
	lock, err := os.ReadFile("testdata/geolonia/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(lock)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(cache, "azekura", "geolonia-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(filepath.Join(modules, "node_modules")); err != nil {
		t.Fatal("the other normaliser's modules are missing; run make setup: ", err)
	}
	dir := t.TempDir()
	writePlaces(t, dir, towns)
	cmd := exec.Command("node", "testdata/geolonia/compare.mjs", dir, modules)
	cmd.Stdin = strings.NewReader(strings.Join(addresses, "\n") + "\n")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v", err)
	}
	list := make([]read, 0, len(addresses))
	for line := range strings.Lines(string(out)) {
		var g read
		if err := json.Unmarshal([]byte(line), &g); err != nil {
			t.Fatal(err)
		}
		list = append(list, g)
	}
	if len(list) != len(addresses) {
		t.Fatalf("%d answers to %d addresses", len(list), len(addresses))
	}
	return list
}

// writePlaces writes the place names as the files that the other normaliser reads.
func writePlaces(t *testing.T, dir string, towns []townOfJapan) {
	t.Helper()
	type point [2]float64 // nobody here asks where it is, but it must be there
	type cityOf struct {
		Point  point  `json:"point"`
		Code   int    `json:"code"`
		County string `json:"county,omitempty"`
		City   string `json:"city"`
		Ward   string `json:"ward,omitempty"`
	}
	type prefOf struct {
		Point  point    `json:"point"`
		Code   int      `json:"code"`
		Pref   string   `json:"pref"`
		Cities []cityOf `json:"cities"`
	}
	type townOf struct {
		Point point  `json:"point"`
		ID    string `json:"machiaza_id"`
		Oaza  string `json:"oaza_cho"`
	}
	type file[T any] struct {
		Meta struct {
			Updated int `json:"updated"`
		} `json:"meta"`
		Data []T `json:"data"`
	}
	save := func(path string, what any) {
		raw, err := json.Marshal(what)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o700)
		}
		if err == nil {
			err = os.WriteFile(path, raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var prefs file[prefOf]
	in := map[string]*file[townOf]{}
	for _, w := range towns {
		if n := len(prefs.Data); n == 0 || prefs.Data[n-1].Pref != w.pref {
			prefs.Data = append(prefs.Data, prefOf{Code: n + 1, Pref: w.pref})
		}
		p := &prefs.Data[len(prefs.Data)-1]
		path := filepath.Join(dir, "ja", w.pref, w.county+w.city+w.ward+".json")
		if in[path] == nil {
			in[path] = &file[townOf]{}
			p.Cities = append(p.Cities, cityOf{Code: len(in), County: w.county, City: w.city, Ward: w.ward})
		}
		f := in[path]
		f.Data = append(f.Data, townOf{ID: fmt.Sprintf("%07d", len(f.Data)), Oaza: w.town})
	}
	save(filepath.Join(dir, "ja.json"), prefs)
	for path, f := range in {
		save(path, f)
	}
}

// A difference is why one of the two normalisers doesn't read an address as it was
// meant. Each is tried in turn; an address that none explains fails the test.
type difference struct {
	name string
	is   func(w string, h home, address string, g read) bool
}

var endsInNumber = regexp.MustCompile(`[0-9０-９〇一二三四五六七八九十百千]$`)

// ambiguous are the addresses that can be read in two ways.
var ambiguous = []difference{
	{"the town's name ends in a number, and the lot's follows it", func(_ string, h home, _ string, _ read) bool { return endsInNumber.MatchString(h.town) }},
	{"a town of that name and a number is there too", func(_ string, h home, _ string, _ read) bool {
		return PlaceOf(h.whole()+joinInts(h.parts, "-")).Town != PlaceOf(h.whole()).Town
	}},
	{"the town begins with a number, behind a street's chome", func(w string, h home, _ string, _ read) bool {
		_, end := numberAt(h.town, 0)
		return w == kyoto && end > 0
	}},
}

// oursOnly are the differences where ours is wrong, theirs those where the other is.
var (
	oursOnly = append(slices.Clone(ambiguous),
		difference{"one character of kanji is no lot's number to us", func(w string, h home, _ string, _ read) bool {
			return w == kanjiAndNo && len(h.parts) == 1 && h.parts[0] <= 10
		}},
		difference{"a drawing that our tables don't have", func(_ string, _ home, address string, _ read) bool { return strings.ContainsAny(address, "鎚諸") }},
	)
	theirs = append(slices.Clone(ambiguous),
		difference{"a postal code before the address", func(w string, _ home, _ string, g read) bool { return w == postal && g.Level == 0 }},
		difference{"a number within the town's name", func(_ string, h home, _ string, _ read) bool {
			return strings.ContainsAny(h.town, "0123456789０１２３４５６７８９")
		}},
		difference{"番地ノ", func(w string, _ home, _ string, g read) bool { return w == branchByNo && g.Level >= 3 }},
		difference{"half-width kana", func(w string, _ home, address string, _ read) bool {
			return w == inHalf && strings.ContainsFunc(address, func(r rune) bool { return r >= 0xFF66 && r <= 0xFF9F })
		}},
		difference{"a drawing that its dictionary doesn't have", func(w string, h home, address string, g read) bool {
			return w == drawings && address != writings[slices.IndexFunc(writings, func(w writing) bool { return w.name == "hyphens" })].of(h, nil)
		}},
		difference{"a street of Kyoto's is taken for a town", func(w string, h home, _ string, g read) bool {
			return w == kyoto && h.city == "京都市" && PlaceOf(g.City+g.Town).Town != PlaceOf(h.whole()).Town
		}},
		difference{"the city's name is in several prefectures, or begins one", func(w string, _ home, _ string, g read) bool {
			return w == noPrefecture
		}},
	)
)

func explained(by []difference, w string, h home, address string, g read) string {
	for _, d := range by {
		if d.is(w, h, address, g) {
			return d.name
		}
	}
	return ""
}

// TestBesideGeolonia reads addresses in every writing by ours and by
// @geolonia/normalize-japanese-addresses, over the same towns, and holds both to what
// was meant. Where either is wrong, it must be for a reason that is known.
func TestBesideGeolonia(t *testing.T) {
	towns := townsOfJapan(t)
	r := rand.New(rand.NewPCG(2015, 6))
	count := 24 * len(writings)
	if os.Getenv("AZEKURA_SOAK") != "" { // insttest.Soak, whose package needs this one
		count = 500 * len(writings)
	}
	homes := homesIn(towns, count, r)
	inKyoto := slices.DeleteFunc(slices.Clone(towns), func(w townOfJapan) bool { return w.city != "京都市" })
	addresses := make([]string, len(homes))
	for i := range homes {
		w := writings[i%len(writings)]
		if w.name == kyoto {
			homes[i] = homesIn(inKyoto, 1, r)[0]
		}
		addresses[i] = w.of(homes[i], r)
	}
	type tally struct{ both, ours, theirs, neither int }
	by, why, all := map[string]*tally{}, map[string]int{}, tally{}
	for i, g := range geolonia(t, towns, addresses) {
		w, h := writings[i%len(writings)].name, homes[i]
		if by[w] == nil {
			by[w] = &tally{}
		}
		meant, p := PlaceOf(h.whole()).Town, PlaceOf(addresses[i])
		town, block := g.place()
		right := p.Known && p.Town == meant && p.Block == h.block()
		other := town == meant && block == h.block()
		for _, c := range []*tally{by[w], &all} {
			switch {
			case right && other:
				c.both++
			case right:
				c.ours++
			case other:
				c.theirs++
			default:
				c.neither++
			}
		}
		for _, wrong := range []struct {
			is  bool
			who string
			by  []difference
		}{{!right, "ours", oursOnly}, {!other, "the other's", theirs}} {
			if !wrong.is {
				continue
			}
			reason := explained(wrong.by, w, h, addresses[i], g)
			if reason == "" {
				t.Errorf("%s: %s, meant as %s and %s: ours %+v, the other's %+v: no known difference explains %s", w, addresses[i], meant, h.block(), p, g, wrong.who)
			}
			why[wrong.who+": "+reason]++
		}
	}
	for _, w := range writings {
		t.Logf("%-34s both %4d, ours alone %4d, the other's alone %3d, neither %3d", w.name, by[w.name].both, by[w.name].ours, by[w.name].theirs, by[w.name].neither)
	}
	for _, reason := range slices.Sorted(maps.Keys(why)) {
		t.Logf("%4d %s", why[reason], reason)
	}
	t.Logf("of %d addresses both %d, ours alone %d, the other's alone %d, neither %d", len(homes), all.both, all.ours, all.theirs, all.neither)
	if wrong := all.theirs + all.neither; wrong*500 > len(homes) {
		t.Errorf("ours reads %d of %d addresses wrongly", wrong, len(homes))
	}
	if all.both*10 < len(homes)*8 {
		t.Errorf("both agree on %d of %d addresses alone", all.both, len(homes))
	}
}
