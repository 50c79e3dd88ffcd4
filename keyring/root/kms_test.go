package root_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"azekura/keyring/root"
)

// kms is a fake of a transit KMS, as the API documentation of Vault and OpenBao
// describes it (/transit/encrypt/:name, /transit/decrypt/:name, /sys/health,
// /auth/token/renew-self), over TLS under a CA of its own. What it encrypts is
// really encrypted. It stands here because neither server can be had where
// these tests run.
type kms struct {
	server *httptest.Server
	dir    string // ca.pem and token

	mu      sync.Mutex
	keys    []cipher.AEAD // one a version
	health  int           // the status of /sys/health
	sealed  bool
	deny    map[string]bool // operations that the token's policy doesn't have
	hang    chan struct{}   // when not nil, all but /sys/health waits for it
	lie     bool            // decrypts to something else
	renewed int
	seen    [][]byte // what it was given to encrypt
}

const (
	kmsToken     = "hvs.CAESIJtokenOfTestsThatNobodyMaySee"
	kmsNamespace = "agency"
)

func newKMS(t testing.TB) *kms {
	t.Helper()
	k := &kms{dir: t.TempDir(), health: http.StatusOK, deny: map[string]bool{}}
	k.rotate(t)
	ca, caKey := certificate(t, nil, nil)
	leaf, leafKey := certificate(t, ca, caKey)
	k.server = httptest.NewUnstartedServer(http.HandlerFunc(k.serve))
	k.server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that tests mean to fail
	k.server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: leafKey}}}
	k.server.StartTLS()
	t.Cleanup(k.server.Close)
	write(t, filepath.Join(k.dir, "ca.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})), 0o644)
	write(t, filepath.Join(k.dir, "token"), kmsToken+"\n", 0o600)
	return k
}

func (k *kms) config() root.TransitConfig {
	return root.TransitConfig{Address: k.server.URL, Mount: "transit", Key: "azekura", Namespace: kmsNamespace,
		CACert: filepath.Join(k.dir, "ca.pem"), TokenFile: filepath.Join(k.dir, "token")}
}

// set changes how the server behaves from now on.
func (k *kms) set(f func(*kms)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(k)
}

// rotate gives the key a new version; the old ones still decrypt.
func (k *kms) rotate(t testing.TB) {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	k.set(func(k *kms) { k.keys = append(k.keys, aead) })
}

func (k *kms) serve(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	health, hang, sealed := k.health, k.hang, k.sealed
	k.mu.Unlock()
	if r.URL.Path == "/v1/sys/health" {
		w.WriteHeader(health)
		return
	}
	if hang != nil {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
		return
	}
	if sealed {
		reply(w, http.StatusServiceUnavailable, "errors", []string{"Vault is sealed"})
		return
	}
	if r.Header.Get("X-Vault-Token") != kmsToken || r.Header.Get("X-Vault-Namespace") != kmsNamespace {
		reply(w, http.StatusForbidden, "errors", []string{"permission denied"})
		return
	}
	var body struct{ Plaintext, Ciphertext string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil && err != io.EOF {
		reply(w, http.StatusBadRequest, "errors", []string{err.Error()})
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	operation, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/transit/"), "/")
	switch {
	case k.deny[operation]:
		reply(w, http.StatusForbidden, "errors", []string{"1 error occurred:\n\t* permission denied\n\n"})
	case r.URL.Path == "/v1/auth/token/renew-self":
		k.renewed++
		reply(w, http.StatusOK, "auth", map[string]any{"client_token": kmsToken, "renewable": true, "lease_duration": 3600})
	case !strings.HasPrefix(r.URL.Path, "/v1/transit/"):
		reply(w, http.StatusNotFound, "errors", []string{"no handler for route \"" + r.URL.Path + "\""})
	case name != "azekura":
		reply(w, http.StatusBadRequest, "errors", []string{"encryption key not found"})
	case operation == "encrypt":
		plain, err := base64.StdEncoding.DecodeString(body.Plaintext)
		if err != nil {
			reply(w, http.StatusBadRequest, "errors", []string{"failed to base64-decode plaintext"})
			return
		}
		k.seen = append(k.seen, plain)
		nonce := make([]byte, 12)
		_, _ = rand.Read(nonce)
		version := len(k.keys)
		sealed := k.keys[version-1].Seal(nonce, nonce, plain, nil)
		reply(w, http.StatusOK, "data", map[string]any{"key_version": version,
			"ciphertext": fmt.Sprintf("vault:v%d:%s", version, base64.StdEncoding.EncodeToString(sealed))})
	case operation == "decrypt":
		plain, err := k.decrypt(body.Ciphertext)
		if err != nil {
			reply(w, http.StatusBadRequest, "errors", []string{err.Error()})
			return
		}
		if k.lie {
			plain = make([]byte, len(plain))
		}
		reply(w, http.StatusOK, "data", map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plain)})
	default:
		reply(w, http.StatusNotFound, "errors", []string{"unsupported path"})
	}
}

func (k *kms) decrypt(ciphertext string) ([]byte, error) {
	var version int
	var text string
	if _, err := fmt.Sscanf(ciphertext, "vault:v%d:%s", &version, &text); err != nil {
		return nil, fmt.Errorf("invalid ciphertext: no prefix")
	}
	if version < 1 || version > len(k.keys) {
		return nil, fmt.Errorf("invalid ciphertext: version is too new")
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(sealed) < 12 {
		return nil, fmt.Errorf("invalid ciphertext: could not decode base64")
	}
	return k.keys[version-1].Open(nil, sealed[:12], sealed[12:], nil)
}

func reply(w http.ResponseWriter, status int, name string, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"request_id": "00000000-0000-0000-0000-000000000000", name: value})
}

// certificate makes a CA, or a server's certificate under one.
func certificate(t testing.TB, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a KMS of tests"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	if parent == nil {
		form.IsCA, form.BasicConstraintsValid, form.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, parentKey = form, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, form, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}

func write(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
