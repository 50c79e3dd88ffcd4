package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"azekura/api"
	"azekura/auditlog"
	"azekura/auditlog/check"
	"azekura/auditlog/serve"
	"azekura/internal/insttest"
	"azekura/internal/madelog"

	"golang.org/x/mod/sumdb/note"
)

// fetch asks the log's public side as a stranger, or with a token.
func fetch(h http.Handler, path, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.URL.Path = path
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return answer(h, r)
}

// TestPublicLog serves what C2SP tlog-tiles says, with its headers, to everybody.
func TestPublicLog(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		if err := madelog.Record(t.Context(), o.inst.Log, 300); err != nil {
			t.Fatal(err)
		}
		log := o.server.Log()
		size := o.inst.Log.Signed()
		for path, want := range map[string]struct{ kind, cache string }{
			"/checkpoint":     {"text/plain; charset=utf-8", "public, max-age=2"},
			"/tile/0/000":     {"application/octet-stream", "public, max-age=31536000, immutable"},
			"/tile/0/000.p/7": {"application/octet-stream", "public, max-age=31536000, immutable"},
			fmt.Sprintf("/tile/0/001.p/%d", size%256): {"application/octet-stream", "public, max-age=31536000, immutable"},
			"/tile/1/000.p/1":                         {"application/octet-stream", "public, max-age=31536000, immutable"},
			"/log/1/checkpoint":                       {"text/plain; charset=utf-8", "public, max-age=2"},
			"/log/1/tile/0/000":                       {"application/octet-stream", "public, max-age=31536000, immutable"},
			"/.well-known/azekura-log.json":           {"application/json", "public, max-age=2"},
		} {
			w := fetch(log, path, "")
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != want.kind || w.Header().Get("Cache-Control") != want.cache ||
				w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Content-Length") != fmt.Sprint(w.Body.Len()) {
				t.Errorf("%s: %d %v", path, w.Code, w.Header())
			}
		}
		if w := fetch(log, "/checkpoint", ""); !bytes.Equal(w.Body.Bytes(), o.inst.Log.Checkpoint()) {
			t.Errorf("the checkpoint is %s", w.Body)
		}
		var keys serve.Keys
		if err := json.Unmarshal(fetch(log, serve.KeysPath, "").Body.Bytes(), &keys); err != nil || keys.Origin != o.inst.Config.Origin ||
			len(keys.Keys) != 1 || keys.Keys[0] != o.inst.Signer.VerifierKey() {
			t.Errorf("the keys are %+v, %v", keys, err)
		}
		for _, path := range []string{"/tile/0/002", "/tile/0/001", fmt.Sprintf("/tile/0/001.p/%d", size%256+1), "/tile/1/000.p/2", "/tile/1/000", "/tile/2/000.p/1",
			"/tile/7/000", "/tile/63/000", "/tile/0/000.p/256", "/tile/0/0", "/tile/x", "/tile/", "/tile/data/000", "/tile/0/x999/x999/x999/x999/x999/999",
			"/tile/entries/002", "/tile/entries/x999/x999/x999/x999/x999/999", "/", "/checkpoint/", "/v1/read", "/operator/staff", "/openapi.json", "/tile/0/../0/000",
			"/.well-known/", "/log/2/checkpoint", "/log/1", "/log/1/", "/log/1/.well-known/azekura-log.json", "/log/01/checkpoint", "/log/1/tile/0/002"} {
			if w := fetch(log, path, ""); w.Code != http.StatusNotFound {
				t.Errorf("%s: %d", path, w.Code)
			} else {
				o.refusal(w)
			}
		}
		r := o.request(http.MethodPost, "/checkpoint", "{}")
		if w := answer(log, r); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("a POST: %d", w.Code)
		}
		if w := fetch(o.staff, "/checkpoint", ""); w.Code != http.StatusNotFound {
			t.Errorf("the staff's side serves the log: %d", w.Code)
		}
		if events := o.inst.Log.Signed() - size; events != 0 {
			t.Errorf("strangers grew the log by %d events", events)
		}
	})
}

