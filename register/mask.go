package register

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"strconv"
	"strings"

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
		m.own[f], err = m.p.free(ctx, f, value.KindPhone, func(int) string { return redraw(m.p.rng, model, len(model)-4) })
	case field.Email:
		local, host, _ := strings.Cut(model, "@")
		m.own[f] = redraw(m.p.rng, local, len(local)/2) + "@" + host
	case field.Account:
		bank, branch, kind, number, holder, _ := value.SplitAccount(model)
		m.own[f] = value.JoinAccount(bank, branch, kind, redraw(m.p.rng, number, 0), holder)
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

// redraw draws a text's letters and digits anew from a place on, each of its kind.
func redraw(rng *rand.Rand, text string, from int) string {
	b := []byte(text)
	for i := max(from, 0); i < len(b); i++ {
		switch c := b[i]; {
		case c >= '0' && c <= '9':
			b[i] = '0' + byte(rng.IntN(10))
		case c >= 'a' && c <= 'z':
			b[i] = 'a' + byte(rng.IntN(26))
		case c >= 'A' && c <= 'Z':
			b[i] = 'A' + byte(rng.IntN(26))
		}
	}
	return string(b)
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

// serials are the refs of a file by what they begin with and how many digits they
// end with: the lowest and the highest number of each.
type serials map[serial]*[2]int64

type serial struct {
	prefix string
	width  int
}

func cutSerial(ref string) (serial, int64) {
	at := len(ref)
	for at > 0 && len(ref)-at < 18 && ref[at-1] >= '0' && ref[at-1] <= '9' {
		at--
	}
	n, err := strconv.ParseInt(ref[at:], 10, 64)
	if err != nil {
		return serial{prefix: ref}, 0
	}
	return serial{ref[:at], len(ref) - at}, n
}

// maxSerials bounds what a file whose refs aren't counted makes of this.
const maxSerials = 10_000

func (s serials) add(ref string) {
	of, n := cutSerial(ref)
	if at := s[of]; at != nil {
		at[0], at[1] = min(at[0], n), max(at[1], n)
	} else if of.width > 0 && len(s) < maxSerials {
		s[of] = &[2]int64{n, n}
	}
}

// near draws refs close to one: in the gaps of the file's, further off from try to
// try, and where there is no gap among those that come next. Refs that aren't
// counted are drawn anew in their second half.
func (s serials) near(rng *rand.Rand, ref string, beyond int64) func(try int) string {
	of, n := cutSerial(ref)
	ends := s[of]
	if ends == nil {
		return func(int) string { return redraw(rng, ref, len(ref)/2) }
	}
	return func(try int) string {
		at := ends[1] + 1 + rng.Int64N(beyond+16)
		if try < tries*3/4 {
			reach := int64(8) << (try / 3)
			low, high := max(ends[0], n-reach), min(ends[1], n+reach)
			at = low + rng.Int64N(high-low+1)
		}
		digits := strconv.FormatInt(at, 10)
		if len(digits) > of.width {
			return ""
		}
		return of.prefix + strings.Repeat("0", of.width-len(digits)) + digits
	}
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
