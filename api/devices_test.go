package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azekura/access"
	"azekura/access/device"
	"azekura/access/device/tpm"
	"azekura/access/device/tpm/tpmtest"
	"azekura/api"
	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/internal/insttest"
)

// guarded is an office that demands certificates, served on loopback, whose
// caseworker's session is bound to d-1's key.
func guarded(t *testing.T) (o *office, address string, config *tls.Config, pc insttest.PC) {
	t.Helper()
	return guardedOn(t, "sqlite")
}

func guardedOn(t *testing.T, engine string) (o *office, address string, config *tls.Config, pc insttest.PC) {
	t.Helper()
	o = shortOfficeOn(t, engine)
	o.inst.Config.DeviceKeys = true
	pc = insttest.Enrol(t, o.inst, "d-1")
	_, o.token = insttest.Session(t, o.inst, "s-1", "caseworker", "d-1")
	address, config = listening(t, o)
	return o, address, config, pc
}

// by is a client with a certificate, or without.
func by(config *tls.Config, certs ...tls.Certificate) *http.Client {
	c := config.Clone()
	if len(certs) > 0 { // presented whatever the server names
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certs[0], nil }
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: c}, Timeout: patience}
}

// reading opens a name over the network.
func (o *office) reading(c *http.Client, address string) (status int, said string, err error) {
	in, err := json.Marshal(api.ReadRequest{Whom: api.Whom{Ref: o.people[0].Ref}, Reason: why, Fields: []string{"name"}})
	if err != nil {
		return 0, "", err
	}
	r, err := http.NewRequestWithContext(o.t.Context(), http.MethodPost, "https://"+address+"/v1/read", strings.NewReader(string(in)))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+o.token)
	answer, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(raw), err
}

// raised are the alarms in the log, by what they say.
func raised(t *testing.T, o *office) map[string]auditlog.Event {
	t.Helper()
	list := map[string]auditlog.Event{}
	for _, e := range insttest.Events(t, o.inst) {
		var d struct {
			Alarm string `json:"alarm"`
		}
		if e.Action == auditlog.Alarm && json.Unmarshal(e.Detail, &d) == nil && d.Alarm != "" {
			list[d.Alarm] = e
		}
	}
	return list
}

// heard waits for an alarm that is recorded beside the answer, of a staff member's or
// a device's.
func heard(t *testing.T, o *office, alarm, staff, device string) {
	t.Helper()
	for until := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if e, found := raised(t, o)[alarm]; found {
			if e.Staff != staff || e.Device != device {
				t.Errorf("the alarm %s is of staff %q, device %q", alarm, e.Staff, e.Device)
			}
			return
		}
		if time.Now().After(until) {
			t.Errorf("no alarm %s in the log", alarm)
			return
		}
	}
}

// TestStolenToken: a live token reads at its own device, and nowhere else, and what
// a thief tries is in the log.
func TestStolenToken(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o, address, config, pc := guardedOn(t, engine)
		if status, said, err := o.reading(by(config, pc.Cert), address); status != http.StatusOK {
			t.Fatalf("at its own device: %d %s %v", status, said, err)
		}
		if _, err := o.inst.Access.AddDevice(t.Context(), "d-2", "o-1"); err != nil {
			t.Fatal(err)
		}
		other := insttest.Enrol(t, o.inst, "d-2")
		status, said, err := o.reading(by(config, other.Cert), address)
		if status != http.StatusUnauthorized || strings.Contains(said, o.people[0].Name) {
			t.Errorf("with another device's certificate: %d %v", status, err)
		}
		heard(t, o, "token-elsewhere", "s-1", "d-1")
		if status, said, err := o.reading(by(config), address); status != http.StatusForbidden || !strings.Contains(said, "device certificate") {
			t.Errorf("without a certificate: %d %s %v", status, said, err)
		}
		if n := len(raised(t, o)); n != 1 {
			t.Errorf("%d kinds of alarms before any handshake was refused", n)
		}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		foreign := insttest.Enrol(t, elsewhere(t), "d-1")
		for _, c := range []struct {
			what, alarm, device string
			cert                tls.Certificate
		}{
			{"without its key", "key-unproven", "d-1", tls.Certificate{Certificate: pc.Cert.Certificate, PrivateKey: key}},
			{"another authority's", "certificate-foreign", "", foreign.Cert},
		} {
			if status, said, err := o.reading(by(config, c.cert), address); err == nil {
				t.Errorf("a certificate %s: %d %s", c.what, status, said)
			}
			heard(t, o, c.alarm, "", c.device)
		}
		before := len(insttest.Events(t, o.inst))
		for range 20 { // a stranger doesn't fill the log
			_, _, _ = o.reading(by(config, foreign.Cert), address)
		}
		if after := len(insttest.Events(t, o.inst)); after != before {
			t.Errorf("20 more refused handshakes are %d more events", after-before)
		}
		if status, _, err := o.reading(by(config, pc.Cert), address); status != http.StatusOK {
			t.Errorf("its own device afterwards: %d %v", status, err)
		}
	})
}

