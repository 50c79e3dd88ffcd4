package access_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"azekura/access"
	"azekura/access/device"
	"azekura/approval"
	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/internal/insttest"
)

// sit opens a session of a staff member at a device of an office.
func sit(t *testing.T, i *installation.Installation, staff, device, office string) (access.Session, string) {
	t.Helper()
	if i.Access.Known(staff, "") != nil {
		must(t, second(i.Access.AddStaff(t.Context(), staff, "caseworker", office)))
	}
	if i.Access.Known("", device) != nil {
		must(t, second(i.Access.AddDevice(t.Context(), device, office)))
	}
	_, token, err := i.Access.OpenSession(t.Context(), staff, device, time.Hour)
	must(t, err)
	s, err := i.Access.AtSocket(token)
	must(t, err)
	return s, token
}

func second[T any](_ T, err error) error { return err }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestContainment: each kind stops those it is about, at once and after a
// restart, and nobody else.
func TestContainment(t *testing.T) {
	for _, kind := range access.Targets {
		t.Run(kind, func(t *testing.T) {
			insttest.Each(t, func(t *testing.T, engine string) {
				dir := insttest.New(t, engine)
				i, err := insttest.OpenDir(t.Context(), dir)
				must(t, err)
				s, token := sit(t, i, "s-1", "d-1", "o-1")
				_, other := sit(t, i, "s-2", "d-2", "o-2")
				target := access.Target{Kind: kind, ID: map[string]string{"session": s.ID().String(), "device": "d-1", "staff": "s-1", "office": "o-1"}[kind]}
				is, err := i.Access.Contain(t.Context(), access.Operator(), target, "a test")
				must(t, err)
				if e := event(t, i, is.Event); e.Action != auditlog.Contain {
					t.Fatalf("the log says %v", e.Action)
				}
				for _, when := range []string{"at once", "after a restart"} {
					if err := i.Access.Still(s); !errors.Is(err, access.ErrContained) {
						t.Fatalf("%s Still says %v", when, err)
					}
					if _, err := i.Access.AtSocket(token); !errors.Is(err, access.ErrContained) || !errors.Is(err, access.ErrNoSession) {
						t.Fatalf("%s Authenticate says %v", when, err)
					}
					if _, err := i.Access.AtSocket(other); (err != nil) != (kind == access.All) {
						t.Fatalf("%s the other office hears %v", when, err)
					}
					must(t, i.Close())
					i, err = insttest.OpenDir(t.Context(), dir)
					must(t, err)
				}
				must(t, i.Close())
			})
		})
	}
}

// TestRelease: two people release; what ended stays ended, and a new session opens.
func TestRelease(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		old, token := sit(t, i, "s-1", "d-1", "o-1")
		target := access.Target{Kind: access.TheDevice, ID: "d-1"}
		must(t, second(i.Access.Contain(t.Context(), access.Operator(), target, "a test")))
		if _, err := i.Access.Release(t.Context(), i.Config.Origin, approval.Approved{}); !errors.Is(err, approval.ErrNotApproved) {
			t.Fatalf("nobody's approval gives %v", err)
		}
		if _, _, err := i.Access.OpenSession(t.Context(), "s-1", "d-1", time.Hour); !errors.Is(err, access.ErrContained) {
			t.Fatalf("one that would open meanwhile hears %v", err)
		}
		file, err := i.ProposeRelease(target, "cleaned", "op-1", time.Hour)
		must(t, err)
		for _, name := range []string{"yamada", "suzuki"} {
			signer, vkey := insttest.Approver(t, name)
			must(t, second(i.Enrol(t.Context(), "", vkey)))
			if _, err := i.Release(t.Context(), file); !errors.Is(err, approval.ErrNotApproved) {
				t.Fatalf("before %s signs, it gives %v", name, err)
			}
			file, err = approval.Sign(file, signer, time.Now())
			must(t, err)
		}
		must(t, second(i.Release(t.Context(), file)))
		if _, err := i.Access.AtSocket(token); !errors.Is(err, access.ErrNoSession) {
			t.Fatalf("what ended before hears %v", err)
		}
		if err := i.Access.Still(old); !errors.Is(err, access.ErrNoSession) {
			t.Fatalf("what ended before hears %v", err)
		}
		fresh, _ := sit(t, i, "s-1", "d-1", "o-1")
		must(t, i.Access.Still(fresh))
		if _, err := i.Release(t.Context(), file); err == nil {
			t.Fatal("the same approval released twice")
		}
		must(t, second(i.Access.Contain(t.Context(), access.Operator(), target, "again")))
		if _, err := i.Release(t.Context(), file); !errors.Is(err, approval.ErrNotApproved) {
			t.Fatalf("an old approval of a new containment gives %v", err)
		}
	})
}

