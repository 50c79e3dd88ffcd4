package normal

import (
	"strings"
	"unicode/utf8"
)

// stride is walk for the heads that most addresses have: characters that stay as they
// are, none of them a numeral, without a number in a town's name. Its loop has the
// address for its text, so that it keeps hashes alone.
func (p *Places) stride(s string) (h head, at int, ok bool) {
	table, prefecture := towns(), plainPrefecture(s)
	from, county := prefecture, false
	i, n, hash, last := from, 0, uint64(hashStart), rune(0)
	for i+4 <= len(s) && n < pastTown {
		w := uint32(s[i]) | uint32(s[i+1])<<8 | uint32(s[i+2])<<16 | uint32(s[i+3])<<24
		r := rune(w&0x0F<<12 | w>>8&0x3F<<6 | w>>16&0x3F)
		if w&0xC0C0F0 != 0x8080E0 || table.same[r>>6]>>(r&63)&1 == 0 {
			break
		}
		hash, last = hashed(hash, r), r
		p.hashes[n] = hash
		i, n = i+3, n+1
		if r == '郡' && !county && i-from <= longestCounty { // the first one, as withoutCounty has it
			if county = true; table.counties[s[from:i-3]] {
				from, n, hash = i, 0, hashStart
			}
		}
	}
	if n == pastTown || n == 0 || prefecture == 0 && i < 12 || i == len(s) || !headMayEnd(last) || len(s) > 4*maxAddressText ||
		strings.HasPrefix(s[from:], "京都市") { // withoutStreets
		return head{}, 0, false
	}
	if _, digit := digitAt(s, i); digit == 0 || table.goesOn(hash) {
		return head{}, 0, false
	}
	h.whole, h.hash = s[from:i], hash
	for k := n - 1; k >= 0; k-- {
		if table.has(p.hashes[k]) {
			h.town, h.bare = 3*(k+1), k == n-1
			break
		}
	}
	return h, i, true
}

// plainPrefecture is where the prefecture ends that an address begins with, 0 if it
// begins with none as they are usually written.
func plainPrefecture(s string) int {
	if len(s) < 12 {
		return 0
	}
	if third := s[6:9]; third == "都" || third == "府" || third == "県" {
		if isPrefecture(s[:6]) && s[:9] != "京都都" {
			return 9
		}
	} else if third == "道" && s[:6] == "北海" {
		return 9
	}
	if s[9:12] == "県" && isPrefecture(s[:9]) {
		return 12
	}
	return 0
}

// walk is headEnds and headOf for a head of the usual kind, in one pass and without
// memory: kanji and kana that mean the same whatever stands around them, numerals that
// are part of a name, and then a digit. at is where that stands; not ok means that
// only headOf knows. The head is good until the next one.
func (p *Places) walk(s string) (h head, at int, ok bool) {
	table := towns()
	i := table.prefectureEnds(s)
	if i < 0 || len(s) > 4*maxAddressText {
		return head{}, 0, false
	}
	if county := table.countyEnds(s[i:]); county >= 0 {
		i += county
	} else {
		return head{}, 0, false
	}
	if strings.HasPrefix(s[i:], "京都市") {
		return head{}, 0, false // withoutStreets
	}
	from, last := i, rune(0)
	text, steps := p.text[:0], p.steps[:0]
	hash := uint64(hashStart)
	for i+2 < len(s) && s[i] >= 0xE3 && s[i] <= 0xE9 {
		r := rune(s[i]&0x0F)<<12 | rune(s[i+1]&0x3F)<<6 | rune(s[i+2]&0x3F)
		if (s[i+1]^0x80)|(s[i+2]^0x80) > 0x3F || len(steps) == longestTown {
			return head{}, 0, false
		}
		last = r
		i += 3
		switch to := table.plain[r]; to {
		case 0:
			return head{}, 0, false
		case isNumeral:
			var number string
			if number, i = numberAt(s, i-3); number == "" || table.counts(s[i:]) {
				return head{}, 0, false
			}
			for _, b := range []byte(number) {
				hash = hashed(hash, rune(b))
			}
			text = append(text, number...)
		default:
			hash = hashed(hash, rune(to))
			text = append(text, 0xE0|byte(to>>12), 0x80|byte(to>>6)&0x3F, 0x80|byte(to)&0x3F)
		}
		steps = append(steps, step{hash, int32(i), int32(len(text))})
	}
	if i == len(s) || i == from || !headMayEnd(last) {
		return head{}, 0, false
	}
	if _, n := digitAt(s, i); n == 0 {
		return head{}, 0, false
	}
	h.whole, h.hash, h.goesOn = str(text), hash, table.goesOn(hash)
	rest, ok := h.longest(table, steps)
	if !ok {
		return head{}, 0, false
	}
	h.bare = h.town > 0 && rest == i
	h.slow = h.town == 0 && len(steps) >= longestTown
	return h, i, true
}

