package value

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"azekura/register/field"
)

// now is the day on which the tests happen.
var now = time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)

type parseCase struct {
	in   string
	want string // "" where err says why
	err  error
}

func checkParse(t *testing.T, cases []parseCase, parse func(string) (string, error)) {
	t.Helper()
	for _, c := range cases {
		got, err := parse(c.in)
		if got != c.want || err != c.err {
			t.Errorf("%.40q: got %.40q, %v; want %.40q, %v", c.in, got, err, c.want, c.err)
		}
	}
}

func TestBasicNumber(t *testing.T) {
	checkParse(t, []parseCase{
		{"1234567890", "1234567890", nil},
		{"1234-567890", "1234567890", nil},
		{"１２３４－５６７８９０", "1234567890", nil},
		{"1234ー567890", "1234567890", nil},
		{" 1234 567890 ", "1234567890", nil},
		{"0123456789", "0123456789", nil},
		{"", "", Empty},
		{"0000000000", "", ZeroNumber},
		{"0000-000000", "", ZeroNumber},
		{"12345678901234", "", CertificateNumber},
		{"1234-567890-1234", "", CertificateNumber},
		{"１２３４５６７８９０１２３４", "", CertificateNumber},
		{"123-4567890", "", SplitNumber},
		{"1234-5678-90", "", SplitNumber},
		{"12-345678", "", ShortNumber},
		{"123456789", "", ShortNumber},
		{"12345678901", "", EmployeesNumber},
		{"123456789012", "", TwelveDigits},
		{"1234-5678-9012", "", TwelveDigits},
		{"1234567890123", "", LongNumber},
		{"123456789012345", "", LongNumber},
		{"A123-456789", "", SymbolNumber},
		{"記号12 番号345", "", SymbolNumber},
		{"ｲ1234-567890", "", SymbolNumber},
		{"1234/567890", "", NotNumber},
		{"=1234567890", "", NotNumber},
		{"1234567890\x00", "", Control},
		{"1234567890\n", "", Control},
		{"①②③④⑤⑥⑦⑧⑨0", "", NotNumber},
		{"\xff234567890", "", NotText},
		{strings.Repeat("1", 100), "", TooLong},
	}, func(s string) (string, error) { v, err := ParseBasicNumber(s); return v.Text(), err })
}

func TestOldSchemeNumber(t *testing.T) {
	checkParse(t, []parseCase{
		{"記号12-345678", "記号12-345678", nil},
		{"ａ１２３", "A123", nil},
		{"12345678901", "12345678901", nil},
		{"-12", "", NotOldNumber},
		{"記号", "", NotOldNumber},
		{"", "", NotOldNumber},
		{strings.Repeat("1", 21), "", NotOldNumber},
		{"1=2", "", NotOldNumber},
	}, func(s string) (string, error) { v, err := ParseOldSchemeNumber(s); return v.Text(), err })
}

