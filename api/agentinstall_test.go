package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azekura/access/device/browser"
	"azekura/access/device/tpm/tpmtest"
	"azekura/api"
	"azekura/internal/installation"
	"azekura/internal/insttest"
)

// driven is an office that demands certificates, half a certificate's life and an hour
// ago: an agent that enrols there is due to renew.
func driven(t *testing.T) (o *office, address string, set func(time.Time)) {
	t.Helper()
	to := shortNew(t, "sqlite")
	clock, err := installation.CreateClock(to, time.Now().UTC().Add(-13*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = clock.Close() })
	o = newOffice(t, insttest.Open(t, to))
	o.inst.Config.DeviceKeys = true
	address, _ = listening(t, o)
	return o, address, clock.Set
}

// database is an NSS database's folder.
type database struct {
	t   *testing.T
	dir string
}

// certificate is the one that the database has under a device's name, with its key.
func (d database) certificate(name string) *x509.Certificate {
	d.t.Helper()
	list, err := exec.Command("certutil", "-L", "-d", "sql:"+d.dir).CombinedOutput()
	if err != nil || strings.Count(string(list), "u,u,u") != 1 || strings.Count(string(list), ",") != 2+2 { // the heading has two
		d.t.Fatalf("it lists %v\n%s", err, list)
	}
	der, err := exec.Command("certutil", "-L", "-d", "sql:"+d.dir, "-n", name, "-r").Output()
	if err != nil {
		d.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		d.t.Fatal(err)
	}
	return cert
}

