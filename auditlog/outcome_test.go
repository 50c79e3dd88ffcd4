package auditlog_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"azekura/auditlog"
	"azekura/internal/pgtest"
)

// proxy stands before a real PostgreSQL and cuts a connection at a commit: of an
// entry's own transaction its COMMIT, of others the one message that is all of it.
type proxy struct {
	net.Listener
	server string
	own    atomic.Bool // the next entry brings a transaction of its own
	// cut says what to do with the next COMMIT; each is done once.
	cut atomic.Int32
	// held is where a COMMIT waits that is to reach the server late.
	held chan func()
	open sync.WaitGroup
}

const (
	pass       int32 = iota
	cutBefore        // the server never gets it
	cutAfter         // the server answers, nobody hears
	cutAndHold       // the client is cut off first, the server gets it later
)

func (p *proxy) commits(message []byte) bool {
	if p.own.Load() {
		return bytes.Contains(message, []byte("commit"))
	}
	return bytes.Contains(message, []byte(`{"v":1,`))
}

func startProxy(t *testing.T, server string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	p := &proxy{Listener: l, server: server, held: make(chan func(), 1)}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.open.Go(func() { p.serve(client) })
		}
	}()
	t.Cleanup(func() { l.Close(); p.open.Wait() })
	return p
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	var deaf atomic.Bool // the server's answers are thrown away
	var keep atomic.Bool // the server's connection outlives the client's
	go func() {
		defer client.Close()
		buffer := make([]byte, 32<<10)
		for {
			n, err := server.Read(buffer)
			if n > 0 && deaf.Load() {
				return
			}
			if n > 0 {
				if _, err := client.Write(buffer[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	defer func() {
		if !keep.Load() {
			server.Close()
		}
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		message := bytes.Clone(buffer[:n])
		if p.commits(message) {
			switch p.cut.Swap(pass) {
			case cutBefore:
				return
			case cutAfter:
				deaf.Store(true)
			case cutAndHold:
				keep.Store(true)
				p.held <- func() {
					deaf.Store(true)
					server.Write(message)
					server.(*net.TCPConn).CloseWrite() // it ends when it has committed
					io.Copy(io.Discard, server)
					server.Close()
				}
				return
			}
		}
		if _, err := server.Write(message); err != nil {
			return
		}
	}
}

// through is a database's URL by way of a proxy.
func through(t *testing.T) (string, *proxy) {
	u, err := url.Parse(pgtest.URL(t))
	ok(t, err)
	p := startProxy(t, u.Host)
	u.Host = p.Addr().String()
	return u.String(), p
}

// TestUnknownOutcome cuts the connection at a commit: whoever asked learns
// whether his event is in the log, and the log goes on.
func TestUnknownOutcome(t *testing.T) {
	for name, c := range map[string]struct {
		cut      int32
		recorded bool
	}{"before the server has it": {cutBefore, false}, "before its answer": {cutAfter, true}} {
		t.Run(name, func(t *testing.T) {
			server, p := through(t)
			in := install(t, server)
			in.ledger(t)
			for _, entry := range []func() auditlog.Entry{
				func() auditlog.Entry { return auditlog.Entry{Events: []auditlog.Event{event(person(1), 1)}} },
				func() auditlog.Entry { return in.with(t, "rows", 1+in.log.Committed()) },
			} {
				en := entry()
				p.own.Store(en.Tx != nil)
				before := in.log.Committed()
				p.cut.Store(c.cut)
				var receipts []auditlog.Receipt
				var err error
				within(t, "a commit whose answer never comes", func() { receipts, err = in.log.Record(t.Context(), en) })
				if p.cut.Load() != pass {
					t.Fatal("the proxy saw no commit")
				}
				switch {
				case c.recorded && (err != nil || len(receipts) != 1 || in.log.Committed() != before+1):
					t.Fatalf("%d receipts, %v, %d events", len(receipts), err, in.log.Committed()-before)
				case !c.recorded && (!errors.Is(err, auditlog.ErrNotRecorded) || in.log.Committed() != before):
					t.Fatalf("%v, %d events", err, in.log.Committed()-before)
				}
				if n := in.count(t, "SELECT count(*) FROM log_event"); n != in.log.Committed() {
					t.Fatalf("%d rows, and the log says %d", n, in.log.Committed())
				}
			}
			in.record(t, 10)
			in.mustVerify(t)
			in.mustBeNumbered(t)
		})
	}
}

// TestLateCommit lets a commit reach the server only after its client has gone
// and was told that nothing is recorded: it must come to nothing.
func TestLateCommit(t *testing.T) {
	server, p := through(t)
	in := install(t, server)
	in.record(t, 5)
	p.cut.Store(cutAndHold)
	within(t, "a commit that comes late", func() {
		if _, err := in.log.RecordOne(t.Context(), event(person(1), 1)); !errors.Is(err, auditlog.ErrNotRecorded) {
			t.Errorf("got %v", err)
		}
		(<-p.held)()
	})
	if n := in.count(t, "SELECT count(*) FROM log_event"); n != 5 || in.log.Committed() != 5 {
		t.Fatalf("%d rows, and the log says %d", n, in.log.Committed())
	}
	in.record(t, 10)
	in.mustVerify(t)
}
