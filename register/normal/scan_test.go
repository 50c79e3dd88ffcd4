package normal

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestDays(t *testing.T) {
	for text, want := range map[string]string{
		"1950-04-12": "1950-04-12", "1950/4/12": "1950-04-12", "1950.04.12": "1950-04-12", "19500412": "1950-04-12",
		"１９５０年４月１２日": "1950-04-12", "昭和25年4月12日": "1950-04-12", "昭和２５年 ４月１２日生": "1950-04-12", "S25.4.12": "1950-04-12",
		"s250412": "1950-04-12", "昭25.4.12": "1950-04-12", "㍼25年4月12日": "1950-04-12", "5250412": "1950-04-12", "5-250412": "1950-04-12",
		"昭和二十五年四月十二日": "1950-04-12", "昭和二五年四月一二日": "1950-04-12", "令和元年5月1日": "2019-05-01", "平成元年１月８日": "1989-01-08",
		"大正15年12月25日": "1926-12-25", "昭和元年12月25日": "1926-12-25", "T1.7.30": "1912-07-30", "明治45年7月30日": "1912-07-30",
		"昭和十年十月二十日": "1935-10-20", "一九五〇年四月十二日": "1950-04-12", "1950-04-12 00:00:00": "1950-04-12",
		"1950-04-12T00:00:00+09:00": "1950-04-12", "1950−04−12": "1950-04-12", "1950‐4‐12": "1950-04-12",
		// Two digits: both centuries, where the calendar has both.
		"50/04/12": "1950-04-12 2050-04-12", "500412": "1950-04-12 2050-04-12", "00-02-29": "2000-02-29",
		"昭和64年1月8日": "", "平成元年1月7日": "", "1950-02-29": "", "1950-4/12": "", "19501301": "", "0312345678": "", "1234567890": "",
		"": "", "山田": "", "1950": "", "1950-04": "", "大阪市": "", "昭和通り1-2-3": "", "1950-04-12x": "", "1850-01-01": "", "S25": "",
		"5番地": "", "2-21-9": "1902-21-09"[:0],
	} {
		var got []string
		for _, d := range AppendDays(nil, text) {
			y, m, day := d.Date()
			got = append(got, fmt.Sprintf("%04d-%02d-%02d", y, m, day))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
}

// TestKanjiThatBeginDates: what isn't named as the beginning of a date begins none.
func TestKanjiThatBeginDates(t *testing.T) {
	dates := 0
	for r := rune(0x4000); r <= 0x9FFF; r++ {
		for _, rest := range []string{"1年2月3日", "和5年6月7日", "年1月2日", "1-2-3", "1950/1/2", "十年十月十日"} {
			s := string(r) + rest
			if days := len(AppendDays(nil, s)); days == 0 && len(simple(nil, s)) > 0 && !beginsDate(s[:3]) {
				t.Errorf("%q isn't looked at as a date", s)
			} else if dates += days; days > 0 && !beginsDate(s[:3]) {
				t.Errorf("%q is a date, and its first character isn't named", s)
			}
		}
	}
	if dates < 10 {
		t.Errorf("only %d dates", dates)
	}
}

// Every form that a day can be written in must be read as that day.
func TestDaysRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		year, month := rapid.IntRange(1927, 2025).Draw(t, "year"), rapid.IntRange(1, 12).Draw(t, "month")
		day := rapid.IntRange(1, DaysIn(year, month)).Draw(t, "day")
		want := DayOf(year, month, day)
		forms := []string{fmt.Sprintf("%d-%02d-%02d", year, month, day), fmt.Sprintf("%d/%d/%d", year, month, day),
			fmt.Sprintf("%04d%02d%02d", year, month, day), fmt.Sprintf("%d年%d月%d日", year, month, day),
			fmt.Sprintf("%02d.%02d.%02d", year%100, month, day), fmt.Sprintf("%d年%s月%s日", year, kanji(month), kanji(day))}
		for letter, name := range map[byte]string{'s': "昭和", 'h': "平成", 'r': "令和"} {
			y := year - eraStart(letter) + 1
			if eraDay(letter, year, month, day) == 0 {
				continue
			}
			forms = append(forms, fmt.Sprintf("%s%d年%d月%d日", name, y, month, day), fmt.Sprintf("%s%s年%s月%s日", name, kanji(y), kanji(month), kanji(day)),
				fmt.Sprintf("%c%02d%02d%02d", letter, y, month, day), fmt.Sprintf("%c%d.%d.%d", letter, y, month, day))
		}
		for _, form := range forms {
			found := false
			for _, d := range AppendDays(nil, form) {
				found = found || d == want
			}
			if !found {
				t.Fatalf("%q isn't read as %d-%d-%d", form, year, month, day)
			}
		}
	})
}

func kanji(n int) string {
	const digits = "〇一二三四五六七八九"
	one := func(d int) string { return string([]rune(digits)[d]) }
	switch {
	case n < 10:
		return one(n)
	case n < 20:
		return strings.TrimSuffix("十"+one(n%10), "〇")
	}
	return strings.TrimSuffix(one(n/10)+"十"+one(n%10), "〇")
}