// TestContainedOpensNothing: who is contained opens no new session, by whatever way,
// at once and after a restart; a session that is in the log behind the containment
// all the same is over, and its release doesn't wake it. Others open theirs.
func TestContainedOpensNothing(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		for kind, id := range map[string]string{access.TheStaff: "s-1", access.TheDevice: "d-1", access.TheOffice: "o-1", access.All: ""} {
			dir := insttest.New(t, engine)
			i, err := insttest.OpenDir(t.Context(), dir)
			must(t, err)
			sit(t, i, "s-1", "d-1", "o-1")
			sit(t, i, "s-2", "d-2", "o-2")
			pcOf(t, i, "d-1") // who is contained enrols nothing
			pcOf(t, i, "d-2")
			must(t, second(i.Access.Contain(t.Context(), access.Operator(), access.Target{Kind: kind, ID: id}, "a test")))
			late := auditlog.Session(77)
			hash := sha256.Sum256([]byte("late"))
			must(t, second(i.Log.RecordOne(t.Context(), auditlog.Event{Action: auditlog.Grant, Outcome: "ok", Staff: "s-1", Device: "d-1", Role: "caseworker", Session: late,
				Detail: json.RawMessage(fmt.Sprintf(`{"grants":"session","expires":%q,"token":%q}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339), base64.StdEncoding.EncodeToString(hash[:])))})))
			for _, when := range []string{"at once", "after a restart"} {
				for _, via := range []string{access.ViaPasskey, access.ViaOIDC, "operator"} {
					if err := open(t, i, "s-1", "d-1", via); !errors.Is(err, access.ErrContained) || !errors.Is(err, access.ErrNoSession) {
						t.Errorf("%s, %s by %s: %v", kind, when, via, err)
					}
					if err := open(t, i, "s-2", "d-2", via); (err != nil) != (kind == access.All) {
						t.Errorf("%s, %s by %s: the other office hears %v", kind, when, via, err)
					}
				}
				must(t, i.Close())
				i, err = insttest.OpenDir(t.Context(), dir)
				must(t, err)
			}
			release(t, i, access.Target{Kind: kind, ID: id})
			if _, err := i.Access.AtSocket("late"); !errors.Is(err, access.ErrNoSession) {
				t.Errorf("%s: a session that was opened under it wakes: %v", kind, err)
			}
			must(t, open(t, i, "s-1", "d-1", access.ViaPasskey))
			must(t, i.Close())
		}
	})
}

// pcOf is the connection of a device of a folder, enrolled when it is first asked for.
func pcOf(t *testing.T, i *installation.Installation, id string) device.Peer {
	t.Helper()
	if p, ok := peers.Load(i.Dir + id); ok {
		return p.(device.Peer)
	}
	p := insttest.Enrol(t, i, id).Peer
	peers.Store(i.Dir+id, p)
	return p
}

func open(t *testing.T, i *installation.Installation, staff, device, via string) error {
	t.Helper()
	if via == "operator" {
		_, _, err := i.Access.OpenSession(t.Context(), staff, device, time.Hour)
		return err
	}
	_, _, err := i.Access.SignIn(t.Context(), access.Proof{Staff: staff, Peer: pcOf(t, i, device), Via: via}, access.DefaultRules)
	return err
}

// release lets two people release what is contained.
func release(t *testing.T, i *installation.Installation, target access.Target) {
	t.Helper()
	file, err := i.ProposeRelease(target, "cleaned", "op-1", time.Hour)
	must(t, err)
	must(t, second(i.Release(t.Context(), approve(t, i, file))))
}

// approve signs a proposal as two new approvers.
func approve(t *testing.T, i *installation.Installation, file []byte) []byte {
	t.Helper()
	for _, name := range []string{"yamada", "suzuki"} {
		signer, vkey := insttest.Approver(t, name)
		must(t, second(i.Enrol(t.Context(), "", vkey)))
		signed, err := approval.Sign(file, signer, time.Now())
		must(t, err)
		file = signed
	}
	return file
}

// TestStepUpAsksForATouch: an office on step-up opens nothing without a touch.
func TestStepUpAsksForATouch(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		s, _ := sit(t, i, "s-1", "d-1", "o-1")
		far, _ := sit(t, i, "s-2", "d-2", "o-2")
		must(t, i.Access.MayOpen(s))
		must(t, second(i.Log.RecordOne(t.Context(), access.StepUpEvent(access.Target{Kind: access.TheOffice, ID: "o-1"}, "two canaries", "rule"))))
		if err := i.Access.MayOpen(s); !errors.Is(err, access.ErrTouch) {
			t.Fatalf("got %v", err)
		}
		must(t, i.Access.Still(s))
		must(t, i.Access.MayOpen(far))
	})
}

// TestContainedAtOnce: of many sessions that go on asking, none is let in that
// asked after the containment was answered. It logs how long the last one took.
func TestContainedAtOnce(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		sessions := make([]access.Session, insttest.Soak(50, 1000))
		for n := range sessions {
			sessions[n], _ = sit(t, i, fmt.Sprintf("s-%d", n), fmt.Sprintf("d-%d", n), "o-1")
		}
		var answered atomic.Bool
		var last atomic.Int64
		var wg sync.WaitGroup
		for _, s := range sessions {
			wg.Go(func() {
				for refused := false; !refused; {
					late := answered.Load()
					err := i.Access.Still(s)
					if err == nil && late {
						t.Error("let in after the containment was answered")
						return
					}
					if refused = err != nil; !refused {
						time.Sleep(time.Millisecond)
					}
				}
				last.Store(time.Now().UnixNano())
			})
		}
		from := time.Now()
		must(t, second(i.Access.Contain(t.Context(), access.Operator(), access.Target{Kind: access.All}, "a test")))
		answered.Store(true)
		wg.Wait()
		t.Logf("%d sessions: contained in %v, the last one refused after %v", len(sessions), time.Since(from), time.Unix(0, last.Load()).Sub(from))
	})
}
