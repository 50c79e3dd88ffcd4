package population

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

const (
	crowdSeed = 20150601
	crowdSize = 200_000
)

// tally counts how often something happened among those it can happen to.
type tally struct{ hits, among int }

func (c *tally) add(hit bool) {
	c.among++
	if hit {
		c.hits++
	}
}

// within says whether a tally is near a rate in 100,000: within four standard
// deviations of chance, and a tenth for what the rates of other oddities move.
func (c *tally) within(rate float64) bool {
	want := float64(c.among) * rate / 100_000
	return c.hits > 0 && math.Abs(float64(c.hits)-want) <= 4*math.Sqrt(want)+want/10
}

// census is what one pass over the crowd counts.
type census map[string]*tally

func (c census) add(oddity string, hit bool) {
	if c[oddity] == nil {
		c[oddity] = new(tally)
	}
	c[oddity].add(hit)
}

// TestOdditiesAtTheirRates reads the crowd as an import would, and asks the
// generator itself only who is Japanese, who a twin and who a double.
func TestOdditiesAtTheirRates(t *testing.T) {
	t.Logf("seed %d, %d people", crowdSeed, crowdSize)
	got := takeCensus()
	for oddity, rate := range map[string]float64{
		"second twin":              rateTwin,
		"double":                   rateDouble,
		"foreign name":             rateForeign,
		"very long name":           rateForeign * rateLongName / 100_000,
		"kana missing":             rateNoKana,
		"romaji missing":           rateNoRomaji,
		"sex missing":              rateNoSex,
		"half-width space in name": rateHalfSpace,
		"no space in name":         rateNoSpace,
		"address abroad":           rateAbroad,
		"address missing":          rateNoAddress,
		"phone missing":            rateNoPhone + rateAbroad,
		"former name of a woman":   rateFormerName,
		"former name of a man":     rateFormerNameM,
		"former address":           rateFormerHome,
		"child":                    rateChild,
		"over 100":                 100_000 * 87 / 104_497,
		"award at 65 and over":     100_000 - rateOldNoAward,
		"account without award":    rateAccountEarly,
		"born on 29 February":      100_000 * 0.99 / 1461,
	} {
		if c := got[oddity]; c == nil || !c.within(rate) {
			t.Errorf("seed %d: %s: %+v, but its rate is %.0f in 100,000", crowdSeed, oddity, c, rate)
		}
	}
}

func takeCensus() census {
	got := census{}
	g := New(crowdSeed)
	var p Person
	for i := range uint64(crowdSize) {
		id := g.who(i)
		g.Next(&p)
		draw := newRNG(crowdSeed, i, streamWho)
		kind := draw.below(100_000)
		got.add("second twin", i > 0 && kind < rateTwin)
		got.add("double", i > 0 && kind >= rateTwin && kind < rateTwin+rateDouble)
		got.countNames(&p, &id)
		got.countRest(&p)
		got.countLife(&p, &id)
	}
	return got
}

func (c census) countNames(p *Person, id *identity) {
	c.add("foreign name", id.foreign)
	c.add("very long name", utf8.RuneCountInString(p.Name) >= longEnough)
	c.add("kana missing", p.Kana == "")
	if id.foreign {
		return
	}
	c.add("romaji missing", p.Romaji == "")
	c.add("half-width space in name", strings.Contains(p.Name, " "))
	c.add("no space in name", !strings.ContainsAny(p.Name, " 　"))
}

func (c census) countRest(p *Person) {
	c.add("sex missing", p.Sex == "")
	c.add("address abroad", p.Address != "" && p.PostalCode == "")
	c.add("address missing", p.Address == "")
	c.add("phone missing", p.Phone == "")
	if p.AwardKind == "" {
		c.add("account without award", p.BankCode != "")
	}
	home := false
	for _, f := range p.Former {
		home = home || f.Address != ""
	}
	c.add("former address", home)
}

func (c census) countLife(p *Person, id *identity) {
	age := ageOf(id.born)
	c.add("child", age < youngest)
	c.add("over 100", age >= 100)
	c.add("born on 29 February", strings.HasSuffix(p.Birth, "-02-29"))
	if age >= 65 {
		c.add("award at 65 and over", p.AwardKind != "")
	}
	if age < 25 || id.foreign {
		return
	}
	name := len(p.Former) > 0 && p.Former[0].Name != ""
	if id.woman {
		c.add("former name of a woman", name)
	} else {
		c.add("former name of a man", name)
	}
}

