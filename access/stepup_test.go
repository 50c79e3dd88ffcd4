package access_test

import (
	"errors"
	"testing"
	"time"

	"azekura/access"
	"azekura/internal/installation"
)

// TestEndStepUp: a security officer ends a step-up with a reason and a fresh touch,
// nobody else does, what is contained stays so, and it holds after a restart.
func TestEndStepUp(t *testing.T) {
	clocked(t, func(t *testing.T, dir string, i *installation.Installation, pass func(time.Duration)) {
		staffed(t, i)
		must(t, second(i.Access.AddDevice(t.Context(), "d-2", "o-2")))
		office := access.Target{Kind: access.TheOffice, ID: "o-2"}
		asked := func(target access.Target) {
			must(t, second(i.Log.RecordOne(t.Context(), access.StepUpEvent(target, "two canaries", "rule"))))
		}
		far, _ := sit(t, i, "s-2", "d-2", "o-2")
		asked(office)
		officer, worker := enter(t, i, "security-officer"), enter(t, i, "caseworker")
		if _, err := i.Access.EndStepUp(t.Context(), officer.Officer(), office, ""); !errors.Is(err, access.ErrInvalid) {
			t.Fatalf("without a reason: %v", err)
		}
		_, err := i.Access.EndStepUp(t.Context(), worker.Officer(), office, "looked into")
		refusedAs(t, i, access.ErrRefused, "refused", err)
		self := access.Target{Kind: access.TheStaff, ID: "security-officer"}
		asked(self)
		_, err = i.Access.EndStepUp(t.Context(), officer.Officer(), self, "it's me")
		refusedAs(t, i, access.ErrRefused, "refused", err)
		pass(access.TouchLasts)
		_, err = i.Access.EndStepUp(t.Context(), officer.Officer(), office, "looked into")
		refusedAs(t, i, access.ErrTouch, "touch", err)
		must(t, i.Access.Touch(t.Context(), officer, access.Proof{Staff: "security-officer", Via: access.ViaPasskey, Peer: peerAt(t, i)}))
		if err := i.Access.MayOpen(far); !errors.Is(err, access.ErrTouch) {
			t.Fatalf("before it is ended: %v", err)
		}
		must(t, second(i.Access.EndStepUp(t.Context(), officer.Officer(), office, "looked into")))
		must(t, i.Access.MayOpen(far))
		must(t, replayed(t, i).MayOpen(far))
		if _, err := i.Access.EndStepUp(t.Context(), officer.Officer(), office, "again"); !errors.Is(err, access.ErrNotFound) {
			t.Fatalf("of what isn't asked: %v", err)
		}
		// Of what is contained too, only the step-up ends.
		asked(office)
		must(t, second(i.Access.Contain(t.Context(), access.Operator(), office, "a test")))
		must(t, second(i.Access.EndStepUp(t.Context(), access.Operator(), office, "looked into")))
		for _, d := range []*access.Directory{i.Access, replayed(t, i)} {
			if err := d.Still(far); !errors.Is(err, access.ErrContained) {
				t.Fatalf("one person released what is contained: %v", err)
			}
			if list := d.Contained(); len(list) != 2 || list[0].Target != self || list[1].Target != office || list[1].StepUp {
				t.Fatalf("what is contained: %+v", list)
			}
		}
	})
}
