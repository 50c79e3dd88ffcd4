package installation

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"time"

	"azekura/access"
	"azekura/auditlog"
	"azekura/gate"
	"azekura/leakscan"
	"azekura/register/field"

	"github.com/google/uuid"
)

// LeakIndex is an index that was made.
type LeakIndex struct {
	Path   string `json:"path"`
	Case   string `json:"case"`
	People int64  `json:"people"`
	Bytes  int64  `json:"bytes"`
	Event  int64  `json:"event" doc:"the set event's index in the audit log"`
}

// indexed are the fields that a leak scan looks for.
var indexed = field.SetOf(field.All()...) &^ field.SetOf(field.Sex)

// MakeLeakIndex opens all participants, in all versions, against one set event,
// and writes an index of them under the case's key. Nothing that was opened
// outlives its turn in memory.
func (i *Installation) MakeLeakIndex(ctx context.Context, s access.Session, why gate.Why, path string, progress func(done, total int64)) (LeakIndex, error) {
	made := LeakIndex{Path: path, Case: why.Case}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return made, errors.New("there is a file of that name already: give another")
	}
	raw, err := i.Ring.MakeCase(ctx, i.DB, why.Case, time.Now())
	if err != nil {
		return made, err
	}
	keys, err := leakscan.NewKeys(raw)
	clear(raw)
	if err != nil {
		return made, err
	}
	count, err := i.Register.Count(ctx)
	if err != nil {
		return made, err
	}
	b, err := leakscan.NewBuilder(path, keys, leakscan.BuildOptions{Case: why.Case, People: count})
	if err != nil {
		return made, err
	}
	next := gathering{add: b.Add}
	request := gate.SetRequest{Why: why, Job: "leak-index", Fields: indexed, Progress: func(recorded, opened int64) { progress(opened, recorded) }}
	made.Event, err = i.Gate.OpenSet(ctx, s, request, i.versions(ctx), next.opened)
	if err == nil {
		err = next.flush()
	}
	if err != nil {
		return made, errors.Join(err, b.Abandon())
	}
	if err := b.Finish(ctx); err != nil {
		return made, err
	}
	x, err := leakscan.Open(path, keys)
	if err != nil {
		return made, fmt.Errorf("read the index back: %w", err)
	}
	made.People, made.Bytes = x.People(), x.Size()
	return made, x.Close()
}

// versions are the set's members: each version of each participant, for what it
// set.
func (i *Installation) versions(ctx context.Context) iter.Seq2[auditlog.Member, error] {
	return func(yield func(auditlog.Member, error) bool) {
		stopped := errors.New("no more is wanted")
		err := i.Register.EachVersion(ctx, func(id uuid.UUID, version int64, fields field.Set) error {
			if fields &= indexed; fields != 0 && !yield(auditlog.Member{ID: id, Fields: fields, Version: version}, nil) {
				return stopped
			}
			return nil
		})
		if err != nil && !errors.Is(err, stopped) {
			yield(auditlog.Member{}, err)
		}
	}
}

// gathering puts a participant's versions, which come one after another, together.
type gathering struct {
	person leakscan.Person
	add    func(leakscan.Person) error
}

func (g *gathering) opened(o gate.Opened) error {
	if o.Member.ID != g.person.ID {
		if err := g.flush(); err != nil {
			return err
		}
		g.person = leakscan.Person{ID: o.Member.ID}
	}
	for n := range g.person.Values {
		if v := &g.person.Values[n]; o.Member.Fields.Has(v.Field) {
			v.Past = true
		}
	}
	for _, f := range o.Member.Fields.Fields() {
		if text, ok := o.Values[f]; ok {
			g.person.Values = append(g.person.Values, leakscan.Value{Field: f, Text: text})
		}
	}
	return nil
}

// flush hands the person on, unless they were shredded and so have nothing.
func (g *gathering) flush() error {
	if len(g.person.Values) == 0 {
		return nil
	}
	return g.add(g.person)
}

// LeakKey hands out the key of a case, for a scan, against an event.
func (i *Installation) LeakKey(ctx context.Context, name string) ([]byte, error) {
	key, err := i.Ring.Case(ctx, i.DB, name)
	if err != nil {
		return nil, err
	}
	_, err = i.Log.RecordOne(ctx, auditlog.Event{Action: auditlog.System, Outcome: "ok", Purpose: "leak-key", Case: name})
	return key, err
}

// CloseLeak destroys a case's key: its index can't be read any more. What was uploaded
// for its scans goes before, so that nothing stays of it where this is cut off.
func (i *Installation) CloseLeak(ctx context.Context, name string) error {
	if _, err := i.Ring.Case(ctx, i.DB, name); err != nil {
		return err
	}
	if _, err := i.Log.RecordOne(ctx, auditlog.Event{Action: auditlog.System, Outcome: "ok", Purpose: "leak-close", Case: name}); err != nil {
		return err
	}
	if err := i.removeUploads(name); err != nil {
		return err
	}
	return i.Ring.DestroyCase(ctx, i.DB, name)
}