// from is a client at an address of this machine.
func from(ip string, config *tls.Config, cert tls.Certificate) *http.Client {
	c := by(config, cert)
	tr, _ := c.Transport.(*http.Transport) // by made it
	tr.DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}).DialContext
	return c
}

// TestCopiedKey: a token that was stolen with its device's key gets nothing from
// another address but a demand for a touch, and the session ends once two use it in
// turn. Its holder signs in again and goes on.
func TestCopiedKey(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o, address, config, pc := guardedOn(t, engine)
		signIn := func() {
			t.Helper()
			var err error
			if _, o.token, err = o.inst.Access.SignIn(t.Context(), access.Proof{Staff: "s-1", Via: access.ViaPasskey, Peer: pc.Peer}, access.DefaultRules); err != nil {
				t.Fatal(err)
			}
		}
		signIn()
		office, thief := from("127.0.0.1", config, pc.Cert), from("127.0.0.2", config, pc.Cert)
		for _, c := range []struct {
			what   string
			client *http.Client
			status int
			says   string
		}{
			{"at its own address", office, http.StatusOK, o.people[0].Name},
			{"a copy at another", thief, http.StatusForbidden, "touch"},
			{"its own again", office, http.StatusUnauthorized, "contained"},
			{"the copy again", thief, http.StatusUnauthorized, "contained"},
		} {
			status, said, err := o.reading(c.client, address)
			if err != nil || status != c.status || !strings.Contains(said, c.says) || status != http.StatusOK && strings.Contains(said, o.people[0].Name) {
				t.Errorf("%s: %d, %v, wanted %d and %q", c.what, status, err, c.status, c.says)
			}
		}
		if _, _, err := o.reading(office, address); err != nil {
			t.Error(err)
		}
		signIn()
		if status, _, err := o.reading(office, address); status != http.StatusOK {
			t.Errorf("its holder signed in again: %d %v", status, err)
		}
		fired := map[string]bool{}
		for _, e := range insttest.Events(t, o.inst) {
			for _, rule := range []string{"key-moved", "key-at-two-addresses"} {
				if e.Action == auditlog.Alarm && e.Outcome == auditlog.Rule && e.Staff == "s-1" && strings.Contains(string(e.Detail), `"`+rule+`"`) {
					fired[rule] = true
				}
			}
		}
		if len(fired) != 2 {
			t.Errorf("alarms of %v", fired)
		}
	})
}

func elsewhere(t *testing.T) *installation.Installation {
	t.Helper()
	i := insttest.Open(t, insttest.New(t, "sqlite"))
	if _, err := i.Access.AddDevice(t.Context(), "d-1", "o-1"); err != nil {
		t.Fatal(err)
	}
	return i
}

// TestDemanded: without a certificate nothing is answered but enrolment.
func TestDemanded(t *testing.T) {
	_, address, config, _ := guarded(t)
	for path, want := range map[string]int{"/openapi.json": 403, "/v1/people/sessions": 403, "/signin": 403, "/nowhere": 403} {
		answer, err := by(config).Get("https://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want || !answer.Close {
			t.Errorf("%s: %s, and the connection stays: %v", path, answer.Status, !answer.Close)
		}
	}
	answer, err := by(config).Post("https://"+address+api.EnrolPath, "application/json", strings.NewReader(`{"code":"azd_x","request":"AAAA"}`))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("a code that isn't one: %s", answer.Status)
	}
}

