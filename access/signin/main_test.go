package signin_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"azekura/access"
	"azekura/access/device"
	"azekura/access/signin"
	"azekura/api"
	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

func TestMain(m *testing.M) {
	code := pgtest.Main(m)
	if chromium.stop != nil {
		chromium.stop()
	}
	os.Exit(code)
}

// patience is how long a browser may take to come to where it must.
const patience = time.Minute

// office is an installation whose staff's side is served over TLS.
type office struct {
	t      *testing.T
	inst   *installation.Installation
	server *httptest.Server
	origin string
	peer   device.Peer

	mu   sync.Mutex
	said strings.Builder
}

// newOffice serves an installation with staff of every role, named by it. provider
// is nil for passkeys alone.
func newOffice(t *testing.T, i *installation.Installation, provider func(o *office) *signin.ProviderSettings) *office {
	t.Helper()
	o := &office{t: t, inst: i}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.origin = fmt.Sprintf("https://localhost:%d", l.Addr().(*net.TCPAddr).Port)
	o.server = httptest.NewUnstartedServer(nil)
	_ = o.server.Listener.Close()
	o.server.Listener = l
	o.server.StartTLS()
	t.Cleanup(o.server.Close)
	if _, err := i.Access.AddDevice(t.Context(), "d-1", "o-1"); err != nil {
		t.Fatal(err)
	}
	for _, role := range access.Roles {
		if _, err := i.Access.AddStaff(t.Context(), role, role, "o-1"); err != nil {
			t.Fatal(err)
		}
	}
	i.Config.SignIn = &signin.Settings{Origin: o.origin}
	if provider != nil {
		i.Config.SignIn.Provider = provider(o)
	}
	pc := insttest.Enrol(t, i, "d-1") // no browser here is given a certificate: each connection stands for this PC's
	o.peer = pc.Peer
	o.server.Config.Handler = pc.At(api.New(i, func(_ string, err error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		fmt.Fprintln(&o.said, err)
	}).Staff())
	return o
}

// pin is the hash of the server's key, for a browser to trust it.
func (o *office) pin() string {
	hash := sha256.Sum256(o.server.Certificate().RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(hash[:])
}

// keyFiles are the server's certificate and key.
func (o *office) keyFiles() (cert, key string) {
	o.t.Helper()
	pair := o.server.TLS.Certificates[0]
	raw, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		o.t.Fatal(err)
	}
	cert = insttest.File(o.t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))
	return cert, insttest.File(o.t, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

// chromium is the one process, which each browser has to itself a part of; Main ends
// it. Every test's server has httptest's own key.
var chromium struct {
	once sync.Once
	ctx  context.Context
	stop func()
	err  error
}

func startChromium(pin, dir string) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.Flag("ignore-certificate-errors-spki-list", pin),
		chromedp.Flag("lang", "ja"), chromedp.UserDataDir(dir), chromedp.WSURLReadTimeout(patience))
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, end := chromedp.NewContext(ctx)
	chromium.ctx, chromium.err = ctx, chromedp.Do(ctx)
	chromium.stop = func() { _ = chromedp.Cancel(ctx); end(); stop() }
}

// browser is one of Chromium's, with cookies and an authenticator of its own, which
// verifies its user.
func (o *office) browser() context.Context {
	o.t.Helper()
	chromium.once.Do(func() {
		dir, err := os.MkdirTemp("", "azekura-signin-")
		if err != nil {
			o.t.Fatal(err)
		}
		startChromium(o.pin(), dir)
		stop := chromium.stop
		chromium.stop = func() { stop(); _ = os.RemoveAll(dir) }
	})
	if chromium.err != nil {
		o.t.Fatal("start the browser: ", chromium.err)
	}
	ctx, end := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext())
	o.t.Cleanup(func() { _ = chromedp.Cancel(ctx); end() })
	err := chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, t, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true,
			IsUserVerified: true, AutomaticPresenceSimulation: true}})
		return err
	}))
	if err != nil {
		o.t.Fatal("open a browser: ", err)
	}
	return ctx
}

// do runs a browser's steps; where they don't come to their end it shows the page.
func (o *office) do(browser context.Context, steps ...chromedp.Action[chromedp.Void]) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(browser, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		o.stuck(browser, err)
	}
}

// asked runs a browser's step that answers something.
func asked[T any](o *office, browser context.Context, step chromedp.Action[T]) T {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(browser, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, step)
	if err != nil {
		o.stuck(browser, err)
	}
	return v
}

func (o *office) stuck(browser context.Context, err error) {
	o.t.Helper()
	page, _ := chromedp.Run(browser, chromedp.Evaluate[string]("document.body.innerText"))
	at, _ := chromedp.Run(browser, chromedp.Location())
	o.mu.Lock()
	defer o.mu.Unlock()
	o.t.Fatalf("%v, at %s:\n%s\nthe server said: %s", err, at, page, o.said.String())
}

// enrol takes a staff member through an enrolment, up to the fingerprint.
func (o *office) enrol(browser context.Context, by access.Officer, staff string) (print string) {
	o.t.Helper()
	code, _, err := o.inst.Access.NewCode(o.t.Context(), by, staff)
	if err != nil {
		o.t.Fatal(err)
	}
	o.do(browser, chromedp.Navigate(o.origin+"/signin/enrol"), chromedp.SendKeys("#code", code), chromedp.Click("#enrol button"),
		chromedp.WaitVisible("#done"))
	return asked(o, browser, chromedp.Text("#print"))
}

// signIn signs in by passkey and returns the cookie's session.
func (o *office) signIn(browser context.Context) access.Session {
	o.t.Helper()
	o.do(browser, chromedp.Navigate(o.origin+"/signin"), chromedp.Click("#passkey"), chromedp.WaitReady("body[data-ready=yes]"))
	return o.session(browser)
}

// session is that of the browser's cookie.
func (o *office) session(browser context.Context) access.Session {
	o.t.Helper()
	s, err := o.inst.Access.Authenticate(o.cookie(browser), o.peer)
	if err != nil {
		o.t.Fatal(err)
	}
	return s
}

// refused is the last event, which must be a refusal of why.
func (o *office) refused(why string) {
	o.t.Helper()
	events := insttest.Events(o.t, o.inst)
	e := events[len(events)-1]
	if e.Action != auditlog.Deny || e.Outcome != "signin" || !strings.Contains(string(e.Detail), `"why":"`+why+`"`) {
		o.t.Errorf("the last event isn't a refusal of %s: %s %s %s", why, e.Action, e.Outcome, e.Detail)
	}
}

// client asks as a program would that keeps cookies by hand.
func (o *office) ask(method, path, cookie string, in any, header ...string) (*http.Response, string) {
	o.t.Helper()
	raw, err := json.Marshal(in)
	if err != nil {
		o.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(o.t.Context(), method, o.server.URL+path, bytes.NewReader(raw))
	if err != nil {
		o.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	for n := 0; n+1 < len(header); n += 2 {
		r.Header.Set(header[n], header[n+1])
	}
	client := *o.server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	answer, err := client.Do(r)
	if err != nil {
		o.t.Fatal(err)
	}
	defer answer.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(answer.Body); err != nil {
		o.t.Fatal(err)
	}
	return answer, body.String()
}
