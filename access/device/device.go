// Package device is the installation's own small authority for staff PCs: it
// signs short-lived client certificates for the keys of enrolled devices, and
// tells from a TLS connection whose key stands at its other end.
//
// It promises that a Peer comes from a completed TLS 1.3 handshake alone, with a
// certificate of this authority that is valid now, so whoever it names has the
// private key. A Peer can't be made elsewhere: its fields are unexported and its
// zero value is refused. A certificate never outlives MaxLasts or the authority,
// and what it says is ours: of a request only the public key is taken, after its
// signature proved that the asker has the private one.
//
// A Peer is known by its key's thumbprint (SHA-256 of the SubjectPublicKeyInfo),
// not by its certificate's, as RFC 8705 has it: a certificate is renewed every few
// hours, and a session bound to it would end with it, while the key stays in the
// device. Whoever has the key could have the next certificate too, so nothing is
// lost by it.
//
// The authority's key is in a file of its own beside the signer's, and not sealed
// under the root key: it opens no record, it must be there before a first
// connection, and a device that it vouches for falsely still needs a grant in the
// log. So this package grants nothing: whether a key is enrolled, and not revoked,
// is for the log's events to say (access.Directory).
package device

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"azekura/internal/slotfile"
)

const (
	// Lasts is how long a certificate is valid where nobody says otherwise.
	Lasts = 24 * time.Hour
	// MaxLasts is the longest that one may be.
	MaxLasts = 7 * 24 * time.Hour
	// authorityLasts is how long the authority's own certificate is valid.
	authorityLasts = 2 * 365 * 24 * time.Hour
	// skew is how far a PC's clock may be behind ours.
	skew = 5 * time.Minute
	// authorityName is every authority's, by which browsers choose among certificates.
	authorityName = "azekura devices"
	// maxRequest bounds a certificate request, in bytes; one for P-256 has about 300.
	maxRequest = 4 << 10
)

var (
	// ErrInvalid refuses a request for a certificate.
	ErrInvalid = errors.New("not a request for a device's certificate")
	// ErrNoDevice refuses a connection without a certificate of ours that is valid.
	ErrNoDevice = errors.New("no valid device certificate; enrol this device with its administrator")
)

