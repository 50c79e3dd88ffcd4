package value

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"azekura/register/field"
)

// full is a row with every column.
func full() Raw {
	return Raw{
		ColRef: "P-0001", ColNumber: "１２３４-567890", ColName: "髙橋　太郎", ColKana: "ﾀｶﾊｼ ﾀﾛｳ", ColRomaji: "TAKAHASHI TARO",
		ColBirth: "昭和25年4月12日", ColSex: "男", ColPostalCode: "〒100-0005", ColAddress: "東京都千代田区丸の内二丁目５番地　二引ビル",
		ColPhone: "03-1234-5678", ColEmail: "taro@Example.jp", ColBankCode: "0001", ColBranchCode: "001", ColAccountType: "1",
		ColAccountNumber: "12345", ColAccountHolder: "ﾀｶﾊｼ ﾀﾛｳ", ColAwardKind: OldAgeBasic, ColAwardAnnualYen: "816000",
	}
}

func TestFieldsAreAll(t *testing.T) {
	if n := len(field.All()); n != fields {
		t.Errorf("a Record has room for %d fields, field lists %d", fields, n)
	}
}

func TestColumns(t *testing.T) {
	for c := range Column(Columns) {
		if got, ok := ColumnNamed(c.String()); !ok || got != c {
			t.Errorf("column %d isn't found by its name %q", c, c)
		}
	}
	if _, ok := ColumnNamed(""); ok || Column(Columns).String() != "" {
		t.Error("a column that isn't one has a name")
	}
}

func TestParse(t *testing.T) {
	r, award, problems := Parse(full(), now)
	if problems != nil {
		t.Fatal(problems)
	}
	if want := (Award{OldAgeBasic, 816000}); award != want {
		t.Errorf("award %v, want %v", award, want)
	}
	if got, want := r.Fields(), field.SetOf(field.All()...); got != want {
		t.Errorf("fields %s, want %s", got, want)
	}
	for f, want := range map[field.Field]string{
		field.Ref: "P-0001", field.Number: "1234567890", field.Name: "髙橋　太郎", field.Kana: "タカハシ　タロウ", field.Romaji: "TAKAHASHI TARO",
		field.Birth: "1950-04-12", field.Sex: "M", field.Address: "1000005\t東京都千代田区丸の内二丁目５番地　二引ビル", field.Phone: "0312345678",
		field.Email: "taro@example.jp", field.Account: "0001\t001\t1\t0012345\tﾀｶﾊｼ ﾀﾛｳ",
	} {
		if got := r.Get(f); got != want {
			t.Errorf("%s is %q, want %q", f, got, want)
		}
		// What is stored is its own canonical text, and goes back in.
		if again, err := ParseField(f, want, now); again != want || err != nil {
			t.Errorf("%s: %q becomes %q (%v)", f, want, again, err)
		}
		var other Record
		if err := other.Set(f, want); err != nil || other.Get(f) != want {
			t.Errorf("%s can't be set to its canonical text: %v", f, err)
		}
	}
	if r.Get(field.Mask) != "" || r.Set(field.Mask, "x") != NotField {
		t.Error("a pseudo-field has a value")
	}
}

