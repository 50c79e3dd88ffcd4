package access_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
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
)

func request(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func alarms(t testing.TB, i *installation.Installation, kind string) (n int) {
	t.Helper()
	for _, e := range insttest.Events(t, i) {
		if e.Action == auditlog.Alarm && strings.Contains(string(e.Detail), `"alarm":"`+kind+`"`) {
			n++
		}
	}
	return n
}

// TestBinding: a session's token opens nothing but at its device's key, and elsewhere
// it is an alarm, once an hour; after a restart the same.
func TestBinding(t *testing.T) {
	clocked(t, func(t *testing.T, dir string, i *installation.Installation, pass func(time.Duration)) {
		staffed(t, i)
		_, err := i.Access.AddDevice(t.Context(), "d-2", "o-1")
		must(t, err)
		_, loose, err := i.Access.OpenSession(t.Context(), "caseworker", "d-2", access.MaxSession)
		must(t, err)
		mine, other := insttest.Enrol(t, i, "d-1").Peer, insttest.Enrol(t, i, "d-2").Peer
		info, token, err := i.Access.OpenSession(t.Context(), "caseworker", "d-1", access.MaxSession)
		must(t, err)
		if info.Key != mine.Key().String() {
			t.Errorf("bound to %q", info.Key)
		}
		again := replayed(t, i)
		for name, d := range map[string]*access.Directory{"live": i.Access, "replayed": again} {
			if _, err := d.Authenticate(token, mine); err != nil {
				t.Errorf("%s: at its device: %v", name, err)
			}
			for what, p := range map[string]device.Peer{"another device": other, "no certificate": {}} {
				if s, err := d.Authenticate(token, p); !errors.Is(err, access.ErrNoSession) || s.Live() {
					t.Errorf("%s: at %s: %v", name, what, err)
				}
			}
		}
		if n := alarms(t, i, "token-elsewhere"); n != 4 { // two by each directory
			t.Errorf("%d alarms", n)
		}
		_, _ = i.Access.Authenticate(token, other)
		if n := alarms(t, i, "token-elsewhere"); n != 4 {
			t.Errorf("%d alarms after the same again", n)
		}
		pass(61 * time.Minute)
		_, _ = i.Access.Authenticate(token, other)
		if n := alarms(t, i, "token-elsewhere"); n != 5 {
			t.Errorf("%d alarms an hour later", n)
		}
		// One that was opened when its device had no key counts at the socket alone.
		fresh := replayed(t, i)
		if _, err := fresh.Authenticate(loose, other); !errors.Is(err, access.ErrUnbound) {
			t.Errorf("unbound, on the network: %v", err)
		}
		if _, err := fresh.AtSocket(loose); err != nil {
			t.Errorf("unbound, at the socket: %v", err)
		}
		if _, err := fresh.AtSocket(token); err != nil {
			t.Errorf("a program's, at the socket: %v", err)
		}
		_, signed, err := i.Access.SignIn(t.Context(), access.Proof{Staff: "caseworker", Via: access.ViaPasskey, Peer: mine}, rules)
		must(t, err)
		if _, err := i.Access.AtSocket(signed); !errors.Is(err, access.ErrNoSession) {
			t.Errorf("a person's, at the socket: %v", err)
		}
		if _, _, err := i.Access.SignIn(t.Context(), access.Proof{Staff: "caseworker", Via: access.ViaPasskey}, rules); !errors.Is(err, device.ErrNoDevice) {
			t.Errorf("signed in without a device: %v", err)
		}
	})
}

// TestRevoked: a revocation ends a device's keys and their sessions for good, and
// holds after a restart.
func TestRevoked(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		staffed(t, i)
		mine := insttest.Enrol(t, i, "d-1").Peer
		_, token, err := i.Access.OpenSession(t.Context(), "caseworker", "d-1", time.Hour)
		must(t, err)
		s, err := i.Access.Authenticate(token, mine)
		must(t, err)
		_, err = i.Access.RevokeDevice(t.Context(), access.Operator(), "d-1")
		must(t, err)
		again := replayed(t, i)
		for name, d := range map[string]*access.Directory{"live": i.Access, "replayed": again} {
			if err := d.Admit(mine); !errors.Is(err, device.ErrNoDevice) {
				t.Errorf("%s: admitted: %v", name, err)
			}
			if err := d.Still(s); !errors.Is(err, access.ErrNoSession) {
				t.Errorf("%s: still: %v", name, err)
			}
			if _, err := d.Authenticate(token, mine); !errors.Is(err, access.ErrNoSession) {
				t.Errorf("%s: authenticated: %v", name, err)
			}
			if _, err := d.AtSocket(token); !errors.Is(err, access.ErrNoSession) {
				t.Errorf("%s: at the socket: %v", name, err)
			}
		}
		if _, _, err := i.Access.OpenSession(t.Context(), "caseworker", "d-1", time.Hour); !errors.Is(err, access.ErrInvalid) {
			t.Errorf("a session at a revoked device: %v", err)
		}
		fresh := insttest.Enrol(t, i, "d-1").Peer
		must(t, i.Access.Admit(fresh))
		if err := i.Access.Still(s); err == nil {
			t.Error("the old session came back with the new key")
		}
		if keys := i.Access.Keys("d-1"); len(keys) != 2 || keys[0].Revoked == nil || keys[1].Revoked != nil || !keys[1].Copyable() {
			t.Errorf("%+v", keys)
		}
	})
}

