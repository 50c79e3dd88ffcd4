package register

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"strings"

	"azekura/gate/canary"
	"azekura/register/field"
	"azekura/register/value"
)

// mask turns one row's record into another's of the same shape.
type mask struct {
	p    *planter
	one  func() *incoming
	own  map[field.Field]string // of the canary, the same in all its versions
	seen map[string]string      // the model's addresses, and what stands for each
}

// step is a model's version, masked; nil where nothing can be drawn for it.
func (m *mask) step(ctx context.Context, of *step) (*step, error) {
	st := &step{fields: of.fields, record: of.record, award: suspended(of.award)}
	for _, f := range of.record.Fields().Fields() {
		text, err := m.text(ctx, f, of.record.Get(f))
		if err != nil || text == "" {
			return nil, err
		}
		if st.record.Set(f, text) != nil {
			return nil, nil // what was drawn is no value: another row, another canary
		}
	}
	st.forms = value.IndexForms(&st.record)
	return st, nil
}

func (m *mask) text(ctx context.Context, f field.Field, model string) (string, error) {
	if own := m.own[f]; own != "" {
		return own, nil
	}
	var err error
	switch f {
	case field.Address:
		return m.address(model), nil
	case field.Phone:
		m.own[f], err = m.p.free(ctx, f, value.KindPhone, tries, func(int) string { return canary.Redraw(m.p.rng, model, len(model)-4) })
	case field.Email:
		local, host, _ := strings.Cut(model, "@")
		m.own[f] = canary.Redraw(m.p.rng, local, len(local)/2) + "@" + host
	case field.Account:
		bank, branch, kind, number, holder, _ := value.SplitAccount(model)
		m.own[f] = value.JoinAccount(bank, branch, kind, canary.Redraw(m.p.rng, number, 0), holder)
	default: // name, kana, romaji and sex go together
		return model, nil
	}
	return m.own[f], err
}

// birth is a day of the model's year, but not the model's.
func (m *mask) birth(model string) string {
	for range tries {
		day := m.one().last().Get(field.Birth)
		text := model[:4] + day[4:]
		if text == model {
			continue
		}
		if stored, err := value.ParseField(field.Birth, text, m.p.store.log.Now()); err == nil && stored == text {
			return text
		}
	}
	return ""
}

// address is another row's place, at another number.
func (m *mask) address(model string) string {
	if text := m.seen[model]; text != "" {
		return text
	}
	for range tries {
		from := m.one().last().Get(field.Address)
		postal, text, ok := value.SplitAddress(from)
		if !ok {
			continue
		}
		for range 4 {
			if moved := value.JoinAddress(postal, digits(m.p.rng, text)); moved != from {
				from = moved
				break
			}
		}
		m.seen[model] = from
		return from
	}
	return ""
}

// suspended is an award of no yen, written as long as it was.
func suspended(award string) string {
	kind, yen, ok := strings.Cut(award, "\t")
	if !ok {
		return award
	}
	return kind + "\t" + strings.Repeat("0", len(yen))
}

// digits draws a text's digits anew, of either width; a number's first one isn't 0.
func digits(rng *rand.Rand, text string) string {
	number := false
	return strings.Map(func(r rune) rune {
		zero := rune('0')
		if r >= '０' && r <= '９' {
			zero = '０'
		} else if r < '0' || r > '9' {
			number = false
			return r
		}
		if !number {
			number = true
			return zero + 1 + rune(rng.IntN(9))
		}
		return zero + rune(rng.IntN(10))
	}, text)
}

// filter remembers texts in few bits: it may take a text for one that it has, but
// none that it has for a stranger.
type filter struct {
	seed maphash.Seed
	bits []uint64
}

// newFilter takes a 64th of the file's bytes, some 30 bits a row.
func newFilter(size int64) *filter {
	return &filter{seed: maphash.MakeSeed(), bits: make([]uint64, max(1<<10, size/512))}
}

func (f *filter) each(kind field.Field, text string, do func(word *uint64, bit uint64) bool) bool {
	h := maphash.String(f.seed, string(rune(kind))+text)
	step := h>>32 | 1
	for range 4 {
		at := h % (uint64(len(f.bits)) * 64)
		if !do(&f.bits[at/64], 1<<(at%64)) {
			return false
		}
		h += step * 0x9e3779b97f4a7c15
	}
	return true
}

func (f *filter) add(kind field.Field, text string) {
	f.each(kind, text, func(word *uint64, bit uint64) bool { *word |= bit; return true })
}

func (f *filter) has(kind field.Field, text string) bool {
	return f.each(kind, text, func(word *uint64, bit uint64) bool { return *word&bit != 0 })
}