// inFolder is the certificate that an agent's folder has, as OpenSSL reads it there.
func inFolder(t *testing.T, dir string) *x509.Certificate {
	t.Helper()
	text, err := exec.Command("openssl", "pkcs12", "-in", filepath.Join(dir, "client.p12"), "-passin", "pass:"+browser.Password, "-nokeys").Output()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("client.p12 has no certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestAgentInstalls: what the agent keeps is in the browser's database and in client.p12
// after the enrolment, and the renewed one in its place after a renewal; each time the
// administrator's command has run with the file.
func TestAgentInstalls(t *testing.T) {
	o, address, set := driven(t)
	dir, db, ran := filepath.Join(t.TempDir(), "agent"), database{t, filepath.Join(t.TempDir(), "nssdb")}, filepath.Join(t.TempDir(), "ran")
	t.Setenv("AZEKURA_TEST_RAN", ran)
	e := api.Enrol{Server: "https://" + address, Code: added(t, o, "pc-9"), TPM: api.NoTPM,
		Install: api.Install{Browsers: []string{db.dir}, After: `sha256sum "$AZEKURA_P12" "$AZEKURA_CERT" >>"$AZEKURA_TEST_RAN"`}}
	installs := func(e api.Enrol) *x509.Certificate {
		t.Helper()
		a, err := api.OpenAgent(t.Context(), dir, e)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Install(t.Context()); err != nil {
			t.Fatal(err)
		}
		cert := db.certificate("pc-9")
		if !cert.NotAfter.Equal(a.Until()) || !cert.Equal(inFolder(t, dir)) {
			t.Errorf("the browser's certificate ends %s, the agent's %s", cert.NotAfter, a.Until())
		}
		return cert
	}
	first := installs(e)
	set(time.Now().UTC())
	e.Code = ""
	second := installs(e)
	if second.Equal(first) || !second.PublicKey.(*ecdsa.PublicKey).Equal(first.PublicKey) {
		t.Error("it isn't the renewed one of the same key")
	}
	// As if it was killed before client.p12, and before the database: the next run mends both.
	if err := errors.Join(os.Remove(filepath.Join(dir, "client.p12")), os.RemoveAll(db.dir)); err != nil {
		t.Fatal(err)
	}
	if third := installs(e); !third.Equal(second) {
		t.Error("nothing was due, and it is another certificate")
	}
	lines, err := os.ReadFile(ran)
	if err != nil || strings.Count(string(lines), "/client.p12\n") != 3 || strings.Count(string(lines), "/client.pem\n") != 3 {
		t.Errorf("the command ran: %v\n%s", err, lines)
	}
	e.After = "echo no room >&2; exit 3"
	var says strings.Builder
	e.Says = &says
	a, err := api.OpenAgent(t.Context(), dir, e)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Install(t.Context()); err == nil || !strings.Contains(err.Error(), "exit status 3") || says.String() != "no room\n" {
		t.Errorf("the command failed: %v, saying %q", err, says.String())
	}
}

// TestAgentInstallsFirst: what can't be installed is told before the code is used up or
// anything is kept, so that the same code does once it is mended.
func TestAgentInstallsFirst(t *testing.T) {
	o, address, _, _ := guarded(t)
	code, db := added(t, o, "pc-9"), filepath.Join(t.TempDir(), "nssdb")
	at, dir := tpmtest.Start(t), filepath.Join(t.TempDir(), "agent")
	for _, c := range []struct {
		what, tpm, path, says string
	}{
		{"a TPM's key", at, os.Getenv("PATH"), "--tpm off"},
		{"without the tools", api.NoTPM, t.TempDir(), "libnss3-tools"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Setenv("PATH", c.path)
			e := api.Enrol{Server: "https://" + address, Code: code, TPM: c.tpm, Install: api.Install{Browsers: []string{db}}}
			if _, err := api.OpenAgent(t.Context(), dir, e); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Error(err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 || len(o.inst.Access.Keys("pc-9")) > 0 {
				t.Errorf("it left %v: %v", left, err)
			}
		})
	}
	e := api.Enrol{Server: "https://" + address, Code: code, TPM: at}
	if _, err := api.OpenAgent(t.Context(), dir, e); err != nil {
		t.Fatal(err)
	}
	if _, err := api.OpenAgent(t.Context(), dir, api.Enrol{Install: api.Install{Browsers: []string{db}}}); err == nil || !strings.Contains(err.Error(), "PKCS #11") {
		t.Errorf("a TPM's key, enrolled before: %v", err)
	}
	ran := filepath.Join(t.TempDir(), "ran")
	t.Setenv("AZEKURA_TEST_RAN", ran)
	a, err := api.OpenAgent(t.Context(), dir, api.Enrol{Install: api.Install{After: `echo "[$AZEKURA_P12] $(head -1 "$AZEKURA_CERT")" >"$AZEKURA_TEST_RAN"`}})
	if err == nil {
		err = a.Install(t.Context())
	}
	said, readErr := os.ReadFile(ran)
	if errors.Join(err, readErr) != nil || string(said) != "[] -----BEGIN CERTIFICATE-----\n" {
		t.Errorf("a TPM's key and a command: %v, %q", err, said)
	}
}

// TestAgentCertified: a certificate of another key isn't kept when a server answers with
// it, nor taken up where it lies in the folder.
func TestAgentCertified(t *testing.T) {
	for what, at := range map[string]string{"a file": api.NoTPM, "a TPM": tpmtest.Start(t)} {
		t.Run(what, func(t *testing.T) {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
			template.Subject.CommonName = "pc-9"
			der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			liar := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(api.Certificate{OfDevice: api.OfDevice{Device: "pc-9"}, Certificate: der, Until: template.NotAfter})
			}))
			defer liar.Close()
			dir := filepath.Join(t.TempDir(), "agent")
			_, err = api.OpenAgent(t.Context(), dir, api.Enrol{Server: liar.URL, Code: "azd_x." + api.KeyPin(liar.Certificate()), TPM: at})
			if err == nil || !strings.Contains(err.Error(), "isn't of this key") {
				t.Errorf("a certificate of another key: %v", err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 1 || left[0].Name() != "key.pem" {
				t.Errorf("kept: %v %v", left, err)
			}
			o, address, _, _ := guarded(t)
			if _, err := api.OpenAgent(t.Context(), dir, api.Enrol{Server: "https://" + address, Code: added(t, o, "pc-9"), TPM: at}); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "client.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := api.OpenAgent(t.Context(), dir, api.Enrol{}); err == nil || !strings.Contains(err.Error(), "isn't a certificate of its key") {
				t.Errorf("another key's certificate in the folder: %v", err)
			}
		})
	}
}
