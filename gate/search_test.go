package gate_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/register/field"
	"azekura/register/value"

	"github.com/google/uuid"
)

// hanako is found by everything that a record is indexed by, former values too.
const hanako = `{"ref":"H-1","number":"1234567890","name":"髙橋　花子","kana":"タカハシ　ハナコ","romaji":"TAKAHASHI HANAKO","birth":"1950-04-12",` +
	`"sex":"F","postal_code":"1000005","address":"東京都千代田区丸の内二丁目1","phone":"03-1234-5678","email":"hanako@example.invalid",` +
	`"former":[{"name":"渡邉　花子","kana":"ワタナベ　ハナコ"},{"postal_code":"5300001","address":"大阪府大阪市北区梅田1"}]}` + "\n"

func withHanako(t *testing.T, f func(t *testing.T, r *room)) {
	t.Helper()
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		insttest.Import(t, i, append([]byte(hanako), insttest.NDJSON(t, 1, 50)...))
		f(t, &room{Installation: i, s: insttest.Caseworker(t, i), people: insttest.People(1, 50)})
	})
}

func TestSearch(t *testing.T) {
	withHanako(t, func(t *testing.T, r *room) {
		for _, c := range []struct {
			by            value.Kind
			first, second string
		}{
			{value.KindNumber, "1234567890", "1950-04-12"}, {value.KindNumber, "１２３４－５６７８９０", "昭和25年4月12日"},
			{value.KindRef, "H-1", "1950-04-12"},
			{value.KindNameBirth, "髙橋　花子", "1950-04-12"}, {value.KindNameBirth, "高橋花子", "昭和25年4月12日"}, {value.KindNameBirth, "高橋 花子", "S25.4.12"},
			{value.KindKanaBirth, "タカハシ　ハナコ", "1950-04-12"}, {value.KindKanaBirth, "ﾀｶﾊｼ ﾊﾅｺ", "1950-04-12"}, {value.KindKanaBirth, "たかはし はなこ", "19500412"},
			{value.KindPostalBirth, "100-0005", "1950-04-12"}, {value.KindPostalBirth, "〒１００－０００５", "1950-04-12"},
			{value.KindPhone, "0312345678", "1950-04-12"}, {value.KindPhone, "+81 3-1234-5678", "S25.4.12"},
			{value.KindNameBirth, "渡辺花子", "1950-04-12"}, {value.KindKanaBirth, "ﾜﾀﾅﾍﾞﾊﾅｺ", "1950-04-12"}, {value.KindPostalBirth, "5300001", "1950-04-12"},
		} {
			events := r.size()
			found, err := r.Gate.Search(t.Context(), r.s, gate.SearchRequest{Why: why, By: c.by, First: c.first, Second: c.second})
			if err != nil || len(found) != 1 {
				t.Errorf("by %s, %s: %d found: %v", c.by, c.first, len(found), err)
				continue
			}
			want := map[field.Field]string{field.Name: "髙＊＊＊＊", field.Birth: "1950", field.Address: "東京都"}
			if fmt.Sprint(found[0].Mask) != fmt.Sprint(want) {
				t.Errorf("by %s: the mask has fields %v, or shows more than it may", c.by, len(found[0].Mask))
			}
			if !c.by.Fields().Has(field.Birth) { // the birth was compared before
				if e := r.since(t, events); e[0].Outcome != "asked" || e[0].Participant != found[0].Participant || e[0].Opened() != 0 {
					t.Errorf("by %s: %+v", c.by, e[0])
				}
				events++
			}
			r.sawMask(t, events, found[0], c.by)
		}
	})
}

