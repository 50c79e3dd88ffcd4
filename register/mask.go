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
	p     *planter
	one   func() *incoming
	to    relation
	model *value.Record          // as it stands
	kin   *value.Record          // lends the given name, or is the model
	own   map[field.Field]string // of the canary, the same in all its versions
	seen  map[string]string      // the model's addresses, and what stands for each
}

// relation is what a canary shares with an earlier one; with none it shares nothing.
type relation struct {
	of     *value.Record
	shares alike
	needs  field.Set // what the group's canaries must have
}

func (m *member) relation() relation {
	of := m.group.records[m.of]
	if m.shares == 0 || of == nil {
		return relation{needs: m.group.needs}
	}
	return relation{of: of, shares: m.shares, needs: m.group.needs}
}

// model finds a row that may stand for a relative: with the fields that it needs, about
// as old where they share the birth, and named in the same letters and forms.
func (r relation) model(one func() *incoming) *incoming {
	for range 4 * tries {
		row := one()
		last := row.last()
		if last.Fields()&r.needs != r.needs {
			continue
		}
		switch {
		case r.of == nil:
			return row
		case r.shares&sameBirth != 0 && decade(last) != decade(r.of):
		case r.shares&(namesake|sameFamily) != 0 && !lends(r.of, last):
		case r.shares&namesake == 0 || last.Get(field.Sex) == r.of.Get(field.Sex):
			return row
		}
	}
	return nil
}

func decade(r *value.Record) string { return r.Get(field.Birth)[:3] }

// lends tells whether one's name can stand where another's does.
func lends(from, to *value.Record) bool {
	return ascii(from.Get(field.Name)) == ascii(to.Get(field.Name)) &&
		(to.Get(field.Kana) == "" || from.Get(field.Kana) != "") && (to.Get(field.Romaji) == "" || from.Get(field.Romaji) != "")
}

// share takes over what is shared, but for the name.
func (m *mask) share() {
	of, a := m.to.of, m.to.shares
	if a&sameBirth != 0 {
		m.own[field.Birth] = of.Get(field.Birth)
	}
	if a&samePhone != 0 {
		m.own[field.Phone] = of.Get(field.Phone)
	}
	if home := m.model.Get(field.Address); a&sameHome != 0 {
		m.seen[home] = of.Get(field.Address)
	} else if a&samePostal != 0 {
		postal, text, _ := value.SplitAddress(of.Get(field.Address))
		m.seen[home] = value.JoinAddress(postal, digits(m.p.rng, text, numbers(text)))
	}
}

// name is what stands for one form of the model's name: a former one stays apart.
func (m *mask) name(f field.Field, text string) string {
	switch now := text == m.model.Get(f); {
	case now && m.to.shares&namesake != 0:
		return m.to.of.Get(f)
	case now && m.to.shares&sameFamily != 0:
		return mixed(m.to.of.Get(f), m.kin.Get(f))
	}
	return mixed(text, m.kin.Get(f))
}

// step is a model's version, masked; nil where nothing can be drawn for it.
func (m *mask) step(ctx context.Context, of *step) (*step, error) {
	st := &step{fields: of.fields, record: of.record, award: suspended(of.award)}
	for _, f := range []field.Field{field.Name, field.Kana, field.Romaji} {
		if text := of.record.Get(f); text != "" && st.record.Set(f, m.name(f, text)) != nil {
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
		local, _, _ := strings.Cut(m.mailOf(of, true), "@")
		_, host, _ := strings.Cut(m.mailOf(of, false), "@")
		m.own[f] = canary.Redraw(m.p.rng, local, len(local)/2) + "@" + host
	case field.Account:
		bank, branch, kind, number, holder, _ := value.SplitAccount(model)
		if own := holderOf(of.Get(field.Kana)); own != "" {
			holder = own
		} else if _, _, _, _, others, ok := value.SplitAccount(m.kin.Get(f)); ok {
			holder = mixed(holder, others)
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
		same := kin.Get(field.Sex) == model.Get(field.Sex) && lends(kin, model)
		if same && (decade(kin) == decade(model) || try > 3*tries) && kin != model {
			return kin
		}
	}
	return model
}

func ascii(text string) bool { return text != "" && text[0] < 0x80 }

// holderOf is a name as accounts have it, cut where it is too long for that; "" is none.
func holderOf(kana string) string {
	for text := []rune(kana); len(text) > 0; text = text[:len(text)-1] {
		if holder, err := value.Holder(string(text)); err != value.TooLong {
			return holder
		}
	}
	return ""
}

// mailOf is the mail address of somebody, whose name is as long where that is asked.
func (m *mask) mailOf(of *value.Record, asLong bool) string {
	as := field.Romaji
	if of.Get(as) == "" {
		as = field.Kana
	}
	for range 4 * tries {
		other := m.one().last()
		if other.Get(field.Email) != "" && (!asLong || len(other.Get(as)) == len(of.Get(as))) {
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

// address is another row's place, at other numbers, each as long as that of a third row
// that is written with as many.
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
		long := numbers(text)
		for range tries {
			_, other, _ := value.SplitAddress(m.one().last().Get(field.Address))
			if of := numbers(other); len(of) == len(long) {
				long = of
				break
			}
		}
		for range 4 {
			if moved := value.JoinAddress(postal, digits(m.p.rng, text, long)); moved != from {
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

// digit is the zero of a digit's width, or 0 where a rune is none.
func digit(r rune) rune {
	switch {
	case r >= '0' && r <= '9':
		return '0'
	case r >= '０' && r <= '９':
		return '０'
	}
	return 0
}

// numbers tells how long a text's numbers are.
func numbers(text string) (long []int) {
	in := false
	for _, r := range text {
		was := in
		if in = digit(r) != 0; in && !was {
			long = append(long, 0)
		}
		if in {
			long[len(long)-1]++
		}
	}
	return long
}

// digits draws a text's numbers anew, as long as is asked, of either width; the first
// digit of one isn't 0.
func digits(rng *rand.Rand, text string, long []int) string {
	var b strings.Builder
	in := false
	for _, r := range text {
		zero := digit(r)
		if zero == 0 {
			b.WriteRune(r)
		} else if !in {
			b.WriteRune(zero + 1 + rune(rng.IntN(9)))
			for range long[0] - 1 {
				b.WriteRune(zero + rune(rng.IntN(10)))
			}
			long = long[1:]
		}
		in = zero != 0
	}
	return b.String()
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
