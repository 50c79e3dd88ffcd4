package api

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"azekura/access"
	"azekura/access/device"
	"azekura/access/device/browser"
	"azekura/access/device/tpm"
	"azekura/internal/slotfile"
)

// What an agent's folder holds.
const (
	agentKey  = "key.pem"
	agentCert = "client.pem"
	agentFile = "agent.json"
	agentP12  = "client.p12"
)

// agentPause is how long an agent waits after a renewal that failed.
const agentPause = time.Minute

// Agent holds a PC's key and keeps its certificate good.
type Agent struct {
	dir  string
	key  crypto.Signer
	cert *x509.Certificate
	at   agentAt
	kept string
	put  Install

	browsers []*browser.Database
}

// agentAt is how the agent knows its server, and the TPM that has its key, if one has.
type agentAt struct {
	Server string `json:"server"`
	Pin    string `json:"pin"` // the SHA-256 of the server's key, from the code
	TPM    string `json:"tpm,omitempty"`
}

// Enrol is what an agent enrols by, and where it is to put each certificate.
type Enrol struct {
	Server string
	Code   string
	// TPM is the path of the TPM that is to make the key; AutoTPM is the PC's own if it
	// has one that can be opened, and else a file; NoTPM is a file.
	TPM string
	Install
}

// What Enrol.TPM says beside a path.
const (
	AutoTPM = "auto"
	NoTPM   = "off"
)

// OpenAgent takes an agent's folder up, and renews its certificate where that is due.
// Where it holds no certificate yet, the code enrols: the key is in the folder before
// the server hears of it, so whoever is killed asks again with the same.
func OpenAgent(ctx context.Context, dir string, e Enrol) (*Agent, error) {
	a := &Agent{dir: dir, put: e.Install}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the agent's folder: %w", err)
	}
	if err := a.openBrowsers(ctx); err != nil { // before a code is used up
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, agentCert))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return a, a.enrol(ctx, e)
	case err != nil:
		return nil, err
	}
	if err := a.load(raw); err != nil {
		return nil, err
	}
	if e.Code != "" {
		return nil, fmt.Errorf("%s holds an enrolled key already; give a code with an empty folder, or none", dir)
	}
	if err := a.forBrowser(); err != nil {
		return nil, err
	}
	if time.Now().After(a.due()) {
		return a, a.renew(ctx)
	}
	return a, a.writeP12()
}

// Device is the device's id.
func (a *Agent) Device() string { return a.cert.Subject.CommonName }

// Until is when the certificate ends.
func (a *Agent) Until() time.Time { return a.cert.NotAfter }

// Kept says where its key is.
func (a *Agent) Kept() string { return a.kept }

// due is at half of the certificate's life.
func (a *Agent) due() time.Time {
	return a.cert.NotBefore.Add(a.cert.NotAfter.Sub(a.cert.NotBefore) / 2)
}

// Renewed waits until the certificate is renewed; failed hears of each attempt that
// wasn't. It ends with ctx, or when the server says that the key doesn't count.
func (a *Agent) Renewed(ctx context.Context, failed func(error)) error {
	wait := time.Until(a.due())
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		err := a.renew(ctx)
		var p *Problem
		if err == nil || errors.As(err, &p) && p.Status == http.StatusForbidden {
			return err
		}
		failed(err)
		wait = agentPause
	}
}

func (a *Agent) enrol(ctx context.Context, e Enrol) error {
	secret, pin, ok := strings.Cut(strings.TrimSpace(e.Code), ".")
	if u, err := url.Parse(e.Server); err != nil || u.Scheme != "https" || u.Host == "" || !ok || len(pin) != 43 {
		return errors.New("to enrol, give --server https://HOST:PORT and --code, the whole code that azekura device add printed")
	}
	a.at = agentAt{Server: strings.TrimSuffix(e.Server, "/"), Pin: pin}
	if err := a.makeKey(e.TPM); err != nil {
		return err
	}
	kind := access.KindFile
	if a.at.TPM != "" {
		kind = access.KindTPM
	}
	request, err := a.request()
	if err != nil {
		return err
	}
	var c Certificate
	if err := a.client(nil).Do(ctx, http.MethodPost, EnrolPath, Enrolment{secret, request, kind}, &c); err != nil {
		return fmt.Errorf("enrol this device: %w", err)
	}
	return a.keep(c)
}