func TestParseProblems(t *testing.T) {
	for _, c := range []struct {
		name string
		with map[Column]string
		want []Problem
	}{
		{"nothing", nil, nil},
		{"old number", map[Column]string{ColNumber: "記号12-345"}, []Problem{{"number", SymbolNumber}}},
		{"required", map[Column]string{ColRef: "", ColNumber: " ", ColName: "", ColBirth: ""},
			[]Problem{{"ref", Missing}, {"number", Missing}, {"name", Missing}, {"birth", Missing}}},
		{"optional", map[Column]string{ColKana: "", ColRomaji: "", ColSex: "", ColPhone: "", ColEmail: "", ColPostalCode: "", ColAddress: ""}, nil},
		{"part of an account", map[Column]string{ColBranchCode: ""}, []Problem{{"branch_code", PartAccount}}},
		{"bad holder", map[Column]string{ColAccountHolder: "高橋"}, []Problem{{"account_holder", NotHolder}}},
		{"postal alone", map[Column]string{ColAddress: ""}, []Problem{{"address", NoAddress}}},
		{"bad postal", map[Column]string{ColPostalCode: "12"}, []Problem{{"postal_code", NotPostal}}},
		{"no postal", map[Column]string{ColPostalCode: ""}, nil},
		{"kind alone", map[Column]string{ColAwardAnnualYen: ""}, []Problem{{"award_annual_yen", PartAward}}},
		{"yen alone", map[Column]string{ColAwardKind: ""}, []Problem{{"award_kind", PartAward}}},
		{"bad kind", map[Column]string{ColAwardKind: "bonus"}, []Problem{{"award_kind", NotKind}}},
		{"negative", map[Column]string{ColAwardAnnualYen: "-1"}, []Problem{{"award_annual_yen", NotYen}}},
		{"fraction", map[Column]string{ColAwardAnnualYen: "1.5"}, []Problem{{"award_annual_yen", NotYen}}},
		{"too much", map[Column]string{ColAwardAnnualYen: "100000000"}, []Problem{{"award_annual_yen", NotYen}}},
		{"far too much", map[Column]string{ColAwardAnnualYen: "99999999999999999999"}, []Problem{{"award_annual_yen", NotYen}}},
		{"most", map[Column]string{ColAwardAnnualYen: "99999999"}, nil},
		{"two", map[Column]string{ColBirth: "1950-02-29", ColEmail: "x"}, []Problem{{"birth", NoSuchDay}, {"email", NotEmail}}},
	} {
		raw := full()
		for column, s := range c.with {
			raw[column] = s
		}
		r, _, problems := Parse(raw, now)
		if diff := cmp.Diff(c.want, problems); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		for _, p := range problems {
			if f, err := field.Parse(p.Column); err == nil && r.Get(f) != "" {
				t.Errorf("%s: %s is refused and yet in the record", c.name, f)
			}
		}
	}
}

func TestSetRefuses(t *testing.T) {
	for f, texts := range map[field.Field][]string{
		field.Number:  {"1234-567890", "123456789", "１２３４567890"},
		field.Birth:   {"1950/04/12", "1950-02-29", "19500412"},
		field.Sex:     {"男", "m"},
		field.Name:    {" 山田", "=1", "山田\n"},
		field.Kana:    {"ﾔﾏﾀﾞ", "ヤマダ タロウ"},
		field.Address: {"1000005 東京都", "東京都", "100-0005\t東京都", "1000005\t"},
		field.Account: {"0001\t001\t1\t12345\tｱ", "\t\t\t\t", "0001\t001\t1\t0012345\tｱ\t", "0001"},
		field.Phone:   {"03-1234-5678"},
		field.Email:   {"a@B.jp"},
		field.Ref:     {" P1", "P 1"},
	} {
		for _, s := range texts {
			var r Record
			if err := r.Set(f, s); err == nil || r.Fields() != 0 {
				t.Errorf("%s took %q, which isn't canonical", f, s)
			}
		}
	}
	r, _, _ := Parse(full(), now)
	if err := r.Set(field.Phone, ""); err != nil || r.Fields().Has(field.Phone) {
		t.Error("a field can't be taken out")
	}
}

func TestParseAddress(t *testing.T) {
	checkParse(t, []parseCase{
		{"100-0005 東京都千代田区", "1000005\t東京都千代田区", nil},
		{"〒100-0005　東京都千代田区", "1000005\t東京都千代田区", nil},
		{"〒１００－０００５東京都千代田区", "1000005\t東京都千代田区", nil},
		{"1000005 東京都千代田区", "1000005\t東京都千代田区", nil},
		{"1000005\t東京都千代田区", "1000005\t東京都千代田区", nil},
		{"東京都千代田区1-1", "\t東京都千代田区1-1", nil},
		{"\t1234567 Main Street", "\t1234567 Main Street", nil},
		{"12345678 Main Street", "\t12345678 Main Street", nil},
		{"12 Main Street", "\t12 Main Street", nil},
		{"〒12 東京都", "", NotPostal},
		{"100-0005", "", NoAddress},
		{"", "", Empty},
		{"=1", "", Formula},
	}, func(s string) (string, error) { return ParseField(field.Address, s, now) })
}

func TestParseFormer(t *testing.T) {
	r, problems := ParseFormer(RawFormer{Name: "髙田 花子", Kana: "ﾀｶﾀﾞ ﾊﾅｺ", PostalCode: "1000005", Address: "東京都千代田区"})
	if problems != nil || r.Fields() != field.SetOf(field.Name, field.Kana, field.Address) {
		t.Errorf("fields %s, problems %v", r.Fields(), problems)
	}
	r, problems = ParseFormer(RawFormer{Name: "=1", Romaji: "TAKADA", PostalCode: "1"})
	want := []Problem{{"former.name", Formula}, {"former.postal_code", NotPostal}}
	if diff := cmp.Diff(want, problems); diff != "" || r.Fields() != field.SetOf(field.Romaji) {
		t.Errorf("fields %s, problems (-want +got):\n%s", r.Fields(), diff)
	}
}

