package normal

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

var forms = []struct {
	name string
	of   func(string) string
}{
	{"Name", Name}, {"NameLoose", NameLoose}, {"Kana", Kana}, {"Digits", Digits}, {"Phone", Phone},
	{"Postal", Postal}, {"Email", Email}, {"Address", Address}, {"Wide", Wide},
}

func formNamed(t testing.TB, name string) func(string) string {
	t.Helper()
	for _, f := range forms {
		if f.name == name {
			return f.of
		}
	}
	t.Fatalf("no form %s", name)
	return nil
}

func TestForms(t *testing.T) {
	for _, c := range []struct{ form, in, want string }{
		{"Name", "", ""},
		{"Name", "山田太郎", "山田太郎"},
		{"Name", " 山田\u3000太郎\u00a0", "山田太郎"},
		{"Name", "髙﨑 邉子", "高崎辺子"},
		{"Name", "高嵜 邊子", "高崎辺子"},
		{"Name", "\U00020BB7澤", "吉沢"},
		{"Name", "濵田德昻", "浜田徳昂"},
		{"Name", "曻", "昇"},
		{"Name", "葛\U000E0100城", "葛城"},
		{"Name", "神\uFA19", "神神"},
		{"Name", "外\uE000字", "外\uE000字"},
		{"Name", "外\U000F0001字", "外\U000F0001字"},
		{"Name", "\uFFFD", "\uFFFD"},
		{"Name", "a\xffb", "a\uFFFDb"},
		{"Name", "ＹＡＭＡＤＡ　Taro", "yamadataro"},
		{"Name", "O\u2019Brien-Smith", "o'brien-smith"},
		{"Name", "O＇Ｂrien−Smith", "o'brien-smith"},
		{"Name", "ジョン・スミス", "ジヨンスミス"},
		{"Name", "鬼ヶ原", "鬼ケ原"},
		{"Name", "㍿山田", "株式会社山田"},
		{"Name", "斉藤", "斉藤"},
		{"Name", "齋藤", "齋藤"},
		{"NameLoose", "斉藤", "斎藤"},
		{"NameLoose", "齋藤", "斎藤"},
		{"NameLoose", "齊藤", "斎藤"},
		{"NameLoose", "冨澤", "富沢"},
		{"NameLoose", "龍嶋", "竜島"},
		{"Kana", "やまだ たろう", "ヤマダタロウ"},
		{"Kana", "ﾔﾏﾀﾞ ﾀﾛｳ", "ヤマダタロウ"},
		{"Kana", "ヤマタ゛", "ヤマダ"},
		{"Kana", "ヤマタ\u3099", "ヤマダ"},
		{"Kana", "ヤマタﾞ", "ヤマダ"},
		{"Kana", "ﾊﾟﾋﾟﾌﾟ ﾊﾞﾋﾞｳﾞﾜﾞｦﾞ", "パピプバビヴヷヺ"},
		{"Kana", "キョウコ", "キヨウコ"},
		{"Kana", "ｷｮｳｺ", "キヨウコ"},
		{"Kana", "ㇷ゚ㇰ", "プク"},
		{"Kana", "ジョージ", "ジヨージ"},
		{"Kana", "ｼﾞｮｰｼﾞ", "ジヨージ"},
		{"Kana", "ジョ-ジ", "ジヨージ"},
		{"Kana", "ジョ−ジ", "ジヨージ"},
		{"Kana", "ジョ―ジ", "ジヨージ"},
		{"Kana", "ジョ‐ジ", "ジヨージ"},
		{"Kana", "じょ─じ", "ジヨージ"},
		{"Kana", "みすゞ", "ミスヾ"},
		{"Digits", "１２３４-567890", "1234567890"},
		{"Digits", "1234 ー 56", "123456"},
		{"Digits", "1234", "1234"},
		{"Digits", "", ""},
		{"Digits", "12a", ""},
		{"Digits", "①", ""},
		{"Phone", "03-1234-5678", "0312345678"},
		{"Phone", "０３（１２３４）５６７８", "0312345678"},
		{"Phone", "+81 (0)3-1234-5678", "0312345678"},
		{"Phone", "＋８１９０１２３４５６７８", "09012345678"},
		{"Phone", "0081-90-1234-5678", "09012345678"},
		{"Phone", "+1 212 555 0100", "+12125550100"},
		{"Phone", "0012125550100", "+12125550100"},
		{"Phone", "12345", ""},
		{"Phone", "0", ""},
		{"Phone", "+", ""},
		{"Phone", "03-1234-5678 (内線12)", ""},
		{"Phone", "0312345", ""},
		{"Postal", "〒100-0005", "1000005"},
		{"Postal", "１００ー０００５", "1000005"},
		{"Postal", "1000005", "1000005"},
		{"Postal", "100000", ""},
		{"Postal", "100-000A", ""},
		{"Email", " Taro.Yamada＠Example.JP ", "taro.yamada@example.jp"},
		{"Address", "東京都千代田区丸の内２丁目５番地　二引ビル", "東京都千代田区丸の内2-5二引ビル"},
		{"Address", "丸の内二丁目21番9号", "丸の内2-21-9"},
		{"Address", "丸の内2の21の9", "丸の内2-21-9"},
		{"Address", "丸の内２－２１－９", "丸の内2-21-9"},
		{"Address", "丸の内2ー21ー9", "丸の内2-21-9"},
		{"Address", "丸の内二-二一-九", "丸の内2-21-9"},
		{"Address", "丸の内二丁目二十一番地の九", "丸の内2-21-9"},
		{"Address", "三番町六番地", "三番町6"},
		{"Address", "六本木六丁目10番1号", "六本木6-10-1"},
		{"Address", "八丁堀二丁目", "八丁堀2"},
		{"Address", "三の丸1の2", "三の丸1-2"},
		{"Address", "5番地二引ビル", "5二引ビル"},
		{"Address", "3十番地", "3-10"},
		{"Address", "十十番地", "十十番地"},
		{"Address", "サンハイツ−１０１", "サンハイツ-101"},
		{"Address", "スカイタワー101", "スカイタワー101"},
		{"Address", "2丁目21番9号101号室", "2-21-9-101"},
		{"Address", "3号棟101号室", "3号棟101"},
		{"Address", "千二百三十四番地", "1234"},
		{"Address", "5番丁目3", "5番丁目3"},
	} {
		if got := formNamed(t, c.form)(c.in); got != c.want {
			t.Errorf("%s(%q) = %q, want %q", c.form, c.in, got, c.want)
		}
	}
}

