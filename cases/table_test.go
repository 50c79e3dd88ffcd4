package cases_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"azekura/access"
	"azekura/cases"
	"azekura/gate"
	"azekura/internal/insttest"
	"azekura/register/field"
	"azekura/register/value"
)

// purposes of each kind, as the agency's rules have it: written out again, so that
// a change of the table in the code is seen.
var purposes = map[string][]string{
	"call": {"enquiry", "change"}, "visit": {"visit", "enquiry", "application", "change"}, "letter": {"letter", "enquiry", "change"},
	"application": {"application", "enquiry", "change"}, "death": {"death", "enquiry", "change"}, "merge": {"review", "change"},
	"representative": {"enquiry", "application", "change"}, "review": {"review", "audit"},
}

// open makes a case of a kind about person 0, assigned to s-1.
func (o *office) open(kind cases.Kind) string {
	o.Helper()
	if kind != cases.Review {
		return insttest.Case(o.T, o.i, o.one, kind, purposes[kind.String()][0], &o.people[0])
	}
	info, err := o.i.Cases.Open(o.Context(), by(o.super), kind, 0, nil, "s-1")
	o.ok(err)
	_, err = o.i.Gate.Identify(o.Context(), o.super, info.Code, o.who(0), "", "")
	o.ok(err)
	return info.Code
}

// TestTable goes through kinds, purposes, states, assignments and participants:
// fields open in one combination of each kind, and in no other.
func TestTable(t *testing.T) {
	each(t, 3, func(o *office) {
		for _, name := range cases.KindNames() {
			kind, err := cases.ParseKind(name)
			o.ok(err)
			code := o.open(kind)
			first := purposes[name][0]
			open, _, err := o.i.Cases.Show(o.Context(), by(o.one), code)
			o.ok(err)
			for _, purpose := range gate.Purposes {
				for who, s := range map[string]access.Session{"theirs": o.one, "a colleague's": o.two, "a supervisor's": o.super, "another office's": o.beside} {
					for n := range 2 {
						want := slices.Contains(purposes[name], purpose) && who == "theirs" && n == 0
						if err := o.read(s, code, purpose, n); (err == nil) != want {
							o.Errorf("%s for %s, %s, person %d: %v", name, purpose, who, n, err)
						}
					}
				}
			}
			_, err = o.i.Cases.SetWaiting(o.Context(), by(o.one), code, true)
			o.ok(err)
			if err := o.read(o.one, code, first, 0); err == nil {
				o.Errorf("a %s that waits opens", name)
			}
			_, err = o.i.Cases.SetWaiting(o.Context(), by(o.one), code, false)
			o.ok(err)
			o.ok(o.read(o.one, code, first, 0))
			_, err = o.i.Cases.Assign(o.Context(), by(o.one), code, "s-2")
			o.ok(err)
			if o.read(o.one, code, first, 0) == nil || o.read(o.two, code, first, 0) != nil {
				o.Errorf("a %s that was given away opens for who had it, or not for who has it", name)
			}
			_, err = o.i.Cases.Close(o.Context(), by(o.two), code, "done")
			o.ok(err)
			if o.read(o.two, code, first, 0) == nil {
				o.Errorf("a closed %s opens", name)
			}
			info, steps, err := o.i.Cases.Show(o.Context(), by(o.two), code)
			o.ok(err)
			if told := fmt.Sprint(info.People, steps); len(steps) < 3 || len(open.People) != 1 || strings.Contains(told, open.People[0].Participant) {
				o.Errorf("a closed %s tells whom it was about", name)
			}
			_, err = o.i.Cases.Reopen(o.Context(), by(o.super), code, "")
			o.ok(err)
			if o.read(o.two, code, first, 0) == nil {
				o.Errorf("a %s that was opened again opens before anybody is identified", name)
			}
		}
	})
}

