package register_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"azekura/population"
)

// line is one row of a file, by column.
type line map[string]string

// person is a made-up row; n tells one from another, in all that must differ.
func person(n int) line {
	return line{
		"ref": fmt.Sprintf("T-%04d", n), "number": fmt.Sprintf("98%08d", n), "name": fmt.Sprintf("試験　花子%d", n), "kana": "シケン　ハナコ",
		"romaji": "SHIKEN HANAKO", "birth": "1950-04-12", "sex": "F", "postal_code": "1000005", "address": fmt.Sprintf("東京都千代田区丸の内%d", n),
		"phone": fmt.Sprintf("03%08d", 12340000+n), "email": fmt.Sprintf("hanako%d@example.invalid", n), "award_kind": "old-age-basic", "award_annual_yen": "780900",
	}
}

func (l line) with(column, text string) line {
	l = maps.Clone(l)
	l[column] = text
	return l
}

func csvOf(lines ...line) []byte { return csvColumns(population.Columns(), lines...) }

func csvColumns(columns []string, lines ...line) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write(columns)
	for _, l := range lines {
		row := make([]string, len(columns))
		for i, c := range columns {
			row[i] = l[c]
		}
		_ = w.Write(row)
	}
	w.Flush()
	return b.Bytes()
}

func jsonOf(lines ...line) []byte {
	var b bytes.Buffer
	for _, l := range lines {
		l = maps.Clone(l)
		maps.DeleteFunc(l, func(_, text string) bool { return text == "" })
		raw, _ := json.Marshal(l)
		b.Write(append(raw, '\n'))
	}
	return b.Bytes()
}

// texts are what a row holds of a person that is long enough to be told from
// chance.
func (l line) texts() (list []string) {
	for column, text := range l {
		if len(text) >= 6 && !strings.HasPrefix(column, "award") {
			list = append(list, text)
		}
	}
	return list
}
