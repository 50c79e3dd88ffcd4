package client_test

import (
	"context"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"azekura/internal/installation"
	"azekura/internal/pgtest"
	"azekura/witness"
	"azekura/witness/client"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// coSigner is a witness that can be stopped and started again at its address.
type coSigner struct {
	dir, address string
	w            *witness.Witness
	server       *httptest.Server
}

// newCoSigner makes a witness that knows an installation's log, and starts it.
func newCoSigner(t testing.TB, name, inst string, mirror bool) *coSigner {
	t.Helper()
	c := &coSigner{dir: filepath.Join(t.TempDir(), "witness")}
	ok(t, witness.Create(c.dir, name, false))
	config, err := installation.ReadConfig(inst)
	ok(t, err)
	vkey, err := os.ReadFile(filepath.Join(inst, "signer", "vkey"))
	ok(t, err)
	_, err = witness.AddLog(c.dir, witness.LogSettings{Origin: config.Origin, Keys: []string{string(vkey[:len(vkey)-1])}, Mirror: mirror})
	ok(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	c.address = l.Addr().String()
	c.startOn(t, l)
	t.Cleanup(c.stop)
	return c
}

func (c *coSigner) start(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", c.address)
	ok(t, err)
	c.startOn(t, l)
}

func (c *coSigner) startOn(t testing.TB, l net.Listener) {
	t.Helper()
	var err error
	c.w, err = witness.Open(c.dir)
	ok(t, err)
	c.server = httptest.NewUnstartedServer(c.w.Handler(func(err error) { t.Error(err) }))
	c.server.Listener.Close()
	c.server.Listener = l
	c.server.Start()
}

func (c *coSigner) stop() {
	if c.server != nil {
		c.server.CloseClientConnections()
		c.server.Close()
		c.w.Close()
		c.server = nil
	}
}

func (c *coSigner) trusted(mirror bool) client.Witness {
	keys, err := witness.ReadKeys(c.dir)
	if err != nil {
		panic(err)
	}
	return client.Witness{URL: "http://" + c.address, Keys: keys, Mirror: mirror}
}

// head is how far the witness cosigned.
func (c *coSigner) head(t testing.TB) witness.Head {
	t.Helper()
	heads, err := witness.Heads(c.dir)
	ok(t, err)
	return heads[0]
}

// trust has witnesses cosign an installation's log.
func trust(t testing.TB, dir string, settings client.Settings, list ...client.Witness) {
	t.Helper()
	_, err := installation.ChangeWitnesses(dir, func(client.Settings) (client.Settings, error) {
		for _, w := range list {
			settings = settings.Trust(w)
		}
		return settings, nil
	})
	ok(t, err)
}

// eventually waits for what must come.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about that %s", what)
		}
	}
}

// cosigned waits until all that is signed is cosigned.
func cosigned(t testing.TB, i *installation.Installation) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	size, _ := i.Signer.Head()
	ok(t, i.Witnesses.AwaitSize(ctx, size))
}
