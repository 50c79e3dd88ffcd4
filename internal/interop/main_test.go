package interop_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"testing"

	"azekura/api"
	"azekura/auditlog/check"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/internal/madelog"
	"azekura/internal/pgtest"

	"golang.org/x/mod/sumdb/note"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// served is an installation's log behind a URL.
type served struct {
	*installation.Installation
	url, token string // of an auditor
}

// each serves a log of so many events and some, on each engine.
func each(t *testing.T, events int64, f func(t *testing.T, s served)) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		ok(t, madelog.Record(t.Context(), i.Log, events))
		_, token := insttest.Session(t, i, "s-9", "auditor", "d-9")
		server := httptest.NewServer(api.New(i, func(request string, err error) { t.Errorf("request %s: %v", request, err) }).Log())
		t.Cleanup(server.Close)
		f(t, served{i, server.URL, token})
	})
}

func (s served) keys(t *testing.T) check.Keys {
	t.Helper()
	v, err := check.ParseKey(s.Signer.VerifierKey())
	ok(t, err)
	return check.Keys{Log: []note.Verifier{v}}
}

// alter changes the log with a database administrator's rights.
func (s served) alter(t *testing.T, sql string, args ...any) {
	t.Helper()
	n, err := s.DB.Exec(t.Context(), sql, args...)
	ok(t, err)
	if n == 0 {
		t.Fatalf("%s: no row", sql)
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func entry(n int) []byte { return fmt.Appendf(nil, "entry %d", n) }
