package root

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	"github.com/hashicorp/go-kms-wrapping/wrappers/transit/v2"
)

const (
	nonceSize = 12 // AES-GCM's
	maxToken  = 8 << 10
	maxCA     = 1 << 20

	probeTimeout = 5 * time.Second
	openTimeout  = 20 * time.Second
	callTimeout  = 15 * time.Second
)

// TransitConfig says where the KMS is and which of its keys is ours. What it
// doesn't hold, no environment variable may add.
type TransitConfig struct {
	Address   string `json:"address"`             // https://host:port
	Mount     string `json:"mount,omitempty"`     // of the transit engine; empty is "transit"
	Key       string `json:"key"`                 // its name
	Namespace string `json:"namespace,omitempty"` // where the KMS has them
	CACert    string `json:"ca_cert,omitempty"`   // a PEM file; empty trusts what the system trusts
	TokenFile string `json:"token_file"`          // mode 600; may use the key to encrypt and decrypt, and no more
}

// remote is a root key at a KMS. The transit wrapper that it builds on drops
// additional data, so each value is sealed by the library's own envelope, as
// its wrappers for the public clouds do: AES-256-GCM with the additional data
// under a fresh key, and that key goes to the KMS.
type remote struct {
	owned
	kms *transit.Wrapper
}

var (
	_ wrapping.Wrapper       = remote{}
	_ wrapping.InitFinalizer = remote{}
)

// OpenTransit connects to the KMS and tries the key once, so that a setting
// which is wrong shows at the start. The token is read once, and renewed for
// as long as the KMS allows and the wrapper isn't closed.
func OpenTransit(ctx context.Context, c TransitConfig) (wrapping.Wrapper, error) {
	c.Mount, c.Namespace = strings.Trim(c.Mount, "/"), strings.Trim(c.Namespace, "/")
	if c.Mount == "" {
		c.Mount = "transit"
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("the KMS's settings: %w", err)
	}
	token, err := c.token()
	if err != nil {
		return nil, fmt.Errorf("read the KMS's token: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := c.probe(ctx); err != nil {
		return nil, fmt.Errorf("the KMS at %s: %w", c.Address, err)
	}
	kms, err := c.connect(ctx, token)
	if err != nil {
		return nil, fmt.Errorf("the KMS at %s doesn't let us use the key %s of %s: %w", c.Address, c.Key, c.Mount, err)
	}
	r := remote{owned{c.id()}, kms}
	if err := r.test(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("the KMS at %s: %w", c.Address, err), r.Finalize(ctx))
	}
	return r, nil
}

// id names the key wherever the KMS has moved to, whatever version it is in.
func (c TransitConfig) id() string {
	return "transit:" + strings.TrimPrefix(c.Namespace+"/", "/") + c.Mount + "/" + c.Key
}

var (
	pathForm  = regexp.MustCompile(`^[\pL\pN_-][\pL\pN._-]*(/[\pL\pN_-][\pL\pN._-]*)*$`)
	tokenForm = regexp.MustCompile(`^[A-Za-z0-9._=+-]+$`)
)

func (c TransitConfig) check() error {
	u, err := url.Parse(c.Address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("address must be https://host:port")
	}
	for name, path := range map[string]string{"mount": c.Mount, "key": c.Key, "namespace": c.Namespace} {
		if !pathForm.MatchString(path) && (name != "namespace" || path != "") {
			return fmt.Errorf("%s must be a name", name)
		}
	}
	if strings.Contains(c.Key, "/") {
		return errors.New("key must be a name")
	}
	// The KMS's client would let them redirect it, or turn off the check of its
	// certificate, behind the settings' back.
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "VAULT_") {
			return fmt.Errorf("the variable %s is set and could override them: unset it for this program", name)
		}
	}
	return nil
}

func (c TransitConfig) token() (string, error) {
	if c.TokenFile == "" {
		return "", errors.New("token_file is not set")
	}
	text, err := readSecret(c.TokenFile, maxToken)
	if err != nil {
		return "", err
	}
	defer clear(text)
	token := string(bytes.TrimSpace(text))
	if !tokenForm.MatchString(token) { // the library would take file:// and env:// for places to look
		return "", fmt.Errorf("%s holds no token", c.TokenFile)
	}
	return token, nil
}

