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

// mask turns one row's record into that of somebody who might stand beside it. No row
// lends more than a part of a name, an address, or the length of one value: whose
// values are all as long as one other's would be found by that.
type mask struct {
	p    *planter
	one  func() *incoming
	kin  *value.Record          // lends the given name, or is the model
	own  map[field.Field]string // of the canary, the same in all its versions
	seen map[string]string      // the model's addresses, and what stands for each
}

// step is a model's version, masked; nil where nothing can be drawn for it.
func (m *mask) step(ctx context.Context, of *step) (*step, error) {
	st := &step{fields: of.fields, record: of.record, award: suspended(of.award)}
	for _, f := range []field.Field{field.Name, field.Kana, field.Romaji} {
		if text := of.record.Get(f); text != "" && st.record.Set(f, mixed(text, m.kin.Get(f))) != nil {
			return nil, nil
		}
	}
	for _, f := range (of.record.Fields() &^ field.SetOf(field.Name, field.Kana, field.Romaji)).Fields() {
		text, err := m.text(ctx, f, &st.record)
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

func (m *mask) text(ctx context.Context, f field.Field, of *value.Record) (string, error) {
	model := of.Get(f)
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
		local, host, _ := strings.Cut(m.mailOf(of), "@")
		m.own[f] = canary.Redraw(m.p.rng, local, len(local)/2) + "@" + host
	case field.Account:
		bank, branch, kind, number, holder, _ := value.SplitAccount(model)
		if own, err := value.Holder(of.Get(field.Kana)); err == nil {
			holder = own
		}
		m.own[f] = value.JoinAccount(bank, branch, kind, canary.Redraw(m.p.rng, number, 0), holder)
	default: // the sex goes with the name
		return model, nil
	}
	return m.own[f], err
}

// relative finds a row whose given name goes with a model's surname: of the same sex,
// about as old, named in the same forms and letters. Where there is none it is the
// model.
func (m *mask) relative(model *value.Record) *value.Record {
	for try := range 4 * tries {
		kin := m.one().last()
		same := kin.Get(field.Sex) == model.Get(field.Sex) && ascii(kin.Get(field.Name)) == ascii(model.Get(field.Name)) &&
			(model.Get(field.Kana) == "" || kin.Get(field.Kana) != "") && (model.Get(field.Romaji) == "" || kin.Get(field.Romaji) != "")
		near := kin.Get(field.Birth)[:3] == model.Get(field.Birth)[:3] // the decade
		if same && (near || try > 3*tries) && kin != model {
			return kin
		}
	}
	return model
}

func ascii(text string) bool { return text != "" && text[0] < 0x80 }

// mailOf is the address of somebody whose name is as long.
func (m *mask) mailOf(of *value.Record) string {
	as := field.Romaji
	if of.Get(as) == "" {
		as = field.Kana
	}
	for range 4 * tries {
		other := m.one().last()
		if other.Get(field.Email) != "" && len(other.Get(as)) == len(of.Get(as)) {
			return other.Get(field.Email)
		}
	}
	return of.Get(field.Email)
}

// mixed is one name's first part, and another's rest.
func mixed(a, b string) string {
	if b == "" {
		return a
	}
	head, gap, _ := cutName(a)
	_, _, rest := cutName(b)
	return head + gap + rest
}

// cutName cuts a name at its first gap, or where it has none after two characters.
func cutName(name string) (head, gap, rest string) {
	if at := strings.IndexAny(name, " \u3000"); at > 0 {
		for _, r := range name[at:] {
			gap = string(r)
			break
		}
		return name[:at], gap, name[at+len(gap):]
	}
	runes := []rune(name)
	at := min(2, len(runes)-1)
	return string(runes[:at]), "", string(runes[at:])
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