// sawMask wants a search and the opening of one mask in the log, and no more. Who was
// shown the candidate knows that what they searched for is theirs.
func (r *room) sawMask(t *testing.T, index int64, c gate.Candidate, by value.Kind) {
	t.Helper()
	e := r.since(t, index)
	if len(e) != 2 || e[0].Action != auditlog.Search || e[0].Outcome != "ok" || !strings.Contains(string(e[0].Detail), `"candidates":1`) {
		t.Fatalf("%+v", e)
	}
	if e[1].Action != auditlog.Show || e[1].Index != c.Event || e[1].Participant != c.Participant || e[1].Opened() != field.SetOf(field.Existence, field.Mask, field.Birth)|by.Fields() {
		t.Errorf("%+v", e[1])
	}
}

func TestSearchFindsNobody(t *testing.T) {
	withHanako(t, func(t *testing.T, r *room) {
		for _, c := range []gate.SearchRequest{
			{By: value.KindNumber, First: "1234567891", Second: "1950-04-12"}, {By: value.KindNameBirth, First: "髙橋　花子", Second: "1950-04-13"},
			{By: value.KindRef, First: "1234567890", Second: "1950-04-12"}, // a number is no ref, though both are indexed
		} {
			c.Why = why
			events := r.size()
			if found, err := r.Gate.Search(t.Context(), r.s, c); err != nil || len(found) != 0 {
				t.Errorf("%s: %d found, %v", c.By, len(found), err)
			}
			e := r.since(t, events)
			if last := e[len(e)-1]; last.Action != auditlog.Search || last.Outcome != "none" {
				t.Errorf("%s: %+v", c.By, e)
			}
		}
		for _, c := range []gate.SearchRequest{{By: value.KindNumber, First: "12345678901234", Second: "1950-04-12"}, {By: 99, First: "x", Second: "1950-04-12"}, {By: value.KindPhone, First: "髙橋　花子", Second: "1950-04-12"},
			{By: value.KindNameBirth, First: "髙橋　花子"}, {By: value.KindRef, First: "H-1"}, {By: value.KindRef, First: "H-1", Second: "no day"}} {
			c.Why = why
			_, err := r.Gate.Search(t.Context(), r.s, c)
			if !errors.Is(err, gate.ErrInvalid) || strings.Contains(err.Error(), "髙橋") || strings.Contains(err.Error(), "12345") {
				t.Errorf("%s: %v", c.By, err)
			}
		}
	})
}

// TestSearchNeedsTheBirth: who has a number, a ref or a telephone number and no birth is
// told nothing, and can't tell somebody's from nobody's: the events alone name them.
func TestSearchNeedsTheBirth(t *testing.T) {
	withHanako(t, func(t *testing.T, r *room) {
		for _, c := range []gate.SearchRequest{{By: value.KindNumber, First: "1234567890"}, {By: value.KindRef, First: "H-1"}, {By: value.KindPhone, First: "0312345678"}} {
			c.Why, c.Second = why, "1950-04-13"
			nobody := c
			nobody.First = map[value.Kind]string{value.KindNumber: "9999999999", value.KindRef: "H-2", value.KindPhone: "0399999999"}[c.By]
			for _, asked := range []gate.SearchRequest{c, nobody} {
				events := r.size()
				if found, err := r.Gate.Search(t.Context(), r.s, asked); err != nil || len(found) != 0 {
					t.Errorf("by %s: %d found, %v", c.By, len(found), err)
				}
				e := r.since(t, events)
				if len(e) != 2 || e[0].Outcome != "asked" || e[1].Outcome != "none" || e[0].Opened()|e[1].Opened() != 0 {
					t.Fatalf("by %s: %+v", c.By, e)
				}
				if named := e[0].Participant != (uuid.UUID{}); named != (asked.First == c.First) {
					t.Errorf("by %s: an event names somebody: %v", c.By, named)
				}
			}
		}
	})
}

