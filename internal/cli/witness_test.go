package cli_test

import (
	"net"
	"net/http"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// freePort sets a variable to a loopback address that nobody listens at.
func freePort(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], l.Addr().String())
	ts.Check(l.Close())
}

// awaitURL waits until something answers there.
func awaitURL(ts *testscript.TestScript, neg bool, args []string) {
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		r, err := http.Get(args[0])
		if err == nil {
			ts.Check(r.Body.Close())
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("nothing answers: %v", err)
		}
	}
}
