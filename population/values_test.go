package population

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestValues checks each column's form, that postal codes lead to their towns,
// and that branches are their banks'.
func TestValues(t *testing.T) {
	const seed, n = 31, 100_000
	g := New(seed)
	townsOf := map[string][]string{}
	for _, in := range g.t.towns.in {
		for i := in.first; i < in.end; i++ {
			code, town := g.t.towns.town(i)
			townsOf[code] = append(townsOf[code], in.name+town)
		}
	}
	branches := map[string]bool{}
	for _, b := range g.t.banks {
		for _, branch := range b.branches {
			branches[b.code+branch] = true
		}
	}
	var p Person
	for range n {
		g.Next(&p)
		checkForms(t, seed, &p)
		checkPlace(t, seed, p.Ref, p.PostalCode, p.Address, townsOf)
		for _, f := range p.Former {
			checkPlace(t, seed, p.Ref, f.PostalCode, f.Address, townsOf)
			if (f.Name == "") == (f.Address == "") || (f.Name == "") != (f.Kana == "") {
				t.Errorf("seed %d, %s: %+v is neither a former name nor a former address", seed, p.Ref, f)
			}
		}
		if p.BankCode != "" && !branches[p.BankCode+p.BranchCode] {
			t.Errorf("seed %d, %s: bank %s has no branch %s", seed, p.Ref, p.BankCode, p.BranchCode)
		}
	}
}

func checkPlace(t *testing.T, seed uint64, ref, code, address string, townsOf map[string][]string) {
	t.Helper()
	if code == "" {
		return
	}
	for _, town := range townsOf[code] {
		if strings.HasPrefix(address, town) {
			return
		}
	}
	t.Errorf("seed %d, %s: postal code %s doesn't lead to %s", seed, ref, code, address)
}

// zenginName is what a payee's name may hold: large kana with voicing marks of
// their own, hyphen and space.
const zenginName = `[ｱ-ﾝﾞﾟ-][ｱ-ﾝﾞﾟ -]*`

var forms = map[string]*regexp.Regexp{
	"ref":              regexp.MustCompile(`^[A-Z]+[0-9]{7}$`),
	"number":           regexp.MustCompile(`^[0-9]{10}$`),
	"name":             regexp.MustCompile(`^[^\x00-\x1f]+$`),
	"kana":             regexp.MustCompile(`^([ァ-ヶー]+[ 　])+[ァ-ヶー]+$`),
	"romaji":           regexp.MustCompile(`^([A-Z']+ )+[A-Z']+$`),
	"birth":            regexp.MustCompile(`^(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]$`),
	"sex":              regexp.MustCompile(`^[MF]$`),
	"postal_code":      regexp.MustCompile(`^[0-9]{7}$`),
	"phone":            regexp.MustCompile(`^(0[789]0-[1-9][0-9]{3}-[0-9]{4}|0[1-9][0-9]{0,3}-[2-9][0-9]{0,3}-[0-9]{4})$`),
	"email":            regexp.MustCompile(`^[a-z][a-z0-9._-]*@example\.(com|net|org|jp|(ne|co|or)\.jp)$`),
	"bank_code":        regexp.MustCompile(`^[0-9]{4}$`),
	"branch_code":      regexp.MustCompile(`^[0-9]{3}$`),
	"account_type":     regexp.MustCompile(`^[124]$`),
	"account_number":   regexp.MustCompile(`^[0-9]{7}$`),
	"account_holder":   regexp.MustCompile(`^` + zenginName + `$`),
	"award_kind":       regexp.MustCompile(`^[a-z]+-[a-z-]+$`),
	"award_annual_yen": regexp.MustCompile(`^[1-9][0-9]{5,6}$`),
}

var required = map[string]bool{"ref": true, "number": true, "name": true, "birth": true}

