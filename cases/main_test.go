package cases_test

import (
	"errors"
	"os"
	"testing"

	"azekura/access"
	"azekura/auditlog"
	"azekura/cases"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"
	"azekura/population"
	"azekura/register/field"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// office is an installation with people, two caseworkers and a supervisor of one
// office, and a caseworker of another.
type office struct {
	*testing.T
	dir                     string
	i                       *installation.Installation
	people                  []population.Person
	one, two, super, beside access.Session
	tokens                  [4]string
}

func each(t *testing.T, people int, f func(o *office)) {
	t.Helper()
	insttest.Each(t, func(t *testing.T, engine string) {
		o := &office{T: t, dir: insttest.New(t, engine), people: insttest.People(3, people)}
		o.i = insttest.Open(t, o.dir)
		insttest.Import(t, o.i, insttest.NDJSON(t, 3, int64(people)))
		if _, err := o.i.Access.AddStaff(t.Context(), "s-9", "caseworker", "o-9"); err != nil {
			t.Fatal(err)
		}
		o.one, o.tokens[0] = insttest.Session(t, o.i, "s-1", "caseworker", "d-1")
		o.two, o.tokens[1] = insttest.Session(t, o.i, "s-2", "caseworker", "d-2")
		o.super, o.tokens[2] = insttest.Session(t, o.i, "s-3", "supervisor", "d-3")
		o.beside, o.tokens[3] = insttest.Session(t, o.i, "s-9", "caseworker", "d-1")
		f(o)
	})
}

func by(s access.Session) cases.By { return cases.By{Session: s} }

func (o *office) ok(err error) {
	o.Helper()
	if err != nil {
		o.Fatal(err)
	}
}

// again closes the installation and opens it once more, with the sessions that
// there were. spoil works on the database's rows meanwhile.
func (o *office) again() {
	o.Helper()
	o.ok(o.i.Close())
	o.i = insttest.Open(o.T, o.dir)
	for n, s := range []*access.Session{&o.one, &o.two, &o.super, &o.beside} {
		var err error
		*s, err = o.i.Access.AtSocket(o.tokens[n])
		o.ok(err)
	}
}

func (o *office) who(n int) gate.Who { return gate.Who{Ref: o.people[n].Ref} }

func (o *office) read(s access.Session, code, purpose string, n int) error {
	o.Helper()
	events := o.i.Log.Committed()
	_, err := o.i.Gate.Read(o.Context(), s, gate.ReadRequest{Who: o.who(n), Why: gate.Why{Purpose: purpose, Case: code}, Fields: field.SetOf(field.Name, field.Address)})
	o.denied(events, err)
	return err
}

// denied wants a refusal to be an event, which names nobody.
func (o *office) denied(events int64, err error) {
	o.Helper()
	if err == nil || errors.Is(err, gate.ErrInvalid) {
		return
	}
	if !errors.Is(err, gate.ErrDenied) && !errors.Is(err, cases.ErrDenied) {
		o.Fatalf("not a refusal: %v", err)
	}
	last := insttest.Events(o.T, o.i)[events:]
	if len(last) != 1 || last[0].Action != auditlog.Deny || last[0].Outcome != "case" || last[0].Participant != (auditlog.ID{}) {
		o.Errorf("a refusal left %d events, or another than it: %v", len(last), err)
	}
	insttest.Withheld(o.T, err.Error(), o.people)
}
