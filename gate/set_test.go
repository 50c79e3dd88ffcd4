package gate_test

import (
	"context"
	"errors"
	"iter"
	"testing"

	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/keyring/opening"
	"azekura/register/field"

	"github.com/google/uuid"
)

// openSet opens members and returns what came out.
func (r *room) openSet(ctx context.Context, fields field.Set, members iter.Seq2[auditlog.Member, error], progress func(recorded, opened int64)) ([]gate.Opened, error) {
	var got []gate.Opened
	_, err := r.Gate.OpenSet(ctx, r.s, gate.SetRequest{Why: why, Job: "test", Fields: fields, Progress: progress}, members, func(o gate.Opened) error {
		got = append(got, o)
		return nil
	})
	return got, err
}

func just(members ...auditlog.Member) iter.Seq2[auditlog.Member, error] {
	return func(yield func(auditlog.Member, error) bool) {
		for _, m := range members {
			if !yield(m, nil) {
				return
			}
		}
	}
}

// TestSetOpensItsMembers: exactly those, in their order, with the fields and in
// the versions that were asked for, and the event says the same.
func TestSetOpensItsMembers(t *testing.T) {
	withPeople(t, 30, func(t *testing.T, r *room) {
		if _, err := r.change(t, r.who(0), map[field.Field]string{field.Name: "新　名"}); err != nil {
			t.Fatal(err)
		}
		a, err := r.Gate.Read(t.Context(), r.s, gate.ReadRequest{Who: r.who(0), Why: why, Fields: 1})
		if err != nil {
			t.Fatal(err)
		}
		name, birth := field.SetOf(field.Name), field.SetOf(field.Birth)
		other := r.ids(t)[7]
		want := []auditlog.Member{{ID: a.Participant, Fields: name, Version: a.Version}, {ID: other, Fields: birth, Version: 1},
			{ID: a.Participant, Fields: name, Version: a.Version - 1}, {ID: uuid.Must(uuid.NewV7()), Fields: name, Version: 1}}
		events := r.size()
		got, err := r.openSet(t.Context(), name|birth, just(want...), nil)
		if err != nil || len(got) != len(want) {
			t.Fatal(err, len(got))
		}
		for n, o := range got {
			if o.Member != want[n] {
				t.Errorf("member %d is another", n)
			}
		}
		if got[0].Values[field.Name] != "新　名" || got[2].Values[field.Name] != r.people[0].Name || len(got[0].Values) != 1 ||
			got[1].Values[field.Birth] == "" || len(got[1].Values) != 1 || got[3].Values != nil {
			t.Error("values of other versions or fields came out")
		}
		e := r.since(t, events)
		if len(e) != 1 || e[0].Action != auditlog.Set || e[0].Set.Count != 4 || !e[0].Set.Opens || e[0].Set.Union != name|birth || e[0].Set.Job != "test" {
			t.Errorf("%+v", e)
		}
	})
}

func TestSetRefuses(t *testing.T) {
	withPeople(t, 5, func(t *testing.T, r *room) {
		name, id := field.SetOf(field.Name), r.ids(t)[0]
		broken := errors.New("no more members")
		for why, members := range map[string]iter.Seq2[auditlog.Member, error]{
			"nobody":             just(),
			"a field not named":  just(auditlog.Member{ID: id, Fields: name, Version: 1}, auditlog.Member{ID: id, Fields: name | 1<<field.Birth, Version: 1}),
			"the award":          just(auditlog.Member{ID: id, Fields: 1 << field.Award, Version: 1}),
			"a list that breaks": func(yield func(auditlog.Member, error) bool) { yield(auditlog.Member{}, broken) },
			"a list that breaks later": func(yield func(auditlog.Member, error) bool) {
				_ = yield(auditlog.Member{ID: id, Fields: name, Version: 1}, nil) && yield(auditlog.Member{}, broken)
			},
		} {
			events := r.size()
			if got, err := r.openSet(t.Context(), name, members, nil); err == nil || len(got) != 0 || r.size() != events {
				t.Errorf("%s: %d opened, %d events, %v", why, len(got), r.size()-events, err)
			}
		}
	})
}

