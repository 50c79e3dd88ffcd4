package signin

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"azekura/access"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// ProviderSettings are of the agency's own OpenID provider.
type ProviderSettings struct {
	Issuer     string `json:"issuer"`
	ClientID   string `json:"client_id"`
	SecretFile string `json:"secret_file"` // its first line is the client's secret
	// Claim of the ID token that holds the staff member's id; empty is sub.
	Claim  string   `json:"claim,omitempty"`
	Scopes []string `json:"scopes,omitempty"` // besides openid
	// ACR are the authentication contexts that are enough, any of them; AMR the
	// methods that must all have been used (RFC 8176). Empty asks for nothing.
	ACR []string `json:"acr,omitempty"`
	AMR []string `json:"amr,omitempty"`
	// CAFile holds the certificates that the provider's is trusted by, where they
	// aren't the machine's own.
	CAFile string `json:"ca_file,omitempty"`
}

func (p *ProviderSettings) check() error {
	u, err := url.Parse(p.Issuer)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("%w: the provider's issuer must be an https:// URL", ErrSettings)
	case p.ClientID == "" || p.SecretFile == "":
		return fmt.Errorf("%w: the provider takes client_id and secret_file", ErrSettings)
	}
	return nil
}

var (
	errProvider     = errors.New("your agency's sign-in wasn't accepted")
	errProviderAway = errors.New("your agency's sign-in can't be reached now; use your passkey, or try again later")
)

// signatures are those that an ID token may bear. A shared secret's and none aren't
// among them.
var signatures = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}

// askFor bounds one request to the provider.
const askFor = 10 * time.Second

// provider is the agency's own, found when it is first needed.
type provider struct {
	set    ProviderSettings
	client *http.Client
	config oauth2.Config

	mu       sync.Mutex
	found    *oidc.Provider
	verifier *oidc.IDTokenVerifier
	until    time.Time
}

// describedFor is how long the provider's description of itself is believed.
const describedFor = time.Hour

func newProvider(set ProviderSettings, origin string) (*provider, error) {
	raw, err := os.ReadFile(set.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("%w: read the client's secret: %w", ErrSettings, err)
	}
	secret, _, _ := strings.Cut(string(raw), "\n")
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, Proxy: http.ProxyFromEnvironment, MaxIdleConns: 4, IdleConnTimeout: time.Minute}
	if set.CAFile != "" {
		pem, err := os.ReadFile(set.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%w: read the provider's certificates: %w", ErrSettings, err)
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: %s holds no certificate", ErrSettings, set.CAFile)
		}
	}
	if set.Claim == "" {
		set.Claim = "sub"
	}
	return &provider{set: set,
		client: &http.Client{Timeout: askFor, Transport: bounded{transport}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		config: oauth2.Config{ClientID: set.ClientID, ClientSecret: strings.TrimSpace(secret), RedirectURL: origin + "/signin/oidc/callback",
			Scopes: append([]string{oidc.ScopeOpenID}, set.Scopes...)}}, nil
}

// bounded cuts off an answer that is longer than a provider's can be.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, 1<<20), answer.Body}
	}
	return answer, err
}

// ready finds the provider, or answers from what was found a while ago.
func (p *provider) ready(ctx context.Context) (oauth2.Config, *oidc.IDTokenVerifier, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found == nil || time.Now().After(p.until) {
		found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.client), p.set.Issuer)
		if err != nil {
			return oauth2.Config{}, nil, fmt.Errorf("%w: %w", errProviderAway, err)
		}
		end := found.Endpoint()
		for _, u := range []string{end.AuthURL, end.TokenURL} {
			if !strings.HasPrefix(u, "https://") {
				return oauth2.Config{}, nil, fmt.Errorf("%w: it names an endpoint that isn't https", errProviderAway)
			}
		}
		p.found, p.until = found, time.Now().Add(describedFor)
		p.verifier = found.Verifier(&oidc.Config{ClientID: p.set.ClientID, SupportedSigningAlgs: signatures})
		p.config.Endpoint = end
	}
	return p.config, p.verifier, nil
}

// attempt is a sign-in at the provider that is under way.
type attempt struct {
	state, nonce, verifier string
	began                  time.Time
	touch                  bool
}

