// Package signin is how staff come in: by a passkey (WebAuthn level 3) or through
// the agency's own OpenID provider; how they prove again that they are there; and how
// they go.
//
// It promises that a session opens only for a staff member whom the audit log knows,
// at the device whose key the connection proves, after a ceremony that this server began a
// short while ago, for this browser, and that hasn't been finished before. A passkey
// verifies its user (a PIN or a finger), and counts once a second person vouched for
// it. The provider only says who it is: roles are ours. A session's token goes into a
// cookie that no script reads and no other site sends. The pages hold no inline script
// and load nothing from elsewhere. What is refused to somebody known is an event.
//
// It doesn't see what an authenticator is made of: attestation isn't asked for, and a
// second person's eyes stand in its place. Whoever rules the provider can sign in as
// any staff member that it names.
package signin

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"azekura/access"
	"azekura/access/device"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

// SessionCookie holds a session's token in a browser. Its prefix keeps it to this
// host and to TLS (RFC 6265bis 4.1.3.2).
const SessionCookie = "__Host-azekura"

const (
	ceremonyCookie = "__Host-azekura-ceremony"
	stateCookie    = "__Host-azekura-oidc" // the provider's answer comes from another site, so it is Lax
)

// ceremonyLasts is how long somebody may take at the authenticator or the provider.
const ceremonyLasts = 5 * time.Minute

const maxBody = 64 << 10

// Settings are the sign-in's, in azekura.json.
type Settings struct {
	// Origin is what staff's browsers have in their address line: https://host or
	// https://host:port. Passkeys are bound to its host for good.
	Origin string `json:"origin"`
	// Minutes that a session lasts and that it may be left alone, and how many one
	// staff member may have; 0 is the default of each.
	Minutes     int `json:"minutes,omitempty"`
	IdleMinutes int `json:"idle_minutes,omitempty"`
	AtOnce      int `json:"at_once,omitempty"`
	// Provider is the agency's own OpenID provider; nil for passkeys alone.
	Provider *ProviderSettings `json:"provider,omitempty"`
}

// Rules are the settings' bounds of a session.
func (s *Settings) Rules() access.Rules {
	r := access.DefaultRules
	if s.Minutes != 0 {
		r.Lasts = time.Duration(s.Minutes) * time.Minute
	}
	if s.IdleMinutes != 0 {
		r.Idle = time.Duration(s.IdleMinutes) * time.Minute
	}
	if s.AtOnce != 0 {
		r.AtOnce = s.AtOnce
	}
	return r
}

// ErrSettings refuses settings that can't be gone by.
var ErrSettings = errors.New("the sign-in's settings")

// Check refuses settings that can't be gone by, or that would bound nothing.
func (s *Settings) Check() error {
	u, err := url.Parse(s.Origin)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		return fmt.Errorf("%w: origin must be https://host or https://host:port", ErrSettings)
	}
	if err := s.Rules().Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrSettings, err)
	}
	if s.Provider != nil {
		return s.Provider.check()
	}
	return nil
}

// Server answers the sign-in's pages and operations.
type Server struct {
	set      Settings
	dir      *access.Directory
	web      *webauthn.WebAuthn
	provider *provider
	// peer says at which device a request's connection ends.
	peer func(*http.Request) (device.Peer, error)
	// trouble hears what isn't told to who asks.
	trouble func(error)

	mu      sync.Mutex
	pending map[string]ceremony
	refused refusals
}

// New makes a server of settings that Check accepts.
func New(set Settings, dir *access.Directory, peer func(*http.Request) (device.Peer, error), trouble func(error)) (*Server, error) {
	if err := set.Check(); err != nil {
		return nil, err
	}
	u, err := url.Parse(set.Origin)
	if err != nil {
		return nil, err
	}
	web, err := webauthn.New(&webauthn.Config{RPID: u.Hostname(), RPDisplayName: "Azekura", RPOrigins: []string{set.Origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementRequired,
			RequireResidentKey: protocol.ResidentKeyRequired(), UserVerification: protocol.VerificationRequired}})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSettings, err)
	}
	s := &Server{set: set, dir: dir, web: web, peer: peer, trouble: trouble, pending: map[string]ceremony{}}
	if set.Provider != nil {
		if s.provider, err = newProvider(*set.Provider, set.Origin); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Handle adds the pages and operations to a mux.
func (s *Server) Handle(mux *http.ServeMux) {
	s.addPages(mux)
	for path, f := range map[string]func(http.ResponseWriter, *http.Request) (any, error){
		"passkey/begin": s.beginPasskey, "passkey/finish": s.finishPasskey,
		"enrol/begin": s.beginEnrol, "enrol/finish": s.finishEnrol,
		"touch/begin": s.beginTouch, "touch/finish": s.finishTouch,
		"role": s.actAs, "close": s.closeOne, "out": s.signOut,
	} {
		mux.HandleFunc("POST /signin/"+path, s.answer(f))
	}
	mux.HandleFunc("GET /signin/sessions", s.answer(s.sessions))
	mux.HandleFunc("GET /signin/oidc", s.startProvider)
	mux.HandleFunc("GET /signin/oidc/callback", s.providerAnswers)
}

// ceremony is what this server began and somebody is to finish, once.
type ceremony struct {
	what    string
	expires time.Time
	web     webauthn.SessionData
	code    string         // of an enrolment
	session access.Session // of a touch
	act     access.Act     // what the touch is for; "" is the session
	oidc    attempt
}

// maxPending bounds the ceremonies under way.
const maxPending = 4096

var errMany = errors.New("too many sign-ins are under way; try again in a minute")

// begin keeps a ceremony for whoever holds the cookie.
func (s *Server) begin(w http.ResponseWriter, cookie string, c ceremony) error {
	c.expires = time.Now().Add(ceremonyLasts)
	id := random()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) >= maxPending {
		for id, old := range s.pending {
			if time.Now().After(old.expires) {
				delete(s.pending, id)
			}
		}
		if len(s.pending) >= maxPending {
			return errMany
		}
	}
	s.pending[id] = c
	site := http.SameSiteStrictMode
	if cookie == stateCookie {
		site = http.SameSiteLaxMode
	}
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: id, Path: "/", Secure: true, HttpOnly: true, SameSite: site, MaxAge: int(ceremonyLasts / time.Second)})
	return nil
}

