package normal

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"
)

//go:generate go run ./internal/derive ../../population/data/towns.txt.gz data/towns.txt.gz

//go:embed data/towns.txt.gz
var townsGz []byte

// townSlots is the size of the table, a power of two; more than half of it is taken.
const townSlots = 1 << 18

// townTable is an open-addressed set of the hashes of all towns as canonical
// writes them, without their county (郡): half of each hash, so that the table nearly
// fits a processor's cache. Before it stand bits for whoever asks for much that is no
// town.
type townTable struct {
	bits  [1 << 15]uint64
	slots [townSlots]uint32
	// numbered are the hashes of what stands before a number in a town's name, and
	// bits that most of what isn't there stops at.
	numbered     map[uint64]bool
	numberedBits [1 << 10]uint64
	// plain is what a character becomes whatever stands around it (0: that isn't
	// so; numeral: it may be part of a number).
	plain [0x10000]uint16
	// counties are the counties without their 郡, as AppendLoose writes them.
	counties map[string]bool
	// same has a bit for each character that plain leaves as it is.
	same [0x10000 / 64]uint64
}

// isNumeral marks a numeral in townTable.plain.
const isNumeral = 1

var towns = sync.OnceValue(func() *townTable {
	table := &townTable{numbered: map[uint64]bool{}, counties: map[string]bool{}}
	z, err := gzip.NewReader(bytes.NewReader(townsGz))
	if err != nil {
		panic(fmt.Sprintf("normal: the embedded town table is damaged, build again: %v", err))
	}
	text, err := io.ReadAll(z)
	if err != nil {
		panic(fmt.Sprintf("normal: the embedded town table is damaged, build again: %v", err))
	}
	for line := range strings.Lines(string(text)) {
		town := Address(strings.TrimSuffix(line, "\n"))
		if county, of, found := strings.Cut(town, "郡"); found && isCounty(county) {
			table.counties[string(AppendLoose(nil, []byte(county)))], town = true, of
		}
		addTown(table, town)
	}
	for r := range rune(len(table.plain)) {
		if table.plain[r] = plainRune(r); r > 0 && rune(table.plain[r]) == r && r != isNumeral {
			table.same[r>>6] |= 1 << (r & 63)
		}
	}
	return table
})

// longestCounty bounds the bytes of a county's name, 郡 included.
const longestCounty = 15

// isCounty tells 余市郡余市町 and 神崎郡市川町 from 郡山市, 小郡市, 大和郡山市 and
// 高槻市郡家本町.
func isCounty(county string) bool {
	switch county {
	case "余市", "高市":
		return true
	case "", "小", "蒲", "大和":
		return false
	}
	return !strings.ContainsAny(county, "市区") && len(county) <= longestCounty-len("郡")
}

// withoutCounty is an Address form without the county that it begins with.
func (t *townTable) withoutCounty(s string) string {
	county, _, found := strings.Cut(s[:min(len(s), longestCounty)], "郡")
	if !found {
		return s
	}
	var stack [2 * longestCounty]byte
	if !t.counties[string(AppendLoose(stack[:0], []byte(county)))] {
		return s
	}
	return s[len(county)+len("郡"):]
}

// plainRune is for the characters that addresses are made of: what Address and then
// canonical write for it, if both do so by itself.
func plainRune(r rune) uint16 {
	switch {
	case r == '々', r >= 0x4E00 && r <= 0x9FFF, r >= 0x3041 && r <= 0x3096, r >= 0x30A1 && r <= 0x30F6, r == '〇':
	default:
		return 0
	}
	if numeral(r) >= 0 {
		return isNumeral
	}
	var c canonical
	c.next(Address(string(r)), 0)
	to, n := utf8.DecodeRune(c.text)
	if n != 3 || n != len(c.text) || numeral(to) >= 0 {
		return 0
	}
	return uint16(to)
}

func addTown(table *townTable, town string) {
	var c canonical
	for i := 0; i < len(town); {
		if _, end := numberAt(town, i); end > i && i > 0 {
			table.numbered[c.hash] = true
			table.numberedBits[c.hash>>48&(1<<10-1)] |= 1 << (c.hash >> 58)
		}
		i = c.next(town, i)
	}
	at, half := slotOf(c.hash)
	for table.slots[at] != 0 && table.slots[at] != half {
		at = (at + 1) & (townSlots - 1)
	}
	table.slots[at] = half
	table.bits[c.hash>>43&(1<<15-1)] |= 1 << (c.hash >> 58)
}

// slotOf is where a hash stands in the table, or after, and what stands there.
func slotOf(hash uint64) (at uint64, half uint32) {
	return hash >> 16 & (townSlots - 1), uint32(hash>>32) | 1
}

// may says whether a hash may be a town's: nine in ten that aren't stop here.
func (t *townTable) may(hash uint64) bool {
	return t.bits[hash>>43&(1<<15-1)]>>(hash>>58)&1 != 0
}

// has says whether a hash is a town's.
func (t *townTable) has(hash uint64) bool {
	at, half := slotOf(hash)
	for t.slots[at] != 0 {
		if t.slots[at] == half {
			return true
		}
		at = (at + 1) & (townSlots - 1)
	}
	return false
}

// goesOn says whether a town's name is what has this hash, then a number.
func (t *townTable) goesOn(hash uint64) bool {
	return t.numberedBits[hash>>48&(1<<10-1)]>>(hash>>58)&1 != 0 && t.numbered[hash]
}

// canonical writes a place's name so that 三番町 and 3番町, 霞が関 and 霞ケ関,
// 丸の内 and 丸ノ内, 籠原 and 篭原 are the same, without 大字 and 字, and hashes it as
// it goes, character by character as FNV does (the set is our own and nobody's
// secret). Drawings that names keep apart are one here: no two places differ by them.
type canonical struct {
	text []byte
	hash uint64
}

const hashStart, hashPrime = 14695981039346656037, 0x9E3779B97F4A7C15

func hashed(hash uint64, r rune) uint64 { return (hash ^ uint64(r)) * hashPrime }

// next takes the character at i of an Address form, or a whole number, and
// returns where the next begins.
func (c *canonical) next(s string, i int) int {
	if c.hash == 0 {
		c.hash = hashStart
	}
	number, end := numberAt(s, i)
	if end == i {
		r, n := utf8.DecodeRuneInString(s[i:])
		end = i + n
		switch r = variant(r, tier2); r {
		case '字':
			return end
		case '大':
			if strings.HasPrefix(s[end:], "字") {
				return end + len("字")
			}
		case 'が', 'ガ', 'ヶ':
			r = 'ケ'
		case 'ノ', '之':
			r = 'の'
		case 'ッ', 'っ', 'つ':
			r = 'ツ'
		}
		c.text, c.hash = utf8.AppendRune(c.text, r), hashed(c.hash, r)
		return end
	}
	if number == "" {
		number = s[i:end]
	}
	c.text = append(c.text, number...)
	for _, b := range []byte(number) {
		c.hash = hashed(c.hash, rune(b))
	}
	return end
}