func TestMask(t *testing.T) {
	for _, c := range []struct {
		f        field.Field
		in, want string
	}{
		{field.Name, "山田太郎", "山＊＊＊"}, {field.Name, "葛\U000E0100城", "葛\U000E0100＊"}, {field.Name, "山", "山"}, {field.Name, "", ""},
		{field.Birth, "1950-04-12", "1950"}, {field.Number, "1234567890", "90"}, {field.Number, "12", ""},
		{field.Address, "1000005\t東京都千代田区", "東京都"}, {field.Address, "\t京都府京都市", "京都府"}, {field.Address, "\t北海道札幌市", "北海道"},
		{field.Address, "\t神奈川県横浜市", "神奈川県"}, {field.Address, "\t横浜市西区", ""}, {field.Address, "", ""},
		{field.Kana, "ヤマダ", ""}, {field.Phone, "0312345678", ""}, {field.Email, "a@b.jp", ""}, {field.Account, "0001\t001\t1\t0012345\tｱ", ""},
		{field.Ref, "P1", ""}, {field.Sex, "M", ""}, {field.Romaji, "YAMADA", ""},
	} {
		if got := Mask(c.f, c.in); got != c.want {
			t.Errorf("Mask(%s, %q) = %q, want %q", c.f, c.in, got, c.want)
		}
	}
	if len(prefectures) != 47 {
		t.Errorf("%d prefectures", len(prefectures))
	}
}

func TestIndexForms(t *testing.T) {
	r, _, _ := Parse(full(), now)
	want := []Form{
		{KindNumber, "1234567890"}, {KindRef, "P-0001"}, {KindKanaBirth, "タカハシタロウ\x1f1950-04-12"},
		{KindNameBirth, "高橋太郎\x1f1950-04-12"}, {KindPostalBirth, "1000005\x1f1950-04-12"}, {KindPhone, "0312345678"},
	}
	if got := IndexForms(&r); !cmp.Equal(got, want) {
		t.Errorf("the forms aren't those expected: %s", cmp.Diff(want, got))
	}
	// A search that writes everything in another way has the same forms.
	for i, q := range []struct{ a, b string }{
		{"1234567890", ""}, {"P-0001", ""}, {"たかはし　たろう", "S25.4.12"}, {"高橋太郎", "1950/4/12"}, {"100-0005", "19500412"}, {"+81312345678", ""},
	} {
		got, err := QueryForm(want[i].Kind, q.a, q.b, now)
		if err != nil || got != want[i] {
			t.Errorf("%s: the query's form isn't the record's (%v)", want[i].Kind, err)
		}
	}
	// Without a birth nothing is indexed under it, and never the birth alone.
	if err := r.Set(field.Birth, ""); err != nil {
		t.Fatal(err)
	}
	for _, f := range IndexForms(&r) {
		if f.Kind == KindKanaBirth || f.Kind == KindNameBirth || f.Kind == KindPostalBirth {
			t.Errorf("%s is indexed without a birth", f.Kind)
		}
	}
	var only Record
	if err := only.Set(field.Birth, "1950-04-12"); err != nil || len(IndexForms(&only)) != 0 {
		t.Error("a birth is indexed alone")
	}
}

func TestQueryFormRefuses(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		a, b string
		want error
	}{
		{KindNumber, "1234567890", "1950-04-12", OneText}, {KindNumber, "12345678901234", "", CertificateNumber}, {KindNameBirth, "山田", "", Empty},
		{KindNameBirth, "", "1950-04-12", Empty}, {KindKanaBirth, "山田", "1950-04-12", NotKana}, {KindPostalBirth, "1", "1950-04-12", NotPostal},
		{0, "x", "1950-04-12", NotQuery}, {99, "x", "1950-04-12", NotQuery},
	} {
		if _, err := QueryForm(c.kind, c.a, c.b, now); err != c.want {
			t.Errorf("%s: got %v, want %v", c.kind, err, c.want)
		}
	}
	for i, k := range Kinds() {
		if int(k) != i+1 || k.Fields() == 0 || k.String() == Kind(0).String() {
			t.Errorf("kind %d isn't complete", k)
		}
	}
}