// TestTooMany: eleven people of one name and birth are too many to show; ten
// aren't.
func TestTooMany(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		var file strings.Builder
		for n := range gate.MaxCandidates {
			fmt.Fprintf(&file, `{"ref":"N-%d","number":"98000000%02d","name":"佐藤　一","birth":"1950-04-12"}`+"\n", n, n)
		}
		insttest.Import(t, i, []byte(file.String()))
		r := &room{Installation: i, s: insttest.Caseworker(t, i)}
		request := gate.SearchRequest{Why: why, By: value.KindNameBirth, First: "佐藤一", Second: "1950-04-12"}
		if found, err := i.Gate.Search(t.Context(), r.s, request); err != nil || len(found) != gate.MaxCandidates {
			t.Fatalf("%d found, %v", len(found), err)
		}
		insttest.Import(t, i, []byte(`{"ref":"N-x","number":"9900000000","name":"佐藤　一","birth":"1950-04-12"}`+"\n"))
		events := r.size()
		if found, err := i.Gate.Search(t.Context(), r.s, request); !errors.Is(err, gate.ErrTooMany) || len(found) != 0 {
			t.Errorf("%d found, %v", len(found), err)
		}
		if e := r.since(t, events); len(e) != 1 || e[0].Action != auditlog.Search || e[0].Outcome != "too many" {
			t.Errorf("%+v", e)
		}
	})
}

func TestCheck(t *testing.T) {
	withHanako(t, func(t *testing.T, r *room) {
		for _, c := range []struct {
			field field.Field
			claim string
			want  string
		}{
			{field.Name, "髙橋　花子", "yes"}, {field.Name, "高橋花子", "yes"}, {field.Name, "渡邉　花子", "no"}, {field.Name, "高橋花", "no"},
			{field.Kana, "ﾀｶﾊｼﾊﾅｺ", "yes"}, {field.Kana, "たかはしはなこ", "yes"}, {field.Romaji, "Takahashi Hanako", "yes"},
			{field.Birth, "昭和25年4月12日", "yes"}, {field.Birth, "1950-04-13", "no"}, {field.Number, "1234-567890", "yes"}, {field.Number, "1234567891", "no"},
			{field.Address, "東京都千代田区丸の内2丁目1", "yes"}, {field.Address, "大阪府大阪市北区梅田1", "no"}, {field.Phone, "03 1234 5678", "yes"},
			{field.Email, "HANAKO@example.invalid", "yes"}, {field.Ref, "H-1", "yes"},
			{field.Account, "0001\t001\t1\t1234567\tﾀｶﾊｼ ﾊﾅｺ", "no"}, // she has none
		} {
			events := r.size()
			yes, err := r.Gate.Check(t.Context(), r.s, gate.CheckRequest{Who: gate.Who{Ref: "H-1"}, Why: why, Field: c.field, Claim: c.claim})
			if err != nil || yes != (c.want == "yes") {
				t.Errorf("%s: %v, %v", c.field, yes, err)
			}
			e := r.since(t, events)
			if len(e) != 2 || e[0].Action != auditlog.Check || e[1].Action != auditlog.Checked || e[1].Outcome != c.want || e[0].Participant != e[1].Participant ||
				!strings.Contains(string(e[1].Detail), fmt.Sprintf(`"check":%d`, e[0].Index)) {
				t.Errorf("%s: %+v", c.field, e)
			}
			for who, want := range map[gate.Who]field.Set{{Ref: "H-1"}: field.SetOf(field.Existence, field.Ref), {Participant: e[0].Participant}: field.SetOf(field.Existence)} {
				events := r.size()
				if _, err := r.Gate.Check(t.Context(), r.s, gate.CheckRequest{Who: who, Why: why, Field: c.field, Claim: c.claim}); err != nil {
					t.Errorf("%s: %v", c.field, err)
				}
				if told := r.since(t, events)[0].Opened(); told != want {
					t.Errorf("%s: %v tells %v, not %v", c.field, who, told, want)
				}
			}
		}
		// Of two that it can be, no tells as much as yes.
		if _, err := r.Gate.Check(t.Context(), r.s, gate.CheckRequest{Who: gate.Who{Ref: "H-1"}, Why: why, Field: field.Sex, Claim: "F"}); !errors.Is(err, gate.ErrInvalid) {
			t.Errorf("a sex is checked: %v", err)
		}
		events := r.size()
		_, err := r.Gate.Check(t.Context(), r.s, gate.CheckRequest{Who: gate.Who{Ref: "H-1"}, Why: why, Field: field.Birth, Claim: "12345678901234"})
		if !errors.Is(err, gate.ErrInvalid) || strings.Contains(err.Error(), "1234") || r.size() != events {
			t.Errorf("%v, %d events", err, r.size()-events)
		}
	})
}

