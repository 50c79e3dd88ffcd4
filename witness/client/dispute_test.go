package client_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/witness"
	"azekura/witness/client"

	"golang.org/x/mod/sumdb/note"
)

// liar is a witness that says what it is told to, or, told nothing, the truth.
type liar struct {
	*coSigner
	says, shows atomic.Pointer[http.HandlerFunc]
	server      *httptest.Server
}

func newLiar(t *testing.T, name, dir string) *liar {
	t.Helper()
	l := &liar{coSigner: newCoSigner(t, name, dir, false)}
	truth := l.w.Handler(func(err error) { t.Error(err) })
	l.server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		told := l.shows.Load()
		if in.URL.Path == "/add-checkpoint" {
			told = l.says.Load()
		}
		if told == nil {
			truth.ServeHTTP(out, in)
			return
		}
		(*told)(out, in)
	}))
	t.Cleanup(l.server.Close)
	return l
}

func (l *liar) trusted() client.Witness {
	w := l.coSigner.trusted(false)
	w.URL = l.server.URL
	return w
}

func says(kind string, status int, text string) *http.HandlerFunc {
	var f http.HandlerFunc = func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Type", kind)
		out.WriteHeader(status)
		_, _ = out.Write([]byte(text))
	}
	return &f
}

// TestOneWitnessLies: what one of three says without a head that the log signed
// stops the reads until it cosigns, at the start as well, and never for good.
func TestOneWitnessLies(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		dir := insttest.New(t, engine)
		a, b, l := newCoSigner(t, "a.invalid", dir, false), newCoSigner(t, "b.invalid", dir, false), newLiar(t, "c.invalid", dir)
		trust(t, dir, client.Defaults(), a.trusted(false), b.trusted(false), l.trusted())
		i := open(t, dir)
		insttest.Import(t, i, insttest.CSV(t, 1, 20))
		s := insttest.Caseworker(t, i)
		read(t, i, s, 0)
		config, err := installation.ReadConfig(dir)
		ok(t, err)
		forged := forgedHead(t, config.Origin)
		for _, lie := range []struct {
			name        string
			says, shows *http.HandlerFunc
		}{
			{"a larger size", says(witness.SizeType, http.StatusConflict, "1000000\n"), nil},
			{"another root", says("text/plain", http.StatusConflict, ""), nil},
			{"a proof that doesn't lead", says("text/plain", http.StatusUnprocessableEntity, ""), nil},
			{"a head by another key", says("text/plain", http.StatusConflict, ""), says("text/plain", http.StatusOK, forged)},
			{"nothing where the evidence is", says("text/plain", http.StatusConflict, ""), says("text/plain", http.StatusNotFound, "")},
		} {
			l.says.Store(lie.says)
			l.shows.Store(lie.shows)
			eventually(t, "a lie stops the reads: "+lie.name, func() bool {
				_, err := i.Gate.Read(t.Context(), s, request(0))
				if err != nil && !errors.Is(err, auditlog.ErrDisputed) {
					t.Fatalf("%s: %v", lie.name, err)
				}
				return err != nil
			})
			if st := i.Witnesses.Status(); len(st.Disputed) != 1 || !strings.Contains(st.Disputed[0], "c.invalid") || st.Refused != "" {
				t.Errorf("%s: %+v", lie.name, st)
			}
			ok(t, i.Log.Err())
			l.says.Store(nil)
			l.shows.Store(nil)
			eventually(t, "the truth lets the reads go on", func() bool {
				_, err := i.Gate.Read(t.Context(), s, request(0))
				return err == nil
			})
		}
		ok(t, i.Close())

		// A start goes on under a lie, and the log records; nothing is opened.
		l.says.Store(says("text/plain", http.StatusConflict, ""))
		i = open(t, dir)
		s = insttest.Caseworker(t, i)
		eventually(t, "the lie is heard", func() bool { return len(i.Witnesses.Status().Disputed) == 1 })
		if _, err := i.Gate.Read(t.Context(), s, request(0)); !errors.Is(err, auditlog.ErrDisputed) {
			t.Errorf("after a start: %v", err)
		}
		ok(t, i.Close())
	})
}

// forgedHead is a head under the log's name by a key that isn't the log's.
func forgedHead(t *testing.T, origin string) string {
	t.Helper()
	skey, _, err := note.GenerateKey(rand.Reader, origin)
	ok(t, err)
	key, err := note.NewSigner(skey)
	ok(t, err)
	signed, err := note.Sign(&note.Note{Text: origin + "\n1000000\n" + strings.Repeat("A", 43) + "=\n"}, key)
	ok(t, err)
	return string(signed)
}

// TestQuorumDisputes: two of three are believed without a head.
func TestQuorumDisputes(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		dir := insttest.New(t, engine)
		a, b, c := newCoSigner(t, "a.invalid", dir, false), newLiar(t, "b.invalid", dir), newLiar(t, "c.invalid", dir)
		trust(t, dir, client.Defaults(), a.trusted(false), b.trusted(), c.trusted())
		i := open(t, dir)
		s := insttest.Caseworker(t, i)
		for _, l := range []*liar{b, c} {
			l.says.Store(says("text/plain", http.StatusConflict, ""))
		}
		eventually(t, "the log stops for good", func() bool {
			// Where one alone is believed, a read waits for their agreement.
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, _ = i.Gate.Read(ctx, s, request(0))
			return errors.Is(i.Log.Err(), auditlog.ErrOtherHistory)
		})
	})
}

// TestPlainHTTP is for this machine alone.
func TestPlainHTTP(t *testing.T) {
	dir := insttest.New(t, "sqlite")
	w := newCoSigner(t, "a.invalid", dir, false).trusted(false)
	for url, want := range map[string]bool{"http://127.0.0.1:1": true, "http://[::1]:1": true, "http://localhost:1": true, "https://w.invalid": true,
		"http://w.invalid": false, "http://192.0.2.1:1": false, "http://127.0.0.1.w.invalid": false, "http://localhost@w.invalid": false, "ftp://127.0.0.1": false} {
		w.URL = url
		if err := client.Defaults().Trust(w).Check(); (err == nil) != want {
			t.Errorf("%s: %v", url, err)
		}
	}
}
