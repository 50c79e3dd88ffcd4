package installation

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"azekura/access"
	"azekura/auditlog"
	"azekura/gate"
	"azekura/register/field"

	"github.com/google/uuid"
)

// Resolved is a pseudonym with the agency's own key for whom it stands for; Ref is
// empty where the register has nobody by it any more.
type Resolved struct {
	Participant uuid.UUID `json:"participant"`
	Ref         string    `json:"ref"`
}

// MostResolved bounds how many pseudonyms one call resolves.
const MostResolved = 10_000

// ErrResolve refuses a list of pseudonyms.
var ErrResolve = errors.New("these pseudonyms can't be resolved")

// Resolve opens the refs of those whom a leak scan found, through the gate, against
// one set event. It is for a case that has a leak scan's index, which two people
// decided on, and for no other.
func (i *Installation) Resolve(ctx context.Context, s access.Session, why gate.Why, ids []uuid.UUID) (list []Resolved, event int64, err error) {
	if len(ids) == 0 || len(ids) > MostResolved {
		return nil, 0, fmt.Errorf("%w: give between 1 and %d at once", ErrResolve, MostResolved)
	}
	seen := make(map[uuid.UUID]bool, len(ids))
	for _, id := range ids {
		if id == uuid.Nil || seen[id] {
			return nil, 0, fmt.Errorf("%w: each must be somebody, and once", ErrResolve)
		}
		seen[id] = true
	}
	key, err := i.Ring.Case(ctx, i.DB, why.Case)
	clear(key)
	if err != nil {
		return nil, 0, err
	}
	refs := field.SetOf(field.Ref)
	event, err = i.Gate.OpenSet(ctx, s, gate.SetRequest{Why: why, Job: "leak-resolve", Fields: refs}, i.newest(ctx, ids, refs), func(o gate.Opened) error {
		if ref := o.Values[field.Ref]; ref != "" {
			list = append(list, Resolved{o.Member.ID, ref})
		}
		return nil
	})
	if err != nil {
		return nil, event, err // what was opened before isn't let out
	}
	return list, event, nil
}

// newest are the members of a set, each as the record stands now, in pieces so that
// not all rows are held at once. Who isn't in the register is left out.
func (i *Installation) newest(ctx context.Context, ids []uuid.UUID, fields field.Set) iter.Seq2[auditlog.Member, error] {
	return func(yield func(auditlog.Member, error) bool) {
		for some := range slices.Chunk(ids, 1000) {
			found, err := i.Register.FetchRows(ctx, some)
			if err != nil {
				yield(auditlog.Member{}, err)
				return
			}
			for _, id := range some {
				if p := found[id]; p != nil && len(p.Versions) > 0 && !yield(auditlog.Member{ID: id, Fields: fields, Version: p.Latest()}, nil) {
					return
				}
			}
		}
	}
}