// TestCountingThrough: who counts through refs or numbers, searching or reading, is marked,
// heard of and asked for a touch; who names others isn't.
func TestCountingThrough(t *testing.T) {
	withHanako(t, func(t *testing.T, r *room) {
		from := r.size()
		search := func(by value.Kind, text string) error {
			_, err := r.Gate.Search(t.Context(), r.s, gate.SearchRequest{Why: why, By: by, First: text, Second: "1950-04-12"})
			return err
		}
		for _, ref := range []string{"Q-10", "Q-20", "R-11", "Q-10"} { // far apart, of another kind, the same
			if err := search(value.KindRef, ref); err != nil {
				t.Fatal(err)
			}
		}
		if n := r.marked(t, from, "near"); n != 0 {
			t.Fatalf("%d marked that are no neighbours", n)
		}
		for n := range 5 {
			if err := search(value.KindNumber, fmt.Sprint(5550000000+n*2)); err != nil {
				t.Fatal(err)
			}
			_, err := r.Gate.Read(t.Context(), r.s, gate.ReadRequest{Who: gate.Who{Ref: fmt.Sprint("Q-", 101+n)}, Why: why, Fields: field.SetOf(field.Name)})
			if err == nil {
				t.Fatal("a made-up ref is read")
			}
		}
		if n := r.marked(t, from, "near"); n != 8 { // of two rows of five, all but the first
			t.Fatalf("%d of 8 neighbours are marked", n)
		}
		if err := errors.Join(search(value.KindNumber, "5550000009"), search(value.KindNumber, "5550000010")); err != nil {
			t.Fatal(err)
		}
		var signs, touches int
		for _, e := range r.since(t, from) {
			signs += strings.Count(string(e.Detail), `"number-sequence"`)
			touches += strings.Count(string(e.Detail), `"step_up":true`)
		}
		if signs != 1 || touches != 1 {
			t.Errorf("%d alarms and %d demands for a touch", signs, touches)
		}
	})
}

// TestRetiredNumber: that a search was by a number that its participant has no more is
// an alarm; they are found all the same.
func TestRetiredNumber(t *testing.T) {
	withHanako(t, func(t *testing.T, r *room) {
		search := func(number string) {
			t.Helper()
			found, err := r.Gate.Search(t.Context(), r.s, gate.SearchRequest{Why: why, By: value.KindNumber, First: number, Second: "1950-04-12"})
			if err != nil || len(found) != 1 {
				t.Fatalf("%d found: %v", len(found), err)
			}
		}
		from := r.size()
		search("1234567890")
		if _, err := r.change(t, gate.Who{Ref: "H-1"}, map[field.Field]string{field.Number: "9876543210"}); err != nil {
			t.Fatal(err)
		}
		search("9876543210")
		if n := r.marked(t, from, "former"); n != 0 {
			t.Fatalf("%d current numbers are taken for former ones", n)
		}
		search("1234567890")
		alarms := 0
		for _, e := range r.since(t, from) {
			alarms += strings.Count(string(e.Detail), `"retired-number"`)
		}
		if n := r.marked(t, from, "former"); n != 1 || alarms != 1 {
			t.Errorf("%d marked, %d alarms", n, alarms)
		}
	})
}

// marked counts the events since one that bear a mark.
func (r *room) marked(t *testing.T, from int64, mark string) (n int) {
	t.Helper()
	for _, e := range r.since(t, from) {
		n += strings.Count(string(e.Detail), `"`+mark+`":true`)
	}
	return n
}