func TestBirth(t *testing.T) {
	checkParse(t, []parseCase{
		{"1950-04-12", "1950-04-12", nil},
		{"1950-4-12", "1950-04-12", nil},
		{"1950/4/12", "1950-04-12", nil},
		{"1950.4.12", "1950-04-12", nil},
		{"19500412", "1950-04-12", nil},
		{"１９５０年４月１２日", "1950-04-12", nil},
		{"昭和25年4月12日", "1950-04-12", nil},
		{"昭和 25 年 4 月 12 日", "1950-04-12", nil},
		{"昭和25.4.12", "1950-04-12", nil},
		{"昭25.4.12", "1950-04-12", nil},
		{"㍼25.4.12", "1950-04-12", nil},
		{"S25.4.12", "1950-04-12", nil},
		{"s25/04/12", "1950-04-12", nil},
		{"S250412", "1950-04-12", nil},
		{"昭和250412", "1950-04-12", nil},
		{"5-250412", "1950-04-12", nil},
		{"5250412", "1950-04-12", nil},
		{"1-450730", "1912-07-30", nil},
		{"令和元年5月1日", "2019-05-01", nil},
		{"令和元.5.1", "2019-05-01", nil},
		{"R010501", "2019-05-01", nil},
		{"9-010501", "2019-05-01", nil},

		// The edges of the eras.
		{"明治元年10月23日", "1868-10-23", nil},
		{"明治元年10月22日", "", OutsideEra},
		{"1868-01-01", "1868-01-01", nil},
		{"1867-12-31", "", BeforeMeiji},
		{"明治45.7.30", "1912-07-30", nil},
		{"明治45.7.31", "", OutsideEra},
		{"大正1.7.29", "", OutsideEra},
		{"大正1.7.30", "1912-07-30", nil},
		{"大正15.12.25", "1926-12-25", nil},
		{"大正15.12.26", "", OutsideEra},
		{"昭和1.12.24", "", OutsideEra},
		{"昭和1.12.25", "1926-12-25", nil},
		{"昭和64.1.7", "1989-01-07", nil},
		{"昭和64.1.8", "", OutsideEra},
		{"S65.1.1", "", OutsideEra},
		{"平成1.1.7", "", OutsideEra},
		{"平成1.1.8", "1989-01-08", nil},
		{"H31.4.30", "2019-04-30", nil},
		{"H31.5.1", "", OutsideEra},
		{"R1.4.30", "", OutsideEra},
		{"昭和0.1.1", "", NotDate},

		// Days that no calendar has, and years that aren't said.
		{"1950-02-29", "", NoSuchDay},
		{"1952-02-29", "1952-02-29", nil},
		{"1900-02-29", "", NoSuchDay},
		{"2000-02-29", "2000-02-29", nil},
		{"昭和26.2.29", "", NoSuchDay},
		{"1950-04-31", "", NoSuchDay},
		{"1950-13-01", "", NoSuchDay},
		{"1950-00-10", "", NoSuchDay},
		{"1950-01-00", "", NoSuchDay},
		{"19500230", "", NoSuchDay},
		{"25.4.12", "", NoEra},
		{"50/4/12", "", NoEra},
		{"1950412", "", OutsideEra},
		{"2250412", "", NotDate},
		{"250412", "", NotDate},
		{"1950-04-12T00:00:00Z", "", NotDate},
		{"1950-04", "", NotDate},
		{"1950/04-12", "", NotDate},
		{"12/04/1950", "", NotDate},
		{"1950-004-12", "", NotDate},
		{"", "", Empty},
		{"昭和", "", NotDate},
		{"令和元年", "", NotDate},
		{"-1-1", "", NotDate},
		{"1950-04-1\n", "", NotDate},

		// now is 9 in the morning of 1 April in Japan.
		{"2026-04-01", "2026-04-01", nil},
		{"2026-04-02", "", Future},
		{"9999-12-31", "", Future},
		{"令和99.1.1", "", Future},
	}, func(s string) (string, error) { v, err := ParseBirth(s, now); return v.Format(), err })

	late := time.Date(2026, 4, 1, 15, 0, 0, 0, time.UTC) // 2 April in Japan
	if _, err := ParseBirth("2026-04-02", late); err != nil {
		t.Errorf("a birth of today in Japan is refused: %v", err)
	}
	if b, _ := ParseBirth("1950-04-12", now); fmt.Sprint(b.Date()) != "1950 April 12" {
		t.Error("Date gives another day")
	}
}