// makeKey takes the folder's key, or makes one: in its place whole, or not at all.
func (a *Agent) makeKey(at string) error {
	path := filepath.Join(a.dir, agentKey)
	raw, err := os.ReadFile(path)
	if err == nil {
		return a.takeUp(raw, at)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	none := "" // why there is no TPM
	switch at {
	case NoTPM, "":
	case AutoTPM:
		key, err := tpm.Make(tpm.Default)
		if err == nil {
			return a.keepInTPM(path, key)
		}
		none = ": " + err.Error()
	default:
		key, err := tpm.Make(at)
		if err != nil {
			return err
		}
		return a.keepInTPM(path, key)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	a.key, a.kept = key, inFile+none
	return slotfile.Replace(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// takeUp takes the key of an enrolment that wasn't completed, if that is kept as is
// asked now: whoever insists on a TPM isn't to end with a file.
func (a *Agent) takeUp(raw []byte, at string) error {
	path, file := at, at == NoTPM || at == ""
	if file || at == AutoTPM {
		path = tpm.Default
	}
	if err := a.readKey(raw, path); err != nil {
		return err
	}
	if isFile := a.at.TPM == ""; at != AutoTPM && isFile != file {
		where := "a TPM"
		if isFile {
			where = "a file"
		}
		return fmt.Errorf("%s in %s is of an enrolment that wasn't completed, and its key is in %s; give --tpm as it was begun with, or empty the folder", agentKey, a.dir, where)
	}
	return a.forBrowser()
}

// inFile is where a key is that no TPM has.
const inFile = "its key is in a file, which whoever reads it can copy"

func (a *Agent) keepInTPM(path string, key *tpm.Key) error {
	a.hasTPM(key)
	if err := a.forBrowser(); err != nil {
		return err
	}
	return slotfile.Replace(path, pem.EncodeToMemory(&pem.Block{Type: tpm.PEM, Bytes: key.DER()}))
}

func (a *Agent) hasTPM(key *tpm.Key) {
	a.key, a.at.TPM, a.kept = key, key.At(), "its key is in the TPM "+key.At()
}

// readKey takes the folder's key; at is the TPM that has it, if one has.
func (a *Agent) readKey(raw []byte, at string) error {
	block, _ := pem.Decode(raw)
	if block == nil {
		return fmt.Errorf("%s in %s isn't a key; empty the folder and enrol anew", agentKey, a.dir)
	}
	if block.Type == tpm.PEM {
		key, err := tpm.Read(at, block.Bytes)
		if err != nil {
			return fmt.Errorf("%s in %s: %w", agentKey, a.dir, err)
		}
		a.hasTPM(key)
		return nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	is, ok := key.(*ecdsa.PrivateKey)
	if err != nil || !ok {
		return fmt.Errorf("%s in %s isn't a P-256 key; empty the folder and enrol anew", agentKey, a.dir)
	}
	a.key, a.kept = is, inFile
	return nil
}

func (a *Agent) request() ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, a.key)
}

func (a *Agent) renew(ctx context.Context) error {
	request, err := a.request()
	if err != nil {
		return err
	}
	var c Certificate
	if err := a.client(nil).Do(ctx, http.MethodPost, RenewPath, Renewal{request}, &c); err != nil {
		return fmt.Errorf("renew the certificate: %w", err)
	}
	return a.keep(c)
}

// keep writes the certificate last: with it, the folder is an enrolled device's.
func (a *Agent) keep(c Certificate) error {
	cert, err := x509.ParseCertificate(c.Certificate)
	if err != nil {
		return fmt.Errorf("the server's answer isn't a certificate: %w", err)
	}
	if !a.certifies(cert) {
		return errors.New("the server's certificate isn't of this key")
	}
	at, err := json.Marshal(a.at)
	if err != nil {
		return err
	}
	a.cert = cert
	return errors.Join(slotfile.Replace(filepath.Join(a.dir, agentFile), append(at, '\n')),
		slotfile.Replace(filepath.Join(a.dir, agentCert), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate})), a.writeP12())
}

func (a *Agent) load(cert []byte) error {
	key, err := os.ReadFile(filepath.Join(a.dir, agentKey))
	if err != nil {
		return err
	}
	at, err := os.ReadFile(filepath.Join(a.dir, agentFile))
	if err == nil {
		err = json.Unmarshal(at, &a.at)
	}
	if err != nil {
		return fmt.Errorf("read the agent's folder %s: %w", a.dir, err)
	}
	if err := a.readKey(key, a.at.TPM); err != nil {
		return err
	}
	block, _ := pem.Decode(cert)
	if block == nil {
		return fmt.Errorf("%s in %s isn't a certificate; empty the folder and enrol anew", agentCert, a.dir)
	}
	if a.cert, err = x509.ParseCertificate(block.Bytes); err != nil || !a.certifies(a.cert) {
		return fmt.Errorf("%s in %s isn't a certificate of its key; empty the folder and enrol anew", agentCert, a.dir)
	}
	return nil
}

// certifies tells whether a certificate is of the agent's key.
func (a *Agent) certifies(cert *x509.Certificate) bool {
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	return ok && key.Equal(a.key.Public())
}

// client reaches the server whose key is pinned, and no other.
func (a *Agent) client(own []tls.Certificate) *Client {
	config := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: own, InsecureSkipVerify: true, // the pin takes the chain's place
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 || KeyPin(state.PeerCertificates[0]) != a.at.Pin {
				return errors.New("this isn't the server that the code was made by; if its certificate was replaced, enrol anew")
			}
			return nil
		}}
	transport := &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment}
	return &Client{http: &http.Client{Transport: transport}, base: a.at.Server}
}

// DialDevice reaches an agent's server from its PC, over the network.
func DialDevice(dir string) (*Client, error) {
	raw, err := os.ReadFile(filepath.Join(dir, agentCert))
	if err != nil {
		return nil, fmt.Errorf("read the device's certificate (azekura device agent makes it): %w", err)
	}
	a := &Agent{dir: dir}
	if err := a.load(raw); err != nil {
		return nil, err
	}
	if !time.Now().Before(a.Until()) {
		return nil, fmt.Errorf("%w: its certificate ended; run azekura device agent --keep %s", device.ErrNoDevice, dir)
	}
	return a.client([]tls.Certificate{{Certificate: [][]byte{a.cert.Raw}, PrivateKey: a.key}}), nil
}
