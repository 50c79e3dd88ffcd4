package insttest

import (
	"testing"

	"azekura/access"
	"azekura/internal/installation"
)

// SignIn signs a staff member in at an enrolled PC.
func SignIn(t testing.TB, i *installation.Installation, staff string, at PC) access.Session {
	t.Helper()
	_, token, err := i.Access.SignIn(t.Context(), access.Proof{Staff: staff, Via: access.ViaPasskey, Peer: at.Peer}, access.DefaultRules)
	if err != nil {
		t.Fatal(err)
	}
	s, err := i.Access.Authenticate(token, at.Peer)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Touch has a session's holder touch their key for an act.
func Touch(t testing.TB, i *installation.Installation, s access.Session, at PC, a access.Act) access.Touched {
	t.Helper()
	code, err := i.Access.TouchFor(t.Context(), s, access.Proof{Staff: s.Staff(), Via: access.ViaPasskey, Peer: at.Peer}, a)
	if err != nil {
		t.Fatal(err)
	}
	touched, err := i.Access.UseTouch(t.Context(), s, code, a)
	if err != nil {
		t.Fatal(err)
	}
	return touched
}
