package main

import (
	"bufio"
	"bytes"
	_ "embed"
	"fmt"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/text/encoding/japanese"
)

//go:embed heads/surnames.txt
var surnameHeads string

// entry is one name of the dictionary: how it is written, how it is read, and
// its cost there (lower is more frequent; most rare names share one value).
type entry struct {
	text, kana string
	cost       int
}

type dictionary struct {
	surnames, given []entry
}

// readNames reads mecab-ipadic's people's names, without the foreign ones,
// which the dictionary writes in katakana alone.
func readNames(path string) (dictionary, error) {
	var d dictionary
	raw, err := os.ReadFile(path)
	if err != nil {
		return d, fmt.Errorf("read the name dictionary (give its folder with -ipadic): %w", err)
	}
	text, err := japanese.EUCJP.NewDecoder().Bytes(raw)
	if err != nil {
		return d, fmt.Errorf("decode %s as EUC-JP: %w", path, err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		col := strings.Split(lines.Text(), ",")
		if len(col) < 13 || isForeign(col[0]) || !isKatakana(col[11]) {
			continue
		}
		cost, err := strconv.Atoi(col[3])
		if err != nil {
			return d, fmt.Errorf("cost of an entry in %s: %w", path, err)
		}
		e := entry{col[0], col[11], cost}
		switch col[7] {
		case "姓":
			d.surnames = append(d.surnames, e)
		case "名":
			d.given = append(d.given, e)
		}
	}
	sortEntries(d.surnames)
	sortEntries(d.given)
	return d, lines.Err()
}

func sortEntries(list []entry) {
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if a.cost != b.cost {
			return a.cost < b.cost
		}
		if a.text != b.text {
			return a.text < b.text
		}
		return a.kana < b.kana
	})
}

// isForeign drops names in katakana, with or without a middle dot.
func isForeign(text string) bool {
	return isKatakana(strings.ReplaceAll(text, "・", ""))
}

func isKatakana(s string) bool {
	for _, r := range s {
		if (r < 'ァ' || r > 'ヶ') && r != 'ー' {
			return false
		}
	}
	return s != ""
}

// reading is the dictionary's cheapest reading of a name.
func reading(list []entry, text string) (string, bool) {
	for _, e := range list {
		if e.text == text {
			return e.kana, true
		}
	}
	return "", false
}

// costWeight turns a cost into a relative frequency, exp(-cost/520). Costs
// below floor say how often a person was in the dictionary's newspapers, not
// how many bear the name, so they count as floor: the cheapest surname of the
// tail is then 9 times as frequent as those that the corpus never saw, the
// cheapest given name 3 times.
func costWeight(cost, floor int) float64 {
	return math.Exp(-float64(max(cost, floor)-floor) / 520)
}

// populations are rounded thousands of bearers at a rank, between which
// surnameSize interpolates on logarithmic scales (a broken power law).
var populations = []struct{ rank, thousand float64 }{
	{1, 1850}, {2, 1780}, {3, 1400}, {4, 1320}, {5, 1080}, {10, 880}, {20, 540},
	{50, 310}, {100, 195}, {200, 108}, {500, 46},
}

const (
	tailShare    = 0.36 // of all people bear a surname outside the head list
	surnameFloor = 6500
)

func surnameSize(rank int) float64 {
	r := float64(rank)
	for i := 1; i < len(populations); i++ {
		a, b := populations[i-1], populations[i]
		if r <= b.rank {
			t := math.Log(r/a.rank) / math.Log(b.rank/a.rank)
			return math.Exp(math.Log(a.thousand)*(1-t) + math.Log(b.thousand)*t)
		}
	}
	last := populations[len(populations)-1]
	return last.thousand * math.Pow(last.rank/r, 1.3)
}

// surnameTable is lines of name, reading and weight: the head by rank, then
// the dictionary's other names by cost, scaled to tailShare.
func surnameTable(d dictionary) ([]byte, error) {
	var out bytes.Buffer
	seen := map[string]bool{}
	rank, head := 0, 0.0
	for _, word := range headWords(surnameHeads) {
		part := strings.Split(word, "/")
		if seen[part[0]] {
			continue
		}
		seen[part[0]] = true
		rank++
		if len(part) == 1 {
			kana, ok := reading(d.surnames, part[0])
			if !ok {
				return nil, fmt.Errorf("surname %s is not in the dictionary: write its reading after a slash in heads/surnames.txt", part[0])
			}
			part = append(part, kana)
		}
		size := surnameSize(rank) * 1000
		head += size
		for i, kana := range part[1:] {
			share := 1.0
			if len(part) > 2 {
				share = []float64{0.7, 0.3}[i]
			}
			fmt.Fprintf(&out, "%s\t%s\t%d\n", part[0], kana, int(size*share))
		}
	}
	surnameTail(&out, d, seen, head*tailShare/(1-tailShare))
	return out.Bytes(), nil
}

func surnameTail(out *bytes.Buffer, d dictionary, seen map[string]bool, people float64) {
	sum := 0.0
	var tail []entry
	for _, e := range d.surnames {
		if !seen[e.text] {
			tail = append(tail, e)
			sum += costWeight(e.cost, surnameFloor)
		}
	}
	for _, e := range tail {
		fmt.Fprintf(out, "%s\t%s\t%d\n", e.text, e.kana, max(1, int(people*costWeight(e.cost, surnameFloor)/sum)))
	}
}

// headWords are the words of a head list without its comments.
func headWords(text string) []string {
	var words []string
	for _, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "#") {
			words = append(words, strings.Fields(line)...)
		}
	}
	return words
}
