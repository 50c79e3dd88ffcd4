package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// SocketName is the operator's socket in an installation's folder.
const SocketName = "azekura.sock"

// Listen is where a server listens.
type Listen struct {
	Address  string // of the staff's side, host:port
	CertFile string // its certificate and key; empty ones are made, self-signed, in tls/
	KeyFile  string
	Log      string // address of the audit log's public side; empty for none
	// Standby, if there is one, gives its listeners in the place of these addresses.
	Standby *Standby
	// LogReady hears the log's address once it is listened at.
	LogReady func(address string)
}

// writeTimeout is how long whoever asks has to take an answer, or a part of one
// that is streamed.
const writeTimeout = time.Minute

// Serve answers on the network and on the operator's socket until ctx ends, and
// then lets requests under way finish. ready hears the address once both listen.
func (s *Server) Serve(ctx context.Context, l Listen, ready func(address string)) error {
	cert, err := s.certificate(l)
	if err != nil {
		return err
	}
	pin := pinOf(cert)
	s.pin.Store(&pin)
	staff, public, err := l.listen()
	if err != nil {
		return err
	}
	shut := func(err error) error { // of what isn't served yet
		if public != nil {
			err = errors.Join(err, public.Close())
		}
		return errors.Join(err, staff.Close())
	}
	operator, err := listenSocket(filepath.Join(s.inst.Dir, SocketName))
	if err != nil {
		return shut(err)
	}
	passed, err := listenPassed(filepath.Join(s.inst.Dir, staffSocket))
	if err != nil {
		return errors.Join(shut(err), operator.Close())
	}
	secure := func(l net.Listener) net.Listener {
		return s.inst.Devices.Listen(l, cert, s.inst.Log.Now, s.inst.Access.HandshakeRefused)
	}
	servers, listeners := []*http.Server{s.server(s.Staff()), s.server(s.Operator())}, [][]net.Listener{{secure(staff), secure(passed)}, {operator}}
	servers[0].ConnContext, servers[0].ConnState = s.linked, s.unlink
	servers[0].WriteTimeout = writeTimeout // its answers are small; whoever doesn't take one is cut off
	if public != nil {
		passed, err := listenPassed(filepath.Join(s.inst.Dir, logSocket))
		if err != nil {
			return errors.Join(shut(err), operator.Close(), listeners[0][1].Close())
		}
		servers, listeners = append(servers, s.server(s.Log())), append(listeners, []net.Listener{secure(public), secure(passed)})
		servers[2].ConnContext, servers[2].ConnState = s.linked, s.unlink
		servers[2].WriteTimeout = writeTimeout
		if l.LogReady != nil {
			l.LogReady(public.Addr().String())
		}
	}
	cutting, stopCutting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCutting()
	go s.cutLinks(cutting)
	failed := make(chan error, 2*len(servers))
	for i := range servers {
		for _, l := range listeners[i] {
			go func() { failed <- servers[i].Serve(l) }()
		}
	}
	ready(staff.Addr().String())
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	return errors.Join(err, s.end(context.WithoutCancel(ctx), servers))
}

// end lets requests under way finish, for a while; those that don't are cut off,
// and told to the log.
func (s *Server) end(ctx context.Context, servers []*http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, server := range servers {
		wg.Go(func() {
			if errs[i] = server.Shutdown(ctx); errors.Is(errs[i], context.DeadlineExceeded) {
				s.logError("-", errors.New("the server ends, and cuts off requests that were still under way"))
				errs[i] = server.Close()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// server bounds what a peer may cost. Writes have no limit of their own on the
// operator's side: a report over millions takes its time.
func (s *Server) server(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: log.New(listenerLog{s}, "", 0)}
}

// listenerLog hears what net/http has to say. Of that only what the operator can
// mend is passed on (too many open files); the rest are peers that break off.
type listenerLog struct{ s *Server }

func (l listenerLog) Write(line []byte) (int, error) {
	if bytes.HasPrefix(line, []byte("http: Accept error")) {
		l.s.logError("-", errors.New(string(bytes.TrimSpace(line))))
	}
	return len(line), nil
}

// listenSocket takes the place of a socket that a dead server left; the signer's
// lock has seen to it that no live one is there.
func listenSocket(path string) (net.Listener, error) {
	if len(path) > 100 {
		return nil, fmt.Errorf("the operator's socket %s would have too long a path (over 100 bytes); use a folder with a shorter one", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	// Nobody may slip in between its making and a chmod.
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen for the operator: %w", err)
	}
	return l, nil
}

// CertFile is a self-made certificate's place in an installation's folder.
func CertFile(dir string) string { return filepath.Join(dir, "tls", "cert.pem") }

func (s *Server) certificate(l Listen) (tls.Certificate, error) {
	if l.CertFile != "" {
		return tls.LoadX509KeyPair(l.CertFile, l.KeyFile)
	}
	s.selfSigning.Lock() // two who find none would leave one's certificate beside the other's key
	defer s.selfSigning.Unlock()
	cert, key := CertFile(s.inst.Dir), filepath.Join(s.inst.Dir, "tls", "key.pem")
	if pair, err := tls.LoadX509KeyPair(cert, key); err == nil && time.Until(pair.Leaf.NotAfter) > 24*time.Hour {
		return pair, nil
	}
	if err := selfSign(cert, key); err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	return tls.LoadX509KeyPair(cert, key)
}

func selfSign(certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	names := []string{"localhost"}
	if host, err := os.Hostname(); err == nil && host != "" {
		names = append(names, host)
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "azekura"}, DNSNames: names,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(certFile), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}
