package access_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"azekura/access"
	"azekura/access/device"
	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/internal/insttest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// clocked runs f on each engine, with a clock that the test turns.
func clocked(t *testing.T, f func(t *testing.T, dir string, i *installation.Installation, pass func(time.Duration))) {
	t.Helper()
	insttest.Each(t, func(t *testing.T, engine string) {
		dir := insttest.New(t, engine)
		at := time.Now().UTC()
		driven, err := installation.CreateClock(dir, at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = driven.Close() })
		f(t, dir, insttest.Open(t, dir), func(d time.Duration) {
			at = at.Add(d)
			driven.Set(at)
		})
	})
}

// replayed is a directory made anew from the log of an installation.
func replayed(t testing.TB, i *installation.Installation) *access.Directory {
	t.Helper()
	d := access.New(i.Log, nil)
	if err := i.Log.Authority(t.Context(), d.Replay); err != nil {
		t.Fatal(err)
	}
	return d
}

var rules = access.DefaultRules

var peers sync.Map // by installation

// peerAt is d-1's connection, whose key is enrolled when it is first asked for.
func peerAt(t testing.TB, i *installation.Installation) device.Peer {
	t.Helper()
	if p, ok := peers.Load(i); ok && i.Log.Now().Before(p.(device.Peer).Until()) {
		return p.(device.Peer)
	}
	p := insttest.Enrol(t, i, "d-1").Peer
	peers.Store(i, p)
	return p
}

// enter signs a staff member in, as the sign-in does once it has a proof.
func enter(t testing.TB, i *installation.Installation, staff string) access.Session {
	t.Helper()
	_, token, err := i.Access.SignIn(t.Context(), access.Proof{Staff: staff, Via: access.ViaPasskey, Peer: peerAt(t, i)}, rules)
	if err != nil {
		t.Fatal(err)
	}
	s, err := i.Access.Authenticate(token, peerAt(t, i))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// staffed adds a device and staff members, each by the role whose name they bear.
func staffed(t testing.TB, i *installation.Installation) {
	t.Helper()
	if _, err := i.Access.AddDevice(t.Context(), "d-1", "o-1"); err != nil {
		t.Fatal(err)
	}
	for _, role := range access.Roles {
		if _, err := i.Access.AddStaff(t.Context(), role, role, "o-1"); err != nil {
			t.Fatal(err)
		}
	}
}

func refusedAs(t *testing.T, i *installation.Installation, want error, outcome string, err error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%v, not %v", err, want)
	}
	if outcome == "" {
		return
	}
	events := insttest.Events(t, i)
	if e := events[len(events)-1]; e.Action != auditlog.Deny || e.Outcome != outcome {
		t.Errorf("the refusal isn't in the log: %v %s", e.Action, e.Outcome)
	}
}

// TestExclusionsAreWhole: each pair of roles is either in the table once or, said
// here, may be one person's.
func TestExclusionsAreWhole(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		staffed(t, i)
		together := [][2]string{{"payment-officer", "security-officer"}}
		for n, a := range access.Roles {
			for _, b := range access.Roles[:n] {
				_, err := i.Access.SetRoles(t.Context(), access.Operator(), "caseworker", []string{a, b})
				may := slices.Contains(together, [2]string{b, a}) || slices.Contains(together, [2]string{a, b})
				if may != (err == nil) || !may && !errors.Is(err, access.ErrInvalid) {
					t.Errorf("%s and %s: %v", a, b, err)
				}
			}
		}
		for _, roles := range [][]string{{}, {"root"}, {"auditor", "auditor"}} {
			_, err := i.Access.SetRoles(t.Context(), access.Operator(), "caseworker", roles)
			refusedAs(t, i, access.ErrInvalid, "", err)
		}
	})
}

