package register

import (
	"cmp"
	"hash/maphash"
	"math/rand/v2"
	"slices"

	"azekura/register/field"
	"azekura/register/value"
)

// In a file some people are found by what finds others too: twins by postal code and
// birth, namesakes of one birth, households by their telephone. Who reads the tables
// sees which rows share a token, so canaries share theirs with one another as often, in
// groups as large and as far apart: for each group of people in the file, by a chance of
// the density, a group of canaries is planted.

// alike says what two people share. The first four are tokens of the index.
type alike uint8

const (
	sameKana   alike = 1 << iota // kana and birth
	sameName                     // name and birth
	samePostal                   // postal code and birth
	samePhone
	sameHome   // the whole address
	sameFamily // the surname
	traits     = iota
)

const (
	namesake  = sameKana | sameName
	sameBirth = namesake | samePostal
)

// needs are the fields that both must have.
func (a alike) needs() (s field.Set) {
	if a&sameBirth != 0 {
		s |= field.SetOf(field.Birth)
	}
	if a&(samePostal|sameHome) != 0 {
		s |= field.SetOf(field.Address)
	}
	if a&samePhone != 0 {
		s |= field.SetOf(field.Phone)
	}
	return s
}

// someone is a row as far as it matters here: hashes of its traits, 0 where it has none.
type someone struct {
	row    int64
	traits [traits]uint32
	of     int // who before shares most with them, or -1
	shares alike
}

// sampled bounds how many rows a sample remembers, about: 10 MB.
const sampled = 1 << 16

// sample finds who shares what in one of so many births, or telephone numbers: of those
// it sees every row, so it misses nobody whom they share it with.
type sample struct {
	seed   maphash.Seed
	every  uint64
	by     alike // the tokens by which it finds
	list   []someone
	latest map[uint64]int // who had a trait last
}

func newSample(by alike, size int64) *sample {
	return &sample{seed: maphash.MakeSeed(), every: uint64(1 + size/(128*sampled)), by: by, latest: map[uint64]int{}}
}

// takes tells whether rows of a birth, or a telephone number, are in the sample.
func (s *sample) takes(text string) bool {
	return text != "" && maphash.String(s.seed, text)%s.every == 0
}

func (s *sample) of(r *value.Record) (t [traits]uint32) {
	hash := func(at int, text string) {
		if text != "" {
			t[at] = uint32(maphash.String(s.seed, text)) | 1
		}
	}
	for _, form := range value.IndexForms(r) {
		switch form.Kind {
		case value.KindKanaBirth:
			hash(0, form.Text)
		case value.KindNameBirth:
			hash(1, form.Text)
		case value.KindPostalBirth:
			hash(2, form.Text)
		case value.KindPhone:
			hash(3, form.Text)
		}
	}
	hash(4, r.Get(field.Address))
	if name := r.Get(field.Name); name != "" {
		head, _, _ := cutName(name)
		hash(5, head)
	}
	return t
}

// each calls do with the keys of the tokens that the sample finds by.
func (s *sample) each(t *[traits]uint32, do func(key uint64)) {
	for at, h := range t {
		if s.by&(1<<at) != 0 && h != 0 {
			do(uint64(at)<<32 | uint64(h))
		}
	}
}

func (s *sample) add(row int64, r *value.Record) {
	p := someone{row: row, traits: s.of(r), of: -1}
	s.each(&p.traits, func(key uint64) {
		if at, ok := s.latest[key]; ok {
			if shares := s.list[at].shared(&p.traits); s.kin(shares) && (p.of < 0 || shares > p.shares) {
				p.of, p.shares = at, shares
			}
		}
		s.latest[key] = len(s.list)
	})
	s.list = append(s.list, p)
}

func (p *someone) shared(t *[traits]uint32) (a alike) {
	for at, h := range t {
		if h != 0 && h == p.traits[at] {
			a |= 1 << at
		}
	}
	return a
}

// kin tells whether what two share is for the sample to count. Who shares a birth and a
// postal code alone does so by chance, and by the same chance do canaries. Of who shares
// a birth too the sample of births knows.
func (s *sample) kin(a alike) bool {
	if s.by == samePhone {
		return a&sameBirth == 0
	}
	return a&namesake != 0 || a&(sameHome|sameFamily|samePhone) != 0
}

