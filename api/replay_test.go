package api_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/internal/insttest"
)

// wiretap passes one connection on to an address, and keeps what its client said.
func wiretap(t *testing.T, address string) (at string, said func() []byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var heard bytes.Buffer
	var passing sync.WaitGroup
	passing.Go(func() {
		client, err := l.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		server, err := net.Dial("tcp", address)
		if err != nil {
			t.Error(err)
			return
		}
		passing.Go(func() {
			defer server.Close()
			for b := make([]byte, 1<<14); ; {
				n, err := client.Read(b)
				mu.Lock()
				heard.Write(b[:n])
				mu.Unlock()
				if _, bad := server.Write(b[:n]); err != nil || bad != nil {
					return
				}
			}
		})
		_, _ = io.Copy(client, server)
	})
	t.Cleanup(func() { l.Close(); passing.Wait() })
	return l.Addr().String(), func() []byte {
		mu.Lock()
		defer mu.Unlock()
		return bytes.Clone(heard.Bytes())
	}
}

// TestReplayedRequest: what went over the wire for one opening opens nothing when it
// is sent again. TLS 1.3 without tickets has no early data, so each request stands
// behind a handshake that proves the device's key anew. That it was tried is an event.
func TestReplayedRequest(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o, address, config, pc := guardedOn(t, engine)
		tapped, said := wiretap(t, address)
		c := by(config, pc.Cert)
		if status, _, err := o.reading(c, tapped); status != http.StatusOK {
			t.Fatalf("the request itself: %d %v", status, err)
		}
		if tr, ok := c.Transport.(*http.Transport); ok {
			tr.CloseIdleConnections()
		}
		openings := func() (n int) {
			for _, e := range insttest.Events(t, o.inst) {
				if e.Action == auditlog.Read {
					n++
				}
			}
			return n
		}
		before := openings()
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(said()) // the server may hang up before its end
		answer, _ := io.ReadAll(conn)
		if alert := []byte{21, 3, 3}; len(answer) == 0 || bytes.Contains(answer, []byte(o.people[0].Name)) || answer[0] != 22 && !bytes.HasPrefix(answer, alert) {
			t.Errorf("the server answered %d bytes to a replay", len(answer))
		}
		if after := openings(); before == 0 || after != before {
			t.Errorf("%d openings before the replay, %d after", before, after)
		}
		heard(t, o, "handshake-altered", "", "")
	})
}