// TestCut: connections that are open when their device is revoked, or contained, end;
// those of other devices don't.
func TestCut(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		for what, stop := range map[string]func(o *office) error{
			"revoked": func(o *office) error {
				_, err := o.inst.Access.RevokeDevice(o.t.Context(), access.Operator(), "d-1")
				return err
			},
			"contained": func(o *office) error {
				_, err := o.inst.Access.Contain(o.t.Context(), access.Operator(), access.Target{Kind: access.TheDevice, ID: "d-1"}, "a sign")
				return err
			},
		} {
			t.Run(what, func(t *testing.T) { cut(t, engine, what, stop) })
		}
	})
}

func cut(t *testing.T, engine, what string, stop func(*office) error) {
	o, address, config, pc := guardedOn(t, engine)
	o.t = t
	if _, err := o.inst.Access.AddDevice(t.Context(), "d-2", "o-1"); err != nil {
		t.Fatal(err)
	}
	other := insttest.Enrol(t, o.inst, "d-2")
	open := func(cert tls.Certificate) *tls.Conn {
		c := config.Clone()
		c.Certificates = []tls.Certificate{cert}
		conn := dialTLS(t, address, c)
		fmt.Fprintf(conn, "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
		if n, err := conn.Read(make([]byte, 16)); n == 0 {
			t.Fatal(err)
		}
		return conn
	}
	mine, theirs := open(pc.Cert), open(other.Cert)
	if err := stop(o); err != nil {
		t.Fatal(err)
	}
	if err := mine.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, mine); os.IsTimeout(err) {
		t.Error("the open connection isn't cut")
	}
	if status, _, _ := o.reading(by(config, pc.Cert), address); status != http.StatusUnauthorized && status != http.StatusForbidden {
		t.Errorf("a new connection: %d", status)
	}
	heard(t, o, "device-"+what, "", "d-1")
	fmt.Fprintf(theirs, "GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if said, err := io.ReadAll(theirs); err != nil || !strings.Contains(string(said), "there is nothing here") {
		t.Errorf("another device's connection: %v", err)
	}
}

// TestContainedStaff: the session of a staff member who is contained opens nothing at
// its own device, and that it was tried is in the log.
func TestContainedStaff(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o, address, config, pc := guardedOn(t, engine)
		if _, err := o.inst.Access.Contain(t.Context(), access.Operator(), access.Target{Kind: access.TheStaff, ID: "s-1"}, "a sign"); err != nil {
			t.Fatal(err)
		}
		if status, said, err := o.reading(by(config, pc.Cert), address); status != http.StatusUnauthorized || strings.Contains(said, o.people[0].Name) {
			t.Errorf("%d %v", status, err)
		}
		heard(t, o, "session-contained", "s-1", "d-1")
	})
}

// TestAgent enrols over the network by the server's pin, goes on after it was killed
// before it kept the certificate, and knows another server from its own.
func TestAgent(t *testing.T) {
	t.Run("a file", func(t *testing.T) { agentLives(t, api.NoTPM) })
	t.Run("a TPM", func(t *testing.T) { agentLives(t, tpmtest.Start(t)) })
}