// TestRolesChange: a session ends with its role and doesn't come back with it, the
// removed can't enter, and all of it stands after a restart.
func TestRolesChange(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		staffed(t, i)
		admin, s := enter(t, i, "administrator"), enter(t, i, "caseworker")
		if _, err := i.Access.SetRoles(t.Context(), admin.Officer(), "caseworker", []string{"payment-officer", "security-officer"}); err != nil {
			t.Fatal(err)
		}
		if i.Access.Still(s) == nil {
			t.Error("the session outlived its role")
		}
		if _, err := i.Access.SetRoles(t.Context(), admin.Officer(), "caseworker", []string{"caseworker"}); err != nil {
			t.Fatal(err)
		}
		if i.Access.Still(s) == nil {
			t.Error("an ended session came back with its role")
		}
		_, err := i.Access.SetRoles(t.Context(), admin.Officer(), "administrator", []string{"caseworker"})
		refusedAs(t, i, access.ErrRefused, "refused", err)
		_, err = i.Access.SetRoles(t.Context(), enter(t, i, "supervisor").Officer(), "auditor", []string{"caseworker"})
		refusedAs(t, i, access.ErrRefused, "refused", err)
		_, err = i.Access.SetRoles(t.Context(), access.Officer{}, "auditor", []string{"caseworker"})
		refusedAs(t, i, access.ErrNoSession, "", err)
		s = enter(t, i, "caseworker")
		if _, err := i.Access.RemoveStaff(t.Context(), admin.Officer(), "caseworker"); err != nil {
			t.Fatal(err)
		}
		for _, d := range []*access.Directory{i.Access, replayed(t, i)} {
			if d.Still(s) == nil || len(d.RolesOf("caseworker")) != 0 || d.Still(admin) != nil {
				t.Error("a removed staff member is in, or another isn't")
			}
			if _, _, err := d.OpenSession(t.Context(), "caseworker", "d-1", time.Hour); !errors.Is(err, access.ErrNotFound) {
				t.Error(err)
			}
		}
		if diff := cmp.Diff(i.Access.Staff(), replayed(t, i).Staff()); diff != "" {
			t.Errorf("replayed (-live +replayed):\n%s", diff)
		}
	})
}