// TestCodes: a code enrols one key, however many ask at once, for a day; the same key
// may ask again, which is how an agent that was killed goes on.
func TestCodes(t *testing.T) {
	clocked(t, func(t *testing.T, dir string, i *installation.Installation, pass func(time.Duration)) {
		staffed(t, i)
		code, _, err := i.Access.NewDeviceCode(t.Context(), access.Operator(), "d-1")
		must(t, err)
		const racers = 8
		var wg sync.WaitGroup
		var mu sync.Mutex
		var won [][]byte
		for range racers {
			csr := request(t)
			wg.Go(func() {
				_, _, err := i.Access.EnrolDevice(t.Context(), i.Devices, code, access.KindFile, csr)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won = append(won, csr)
				} else if !errors.Is(err, access.ErrDeviceCode) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 || len(i.Access.Keys("d-1")) != 1 {
			t.Fatalf("%d agents enrolled with one code", len(won))
		}
		again := replayed(t, i)
		if _, _, err := again.EnrolDevice(t.Context(), i.Devices, code, access.KindFile, request(t)); !errors.Is(err, access.ErrDeviceCode) {
			t.Errorf("used again after a restart: %v", err)
		}
		for n := range 5 {
			_, _, err := i.Access.EnrolDevice(t.Context(), i.Devices, code, access.KindFile, won[0])
			if (err == nil) != (n < 4) {
				t.Errorf("the same key, once more, %d: %v", n, err)
			}
		}
		if _, _, err := i.Access.RenewDevice(t.Context(), i.Devices, won[0]); !errors.Is(err, access.ErrNotDue) {
			t.Errorf("renewed at once: %v", err)
		}
		pass(13 * time.Hour)
		if _, _, err := i.Access.RenewDevice(t.Context(), i.Devices, won[0]); err != nil {
			t.Error(err)
		}
		if _, _, err := i.Access.RenewDevice(t.Context(), i.Devices, request(t)); !errors.Is(err, device.ErrNoDevice) {
			t.Errorf("an unknown key is renewed: %v", err)
		}
		late, _, err := i.Access.NewDeviceCode(t.Context(), access.Operator(), "d-1")
		must(t, err)
		pass(25 * time.Hour)
		for what, code := range map[string]string{"late": late, "none": "", "long": strings.Repeat("x", 1<<20), "made up": "azd_AAAAAAAAAAAAAAAAAAAAAA"} {
			if _, _, err := i.Access.EnrolDevice(t.Context(), i.Devices, code, access.KindFile, request(t)); !errors.Is(err, access.ErrDeviceCode) {
				t.Errorf("%s: %v", what, err)
			}
		}
		pass(access.RenewGrace)
		if _, _, err := i.Access.RenewDevice(t.Context(), i.Devices, won[0]); !errors.Is(err, device.ErrNoDevice) {
			t.Errorf("renewed after a month: %v", err)
		}
	})
}

// TestKind: how a key is kept is said once. A key that was in a file doesn't become one
// in a TPM by another enrolment, nor the other way; a kind that isn't known is refused.
func TestKind(t *testing.T) {
	clocked(t, func(t *testing.T, dir string, i *installation.Installation, pass func(time.Duration)) {
		staffed(t, i)
		for first, other := range map[string]string{access.KindFile: access.KindTPM, access.KindTPM: access.KindFile} {
			csr := request(t)
			enrol := func(kind string) error {
				code, _, err := i.Access.NewDeviceCode(t.Context(), access.Operator(), "d-1")
				must(t, err)
				_, _, err = i.Access.EnrolDevice(t.Context(), i.Devices, code, kind, csr)
				return err
			}
			must(t, enrol(first))
			if err := enrol(other); !errors.Is(err, access.ErrInvalid) || !strings.Contains(err.Error(), "make a new one") {
				t.Errorf("a key in a %s enrolled as one in a %s: %v", first, other, err)
			}
			must(t, enrol(first))
			if err := enrol("card"); !errors.Is(err, access.ErrInvalid) {
				t.Errorf("a kind that isn't one: %v", err)
			}
			keys := i.Access.Keys("d-1")
			if k := keys[len(keys)-1]; k.Kind != first {
				t.Errorf("%+v", k)
			}
			pass(time.Minute)
		}
	})
}

// TestTwoAddresses: a key that goes on at another address within a minute is an alarm,
// without either address in it; one that nobody has a session by is no more than that.
func TestTwoAddresses(t *testing.T) {
	clocked(t, func(t *testing.T, dir string, i *installation.Installation, pass func(time.Duration)) {
		staffed(t, i)
		p := insttest.Enrol(t, i, "d-1").Peer
		must(t, i.Access.SeenAt(p, "192.0.2.1"))
		must(t, i.Access.SeenAt(p, "192.0.2.1"))
		pass(61 * time.Second)
		must(t, i.Access.SeenAt(p, "192.0.2.2")) // it was moved
		if n := alarms(t, i, "certificate-elsewhere"); n != 0 {
			t.Errorf("%d alarms of one place at a time", n)
		}
		pass(time.Second)
		must(t, i.Access.SeenAt(p, "192.0.2.1"))
		must(t, i.Access.SeenAt(p, "192.0.2.2"))
		if n := alarms(t, i, "certificate-elsewhere"); n != 1 {
			t.Errorf("%d alarms", n)
		}
		for _, e := range insttest.Events(t, i) {
			if strings.Contains(string(e.Detail), "192.0.2") {
				t.Errorf("an address is in the log: %s", e.Detail)
			}
		}
	})
}

// TestRoaming: a session that goes on at another address is asked for one touch, and
// so again at the next; one that was opened there isn't.
func TestRoaming(t *testing.T) {
	clocked(t, func(t *testing.T, dir string, i *installation.Installation, pass func(time.Duration)) {
		staffed(t, i)
		p := insttest.Enrol(t, i, "d-1").Peer
		proof := access.Proof{Staff: "caseworker", Via: access.ViaPasskey, Peer: p}
		sit := func() access.Session {
			t.Helper()
			_, token, err := i.Access.SignIn(t.Context(), proof, rules)
			must(t, err)
			s, err := i.Access.Authenticate(token, p)
			must(t, err)
			return s
		}
		must(t, i.Access.SeenAt(p, "192.0.2.1"))
		s := sit()
		for _, address := range []string{"192.0.2.2", "192.0.2.1", "192.0.2.3"} {
			pass(2 * time.Minute)
			must(t, i.Access.SeenAt(p, address))
			pass(time.Second)
			must(t, i.Access.SeenAt(p, address))
			if err := i.Access.MayOpen(s); !errors.Is(err, access.ErrTouch) {
				t.Fatalf("it went on at another address: %v", err)
			}
			must(t, i.Access.Touch(t.Context(), s, proof))
			must(t, i.Access.SeenAt(p, address))
			must(t, i.Access.MayOpen(s))
		}
		pass(2 * time.Minute)
		must(t, i.Access.SeenAt(p, "192.0.2.4"))
		if err := i.Access.MayOpen(sit()); err != nil {
			t.Errorf("one that was opened here is asked for a touch: %v", err)
		}
		if again := replayed(t, i); !errors.Is(again.MayOpen(s), access.ErrTouch) {
			t.Error("a restart forgets who was asked for a touch")
		}
		must(t, i.Access.Still(s))
	})
}

// TestInterleaved: a key that is used here, there and here again within a minute ends
// its sessions in the commit that saw it, those of no other device, and nobody's next.
func TestInterleaved(t *testing.T) {
	clocked(t, func(t *testing.T, dir string, i *installation.Installation, pass func(time.Duration)) {
		staffed(t, i)
		_, err := i.Access.AddDevice(t.Context(), "d-2", "o-1")
		must(t, err)
		p, other := insttest.Enrol(t, i, "d-1").Peer, insttest.Enrol(t, i, "d-2").Peer
		sit := func(staff string, at device.Peer) access.Session {
			t.Helper()
			_, token, err := i.Access.SignIn(t.Context(), access.Proof{Staff: staff, Via: access.ViaPasskey, Peer: at}, rules)
			must(t, err)
			s, err := i.Access.Authenticate(token, at)
			must(t, err)
			return s
		}
		mine, beside := sit("caseworker", p), sit("supervisor", other)
		must(t, i.Access.SeenAt(other, "192.0.2.9"))
		must(t, i.Access.SeenAt(p, "192.0.2.1"))
		pass(20 * time.Second)
		must(t, i.Access.SeenAt(p, "192.0.2.2"))
		must(t, i.Access.Still(mine))
		pass(20 * time.Second)
		must(t, i.Access.SeenAt(p, "192.0.2.1"))
		for name, d := range map[string]*access.Directory{"live": i.Access, "replayed": replayed(t, i)} {
			if err := d.Still(mine); !errors.Is(err, access.ErrContained) {
				t.Errorf("%s: two use its key: %v", name, err)
			}
			if err := d.Still(beside); err != nil || d.MayOpen(beside) != nil {
				t.Errorf("%s: another device's: %v", name, err)
			}
		}
		must(t, i.Access.Still(sit("caseworker", p)))
		list := insttest.Events(t, i)
		at := slices.IndexFunc(list, func(e auditlog.Event) bool { return e.Action == auditlog.Alarm && e.Outcome == access.KeyInterleaved })
		if at < 0 || len(list) < at+3 || list[at+1].Outcome != auditlog.Rule || !strings.Contains(string(list[at+1].Detail), "key-at-two-addresses") ||
			list[at+2].Action != auditlog.Contain || list[at+2].Session != mine.ID() || list[at+2].Time != list[at].Time {
			t.Errorf("what followed the sign, at %d of %d: %+v", at, len(list), list[max(at, 0):])
		}
	})
}