// TestTamperedSet changes a set's rows between its event and its opening, as a
// database's administrator can: whatever was done, nobody comes out whom the
// event doesn't name.
func TestTamperedSet(t *testing.T) {
	const people = 3*auditlog.BlockMembers + 10
	for name, sql := range map[string]string{
		"edited":        "UPDATE log_set_block SET sealed = (SELECT sealed FROM log_set_block WHERE block = 2 AND set_id = $1) WHERE block = 1 AND set_id = $1",
		"of other sets": "UPDATE log_set_block SET sealed = (SELECT sealed FROM log_set_block WHERE block = 1 AND set_id <> $1) WHERE block = 1 AND set_id = $1",
		"deleted":       "DELETE FROM log_set_block WHERE block = 1 AND set_id = $1",
		"cut":           "DELETE FROM log_set_block WHERE block >= 1 AND set_id = $1",
		"emptied":       "DELETE FROM log_set_block WHERE set_id = $1",
		"renumbered":    "UPDATE log_set_block SET block = block + 10 WHERE block >= 1 AND set_id = $1",
		"reordered":     "UPDATE log_set_block SET block = CASE block WHEN 1 THEN 12 WHEN 2 THEN 11 ELSE block END WHERE set_id = $1",
		"added to":      "INSERT INTO log_set_block (log_id, set_id, block, count, sealed) SELECT log_id, set_id, 4, count, sealed FROM log_set_block WHERE block = 1 AND set_id = $1",
	} {
		t.Run(name, func(t *testing.T) {
			insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
				insttest.Import(t, i, insttest.CSV(t, 1, 40))
				r := &room{Installation: i, s: insttest.Caseworker(t, i)}
				r.tamper(t, sql, people)
			})
		})
	}
}

func (r *room) tamper(t *testing.T, sql string, count int) {
	t.Helper()
	fields, ids := field.SetOf(field.Name), r.ids(t)
	members := func(yield func(auditlog.Member, error) bool) {
		for n := range count {
			if !yield(auditlog.Member{ID: ids[n%len(ids)], Fields: fields, Version: 1}, nil) {
				return
			}
		}
	}
	// Another set, and its blocks to take.
	if got, err := r.openSet(t.Context(), fields, members, nil); err != nil || len(got) != count {
		t.Fatal(err, len(got))
	}
	got, err := r.openSet(t.Context(), fields, members, func(recorded, opened int64) {
		if recorded == int64(count) && opened == 0 {
			r.alter(t, sql)
		}
	})
	if err == nil || len(got) > count {
		t.Errorf("%d members were opened, and the error is %v", len(got), err)
	}
	for n, o := range got {
		if o.Member.ID != ids[n%len(ids)] {
			t.Fatalf("member %d is another", n)
		}
	}
}

// alter runs SQL on the newest set's rows.
func (r *room) alter(t *testing.T, sql string) {
	t.Helper()
	var first, second int64
	ids := r.list(t, "SELECT CAST(set_id AS TEXT) FROM log_set_block WHERE block = 3")
	if len(ids) != 2 {
		t.Fatalf("%d sets are there", len(ids))
	}
	for _, e := range insttest.Events(t, r.Installation) {
		if e.Action == auditlog.Set && e.Set.Opens {
			first = e.Set.ID
		}
	}
	if err := r.DB.QueryRow(t.Context(), "SELECT max(set_id) FROM log_set_block WHERE block = 3 AND set_id <> $1", []any{first}, &second); err != nil {
		t.Fatal(err)
	}
	if n, err := r.DB.Exec(t.Context(), sql, second); err != nil || n == 0 {
		t.Fatal("nothing was altered:", err)
	}
}

// TestZeroReceiptOpensNothing: outside the gate, there is no way.
func TestZeroReceiptOpensNothing(t *testing.T) {
	withPeople(t, 3, func(t *testing.T, r *room) {
		ids := r.ids(t)
		found, err := r.Register.FetchRows(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range found {
			sealed, err := p.Envelope(field.Name, p.At(field.Name, p.Latest()))
			if err != nil {
				t.Fatal(err)
			}
			list := []opening.Value{{Field: field.Name, Version: p.At(field.Name, p.Latest()), Sealed: sealed}}
			if err := opening.New(r.Ring).Open(auditlog.Receipt{}, p.Key, list); !errors.Is(err, auditlog.ErrNoReceipt) || list[0].Plain != "" {
				t.Errorf("opened without a receipt: %v", err)
			}
		}
	})
}
