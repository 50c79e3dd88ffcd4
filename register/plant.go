package register

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"azekura/gate/canary"
	"azekura/register/field"
	"azekura/register/rowfile"
	"azekura/register/value"

	"github.com/google/uuid"
)

// MaxDensity bounds how many canaries an import plants for each person whom it
// makes.
const MaxDensity = canary.MaxDensity

// ErrDensity refuses another.
var ErrDensity = fmt.Errorf("the density of canaries is a share of the people imported, 0 to %g; 0.01 to 0.05 is usual", MaxDensity)

// ErrOtherDensity refuses to go on with another density than an import began with: who
// reads a part that has fewer canaries meets fewer.
var ErrOtherDensity = errors.New("a part of the file is in the register with another density of canaries than that; go on with azekura participants import, " +
	"which keeps to what the import began with")

// millionths are how a density is kept.
func millionths(density float64) int64 { return int64(math.Round(density * 1e6)) }

// Density is the density that an import goes on with where one is asked for: what it began
// with, whether that is asked for or none is, for a plain import of a file goes on with one
// that was planted.
func (i *Import) Density(asked float64) (float64, error) {
	switch {
	case !(asked >= 0 && asked <= MaxDensity):
		return 0, ErrDensity
	case i.Rows == 0 || millionths(asked) == i.density:
		return asked, nil
	case asked != 0:
		return 0, ErrOtherDensity
	}
	return float64(i.density) / 1e6, nil
}

// minNeighbours is how many new people a chunk has before any canary is planted
// in it: the tables tell how many rows a job wrote, and beside one or two new
// people a third would be known.
const minNeighbours = 50

// planter draws the canaries of one file. What it draws is made of the file's own
// rows, so it looks like them in number range, birth year, place and name, in
// which fields are there and how long they are.
type planter struct {
	store   *Store
	density float64
	rng     *rand.Rand
	taken   *filter // the refs, numbers and telephone numbers of the whole file
	refs    canary.Refs
	rows    int64
	kin     *kin
	single  float64 // the density of those who are nobody's kin
}

// newPlanter reads the whole file once: a ref that no row so far has may be a
// later row's, and somebody's twin may be one.
func newPlanter(s *Store, file io.ReaderAt, size int64, o ImportOptions) (*planter, error) {
	if !(o.Density >= 0 && o.Density <= MaxDensity) {
		return nil, ErrDensity
	}
	if o.Density == 0 || o.DryRun {
		return nil, nil
	}
	var seed [32]byte
	crand.Read(seed[:])
	p := &planter{store: s, density: o.Density, rng: rand.New(rand.NewChaCha8(seed)), taken: newFilter(size), refs: canary.Refs{}, kin: newKin(size)}
	reader, err := rowfile.Open(file, size, o.Options)
	if err != nil {
		return nil, err
	}
	var row rowfile.Row
	for rows := int64(0); ; rows = row.N {
		err := reader.Next(&row)
		if errors.Is(err, io.EOF) {
			p.single = max(0, p.density-p.kin.plan(p.rng, p.density, rows))
			return p, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the refs that the file has: %w", err)
		}
		p.note(&row)
	}
}

// note takes what a row claims, though the row may be refused for something else.
func (p *planter) note(row *rowfile.Row) {
	now := p.store.log.Now()
	var phone string
	for _, c := range [...]struct {
		field  field.Field
		column value.Column
	}{{field.Ref, value.ColRef}, {field.Number, value.ColNumber}, {field.Phone, value.ColPhone}} {
		text, err := value.ParseField(c.field, row.Raw[c.column], now)
		if err != nil {
			continue
		}
		p.taken.add(c.field, text)
		switch c.field {
		case field.Ref:
			p.refs.Add(text)
			p.rows++
		case field.Phone:
			phone = text
		}
	}
	birth, _ := value.ParseField(field.Birth, row.Raw[value.ColBirth], now)
	byBirth, byPhone := p.kin.births.takes(birth), p.kin.phones.takes(phone)
	if !byBirth && !byPhone {
		return
	}
	record, _, problems := value.Parse(row.Raw, now)
	if len(problems) > 0 {
		return
	}
	if byBirth {
		p.kin.births.add(row.N, &record)
	}
	if byPhone {
		p.kin.phones.add(row.N, &record)
	}
}

// plant puts canaries between a chunk's rows.
func (p *planter) plant(ctx context.Context, c *chunk) error {
	var sound []*incoming
	for i := range c.incoming {
		if len(c.incoming[i].problems) == 0 {
			sound = append(sound, &c.incoming[i])
		}
	}
	if len(sound) < minNeighbours {
		return nil
	}
	p.kin.from(sound[0].no)
	out := make([]incoming, 0, len(c.incoming)+int(2*p.density*float64(len(sound)))+8)
	for i := range c.incoming {
		in := &c.incoming[i]
		if len(in.problems) > 0 {
			out = append(out, *in)
			continue
		}
		birds, err := p.beside(ctx, sound, in)
		if err != nil {
			return fmt.Errorf("draw a canary: %w", err)
		}
		before := p.rng.IntN(len(birds) + 1)
		at := len(out) + before
		for n := range birds {
			birds[n].beside = at
		}
		out = append(append(append(out, birds[:before]...), *in), birds[before:]...)
	}
	c.incoming = out
	return nil
}