// TestDeputies: a deputy holds the role for the time, rests from what it excludes,
// and both are named in the event.
func TestDeputies(t *testing.T) {
	clocked(t, func(t *testing.T, _ string, i *installation.Installation, pass func(time.Duration)) {
		staffed(t, i)
		s := enter(t, i, "caseworker")
		now := i.Log.Now()
		name := func(o access.Officer, p access.Deputy) (access.Deputy, error) {
			return i.Access.Deputise(t.Context(), o, p)
		}
		p := access.Deputy{Staff: "caseworker", For: "supervisor", Role: "supervisor", Until: now.Add(2 * time.Hour), Reason: "leave"}
		named, err := name(enter(t, i, "administrator").Officer(), p)
		if err != nil {
			t.Fatal(err)
		}
		e := event(t, i, named.Event)
		if got := fmt.Sprint(e.Staff, " ", string(e.Detail)); !containsAll(got, "administrator", `"staff":"caseworker"`, `"for":"supervisor"`, `"reason":"leave"`) {
			t.Error(got)
		}
		if i.Access.Still(s) == nil {
			t.Error("a role that rests has a session")
		}
		if diff := cmp.Diff([]string{"supervisor"}, i.Access.RolesOf("caseworker")); diff != "" {
			t.Error(diff)
		}
		acting := enter(t, i, "caseworker")
		if acting.Role() != "supervisor" {
			t.Error(acting.Role())
		}
		for what, bad := range map[string]access.Deputy{
			"a role that excludes it": {Staff: "caseworker", For: "auditor", Role: "auditor", Until: now.Add(time.Hour), Reason: "leave"},
			"themselves":              {Staff: "auditor", For: "auditor", Role: "auditor", Until: now.Add(time.Hour), Reason: "leave"},
			"a role they lack":        {Staff: "auditor", For: "supervisor", Role: "payment-officer", Until: now.Add(time.Hour), Reason: "leave"},
			"too long":                {Staff: "auditor", For: "supervisor", Role: "supervisor", Until: now.Add(access.MaxDeputy + time.Hour), Reason: "leave"},
			"no time":                 {Staff: "auditor", For: "supervisor", Role: "supervisor", Until: now, Reason: "leave"},
			"the past":                {Staff: "auditor", For: "supervisor", Role: "supervisor", From: now.Add(-time.Hour), Until: now.Add(time.Hour), Reason: "leave"},
			"no reason":               {Staff: "auditor", For: "supervisor", Role: "supervisor", Until: now.Add(time.Hour), Reason: " "},
			"two lines":               {Staff: "auditor", For: "supervisor", Role: "supervisor", Until: now.Add(time.Hour), Reason: "a\nb"},
		} {
			if _, err := name(access.Operator(), bad); !errors.Is(err, access.ErrInvalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
		pass(3 * time.Hour)
		for _, d := range []*access.Directory{i.Access, replayed(t, i)} {
			if d.Still(acting) == nil || d.Still(s) == nil {
				t.Error("a session outlived the deputy's time, or came back after it")
			}
			if diff := cmp.Diff([]string{"caseworker"}, d.RolesOf("caseworker")); diff != "" {
				t.Error(diff)
			}
		}
		named, err = name(access.Operator(), access.Deputy{Staff: "auditor", For: "supervisor", Role: "supervisor", Until: i.Log.Now().Add(time.Hour), Reason: "illness"})
		if err != nil {
			t.Fatal(err)
		}
		acting = enter(t, i, "auditor")
		if _, err := i.Access.EndDeputy(t.Context(), enter(t, i, "security-officer").Officer(), named.Event); err != nil {
			t.Fatal(err)
		}
		if i.Access.Still(acting) == nil || !slices.Equal(i.Access.RolesOf("auditor"), []string{"auditor"}) {
			t.Error("an ended deputy acts on")
		}
		if diff := cmp.Diff(i.Access.Deputies(), replayed(t, i).Deputies()); diff != "" {
			t.Errorf("replayed (-live +replayed):\n%s", diff)
		}
	})
}

// TestIdle: sessions idle out by a clock that has passed, end at their end, and a
// restart brings back none that might have idled out.
func TestIdle(t *testing.T) {
	clocked(t, func(t *testing.T, _ string, i *installation.Installation, pass func(time.Duration)) {
		staffed(t, i)
		info, token, err := i.Access.SignIn(t.Context(), access.Proof{Staff: "caseworker", Via: access.ViaPasskey, Peer: peerAt(t, i)}, rules)
		if err != nil || info.Expires.Sub(info.Opened) > rules.Lasts+time.Second {
			t.Fatal(err, info)
		}
		for range 30 { // seven hours of work
			pass(14 * time.Minute)
			if _, err := i.Access.Authenticate(token, peerAt(t, i)); err != nil {
				t.Fatal("a session that is used idled out:", err)
			}
		}
		if _, err := replayed(t, i).Authenticate(token, peerAt(t, i)); !errors.Is(err, access.ErrNoSession) {
			t.Error("after a restart, a session that nobody can say was used lives:", err)
		}
		pass(rules.Idle)
		for range 2 { // the first refusal must not be a use
			if _, err := i.Access.Authenticate(token, peerAt(t, i)); !errors.Is(err, access.ErrNoSession) {
				t.Error("an idle session lives:", err)
			}
		}
		_, token, err = i.Access.SignIn(t.Context(), access.Proof{Staff: "caseworker", Via: access.ViaPasskey, Peer: peerAt(t, i)}, rules)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 40 {
			pass(14 * time.Minute)
			_, err := i.Access.Authenticate(token, peerAt(t, i))
			if over := time.Duration(n+1)*14*time.Minute >= rules.Lasts; over != errors.Is(err, access.ErrNoSession) {
				t.Fatalf("after %d uses: %v", n, err)
			}
		}
	})
}

// TestTouch: what takes a fresh touch is refused without, and a touch is an event.
func TestTouch(t *testing.T) {
	clocked(t, func(t *testing.T, _ string, i *installation.Installation, pass func(time.Duration)) {
		staffed(t, i)
		admin := enter(t, i, "administrator")
		pass(access.TouchLasts)
		_, err := i.Access.SetRoles(t.Context(), admin.Officer(), "auditor", []string{"payment-officer"})
		refusedAs(t, i, access.ErrTouch, "touch", err)
		if _, err := i.Access.AddDevice(t.Context(), "d-2", "o-1"); err != nil {
			t.Fatal(err)
		}
		for what, p := range map[string]access.Proof{
			"another's":      {Staff: "auditor", Via: access.ViaPasskey, Peer: peerAt(t, i)},
			"another device": {Staff: "administrator", Via: access.ViaPasskey, Peer: insttest.Enrol(t, i, "d-2").Peer},
		} {
			if err := i.Access.Touch(t.Context(), admin, p); !errors.Is(err, access.ErrRefused) {
				t.Errorf("%s touch: %v", what, err)
			}
		}
		if err := i.Access.Touch(t.Context(), admin, access.Proof{Staff: "administrator", Via: access.ViaPasskey, Peer: peerAt(t, i)}); err != nil {
			t.Fatal(err)
		}
		if again := replayed(t, i); again.Fresh(admin) != nil || i.Access.Fresh(admin) != nil {
			t.Error("a touch doesn't count")
		}
		if _, err := i.Access.SetRoles(t.Context(), admin.Officer(), "auditor", []string{"payment-officer"}); err != nil {
			t.Error(err)
		}
		machine, _ := insttest.Session(t, i, "robot", "administrator", "d-1")
		_, err = i.Access.SetRoles(t.Context(), machine.Officer(), "payment-officer", []string{"auditor"})
		refusedAs(t, i, access.ErrTouch, "touch", err)
	})
}

// TestAtOnce: one session more than allowed ends the oldest; the holder and a
// security officer close sessions, others don't.
func TestAtOnce(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		staffed(t, i)
		first, second, third := enter(t, i, "caseworker"), enter(t, i, "caseworker"), enter(t, i, "caseworker")
		if i.Access.Still(first) == nil || i.Access.Still(second) != nil || i.Access.Still(third) != nil {
			t.Error("not the oldest of three ended")
		}
		_, err := i.Access.End(t.Context(), enter(t, i, "supervisor").Officer(), second.ID())
		refusedAs(t, i, access.ErrRefused, "refused", err)
		if _, err := i.Access.End(t.Context(), enter(t, i, "security-officer").Officer(), second.ID()); err != nil || i.Access.Still(second) == nil {
			t.Error("a security officer doesn't close:", err)
		}
		if _, err := i.Access.End(t.Context(), third.Officer(), third.ID()); err != nil || i.Access.Still(third) == nil {
			t.Error("the holder doesn't close:", err)
		}
		if list := i.Access.SessionsOf("caseworker"); len(list) != 3 || list[0].Closed == nil || list[2].Via != access.ViaPasskey {
			t.Errorf("%+v", list)
		}
	})
}

