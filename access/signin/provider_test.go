package signin_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"azekura/access"
	"azekura/access/signin"
	"azekura/internal/installation"
	"azekura/internal/insttest"

	"github.com/chromedp/chromedp"
)

const secret = "a-secret-of-the-tests-that-is-long-enough"

// real is oidc-provider, somebody else's OpenID provider, in a process of its own.
type real struct {
	issuer string
	start  func() (stop func())
}

func newReal(o *office) *real {
	o.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		o.t.Fatal(err)
	}
	p := &real{issuer: "https://" + l.Addr().String()}
	_ = l.Close()
	lock, err := os.ReadFile("testdata/provider/package-lock.json")
	if err != nil {
		o.t.Fatal(err)
	}
	sum := sha256.Sum256(lock)
	cache, err := os.UserCacheDir()
	if err != nil {
		o.t.Fatal(err)
	}
	modules := filepath.Join(cache, "azekura", "oidc-provider-"+hex.EncodeToString(sum[:6]), "node_modules")
	if _, err := os.Stat(modules); err != nil {
		o.t.Fatal("the provider's modules are missing; run make setup: ", err)
	}
	dir := o.t.TempDir()
	script, err := os.ReadFile("testdata/provider/provider.mjs")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "provider.mjs"), script, 0o600)
	}
	if err == nil {
		err = os.Symlink(modules, filepath.Join(dir, "node_modules"))
	}
	if err != nil {
		o.t.Fatal(err)
	}
	cert, key := o.keyFiles()
	p.start = func() func() {
		o.t.Helper()
		cmd := exec.Command("node", "provider.mjs")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "ISSUER="+p.issuer, "REDIRECT="+o.origin+"/signin/oidc/callback", "SECRET="+secret, "CERT="+cert, "KEY="+key)
		in, err := cmd.StdinPipe() // it goes when this closes
		if err != nil {
			o.t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			o.t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() && lines.Text() != "ready" {
		}
		if lines.Text() != "ready" {
			o.t.Fatal("the provider didn't start")
		}
		gone := false
		return func() {
			if !gone {
				gone = true
				_, _ = in.Close(), cmd.Process.Kill()
				_ = cmd.Wait()
			}
		}
	}
	return p
}

// settings are those that name the provider.
func (o *office) settings(issuer string) *signin.ProviderSettings {
	cert, _ := o.keyFiles()
	return &signin.ProviderSettings{Issuer: issuer, ClientID: "azekura", SecretFile: insttest.File(o.t, []byte(secret+"\n")), Claim: "staff_id", CAFile: cert}
}

// TestRealProvider: somebody else's provider says who it is, and the rest is ours:
// through a browser; again after its keys were changed; not while it is away; again
// to prove that one is there; and not for whom we don't know.
func TestRealProvider(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		i := insttest.Open(t, insttest.New(t, "sqlite"))
		var p *real
		o := newOffice(t, i, func(o *office) *signin.ProviderSettings {
			p = newReal(o)
			return o.settings(p.issuer)
		})
		answer, page := o.ask(http.MethodGet, "/signin/oidc?lang=en", "", nil)
		if answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(page, "reached now; use your passkey") {
			t.Errorf("while the provider is away: %d", answer.StatusCode)
		}
		stop := p.start()
		defer func() { stop() }()
		browser := o.browser()
		login := func(who string) []chromedp.Action[chromedp.Void] {
			return []chromedp.Action[chromedp.Void]{chromedp.WaitVisible(`input[name=login]`), chromedp.SendKeys(`input[name=login]`, who),
				chromedp.SendKeys(`input[name=password]`, "x"), chromedp.Click(`button[type=submit]`)}
		}
		consent := []chromedp.Action[chromedp.Void]{chromedp.WaitVisible(`input[name=prompt][value=consent]+button, button[autofocus]`), chromedp.Click(`button[type=submit]`)}
		o.do(browser, chromedp.Navigate(o.origin+"/signin"), chromedp.Click("#provider"))
		o.do(browser, login("caseworker")...)
		o.do(browser, consent...)
		o.do(browser, chromedp.WaitReady("body[data-ready=yes]"))
		s := o.session(browser)
		if s.Staff() != "caseworker" || s.Role() != "caseworker" || s.Via() != access.ViaOIDC {
			t.Errorf("%s as %s by %s", s.Staff(), s.Role(), s.Via())
		}
		// The provider knows the browser still; a touch has it ask again.
		before := s.Touched()
		o.do(browser, chromedp.Click("#provider"))
		o.do(browser, login("caseworker")...)
		o.do(browser, chromedp.WaitReady("body[data-ready=yes]"))
		if after := o.session(browser).Touched(); !after.After(before) {
			t.Error("a touch through the provider isn't one")
		}
		// Somebody else's touch isn't ours.
		o.do(browser, chromedp.Click("#provider"))
		before = o.session(browser).Touched()
		o.do(browser, login("auditor")...)
		o.do(browser, consent...)
		o.do(browser, chromedp.WaitVisible("#problem"))
		if after := o.session(browser).Touched(); !after.Equal(before) {
			t.Error("somebody else's touch is taken for the holder's")
		}
		stop()
		stop = p.start() // with other keys and no memory
		other := o.browser()
		o.do(other, chromedp.Navigate(o.origin+"/signin"), chromedp.Click("#provider"))
		o.do(other, login("auditor")...)
		o.do(other, consent...)
		o.do(other, chromedp.WaitReady("body[data-ready=yes]"))
		if s := o.session(other); s.Staff() != "auditor" {
			t.Errorf("after the keys changed: %s", s.Staff())
		}
		third := o.browser()
		o.do(third, chromedp.Navigate(o.origin+"/signin"), chromedp.Click("#provider"))
		o.do(third, login("stranger")...)
		o.do(third, consent...)
		o.do(third, chromedp.WaitVisible("#problem"))
		o.refused("unknown")
	})
}