// TestVariantKanji counts each variant among the names whose common form the
// tables hold, and looks for the best-known in finished names.
func TestVariantKanji(t *testing.T) {
	g := New(crowdSeed)
	seen := map[string]*tally{}
	famous := map[string]int{"髙": 0, "﨑": 0, "邉": 0, "邊": 0, "齋": 0, "𠮷": 0, "澤": 0, "\uFA19": 0, "\U000E0100": 0}
	var p Person
	for i := range uint64(crowdSize) {
		id := g.who(i)
		g.Next(&p)
		for v := range famous {
			famous[v] += strings.Count(p.Name, v)
		}
		if !id.foreign {
			countVariants(seen, g.t.surnames.list[id.surname].text, p.Name)
		}
	}
	for common, forms := range surnameVariants {
		for _, v := range forms {
			key := string(common) + v.text
			if c := seen[key]; c == nil || c.among < 50 || c.hits > 0 && !c.within(float64(v.rate)) {
				t.Errorf("seed %d: %s as %s: %+v, but its rate is %d in 100,000", crowdSeed, string(common), v.text, c, v.rate)
			}
		}
	}
	for v, n := range famous {
		if n < 10 {
			t.Errorf("seed %d: %s is in %d of %d names", crowdSeed, v, n, crowdSize)
		}
	}
}

// countVariants compares a surname's common kanji one by one with how the
// record writes them.
func countVariants(seen map[string]*tally, common, written string) {
	for _, r := range common {
		form := string([]rune(written)[:1])
		for _, v := range surnameVariants[r] {
			if strings.HasPrefix(written, v.text) && len(v.text) > len(form) {
				form = v.text
			}
		}
		for _, v := range surnameVariants[r] {
			key := string(r) + v.text
			if seen[key] == nil {
				seen[key] = new(tally)
			}
			seen[key].add(form == v.text)
		}
		written = strings.TrimPrefix(written, form)
	}
}

// TestTwinsAndDoubles finds them again in the finished records.
func TestTwinsAndDoubles(t *testing.T) {
	g := New(crowdSeed)
	type seenAs struct{ number, address string }
	byNameAndBirth, byHome := map[string]seenAs{}, map[string]string{}
	doubles, twins := 0, 0
	var p Person
	for range crowdSize {
		g.Next(&p)
		who := strings.NewReplacer(" ", "", "　", "").Replace(p.Name) + p.Birth
		if first, ok := byNameAndBirth[who]; ok && first.number != p.Number && first.address != p.Address {
			doubles++
		}
		byNameAndBirth[who] = seenAs{p.Number, p.Address}
		if home := p.Address + p.Birth; p.Address != "" {
			if name, ok := byHome[home]; ok && name != p.Name {
				twins++
			}
			byHome[home] = p.Name
		}
	}
	if c := (tally{doubles, crowdSize}); !c.within(rateDouble) {
		t.Errorf("seed %d: %d people share name and birth with another elsewhere", crowdSeed, doubles)
	}
	if c := (tally{twins, crowdSize}); !c.within(rateTwin) {
		t.Errorf("seed %d: %d second twins at one address", crowdSeed, twins)
	}
}

// TestAges holds ages and sexes against the pyramid, and births against the
// calendar.
func TestAges(t *testing.T) {
	g := New(crowdSeed)
	asOf, err := time.Parse(time.DateOnly, AsOf)
	if err != nil || asOf.Year() != asOfYear || int(asOf.Month()) != asOfMonth || asOf.Day() != asOfDay {
		t.Fatalf("AsOf %s isn't the date that ages are counted on: %v", AsOf, err)
	}
	var men, women [20]tally
	var total float64
	for _, band := range pyramid {
		total += float64(band.men + band.women)
	}
	total += centenarianMen + centenarianWomen
	for i := range uint64(crowdSize) {
		id := g.who(i)
		born, err := time.Parse(time.DateOnly, string(appendDate(nil, id.born)))
		if err != nil || born.After(asOf) {
			t.Fatalf("seed %d, person %d: birth %s: %v", crowdSeed, i, born, err)
		}
		age := ageOf(id.born)
		if want := yearsBetween(born, asOf); age != want || age < 0 || age > oldest {
			t.Fatalf("seed %d, person %d: born %s, age %d, not %d", crowdSeed, i, born, age, want)
		}
		for band := range pyramid {
			in := age >= youngest+5*band && age < youngest+5*band+5
			men[band].add(in && !id.woman)
			women[band].add(in && id.woman)
		}
	}
	for band, want := range pyramid {
		if m, w := men[band], women[band]; !m.within(float64(want.men)*1e5/total) || !w.within(float64(want.women)*1e5/total) {
			t.Errorf("seed %d: from %d: %d men, %d women of %d, where the pyramid has %d and %d of %.0f",
				crowdSeed, youngest+5*band, m.hits, w.hits, crowdSize, want.men, want.women, total)
		}
	}
}