var name = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,31}$`)

// Thumbprint is the SHA-256 of a public key's SubjectPublicKeyInfo.
type Thumbprint [sha256.Size]byte

func (t Thumbprint) String() string { return hex.EncodeToString(t[:]) }

// Peer is the device at the other end of a connection.
type Peer struct {
	device string
	key    Thumbprint
	serial string
	until  time.Time
}

// Live refuses the zero value.
func (p Peer) Live() bool { return p.device != "" }

// Device is the device's id.
func (p Peer) Device() string { return p.device }

// Key is its key's thumbprint.
func (p Peer) Key() Thumbprint { return p.key }

// Serial is its certificate's serial number, in hexadecimal.
func (p Peer) Serial() string { return p.serial }

// Until is when its certificate ends: a connection that is held open longer is
// the same as one without a certificate.
func (p Peer) Until() time.Time { return p.until }

// Authority signs devices' certificates.
type Authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

// Create makes an authority's key and certificate in a new file that only its
// owner may read. The key is P-256: browsers present no Ed25519 certificates.
func Create(path string, rand io.Reader, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand)
	if err != nil {
		return err
	}
	serial, err := newSerial(rand)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: authorityName},
		NotBefore: now.Add(-skew), NotAfter: now.Add(authorityLasts), KeyUsage: x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true}
	der, err := x509.CreateCertificate(rand, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	// It writes over none: a lost key shuts every device out.
	err = os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = slotfile.WriteNew(path, text)
	}
	if err != nil {
		return fmt.Errorf("make the devices' authority: %w", err)
	}
	return nil
}

// Open reads an authority from its file, and refuses one that others may read.
func Open(path string) (*Authority, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open the devices' authority: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others may read the devices' authority's key %s; chmod 600 it, and replace it if they did", path)
	}
	pair, err := tls.LoadX509KeyPair(path, path)
	if err != nil {
		return nil, fmt.Errorf("open the devices' authority: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%s isn't a devices' authority", path)
	}
	pool := x509.NewCertPool()
	pool.AddCert(pair.Leaf)
	return &Authority{key: key, cert: pair.Leaf, pool: pool}, nil
}

// Named tells whether a certificate says that an authority such as ours issued it,
// which is no proof.
func Named(cert *x509.Certificate) bool { return cert.Issuer.CommonName == authorityName }

// Issued is a certificate, and what a grant says of it.
type Issued struct {
	DER    []byte
	Serial string
	Key    Thumbprint
	Until  time.Time
}

// Issue signs a certificate for the key of a PKCS #10 request, which proves by its
// signature that the asker has the private key. Nothing else of it is taken: the
// caller names the device, and has seen to it that it may have a certificate.
func (a *Authority) Issue(request []byte, device string, rand io.Reader, now time.Time, lasts time.Duration) (Issued, error) {
	if !name.MatchString(device) || lasts <= 0 || lasts > MaxLasts {
		return Issued{}, fmt.Errorf("%w: a device's id, or a time of up to %d days, is missing", ErrInvalid, MaxLasts/(24*time.Hour))
	}
	key, err := proven(request)
	if err != nil {
		return Issued{}, err
	}
	serial, err := newSerial(rand)
	if err != nil {
		return Issued{}, err
	}
	until := now.Add(lasts).UTC().Truncate(time.Second) // X.509 knows no parts of one
	if until.After(a.cert.NotAfter) {
		return Issued{}, fmt.Errorf("the devices' authority ends on %s, before the certificate would; replace it", a.cert.NotAfter.Format(time.DateOnly))
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: device}, NotBefore: now.Add(-skew), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand, template, a.cert, key, a.key)
	if err != nil {
		return Issued{}, fmt.Errorf("sign a device's certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return Issued{}, fmt.Errorf("sign a device's certificate: %w", err)
	}
	return Issued{DER: der, Serial: serial.Text(16), Key: sha256.Sum256(cert.RawSubjectPublicKeyInfo), Until: until}, nil
}

// KeyOf is the thumbprint of a request's key, which its signature proves that the
// asker has.
func KeyOf(request []byte) (Thumbprint, error) {
	key, err := proven(request)
	if err != nil {
		return Thumbprint{}, err
	}
	raw, err := x509.MarshalPKIXPublicKey(key)
	return sha256.Sum256(raw), err
}

func proven(request []byte) (*ecdsa.PublicKey, error) {
	if len(request) > maxRequest {
		return nil, fmt.Errorf("%w: it has over %d bytes", ErrInvalid, maxRequest)
	}
	csr, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return nil, fmt.Errorf("%w: it can't be read", ErrInvalid)
	}
	key, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: a device's key is ECDSA on P-256", ErrInvalid)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: it isn't signed by the key that it names", ErrInvalid)
	}
	return key, nil
}

// Config asks each connection for a device's certificate. One that has none is let
// in, since that is how a device comes to enrol: who answers it asks Peer. A
// certificate that isn't ours or isn't valid ends the handshake. It has no tickets: a
// resumed connection would be one whose key wasn't proven anew.
func (a *Authority) Config(server tls.Certificate, now func() time.Time) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{server}, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}, Time: now,
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: a.pool, SessionTicketsDisabled: true}
}

// Peer tells which device is at a connection's other end. It judges the
// certificate again, since a connection may have outlived it.
func (a *Authority) Peer(state *tls.ConnectionState, now time.Time) (Peer, error) {
	if state == nil || !state.HandshakeComplete || state.Version < tls.VersionTLS13 || len(state.PeerCertificates) == 0 {
		return Peer{}, ErrNoDevice
	}
	leaf := state.PeerCertificates[0]
	_, err := leaf.Verify(x509.VerifyOptions{Roots: a.pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil || leaf.IsCA || !name.MatchString(leaf.Subject.CommonName) {
		return Peer{}, ErrNoDevice
	}
	return Peer{device: leaf.Subject.CommonName, key: sha256.Sum256(leaf.RawSubjectPublicKeyInfo), serial: leaf.SerialNumber.Text(16), until: leaf.NotAfter}, nil
}

func newSerial(rand io.Reader) (*big.Int, error) {
	var raw [16]byte
	if _, err := io.ReadFull(rand, raw[:]); err != nil {
		return nil, err
	}
	raw[0] = raw[0]&0x7f | 0x40 // positive, and as long as every other
	return new(big.Int).SetBytes(raw[:]), nil
}
