package device_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"azekura/access/device"
)

// TestDoor: what may mean a theft is told, once a handshake; peers that are merely
// broken, slow or distrustful aren't, and hold nobody up.
func TestDoor(t *testing.T) {
	a, other := authority(t), authority(t)
	key, serverKey := newKey(t), newKey(t)
	mine, _ := enrol(t, a, key, time.Now())
	ended, _ := enrol(t, a, key, time.Now().Add(-2*device.Lasts))
	foreign, _ := enrol(t, other, key, time.Now())
	server, _ := enrol(t, other, serverKey, time.Now())
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan device.Refused, 100)
	l := a.Listen(inner, server, time.Now, func(r device.Refused) { refused <- r })
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
				return
			}
			if conn, ok := c.(*tls.Conn); !ok || !conn.ConnectionState().HandshakeComplete {
				t.Error("a connection is handed out before its handshake")
			}
			_, _ = io.WriteString(c, "in")
			c.Close()
		}
	})
	dial := func(certs ...tls.Certificate) bool {
		c := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}
		if len(certs) > 0 {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certs[0], nil }
		}
		conn, err := tls.Dial("tcp", inner.Addr().String(), c)
		if err != nil {
			return false
		}
		defer conn.Close()
		said, err := io.ReadAll(conn)
		return err == nil && string(said) == "in"
	}
	raw := func(bytes string) {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, bytes)
		if half, ok := conn.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
		_, _ = io.ReadAll(conn)
		conn.Close()
	}
	silent, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if !dial(mine) || !dial() {
		t.Error("a good handshake isn't let in beside a silent one")
	}
	raw("")
	raw("GET / HTTP/1.1\r\n\r\n")
	raw("\x16\x03\x01\x00\x05hello")
	if conn, err := tls.Dial("tcp", inner.Addr().String(), &tls.Config{RootCAs: x509.NewCertPool()}); err == nil {
		t.Error("a server is trusted without a root")
		conn.Close()
	}
	if dial(ended) {
		t.Error("a certificate that ended is let in")
	}
	for what, c := range map[string]struct {
		cert  tls.Certificate
		fault device.Fault
		named string
	}{
		"without its key":     {tls.Certificate{Certificate: mine.Certificate, PrivateKey: newKey(t)}, device.Unproven, "d-1"},
		"another authority's": {foreign, device.Foreign, ""},
	} {
		if dial(c.cert) {
			t.Errorf("a certificate %s is let in", what)
		}
		select {
		case r := <-refused:
			if r.Fault != c.fault || r.Device != c.named || r.From == nil {
				t.Errorf("a certificate %s: %+v", what, r)
			}
		case <-time.After(time.Minute):
			t.Errorf("nobody is told of a certificate %s", what)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	serving.Wait()
	close(refused)
	for r := range refused {
		t.Errorf("told of %+v beside", r)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accepting once it is closed: %v", err)
	}
}

// TestRefusedHearsWhy: one that is refused is told so, whatever it has sent on in the
// meantime, and isn't merely cut off: a browser looks for another certificate then.
func TestRefusedHearsWhy(t *testing.T) {
	a, other := authority(t), authority(t)
	foreign, _ := enrol(t, other, newKey(t), time.Now())
	server, _ := enrol(t, other, newKey(t), time.Now())
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan device.Refused, 1)
	l := a.Listen(inner, server, time.Now, func(r device.Refused) { refused <- r })
	var serving sync.WaitGroup
	serving.Go(func() { _, _ = l.Accept() })
	c, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	conn := tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &foreign, nil }})
	if err := conn.Handshake(); err != nil { // by TLS 1.3 it is over on this side
		t.Fatal(err)
	}
	for range 20 {
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: azekura\r\n\r\n"); err != nil {
			t.Fatal("it is cut off:", err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	<-refused
	if _, err := conn.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "remote error: tls:") {
		t.Error("it hears:", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	serving.Wait()
}