// probe finds out what the library would take minutes to say, or not say
// well: that nobody answers, that the certificate is another's, that the KMS is
// sealed.
func (c TransitConfig) probe(ctx context.Context) error {
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CACert != "" {
		pem, err := readBounded(c.CACert, maxCA)
		if err != nil {
			return fmt.Errorf("read ca_cert: %w", err)
		}
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("ca_cert %s holds no certificate in PEM form", c.CACert)
		}
	}
	transport := &http.Transport{TLSClientConfig: trust, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.Address, "/")+"/v1/sys/health", nil)
	if err != nil {
		return err
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("can't be reached: %w", err)
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusNotImplemented:
		return errors.New("is not initialised")
	case http.StatusServiceUnavailable:
		return errors.New("is sealed: its operators must unseal it")
	}
	return nil
}

// connect configures the wrapper, whose own first calls know no deadline: if
// ours passes it is left to end by itself.
func (c TransitConfig) connect(ctx context.Context, token string) (*transit.Wrapper, error) {
	kms := transit.NewWrapper()
	done := make(chan error, 1)
	go func() {
		_, err := kms.SetConfig(ctx, wrapping.WithDisallowEnvVars(true), transit.WithAddress(c.Address), transit.WithMountPath(c.Mount),
			transit.WithKeyName(c.Key), transit.WithNamespace(c.Namespace), transit.WithTlsCaCert(c.CACert), transit.WithToken(token))
		done <- err
	}()
	select {
	case err := <-done:
		return kms, err
	case <-ctx.Done():
		go func() {
			if <-done == nil {
				_ = kms.Finalize(context.Background())
			}
		}()
		return nil, fmt.Errorf("no answer in time: %w", ctx.Err())
	}
}

// test holds the key to what the keyring relies on.
func (r remote) test(ctx context.Context) error {
	want := make([]byte, keySize)
	_, _ = rand.Read(want)
	sealed, err := r.Encrypt(ctx, want, wrapping.WithAad([]byte("azekura self-test 1")))
	if err != nil {
		return fmt.Errorf("a test of the key: %w", err)
	}
	got, err := r.Decrypt(ctx, sealed, wrapping.WithAad([]byte("azekura self-test 1")))
	if err != nil {
		return fmt.Errorf("a test of the key: %w", err)
	}
	if !bytes.Equal(got, want) {
		return errors.New("a test of the key gave back something else")
	}
	if _, err := r.Decrypt(ctx, sealed, wrapping.WithAad([]byte("azekura self-test 2"))); err == nil {
		return errors.New("a test of the key opened a value out of its place")
	}
	return nil
}

func (r remote) Type(ctx context.Context) (wrapping.WrapperType, error) { return r.kms.Type(ctx) }

func (r remote) Encrypt(ctx context.Context, plaintext []byte, o ...wrapping.Option) (*wrapping.BlobInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	env, err := wrapping.EnvelopeEncrypt(plaintext, o...)
	if err != nil {
		return nil, err
	}
	defer clear(env.Key)
	wrapped, err := r.kms.Encrypt(ctx, env.Key)
	if err != nil {
		return nil, fmt.Errorf("the KMS doesn't encrypt: %w", err)
	}
	return &wrapping.BlobInfo{Ciphertext: env.Ciphertext, Iv: env.Iv,
		KeyInfo: &wrapping.KeyInfo{KeyId: r.id, WrappedKey: wrapped.Ciphertext}}, nil
}

func (r remote) Decrypt(ctx context.Context, in *wrapping.BlobInfo, o ...wrapping.Option) ([]byte, error) {
	if err := r.check(in); err != nil {
		return nil, err
	}
	if len(in.Iv) != nonceSize { // the library would panic
		return nil, errors.New("the wrapped key is cut short")
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	key, err := r.kms.Decrypt(ctx, &wrapping.BlobInfo{Ciphertext: in.KeyInfo.WrappedKey})
	if err != nil {
		return nil, fmt.Errorf("the KMS doesn't decrypt: %w", err)
	}
	defer clear(key)
	return wrapping.EnvelopeDecrypt(&wrapping.EnvelopeInfo{Ciphertext: in.Ciphertext, Key: key, Iv: in.Iv}, o...)
}

func (remote) Init(context.Context, ...wrapping.Option) error { return nil }

// Finalize stops the token's renewal.
func (r remote) Finalize(ctx context.Context, _ ...wrapping.Option) error { return r.kms.Finalize(ctx) }
