package register_test

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"

	"azekura/gate/canary"
	"azekura/internal/installation"
	"azekura/internal/insttest"

	"github.com/google/uuid"
)

// rewritten is a file whose rows were changed.
func rewritten(t *testing.T, n int, change func(at int, rows []map[string]any)) []byte {
	t.Helper()
	lines := bytes.Split(bytes.TrimSpace(insttest.NDJSON(t, 21, int64(n))), []byte("\n"))
	rows := make([]map[string]any, len(lines))
	for at, line := range lines {
		if err := json.Unmarshal(line, &rows[at]); err != nil {
			t.Fatal(err)
		}
		delete(rows[at], "former")
	}
	var b bytes.Buffer
	for at := range rows {
		change(at, rows)
		line, err := json.Marshal(rows[at])
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.Bytes()
}

// sharing counts canaries and others by how many share a token with them at most: 0 is
// nobody, and mixed are the tokens that a canary shares with somebody else.
func sharing(t *testing.T, i *installation.Installation) (birds, others map[int]int, mixed int) {
	t.Helper()
	marks := canary.New(i.Ring)
	holders := map[string][]uuid.UUID{}
	for _, table := range []string{"register_index_0", "register_index_1"} {
		rows, err := i.DB.Query(t.Context(), "SELECT token, participant_id FROM "+table)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var token, id []byte
			if err := rows.Scan(&token, &id); err != nil {
				t.Fatal(err)
			}
			holders[string(token)] = append(holders[string(token)], uuid.UUID(id))
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	most := map[uuid.UUID]int{}
	for _, ids := range holders {
		of := 0
		for _, id := range ids {
			most[id] = max(most[id], len(ids)-1)
			if marks.Is(id) {
				of++
			}
		}
		if of > 0 && of < len(ids) {
			mixed++
		}
	}
	birds, others = map[int]int{}, map[int]int{}
	for id, n := range most {
		if marks.Is(id) {
			birds[n]++
		} else {
			others[n]++
		}
	}
	return birds, others, mixed
}

// alikeAs fails where canaries share tokens more or less often than others do.
func alikeAs(t *testing.T, what string, birds, others map[int]int, is func(n int) bool) {
	t.Helper()
	count := func(m map[int]int) (yes, all float64) {
		for n, c := range m {
			if all += float64(c); is(n) {
				yes += float64(c)
			}
		}
		return yes, all
	}
	b, bs := count(birds)
	o, os := count(others)
	p := o / os
	t.Logf("%s: %.4f of %.0f canaries, %.4f of %.0f others", what, b/bs, bs, p, os)
	// Whole groups are planted or not, so it spreads wider than one by one.
	if math.Abs(b/bs-p) > 5*math.Sqrt(3*p*(1-p)/bs) || p == 0 {
		t.Errorf("%s: %.4f of canaries, %.4f of others", what, b/bs, p)
	}
}

// TestKin: canaries share what finds them with one another as people do, in households
// of three and as twins.
func TestKin(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		content := rewritten(t, insttest.Soak(4000, 20_000), func(at int, rows []map[string]any) {
			row := rows[at]
			switch {
			case at >= 7 && at%20 == 7: // its telephone is that of two before, who live there too
				for _, back := range []int{4, 7} {
					row["phone"], row["postal_code"], row["address"] = "0312345678"[:4]+fixed(at, 6), rows[at-back]["postal_code"], rows[at-back]["address"]
				}
			case at%20 == 0 || at%20 == 3:
				row["phone"] = "0312345678"[:4] + fixed(at-at%20+7, 6)
			case at%20 == 15: // a twin
				for _, key := range []string{"birth", "postal_code", "address"} {
					row[key] = rows[at-2][key]
				}
			}
		})
		plant(t, i, content, 0.2)
		birds, others, mixed := sharing(t, i)
		if mixed > 5 {
			t.Errorf("canaries share %d tokens with people", mixed)
		}
		alikeAs(t, "share with nobody", birds, others, func(n int) bool { return n == 0 })
		alikeAs(t, "share with one", birds, others, func(n int) bool { return n == 1 })
		alikeAs(t, "share with two", birds, others, func(n int) bool { return n == 2 })
		sound(t, i)
	})
}

// fixed is a number of so many digits.
func fixed(n, width int) string {
	text := make([]byte, width)
	for at := width - 1; at >= 0; at-- {
		text[at], n = '0'+byte(n%10), n/10
	}
	return string(text)
}

// TestNamesakes: where names and births are few, canaries are somebody's namesake by
// chance, and aren't planted as one besides.
func TestNamesakes(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		content := rewritten(t, insttest.Soak(3000, 12_000), func(at int, rows []map[string]any) {
			n := at * 7919 / 13
			family, given := [][3]string{{"佐藤", "サトウ", "SATO"}, {"鈴木", "スズキ", "SUZUKI"}, {"高橋", "タカハシ", "TAKAHASHI"}, {"田中", "タナカ", "TANAKA"}}[n%4],
				[][3]string{{"実", "ミノル", "MINORU"}, {"清", "キヨシ", "KIYOSHI"}, {"茂", "シゲル", "SHIGERU"}, {"勝", "マサル", "MASARU"}}[n/4%4]
			for form, key := range []string{"name", "kana", "romaji"} {
				rows[at][key] = family[form] + " " + given[form]
			}
			rows[at]["sex"] = "male"
			rows[at]["birth"] = rows[at]["birth"].(string)[:4] + []string{"-04-01", "-10-01"}[n/16%2]
		})
		plant(t, i, content, 0.2)
		birds, others, mixed := sharing(t, i)
		if mixed == 0 {
			t.Error("no canary is anybody's namesake")
		}
		alikeAs(t, "share with somebody", birds, others, func(n int) bool { return n > 0 })
	})
}
