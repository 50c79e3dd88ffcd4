package insttest

import (
	"crypto/tls"
	"net"
	"net/http"
	"testing"

	"azekura/access/device"
	"azekura/internal/installation"
)

// PC is an enrolled device: its certificate and key, and what the server saw of it in
// a TLS handshake.
type PC struct {
	Cert  tls.Certificate
	State tls.ConnectionState
	Peer  device.Peer
}

// Enrol enrols a new key for a device, and shakes hands with it once.
func Enrol(t testing.TB, i *installation.Installation, id string) PC {
	t.Helper()
	cert, err := i.EnrolDevice(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return Shake(t, i, cert)
}

// Shake is a real handshake, over a pipe, of a device's certificate with the
// installation's authority.
func Shake(t testing.TB, i *installation.Installation, cert tls.Certificate) PC {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	server := tls.Server(near, i.Devices.Config(cert, i.Log.Now)) // any certificate does for the server: its client doesn't look
	client := tls.Client(far, &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true})
	done := make(chan error, 1)
	go func() { done <- client.HandshakeContext(t.Context()) }()
	if err := server.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	state := server.ConnectionState()
	peer, err := i.Devices.Peer(&state, i.Log.Now())
	if err != nil {
		t.Fatal(err)
	}
	return PC{cert, state, peer}
}

// At has a handler's requests come from the PC. It is for handlers that no listener
// serves, or one whose clients can't be given a certificate.
func (p PC) At(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.TLS = &p.State
		h.ServeHTTP(w, r)
	})
}
