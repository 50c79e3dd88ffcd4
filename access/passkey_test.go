package access_test

import (
	"strings"
	"testing"
	"time"

	"azekura/access"
	"azekura/internal/installation"
)

func enrol(t *testing.T, i *installation.Installation, by access.Officer, staff string) access.Passkey {
	t.Helper()
	code, _, err := i.Access.NewCode(t.Context(), by, staff)
	must(t, err)
	key, err := i.Access.Enrol(t.Context(), code, "d-1", access.Credential{ID: []byte("key of " + staff), Public: []byte("public"), Count: 7})
	must(t, err)
	return key
}

// TestEnrolment: a code is good for a day and once; who made it doesn't vouch, nor a
// supervisor of another office; before somebody did, the passkey is none.
func TestEnrolment(t *testing.T) {
	clocked(t, func(t *testing.T, _ string, i *installation.Installation, pass func(time.Duration)) {
		staffed(t, i)
		must(t, second(i.Access.AddStaff(t.Context(), "far", "supervisor", "o-2")))
		for _, d := range []time.Duration{access.CodeLasts, 0} {
			code, _, err := i.Access.NewCode(t.Context(), enter(t, i, "administrator").Officer(), "auditor")
			must(t, err)
			must(t, second(i.Access.CodeFor(strings.ToLower(code))))
			pass(d)
			for _, of := range []*access.Directory{i.Access, replayed(t, i)} {
				if _, err := of.CodeFor(code); (err != nil) != (d > 0) {
					t.Errorf("a code after %s: %v", d, err)
				}
			}
			_, err = i.Access.Enrol(t.Context(), code, "d-1", access.Credential{ID: []byte{1}, Public: []byte{1}})
			if (err != nil) != (d > 0) {
				t.Errorf("enrolled after %s: %v", d, err)
			}
			_, err = i.Access.Enrol(t.Context(), code, "d-1", access.Credential{ID: []byte{2}, Public: []byte{1}})
			refusedAs(t, i, access.ErrCode, "", err)
		}
		admin := enter(t, i, "administrator")
		key := enrol(t, i, admin.Officer(), "caseworker")
		_, err := i.Access.Vouch(t.Context(), enter(t, i, "far").Officer(), "caseworker", key.Print)
		refusedAs(t, i, access.ErrRefused, "refused", err)
		must(t, second(i.Access.SetRoles(t.Context(), access.Operator(), "administrator", []string{"supervisor"})))
		_, err = i.Access.Vouch(t.Context(), enter(t, i, "administrator").Officer(), "caseworker", key.Print)
		refusedAs(t, i, access.ErrRefused, "refused", err)
		if len(i.Access.Credentials("caseworker")) != 0 {
			t.Error("a passkey that nobody vouched for is one")
		}
		must(t, second(i.Access.Vouch(t.Context(), enter(t, i, "supervisor").Officer(), "caseworker", key.Print)))
		for _, of := range []*access.Directory{i.Access, replayed(t, i)} {
			if list := of.Credentials("caseworker"); len(list) != 1 || list[0].Count != 7 {
				t.Errorf("%+v", list)
			}
		}
	})
}