func checkForms(t *testing.T, seed uint64, p *Person) {
	t.Helper()
	for i, value := range rowOf(p) {
		column := Columns()[i]
		form := forms[column]
		switch {
		case value == "" && required[column]:
			t.Errorf("seed %d, %s: no %s", seed, p.Ref, column)
		case value != "" && form != nil && !form.MatchString(value):
			t.Errorf("seed %d, %s: %s %q has the wrong form", seed, p.Ref, column, value)
		}
	}
	if digits := strings.Count(p.Phone, "") - 1 - strings.Count(p.Phone, "-"); p.Phone != "" && digits != 10 && digits != 11 {
		t.Errorf("seed %d, %s: phone %s has %d digits", seed, p.Ref, p.Phone, digits)
	}
	if utf8.RuneCountInString(p.AccountHolder) > holderLimit {
		t.Errorf("seed %d, %s: holder %s is longer than a transfer file's field", seed, p.Ref, p.AccountHolder)
	}
}

func TestRomaji(t *testing.T) {
	for kana, want := range map[string]string{
		"サトウ": "SATO", "オオノ": "ONO", "イノウエ": "INOUE", "タケノウチ": "TAKENOUCHI", "オオウチ": "OUCHI", "コウノ": "KONO",
		"ユウコ": "YUKO", "シンイチ": "SHINICHI", "ジュンイチロウ": "JUNICHIRO", "ホンマ": "HOMMA", "ナンバ": "NAMBA", "ハットリ": "HATTORI",
		"ハッチョウ": "HATCHO", "キョウコ": "KYOKO", "リュウノスケ": "RYUNOSUKE", "チャエン": "CHAEN", "ショウジ": "SHOJI", "セノオ": "SENOO",
		"マツウラ": "MATSUURA", "ツヅキ": "TSUZUKI", "ニイヤマ": "NIIYAMA", "オオオカ": "OOKA", "テシガワラ": "TESHIGAWARA", "ヨウヘイ": "YOHEI",
		"コーイチ": "KOICHI", "イチロウ": "ICHIRO", "シオリ": "SHIORI", "ソウウン": "SOUN",
	} {
		if got := string(appendRomaji(nil, kana)); got != want {
			t.Errorf("%s is %s, not %s", kana, got, want)
		}
	}
}

func TestHolder(t *testing.T) {
	for kana, want := range map[string]string{
		"サトウ　ジュンイチ": "ｻﾄｳ ｼﾞﾕﾝｲﾁ",
		"ハットリ　キョウコ": "ﾊﾂﾄﾘ ｷﾖｳｺ",
		"メアリー　グレース": "ﾒｱﾘ- ｸﾞﾚ-ｽ",
		"シルヴァ　ホセ":   "ｼﾙｳﾞｱ ﾎｾ",
		"アアアアアアアアアアアアアアアアアアアアアアアアアアアアアガ": "ｱｱｱｱｱｱｱｱｱｱｱｱｱｱｱｱｱｱｱｱｱｱｱｱｱｱｱｱｱ",
	} {
		if got := string(appendHolder(nil, []byte(kana))); got != want {
			t.Errorf("%s is held as %s, not %s", kana, got, want)
		}
	}
}

// TestEveryNameCanBeSpelled checks that no reading in the tables holds a kana
// that romaji or a bank has no letter for.
func TestEveryNameCanBeSpelled(t *testing.T) {
	tables := loaded()
	for _, list := range [][]name{tables.surnames.list, tables.given[0].list, tables.given[1].list} {
		for _, n := range list {
			for _, r := range n.kana {
				if lookUp(&halfOf, r) == "" || lookUp(&romajiOf, r) == "" && r != 'ッ' && r != 'ー' {
					t.Errorf("%s (%s): no spelling for %q", n.text, n.kana, r)
				}
			}
			if romaji := appendRomaji(nil, n.kana); len(romaji) == 0 {
				t.Errorf("%s (%s) has no romaji", n.text, n.kana)
			}
		}
	}
}

// TestBanksOfRegions checks the codes that the program itself names.
func TestBanksOfRegions(t *testing.T) {
	tables := loaded()
	if len(regions) != 47 || len(tables.towns.in) != 47 {
		t.Fatalf("%d regions and %d prefectures in the town table, not 47", len(regions), len(tables.towns.in))
	}
	codes := append([]string{postBank}, cityBanks...)
	for _, r := range regions {
		codes = append(codes, r.banks...)
	}
	for _, code := range codes {
		if _, ok := tables.bankAt[code]; !ok {
			t.Errorf("bank %s isn't in the table", code)
		}
	}
}