// TestEntriesAreForAuditors: nobody else gets a line, and that an auditor does is
// in the log before they have it, once for each session and span.
func TestEntriesAreForAuditors(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		if err := madelog.Record(t.Context(), o.inst.Log, 300); err != nil {
			t.Fatal(err)
		}
		log := o.server.Log()
		_, auditor := insttest.Session(t, o.inst, "s-2", "auditor", "d-1")
		size := o.inst.Log.Signed()
		for name, token := range map[string]string{"nobody": "", "a wrong token": "azs_wrong"} {
			w := fetch(log, "/tile/entries/000", token)
			if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s: %d", name, w.Code)
			}
			o.refusal(w, "azs_wrong")
		}
		if o.inst.Log.Signed() != size {
			t.Error("strangers grew the log")
		}
		w := fetch(log, "/tile/entries/000", o.token)
		if w.Code != http.StatusForbidden {
			t.Errorf("a caseworker: %d", w.Code)
		}
		o.refusal(w)
		if e, err := o.event(size); err != nil || e.Action != auditlog.Deny || e.Outcome != "role" || e.Purpose != "entries" || e.Staff != "s-1" {
			t.Errorf("a refusal leaves %+v, %v", e, err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for _, path := range []string{"/tile/entries/000", "/tile/entries/001.p/9", "/tile/entries/000.p/255"} {
					w := fetch(log, path, auditor)
					if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "private, max-age=31536000, immutable" || w.Header().Get("Vary") == "" {
						t.Errorf("an auditor: %s: %d, %v", path, w.Code, w.Header())
					}
				}
			})
		}
		wg.Wait()
		if o.inst.Log.Signed() != size+2 {
			t.Errorf("24 readings leave %d events", o.inst.Log.Signed()-size-1)
		}
		e, err := o.event(size + 1)
		if err != nil || e.Action != auditlog.Export || e.Outcome != "ok" || e.Purpose != "entries" || e.Staff != "s-2" || e.Role != "auditor" || string(e.Detail) != `{"entries":{"log":1,"from":0,"before":65536}}` {
			t.Errorf("a reading leaves %+v, %s, %v", e, e.Detail, err)
		}
		o.whole()

		// Compressed where the reader asks for it; and the same.
		r := httptest.NewRequest(http.MethodGet, "/tile/entries/000", nil)
		r.Header.Set("Authorization", "bearer "+auditor)
		r.Header.Set("Accept-Encoding", "gzip")
		w = answer(log, r)
		z, err := gzip.NewReader(w.Body)
		if err != nil || w.Header().Get("Content-Encoding") != "gzip" {
			t.Fatal(err, w.Header())
		}
		plain, err := io.ReadAll(z)
		if want := fetch(log, "/tile/entries/000", auditor); err != nil || !bytes.Equal(plain, want.Body.Bytes()) {
			t.Errorf("compressed entries differ: %v", err)
		}

		session, err := o.inst.Access.AtSocket(auditor)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.inst.Access.CloseSession(t.Context(), session.ID()); err != nil {
			t.Fatal(err)
		}
		if w := fetch(log, "/tile/entries/000", auditor); w.Code != http.StatusUnauthorized {
			t.Errorf("a session that ended: %d", w.Code)
		}
	})
}

// TestLogListener serves the log on a listener of its own, on TLS, and the
// sceptic's checker reads it there.
func TestLogListener(t *testing.T) {
	o := shortOffice(t)
	at := make(chan string, 1)
	_, config := listeningAt(t, o, api.Listen{Address: "127.0.0.1:0", Log: "127.0.0.1:0", LogReady: func(address string) { at <- address }})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	v, err := check.ParseKey(o.inst.Signer.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	url := "https://" + <-at
	r, err := check.Log(t.Context(), check.Web(url, client, ""), check.Options{Keys: check.Keys{Log: []note.Verifier{v}}})
	if err != nil || r.Size == 0 || r.Entries != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	for _, path := range []string{"/operator/staff", "/v1/read", "/openapi.json"} {
		got, err := client.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		got.Body.Close()
		if got.StatusCode != http.StatusNotFound {
			t.Errorf("%s on the log's listener: %s", path, got.Status)
		}
	}
	c, err := api.Dial(o.inst.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := check.Prove(t.Context(), c.Log(), 1); err != nil || p.Index != 1 {
		t.Errorf("by the operator's socket: %v", err)
	}
	taken := api.Listen{Address: "127.0.0.1:0", Log: strings.TrimPrefix(url, "https://")}
	if err := o.server.Serve(context.WithoutCancel(t.Context()), taken, func(string) {}); err == nil || !strings.Contains(err.Error(), "readers of the log") {
		t.Errorf("an address that is taken: %v", err)
	}
}