// beside draws the canaries beside a row: mostly none.
func (p *planter) beside(ctx context.Context, sound []*incoming, in *incoming) (birds []incoming, err error) {
	if p.rng.Float64() < p.single {
		bird, err := p.draw(ctx, sound, in, relation{})
		if err != nil {
			return nil, err
		}
		if bird != nil {
			p.kin.drew(bird.last())
			birds = append(birds, *bird)
		}
	}
	for m := p.kin.due(p.rng, in.no); m != nil; m = p.kin.due(p.rng, in.no) {
		bird, err := p.draw(ctx, sound, in, m.relation())
		if err != nil {
			return nil, err
		}
		if bird != nil {
			m.group.records[m.at] = bird.last()
			birds = append(birds, *bird)
		}
	}
	return birds, nil
}

// tries bounds the drawing of one value that must be free.
const tries = 64

// draw makes a canary beside a row, or none where nothing is free: one row's name,
// year of birth and fields, others' day of birth and addresses, and a ref, number,
// telephone number, e-mail address and account of its own, but for what it shares with
// an earlier canary. Its award is suspended: as long as its model's, and of no yen.
func (p *planter) draw(ctx context.Context, sound []*incoming, beside *incoming, to relation) (*incoming, error) {
	one := func() *incoming { return sound[p.rng.IntN(len(sound))] }
	model := to.model(one)
	if model == nil {
		return nil, nil
	}
	ref, err := p.free(ctx, field.Ref, value.KindRef, canary.RefTries, p.refs.Near(p.rng, beside.last().Get(field.Ref), int64(2*p.density*float64(p.rows))))
	if err != nil || ref == "" {
		return nil, err
	}
	neighbour := one().last().Get(field.Number)
	number, err := p.free(ctx, field.Number, value.KindNumber, tries, func(int) string { return canary.Redraw(p.rng, neighbour, 4) })
	if err != nil || number == "" {
		return nil, err
	}
	m := mask{p: p, one: one, to: to, model: model.last(), own: map[field.Field]string{field.Ref: ref, field.Number: number}, seen: map[string]string{}}
	m.kin = m.relative(m.model)
	m.share()
	if m.own[field.Birth] == "" {
		m.own[field.Birth] = m.birth(m.model.Get(field.Birth))
	}
	if m.own[field.Birth] == "" {
		return nil, nil
	}
	// What it has but once goes by what it is called now.
	if st, err := m.step(ctx, &model.steps[len(model.steps)-1]); err != nil || st == nil {
		return nil, err
	}
	bird := &incoming{no: beside.no, from: beside.from, to: beside.to, canary: true}
	for i := range model.steps {
		st, err := m.step(ctx, &model.steps[i])
		if err != nil || st == nil {
			return nil, err
		}
		bird.content = append(st.append(bird.content), st.award...)
		bird.steps = append(bird.steps, *st)
	}
	bird.index(p.store.ring.Indexes()[0])
	return bird, nil
}

// last is a row's record as it stands.
func (in *incoming) last() *value.Record { return &in.steps[len(in.steps)-1].record }

// free draws until a text is nobody's, in the file and in the register; "" is none.
func (p *planter) free(ctx context.Context, f field.Field, kind value.Kind, most int, draw func(try int) string) (string, error) {
	for try := range most {
		text, err := value.ParseField(f, draw(try), p.store.log.Now())
		if err != nil || p.taken.has(f, text) {
			continue
		}
		form, err := value.QueryForm(kind, text, "", p.store.log.Now())
		if err != nil {
			continue
		}
		found, err := p.store.Find(ctx, form, 1)
		if err != nil {
			return "", err
		}
		if len(found) == 0 {
			p.taken.add(f, text)
			return text, nil
		}
	}
	return "", nil
}

// name draws the ids of a chunk's people, all at once: between two of them lies no
// work that differs by who they are.
func (c *chunk) name(s *Store, o *ImportOptions) error {
	ids := make([]uuid.UUID, len(c.incoming))
	for i := range ids {
		var err error
		if ids[i], err = uuid.NewV7(); err != nil {
			return err
		}
	}
	for i := range c.incoming {
		in := &c.incoming[i]
		if in.id = ids[i]; in.canary {
			in.id = s.canaries.Of(in.id)
		} else if o.Name != nil {
			in.id = o.Name(in.no, in.id)
		}
	}
	return nil
}

// keep says which of a chunk's canaries are planted: those beside somebody new,
// where there are enough new people, and whose ref and number are still free.
func (w *importer) keep(c *chunk, k *known) {
	isNew := func(in *incoming) bool {
		return len(in.problems) == 0 && k.refs[in.ref] == nil && k.numbers[in.number] == nil
	}
	fresh := 0
	for i := range c.incoming {
		if in := &c.incoming[i]; !in.canary && isNew(in) {
			fresh++
		}
	}
	for i := range c.incoming {
		if in := &c.incoming[i]; in.canary {
			in.dropped = fresh < minNeighbours || !isNew(in) || !isNew(&c.incoming[in.beside])
		}
	}
}

// DisplaceBy says who makes place where a canary's ref or number is given to
// somebody: it takes opening the canary, so it is the gate.
func (s *Store) DisplaceBy(f func(ctx context.Context, ids []uuid.UUID) error) { s.displace = f }

// displaced are the canaries whose ref or number a row of the chunk has: whoever it
// was given to in earnest has it.
func (w *importer) displaced(c *chunk, k *known) []uuid.UUID {
	var list []uuid.UUID
	seen := map[uuid.UUID]bool{}
	for i := range c.incoming {
		in := &c.incoming[i]
		if in.canary || len(in.problems) > 0 || w.options.Name != nil {
			continue
		}
		for _, row := range []*knownRow{k.refs[in.ref], k.numbers[in.number]} {
			if row != nil && !seen[row.id] && w.store.canaries.Is(row.id) {
				seen[row.id] = true
				list = append(list, row.id)
			}
		}
	}
	return list
}
