package rotation_test

import (
	"maps"
	"slices"
	"testing"

	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/keyring"
	"azekura/population"
	"azekura/register/field"
	"azekura/register/value"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// room is a register before its keys are changed.
type room struct {
	*installation.Installation
	before   insttest.State
	old      *keyring.Ring // with the keys that are to go
	shredded population.Person
}

// furnish makes a register of people with former names and changed telephones,
// one of whom is shredded.
func furnish(t *testing.T, i *installation.Installation) *room {
	t.Helper()
	insttest.Import(t, i, insttest.NDJSON(t, seed, first))
	s := insttest.Caseworker(t, i)
	people := insttest.People(seed, first)
	r := &room{Installation: i, old: insttest.Keyring(t, i), shredded: people[first-1]}
	if _, err := i.Gate.Shred(t.Context(), s, who(r.shredded.Ref), why); err != nil {
		t.Fatal(err)
	}
	r.before = insttest.Look(t, i, s)
	if _, found := r.before.People[r.shredded.Ref]; found || len(r.before.People) != first-1 {
		t.Fatalf("%d people", len(r.before.People))
	}
	return r
}

// reopen takes the room's look at what another process has worked on.
func (r *room) reopen(t *testing.T) *room {
	t.Helper()
	return &room{Installation: insttest.Open(t, r.Dir), before: r.before, old: r.old, shredded: r.shredded}
}

// check holds the register against what it was: every value, every way to find
// somebody, and nothing under the old key. arrived is how many an import brought.
func (r *room) check(t *testing.T, kind string, arrived int) {
	t.Helper()
	now := insttest.Look(t, r.Installation, insttest.Caseworker(t, r.Installation))
	if n := len(now.People); n != first-1+arrived {
		t.Errorf("%d people, not %d", n, first-1+arrived)
	}
	people := insttest.People(seed, first-1)
	for n, p := range people {
		was, is := maps.Clone(r.before.People[p.Ref].Values), maps.Clone(now.People[p.Ref].Values)
		if n < busy {
			delete(was, field.Phone)
			delete(is, field.Phone)
		}
		if !cmp.Equal(was, is) {
			t.Fatalf("person %d isn't who they were", n)
		}
	}
	r.checkFound(t, people, now)
	if kind == "data" {
		r.checkData(t)
	} else {
		r.checkIndex(t, now)
	}
	if _, under, err := r.Rotator.Unfinished(t.Context()); err != nil || under {
		t.Errorf("a rotation is under way: %v", err)
	}
	size, root := r.Signer.Head()
	report, err := auditlog.Verify(t.Context(), r.DB, r.Log.ID(), size, root,
		auditlog.VerifyOptions{OpenMembers: r.Gate.OpenMembers, Edge: r.Signer.Edge()})
	if err != nil || !report.OK {
		t.Errorf("log verify: %v, %s", err, report.Problem)
	}
}

// checkFound looks for each person in every way: by what they had, by what they
// have now and by former names and addresses.
func (r *room) checkFound(t *testing.T, people []population.Person, now insttest.State) {
	t.Helper()
	for n, p := range people {
		is := now.People[p.Ref].Values
		ways := append(waysTo(&p), way{value.KindPhone, is[field.Phone], ""})
		for _, w := range ways {
			if w.first == "" {
				continue
			}
			if !r.finds(t, w, p.Ref) {
				t.Fatalf("person %d isn't found by %s any more", n, w.kind)
			}
		}
	}
	for _, w := range waysTo(&r.shredded) {
		if w.kind == value.KindRef && r.count(t, w) != 0 {
			t.Error("who was shredded is found again")
		}
	}
}

type way struct {
	kind          value.Kind
	first, second string
}

func waysTo(p *population.Person) []way {
	list := []way{{value.KindNumber, p.Number, ""}, {value.KindRef, p.Ref, ""}, {value.KindNameBirth, p.Name, p.Birth},
		{value.KindKanaBirth, p.Kana, p.Birth}, {value.KindPostalBirth, p.PostalCode, p.Birth}, {value.KindPhone, p.Phone, ""}}
	for _, f := range p.Former {
		list = append(list, way{value.KindNameBirth, f.Name, p.Birth}, way{value.KindPostalBirth, f.PostalCode, p.Birth})
	}
	return slices.DeleteFunc(list, func(w way) bool { return w.first == "" })
}

func (r *room) find(t *testing.T, w way) []uuid.UUID {
	t.Helper()
	form, err := value.QueryForm(w.kind, w.first, w.second, r.Log.Now())
	if err != nil {
		t.Fatal(err)
	}
	ids, err := r.Register.Find(t.Context(), form, 100)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func (r *room) count(t *testing.T, w way) int { return len(r.find(t, w)) }

func (r *room) finds(t *testing.T, w way, ref string) bool {
	byRef := r.find(t, way{value.KindRef, ref, ""})
	return len(byRef) == 1 && slices.Contains(r.find(t, w), byRef[0])
}

// oldKeys counts the data keys that the old data key opens.
func (r *room) oldKeys(t *testing.T) (opened, all int) {
	t.Helper()
	rows, err := r.DB.Query(t.Context(), "SELECT participant_id, key_no, epoch, wrapped FROM keyring_participant ORDER BY participant_id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id []byte
		var k keyring.DataKey
		if err := rows.Scan(&id, &k.No, &k.Epoch, &k.Wrapped); err != nil {
			t.Fatal(err)
		}
		k.ID, k.Epoch = uuid.UUID(id), 1 // whatever the row says, the old key is tried
		if _, err := r.old.Participant(k); err == nil {
			opened++
		}
		all++
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return opened, all
}

func (r *room) checkData(t *testing.T) {
	t.Helper()
	if opened, all := r.oldKeys(t); opened != 0 || all == 0 {
		t.Errorf("the old data key opens %d of %d data keys", opened, all)
	}
	if state := r.Ring.State(); state != (keyring.State{Data: 2, Index: 1}) {
		t.Errorf("%+v", state)
	}
}

// oldTokens counts the known forms that lie in either table as tokens of the old
// index key.
func (r *room) oldTokens(t *testing.T) (found, all int) {
	t.Helper()
	stored := map[string]bool{}
	for _, table := range []string{"register_index_0", "register_index_1"} {
		rows, err := r.DB.Query(t.Context(), "SELECT token FROM "+table+" ORDER BY token")
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var token []byte
			if err := rows.Scan(&token); err != nil {
				t.Fatal(err)
			}
			stored[string(token)] = true
		}
		rows.Close()
	}
	for _, p := range insttest.People(seed, first-1) {
		for _, w := range waysTo(&p) {
			form, err := value.QueryForm(w.kind, w.first, w.second, r.Log.Now())
			if err != nil {
				t.Fatal(err)
			}
			token := r.old.Token(form.Kind.String(), form.Text)
			if all++; stored[string(token[:])] {
				found++
			}
		}
	}
	return found, all
}

func (r *room) checkIndex(t *testing.T, now insttest.State) {
	t.Helper()
	if found, all := r.oldTokens(t); found != 0 {
		t.Errorf("%d of %d forms are found under the old index key", found, all)
	}
	if n := insttest.Count(t, r.Installation, "register_index_1"); n != 0 {
		t.Errorf("%d tokens of the old epoch are left", n)
	}
	if state := r.Ring.State(); state != (keyring.State{Data: 1, Index: 2}) {
		t.Errorf("%+v", state)
	}
	// Everyone who was opened is a member of a set event that shows nobody.
	inside := int64(0)
	for _, e := range insttest.Events(t, r.Installation) {
		if e.Action == auditlog.Set && e.Purpose == "rotate-index" {
			if !e.Set.Inside || e.Set.Opens || e.Opened() != 0 {
				t.Errorf("event %d says that the rotation shows something", e.Index)
			}
			inside += e.Set.Count
		}
	}
	if inside < first {
		t.Errorf("the set events list %d people", inside)
	}
}
