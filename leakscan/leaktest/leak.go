package leaktest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf16"

	"azekura/population"
	"azekura/register/field"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
)

// Style is how a leak is written: one dimension is changed at a time.
type Style struct {
	Format   string // csv, tsv, quoted, ndjson, json, mysql, postgresql, text, html, xlsx
	Encoding string // utf-8, bom, cp932, euc-jp, iso-2022-jp, utf-16le, utf-16be
	Date     string // iso, slash, digits, kanji, letter, two
	Name     string // plain, split, spaced, variant
	Number   string // plain, hyphen, wide
	Kana     string // plain, half
	Columns  []field.Field
}

// DefaultColumns are those of an ordinary list.
var DefaultColumns = []field.Field{field.Number, field.Name, field.Kana, field.Birth, field.Address, field.Phone}

// Truth is what one row holds.
type Truth struct {
	Row    int64
	Person int // in the register, -1 for a stranger
	Fields field.Set
}

// Own says of n people that each is the register's of the same place.
func Own(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// Leak writes people as a file. own says which person of the register a row is,
// or -1; a row whose text the encoding can't write is left out.
func Leak(style Style, people []population.Person, own []int) ([]byte, []Truth) {
	if style.Columns == nil {
		style.Columns = DefaultColumns
	}
	var truth []Truth
	var rows [][]string
	for i := range people {
		row, fields := style.row(&people[i])
		if _, ok := encode(style.Encoding, strings.Join(row, " ")); !ok {
			continue
		}
		rows = append(rows, row)
		truth = append(truth, Truth{Person: own[i], Fields: fields})
	}
	if style.Format == "xlsx" {
		for i := range truth {
			truth[i].Row = int64(i) + 1
		}
		return workbook(rows), truth
	}
	text, first := style.text(rows)
	for i := range truth {
		truth[i].Row = first + int64(i)
	}
	raw, _ := encode(style.Encoding, text)
	return raw, truth
}

func (s *Style) row(p *population.Person) (row []string, fields field.Set) {
	put := func(f field.Field, cells ...string) {
		if strings.Join(cells, "") != "" {
			fields |= field.SetOf(f)
		}
		row = append(row, cells...)
	}
	for _, f := range s.Columns {
		switch f {
		case field.Number:
			put(f, s.number(p.Number))
		case field.Name:
			put(f, s.name(p.Name)...)
		case field.Kana:
			kana := p.Kana
			if s.Kana == "half" {
				kana = half(kana)
			}
			put(f, kana)
		case field.Birth:
			put(f, Date(s.Date, p.Birth))
		case field.Address:
			put(f, p.Address)
		case field.Phone:
			put(f, p.Phone)
		case field.Email:
			put(f, p.Email)
		case field.Account:
			put(f, p.BankCode, p.BranchCode, p.AccountType, p.AccountNumber)
		case field.Ref:
			put(f, p.Ref)
		}
	}
	return row, fields
}

func (s *Style) number(n string) string {
	switch s.Number {
	case "hyphen":
		return n[:4] + "-" + n[4:]
	case "wide":
		return strings.Map(func(r rune) rune { return r - '0' + '０' }, n)
	}
	return n
}

func (s *Style) name(n string) []string {
	parts := strings.FieldsFunc(n, func(r rune) bool { return r == ' ' || r == '　' })
	switch s.Name {
	case "split":
		if len(parts) == 2 {
			return parts
		}
		return []string{n, ""}
	case "spaced":
		return []string{strings.Join(parts, "　　")}
	case "variant":
		return []string{strings.NewReplacer("高", "髙", "崎", "﨑", "沢", "澤", "浜", "濱", "斎", "齋", "辺", "邊", "島", "嶋").Replace(n)}
	}
	return []string{n}
}

// Date writes an ISO date in a style.
func Date(style, iso string) string {
	if len(iso) != 10 {
		return iso
	}
	var y, m, d int
	_, _ = fmt.Sscanf(iso, "%d-%d-%d", &y, &m, &d)
	era, letter, first := "", "", 0
	for _, e := range []struct {
		name, letter, from string
		first              int
	}{{"明治", "M", "1868-10-23", 1868}, {"大正", "T", "1912-07-30", 1912}, {"昭和", "S", "1926-12-25", 1926}, {"平成", "H", "1989-01-08", 1989}, {"令和", "R", "2019-05-01", 2019}} {
		if iso >= e.from {
			era, letter, first = e.name, e.letter, e.first
		}
	}
	switch style {
	case "slash":
		return fmt.Sprintf("%d/%d/%d", y, m, d)
	case "digits":
		return fmt.Sprintf("%04d%02d%02d", y, m, d)
	case "kanji":
		return fmt.Sprintf("%s%d年%d月%d日", era, y-first+1, m, d)
	case "letter":
		return fmt.Sprintf("%s%02d.%02d.%02d", letter, y-first+1, m, d)
	case "two":
		return fmt.Sprintf("%02d/%02d/%02d", y%100, m, d)
	}
	return iso
}

func half(s string) string {
	var b strings.Builder
	for _, r := range s {
		if h, ok := halfKana[r]; ok {
			b.WriteString(h)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

var halfKana = func() map[rune]string {
	m := map[rune]string{'　': " ", 'ー': "ｰ"}
	fullRow, halfRow := []rune("アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヲンァィゥェォャュョッ"), []rune("ｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾅﾆﾇﾈﾉﾊﾋﾌﾍﾎﾏﾐﾑﾒﾓﾔﾕﾖﾗﾘﾙﾚﾛﾜｦﾝｧｨｩｪｫｬｭｮｯ")
	for i, r := range fullRow {
		m[r] = string(halfRow[i])
	}
	for i, r := range []rune("ガギグゲゴザジズゼゾダヂヅデドバビブベボヴ") {
		m[r] = string([]rune("ｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾊﾋﾌﾍﾎｳ")[i]) + "ﾞ"
	}
	for i, r := range []rune("パピプペポ") {
		m[r] = string([]rune("ﾊﾋﾌﾍﾎ")[i]) + "ﾟ"
	}
	return m
}()

// text lays the rows out, and says which record the first of them is.
func (s *Style) text(rows [][]string) (text string, first int64) {
	var b strings.Builder
	join := func(sep string, quote func(string) string, end string) {
		for _, row := range rows {
			for i, c := range row {
				if i > 0 {
					b.WriteString(sep)
				}
				b.WriteString(quote(c))
			}
			b.WriteString(end)
		}
	}
	plain := func(c string) string { return c }
	switch s.Format {
	case "csv":
		b.WriteString("番号,氏名\r\n")
		join(",", plain, "\r\n")
		return b.String(), 2
	case "tsv":
		join("\t", plain, "\n")
	case "quoted":
		join(",", func(c string) string { return `"` + c + `"` }, "\r\n")
	case "ndjson", "json":
		for i, row := range rows {
			object := map[string]any{"meta": map[string]string{"a": "x"}}
			for n, c := range row {
				object[fmt.Sprintf("c%02d", n)] = c
			}
			raw, _ := json.Marshal(object)
			if s.Format == "json" {
				b.WriteString(strings.Repeat("[", min(1, max(0, 1-i))))
				if i > 0 {
					b.WriteString(",")
				}
			}
			b.Write(raw)
			b.WriteString("\n")
		}
		if s.Format == "json" {
			b.WriteString("]")
		}
	case "mysql":
		b.WriteString("-- dump\nINSERT INTO `people` VALUES ")
		for i, row := range rows {
			if i > 0 {
				b.WriteString(",")
			}
			for n, c := range row {
				b.WriteString([]string{"(", ","}[min(n, 1)] + "'" + strings.ReplaceAll(c, "'", `\'`) + "'")
			}
			b.WriteString(")")
		}
		b.WriteString(";\n")
	case "postgresql":
		b.WriteString("SET x = 1;\nCOPY people FROM stdin;\n")
		join("\t", plain, "\n")
		b.WriteString("\\.\n")
	case "html":
		b.WriteString("<!DOCTYPE html><html><table>\n")
		for _, row := range rows {
			b.WriteString("<tr><td>" + strings.Join(row, "</td><td><b>") + "</td></tr>\n")
		}
		b.WriteString("</table></html>")
	case "fixed", "fixed by characters":
		s.fixed(&b, rows)
	case "text":
		for _, row := range rows {
			b.WriteString("対象者：" + strings.Join(row, "、 項目：") + "。\n")
		}
	}
	return b.String(), 1
}

// fixed writes cells side by side, with nothing between columns whose cells are all of
// one width, and room for one character more in others, as who made them had left: wide
// as on the screen, which are CP932's bytes, or in characters.
func (s *Style) fixed(b *strings.Builder, rows [][]string) {
	width := func(c string) (n int) {
		for _, r := range c {
			n++
			if s.Format == "fixed" && r >= 0x80 && (r < 0xFF61 || r > 0xFF9F) {
				n++
			}
		}
		return n
	}
	var widest, least []int
	for _, row := range rows {
		for n, c := range row {
			if n == len(widest) {
				widest, least = append(widest, 0), append(least, width(c))
			}
			widest[n], least[n] = max(widest[n], width(c)), min(least[n], width(c))
		}
	}
	for n := range widest {
		if least[n] < widest[n] {
			widest[n] += width("　")
		}
	}
	for _, row := range rows {
		for n, c := range row {
			b.WriteString(c + strings.Repeat(" ", widest[n]-width(c)))
		}
		b.WriteString("\r\n")
	}
}

func encode(name, text string) ([]byte, bool) {
	x := func(e encoding.Encoding) ([]byte, bool) {
		b, err := e.NewEncoder().Bytes([]byte(text))
		if err != nil {
			return nil, false
		}
		back, err := e.NewDecoder().Bytes(b)
		return b, err == nil && !bytes.Contains(back, []byte("\uFFFD"))
	}
	switch name {
	case "bom":
		return []byte("\ufeff" + text), true
	case "cp932":
		return x(japanese.ShiftJIS)
	case "euc-jp":
		return x(japanese.EUCJP)
	case "iso-2022-jp":
		return x(japanese.ISO2022JP)
	case "utf-16le", "utf-16be":
		b := []byte("\xff\xfe")
		if name == "utf-16be" {
			b = []byte("\xfe\xff")
		}
		for _, u := range utf16.Encode([]rune(text)) {
			if name == "utf-16le" {
				b = append(b, byte(u), byte(u>>8))
			} else {
				b = append(b, byte(u>>8), byte(u))
			}
		}
		return b, true
	}
	return []byte(text), true
}

// Mixed are n rows: people of the register drawn at random, and for each third a
// stranger, who bears another seed's name and number.
func Mixed(random *rand.Rand, register []population.Person, strangers []population.Person, n int) (people []population.Person, own []int) {
	for i := range n {
		if i%3 == 2 {
			people, own = append(people, strangers[random.IntN(len(strangers))]), append(own, -1)
			continue
		}
		at := random.IntN(len(register))
		people, own = append(people, register[at]), append(own, at)
	}
	return people, own
}