func yearsBetween(born, day time.Time) int {
	years := day.Year() - born.Year()
	if born.Month() > day.Month() || born.Month() == day.Month() && born.Day() > day.Day() {
		years--
	}
	return years
}

// TestEras looks at fashions in given names: 子 among older women, 斗 and 翔
// among younger men.
func TestEras(t *testing.T) {
	g := New(crowdSeed)
	var ko, sho [3]tally // before 1950, 1950 to 1979, from 1980
	for i := range uint64(crowdSize) {
		id := g.who(i)
		if id.foreign {
			continue
		}
		given := g.givenNames(id.woman).list[id.given].text
		year, _, _ := civil(int(id.born))
		era := min(max((year-1920)/30, 0), 2)
		if id.woman {
			ko[era].add(strings.HasSuffix(given, "子"))
		} else {
			sho[era].add(strings.ContainsAny(given, "斗翔颯"))
		}
	}
	share := func(c tally) float64 { return float64(c.hits) / float64(c.among) }
	summary := fmt.Sprintf("seed %d: 子 %.2f %.2f %.2f, 斗翔颯 %.3f %.3f %.3f", crowdSeed,
		share(ko[0]), share(ko[1]), share(ko[2]), share(sho[0]), share(sho[1]), share(sho[2]))
	t.Log(summary)
	if share(ko[0]) < 0.6 || share(ko[1]) < 0.25 || share(ko[1]) > 0.7 || share(ko[2]) > 0.2 ||
		share(sho[0]) > 0.01 || share(sho[2]) < 0.03 {
		t.Error(summary)
	}
}

// TestCommonSurnames holds the ten commonest against the published ranking.
func TestCommonSurnames(t *testing.T) {
	g := New(crowdSeed)
	counts := map[string]int{}
	for i := range uint64(crowdSize) {
		if id := g.who(i); !id.foreign {
			counts[g.t.surnames.list[id.surname].text]++
		}
	}
	for _, c := range []struct {
		name string
		low  int
		high int
	}{{"佐藤", 2600, 3600}, {"鈴木", 2500, 3500}, {"高橋", 1900, 2800}, {"田中", 1800, 2700}, {"山本", 1200, 2000}} {
		if n := counts[c.name]; n < c.low || n > c.high {
			t.Errorf("seed %d: %s: %d of %d, not between %d and %d", crowdSeed, c.name, n, crowdSize, c.low, c.high)
		}
	}
	for name, n := range counts {
		if n > counts["高橋"] && name != "佐藤" && name != "鈴木" {
			t.Errorf("seed %d: %s (%d) is commoner than 高橋 (%d)", crowdSeed, name, n, counts["高橋"])
		}
	}
}

// TestAwardsFitTheirPeople checks kinds against ages, and the amounts.
func TestAwardsFitTheirPeople(t *testing.T) {
	g := New(crowdSeed)
	kinds := map[string]int{}
	var p Person
	for i := range uint64(crowdSize) {
		id := g.who(i)
		g.Next(&p)
		kinds[p.AwardKind]++
		age := ageOf(id.born)
		ok := p.AwardKind == "" && p.AwardAnnualYen == 0
		switch p.AwardKind {
		case OldAgeBasic:
			ok = age >= 60 && p.AwardAnnualYen >= fullBasic/5 && p.AwardAnnualYen <= fullBasic
		case OldAgeEmployees:
			ok = age >= 65 && p.AwardAnnualYen >= 500_000 && p.AwardAnnualYen < 3_000_000
		case DisabilityBasic:
			ok = age >= 20 && age < 65 && p.AwardAnnualYen >= fullBasic
		case SurvivorsEmployees:
			ok = (age < 20 || id.woman && age >= 40) && p.AwardAnnualYen >= 400_000
		}
		if !ok || (p.AwardKind != "") && p.BankCode == "" {
			t.Fatalf("seed %d, %s: age %d, %s, %s yen, bank %q", crowdSeed, p.Ref, age, p.AwardKind, strconv.FormatInt(p.AwardAnnualYen, 10), p.BankCode)
		}
	}
	for _, kind := range []string{OldAgeBasic, OldAgeEmployees, DisabilityBasic, SurvivorsEmployees} {
		if kinds[kind] < 500 {
			t.Errorf("seed %d: %d awards of kind %s in %d people", crowdSeed, kinds[kind], kind, crowdSize)
		}
	}
}