// has tells whether somebody in the sample is found by the name and birth of another.
func (s *sample) has(r *value.Record) (yes bool) {
	t := s.of(r)
	t[2], t[3] = 0, 0
	s.each(&t, func(key uint64) {
		_, ok := s.latest[key]
		yes = yes || ok
	})
	return yes
}

// member is a canary to be planted behind a row, as one of a group.
type member struct {
	row    int64
	group  *group
	of     int // whom it shares it with, of the group
	shares alike
	at     int // its place in the group
}

// group is canaries that share what a group of people in the file shares.
type group struct {
	needs   field.Set
	records []*value.Record // of those that were planted; nil elsewhere
}

// kin is what is left to plant, in the order of rows, and how often people are
// namesakes: of these, canaries that are so by chance count.
type kin struct {
	births, phones *sample
	left           []member
	namesakes      float64
	drawn, by      int // canaries of the sample's births who are nobody's kin, and those who are somebody's namesake
}

func newKin(size int64) *kin {
	return &kin{births: newSample(sameBirth, size), phones: newSample(samePhone, size)}
}

// plan draws the groups to plant, and gives the share of rows that they are.
func (k *kin) plan(rng *rand.Rand, density float64, rows int64) float64 {
	for _, s := range []*sample{k.births, k.phones} {
		s.plan(k, rng, density, rows)
	}
	slices.SortStableFunc(k.left, func(a, b member) int { return cmp.Compare(a.row, b.row) })
	return float64(len(k.left)) / float64(max(rows, 1))
}

func (s *sample) plan(k *kin, rng *rand.Rand, density float64, rows int64) {
	root := make([]int, len(s.list))
	groups := map[int][]int{}
	namesakes := map[int]bool{}
	for at := range s.list {
		root[at] = at
		if of := s.list[at].of; of >= 0 {
			root[at] = root[of]
			groups[root[at]] = append(groups[root[at]], at)
			if s.list[at].shares&namesake != 0 {
				namesakes[at], namesakes[root[at]] = true, true
			}
		}
	}
	if s.by != samePhone {
		k.namesakes = float64(len(namesakes)) / float64(max(len(s.list), 1))
	}
	for first, rest := range groups {
		all := append([]int{first}, rest...)
		for times := density * float64(s.every); times > 0; times-- {
			if times >= 1 || rng.Float64() < times {
				k.left = append(k.left, s.place(all, rng, rows)...)
			}
		}
	}
}

// reach is how far from its people, as a share of the file, a group may be planted:
// beside them it would be found by them.
const reach = 64

// place is a group for some people of the sample, elsewhere and as far apart.
func (s *sample) place(all []int, rng *rand.Rand, rows int64) (list []member) {
	g := &group{records: make([]*value.Record, len(all))}
	first, last := s.list[all[0]].row, s.list[all[len(all)-1]].row
	far := max(rows/reach, 1000)
	low, high := max(-far, 1-first), min(far, rows-last)
	shift := low + rng.Int64N(max(high-low, 0)+1)
	for at, n := range all {
		m := member{row: s.list[n].row + shift, group: g, at: at, shares: s.list[n].shares}
		if at > 0 {
			m.of = slices.Index(all, s.list[n].of)
		} else {
			m.shares = 0
		}
		g.needs |= m.shares.needs()
		list = append(list, m)
	}
	return list
}

// from leaves out who was to be planted before a row.
func (k *kin) from(row int64) {
	for len(k.left) > 0 && k.left[0].row < row {
		k.left = k.left[1:]
	}
}

// due takes the next who is to be planted up to a row, or nil.
func (k *kin) due(rng *rand.Rand, row int64) *member {
	if len(k.left) == 0 || k.left[0].row > row {
		return nil
	}
	m := &k.left[0]
	k.left = k.left[1:]
	if m.shares&namesake != 0 && rng.Float64() < k.chance() {
		m.shares = 0
	}
	return m
}

// chance is the share of namesakes that are planted as nobody's, for canaries are
// somebody's by chance.
func (k *kin) chance() float64 {
	if k.drawn == 0 || k.namesakes == 0 {
		return 0
	}
	return float64(k.by) / float64(k.drawn) / k.namesakes
}

// drew counts a canary that is nobody's kin.
func (k *kin) drew(r *value.Record) {
	if k.births.takes(r.Get(field.Birth)) {
		k.drawn++
		if k.births.has(r) {
			k.by++
		}
	}
}
