package signin_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"
)

// liar is a provider made by hand, for what a right one wouldn't do.
type liar struct {
	server           *httptest.Server
	key, other       *ecdsa.PrivateKey
	lie              lie
	nonce, challenge string
}

// lie is one thing that it does, and the word by which it must be refused.
type lie struct {
	name, why string
	claims    func(map[string]any)
	token     func(l *liar, claims map[string]any) string
	back      func(url.Values)
	status    int
}

func newLiar(o *office) *liar {
	o.t.Helper()
	l := &liar{}
	var err error
	if l.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
		l.other, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		o.t.Fatal(err)
	}
	mux := http.NewServeMux()
	l.server = httptest.NewTLSServer(mux)
	o.t.Cleanup(l.server.Close)
	say := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		say(w, map[string]any{"issuer": l.server.URL, "authorization_endpoint": l.server.URL + "/auth", "token_endpoint": l.server.URL + "/token",
			"jwks_uri": l.server.URL + "/keys", "id_token_signing_alg_values_supported": []string{"none", "HS256", "ES256"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		raw, err := l.key.PublicKey.Bytes() // 4, x, y
		if err != nil {
			panic(err)
		}
		say(w, map[string]any{"keys": []any{map[string]string{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "k", "x": b64(raw[1:33]), "y": b64(raw[33:])}}})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if l.lie.status != 0 || b64(sum[:]) != l.challenge || r.PostFormValue("code") != "c-1" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
			return
		}
		now := time.Now().Unix()
		claims := map[string]any{"iss": l.server.URL, "aud": "azekura", "sub": "p-1", "staff_id": "caseworker", "nonce": l.nonce, "iat": now, "exp": now + 300,
			"auth_time": now, "acr": "high", "amr": []string{"hwk", "pin", "mfa"}}
		if l.lie.claims != nil {
			l.lie.claims(claims)
		}
		make := func(l *liar, claims map[string]any) string { return signed(l.key, "ES256", claims) }
		if l.lie.token != nil {
			make = l.lie.token
		}
		answer := map[string]any{"access_token": "a", "token_type": "Bearer", "expires_in": 300}
		if token := make(l, maps.Clone(claims)); token != "" {
			answer["id_token"] = token
		}
		say(w, answer)
	})
	return l
}

func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func unsigned(alg string, claims map[string]any) string {
	head, _ := json.Marshal(map[string]string{"alg": alg, "kid": "k", "typ": "JWT"})
	body, _ := json.Marshal(claims)
	return b64(head) + "." + b64(body)
}

// signed is a JWS of ES256 (RFC 7518 3.4), whatever its head says.
func signed(key *ecdsa.PrivateKey, alg string, claims map[string]any) string {
	text := unsigned(alg, claims)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic(err)
	}
	var raw [64]byte
	r.FillBytes(raw[:32])
	s.FillBytes(raw[32:])
	return text + "." + b64(raw[:])
}

func set(name string, v any) func(map[string]any) { return func(c map[string]any) { c[name] = v } }

func without(name string) func(map[string]any) { return func(c map[string]any) { delete(c, name) } }

func lies() []lie {
	past := time.Now().Add(-time.Hour).Unix()
	return []lie{
		{name: "the truth"},
		{name: "two audiences and the right party", claims: func(c map[string]any) { c["aud"], c["azp"] = []string{"azekura", "x"}, "azekura" }},
		{name: "another issuer", why: "token", claims: set("iss", "https://elsewhere.invalid")},
		{name: "another audience", why: "token", claims: set("aud", "someone")},
		{name: "two audiences and no party", why: "audience", claims: set("aud", []string{"azekura", "x"})},
		{name: "another party", why: "audience", claims: set("azp", "someone")},
		{name: "expired", why: "token", claims: set("exp", past)},
		{name: "no expiry", why: "token", claims: without("exp")},
		{name: "not yet", why: "token", claims: set("nbf", time.Now().Add(time.Hour).Unix())},
		{name: "from tomorrow", why: "time", claims: set("iat", time.Now().Add(24*time.Hour).Unix())},
		{name: "another nonce", why: "nonce", claims: set("nonce", "x")},
		{name: "no nonce", why: "nonce", claims: without("nonce")},
		{name: "no claim", why: "claim", claims: without("staff_id")},
		{name: "a claim that is no text", why: "claim", claims: set("staff_id", []string{"caseworker"})},
		{name: "a long claim", why: "claim", claims: set("staff_id", string(make([]byte, 33)))},
		{name: "an unknown person", why: "unknown", claims: set("staff_id", "stranger")},
		{name: "a weak context", why: "acr", claims: set("acr", "low")},
		{name: "no context", why: "acr", claims: without("acr")},
		{name: "a method missing", why: "amr", claims: set("amr", []string{"hwk"})},
		{name: "no methods", why: "amr", claims: without("amr")},
		{name: "unsigned", why: "token", token: func(_ *liar, c map[string]any) string { return unsigned("none", c) + "." }},
		{name: "the client's secret as key", why: "token", token: func(_ *liar, c map[string]any) string {
			text := unsigned("HS256", c)
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write([]byte(text))
			return text + "." + b64(mac.Sum(nil))
		}},
		{name: "another's key", why: "token", token: func(l *liar, c map[string]any) string { return signed(l.other, "ES256", c) }},
		{name: "a head that says otherwise", why: "token", token: func(l *liar, c map[string]any) string { return signed(l.key, "RS256", c) }},
		{name: "no token", why: "token", token: func(*liar, map[string]any) string { return "" }},
		{name: "nonsense for a token", why: "token", token: func(*liar, map[string]any) string { return "a.b.c" }},
		{name: "a code that was used", why: "code", status: http.StatusBadRequest},
		{name: "another code", why: "code", back: func(q url.Values) { q.Set("code", "c-2") }},
		{name: "another state", why: "state", back: func(q url.Values) { q.Set("state", "x") }},
		{name: "no state", why: "state", back: func(q url.Values) { q.Del("state") }},
		{name: "another's answer", why: "issuer", back: func(q url.Values) { q.Set("iss", "https://elsewhere.invalid") }},
		{name: "an error", why: "provider", back: func(q url.Values) { q.Set("error", "access_denied") }},
	}
}
