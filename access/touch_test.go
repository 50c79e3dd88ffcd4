package access_test

import (
	"errors"
	"testing"
	"time"

	"azekura/access"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/register/field"
)

// TestTouchFor: a touch's code does the one act that it was for, once, within its time,
// in the hands of who touched and at their device; nothing else, and no session's touch.
func TestTouchFor(t *testing.T) {
	clocked(t, func(t *testing.T, _ string, i *installation.Installation, pass func(time.Duration)) {
		staffed(t, i)
		s := enter(t, i, "caseworker")
		mine := access.Proof{Staff: "caseworker", Via: access.ViaPasskey, Peer: peerAt(t, i)}
		call := access.OpenCase("call", field.SetOf(field.Name, field.Birth))
		code := func() string {
			t.Helper()
			c, err := i.Access.TouchFor(t.Context(), s, mine, call)
			must(t, err)
			return c
		}
		use := func(by access.Session, code string, a access.Act) (access.Touched, error) {
			return i.Access.UseTouch(t.Context(), by, code, a)
		}
		c := code()
		touched, err := use(s, c, call)
		if err != nil || !touched.For(call) || touched.For(access.OpenCase("call", 0)) || (access.Touched{}).For("") {
			t.Fatalf("%+v, %v", touched, err)
		}
		if none, err := use(s, "", call); err != nil || none.For(call) {
			t.Errorf("no code: %+v, %v", none, err)
		}
		refused := func(what string, by access.Session, code string, a access.Act) {
			t.Helper()
			got, err := use(by, code, a)
			if got.For(a) {
				t.Errorf("%s counts as a touch", what)
			}
			refusedAs(t, i, access.ErrTouch, "touch", err)
		}
		refused("the second use", s, c, call)
		refused("another act", s, code(), access.OpenCase("visit", field.SetOf(field.Name, field.Birth)))
		refused("more fields", s, code(), access.OpenCase("call", field.SetOf(field.Name, field.Birth, field.Account)))
		refused("another's", enter(t, i, "auditor"), code(), call)
		refused("a guess", s, "AAAAAAAAAAAAAAAAAAAAAAAA", call)
		late := code()
		pass(access.ActCodeLasts)
		refused("late", s, late, call)
		if _, err := i.Access.TouchFor(t.Context(), s, access.Proof{Staff: "auditor", Via: access.ViaPasskey, Peer: peerAt(t, i)}, call); !errors.Is(err, access.ErrRefused) {
			t.Errorf("another's touch: %v", err)
		}
		for _, a := range []access.Act{"", "anything", "open call; open visit", "read C-1 name", "open call " + access.Act(make([]byte, 120))} {
			if _, err := i.Access.TouchFor(t.Context(), s, mine, a); !errors.Is(err, access.ErrInvalid) {
				t.Errorf("%q: %v", a, err)
			}
		}
		// It is no touch of the session's: who rides on that has nothing of it.
		pass(access.TouchLasts)
		code()
		if err := i.Access.Fresh(s); !errors.Is(err, access.ErrTouch) {
			t.Errorf("the session counts as touched: %v", err)
		}
		robot, _ := insttest.Session(t, i, "robot", "caseworker", "d-1")
		if _, err := i.Access.TouchFor(t.Context(), robot, access.Proof{Staff: "robot", Via: access.ViaPasskey, Peer: peerAt(t, i)}, call); !errors.Is(err, access.ErrRefused) {
			t.Errorf("a session that the operator made: %v", err)
		}
	})
}
