package population

import "unicode/utf8"

// identity is what makes a person that person: a name, a sex, a birth. Doubles
// share it whole; twins share surname, birth and household.
type identity struct {
	foreign, long bool
	nation        int
	woman         bool
	surname       int
	given         int
	surnameLook   uint64 // how the surname's kanji are written
	givenLook     uint64
	born          int32
	household     uint64 // the index whose draw gives the address
}

const (
	twinReach   = 16      // a twin is registered within so many records of the first
	doubleReach = 1 << 17 // a double within so many
)

// who finds the identity of person i. It depends on the seed and i alone: a
// twin or double works out its model's identity again, instead of keeping it.
func (g *Generator) who(i uint64) identity {
	r := newRNG(g.seed, i, streamWho)
	kind := r.below(100_000)
	switch {
	case i > 0 && kind < rateTwin:
		id := g.who(i - 1 - uint64(r.below(int(min(i, twinReach)))))
		g.nameTwin(&r, &id)
		return id
	case i > 0 && kind < rateTwin+rateDouble:
		id := g.who(i - 1 - uint64(r.below(int(min(i, doubleReach)))))
		id.household = i
		return id
	}
	return g.stranger(&r, i)
}

func (g *Generator) stranger(r *rng, i uint64) identity {
	id := identity{household: i, surnameLook: r.next(), givenLook: r.next()}
	age := 1 + r.below(17)
	if r.chance(rateChild) {
		id.woman = r.below(2) == 1
	} else {
		drawn := byAge.draw(r)
		age, id.woman = youngest+drawn/2, drawn%2 == 1
	}
	id.born = bornAt(r, age)
	if id.foreign = r.chance(rateForeign); id.foreign {
		id.long = r.chance(rateLongName)
		id.nation = byNation.draw(r)
		for id.long && nations[id.nation].kanji {
			id.nation = byNation.draw(r)
		}
		id.surname = r.below(len(nations[id.nation].surname))
	} else {
		id.surname = g.t.surnames.by[0].draw(r)
	}
	id.given = g.drawGiven(r, &id)
	return id
}

// drawGiven draws a given name by sex and decade of birth. The year is blurred
// by up to four years, so that fashions don't turn at New Year.
func (g *Generator) drawGiven(r *rng, id *identity) int {
	if id.foreign {
		return r.below(len(nations[id.nation].given(id.woman)))
	}
	year, _, _ := civil(int(id.born))
	decade := min(max((year+r.below(9)-4-1910)/10, 0), decades-1)
	return g.givenNames(id.woman).by[decade].draw(r)
}

func (g *Generator) givenNames(woman bool) *names {
	if woman {
		return &g.t.given[1]
	}
	return &g.t.given[0]
}

// nameTwin gives the second twin a name that isn't the first one's, and in one
// of four the other sex.
func (g *Generator) nameTwin(r *rng, id *identity) {
	first, other := id.given, r.below(4) == 0
	id.givenLook = r.next()
	if other {
		id.woman = !id.woman
		id.given = g.drawGiven(r, id)
		return
	}
	for id.given == first {
		id.given = g.drawGiven(r, id)
	}
}

// styleOf is how one record writes a name, which isn't the person's doing: the
// gap between its halves, and what was left out.
type styleOf struct{ gap, kanaGap string }

func drawStyle(r *rng) styleOf {
	s := styleOf{"　", "　"}
	switch kind := r.below(100_000); {
	case kind < rateHalfSpace:
		s = styleOf{" ", " "}
	case kind < rateHalfSpace+rateNoSpace:
		s.gap = ""
	}
	return s
}

// japaneseName writes name, kana and romaji.
func (g *Generator) japaneseName(d *draft, id *identity, s styleOf) {
	sur, giv := &g.t.surnames.list[id.surname], &g.givenNames(id.woman).list[id.given]
	d.at[colName], d.at[colKana], d.at[colRomaji] = d.fullName(sur, giv, id, s)
}

func (d *draft) fullName(sur, giv *name, id *identity, s styleOf) (text, kana, romaji span) {
	from := len(d.buf)
	d.kanji(sur.text, surnameVariants, rng(id.surnameLook))
	d.text(s.gap)
	d.kanji(giv.text, givenVariants, rng(id.givenLook))
	text = d.since(from)
	from = len(d.buf)
	d.text(sur.kana)
	d.text(s.kanaGap)
	d.text(giv.kana)
	kana = d.since(from)
	from = len(d.buf)
	d.buf = appendRomaji(d.buf, sur.kana)
	d.text(" ")
	d.buf = appendRomaji(d.buf, giv.kana)
	return text, kana, d.since(from)
}

// kanji writes a name with some of its characters in their old or personal
// forms.
func (d *draft) kanji(text string, variants map[rune][]variant, look rng) {
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		out := text[:size]
		text = text[size:]
		if forms := variants[r]; forms != nil {
			out = drawForm(&look, out, forms)
		}
		d.text(out)
	}
}

func drawForm(look *rng, common string, forms []variant) string {
	n := look.below(100_000)
	for _, v := range forms {
		if n < v.rate {
			return v.text
		}
		n -= v.rate
	}
	return common
}

// name writes the three forms of the name and then hides what the record
// lacks. Kana and romaji stay in the buffer: a bank knows how its client
// reads, and an e-mail address is spelled from it.
func (g *Generator) name(d *draft, id *identity, r *rng) (kana, romaji span) {
	if s := drawStyle(r); id.foreign {
		d.foreignName(id)
	} else {
		g.japaneseName(d, id, s)
	}
	kana, romaji = d.at[colKana], d.at[colRomaji]
	if r.chance(rateNoKana) {
		d.at[colKana] = span{}
	}
	if r.chance(rateNoRomaji) && !id.foreign {
		d.at[colRomaji] = span{}
	}
	return kana, romaji
}

func (d *draft) birthAndSex(id *identity, r *rng) {
	from := len(d.buf)
	d.buf = appendDate(d.buf, id.born)
	d.at[colBirth] = d.since(from)
	switch {
	case r.chance(rateNoSex):
	case id.woman:
		d.set(colSex, "F")
	default:
		d.set(colSex, "M")
	}
}
