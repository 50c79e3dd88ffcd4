package signin_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"azekura/access"
	"azekura/access/signin"
	"azekura/api"
	"azekura/internal/insttest"
	"azekura/register/field"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// cookie is the browser's session's, which must be kept as it has to be.
func (o *office) cookie(browser context.Context) string {
	o.t.Helper()
	list := asked(o, browser, func(ctx context.Context, t *chromedp.Target) (network.GetCookiesResult, error) {
		return cdp.Call(ctx, t, network.GetCookies, network.GetCookiesParams{URLs: []string{o.origin}})
	})
	for _, c := range list.Cookies {
		if c.Name != signin.SessionCookie {
			continue
		}
		if !c.Secure || !c.HTTPOnly || c.SameSite != network.CookieSameSiteStrict || c.Path != "/" {
			o.t.Errorf("the session's cookie is kept loosely: %+v", c)
		}
		return c.Value
	}
	return ""
}

// TestPasskeys: from nobody at all, the operator lets the first two officers in, they
// let in the others, and what a person does at the pages is what the log grants.
func TestPasskeys(t *testing.T) {
	// What access holds in the log is tried on both engines there.
	t.Run("sqlite", func(t *testing.T) {
		i := insttest.Open(t, insttest.New(t, "sqlite"))
		o := newOffice(t, i, nil)
		admin, officer, worker := o.browser(), o.browser(), o.browser()
		for staff, browser := range map[string]context.Context{"administrator": admin, "security-officer": officer} {
			print := o.enrol(browser, access.Operator(), staff)
			// Nobody vouched for it yet.
			o.do(browser, chromedp.Navigate(o.origin+"/signin"), chromedp.Click("#passkey"), chromedp.WaitVisible("#problem"))
			o.refused("assertion")
			if _, err := i.Access.Vouch(t.Context(), access.Operator(), staff, print); err != nil {
				t.Fatal(err)
			}
			if s := o.signIn(browser); s.Staff() != staff || s.Via() != access.ViaPasskey || i.Access.Fresh(s) != nil {
				t.Errorf("%s came in as %s by %s", staff, s.Staff(), s.Via())
			}
		}
		byAdmin, byOfficer := o.session(admin).Officer(), o.session(officer).Officer()
		print := o.enrol(worker, byAdmin, "caseworker")
		if _, err := i.Access.Vouch(t.Context(), byOfficer, "caseworker", print); err != nil {
			t.Fatal(err)
		}
		s := o.signIn(worker)
		if s.Staff() != "caseworker" || s.Role() != "caseworker" || s.Device() != "d-1" {
			t.Errorf("%s as %s at %s", s.Staff(), s.Role(), s.Device())
		}
		before := s.Touched()
		asked(o, worker, chromedp.Evaluate[string](`document.getElementById("touched").textContent = "waits"`))
		o.do(worker, chromedp.Click("#touch"))
		asked(o, worker, chromedp.Poll[bool](`document.getElementById("touched").textContent !== "waits"`))
		if after := o.session(worker).Touched(); !after.After(before) {
			t.Error("a touch at the page isn't one in the session")
		}
		// A touch for one act gives a code, and it alone does the act.
		call := access.OpenCase("call", field.SetOf(field.Name))
		o.do(worker, chromedp.SetValue("#for", string(call)), chromedp.Click("#act-touch button"))
		code := asked(o, worker, chromedp.Poll[string](`document.getElementById("act-code").value`))
		if touched, err := i.Access.UseTouch(t.Context(), o.session(worker), code, call); err != nil || !touched.For(call) {
			t.Errorf("the page's code %q: %v", code, err)
		}
		o.do(worker, chromedp.SetValue("#for", "everything"), chromedp.Click("#act-touch button"), chromedp.WaitVisible("#problem"))
		token := o.cookie(worker)
		o.do(worker, chromedp.Click("#out"), chromedp.WaitVisible("#passkey"))
		if _, err := i.Access.Authenticate(token, o.peer); err == nil || o.cookie(worker) != "" {
			t.Error("signed out, and still in")
		}
		// A reset lets nobody in: the passkey is gone, and so is the session.
		s = o.signIn(worker)
		if err := i.Access.RemovePasskeys(t.Context(), byAdmin, "caseworker"); err != nil {
			t.Fatal(err)
		}
		if i.Access.Still(s) == nil {
			t.Error("a session outlived its passkey")
		}
		o.do(worker, chromedp.Navigate(o.origin+"/signin"), chromedp.Click("#passkey"), chromedp.WaitVisible("#problem"))
		o.refused("assertion")
		// A counter that is behind the log's is a copy's (WebAuthn 6.1.1).
		ahead := access.Proof{Staff: "security-officer", Via: access.ViaPasskey, Peer: o.peer, Count: 1000}
		if err := i.Access.Touch(t.Context(), o.session(officer), ahead); err != nil {
			t.Fatal(err)
		}
		o.do(officer, chromedp.Navigate(o.origin+"/signin"), chromedp.Click("#passkey"), chromedp.WaitVisible("#problem"))
		o.refused("counter")
		// Who is contained doesn't come in by the passkey that they have.
		if _, err := i.Access.Contain(t.Context(), byOfficer, access.Target{Kind: access.TheStaff, ID: "administrator"}, "a test"); err != nil {
			t.Fatal(err)
		}
		o.do(admin, chromedp.Navigate(o.origin+"/signin"), chromedp.Click("#passkey"), chromedp.WaitVisible("#problem"))
		o.refused("contained")
	})
}