var errCeremony = errors.New("this sign-in took too long, or was finished already, or was begun in another browser; begin again")

// take ends a ceremony: it can be finished once, whatever comes of it.
func (s *Server) take(w http.ResponseWriter, r *http.Request, cookie, what string) (ceremony, error) {
	http.SetCookie(w, &http.Cookie{Name: cookie, Path: "/", Secure: true, HttpOnly: true, MaxAge: -1})
	id, err := r.Cookie(cookie)
	if err != nil {
		return ceremony{}, errCeremony
	}
	s.mu.Lock()
	c, ok := s.pending[id.Value]
	delete(s.pending, id.Value)
	s.mu.Unlock()
	if !ok || c.what != what || time.Now().After(c.expires) {
		return ceremony{}, errCeremony
	}
	return c, nil
}

func random() string {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails: the program ends instead
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// session is the live session of a request's cookie.
func (s *Server) session(r *http.Request) (access.Session, error) {
	c, err := r.Cookie(SessionCookie)
	if err != nil {
		return access.Session{}, access.ErrNoSession
	}
	peer, err := s.peer(r)
	if err != nil {
		peer = device.Peer{} // which fits no session: the refusal is an alarm
	}
	return s.dir.Authenticate(c.Value, peer)
}

// enter opens a session for whom a proof names, and hands out its token.
func (s *Server) enter(w http.ResponseWriter, r *http.Request, p access.Proof) error {
	info, token, err := s.dir.SignIn(context.WithoutCancel(r.Context()), p, s.set.Rules())
	switch {
	case errors.Is(err, access.ErrContained):
		return s.deny(r.Context(), p.Staff, p.Peer.Device(), p.Via, "contained", access.ErrContained)
	case errors.Is(err, access.ErrRefused):
		return s.deny(r.Context(), p.Staff, p.Peer.Device(), p.Via, "role", err)
	case err != nil:
		return err
	}
	handOut(w, token, info)
	return nil
}

func handOut(w http.ResponseWriter, token string, info access.SessionInfo) {
	http.SetCookie(w, &http.Cookie{Name: SessionCookie, Value: token, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode, Expires: info.Expires})
}

func (s *Server) actAs(w http.ResponseWriter, r *http.Request) (any, error) {
	session, err := s.session(r)
	if err != nil {
		return nil, err
	}
	var in struct{ Role string }
	if err := read(w, r, &in); err != nil {
		return nil, err
	}
	info, token, err := s.dir.ActAs(context.WithoutCancel(r.Context()), session, in.Role, s.set.Rules())
	if err != nil {
		return nil, err
	}
	handOut(w, token, info)
	return info, nil
}

func (s *Server) signOut(w http.ResponseWriter, r *http.Request) (any, error) {
	session, err := s.session(r)
	if err == nil {
		_, err = s.dir.End(context.WithoutCancel(r.Context()), session.Officer(), session.ID())
	}
	if err != nil && !errors.Is(err, access.ErrNoSession) {
		return nil, err
	}
	http.SetCookie(w, &http.Cookie{Name: SessionCookie, Path: "/", Secure: true, HttpOnly: true, MaxAge: -1})
	// What the browser keeps of this site goes too.
	w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	return struct{}{}, nil
}

func read(w http.ResponseWriter, r *http.Request, into any) error {
	raw, err := body(w, r)
	if err != nil || json.Unmarshal(raw, into) != nil {
		return errBody
	}
	return nil
}

var errBody = errors.New("the request isn't what this takes: JSON of at most 64 KiB, no property given twice")

// body reads what is one JSON value, and refuses what two readers could understand
// in two ways, as the API does.

func body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Type") != "application/json" {
		return nil, errBody
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || !utf8.Valid(raw) {
		return nil, errBody
	}
	in := json.NewDecoder(bytes.NewReader(raw))
	if once(in, 0) != nil {
		return nil, errBody
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return nil, errBody
	}
	return raw, nil
}

// maxDepth is deeper than what an authenticator answers is nested.
const maxDepth = 16

// once reads one value, whose objects have each property once, in whatever case: the
// reader behind takes "Code" for "code".
func once(in *json.Decoder, depth int) error {
	token, err := in.Token()
	open, nested := token.(json.Delim)
	if err != nil || !nested {
		return err
	}
	if depth > maxDepth {
		return errBody
	}
	seen := map[string]bool{}
	for in.More() {
		if open == '{' {
			name, err := in.Token()
			key, _ := name.(string)
			if key = strings.ToLower(key); err != nil || seen[key] {
				return errBody
			}
			seen[key] = true
		}
		if err := once(in, depth+1); err != nil {
			return err
		}
	}
	_, err = in.Token() // its end
	return err
}