func TestWideKeepsWhatIsRead(t *testing.T) {
	for in, want := range map[string]string{
		"ﾔﾏﾀﾞ ﾀﾛｳ": "ヤマダ タロウ", "きょうこ": "キョウコ", "ｼﾞｮｰｼﾞ": "ジョージ", "ア゛": "ア゛", "ﾞ": "ﾞ", "abc": "abc",
	} {
		if got := Wide(in); got != want {
			t.Errorf("Wide(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestTables(t *testing.T) {
	for name, table := range map[string][]pair{"sameCharacter": sameCharacter, "looser": looser} {
		if !sort.SliceIsSorted(table, func(i, j int) bool { return table[i].from < table[j].from }) {
			t.Errorf("%s isn't sorted", name)
		}
		for i, p := range table {
			if i > 0 && table[i-1].from == p.from {
				t.Errorf("%s holds %c twice", name, p.from)
			}
			if s := string(p.from); norm.NFKC.String(s) != s {
				t.Errorf("%s: NFKC changes %c before the table can", name, p.from)
			}
			if v := variant(p.to, tier2); name == "looser" && v != p.to {
				t.Errorf("%s: %c becomes %c, which becomes %c", name, p.from, p.to, v)
			}
			if v := find(sameCharacter, p.to); v != p.to {
				t.Errorf("%s: %c becomes %c, which becomes %c", name, p.from, p.to, v)
			}
		}
	}
}

// Every rune by itself, after kana, and between digits: the quick way, where it
// answers, must answer what the slow way does.
func TestEveryRune(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if r >= 0x32400 && r < 0xE0000 { // unassigned
			continue
		}
		for _, format := range []string{"%c", "カ%cハ", "1%c2", "か%cﾞ%[1]c"} {
			s := fmt.Sprintf(format, r)
			for _, m := range []mode{0, tier2 | katakana} {
				if out, dashes, ok := quick(nil, s, m); ok {
					quickly := string(out)
					if dashes {
						quickly = longMarks(quickly)
					}
					if slowly := slow(s, m); quickly != slowly {
						t.Fatalf("%+q: quick %+q, slow %+q", s, quickly, slowly)
					}
				}
				if once := fold(s, m); fold(once, m) != once {
					t.Fatalf("%+q isn't stable: %+q, then %+q", s, once, fold(once, m))
				}
			}
		}
	}
}

func checkForms(t interface {
	Fatalf(string, ...any)
}, s string) {
	for _, f := range forms {
		once := f.of(s)
		if twice := f.of(once); twice != once {
			t.Fatalf("%s(%+q) isn't stable: %+q, then %+q", f.name, s, once, twice)
		}
		if utf8.ValidString(s) && !utf8.ValidString(once) || f.name != "Wide" && !utf8.ValidString(once) {
			t.Fatalf("%s(%+q) = %+q isn't valid UTF-8", f.name, s, once)
		}
		if f.name != "Wide" && strings.ContainsAny(once, " \t\n\u3000\u200b") {
			t.Fatalf("%s(%+q) = %+q holds a space", f.name, s, once)
		}
		if strings.Contains(once, "\uFFFD") && !strings.Contains(s, "\uFFFD") && utf8.ValidString(s) {
			t.Fatalf("%s(%+q) = %+q lost a character", f.name, s, once)
		}
	}
	for _, m := range []mode{0, katakana, tier2} {
		if out, dashes, ok := quick(nil, s, m); ok {
			quickly := string(out)
			if dashes {
				quickly = longMarks(quickly)
			}
			if slowly := slow(s, m); quickly != slowly {
				t.Fatalf("%+q: quick %+q, slow %+q", s, quickly, slowly)
			}
		}
	}
}

// messy draws texts out of what real files are made of.
func messy() *rapid.Generator[string] {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"-", "ー", "ｰ", "−", "－", "ﾞ", "ﾟ", "゛", "\u3099", "\u309a", " ", "\u3000", "の", "ノ", "番", "番地",
			"号", "号室", "丁目", "町", "一", "二", "十", "百", "〇", "1", "２", "ヶ", "ｶ", "ﾊ", "か", "カ", "\u0301", "\U000E0101", "\uE000",
			"髙", "斉", "＋", "+81", "0081", "0", "﨑", "\u034f", "\u1160", "가", "A", "ß", "İ", "\u00a8", "・", "㍻", "①", "ゝ", "ㇷ"}),
		rapid.StringN(0, 4, -1),
		rapid.StringMatching(`[ァ-ヺ]{1,3}`),
	)
	return rapid.Map(rapid.SliceOfN(piece, 0, 14), func(p []string) string { return strings.Join(p, "") })
}

func TestFormsAreStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkForms(t, messy().Draw(t, "text")) })
}

func TestManyMarks(t *testing.T) {
	for _, n := range []int{9, 10, 11, 29, 30, 31, 70} {
		checkForms(t, "カ"+strings.Repeat("\u3099\u0323\u0301", n)+"-1")
		checkForms(t, "ậ"+strings.Repeat("\u0301\u0323", n))
		checkForms(t, strings.Repeat("十番地", n))
		checkForms(t, strings.Repeat("\u0300\uff9e\u30fc", n))
	}
}

func FuzzForms(f *testing.F) {
	for _, s := range []string{"", "髙﨑 邉子", "ﾔﾏﾀﾞ", "ジョ−ジ", "+81 (0)3-1234-5678", "二丁目21番9号", "5番地二引ビル", "a\xffb", "\uE000", "가\u11a8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkForms(t, s) })
}

func BenchmarkForms(b *testing.B) {
	for _, c := range []struct{ form, in string }{
		{"Name", "yamadataro"}, {"Name", "山田 太郎"}, {"Name", "髙﨑　邉子"}, {"Name", "Ｍüller"}, {"Kana", "ヤマダ　タロウ"}, {"Kana", "ﾔﾏﾀﾞ ﾀﾛｳ"},
		{"Phone", "03-1234-5678"}, {"Postal", "1000005"}, {"Digits", "1234-567890"},
		{"Address", "東京都千代田区丸の内二丁目21番9号 第五ビル301号室"},
	} {
		b.Run(c.form+"/"+c.in, func(b *testing.B) {
			b.ReportAllocs()
			of := formNamed(b, c.form)
			for b.Loop() {
				of(c.in)
			}
		})
	}
}