// startProvider sends a browser to the provider; with ?touch=1 to prove again that
// the session's holder is there.
func (s *Server) startProvider(w http.ResponseWriter, r *http.Request) {
	if s.provider == nil {
		s.fail(w, r, fmt.Errorf("%w: none is set up", errProvider))
		return
	}
	if _, err := s.peer(r); err != nil {
		s.fail(w, r, err)
		return
	}
	a := attempt{state: random(), nonce: random(), verifier: oauth2.GenerateVerifier(), began: time.Now(), touch: r.URL.Query().Get("touch") == "1"}
	c := ceremony{what: "oidc", oidc: a}
	options := []oauth2.AuthCodeOption{oidc.Nonce(a.nonce), oauth2.S256ChallengeOption(a.verifier)}
	if len(s.provider.set.ACR) > 0 {
		options = append(options, oauth2.SetAuthURLParam("acr_values", strings.Join(s.provider.set.ACR, " ")))
	}
	if a.touch {
		var err error
		if c.session, err = s.session(r); err != nil {
			s.fail(w, r, err)
			return
		}
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	config, _, err := s.provider.ready(r.Context())
	if err == nil {
		err = s.begin(w, stateCookie, c)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	http.Redirect(w, r, config.AuthCodeURL(a.state, options...), http.StatusFound)
}

// providerAnswers takes what the provider sends a browser back with.
func (s *Server) providerAnswers(w http.ResponseWriter, r *http.Request) {
	if s.provider == nil {
		s.fail(w, r, fmt.Errorf("%w: none is set up", errProvider))
		return
	}
	peer, err := s.peer(r)
	var c ceremony
	if err == nil {
		c, err = s.take(w, r, stateCookie, "oidc")
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	staff, why, err := s.provider.check(r.Context(), r.URL.Query(), c.oidc)
	if err != nil {
		s.trouble(fmt.Errorf("a sign-in through the provider is refused (%s): %w", why, err))
		if !errors.Is(err, errProviderAway) {
			err = s.deny(r.Context(), staff, peer.Device(), access.ViaOIDC, why, fmt.Errorf("%w (%s)", errProvider, why))
		}
		s.fail(w, r, err)
		return
	}
	p := access.Proof{Staff: staff, Via: access.ViaOIDC, Peer: peer}
	if c.oidc.touch {
		err = s.dir.Touch(context.WithoutCancel(r.Context()), c.session, p)
	} else if err = s.enter(w, r, p); errors.Is(err, access.ErrNotFound) || errors.Is(err, access.ErrInvalid) {
		// Whom the provider knows and we don't is nobody here.
		err = s.deny(r.Context(), "", peer.Device(), access.ViaOIDC, "unknown", fmt.Errorf("%w: you aren't among the staff here; ask the administrator", errProvider))
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	// A redirect from another site's would not carry the Strict cookie.
	s.page(w, r, "through", nil)
}

// check makes a staff member's id of the provider's answer, or names what is wrong
// with it in one word.
func (p *provider) check(ctx context.Context, q url.Values, a attempt) (staff, why string, err error) {
	if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(a.state)) != 1 {
		return "", "state", errProvider
	}
	if iss := q.Get("iss"); iss != "" && iss != p.set.Issuer { // RFC 9207
		return "", "issuer", errProvider
	}
	if q.Get("error") != "" {
		return "", "provider", errProvider // what it says is in the address, which whoever sent it wrote
	}
	config, verifier, err := p.ready(ctx)
	if err != nil {
		return "", "away", err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.client), 2*askFor)
	defer cancel()
	token, err := config.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(a.verifier))
	if err != nil {
		var refused *oauth2.RetrieveError
		if errors.As(err, &refused) && refused.Response.StatusCode < http.StatusInternalServerError {
			return "", "code", fmt.Errorf("%w: the provider refuses the code: %s", errProvider, refused.ErrorCode)
		}
		return "", "away", fmt.Errorf("%w: %w", errProviderAway, err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok || len(raw) > maxBody {
		return "", "token", errProvider
	}
	id, err := verifier.Verify(ctx, raw)
	if err != nil {
		return "", "token", fmt.Errorf("%w: %w", errProvider, err)
	}
	return p.claims(id, a)
}

// leeway is how far the provider's clock may be off.
const leeway = 30 * time.Second

func (p *provider) claims(id *oidc.IDToken, a attempt) (staff, why string, err error) {
	var all map[string]any
	var known struct {
		AuthorizedParty string   `json:"azp"`
		ACR             string   `json:"acr"`
		AMR             []string `json:"amr"`
		AuthTime        int64    `json:"auth_time"`
	}
	if err := errors.Join(id.Claims(&known), id.Claims(&all)); err != nil {
		return "", "claims", fmt.Errorf("%w: %w", errProvider, err)
	}
	staff, _ = all[p.set.Claim].(string)
	switch {
	case subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.nonce)) != 1:
		return "", "nonce", errProvider
	case len(id.Audience) != 1 && known.AuthorizedParty != p.set.ClientID, known.AuthorizedParty != "" && known.AuthorizedParty != p.set.ClientID:
		return "", "audience", errProvider
	case id.IssuedAt.After(time.Now().Add(leeway)):
		return "", "time", errProvider
	case staff == "" || len(staff) > 32:
		return "", "claim", fmt.Errorf("%w: the ID token has no claim %q with a staff member's id", errProvider, p.set.Claim)
	case len(p.set.ACR) > 0 && !slices.Contains(p.set.ACR, known.ACR):
		return staff, "acr", errProvider
	case slices.ContainsFunc(p.set.AMR, func(m string) bool { return !slices.Contains(known.AMR, m) }):
		return staff, "amr", errProvider
	case a.touch && time.Unix(known.AuthTime, 0).Before(a.began.Add(-leeway)):
		return staff, "auth_time", errProvider
	}
	return staff, "", nil
}
