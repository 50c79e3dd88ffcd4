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

// townSlots is the size of the table, a power of two; a third of it is taken.
const townSlots = 1 << 19

// townTable is an open-addressed set of the hashes of all towns as canonical
// writes them, with their district (郡) and without. Before it stand bits that fit
// a processor's cache: most of what is asked is no town.
type townTable struct {
	bits  [1 << 15]uint64
	slots [townSlots]uint64
	// numbered are the hashes of what stands before a number in a town's name.
	numbered map[uint64]bool
}

var towns = sync.OnceValue(func() *townTable {
	table := &townTable{numbered: map[uint64]bool{}}
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
		addTown(table, town)
		if _, after, found := strings.Cut(town, "郡"); found {
			addTown(table, after)
		}
	}
	return table
})

func addTown(table *townTable, town string) {
	var c canonical
	for i := 0; i < len(town); {
		if _, end := numberAt(town, i); end > i && i > 0 {
			table.numbered[c.hash] = true
		}
		i = c.next(town, i)
	}
	at := c.hash & (townSlots - 1)
	for table.slots[at] != 0 && table.slots[at] != c.hash {
		at = (at + 1) & (townSlots - 1)
	}
	table.slots[at] = c.hash
	table.bits[c.hash>>43&(1<<15-1)] |= 1 << (c.hash >> 58)
}

func (t *townTable) has(hash uint64) bool {
	if t.bits[hash>>43&(1<<15-1)]>>(hash>>58)&1 == 0 {
		return false
	}
	for at := hash & (townSlots - 1); t.slots[at] != 0; at = (at + 1) & (townSlots - 1) {
		if t.slots[at] == hash {
			return true
		}
	}
	return false
}

// goesOn says whether a town's name is what has this hash, then a number.
func (t *townTable) goesOn(hash uint64) bool { return t.numbered[hash] }

// canonical writes a place's name so that 三番町 and 3番町, 霞が関 and 霞ケ関,
// 丸の内 and 丸ノ内 are the same, and hashes it as it goes (FNV-1a: the set is our
// own and nobody's secret).
type canonical struct {
	text []byte
	hash uint64
}

const fnvStart, fnvPrime = 14695981039346656037, 1099511628211

// next takes the character at i of an Address form, or a whole number, and
// returns where the next begins.
func (c *canonical) next(s string, i int) int {
	if c.hash == 0 {
		c.hash = fnvStart
	}
	from := len(c.text)
	number, end := numberAt(s, i)
	if end == i {
		r, n := utf8.DecodeRuneInString(s[i:])
		end = i + n
		switch r {
		case 'が', 'ガ', 'ヶ':
			r = 'ケ'
		case 'ノ', '之':
			r = 'の'
		case 'ッ', 'っ', 'つ':
			r = 'ツ'
		}
		c.text = utf8.AppendRune(c.text, r)
	} else {
		if number == "" {
			number = s[i:end]
		}
		c.text = append(c.text, number...)
	}
	for _, b := range c.text[from:] {
		c.hash = (c.hash ^ uint64(b)) * fnvPrime
	}
	return end
}