// TestPages: what the pages say about themselves, in two languages.
func TestPages(t *testing.T) {
	o := newOffice(t, insttest.Open(t, insttest.New(t, "sqlite")), nil)
	for _, path := range []string{"/signin", "/signin/enrol", "/signin/session"} {
		answer, page := o.ask(http.MethodGet, path, "", nil, "Accept-Language", "ja,en;q=0.5")
		if answer.StatusCode != http.StatusOK || !strings.Contains(page, `lang="ja"`) {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
		for name, want := range map[string]string{"Content-Security-Policy": "default-src 'none'; script-src 'self'", "Cache-Control": "no-store",
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin"} {
			if !strings.HasPrefix(answer.Header.Get(name), want) {
				t.Errorf("%s: %s is %q", path, name, answer.Header.Get(name))
			}
		}
		if strings.Contains(page, "<script>") || strings.Contains(page, " on") && strings.Contains(page, "onclick") || strings.Contains(page, " style=") {
			t.Errorf("%s holds inline script or style", path)
		}
		if _, page := o.ask(http.MethodGet, path+"?lang=en", "", nil); !strings.Contains(page, `lang="en"`) {
			t.Errorf("%s isn't in English", path)
		}
	}
}

// TestOtherSites: what another site makes a browser send isn't done, on the API's
// operations as on the pages'.
func TestOtherSites(t *testing.T) {
	i := insttest.Open(t, insttest.New(t, "sqlite"))
	o := newOffice(t, i, nil)
	_, token, err := i.Access.SignIn(t.Context(), access.Proof{Staff: "caseworker", Via: access.ViaPasskey, Peer: o.peer}, access.DefaultRules)
	if err != nil {
		t.Fatal(err)
	}
	cookie := signin.SessionCookie + "=" + token
	for _, path := range []string{"/signin/out", "/v1/people/close-session", "/v1/read"} {
		for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://elsewhere.invalid"}, {"Origin", "null"}} {
			if answer, _ := o.ask(http.MethodPost, path, cookie, struct{}{}, header...); answer.StatusCode != http.StatusForbidden {
				t.Errorf("%s with %q: %d", path, header, answer.StatusCode)
			}
		}
	}
	if answer, list := o.ask(http.MethodGet, "/v1/people/sessions", cookie, nil); answer.StatusCode != http.StatusOK || !strings.Contains(list, `"via":"passkey"`) {
		t.Errorf("the cookie doesn't open the API: %d %s", answer.StatusCode, list)
	}
	if answer, _ := o.ask(http.MethodPost, "/signin/out", cookie, struct{}{}, "Sec-Fetch-Site", "same-origin"); answer.StatusCode != http.StatusOK {
		t.Errorf("one's own page can't sign out: %d", answer.StatusCode)
	}
	if _, err := i.Access.Authenticate(token, o.peer); err == nil {
		t.Error("signed out, and still in")
	}
}

// TestOperatorOpensNoPersonsSession: once staff sign in, the operator opens sessions
// for programs alone.
func TestOperatorOpensNoPersonsSession(t *testing.T) {
	i := insttest.Open(t, insttest.New(t, "sqlite"))
	newOffice(t, i, nil)
	if _, err := i.Access.AddMachine(t.Context(), "robot", "caseworker", "o-1"); err != nil {
		t.Fatal(err)
	}
	operator := api.New(i, func(string, error) {}).Operator()
	for staff, want := range map[string]int{"caseworker": http.StatusUnprocessableEntity, "robot": http.StatusOK} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/operator/sessions", strings.NewReader(`{"staff":"`+staff+`","device":"d-1","minutes":5}`))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		operator.ServeHTTP(w, r)
		if w.Code != want || len(i.Access.SessionsOf(staff)) != map[string]int{"robot": 1}[staff] {
			t.Errorf("%s: %d %s", staff, w.Code, w.Body)
		}
	}
}

// TestCeremonies: one is finished once, by whoever began it, for what it was begun.
func TestCeremonies(t *testing.T) {
	o := newOffice(t, insttest.Open(t, insttest.New(t, "sqlite")), nil)
	answer, _ := o.ask(http.MethodPost, "/signin/passkey/begin", "", struct{}{})
	if answer.StatusCode != http.StatusOK || len(answer.Cookies()) != 1 {
		t.Fatalf("%d %q", answer.StatusCode, answer.Header)
	}
	c := answer.Cookies()[0]
	cookie := c.Name + "=" + c.Value
	for _, try := range []struct {
		what, path, cookie string
		want               int
	}{
		{"nobody's", "/signin/passkey/finish", "", http.StatusConflict},
		{"made up", "/signin/passkey/finish", c.Name + "=x", http.StatusConflict},
		{"with nonsense", "/signin/passkey/finish", cookie, http.StatusUnprocessableEntity},
		{"again", "/signin/passkey/finish", cookie, http.StatusConflict},
		{"a code that isn't one", "/signin/enrol/begin", "", http.StatusForbidden},
		{"a touch without a session", "/signin/touch/begin", "", http.StatusUnauthorized},
	} {
		if answer, told := o.ask(http.MethodPost, try.path, try.cookie, map[string]string{"code": "AAAA-AAAA-AAAA-AAAA"}); answer.StatusCode != try.want {
			t.Errorf("%s: %d, not %d: %s", try.what, answer.StatusCode, try.want, told)
		}
	}
}