// TestActAs: one role at a time, the session's end and touch kept.
func TestActAs(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		staffed(t, i)
		if _, err := i.Access.SetRoles(t.Context(), access.Operator(), "payment-officer", []string{"payment-officer", "security-officer"}); err != nil {
			t.Fatal(err)
		}
		s := enter(t, i, "payment-officer")
		before := i.Access.SessionsOf("payment-officer")[0]
		_, _, err := i.Access.ActAs(t.Context(), s, "caseworker", rules)
		refusedAs(t, i, access.ErrRefused, "refused", err)
		after, token, err := i.Access.ActAs(t.Context(), s, "security-officer", rules)
		if err != nil {
			t.Fatal(err)
		}
		now, err := i.Access.Authenticate(token, peerAt(t, i))
		if err != nil || s.Role() != "payment-officer" || now.Role() != "security-officer" || i.Access.Still(s) == nil {
			t.Error("not one role at a time:", err)
		}
		if !after.Expires.Equal(before.Expires) || !after.Touched.Equal(*before.Touched) {
			t.Error("changing the role made the session longer or touched it")
		}
		if _, _, err := i.Access.ActAs(t.Context(), s, "payment-officer", rules); !errors.Is(err, access.ErrNoSession) {
			t.Error(err)
		}
	})
}

// TestNobodyHoldsExcludedRoles: in whatever order roles are given and deputies named
// and ended, and after a restart, nobody holds two roles that exclude each other, at
// any time.
func TestNobodyHoldsExcludedRoles(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		dir := insttest.New(t, engine)
		at := time.Now().UTC()
		driven, err := installation.CreateClock(dir, at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = driven.Close() })
		i := insttest.Open(t, dir)
		staffed(t, i)
		rapid.Check(t, func(r *rapid.T) {
			role := rapid.SampledFrom(access.Roles)
			for range rapid.IntRange(1, insttest.Soak(4, 12)).Draw(r, "acts") {
				staff, other := role.Draw(r, "staff"), role.Draw(r, "other")
				switch rapid.IntRange(0, 3).Draw(r, "act") {
				case 0:
					_, _ = i.Access.SetRoles(t.Context(), access.Operator(), staff, rapid.SliceOfN(role, 1, 3).Draw(r, "roles"))
				case 1:
					from := i.Log.Now().Add(time.Duration(rapid.IntRange(0, 5).Draw(r, "from")) * time.Hour)
					until := from.Add(time.Duration(rapid.IntRange(1, 9).Draw(r, "hours")) * time.Hour)
					_, _ = i.Access.Deputise(t.Context(), access.Operator(), access.Deputy{Staff: staff, For: other, Role: role.Draw(r, "role"), From: from, Until: until, Reason: "leave"})
				case 2:
					if list := i.Access.Deputies(); len(list) > 0 {
						_, _ = i.Access.EndDeputy(t.Context(), access.Operator(), rapid.SampledFrom(list).Draw(r, "deputy").Event)
					}
				case 3:
					at = at.Add(time.Duration(rapid.IntRange(1, 200).Draw(r, "minutes")) * time.Minute)
					driven.Set(at)
				}
				for _, s := range i.Access.Staff() {
					if why := conflict(i.Access.RolesOf(s.ID)); why != "" {
						r.Fatalf("%s holds %s", s.ID, why)
					}
				}
			}
			again := replayed(t, i)
			for _, s := range i.Access.Staff() {
				if diff := cmp.Diff(i.Access.RolesOf(s.ID), again.RolesOf(s.ID), cmpopts.EquateEmpty()); diff != "" {
					r.Fatalf("%s after a restart (-live +replayed):\n%s", s.ID, diff)
				}
			}
		})
	})
}

// conflict finds two roles that exclude each other, by a table of the test's own.
func conflict(held []string) string {
	for n, a := range held {
		for _, b := range held[:n] {
			pair := []string{a, b}
			slices.Sort(pair)
			if !slices.Equal(pair, []string{"payment-officer", "security-officer"}) {
				return a + " and " + b
			}
		}
	}
	return ""
}

func containsAll(text string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}
