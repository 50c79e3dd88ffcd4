package api

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

const (
	// staffSocket and logSocket are where the gate that leads takes what gates that
	// stand by pass on: connections as they came, behind a PROXY header that says
	// from where. Only who may write in the installation's folder reaches them.
	staffSocket = "staff.sock"
	logSocket   = "log.sock"
	// maxPassed bounds the connections that a gate passes on at once.
	maxPassed = 1 << 14
	// holdOn is how long a connection waits for a gate that leads: longer than a
	// takeover takes.
	holdOn = 20 * time.Second
)

// Standby is a gate that doesn't lead: it holds its addresses, and passes what
// comes in on to the one that does. It sees nothing of it: TLS ends there.
type Standby struct {
	dir           string
	staff, public net.Listener // public is nil where none is asked for
	logError      func(error)
	free          chan struct{} // holds a place for each connection
	accepting     sync.WaitGroup
}

// StandBy listens where a server would, for an installation that another serves.
func StandBy(dir string, l Listen, logError func(error)) (*Standby, error) {
	s := &Standby{dir: dir, logError: logError, free: make(chan struct{}, maxPassed)}
	var err error
	if s.staff, err = net.Listen("tcp", l.Address); err != nil {
		return nil, fmt.Errorf("listen for staff: %w", err)
	}
	if l.Log != "" {
		if s.public, err = net.Listen("tcp", l.Log); err != nil {
			return nil, errors.Join(fmt.Errorf("listen for readers of the log: %w", err), s.staff.Close())
		}
	}
	s.accepting.Go(func() { s.accept(s.staff, staffSocket) })
	if s.public != nil {
		s.accepting.Go(func() { s.accept(s.public, logSocket) })
	}
	return s, nil
}

// Address is where staff reach it.
func (s *Standby) Address() string { return s.staff.Addr().String() }

// Close stops listening. Connections that were passed on live as long as their ends.
func (s *Standby) Close() error {
	errs := []error{s.staff.Close()}
	if s.public != nil {
		errs = append(errs, s.public.Close())
	}
	s.accepting.Wait()
	return errors.Join(errs...)
}

// doors ends the standing by, and hands its listeners over.
func (s *Standby) doors() (staff, public net.Listener, err error) {
	var errs []error
	for _, l := range []net.Listener{s.staff, s.public} {
		if tcp, ok := l.(*net.TCPListener); ok {
			errs = append(errs, tcp.SetDeadline(time.Now()))
		}
	}
	s.accepting.Wait()
	for _, l := range []net.Listener{s.staff, s.public} {
		if tcp, ok := l.(*net.TCPListener); ok {
			errs = append(errs, tcp.SetDeadline(time.Time{}))
		}
	}
	return s.staff, s.public, errors.Join(errs...)
}

// accept passes connections on until its listener is closed or handed over.
func (s *Standby) accept(l net.Listener, socket string) {
	for {
		c, err := l.Accept()
		var network net.Error
		switch {
		case errors.Is(err, net.ErrClosed), errors.As(err, &network) && network.Timeout():
			return
		case err != nil: // too many open files, say
			s.logError(fmt.Errorf("take a connection: %w", err))
			time.Sleep(100 * time.Millisecond)
			continue
		}
		select {
		case s.free <- struct{}{}:
			go func() {
				defer func() { <-s.free }()
				s.pass(c, filepath.Join(s.dir, socket))
			}()
		default:
			c.Close()
		}
	}
}

// pass passes one connection on, both ways, until an end of it closes. While
// nobody leads it waits.
func (s *Standby) pass(c net.Conn, socket string) {
	defer c.Close()
	to, err := reach(socket)
	if err != nil {
		s.logError(fmt.Errorf("pass a connection on: %w", err))
		return
	}
	defer to.Close()
	if _, err := proxyproto.HeaderProxyFromAddrs(2, c.RemoteAddr(), c.LocalAddr()).WriteTo(to); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(to, c) // an end that breaks off ends the other way, too
		_ = to.(*net.UnixConn).CloseWrite()
	}()
	_, _ = io.Copy(c, to)
}

// reach connects to the gate that leads, once one does.
func reach(socket string) (net.Conn, error) {
	for end := time.Now().Add(holdOn); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("unix", socket)
		if err == nil || time.Now().After(end) {
			return c, err
		}
	}
}

// listenPassed takes what gates that stand by pass on.
func listenPassed(path string) (net.Listener, error) {
	l, err := listenSocket(path)
	if err != nil {
		return nil, err
	}
	return &proxyproto.Listener{Listener: l, ReadHeaderTimeout: 5 * time.Second}, nil
}

// listen opens the doors of a server, or takes those of a gate that stood by.
func (l *Listen) listen() (staff, public net.Listener, err error) {
	if l.Standby != nil {
		return l.Standby.doors()
	}
	if staff, err = net.Listen("tcp", l.Address); err != nil {
		return nil, nil, fmt.Errorf("listen for staff: %w", err)
	}
	if l.Log == "" {
		return staff, nil, nil
	}
	if public, err = net.Listen("tcp", l.Log); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("listen for readers of the log: %w", err), staff.Close())
	}
	return staff, public, nil
}