func FuzzDays(f *testing.F) {
	f.Add("昭和25年4月12日")
	f.Add("5-250412")
	f.Fuzz(func(t *testing.T, s string) {
		days := AppendDays(nil, s)
		if len(days) > 2 {
			t.Fatalf("%q gives %d days", s, len(days))
		}
		for _, d := range days {
			if DayOf(d.Date()) != d {
				t.Fatalf("%q gives a day that the calendar hasn't", s)
			}
		}
	})
}

func TestPlace(t *testing.T) {
	for _, same := range []struct {
		town, block string
		texts       []string
	}{
		{"1000代田区丸の内", "2-21-9", []string{"東京都千代田区丸の内二丁目21番9号", "東京都千代田区丸の内2の21の9", "東京都千代田区丸の内2-21-9", "千代田区丸ノ内２－２１－９",
			"東京都千代田区丸の内2丁目21−9 第五ビル301号室", "東京都千代田区丸の内2-21-9 301", "〒100-0005 東京都千代田区丸の内2ー21ー9", "東京都　千代田区　丸の内　二丁目二十一番九号"}},
		{"1000代田区3番町", "6-2", []string{"東京都千代田区三番町6-2", "千代田区３番町６番２号", "東京都千代田区三番町六番地二"}},
		{"港区6本木", "3-1", []string{"東京都港区六本木3-1", "港区六本木三丁目1番"}},
		{"1000代田区霞ケ関", "1-2-2", []string{"東京都千代田区霞が関1-2-2", "東京都千代田区霞ヶ関一丁目２番２号", "千代田区霞ケ関1の2の2 合同庁舎5号館"}},
		{"南砺市梅野", "854", []string{"富山県南砺市梅野854", "富山県南砺市大字梅野854番地", "南砺市大字梅野字854", "南砺市梅野八百五十四"}},
		{"市川町西川辺", "3-2", []string{"兵庫県神崎郡市川町西川辺3-2", "市川町西川辺3番地2"}},
		{"京都市中京区上本能寺前町", "488", []string{"京都府京都市中京区上本能寺前町488", "京都市中京区寺町通御池上る上本能寺前町488番地"}},
		{"1000代田区丸の内", "5", []string{"東京都千代田区丸の内5番地二引ビル", "東京都千代田区丸の内5 二引ビル"}},
	} {
		for _, text := range same.texts {
			p := PlaceOf(text)
			if !p.Known || p.Town != same.town || p.Block != same.block {
				t.Errorf("%s: %+v, want %s %s", text, p, same.town, same.block)
			}
		}
	}
	if p := PlaceOf("12 Rue de la Paix, Paris"); p.Known {
		t.Errorf("a street abroad is taken for a town: %+v", p)
	}
	if f := PlaceOf("東京都千代田区丸の内").Form(); f != "" {
		t.Errorf("a town without a number has the form %q", f)
	}
}

func FuzzPlace(f *testing.F) {
	f.Add("東京都千代田区丸の内二丁目21番9号 第五ビル301号室")
	f.Add("〒")
	f.Fuzz(func(t *testing.T, s string) {
		p := PlaceOf(s)
		if strings.ContainsAny(p.Block, "| ") || strings.HasSuffix(p.Block, "-") {
			t.Fatalf("%+q has the block %q", s, p.Block)
		}
	})
}

// What is appended must be what the string functions give, whatever stands
// before it.
func TestAppend(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := messy().Draw(t, "text")
		for name, f := range map[string]struct {
			of  func(string) string
			app func([]byte, string) []byte
		}{"Name": {Name, AppendName}, "NameLoose": {NameLoose, AppendNameLoose}, "Kana": {Kana, AppendKana}} {
			if got := string(f.app([]byte("カ"), s)); got != "カ"+f.of(s) {
				t.Fatalf("%s of %+q: appended %+q, alone %+q", name, s, got, f.of(s))
			}
		}
		if got := string(AppendLoose(nil, []byte(Name(s)))); got != NameLoose(s) {
			t.Fatalf("tier 2 after tier 1 of %+q: %+q, want %+q", s, got, NameLoose(s))
		}
	})
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want Tier
	}{
		{"髙橋", "髙橋", Written}, {"髙橋", "高橋", Same}, {"山﨑", "山崎", Same}, {"渡邉 邊", "渡邊　辺", Same}, {"𠮷田", "吉田", Same},
		{"斎藤", "齋藤", Loose}, {"斉藤", "齊藤", Loose}, {"冨田", "富田", Loose}, {"葛󠄀城", "葛城", Same}, {"山\ue000", "山\ue001", Different}, {"山\ue000", "山", Different},
	} {
		if got := Compare(c.a, c.b); got != c.want {
			t.Errorf("%s and %s are %s, want %s", c.a, c.b, got, c.want)
		}
	}
}