// TestNobodyYet: before a case knows whom it is about it searches and checks, and
// opens nothing; once it knows, it searches no more.
func TestNobodyYet(t *testing.T) {
	each(t, 3, func(o *office) {
		code := insttest.OpenCase(o.T, o.i, o.one, cases.Call)
		search := func() error {
			_, err := o.i.Gate.Search(o.Context(), o.one, gate.SearchRequest{Why: gate.Why{Purpose: "enquiry", Case: code}, By: value.KindNumber, First: o.people[0].Number, Second: o.people[0].Birth})
			return err
		}
		o.ok(search())
		if o.read(o.one, code, "enquiry", 0) == nil {
			o.Error("a case about nobody opens")
		}
		identify := func(n int, document string) error {
			_, err := o.i.Gate.Identify(o.Context(), o.one, code, o.who(n), document, "")
			return err
		}
		if identify(0, "") == nil || identify(0, "passport") == nil {
			o.Error("nobody said anything, and they are identified")
		}
		insttest.Answers(o.T, o.i, o.one, code, "enquiry", &o.people[0], field.Name)
		if identify(0, "") == nil {
			o.Error("a name alone identifies")
		}
		insttest.Answers(o.T, o.i, o.one, code, "enquiry", &o.people[0], field.Birth)
		if identify(1, "") == nil {
			o.Error("what one said identifies another")
		}
		o.ok(identify(0, ""))
		o.ok(o.read(o.one, code, "enquiry", 0))
		if o.read(o.one, code, "change", 0) == nil {
			o.Error("two answers are enough for a change")
		}
		insttest.Answers(o.T, o.i, o.one, code, "enquiry", &o.people[0], field.Number)
		o.ok(o.read(o.one, code, "change", 0))
		if search() == nil {
			o.Error("a case that knows its participant searches")
		}
		for n, who := range []gate.Who{o.who(1), {Ref: "nobody-1"}} {
			events := o.i.Log.Committed()
			_, err := o.i.Gate.Check(o.Context(), o.one, gate.CheckRequest{Who: who, Why: gate.Why{Purpose: "enquiry", Case: code}, Field: field.Birth, Claim: o.people[1].Birth})
			if !errors.Is(err, gate.ErrDenied) {
				o.Errorf("a check of somebody else, %d: %v", n, err)
			}
			o.denied(events, err)
		}
	})
}

// TestTries: wrong answers are limited, across restarts and callers at once; a
// supervisor lets the case go on.
func TestTries(t *testing.T) {
	each(t, 2, func(o *office) {
		code := insttest.OpenCase(o.T, o.i, o.one, cases.Call)
		wrong := func() error {
			_, err := o.i.Gate.Check(o.Context(), o.one, gate.CheckRequest{Who: o.who(0), Why: gate.Why{Purpose: "enquiry", Case: code}, Field: field.Birth, Claim: "1901-01-01"})
			return err
		}
		o.ok(wrong())
		o.ok(wrong())
		o.again()
		const callers = 12
		errs := make(chan error, callers)
		for range callers {
			go func() { errs <- wrong() }()
		}
		made := 2
		for range callers {
			if err := <-errs; err == nil {
				made++
			} else if !errors.Is(err, gate.ErrDenied) {
				o.Error(err)
			}
		}
		for wrong() == nil { // a try that was taken while another was under way
			made++
		}
		if made != cases.MaxWrong {
			o.Errorf("%d wrong answers were given, not %d", made, cases.MaxWrong)
		}
		o.again()
		if wrong() == nil {
			o.Error("a restart gives tries back")
		}
		_, err := o.i.Cases.Reopen(o.Context(), by(o.super), code, "")
		o.ok(err)
		o.ok(wrong())
	})
}

// TestTriesOfADay: a staff member's wrong answers are limited over all cases.
func TestTriesOfADay(t *testing.T) {
	each(t, 1, func(o *office) {
		var last error
		made := 0
		for made <= cases.MaxWrongDay && last == nil {
			code := insttest.OpenCase(o.T, o.i, o.one, cases.Call)
			for range cases.MaxWrong {
				var yes bool
				yes, last = o.i.Gate.Check(o.Context(), o.one, gate.CheckRequest{Who: o.who(0), Why: gate.Why{Purpose: "enquiry", Case: code}, Field: field.Birth, Claim: "1901-01-01"})
				if last != nil {
					break
				}
				if made++; yes {
					o.Fatal("a wrong answer is right")
				}
			}
		}
		if made != cases.MaxWrongDay || !errors.Is(last, gate.ErrDenied) {
			o.Errorf("%d wrong answers in a day, not %d: %v", made, cases.MaxWrongDay, last)
		}
	})
}
