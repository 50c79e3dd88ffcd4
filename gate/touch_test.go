package gate_test

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"

	"azekura/access"
	"azekura/access/policy"
	"azekura/auditlog"
	"azekura/cases"
	"azekura/gate"
	"azekura/internal/insttest"
	"azekura/register/field"
	"azekura/register/value"
)

// anyTime are the strict policies without those of hours and days.
func anyTime(t *testing.T) string {
	t.Helper()
	text := string(policy.Strict())
	for _, name := range []string{"night", "day-off"} {
		cut := regexp.MustCompile(`(?s)@id\("`+name+`"\).*?;\n\n`).ReplaceAllString(text, "")
		text = regexp.MustCompile(`(?m)^//! refuse `+name+`:.*\n`).ReplaceAllString(cut, "")
	}
	return text
}

// TestTouches: by the strict policies nothing opens in a case for which nobody touched
// their key, nor in one that isn't bound to a search; no other search is made in it, nobody
// checked whom it didn't find; and no field read that wasn't named then, but by a touch for
// that very reading.
func TestTouches(t *testing.T) {
	withPeople(t, 2, func(t *testing.T, r *room) {
		ctx := t.Context()
		pc := insttest.Enrol(t, r.Installation, "d-1")
		s := insttest.SignIn(t, r.Installation, r.s.Staff(), pc)
		insttest.SetPolicy(t, r.Installation, anyTime(t))
		pass := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		const salt = "a-salt-of-some-22-signs"
		first, err := cases.Seek(salt, "number", r.people[0].Number, r.people[0].Birth)
		if err != nil {
			t.Fatal(err)
		}
		open := func(touch bool, need field.Set, searches ...string) gate.Why {
			t.Helper()
			b := cases.By{Session: s}
			if touch {
				b.Touched = insttest.Touch(t, r.Installation, s, pc, access.OpenCase("call", need, searches...))
			}
			info, err := r.Cases.Open(ctx, b, cases.Call, need, searches, "")
			if err != nil || info.Touched != touch || info.Bound != (touch && len(searches) > 0) {
				t.Fatalf("%+v, %v", info, err)
			}
			return gate.Why{Purpose: "enquiry", Case: info.Code}
		}
		searchFor := func(why gate.Why, n int, salt string) error {
			_, err := r.Gate.Search(ctx, s, gate.SearchRequest{Why: why, By: value.KindNumber, First: r.people[n].Number, Second: r.people[n].Birth, Salt: salt})
			return err
		}
		search := func(why gate.Why) error { return searchFor(why, 0, salt) }
		check := func(why gate.Why, f field.Field, claim string) error {
			yes, err := r.Gate.Check(ctx, s, gate.CheckRequest{Who: r.who(0), Why: why, Field: f, Claim: claim})
			if err == nil && !yes {
				t.Errorf("their own %s is wrong", f)
			}
			return err
		}
		read := func(why gate.Why, fields field.Set, touched access.Touched) error {
			_, err := r.Gate.Read(ctx, s, gate.ReadRequest{Who: r.who(0), Why: why, Fields: fields, Touched: touched})
			return err
		}
		refused := func(by string, err error) {
			t.Helper()
			if !errors.Is(err, gate.ErrDenied) || !strings.Contains(err.Error(), "policy "+by+":") {
				t.Errorf("refused by %s? %v", by, err)
			}
		}
		identified := func(why gate.Why) {
			t.Helper()
			pass(search(why))
			pass(check(why, field.Number, r.people[0].Number))
			pass(check(why, field.Birth, r.people[0].Birth))
			_, err := r.Gate.Identify(ctx, s, why.Case, r.who(0), "", "")
			pass(err)
		}
		bare := open(false, field.SetOf(field.Name))
		refused("case-by-touch", search(bare))
		refused("case-by-touch", check(bare, field.Number, r.people[0].Number))
		// The same hash without a touch, and a touch without a hash, are no better.
		refused("case-by-touch", search(open(false, field.SetOf(field.Name), first)))
		refused("case-by-touch", search(open(true, field.SetOf(field.Name))))
		// In a bound case neither another search is made, nor a check of whom its own didn't find.
		bound := open(true, field.SetOf(field.Name), first)
		for what, err := range map[string]error{"somebody else": searchFor(bound, 1, salt), "another salt": searchFor(bound, 0, salt+"."),
			"no salt": searchFor(bound, 0, ""), "a check before the search": check(bound, field.Number, r.people[0].Number)} {
			if !errors.Is(err, gate.ErrDenied) && !errors.Is(err, cases.ErrInvalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
		_, err = r.Cases.Close(ctx, cases.By{Session: s}, bound.Case, "mistake")
		pass(err)
		s = insttest.SignIn(t, r.Installation, r.second(t), pc) // three of these were signs

		name, more := field.SetOf(field.Name), field.SetOf(field.Name, field.Phone)
		why := open(true, name, first)
		identified(why)
		pass(read(why, name, access.Touched{}))
		refused("fields-by-touch", read(why, more, access.Touched{}))
		other := insttest.Touch(t, r.Installation, s, pc, access.ReadFields(why.Case, field.SetOf(field.Phone)))
		refused("fields-by-touch", read(why, more, other))
		from := r.size()
		pass(read(why, more, insttest.Touch(t, r.Installation, s, pc, access.ReadFields(why.Case, more))))
		if events := r.since(t, from); len(events) != 1 || !bytes.Contains(events[0].Detail, []byte(auditlog.ByTouch)) {
			t.Errorf("the reading's event doesn't say that the key was touched: %s", events[0].Detail)
		}
		// What was touched for one case isn't for another.
		again := open(true, name, first)
		identified(again)
		refused("fields-by-touch", read(again, more, insttest.Touch(t, r.Installation, s, pc, access.ReadFields(why.Case, more))))
		// A touch for other fields than those that the case then names declares nothing.
		wrong := cases.By{Session: s, Touched: insttest.Touch(t, r.Installation, s, pc, access.OpenCase("call", name))}
		if info, err := r.Cases.Open(ctx, wrong, cases.Call, more, nil, ""); err != nil || info.Touched {
			t.Errorf("%+v, %v", info, err)
		}
		for _, bad := range [][]string{{"x"}, {first, first}} {
			if _, err := r.Cases.Open(ctx, cases.By{Session: s}, cases.Call, name, bad, ""); !errors.Is(err, cases.ErrInvalid) {
				t.Errorf("for %d searches: %v", len(bad), err)
			}
		}
	})
}

// TestSlips: who looks for the next caller in the last one's case, or asks for a field that
// wasn't named, and then touches their key for that, made a slip however often; who doesn't
// is contained.
func TestSlips(t *testing.T) {
	withPeople(t, 3, func(t *testing.T, r *room) {
		ctx := t.Context()
		pc := insttest.Enrol(t, r.Installation, "d-1")
		s := insttest.SignIn(t, r.Installation, r.s.Staff(), pc)
		insttest.SetPolicy(t, r.Installation, anyTime(t))
		const salt = "a-salt-of-some-22-signs"
		name, more := field.SetOf(field.Name), field.SetOf(field.Name, field.Phone)
		open := func(n int) gate.Why {
			t.Helper()
			hash, err := cases.Seek(salt, "number", r.people[n].Number, r.people[n].Birth)
			if err != nil {
				t.Fatal(err)
			}
			by := cases.By{Session: s, Touched: insttest.Touch(t, r.Installation, s, pc, access.OpenCase("call", name, hash))}
			info, err := r.Cases.Open(ctx, by, cases.Call, name, []string{hash}, "")
			if err != nil || !info.Bound {
				t.Fatalf("%+v, %v", info, err)
			}
			return gate.Why{Purpose: "enquiry", Case: info.Code}
		}
		typed := strings.NewReplacer("1", "１", "2", "２", "3", "３")
		// searchFor gives the detail of the event of a search for somebody.
		searchFor := func(why gate.Why, n int, how *strings.Replacer) string {
			t.Helper()
			from := r.size()
			_, err := r.Gate.Search(ctx, s, gate.SearchRequest{Why: why, By: value.KindNumber, First: how.Replace(r.people[n].Number), Second: r.people[n].Birth, Salt: salt})
			if err != nil && !errors.Is(err, gate.ErrDenied) {
				t.Fatal(err)
			}
			for _, e := range r.since(t, from) {
				if e.Action == auditlog.Deny || e.Action == auditlog.Search && e.Participant == (auditlog.ID{}) {
					return string(e.Detail)
				}
			}
			return ""
		}
		search := func(why gate.Why, n int) string { return searchFor(why, n, strings.NewReplacer()) }
		is := func(detail, mark string) bool { return strings.Contains(detail, mark) }
		last := open(0)
		search(last, 0)
		for n := range 6 { // four would contain
			n = 1 + n%2
			if detail := search(last, n); !is(detail, `"crossed":true,"beyond":true`) {
				t.Fatalf("somebody else in the last caller's case: %s", detail)
			}
			if detail := searchFor(last, n, typed); is(detail, `"crossed":true`) || !is(detail, `"case":"participant"`) {
				t.Fatalf("again: %s", detail)
			}
			next := open(n)
			if detail := search(next, n); !is(detail, auditlog.Mends+last.Case+`"`) {
				t.Fatalf("in a case of their own: %s", detail)
			}
			if detail := search(next, n); is(detail, auditlog.Mends) {
				t.Fatalf("a slip was made good twice: %s", detail)
			}
			last = next
		}
		why := open(0)
		search(why, 0)
		identify := func(why gate.Why) {
			t.Helper()
			insttest.Answers(t, r.Installation, s, why.Case, "enquiry", &r.people[0], field.Number, field.Birth)
			if _, err := r.Gate.Identify(ctx, s, why.Case, r.who(0), "", ""); err != nil {
				t.Fatal(err)
			}
		}
		read := func(why gate.Why, touched access.Touched) error {
			_, err := r.Gate.Read(ctx, s, gate.ReadRequest{Who: r.who(0), Why: why, Fields: more, Touched: touched})
			return err
		}
		identify(why)
		for range 3 {
			if err := read(why, access.Touched{}); !errors.Is(err, gate.ErrDenied) {
				t.Fatal(err)
			}
			if err := read(why, insttest.Touch(t, r.Installation, s, pc, access.ReadFields(why.Case, more))); err != nil {
				t.Fatal(err)
			}
		}
		again := open(0)
		search(again, 0)
		identify(again)
		for n, in := range []gate.Why{why, why, again} {
			if err := read(in, access.Touched{}); !errors.Is(err, gate.ErrDenied) {
				t.Errorf("%d: %v", n, err)
			}
		}
		if err := read(why, access.Touched{}); !errors.Is(err, access.ErrContained) {
			t.Errorf("who never touches a key for what they ask isn't contained: %v", err)
		}
	})
}

// second is another member of the staff.
func (r *room) second(t *testing.T) string {
	t.Helper()
	s, _ := insttest.Session(t, r.Installation, "s-7", "caseworker", "d-1")
	return s.Staff()
}

// TestCrossed: somebody else than whom a case found so far is marked, whoever looks for
// them; who is found again, and the second of a case about two, isn't.
func TestCrossed(t *testing.T) {
	withPeople(t, 4, func(t *testing.T, r *room) {
		code := insttest.OpenCase(t, r.Installation, r.s, cases.Call)
		marked := func(what string, want bool, do func(code string, n int) error, code string, n int) {
			t.Helper()
			from := r.size()
			err := do(code, n)
			got := false
			for _, e := range r.since(t, from) {
				got = got || bytes.Contains(e.Detail, []byte(`"crossed":true`))
			}
			if got != want {
				t.Errorf("%s: marked %v (%v)", what, got, err)
			}
		}
		search := func(code string, n int) error {
			_, err := r.Gate.Search(t.Context(), r.s, gate.SearchRequest{Why: gate.Why{Purpose: "enquiry", Case: code}, By: value.KindNumber, First: r.people[n].Number, Second: r.people[n].Birth})
			return err
		}
		check := func(code string, n int) error {
			_, err := r.Gate.Check(t.Context(), r.s, gate.CheckRequest{Who: r.who(n), Why: gate.Why{Purpose: "enquiry", Case: code}, Field: field.Birth, Claim: r.people[n].Birth})
			return err
		}
		marked("the first", false, search, code, 0)
		marked("the same", false, search, code, 0)
		marked("checking them", false, check, code, 0)
		marked("another", true, search, code, 1)
		marked("the other again", false, check, code, 1)
		insttest.Answers(t, r.Installation, r.s, code, "enquiry", &r.people[0], field.Number)
		if _, err := r.Gate.Identify(t.Context(), r.s, code, r.who(0), "", ""); err != nil {
			t.Fatal(err)
		}
		marked("looked for in a case about somebody", true, search, code, 1)
		marked("checked in it", true, check, code, 1)
		marked("whom it is about", false, check, code, 0)
		from := r.size()
		if _, err := r.Gate.Read(t.Context(), r.s, gate.ReadRequest{Who: r.who(1), Why: gate.Why{Purpose: "enquiry", Case: code}, Fields: field.SetOf(field.Name)}); !errors.Is(err, gate.ErrDenied) ||
			bytes.Contains(r.since(t, from)[0].Detail, []byte("crossed")) {
			t.Errorf("a read of somebody else, which tells nothing: %v", err)
		}
		r.s, _ = insttest.Session(t, r.Installation, "s-9", "caseworker", "d-1") // nobody has four signs yet
		for what, end := range map[string]func(code string) error{
			"closed": func(code string) error {
				_, err := r.Cases.Close(t.Context(), cases.By{Session: r.s}, code, "mistake")
				return err
			},
			"waiting": func(code string) error {
				_, err := r.Cases.SetWaiting(t.Context(), cases.By{Session: r.s}, code, true)
				return err
			},
		} {
			gone := insttest.OpenCase(t, r.Installation, r.s, cases.Call)
			if err := end(gone); err != nil {
				t.Fatal(err)
			}
			from := r.size()
			if err := search(gone, 0); !errors.Is(err, gate.ErrDenied) || !bytes.Contains(r.since(t, from)[0].Detail, []byte(`"crossed":true`)) {
				t.Errorf("a search in one's own case, which is %s: %v", what, err)
			}
		}
		two := insttest.OpenCase(t, r.Installation, r.s, cases.Representative)
		marked("who represents", false, search, two, 0)
		marked("whom they represent", false, search, two, 1)
		marked("a third person", true, search, two, 2)
		marked("a fourth", true, search, two, 3)
		// It was the fourth sign: the rule case-crossed contains who gave it.
		if _, err := r.Cases.Open(t.Context(), cases.By{Session: r.s}, cases.Call, 0, nil, ""); !errors.Is(err, access.ErrContained) {
			t.Errorf("who uses cases for others isn't contained: %v", err)
		}
	})
}