func TestTexts(t *testing.T) {
	injection := []parseCase{
		{"=cmd|'/c calc'!A1", "", Formula}, {"+1+1", "", Formula}, {"-1+1", "", Formula}, {"@SUM(A1)", "", Formula},
		{"＝１＋１", "", Formula}, {" =1", "", Formula}, {"−1", "", Formula}, {"\t=1", "", Control}, {"\r=1", "", Control},
		{"山田\n太郎", "", Control}, {"山田\x00", "", Control}, {"山田\u202e太郎", "", Control}, {"山田\u200b", "", Control},
		{"山田\u0085", "", Control}, {"山田\uFFFD", "", LostCharacter}, {"山田\xff", "", NotText}, {"", "", Empty}, {" \u3000", "", Empty},
	}
	checkParse(t, append([]parseCase{
		{"山田 太郎", "山田 太郎", nil},
		{"\u3000髙橋\u3000﨑 ", "髙橋\u3000﨑", nil},
		{"葛\U000E0100城", "葛\U000E0100城", nil},
		{"外\uE000字", "外\uE000字", nil},
		{"O'Brien", "O'Brien", nil},
		{"・", "", Empty},
		{strings.Repeat("山", 200), strings.Repeat("山", 200), nil},
		{strings.Repeat("山", 201), "", TooLong},
	}, injection...), func(s string) (string, error) { v, err := ParseName(s); return v.Text(), err })
	checkParse(t, append([]parseCase{
		{"東京都千代田区", "東京都千代田区", nil},
		{strings.Repeat("山", 300), strings.Repeat("山", 300), nil},
		{strings.Repeat("山", 301), "", TooLong},
	}, injection...), func(s string) (string, error) { v, err := ParseAddressText(s); return v.Text(), err })
	checkParse(t, []parseCase{
		{"ﾔﾏﾀﾞ  ﾀﾛｳ", "ヤマダ\u3000タロウ", nil},
		{"やまだ たろう", "ヤマダ\u3000タロウ", nil},
		{"キョウコ", "キョウコ", nil},
		{"ジョン・スミス", "ジョン・スミス", nil},
		{"山田", "", NotKana}, {"YAMADA", "", NotKana}, {"ー", "", NotKana}, {"=ヤマダ", "", Formula},
	}, func(s string) (string, error) { v, err := ParseKana(s); return v.Text(), err })
	checkParse(t, []parseCase{
		{"ＹＡＭＡＤＡ　Taro", "YAMADA Taro", nil},
		{"Jean-Paul O'Brien Jr.", "Jean-Paul O'Brien Jr.", nil},
		{"Müller", "Müller", nil},
		{"ヤマダ", "", NotRomaji}, {"R2D2", "", NotRomaji}, {"'", "", NotRomaji},
	}, func(s string) (string, error) { v, err := ParseRomaji(s); return v.Text(), err })
}

func TestSmallTypes(t *testing.T) {
	checkParse(t, []parseCase{
		{"M", "M", nil}, {"F", "F", nil}, {"男", "M", nil}, {"女性", "F", nil}, {"1", "M", nil}, {"２", "F", nil}, {"male", "M", nil},
		{"Female", "F", nil}, {"3", "", NotSex}, {"", "", NotSex}, {"男女", "", NotSex},
	}, func(s string) (string, error) { v, err := ParseSex(s); return v.Text(), err })
	checkParse(t, []parseCase{
		{"〒100-0005", "1000005", nil}, {"１００ー０００５", "1000005", nil}, {"100005", "", NotPostal}, {"", "", NotPostal},
		{strings.Repeat("1", 1000), "", NotPostal},
	}, func(s string) (string, error) { v, err := ParsePostalCode(s); return v.Text(), err })
	checkParse(t, []parseCase{
		{"+81-3-1234-5678", "0312345678", nil}, {"+1 212 555 0100", "+12125550100", nil}, {"110", "", NotPhone}, {"", "", NotPhone},
		{strings.Repeat("0", 1000), "", NotPhone},
	}, func(s string) (string, error) { v, err := ParsePhone(s); return v.Text(), err })
	checkParse(t, []parseCase{
		{" Taro.Yamada@Example.JP", "Taro.Yamada@example.jp", nil}, {"a..b.@docomo.ne.jp", "a..b.@docomo.ne.jp", nil},
		{"ｔａｒｏ＠ｅｘａｍｐｌｅ．ｊｐ", "taro@example.jp", nil}, {"a@b", "", NotEmail}, {"a@b@c.jp", "", NotEmail}, {"@b.jp", "", NotEmail},
		{"a@-b.jp", "", NotEmail}, {"a@b-.jp", "", NotEmail}, {"a@b..jp", "", NotEmail}, {"a@b.jp.", "", NotEmail}, {"a b@c.jp", "", NotEmail},
		{"=a@b.jp", "", Formula}, {"-a@b.jp", "", Formula}, {"a\r\nBcc:x@b.jp", "", NotEmail}, {"<a@b.jp>", "", NotEmail}, {"山@b.jp", "", NotEmail},
		{strings.Repeat("a", 65) + "@b.jp", "", NotEmail}, {"a@" + strings.Repeat("b", 64) + ".jp", "", NotEmail}, {"", "", NotEmail},
	}, func(s string) (string, error) { v, err := ParseEmail(s); return v.Text(), err })
	checkParse(t, []parseCase{
		{"P-001_a.b/2", "P-001_a.b/2", nil}, {" P1 ", "P1", nil}, {"", "", NotRef}, {"-1", "", NotRef}, {"a b", "", NotRef}, {"=1", "", NotRef},
		{"Ａ", "", NotRef}, {strings.Repeat("a", 32), strings.Repeat("a", 32), nil}, {strings.Repeat("a", 33), "", NotRef},
	}, func(s string) (string, error) { v, err := ParseRef(s); return v.Text(), err })
}

