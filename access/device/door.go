package device

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// handshake is how long a peer has for one.
const handshake = 5 * time.Second

// linger is how long one that was refused may take to hear of it and to close, and
// mostLeft how much it may send meanwhile.
const (
	linger   = time.Second
	mostLeft = 64 << 10
)

// Fault is why a handshake was refused, where that says something of who tried.
type Fault uint8

const (
	// Unproven is a valid certificate of ours whose key wasn't proven: somebody has a
	// copy of the certificate alone.
	Unproven Fault = iota + 1
	// Altered is a greeting of TLS after which nothing can be decrypted: bytes of another
	// connection that are sent again, or that were changed on their way.
	Altered
	// Foreign is a certificate that another authority signed.
	Foreign
)

// Refused is a handshake that came to nothing. Device and Key are those of the
// certificate if Fault is Unproven: they are claimed, which is why there is no Peer.
type Refused struct {
	Fault  Fault
	Device string
	Key    Thumbprint
	From   net.Addr
}

// door completes handshakes before it hands connections out: whoever is handed one
// that is still to be made hears of a failure as a line of text alone.
type door struct {
	net.Listener
	config  *tls.Config
	refused func(Refused)
	through chan net.Conn
	errs    chan error
	closed  chan struct{}
	begin   sync.Once
	end     sync.Once
}

// Listen hands out connections whose handshake under Config is made, each within
// some seconds and beside the others. refused hears, on a goroutine of its own, of
// those that failed for a reason that may mean a theft: not of peers that break off,
// don't speak TLS, don't trust the server, or whose certificate ended.
func (a *Authority) Listen(l net.Listener, server tls.Certificate, now func() time.Time, refused func(Refused)) net.Listener {
	return &door{Listener: l, config: a.Config(server, now), refused: refused,
		through: make(chan net.Conn), errs: make(chan error), closed: make(chan struct{})}
}

// Accept is net.Listener's.
func (d *door) Accept() (net.Conn, error) {
	d.begin.Do(func() { go d.take() })
	select {
	case c := <-d.through:
		return c, nil
	case err := <-d.errs:
		return nil, err
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the listening. Handshakes under way come to nothing.
func (d *door) Close() error {
	d.end.Do(func() { close(d.closed) })
	return d.Listener.Close()
}

func (d *door) take() {
	for {
		c, err := d.Listener.Accept()
		if err == nil {
			go d.shake(c)
			continue
		}
		select {
		case d.errs <- err: // who asked waits a while before asking again
		case <-d.closed:
			return
		}
	}
}

func (d *door) shake(c net.Conn) {
	defer func() {
		if recover() != nil { // as net/http does: what one peer sends doesn't end the others' server
			c.Close()
		}
	}()
	var shown *x509.Certificate
	config := d.config.Clone()
	config.VerifyPeerCertificate = func(_ [][]byte, chains [][]*x509.Certificate) error {
		if len(chains) > 0 { // its chain holds; its key isn't proven yet
			shown = chains[0][0]
		}
		return nil
	}
	conn := tls.Server(c, config)
	ctx, cancel := context.WithTimeout(context.Background(), handshake)
	defer cancel()
	err := conn.HandshakeContext(ctx)
	if err == nil {
		select {
		case d.through <- conn:
		case <-d.closed:
			c.Close()
		}
		return
	}
	defer c.Close()
	if r := (Refused{Fault: faultOf(err, shown), From: c.RemoteAddr()}); r.Fault != 0 {
		if shown != nil {
			r.Device, r.Key = shown.Subject.CommonName, sha256.Sum256(shown.RawSubjectPublicKeyInfo)
		}
		d.refused(r)
	}
	// Closed while what it has sent on lies unread, the peer would get a reset, and never
	// the word why: a browser would try its old certificate again and again.
	if c.SetReadDeadline(time.Now().Add(linger)) == nil {
		_, _ = io.CopyN(io.Discard, c, mostLeft)
	}
}

func faultOf(err error, shown *x509.Certificate) Fault {
	var untrusted *tls.CertificateVerificationError
	var invalid x509.CertificateInvalidError
	var fatal *net.OpError
	switch {
	case shown != nil:
		return Unproven
	case errors.As(err, &untrusted):
		if errors.As(untrusted.Err, &invalid) && invalid.Reason == x509.Expired {
			return 0 // a PC that was off for days
		}
		return Foreign
	case errors.As(err, &fatal) && fatal.Op == "local error" && fatal.Err.Error() == "tls: bad record MAC":
		return Altered
	}
	return 0
}
