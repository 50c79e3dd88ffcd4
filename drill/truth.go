package drill

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/population"
	"azekura/register/field"
	"azekura/register/value"

	"github.com/google/uuid"
)

// truth is what was imported, by the order of the seed: of each field a hash, 0
// where the record has none, so that a million people fit into memory.
type truth struct {
	seed   maphash.Seed
	people []known
	byRef  map[string]int32
	byID   map[uuid.UUID]int32
	gaps   int // places that nobody has
	canary func(uuid.UUID) bool
}

type known struct {
	id     uuid.UUID
	values [field.Ref + 1]uint64
	masks  [len(maskFields)]uint64
}

// maskFields are what a mask is made of.
var maskFields = [...]field.Field{field.Name, field.Birth, field.Address}

func (t *truth) hash(text string) uint64 {
	if text == "" {
		return 0
	}
	return max(1, maphash.String(t.seed, text))
}

// learn makes the people up once more, for the truth and for the office's cases,
// and reads under which pseudonym each is known.
func (d *drill) learn(ctx context.Context, inst *installation.Installation, offer func(int64, *population.Person)) (*truth, error) {
	t := &truth{seed: maphash.MakeSeed(), people: make([]known, d.People), byRef: make(map[string]int32, d.People), byID: make(map[uuid.UUID]int32, d.People)}
	g := population.New(d.Seed)
	var p population.Person
	for i := range t.people {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		g.Next(&p)
		if population.Gap(d.Seed, int64(i), d.Canaries) {
			t.gaps++
		} else if err := t.add(i, &p); err != nil {
			return nil, err
		}
		offer(int64(i), &p)
	}
	canaries, err := canariesOf(ctx, inst)
	if err != nil {
		return nil, err
	}
	t.canary = func(id uuid.UUID) bool { return canaries[id] }
	return t, t.identify(ctx, inst)
}

// canariesOf are those planted: the drill made them, so it may know.
func canariesOf(ctx context.Context, inst *installation.Installation) (map[uuid.UUID]bool, error) {
	found := map[uuid.UUID]bool{}
	err := inst.Register.EachID(ctx, func(ids []uuid.UUID, _ []int64) error {
		for _, id := range ids {
			if inst.Gate.IsCanary(id) {
				found[id] = true
			}
		}
		return nil
	})
	return found, err
}

func (t *truth) add(i int, p *population.Person) error {
	record, _, problems := value.Parse(raw(p), time.Now())
	if len(problems) > 0 {
		return fmt.Errorf("made-up person %d isn't one that an import takes", i+1)
	}
	k := &t.people[i]
	for _, f := range field.All() {
		k.values[f] = t.hash(record.Get(f))
	}
	for m, f := range maskFields {
		k.masks[m] = t.hash(value.Mask(f, record.Get(f)))
	}
	t.byRef[record.Get(field.Ref)] = int32(i)
	return nil
}

// raw is a person as the import's columns hold them.
func raw(p *population.Person) value.Raw {
	r := value.Raw{p.Ref, p.Number, p.Name, p.Kana, p.Romaji, p.Birth, p.Sex, p.PostalCode, p.Address, p.Phone, p.Email,
		p.BankCode, p.BranchCode, p.AccountType, p.AccountNumber, p.AccountHolder, p.AwardKind}
	if p.AwardKind != "" {
		r[value.ColAwardAnnualYen] = fmt.Sprint(p.AwardAnnualYen)
	}
	return r
}

// identify opens everybody's ref, as one set, on a PC of the drill's own: it is in
// the log like all else, and not in the infected PC's exposure.
func (t *truth) identify(ctx context.Context, inst *installation.Installation) error {
	token, err := seat(ctx, inst, "drill", "supervisor", "drill-desk")
	if err != nil {
		return err
	}
	session, err := inst.Access.AtSocket(token)
	if err != nil {
		return err
	}
	refs := field.SetOf(field.Ref)
	request := gate.SetRequest{Why: gate.Why{Purpose: "audit", Case: "drill"}, Job: "drill", Fields: refs}
	_, err = inst.Gate.OpenSet(ctx, session, request, everybody(ctx, inst, refs), func(o gate.Opened) error {
		i, ok := t.byRef[o.Values[field.Ref]]
		if !ok {
			return errors.New("the register holds a ref that wasn't imported")
		}
		t.people[i].id = o.Member.ID
		t.byID[o.Member.ID] = i
		return nil
	})
	if err == nil && len(t.byID) != len(t.people)-t.gaps {
		err = fmt.Errorf("the register holds %d of %d people", len(t.byID), len(t.people)-t.gaps)
	}
	if err != nil {
		return fmt.Errorf("learn whose pseudonym is whose: %w", err)
	}
	return nil
}

func everybody(ctx context.Context, inst *installation.Installation, fields field.Set) iter.Seq2[auditlog.Member, error] {
	return func(yield func(auditlog.Member, error) bool) {
		enough := errors.New("enough")
		err := inst.Register.EachID(ctx, func(ids []uuid.UUID, versions []int64) error {
			for i := range ids {
				if !yield(auditlog.Member{ID: ids[i], Fields: fields, Version: versions[i]}, nil) {
					return enough
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, enough) {
			yield(auditlog.Member{}, err)
		}
	}
}

// matters is how many people have one with the office while the one PC's drill lasts.
const matters = 500

// pick chooses, by the seed, whose matters they are.
func pick(seed uint64, people int64) []int64 {
	r := rand.New(rand.NewPCG(seed, 1))
	list := make([]int64, min(matters, people))
	for i := range list {
		list[i] = r.Int64N(people)
	}
	slices.Sort(list)
	return slices.Compact(list)
}