func TestAccount(t *testing.T) {
	for _, c := range []struct {
		in   [5]string
		want string
		err  error
	}{
		{[5]string{"0001", "001", "1", "1234567", "ﾔﾏﾀﾞ ﾀﾛｳ"}, "0001\t001\t1\t1234567\tﾔﾏﾀﾞ ﾀﾛｳ", nil},
		{[5]string{"０００１", "001", "普通", "123", "ヤマダ　ジョージ"}, "0001\t001\t1\t0000123\tﾔﾏﾀﾞ ｼﾞﾖ-ｼﾞ", nil},
		{[5]string{"0001", "001", "4", "1", "ｶ)ｱｾﾞｸﾗ co."}, "0001\t001\t4\t0000001\tｶ)ｱｾﾞｸﾗ CO.", nil},
		{[5]string{"0001", "001", "9", "1", "ヲノ　パーヴォ"}, "0001\t001\t9\t0000001\tｵﾉ ﾊﾟ-ｳﾞｵ", nil},
		{[5]string{}, "", nil},
		{[5]string{"0001", "", "1", "1", "ｱ"}, "", PartAccount},
		{[5]string{"", "", "", "", "ｱ"}, "", PartAccount},
		{[5]string{"001", "001", "1", "1", "ｱ"}, "", NotBank},
		{[5]string{"0001", "0001", "1", "1", "ｱ"}, "", NotBranch},
		{[5]string{"0001", "001", "3", "1", "ｱ"}, "", NotType},
		{[5]string{"0001", "001", "1", "12345678", "ｱ"}, "", NotAccountNumber},
		{[5]string{"0001", "001", "1", "1", "山田"}, "", NotHolder},
		{[5]string{"0001", "001", "1", "1", "=ｱ"}, "", NotHolder},
		{[5]string{"0001", "001", "1", "1", "-ｱ"}, "", Formula},
		{[5]string{"0001", "001", "1", "1", "ﾞ"}, "", NotHolder},
		{[5]string{"0001", "001", "1", "1", "ｱ\tｲ"}, "", NotHolder},
		{[5]string{"0001", "001", "1", "1", strings.Repeat("ガ", 30)}, "0001\t001\t1\t0000001\t" + strings.Repeat("ｶﾞ", 30), nil},
		{[5]string{"0001", "001", "1", "1", strings.Repeat("ガ", 31)}, "", TooLong},
	} {
		a, err := ParseAccount(c.in[0], c.in[1], c.in[2], c.in[3], c.in[4])
		if a.Text() != c.want || err != c.err {
			t.Errorf("%q: got %q, %v; want %q, %v", c.in, a.Text(), err, c.want, c.err)
		}
		if (c.want != "") != a.Valid() || a.Valid() == a.IsZero() {
			t.Errorf("%q: Valid and IsZero disagree with the text", c.in)
		}
		if c.want == "" {
			continue
		}
		bank, branch, kind, number, holder, ok := SplitAccount(c.want)
		if !ok || bank != a.Bank() || branch != a.Branch() || kind != a.Type() || number != a.Number() || holder != a.Holder() {
			t.Errorf("%q doesn't split into its parts", c.want)
		}
	}
}

// A value must not reach a log by way of a format verb.
func TestNothingPrints(t *testing.T) {
	number, _ := ParseBasicNumber("1234567890")
	birth, _ := ParseBirth("1950-04-12", now)
	account, _ := ParseAccount("0001", "001", "1", "1234567", "ﾔﾏﾀﾞ")
	var record Record
	if err := record.Set(field.Number, "1234567890"); err != nil {
		t.Fatal(err)
	}
	if !number.Valid() || number.IsZero() || (BasicNumber{}).Valid() || !(BasicNumber{}).IsZero() || (Birth{}).Valid() || !(Birth{}).IsZero() {
		t.Error("Valid or IsZero is wrong")
	}
	for _, v := range []any{number, birth, account, record, &record, Form{KindNumber, "1234567890"}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			out := fmt.Sprintf(verb, v)
			for _, secret := range []string{"1234567", "1950", "ﾔﾏﾀﾞ"} {
				if strings.Contains(out, secret) {
					t.Errorf("%T prints its value with %s", v, verb)
				}
			}
		}
	}
}
