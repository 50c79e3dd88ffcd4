package interop_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"azekura/api"
	"azekura/auditlog/check"
	"azekura/auditlog/serve"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/internal/madelog"
	"azekura/witness"
	"azekura/witness/client"

	"golang.org/x/mod/sumdb/note"
)

// witnessed makes an installation whose log two witnesses cosign.
func witnessed(t *testing.T, engine string) string {
	t.Helper()
	dir := insttest.New(t, engine)
	config, err := installation.ReadConfig(dir)
	ok(t, err)
	vkey, err := os.ReadFile(filepath.Join(dir, "signer", "vkey"))
	ok(t, err)
	for _, name := range []string{"w1.invalid", "w2.invalid"} {
		folder := filepath.Join(t.TempDir(), name)
		ok(t, witness.Create(folder, name, false))
		_, err = witness.AddLog(folder, witness.LogSettings{Origin: config.Origin, Keys: []string{strings.TrimSpace(string(vkey))}})
		ok(t, err)
		w, err := witness.Open(folder)
		ok(t, err)
		server := httptest.NewServer(w.Handler(func(err error) { t.Error(err) }))
		t.Cleanup(func() {
			server.Close()
			ok(t, w.Close())
		})
		_, err = installation.ChangeWitnesses(dir, func(s client.Settings) (client.Settings, error) {
			s = s.Trust(client.Witness{URL: server.URL, Keys: w.Keys})
			s.Need = len(s.Witnesses)
			return s, nil
		})
		ok(t, err)
	}
	return dir
}

// TestCosignedHead: what is served at /checkpoint is what k witnesses cosigned, by
// the keys of the well-known file, and proofs carry their cosignatures.
func TestCosignedHead(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		i := insttest.Open(t, witnessed(t, engine))
		ok(t, madelog.Record(t.Context(), i.Log, 300))
		size := i.Log.Signed()
		for end := time.Now().Add(2 * time.Minute); i.Witnesses.Status().Size < size; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the witnesses don't come to cosign %d events: %+v", size, i.Witnesses.Status())
			}
		}
		server := httptest.NewServer(api.New(i, func(request string, err error) { t.Errorf("request %s: %v", request, err) }).Log())
		defer server.Close()
		answer, err := http.Get(server.URL + serve.KeysPath)
		ok(t, err)
		defer answer.Body.Close()
		var told serve.Keys
		ok(t, json.NewDecoder(answer.Body).Decode(&told))
		var keys check.Keys
		for _, vkey := range told.Keys {
			v, err := check.ParseKey(vkey)
			ok(t, err)
			keys.Log = append(keys.Log, v)
		}
		for _, vkey := range told.Witnesses {
			v, err := check.ParseWitnessKey(vkey)
			ok(t, err)
			keys.Witnesses = append(keys.Witnesses, v)
		}
		if keys.Need = told.Need; told.Need != 2 || len(keys.Witnesses) != 2 || told.Log != 1 {
			t.Fatalf("the keys are %+v", told)
		}
		src := check.Web(server.URL, http.DefaultClient, "")
		r, err := check.Log(t.Context(), src, check.Options{Keys: keys})
		ok(t, err)
		slices.Sort(r.Witnesses)
		if r.Size != size || strings.Join(r.Witnesses, " ") != "w1.invalid w2.invalid" {
			t.Errorf("%+v", r)
		}
		p, err := check.Prove(t.Context(), src, 200)
		ok(t, err)
		if _, head, err := keys.CheckProof(p.Format(), nil); err != nil || len(head.Witnesses) != 2 || len(p.Format()) >= 2048 {
			t.Errorf("%d bytes, %+v, %v", len(p.Format()), head, err)
		}
		// x/mod's note knows the log's own signature beside theirs.
		if n, err := note.Open(p.Checkpoint, note.VerifierList(keys.Log...)); err != nil || len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 2 {
			t.Errorf("%+v, %v", n, err)
		}
	})
}