// step is where walk was after a character.
type step struct {
	hash uint64
	from int32 // what follows begins, in the address
	text int32 // bytes of the head's text so far
}

// longest finds the longest town among the steps, and where what follows it begins.
// It asks the table from the last step on, which is the town's end more often than
// not; where headOf's loop could end before the head's end, or its count matters, it
// asks as that does.
func (h *head) longest(table *townTable, steps []step) (rest int, ok bool) {
	if len(steps) < pastTown && !h.goesOn {
		for i := len(steps) - 1; i >= 0; i-- {
			if table.has(steps[i].hash) {
				h.town = int(steps[i].text)
				return int(steps[i].from), true
			}
		}
		return 0, true
	}
	for i := range steps {
		if h.steps >= longestTown {
			return 0, false
		}
		if hash := steps[i].hash; table.may(hash) && table.has(hash) {
			h.town, rest = int(steps[i].text), int(steps[i].from)
			h.steps = max(h.steps, longestTown-pastTown)
		}
		h.steps++
	}
	return rest, true
}

// headMayEnd says whether a digit after a character of a head begins the numbers,
// as headEnds has it.
func headMayEnd(last rune) bool {
	switch last {
	case '目', '地', '番', '号', '室', 'の', 'ノ', '々':
		return false
	}
	return numeral(last) < 0
}

// counts says whether what follows a numeral in kanji may make it a number: a unit, a
// joint, or a digit.
func (t *townTable) counts(rest string) bool {
	r, n := utf8.DecodeRuneInString(rest)
	if n != 3 || r > 0xFFFF {
		return true
	}
	switch t.plain[r] {
	case 0, '丁', '番', '号', 'の':
		return true
	}
	return false
}

// prefectureEnds is where the prefecture that an address begins with ends, 0 if it
// begins with none; below 0, only withoutPrefecture knows.
func (t *townTable) prefectureEnds(s string) int {
	if len(s) < 12 {
		return -1
	}
	for i := 0; i < 12; i += 3 {
		if s[i] < 0xE3 || s[i] > 0xE9 || s[i+1]&0xC0 != 0x80 || s[i+2]&0xC0 != 0x80 {
			return -1
		}
		r := rune(s[i]&0x0F)<<12 | rune(s[i+1]&0x3F)<<6 | rune(s[i+2]&0x3F)
		if to := t.plain[r]; to != isNumeral && rune(to) != r && (to == 0 || foldRune(r, 0) != r) { // 大阪 is 大坂 only later
			return -1
		}
	}
	if strings.HasPrefix(s, "北海道") {
		return len("北海道")
	}
	for _, at := range [...]int{6, 9} {
		switch end := s[at : at+3]; end {
		case "都", "府", "県":
			if isPrefecture(s[:at]) && (end != "都" || s[:at] != "京都") {
				return at + 3
			}
		}
	}
	return 0
}

// countyEnds is where the county that an address goes on with ends, 0 if there is
// none; below 0, only withoutCounty knows.
func (t *townTable) countyEnds(s string) int {
	at := strings.Index(s[:min(len(s), longestCounty)], "郡")
	if at < 0 {
		return 0
	}
	for _, r := range s[:at] {
		if r > 0xFFFF || t.plain[r] != isNumeral && rune(t.plain[r]) != r {
			return -1
		}
	}
	return len(s) - len(t.withoutCounty(s))
}

// prefectureSlots is prefectures by prefectureSlot.
var prefectureSlots = func() (slots [256]string) {
	for p := range prefectures {
		at := prefectureSlot(p)
		for slots[at] != "" {
			at++
		}
		slots[at] = p
	}
	return slots
}()

func prefectureSlot(s string) uint8 { return s[1]*3 + s[2]*5 + s[4]*7 + s[5]*11 }

// isPrefecture is for two or three kanji.
func isPrefecture(s string) bool {
	for at := prefectureSlot(s); prefectureSlots[at] != ""; at++ {
		if prefectureSlots[at] == s {
			return true
		}
	}
	return false
}
