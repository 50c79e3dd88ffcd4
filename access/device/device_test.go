package device_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"azekura/access/device"
)

func authority(t *testing.T) *device.Authority {
	t.Helper()
	path := filepath.Join(t.TempDir(), "authority.pem")
	if err := device.Create(path, rand.Reader, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := device.Create(path, rand.Reader, time.Now()); !errors.Is(err, os.ErrExist) {
		t.Fatalf("made over another: %v", err)
	}
	a, err := device.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func request(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "d-9"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func enrol(t *testing.T, a *device.Authority, key *ecdsa.PrivateKey, now time.Time) (tls.Certificate, device.Issued) {
	t.Helper()
	issued, err := a.Issue(request(t, key), "d-1", rand.Reader, now, device.Lasts)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{issued.DER}, PrivateKey: key}, issued
}

// connect makes one real connection, and says whom the server saw.
func connect(t *testing.T, a *device.Authority, client *tls.Config, now time.Time) (device.Peer, error) {
	t.Helper()
	server, _ := enrol(t, a, newKey(t), time.Now()) // any certificate: the client doesn't look
	l, err := tls.Listen("tcp", "127.0.0.1:0", a.Config(server, time.Now))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		client.InsecureSkipVerify = true
		if c, err := tls.Dial("tcp", l.Addr().String(), client); err == nil {
			_, _ = io.ReadAll(c)
			c.Close()
		}
	}()
	var peer device.Peer
	err = accept(l, func(state tls.ConnectionState) (err error) { peer, err = a.Peer(&state, now); return err })
	<-done
	return peer, err
}

func accept(l net.Listener, judge func(tls.ConnectionState) error) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.(*tls.Conn).Handshake(); err != nil {
		return err
	}
	return judge(c.(*tls.Conn).ConnectionState())
}

func TestPeer(t *testing.T) {
	a, key := authority(t), newKey(t)
	cert, issued := enrol(t, a, key, time.Now())
	peer, err := connect(t, a, &tls.Config{Certificates: []tls.Certificate{cert}}, time.Now())
	if err != nil || !peer.Live() || peer.Device() != "d-1" || peer.Key() != issued.Key || peer.Serial() != issued.Serial || !peer.Until().Equal(issued.Until) {
		t.Fatalf("%+v of %+v, %v", peer, issued, err)
	}
	// A renewed certificate is the same device key.
	if _, renewed := enrol(t, a, key, time.Now()); renewed.Key != issued.Key || renewed.Serial == issued.Serial {
		t.Errorf("renewed: %v, %v", renewed.Key, renewed.Serial)
	}
	// A connection that outlives its certificate is one without.
	if peer, err := connect(t, a, &tls.Config{Certificates: []tls.Certificate{cert}}, time.Now().Add(device.Lasts+time.Minute)); !errors.Is(err, device.ErrNoDevice) || peer.Live() {
		t.Errorf("outlived: %+v, %v", peer, err)
	}
	if peer, err := a.Peer(nil, time.Now()); !errors.Is(err, device.ErrNoDevice) || peer.Live() {
		t.Errorf("no TLS: %+v, %v", peer, err)
	}
}

func TestRefusedConnections(t *testing.T) {
	a, other, key := authority(t), authority(t), newKey(t)
	good, _ := enrol(t, a, key, time.Now())
	foreign, _ := enrol(t, other, key, time.Now())
	expired, _ := enrol(t, a, key, time.Now().Add(-2*device.Lasts))
	forged := tls.Certificate{Certificate: [][]byte{append([]byte(nil), good.Certificate[0]...)}, PrivateKey: key}
	forged.Certificate[0][len(forged.Certificate[0])-1] ^= 1 // the signature's last byte
	for what, client := range map[string]*tls.Config{
		"no certificate":   {},
		"foreign":          {Certificates: []tls.Certificate{foreign}},
		"expired":          {Certificates: []tls.Certificate{expired}},
		"forged":           {Certificates: []tls.Certificate{forged}},
		"without its key":  {Certificates: []tls.Certificate{{Certificate: good.Certificate, PrivateKey: newKey(t)}}},
		"TLS 1.2":          {Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS12},
		"its own, by hand": {Certificates: []tls.Certificate{selfMade(t, key)}},
	} {
		if client.Certificates != nil { // presented whatever the server asks for
			client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &client.Certificates[0], nil }
		}
		if peer, err := connect(t, a, client, time.Now()); err == nil || peer.Live() {
			t.Errorf("%s: %+v, %v", what, peer, err)
		}
	}
}

func selfMade(t *testing.T, key *ecdsa.PrivateKey) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "d-1"}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestRefusedRequests(t *testing.T) {
	a, key := authority(t), newKey(t)
	good := request(t, key)
	unproven := append([]byte(nil), good...)
	unproven[len(unproven)-1] ^= 1
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for what, refused := range map[string]struct {
		csr    []byte
		device string
		lasts  time.Duration
	}{
		"unproven":    {unproven, "d-1", device.Lasts},
		"Ed25519":     {request(t, edwards), "d-1", device.Lasts},
		"P-384":       {request(t, p384), "d-1", device.Lasts},
		"nothing":     {nil, "d-1", device.Lasts},
		"large":       {make([]byte, 1<<20), "d-1", device.Lasts},
		"no device":   {good, "", device.Lasts},
		"odd device":  {good, "d 1", device.Lasts},
		"no time":     {good, "d-1", 0},
		"a long time": {good, "d-1", device.MaxLasts + 1},
	} {
		if _, err := a.Issue(refused.csr, refused.device, rand.Reader, time.Now(), refused.lasts); !errors.Is(err, device.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := a.Issue(good, "d-1", rand.Reader, time.Now().AddDate(2, 0, 0), device.Lasts); err == nil {
		t.Error("a certificate outlives its authority")
	}
}

func TestReadableByOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "authority.pem")
	if err := device.Create(path, rand.Reader, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := device.Open(path); err == nil {
		t.Error("opened a key that others may read")
	}
}
