package rowfile

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"azekura/register/value"
)

func TestNDJSON(t *testing.T) {
	former := good("1")
	former.Former = []value.RawFormer{{Name: "山田 花子", Kana: "ヤマダ"}, {Romaji: "YAMADA", PostalCode: "1000005", Address: "東京都"}}
	yen := good("1")
	yen.Raw[value.ColAwardAnnualYen] = "816000"
	for _, c := range []struct {
		name, file string
		want       []Row
	}{
		{"plain", `{"ref":"1","number":"2","name":"3","birth":"4","address":"5"}` + "\n", []Row{good("1", "2", "3", "4", "5")}},
		{"spaces and order", " { \"number\" :\t\"2\" , \"ref\":\"1\" } \r\n\n  \n{\"ref\":\"6\"}", []Row{good("1", "2"), good("6")}},
		{"empty object", "{}\n", []Row{good()}},
		{"escapes", `{"r\u0065f":"\u5c71\ud842\udfb7\"\\\/\n"}` + "\n", []Row{good("山\U00020BB7\"\\/\n")}},
		{"number", `{"ref":"1","award_annual_yen":816000}` + "\n", []Row{yen}},
		{"number as text", `{"award_annual_yen":"816000","ref":"1"}` + "\n", []Row{yen}},
		{"former", `{"former":[{"name":"山田 花子","kana":"ヤマダ"}, {"romaji":"YAMADA","postal_code":"1000005","address":"東京都"}],"ref":"1"}`,
			[]Row{former}},
		{"former empty", `{"ref":"1","former":[]}`, []Row{good("1")}},
		{"private use", `{"ref":"\ue000"}`, []Row{good("\uE000")}},

		{"twice", `{"ref":"1","ref":"2"}`, []Row{bad("ref", TwiceKey)}},
		{"twice escaped", `{"ref":"1","re\u0066":"2"}`, []Row{bad("ref", TwiceKey)}},
		{"former twice", `{"former":[],"former":[]}`, []Row{bad("former", TwiceKey)}},
		{"unknown", `{"ref":"1","shoe_size":"2"}`, []Row{bad("", UnknownKey)}},
		{"null", `{"ref":null}`, []Row{bad("ref", NotString)}},
		{"number for text", `{"number":1234567890}`, []Row{bad("number", NotString)}},
		{"object for text", `{"name":{"a":"b"}}`, []Row{bad("name", NotString)}},
		{"true", `{"sex":true}`, []Row{bad("sex", NotString)}},
		{"fraction", `{"award_annual_yen":1.5}`, []Row{bad("award_annual_yen", value.NotYen)}},
		{"exponent", `{"award_annual_yen":1e3}`, []Row{bad("award_annual_yen", value.NotYen)}},
		{"zero before", `{"award_annual_yen":01}`, []Row{bad("award_annual_yen", value.NotYen)}},
		{"negative", `{"award_annual_yen":-1}`, []Row{bad("award_annual_yen", NotString)}},
		{"array", `["ref"]`, []Row{bad("", NotObject)}},
		{"two objects", `{"ref":"1"}{"ref":"2"}`, []Row{bad("", NotObject)}},
		{"comma at the end", `{"ref":"1",}`, []Row{bad("", NotObject)}},
		{"no comma", `{"ref":"1" "number":"2"}`, []Row{bad("", NotObject)}},
		{"no colon", `{"ref" "1"}`, []Row{bad("", NotObject)}},
		{"not closed", `{"ref":"1"`, []Row{bad("", NotObject)}},
		{"quote not closed", "{\"ref\":\"1\n{\"ref\":\"2\"}", []Row{bad("ref", NotObject), good("2")}},
		{"bad escape", `{"ref":"\x41"}`, []Row{bad("ref", BadEscape)}},
		{"half a pair", `{"ref":"\ud842"}`, []Row{bad("ref", BadEscape)}},
		{"wrong pair", `{"ref":"\ud842\u0041"}`, []Row{bad("ref", BadEscape)}},
		{"cut escape", `{"ref":"\u12`, []Row{bad("ref", BadEscape)}},
		{"backslash last", `{"ref":"\`, []Row{bad("ref", BadEscape)}},
		{"nul", `{"ref":"a\u0000b"}`, []Row{bad("ref", Control)}},
		{"nul raw", "{\"ref\":\"a\x00b\"}", []Row{bad("ref", Control)}},
		{"tab", "{\"ref\":\"a\tb\"}", []Row{bad("ref", Control)}},
		{"c1", "{\"ref\":\"\u0085\"}", []Row{bad("ref", Control)}},
		{"nul outside", "{\"ref\":\"a\"}\x00", []Row{bad("", NotObject)}},
		{"bad utf-8", "{\"ref\":\"\xff\"}", []Row{bad("", BadEncoding)}},
		{"former unknown", `{"former":[{"birth":"x"}]}`, []Row{bad("former", UnknownKey)}},
		{"former twice inside", `{"former":[{"name":"x","name":"y"}]}`, []Row{bad("former.name", TwiceKey)}},
		{"former not a text", `{"former":[{"name":1}]}`, []Row{bad("former.name", NotString)}},
		{"former not a list", `{"former":{"name":"x"}}`, []Row{bad("former", NotObject)}},
		{"former not closed", `{"former":[{"name":"x"}`, []Row{bad("former", NotObject)}},
		{"deep", `{"former":[` + strings.Repeat("[", 1000), []Row{bad("former", NotObject)}},
		{"too long", `{"ref":"` + strings.Repeat("x", MaxRow) + "\"}\n{\"ref\":\"2\"}", []Row{bad("", TooLong), good("2")}},
		{"spaces too long", strings.Repeat(" ", MaxRow+5) + "{}\n{\"ref\":\"2\"}", []Row{bad("", TooLong), good("2")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := rows(t, open(t, c.file, Options{Format: JSON, Encoding: UTF8}))
			for i := range got {
				if len(got[i].Former) == 0 {
					got[i].Former = nil
				}
			}
			checkRows(t, got, c.want)
		})
	}
}

// theirs is what encoding/json makes of a line; not ok where our rules or its
// refuse it.
func theirs(line string) (raw value.Raw, ok bool) {
	if clean([]byte(line)) != "" {
		return raw, false
	}
	var members map[string]any
	decoder := json.NewDecoder(strings.NewReader(line))
	decoder.UseNumber()
	if decoder.Decode(&members) != nil {
		return raw, false
	}
	if _, err := decoder.Token(); err != io.EOF || members == nil {
		return raw, false
	}
	for key, v := range members {
		c, known := value.ColumnNamed(key)
		s, isText := v.(string)
		if n, isNumber := v.(json.Number); isNumber && c == value.ColAwardAnnualYen && !strings.ContainsAny(string(n), "-.eE") {
			s, isText = string(n), true
		}
		if !known || !isText || clean([]byte(s)) != "" || strings.Contains(s, "\uFFFD") {
			return raw, false
		}
		raw[c] = s
	}
	return raw, true
}

// checkJSON holds our parser to encoding/json's: what ours reads, it reads
// alike; what it reads within our rules, ours does, keys that stand twice aside.
func checkJSON(t failer, text string) {
	if strings.ContainsAny(text, "\n") || strings.Trim(text, " \t\r") == "" || len(text) > MaxRow {
		return
	}
	r, err := Open(strings.NewReader(text), int64(len(text)), Options{Format: JSON, Encoding: UTF8})
	if err != nil {
		return // UTF-16
	}
	var row Row
	if err := r.Next(&row); err != nil {
		if strings.HasPrefix(text, "\xEF\xBB\xBF") {
			return
		}
		t.Fatalf("%q: %v", text, err)
	}
	raw, ok := theirs(strings.TrimPrefix(text, "\xEF\xBB\xBF"))
	ours := row.Bad == nil
	switch {
	case strings.Contains(text, "former") || strings.Contains(text, `\u`) && strings.Contains(text, "f"):
	case ours && ok && row.Raw != raw:
		t.Fatalf("%q: the texts differ", text)
	case ours && !ok && !strings.Contains(text, "\uFFFD") && !strings.Contains(strings.ToLower(text), `\ufffd`) && clean([]byte(text)) == "":
		t.Fatalf("%q is read, though encoding/json refuses it", text)
	case !ours && ok && row.Bad[0].Reason != TwiceKey:
		t.Fatalf("%q: refused: %v", text, row.Bad)
	}
}

func TestJSONAgainstStandard(t *testing.T) {
	piece := rapid.SampledFrom([]string{"{", "}", ":", ",", `"`, `"ref"`, `"number"`, `"name":"山"`, `"award_annual_yen":`, "12", "0", "-", ".", "e", " ", "\t",
		`\`, `\n`, `\u5c71`, `\ud842\udfb7`, `\ud842`, "null", "true", "[", "]", "x", "\u0085", "\x00", `"a":"b"`})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "line"), "")
		if rapid.Bool().Draw(t, "object") {
			text = `{"ref":"` + text + `"}`
		}
		checkJSON(t, text)
	})
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"ref":"1"}`, `{"award_annual_yen":12,"ref":"\u5c71"}`, `{"former":[{"name":"x"}]}`, `{}`, `{"ref":"\ud842\udfb7"}`, "{\"ref\":\"\x00\"}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkJSON(t, s)
		checkResume(t, " "+s+" ", Options{Format: JSON, Encoding: UTF8})
	})
}
