package cli_test

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"azekura/api"
	"azekura/internal/cli"
	"azekura/internal/insttest"
	"azekura/internal/madelog"
)

// TestLogByURL checks a log behind a URL, with a certificate that the system
// doesn't know, and proves an event from it.
func TestLogByURL(t *testing.T) {
	i := insttest.Open(t, insttest.New(t, "sqlite"))
	if err := madelog.Record(t.Context(), i.Log, 300); err != nil {
		t.Fatal(err)
	}
	_, token := insttest.Session(t, i, "s-2", "auditor", "d-1")
	server := httptest.NewTLSServer(api.New(i, func(request string, err error) { t.Error(request, err) }).Log())
	defer server.Close()
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := file("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	tokenFile := file("token", []byte(token+"\n"))
	vkey := i.Signer.VerifierKey() // as it is, not in a file

	if said := run(t, "log", "check", server.URL, "--vkey", vkey, "--ca", ca); !strings.Contains(said, "those only") {
		t.Errorf("without a token: %s", said)
	}
	if said := run(t, "log", "check", server.URL+"/", "--vkey", vkey, "--ca", ca, "--token-file", tokenFile); !strings.Contains(said, "and every entry") {
		t.Errorf("with an auditor's: %s", said)
	}
	proof := filepath.Join(dir, "p.tlog-proof")
	if said := run(t, "log", "prove", "--event", "299", "--from", server.URL, "--ca", ca, "-o", proof); !strings.HasSuffix(said, " proves event 299 of "+i.Signer.Origin()+". Of its witnesses there signed: none.\n") {
		t.Errorf("a proof is written: %s", said)
	}
	if said := run(t, "log", "check-proof", proof, "--vkey", vkey); !strings.Contains(said, "entry 299 of") {
		t.Errorf("a proof by URL: %s", said)
	}
	cmd := cli.New()
	cmd.SetArgs([]string{"log", "check", server.URL, "--vkey", vkey})
	if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") || !strings.Contains(err.Error(), "--ca") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
}
