package gate_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/keyring"
	"azekura/register"
	"azekura/register/field"
	"azekura/register/value"
)

func (r *room) change(t *testing.T, who gate.Who, values map[field.Field]string) (gate.Changed, error) {
	t.Helper()
	return r.Gate.Change(t.Context(), r.s, gate.ChangeRequest{Who: who, Why: gate.Why{Purpose: "change", Case: "C-2"}, Values: values})
}

func (r *room) found(t *testing.T, by value.Kind, first, second string) int {
	t.Helper()
	list, err := r.Gate.Search(t.Context(), r.s, gate.SearchRequest{Why: why, By: by, First: first, Second: second})
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestChange(t *testing.T) {
	withHanako(t, func(t *testing.T, r *room) {
		who := gate.Who{Ref: "H-1"}
		events := r.size()
		c, err := r.change(t, who, map[field.Field]string{field.Name: "佐藤　花子", field.Kana: "ｻﾄｳ ﾊﾅｺ", field.Phone: ""})
		if err != nil || c.Version != 4 {
			t.Fatal(err, c.Version)
		}
		e := r.since(t, events)
		if len(e) != 2 || e[0].Action != auditlog.Index || e[1].Action != auditlog.Change || e[1].Index != c.Event || len(e[1].Fields) != 3 {
			t.Fatalf("%+v", e)
		}
		if e[0].Opened() != 0 {
			t.Error("what was opened inside the gate counts as seen")
		}
		a, err := r.Gate.Read(t.Context(), r.s, gate.ReadRequest{Who: who, Why: why, Fields: field.SetOf(field.All()...)})
		if err != nil || a.Values[field.Name] != "佐藤　花子" || a.Values[field.Kana] != "サトウ　ハナコ" || a.Values[field.Phone] != "" || a.Values[field.Birth] != "1950-04-12" {
			t.Error("the record isn't as it was changed", err)
		}
		for name, n := range map[string]int{"佐藤花子": 1, "高橋花子": 1, "渡辺花子": 1, "鈴木花子": 0} {
			if got := r.found(t, value.KindNameBirth, name, "1950-04-12"); got != n {
				t.Errorf("%d found by a name, not %d", got, n)
			}
		}
		// A new birth date finds with the present name, and not with one before it.
		if _, err := r.change(t, who, map[field.Field]string{field.Birth: "1951-04-12"}); err != nil {
			t.Fatal(err)
		}
		if r.found(t, value.KindNameBirth, "佐藤花子", "昭和26年4月12日") != 1 || r.found(t, value.KindNameBirth, "佐藤花子", "1950-04-12") != 1 {
			t.Error("a changed birth date doesn't find")
		}
		for f, text := range map[field.Field]string{field.Name: "", field.Birth: "", field.Number: "", field.Ref: "", field.Kana: "漢字", field.Phone: "1",
			field.Address: "=1", field.Mask: "x", field.Award: "x"} {
			if _, err := r.change(t, who, map[field.Field]string{f: text}); !errors.Is(err, gate.ErrInvalid) {
				t.Errorf("%s: %v", f, err)
			}
		}
	})
}

// TestTaken: a number or ref of somebody else's is refused, by former ones too,
// and that somebody has it is an event.
func TestTaken(t *testing.T) {
	withHanako(t, func(t *testing.T, r *room) {
		if _, err := r.change(t, gate.Who{Ref: "H-1"}, map[field.Field]string{field.Number: "1234567899"}); err != nil {
			t.Fatal(err)
		}
		p := &r.people[0]
		for f, text := range map[field.Field]string{field.Number: "1234567890", field.Ref: "H-1"} {
			events := r.size()
			_, err := r.change(t, r.who(0), map[field.Field]string{f: text})
			if !errors.Is(err, gate.ErrInvalid) {
				t.Errorf("%s: %v", f, err)
			}
			r.toldExistence(t, events, "refused")
		}
		for f, text := range map[field.Field]string{field.Number: p.Number, field.Ref: p.Ref} {
			if _, err := r.change(t, r.who(0), map[field.Field]string{f: text}); err != nil {
				t.Errorf("one's own %s: %v", f, err)
			}
		}
	})
}

// TestConflict: of changes made at the same time each either makes a version of
// its own or is told; and one number goes to one person.
func TestConflict(t *testing.T) {
	withPeople(t, 8, func(t *testing.T, r *room) {
		before := insttest.Look(t, r.Installation, r.s).People[r.people[0].Ref].Versions
		values := []string{"a@example.invalid", "b@example.invalid", "c@example.invalid", "d@example.invalid"}
		errs := make([]error, len(values)+len(r.people))
		var wg sync.WaitGroup
		for n, email := range values {
			wg.Go(func() { _, errs[n] = r.change(t, r.who(0), map[field.Field]string{field.Email: email}) })
		}
		for n := range r.people {
			wg.Go(func() {
				_, errs[len(values)+n] = r.change(t, r.who(n), map[field.Field]string{field.Number: "9000000001"})
			})
		}
		wg.Wait()
		made, numbered := int64(0), 0
		for n, err := range errs {
			switch {
			case err == nil && n < len(values):
				made++
			case err == nil:
				numbered++
				if n == len(values) {
					made++
				}
			case !errors.Is(err, register.ErrConflict) && (n < len(values) || !errors.Is(err, gate.ErrInvalid)):
				t.Errorf("change %d: %v", n, err)
			}
		}
		have := map[string]int{} // by birth: a search takes both
		for n := range r.people {
			have[r.people[n].Birth] = r.found(t, value.KindNumber, "9000000001", r.people[n].Birth)
		}
		holders := 0
		for _, n := range have {
			holders += n
		}
		if numbered != 1 || holders != 1 {
			t.Errorf("a number went to %d people", numbered)
		}
		if now := insttest.Look(t, r.Installation, r.s).People[r.people[0].Ref].Versions; now != before+made {
			t.Errorf("%d versions came of %d changes", now-before, made)
		}
	})
}

// TestShredLeavesNoTrace looks for what could still open or find somebody: the
// key's row, the tokens, and on SQLite the wrapped key's bytes in the files.
func TestShredLeavesNoTrace(t *testing.T) {
	withPeople(t, 300, func(t *testing.T, r *room) {
		var wrapped [][]byte
		for n := range 20 {
			if n%10 == 0 { // who finds nobody forty times a day is asked for a touch
				r.s, _ = insttest.Session(t, r.Installation, fmt.Sprint("s-", 50+n), "caseworker", "d-1")
			}
			a, err := r.Gate.Read(t.Context(), r.s, gate.ReadRequest{Who: r.who(n), Why: why, Fields: 1})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.change(t, r.who(n), map[field.Field]string{field.Name: "変更　後", field.Address: "530-0001 大阪府大阪市北区梅田1"}); err != nil {
				t.Fatal(err)
			}
			wrapped = append(wrapped, r.wrapped(t, a))
			if !inFiles(t, r, wrapped[n]) {
				t.Fatal("the wrapped key isn't where it must be before")
			}
			if _, err := r.Gate.Shred(t.Context(), r.s, r.who(n), gate.Why{Purpose: "death", Case: "C-3"}); err != nil {
				t.Fatal(err)
			}
			r.gone(t, n, a)
		}
		for n, key := range wrapped {
			if r.Config.Database == "" && inFiles(t, r, key) {
				t.Errorf("the wrapped key of person %d lies in the database's files", n)
			}
		}
		if n := len(insttest.Look(t, r.Installation, r.s).People); n != 280 {
			t.Errorf("%d people can be opened", n)
		}
	})
}

func (r *room) wrapped(t *testing.T, a gate.Answer) (key []byte) {
	t.Helper()
	if err := r.DB.QueryRow(t.Context(), "SELECT wrapped FROM keyring_participant WHERE participant_id = $1", []any{a.Participant[:]}, &key); err != nil {
		t.Fatal(err)
	}
	return key
}

func inFiles(t *testing.T, r *room, what []byte) bool {
	t.Helper()
	if r.Config.Database != "" {
		return true
	}
	for _, content := range files(t, r.Dir) {
		if bytes.Contains(content, what) {
			return true
		}
	}
	return false
}

// gone wants nothing left by which person n is found or opened.
func (r *room) gone(t *testing.T, n int, a gate.Answer) {
	t.Helper()
	for _, table := range []string{"keyring_participant", "register_index_1"} {
		var rows int64
		if err := r.DB.QueryRow(t.Context(), "SELECT count(*) FROM "+table+" WHERE participant_id = $1", []any{a.Participant[:]}, &rows); err != nil || rows != 0 {
			t.Errorf("person %d has %d rows in %s: %v", n, rows, table, err)
		}
	}
	p := &r.people[n]
	if r.found(t, value.KindNumber, p.Number, p.Birth)+r.found(t, value.KindRef, p.Ref, p.Birth) != 0 {
		t.Errorf("person %d is found", n)
	}
	for version := range a.Version + 1 {
		_, err := r.Gate.Read(t.Context(), r.s, gate.ReadRequest{Who: gate.Who{Participant: a.Participant}, Why: why, Fields: 1, Version: version})
		if !errors.Is(err, keyring.ErrShredded) {
			t.Errorf("version %d of person %d: %v", version, n, err)
		}
	}
}

// TestShredTakesFormerTokens: former names that came with a later file find their
// person, and go with them.
func TestShredTakesFormerTokens(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		r := &room{Installation: i, s: insttest.Caseworker(t, i)}
		for _, former := range []string{``, `{"name":"渡邉　花子"}`, `{"name":"林　花子","postal_code":"5300001","address":"大阪市北区梅田1"},{"name":"渡邉　花子"}`} {
			insttest.Import(t, i, []byte(`{"ref":"H-1","number":"1234567890","name":"髙橋　花子","birth":"1950-04-12","former":[`+former+"]}\n"))
		}
		for _, name := range []string{"高橋花子", "渡辺花子", "林花子"} {
			if r.found(t, value.KindNameBirth, name, "1950-04-12") != 1 {
				t.Errorf("%s finds nobody", name)
			}
		}
		if _, err := r.Gate.Shred(t.Context(), r.s, gate.Who{Ref: "H-1"}, why); err != nil {
			t.Fatal(err)
		}
		if n := insttest.Count(t, i, "register_index"); n != 0 {
			t.Errorf("%d tokens are left", n)
		}
	})
}