// TestProviderAsks: what is asked of the provider holds PKCE, a nonce and a state of
// its own each time.
func TestProviderAsks(t *testing.T) {
	i := insttest.Open(t, insttest.New(t, "sqlite"))
	var evil *liar
	o := newOffice(t, i, func(o *office) *signin.ProviderSettings {
		evil = newLiar(o)
		return o.settings(evil.server.URL)
	})
	seen := map[string]bool{}
	for range 2 {
		answer, _ := o.ask(http.MethodGet, "/signin/oidc", "", nil)
		at, err := url.Parse(answer.Header.Get("Location"))
		if err != nil || answer.StatusCode != http.StatusFound {
			t.Fatal(err, answer.StatusCode)
		}
		q := at.Query()
		for name, want := range map[string]string{"response_type": "code", "code_challenge_method": "S256", "client_id": "azekura", "redirect_uri": o.origin + "/signin/oidc/callback", "scope": "openid"} {
			if q.Get(name) != want {
				t.Errorf("%s is %q", name, q.Get(name))
			}
		}
		for _, name := range []string{"state", "nonce", "code_challenge"} {
			if len(q.Get(name)) < 43 || seen[q.Get(name)] {
				t.Errorf("%s is short or was used before: %q", name, q.Get(name))
			}
			seen[q.Get(name)] = true
		}
	}
}

// TestLyingProvider: each of what a right provider wouldn't do is refused, and is an
// event.
func TestLyingProvider(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		var evil *liar
		o := newOffice(t, i, func(o *office) *signin.ProviderSettings {
			evil = newLiar(o)
			set := o.settings(evil.server.URL)
			set.ACR, set.AMR = []string{"high"}, []string{"hwk", "pin"}
			return set
		})
		for _, c := range lies() {
			before := len(i.Access.Sessions())
			evil.lie = c
			status, page := o.through(evil, c)
			opened := len(i.Access.Sessions()) - before
			if c.why == "" {
				if status != http.StatusOK || opened != 1 {
					t.Errorf("%s: %d, %d sessions\n%s", c.name, status, opened, page)
				}
				continue
			}
			if opened != 0 || status != http.StatusForbidden {
				t.Errorf("%s: %d, %d sessions", c.name, status, opened)
			}
			o.refused(c.why)
		}
		if _, err := i.Access.Contain(t.Context(), access.Operator(), access.Target{Kind: access.TheStaff, ID: "caseworker"}, "a test"); err != nil {
			t.Fatal(err)
		}
		evil.lie = lie{name: "the truth of who is contained"}
		before := len(i.Access.Sessions())
		if status, _ := o.through(evil, evil.lie); status != http.StatusUnauthorized || len(i.Access.Sessions()) != before {
			t.Errorf("who is contained comes in through the provider: %d", status)
		}
		o.refused("contained")
	})
}

// through goes a sign-in's way as a browser does, and repeats its end where the lie
// is to.
func (o *office) through(evil *liar, c lie) (status int, page string) {
	o.t.Helper()
	answer, _ := o.ask(http.MethodGet, "/signin/oidc", "", nil)
	at, err := url.Parse(answer.Header.Get("Location"))
	if err != nil || answer.StatusCode != http.StatusFound || len(answer.Cookies()) != 1 {
		o.t.Fatal(err, answer.StatusCode)
	}
	q := at.Query()
	evil.nonce, evil.challenge = q.Get("nonce"), q.Get("code_challenge")
	back := url.Values{"code": {"c-1"}, "state": {q.Get("state")}}
	if c.back != nil {
		c.back(back)
	}
	cookie := fmt.Sprintf("%s=%s", answer.Cookies()[0].Name, answer.Cookies()[0].Value)
	end, page := o.ask(http.MethodGet, "/signin/oidc/callback?"+back.Encode(), cookie, nil)
	for _, again := range []string{cookie, ""} { // the same answer again, or without the browser's cookie
		if more, _ := o.ask(http.MethodGet, "/signin/oidc/callback?"+back.Encode(), again, nil); more.StatusCode != http.StatusConflict {
			o.t.Errorf("%s: a state that was used opens again: %d", c.name, more.StatusCode)
		}
	}
	return end.StatusCode, page
}