func agentLives(t *testing.T, at string) {
	o, address, _, _ := guarded(t)
	operator, err := api.Dial(o.inst.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var added api.AddedDevice
	if err := operator.Do(t.Context(), http.MethodPost, "/operator/devices", api.NewDevice{ID: "pc-9", Office: "o-1"}, &added); err != nil {
		t.Fatal(err)
	}
	server, dir := "https://"+address, filepath.Join(t.TempDir(), "agent")
	secret, pin, _ := strings.Cut(added.Code, ".")
	if _, err := api.OpenAgent(t.Context(), dir, api.Enrol{Server: server, Code: secret + "." + strings.Repeat("A", len(pin)), TPM: at}); err == nil || !strings.Contains(err.Error(), "isn't the server") {
		t.Errorf("another server's pin: %v", err)
	}
	enrol := api.Enrol{Server: server, Code: added.Code, TPM: at}
	a, err := api.OpenAgent(t.Context(), dir, enrol)
	if err != nil || a.Device() != "pc-9" || time.Until(a.Until()) > device.Lasts {
		t.Fatalf("%v", err)
	}
	files := []string{"key.pem", "client.pem", "agent.json"}
	if at == api.NoTPM {
		files = append(files, "client.p12")
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != len(files) {
		t.Errorf("the folder holds %v: %v", all, err)
	}
	for _, file := range files {
		if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", file, info.Mode(), err)
		}
	}
	// As if it was killed between the server's answer and the file.
	if err := os.Remove(filepath.Join(dir, "client.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := api.OpenAgent(t.Context(), dir, enrol); err != nil {
		t.Errorf("killed, and run again: %v", err)
	}
	if _, err := api.OpenAgent(t.Context(), t.TempDir(), enrol); err == nil {
		t.Error("a second PC enrolled with the same code")
	}
	kind := access.KindFile
	if at != api.NoTPM {
		kind = access.KindTPM
		copiedBeside(t, dir)
	}
	if keys := o.inst.Access.Keys("pc-9"); len(keys) != 1 || keys[0].Kind != kind || keys[0].Copyable() != (at == api.NoTPM) {
		t.Errorf("%+v", keys)
	}
	for _, e := range insttest.Events(t, o.inst) {
		if strings.Contains(string(e.Detail), `"certificate"`) && e.Device == "pc-9" && !strings.Contains(string(e.Detail), `"kind":"`+kind+`"`) {
			t.Errorf("event %d doesn't say how the key is kept", e.Index)
		}
	}
	if _, err := api.OpenAgent(t.Context(), dir, api.Enrol{}); err != nil {
		t.Errorf("taken up again: %v", err)
	}
	_, o.token = insttest.Session(t, o.inst, "s-1", "caseworker", "pc-9")
	c, err := api.DialDevice(dir)
	if err != nil {
		t.Fatal(err)
	}
	c.Token = o.token
	var got api.ReadAnswer
	if err := c.Do(t.Context(), http.MethodPost, "/v1/read", api.ReadRequest{Whom: api.Whom{Ref: o.people[0].Ref}, Reason: why, Fields: []string{"name"}}, &got); err != nil || got.Values.Name == "" {
		t.Errorf("from the PC: %v", err)
	}
	if _, err := o.inst.Access.RevokeDevice(t.Context(), access.Operator(), "pc-9"); err != nil {
		t.Fatal(err)
	}
	if err := c.Do(t.Context(), http.MethodPost, "/v1/read", api.ReadRequest{Whom: api.Whom{Ref: o.people[0].Ref}, Reason: why, Fields: []string{"name"}}, &got); err == nil {
		t.Error("a revoked PC reads")
	}
}

// copiedBeside: the folder of an agent whose key is in a TPM is of no use at another PC.
func copiedBeside(t *testing.T, dir string) {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "agent")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(copied, "agent.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var at map[string]string
	if err := json.Unmarshal(raw, &at); err != nil {
		t.Fatal(err)
	}
	at["tpm"] = tpmtest.Start(t)
	if raw, err = json.Marshal(at); err == nil {
		err = os.WriteFile(path, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := api.DialDevice(copied)
	if err != nil {
		t.Fatal(err)
	}
	var got api.ReadAnswer
	if err := c.Do(t.Context(), http.MethodPost, "/v1/read", api.ReadRequest{}, &got); err == nil || !strings.Contains(err.Error(), tpm.ErrOther.Error()) {
		t.Errorf("a copy of the folder beside another TPM: %v", err)
	}
	if key, err := os.ReadFile(filepath.Join(copied, "key.pem")); err != nil || !strings.HasPrefix(string(key), "-----BEGIN "+tpm.PEM+"-----") {
		t.Errorf("key.pem isn't a TPM's: %v", err)
	}
}
