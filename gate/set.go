package gate

import (
	"context"
	"fmt"
	"iter"
	"runtime"

	"azekura/access"
	"azekura/auditlog"
	"azekura/keyring/opening"
	"azekura/register/field"

	"github.com/google/uuid"
)

// SetRequest asks to open fields of many participants for a job.
type SetRequest struct {
	Why
	Job    string // names the job in the set event
	Fields field.Set
	// Progress, when given, hears how many members are recorded and opened.
	Progress func(recorded, opened int64)
}

// Opened is one member of a set, opened. A member who was shredded meanwhile
// has no values.
type Opened struct {
	Member auditlog.Member
	Values map[field.Field]string
}

// OpenSet opens a job's members, without canaries. It first writes them all, sealed, and one set
// event over them; only with that event's receipt does it open them, in order,
// and nobody else. Its memory doesn't grow with the set, but for 32 bytes per
// 1,024 members. each is called from one goroutine.
func (g *Gate) OpenSet(ctx context.Context, s access.Session, r SetRequest, members iter.Seq2[auditlog.Member, error], each func(Opened) error) (int64, error) {
	if err := g.log.WaitBulk(ctx); err != nil {
		return 0, err
	}
	event, _, err := g.decide(ctx, s, auditlog.Set, r.Fields, r.Why)
	if err != nil {
		return 0, err
	}
	if r.Progress == nil {
		r.Progress = func(int64, int64) {}
	}
	set, err := g.writeSet(ctx, r, members)
	if err != nil {
		return 0, err
	}
	event.Set, event.Outcome = &set.Info, "ok"
	receipts, err := g.log.Record(ctx, auditlog.Entry{Events: []auditlog.Event{event}, Set: set})
	if err != nil {
		return 0, err
	}
	return receipts[0].Index(), g.openSet(ctx, s, set.Info, receipts[0], r, each)
}

func (g *Gate) writeSet(ctx context.Context, r SetRequest, members iter.Seq2[auditlog.Member, error]) (*auditlog.SetWriter, error) {
	id, err := g.log.NewSetID()
	if err != nil {
		return nil, err
	}
	set := auditlog.NewSet(id, r.Job, true, g.ring.SealMembers)
	for m, err := range members {
		if err != nil {
			return nil, err
		}
		if !r.Fields.Contains(m.Fields) {
			return nil, fmt.Errorf("%w: a member asks for a field that the set doesn't", ErrInvalid)
		}
		if g.canaries.Is(m.ID) {
			continue // what is made of sets is paid, mailed, or told to people
		}
		set.Add(m)
		if set.Info.Count%(64*auditlog.BlockMembers) == 0 {
			if err := set.Store(ctx, g.db, g.log.ID()); err != nil {
				return nil, fmt.Errorf("write the set's members: %w", err)
			}
			r.Progress(set.Info.Count, 0)
		}
	}
	if err := set.Finish(ctx, g.db, g.log.ID()); err != nil {
		return nil, fmt.Errorf("write the set's members: %w", err)
	}
	r.Progress(set.Info.Count, 0)
	return set, nil
}

type openedBlock struct {
	list []Opened
	err  error
}

// openSet opens block after block, a few at a time, and hands them on in order.
func (g *Gate) openSet(ctx context.Context, s access.Session, info auditlog.SetInfo, receipt auditlog.Receipt, r SetRequest, each func(Opened) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ordered := make(chan chan openedBlock, runtime.GOMAXPROCS(0)+1)
	failed := make(chan error, 1)
	go func() {
		defer close(ordered)
		var next int64
		failed <- auditlog.EachBlock(ctx, g.db, g.log.ID(), info.ID, func(block int64, sealed []byte) error {
			if block != next {
				return fmt.Errorf("%w: block %d of the set isn't in its place", auditlog.ErrNoReceipt, next)
			}
			next++
			result := make(chan openedBlock, 1)
			select {
			case ordered <- result:
			case <-ctx.Done():
				return ctx.Err()
			}
			go func() {
				list, err := g.openBlock(ctx, info.ID, block, sealed, receipt)
				result <- openedBlock{list, err}
			}()
			return nil
		})
	}()
	var done int64
	for result := range ordered {
		b := <-result
		if b.err == nil {
			b.err = g.access.Still(s)
		}
		for i := 0; i < len(b.list) && b.err == nil; i++ {
			b.err = each(b.list[i])
		}
		if b.err != nil {
			return b.err
		}
		done += int64(len(b.list))
		r.Progress(info.Count, done)
	}
	if err := <-failed; err != nil {
		return err
	}
	if done != info.Count {
		return fmt.Errorf("the set has %d members, but %d were found: some of its rows are gone", info.Count, done)
	}
	return nil
}

func (g *Gate) openBlock(ctx context.Context, setID, block int64, sealed []byte, receipt auditlog.Receipt) ([]Opened, error) {
	encoded, err := g.opener.Members(setID, block, sealed)
	if err != nil {
		return nil, fmt.Errorf("open block %d of the set: %w", block, err)
	}
	members, receipts, err := receipt.Members(int(block), encoded)
	if err != nil {
		return nil, err
	}
	ids := make([]uuid.UUID, len(members))
	for i := range members {
		ids[i] = members[i].ID
	}
	found, err := g.store.FetchRows(ctx, ids)
	if err != nil {
		return nil, err
	}
	list := make([]Opened, len(members))
	var values []opening.Value
	for i, m := range members {
		list[i].Member = m
		p := found[m.ID]
		if p == nil || p.Key.Wrapped == nil {
			continue
		}
		values = values[:0]
		for _, f := range m.Fields.Fields() {
			set := p.At(f, m.Version)
			if set == 0 {
				continue
			}
			sealed, err := p.Envelope(f, set)
			if err != nil {
				return nil, err
			}
			values = append(values, opening.Value{Field: f, Version: set, Sealed: sealed})
		}
		if err := g.unseal(ctx, receipts[i], p.Key, values); err != nil {
			return nil, fmt.Errorf("open a member of event %d: %w", receipt.Index(), err)
		}
		list[i].Values = make(map[field.Field]string, len(values))
		for _, v := range values {
			if v.Plain != "" { // a field that was set to nothing is absent, as in a read
				list[i].Values[v.Field] = v.Plain
			}
		}
	}
	return list, nil
}

// OpenMembers opens a block of a set event's members: who was in the set. It
// tells pseudonyms only; exposure expands set events by it.
func (g *Gate) OpenMembers(setID, block int64, sealed []byte) ([]byte, error) {
	return g.opener.Members(setID, block, sealed)
}
