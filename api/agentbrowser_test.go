package api_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azekura/api"

	"github.com/chromedp/chromedp"
)

// pc is a staff member's home on a PC, with Chromium's profile and database in it.
type pc struct {
	t        *testing.T
	home     string
	page, at string // the server's origin, and the hash of its key
}

func newPC(t *testing.T, o *office, address string) pc {
	t.Helper()
	raw, err := os.ReadFile(api.CertFile(o.inst.Dir))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	// Chromium's locks and sockets want a short path, and it may still write when it is killed.
	home, err := os.MkdirTemp("", "azekura-pc-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	return pc{t, home, "https://" + address, base64.StdEncoding.EncodeToString(hash[:])}
}

func (p pc) database() database { return database{p.t, filepath.Join(p.home, ".pki", "nssdb")} }

// policy has the profile choose a certificate of the devices' authority for the server
// by itself, as AutoSelectCertificateForUrls has a managed one do.
func (p pc) policy(profile string) {
	p.t.Helper()
	filter := map[string]any{"filters": []any{map[string]any{"ISSUER": map[string]any{"CN": "azekura devices"}}}}
	exceptions := map[string]any{"auto_select_certificate": map[string]any{p.page + ",*": map[string]any{"setting": filter}}}
	raw, err := json.Marshal(map[string]any{"profile": map[string]any{"content_settings": map[string]any{"exceptions": exceptions}}})
	if err != nil {
		p.t.Fatal(err)
	}
	dir := filepath.Join(profile, "Default")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Preferences"), raw, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// browser starts Chromium in that home.
func (p pc) browser() context.Context {
	p.t.Helper()
	profile, err := os.MkdirTemp(p.home, "profile-")
	if err != nil {
		p.t.Fatal(err)
	}
	p.policy(profile)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.Flag("ignore-certificate-errors-spki-list", p.at),
		chromedp.Env("HOME="+p.home, "XDG_DATA_HOME=", "XDG_CONFIG_HOME="), chromedp.UserDataDir(profile), chromedp.WSURLReadTimeout(patience))
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, end := chromedp.NewContext(ctx)
	p.t.Cleanup(func() { _ = chromedp.Cancel(ctx); end(); stop() })
	if err := chromedp.Do(ctx); err != nil {
		p.t.Fatal("start the browser: ", err)
	}
	return ctx
}

// sees is what the page of the API's description says, or the browser of why there is
// none.
func (p pc) sees(browser context.Context) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(browser, patience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(p.page+"/openapi.json")); err != nil {
		return err.Error()
	}
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

const thePage, refusal = `"openapi"`, "no valid device certificate"

// TestAgentsBrowser: Chromium reaches the staff's side by what the agent installed in
// its database, and not without; after a renewal by the new one, when the old has ended,
// in a browser that was open all the time too.
func TestAgentsBrowser(t *testing.T) {
	o, address, set := driven(t)
	p := newPC(t, o, address)
	if said := p.sees(p.browser()); !strings.Contains(said, refusal) {
		t.Fatalf("without a certificate it sees: %.300s", said)
	}
	dir := filepath.Join(t.TempDir(), "agent")
	e := api.Enrol{Server: p.page, Code: added(t, o, "pc-9"), TPM: api.NoTPM, Install: api.Install{Browsers: []string{p.database().dir}}}
	installs := func() {
		t.Helper()
		a, err := api.OpenAgent(t.Context(), dir, e)
		if err == nil {
			err = a.Install(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	installs()
	first, open := p.database().certificate("pc-9"), p.browser()
	if said := p.sees(open); !strings.Contains(said, thePage) {
		t.Fatalf("with its certificate it sees: %.300s", said)
	}
	before := p // the same with what was installed first
	before.home = t.TempDir()
	if err := os.CopyFS(before.database().dir, os.DirFS(p.database().dir)); err != nil {
		t.Fatal(err)
	}
	set(time.Now().UTC())
	e.Code = ""
	installs()
	set(first.NotAfter.Add(time.Minute)) // by the server's clock; the browser takes both for good
	if said := before.sees(before.browser()); strings.Contains(said, thePage) {
		t.Error("it is let in by a certificate that ended")
	}
	if said := p.sees(p.browser()); !strings.Contains(said, thePage) {
		t.Errorf("with its renewed certificate it sees: %.300s", said)
	}
	// The one that was open is refused on its old connection, then by its old certificate
	// on a new one or on one that it had made ahead; then it looks for another.
	said := []string{p.sees(open)}
	for len(said) < 5 && !strings.Contains(said[len(said)-1], thePage) {
		said = append(said, p.sees(open))
	}
	if len(said) == 1 || !strings.Contains(said[len(said)-1], thePage) {
		t.Errorf("the open browser sees: %.300q", said)
	}
}
