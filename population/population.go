// Package population makes up people for drills, demonstrations and
// benchmarks: an endless register whose names, ages, addresses and oddities
// are as frequent as in Japan, so that a search, a match or an import meets
// what it will meet in earnest.
//
// What it promises:
//
//   - The same seed gives the same people, byte for byte, in every release
//     that has the same tables, on every machine. Person i depends on the seed
//     and i alone, not on how many are drawn.
//   - Numbers and refs are unique within a seed. Numbers have ten digits
//     (leading zeros included) and are spread as a seeded permutation does;
//     refs count up (A0000001), as a real agency's keys do and as a thief
//     would try them.
//   - Postal codes with their towns, and bank and branch codes, are real ones
//     of the tables' editions (data/SOURCES.md). Ages follow the population
//     estimates of [AsOf]; births are possible dates.
//   - Every oddity of rates.go really occurs, at its rate: variant kanji
//     (髙 﨑 邉 齋 𠮷, compatibility ideographs and variation sequences), twins
//     at one address, people with one name and birth, foreign names, very long
//     names, missing kana, people over 100, former names and addresses,
//     addresses abroad, mixed widths and spacing.
//
// What it doesn't: nobody in it is real, and it isn't a statistic. A name,
// birth, phone or account number may by chance be someone's, so never dial,
// pay or publish one as a person's; e-mail addresses can't be delivered. Within
// a prefecture towns are drawn alike, banks by size and region, and surnames
// don't follow regions. Sex is recorded as M, F or nothing.
//
// CSV holds the import's columns and leaves former names and addresses out;
// NDJSON and [Person] have them.
package population

import "slices"

// Person is one made-up participant, in the import's columns. A missing value
// is empty (zero for the award).
type Person struct {
	Ref, Number           string // the agency's key; 10 digits
	Name, Kana, Romaji    string
	Birth                 string // 2006-01-02
	Sex                   string // M, F or empty
	PostalCode            string // 7 digits
	Address, Phone, Email string
	BankCode, BranchCode  string // 4 and 3 digits
	AccountType           string // 1 ordinary, 2 current, 4 savings
	AccountNumber         string // 7 digits
	AccountHolder         string // half-width kana as Zengin files hold it
	AwardKind             string
	AwardAnnualYen        int64
	Former                []Former // oldest first
}

// Former is an earlier name or an earlier address; the other half is empty.
type Former struct{ Name, Kana, Romaji, PostalCode, Address string }

// Generator gives one seed's people in order. It isn't safe for concurrent use.
type Generator struct {
	seed    uint64
	index   uint64
	numbers numbering
	t       *tables
	draft   draft
}

// New starts at the seed's first person. The first call in a process
// decompresses the tables.
func New(seed uint64) *Generator {
	return &Generator{seed: seed, numbers: newNumbering(seed), t: loaded()}
}

// Next fills p with the next person, in place of all that p held. It reuses
// p.Former's array; the person's strings share one allocation.
func (g *Generator) Next(p *Person) {
	g.write(&g.draft, g.index)
	g.index++
	g.draft.person(p)
}

// Columns are the import's columns in their order, and CSV's header.
func Columns() []string { return slices.Clone(columnNames[:]) }

// write drafts person i.
func (g *Generator) write(d *draft, i uint64) {
	d.reset()
	id := g.who(i)
	age := ageOf(id.born)
	d.refAndNumber(i, g.numbers.of(i))

	writing := newRNG(g.seed, i, streamWriting)
	kana, romaji := g.name(d, &id, &writing)
	d.birthAndSex(&id, &writing)

	place := newRNG(g.seed, id.household, streamHome)
	h := g.drawHome(d, &place)
	d.at[colPostalCode], d.at[colAddress] = h.postal, h.text

	contact := newRNG(g.seed, i, streamContact)
	d.phone(&contact, age, &h)
	d.email(&contact, age, romaji)

	due := newRNG(g.seed, i, streamAward)
	paid := d.award(&due, age, id.woman)
	if purse := newRNG(g.seed, i, streamAccount); purse.chance(rateAccountEarly) || paid {
		g.account(d, &purse, &h, kana)
	}
	before := newRNG(g.seed, i, streamPast)
	g.pasts(d, &id, age, &before)
}

// refAndNumber writes the agency's key, a letter and seven digits (after
// Z9999999 comes AA0000000), and the pension number.
func (d *draft) refAndNumber(i, number uint64) {
	const block = 10_000_000
	from := len(d.buf)
	serial := i + 1
	d.letters(serial / block)
	d.digits(serial%block, 7)
	d.at[colRef] = d.since(from)
	from = len(d.buf)
	d.digits(number, 10)
	d.at[colNumber] = d.since(from)
}

// letters counts A, B, ... Z, AA, AB as a spreadsheet's columns do.
func (d *draft) letters(n uint64) {
	if n >= 26 {
		d.letters(n/26 - 1)
	}
	d.buf = append(d.buf, byte('A'+n%26))
}
