package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"

	"azekura/access"
	"azekura/access/device"
	"azekura/auditlog"
)

// link is a connection, and the device at its other end once that is known.
type link struct {
	conn net.Conn
	once sync.Once
	peer device.Peer
	err  error
}

type linkKey struct{}

// from is where a request comes from: the operator's socket, or a connection at
// whose end a device was proven, or not.
type from struct {
	socket bool
	peer   device.Peer
}

type fromKey struct{}

// links are the connections of staff, so that those of a device that is revoked or
// contained can be cut.
type links struct {
	mu    sync.Mutex
	of    map[net.Conn]*link
	sweep chan struct{}
}

func (s *Server) startLinks() {
	s.links = links{of: map[net.Conn]*link{}, sweep: make(chan struct{}, 1)}
	if s.inst.Log == nil {
		return
	}
	s.inst.Log.Heed(func(e auditlog.Event) {
		if e.Action == auditlog.Contain || e.Action == auditlog.Grant {
			select {
			case s.links.sweep <- struct{}{}:
			default:
			}
		}
	})
}

// cutLinks closes the connections of devices that don't count any more, as soon as
// the log says so, until ctx ends.
func (s *Server) cutLinks(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.links.sweep:
		}
		s.links.mu.Lock()
		for _, l := range s.links.of {
			if s.inst.Access.Admit(l.peer) != nil {
				l.conn.Close()
			}
		}
		s.links.mu.Unlock()
	}
}

// linked puts a connection into its requests' contexts.
func (s *Server) linked(ctx context.Context, c net.Conn) context.Context {
	if inner, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = inner.NetConn() // tls.Conn's own Close would wait for its peer
	}
	return context.WithValue(ctx, linkKey{}, &link{conn: c})
}

// unlink forgets a connection that ended.
func (s *Server) unlink(c net.Conn, state http.ConnState) {
	if state != http.StateClosed && state != http.StateHijacked {
		return
	}
	if inner, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = inner.NetConn()
	}
	s.links.mu.Lock()
	defer s.links.mu.Unlock()
	delete(s.links.of, c)
}

// peerOf tells which device is at a request's other end, and that it counts now. The
// certificate's chain is judged once a connection, the rest each time.
func (s *Server) peerOf(r *http.Request) (device.Peer, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return device.Peer{}, device.ErrNoDevice
	}
	l, _ := r.Context().Value(linkKey{}).(*link)
	if l == nil {
		l = &link{}
	}
	l.once.Do(func() {
		if l.peer, l.err = s.inst.Devices.Peer(r.TLS, s.inst.Log.Now()); l.err == nil && l.conn != nil {
			s.links.mu.Lock()
			s.links.of[l.conn] = l
			s.links.mu.Unlock()
		}
	})
	if l.err != nil {
		return device.Peer{}, l.err
	}
	if err := s.inst.Access.Admit(l.peer); err != nil {
		s.inst.Access.TurnedAway(l.peer, err)
		return device.Peer{}, err
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		if err := s.inst.Access.SeenAt(l.peer, host); err != nil {
			return device.Peer{}, err
		}
	}
	return l.peer, nil
}

// identify has the operations know at which device a request's connection ends.
// Where the installation demands it, or a certificate is there, it must count.
func (s *Server) identify(h http.Handler, demand bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := s.peerOf(r)
		given := r.TLS != nil && len(r.TLS.PeerCertificates) > 0
		enrols := r.Method == http.MethodPost && (r.URL.Path == EnrolPath || r.URL.Path == RenewPath)
		if err != nil && (given || demand) && !enrols {
			status := http.StatusForbidden
			switch {
			case errors.Is(err, access.ErrNoSession): // contained
				status = http.StatusUnauthorized
			case errors.Is(err, access.ErrUnjudged):
				status = http.StatusServiceUnavailable
			}
			w.Header().Set("Cache-Control", "no-store")
			if errors.Is(err, device.ErrNoDevice) {
				w.Header().Set("Connection", "close") // a certificate is shown in a handshake: whoever has got one comes anew
			}
			writeProblem(w, status, err.Error())
			return
		}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), fromKey{}, from{peer: peer})))
	})
}

// atSocket marks the operator's side.
func atSocket(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), fromKey{}, from{socket: true})))
	})
}

// authenticate is the session of a token, where the request comes from.
func (s *Server) authenticate(ctx context.Context, token string) (access.Session, error) {
	f, _ := ctx.Value(fromKey{}).(from)
	if f.socket {
		return s.inst.Access.AtSocket(token)
	}
	return s.inst.Access.Authenticate(token, f.peer)
}

// peer is the device of a request's connection, for the sign-in.
func (s *Server) peer(r *http.Request) (device.Peer, error) {
	if f, _ := r.Context().Value(fromKey{}).(from); f.peer.Live() {
		return f.peer, nil
	}
	return device.Peer{}, device.ErrNoDevice
}
