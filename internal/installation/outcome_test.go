package installation_test

import (
	"bytes"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"azekura/gate"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"
	"azekura/register/field"
)

// brokenLine stands before a real PostgreSQL, and breaks every connection at a commit of
// the log: for good, until it is mended.
type brokenLine struct {
	net.Listener
	server  string
	deliver bool // whether the server gets the commit whose answer is lost
	armed   atomic.Bool
	down    atomic.Bool
	mu      sync.Mutex
	open    []net.Conn
}

func (b *brokenLine) run() {
	for {
		client, err := b.Accept()
		if err != nil {
			return
		}
		if b.down.Load() {
			client.Close()
			continue
		}
		server, err := net.Dial("tcp", b.server)
		if err != nil {
			client.Close()
			continue
		}
		b.mu.Lock()
		b.open = append(b.open, client, server)
		b.mu.Unlock()
		go b.forth(client, server)
		go b.back(client, server)
	}
}

func (b *brokenLine) forth(client, server net.Conn) {
	buffer := make([]byte, 256<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			server.Close()
			return
		}
		if bytes.Contains(buffer[:n], []byte(`{"v":1,`)) && b.armed.Swap(false) {
			b.down.Store(true)
			if b.deliver {
				server.Write(buffer[:n])
				time.Sleep(200 * time.Millisecond) // it commits; nobody hears
			}
			b.cut()
			return
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			client.Close()
			return
		}
	}
}

func (b *brokenLine) back(client, server net.Conn) {
	buffer := make([]byte, 256<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil || b.down.Load() {
			client.Close()
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			server.Close()
			return
		}
	}
}

func (b *brokenLine) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.open {
		c.Close()
	}
	b.open = nil
}

// TestUnknownOutcome ends an installation while nobody knows whether its last commit
// happened. Nothing was released on it; the next start settles it, whichever it
// was, and goes on.
func TestUnknownOutcome(t *testing.T) {
	for name, deliver := range map[string]bool{"it happened": true, "it didn't": false} {
		t.Run(name, func(t *testing.T) {
			direct := pgtest.URL(t)
			u, err := url.Parse(direct)
			if err != nil {
				t.Fatal(err)
			}
			b := &brokenLine{server: u.Host, deliver: deliver}
			if b.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { b.Listener.Close(); b.cut() })
			go b.run()
			u.Host = b.Addr().String()
			dir := insttest.NewAt(t, u.String())
			i, err := insttest.OpenDir(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			insttest.Import(t, i, insttest.CSV(t, 51, 10))
			session, token := insttest.Session(t, i, "s-1", "caseworker", "d-1")
			who := gate.Who{Participant: everybody(t, i)[0]}
			read := gate.ReadRequest{Who: who, Why: insttest.Why, Fields: field.SetOf(field.Name)}
			if _, err := i.Gate.Read(t.Context(), session, read); err != nil {
				t.Fatal(err)
			}
			before := i.Log.Committed()
			b.armed.Store(true)
			released := make(chan error, 1)
			go func() {
				_, err := i.Gate.Read(t.Context(), session, read)
				released <- err
			}()
			for !b.down.Load() {
				time.Sleep(time.Millisecond)
			}
			// It ends right there, as a server that is stopped does.
			closed := i.Close()
			if err := <-released; err == nil {
				t.Fatal("plaintext was released on a commit of which nobody knows")
			}
			if closed == nil || !strings.Contains(closed.Error(), "outcome of its last commit") {
				t.Error("it ended without a word:", closed)
			}

			replaceInConfig(t, dir, u.Host, strings.Split(strings.Split(direct, "@")[1], "/")[0])
			i = insttest.Open(t, dir)
			want := before
			if deliver {
				want++ // recorded, and released to nobody
			}
			if got := i.Log.Committed(); got != want {
				t.Errorf("%d events, not %d", got, want)
			}
			mustVerify(t, i)
			if session, err = i.Access.AtSocket(token); err != nil {
				t.Fatal(err)
			}
			if _, err := i.Gate.Read(t.Context(), session, read); err != nil {
				t.Fatal(err)
			}
		})
	}
}
