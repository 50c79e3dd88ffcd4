package api_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azekura/api"
	"azekura/internal/installation"
	"azekura/internal/insttest"
)

// listening serves an office on a free port of loopback until the test ends.
func listening(t *testing.T, o *office) (address string, config *tls.Config) {
	t.Helper()
	return listeningAt(t, o, api.Listen{Address: "127.0.0.1:0"})
}

func listeningAt(t *testing.T, o *office, l api.Listen) (address string, config *tls.Config) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- o.server.Serve(ctx, l, func(address string) { ready <- address })
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server ended: %v", err)
		}
	})
	select {
	case address = <-ready:
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	cert, err := os.ReadFile(api.CertFile(o.inst.Dir))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return address, &tls.Config{RootCAs: roots}
}

// shortOffice lies in a folder with a short path, which its socket wants.
func shortOffice(t *testing.T) *office {
	t.Helper()
	return shortOfficeOn(t, "sqlite")
}

func shortOfficeOn(t *testing.T, engine string) *office {
	t.Helper()
	return newOffice(t, insttest.Open(t, shortNew(t, engine)))
}

// shortNew is an installation whose folder's path is short enough for a socket.
func shortNew(t *testing.T, engine string) string {
	t.Helper()
	dir := insttest.New(t, engine)
	short, err := os.MkdirTemp("", "az-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	to := filepath.Join(short, "i")
	if err := os.Rename(dir, to); err != nil {
		t.Fatal(err)
	}
	return to
}

func dialTLS(t *testing.T, address string, config *tls.Config) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// TestListeners holds the operator's side to its socket, which is nobody else's,
// and the staff's side to TLS 1.3.
func TestListeners(t *testing.T) {
	o := shortOffice(t)
	address, config := listening(t, o)

	c, err := api.Dial(o.inst.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var staff []struct{ ID string }
	if err := c.Do(t.Context(), http.MethodGet, "/operator/staff", nil, &staff); err != nil || len(staff) != 1 {
		t.Errorf("the operator's socket: %v", err)
	}
	info, err := os.Stat(filepath.Join(o.inst.Dir, api.SocketName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the operator's socket: %v, %v", info.Mode(), err)
	}

	for _, target := range []string{"/operator/staff", "/%6fperator/staff", "/v1/..%2foperator/staff", "/v1/../operator/staff", "//operator/staff",
		"http://azekura/operator/staff", "http://azekura.sock/operator/staff", "/operator/log/verify", "/operator/sessions/z0000000000000001/close"} {
		for _, method := range []string{"GET", "POST"} {
			conn := dialTLS(t, address, config)
			fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: azekura\r\nAuthorization: Bearer %s\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", method, target, o.token)
			got, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got.StatusCode != http.StatusNotFound || got.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s %s on the network: %s", method, target, got.Status)
			}
			got.Body.Close()
		}
	}

	old := config.Clone()
	old.MaxVersion = tls.VersionTLS12
	if conn, err := tls.Dial("tcp", address, old); err == nil {
		conn.Close()
		t.Error("TLS 1.2 is spoken")
	}
	plain, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	fmt.Fprintf(plain, "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
	if said, _ := io.ReadAll(plain); bytes.Contains(said, []byte("openapi")) {
		t.Error("plain HTTP is answered")
	}

	// net/http itself refuses headers past the limit, before we see them.
	conn := dialTLS(t, address, config)
	fmt.Fprintf(conn, "POST /v1/read HTTP/1.1\r\nHost: x\r\nX-Big: %s\r\n", strings.Repeat(secret, 4000))
	fmt.Fprintf(conn, "\r\n")
	said, _ := io.ReadAll(conn)
	if !bytes.HasPrefix(said, []byte("HTTP/1.1 431 ")) || bytes.Contains(said, []byte(secret)) {
		t.Errorf("huge headers are answered with %.100q", said)
	}
}

// TestSlowPeers has peers that dawdle cut off, at each step of a request.
func TestSlowPeers(t *testing.T) {
	o := shortOffice(t)
	address, config := listening(t, o)
	head := "POST /v1/read HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer " + o.token + "\r\nContent-Length: 16000\r\n"
	for name, c := range map[string]struct {
		tls   bool
		first string
		drip  string
	}{
		"silent from the start": {},
		"a slow handshake":      {drip: "\x16"},
		"silent after TLS":      {tls: true},
		"slow headers":          {tls: true, first: head, drip: "x"},
		"a slow body":           {tls: true, first: head + "\r\n{", drip: " "},
		"no body":               {tls: true, first: head + "\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var conn net.Conn
			var err error
			if c.tls {
				conn = dialTLS(t, address, config)
			} else if conn, err = net.Dial("tcp", address); err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			cutOff := make(chan []byte, 1)
			go func() {
				said, _ := io.ReadAll(conn)
				cutOff <- said
			}()
			io.WriteString(conn, c.first)
			for deadline := time.After(patience); ; {
				select {
				case said := <-cutOff:
					if len(said) > 0 && !bytes.HasPrefix(said, []byte("HTTP/1.1 4")) && said[0] != 0x15 { // a TLS alert
						t.Errorf("it was answered with %.100q", said)
					}
					return
				case <-deadline:
					t.Fatal("it is never cut off")
				case <-time.After(100 * time.Millisecond):
					io.WriteString(conn, c.drip)
				}
			}
		})
	}
	o.reads() // while they dawdle
}

// TestStaleSocket takes the place of a socket that a killed server left, and
// says when its folder's path is too long for one.
func TestStaleSocket(t *testing.T) {
	o := shortOffice(t)
	path := filepath.Join(o.inst.Dir, api.SocketName)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := api.Dial(o.inst.Dir); err == nil {
		t.Error("a dead socket answers")
	}
	listening(t, o)
	if _, err := api.Dial(o.inst.Dir); err != nil {
		t.Error(err)
	}

	deep := &installation.Installation{Dir: filepath.Join(o.inst.Dir, strings.Repeat("deep/", 20))}
	if err := os.MkdirAll(deep.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	err = api.New(deep, func(string, error) {}).Serve(t.Context(), api.Listen{Address: "127.0.0.1:0"}, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "use a folder with a shorter one") {
		t.Errorf("a path too long: %v", err)
	}
}

// TestCertificates makes one that lasts, keeps it, and makes another when it is
// damaged; one that was given and can't be read is an error.
func TestCertificates(t *testing.T) {
	o := shortOffice(t)
	once := func(l api.Listen) error {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		l.Address = "127.0.0.1:0"
		return o.server.Serve(ctx, l, func(string) { stop() })
	}
	read := func() string {
		raw, err := os.ReadFile(api.CertFile(o.inst.Dir))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	if err := once(api.Listen{}); err != nil {
		t.Fatal(err)
	}
	first := read()
	if err := once(api.Listen{}); err != nil || read() != first {
		t.Errorf("another certificate was made; %v", err)
	}
	key := filepath.Join(o.inst.Dir, "tls", "key.pem")
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info, err)
	}
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := once(api.Listen{}); err != nil || read() == first {
		t.Errorf("no certificate was made for a damaged key; %v", err)
	}
	if err := once(api.Listen{CertFile: key, KeyFile: key}); err == nil {
		t.Error("a key is taken for a certificate")
	}
	if err := once(api.Listen{CertFile: "nowhere", KeyFile: key}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no certificate: %v", err)
	}
}
