package installation_test

import (
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azekura/approval"
	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/witness"
	"azekura/witness/client"

	"golang.org/x/mod/sumdb/note"
)

// newWitness is one more witness that cosigns the log. It returns its folder.
func (m *mirroring) newWitness(t *testing.T, name string, mirror bool) string {
	t.Helper()
	home := filepath.Join(t.TempDir(), name)
	must(t, witness.Create(home, name, false))
	config, err := installation.ReadConfig(m.dir)
	must(t, err)
	vkey, err := os.ReadFile(filepath.Join(m.dir, "signer", "vkey"))
	must(t, err)
	_, err = witness.AddLog(home, witness.LogSettings{Origin: config.Origin, Keys: []string{strings.TrimSpace(string(vkey))}, Mirror: mirror})
	must(t, err)
	w, err := witness.Open(home)
	must(t, err)
	server := httptest.NewServer(w.Handler(func(err error) { t.Error(err) }))
	t.Cleanup(func() {
		server.Close()
		must(t, w.Close())
	})
	m.trust(t, func(s client.Settings) client.Settings {
		return s.Trust(client.Witness{URL: server.URL, Keys: w.Keys, Mirror: mirror})
	})
	return home
}

func (m *mirroring) trust(t *testing.T, change func(client.Settings) client.Settings) {
	t.Helper()
	_, err := installation.ChangeWitnesses(m.dir, func(s client.Settings) (client.Settings, error) { return change(s), nil })
	must(t, err)
}

// kept is a copy of a folder's files, to put back.
func kept(t *testing.T, dir string) (putBack func()) {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "kept")
	must(t, os.CopyFS(copied, os.DirFS(dir)))
	return func() {
		t.Helper()
		must(t, os.RemoveAll(dir))
		must(t, os.CopyFS(dir, os.DirFS(copied)))
	}
}

// TestRefillVouched has a thief with the log's key and the help of the one witness
// that mirrors append events to the mirror. A refill leaves them out, however it is
// named in the settings, and takes them if two approvers say so.
func TestRefillVouched(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		m := newMirroring(t, engine)
		m.newWitness(t, "second.invalid", false)
		m.newWitness(t, "third.invalid", false)
		// Time enough for the others' answers: what is uploaded before bears the mirror's alone.
		m.trust(t, func(s client.Settings) client.Settings { s.MirrorAfter = client.Duration(time.Second); return s })
		two := enrol(t, m.dir)
		i := insttest.Open(t, m.dir)
		s, token := insttest.Session(t, i, "s-1", "caseworker", "d-1")
		life(t, i, s, 1, 20)
		early := mirrored(t, i)
		must(t, i.Close())
		earlyMirror := filepath.Join(t.TempDir(), "early")
		must(t, os.CopyFS(earlyMirror, os.DirFS(m.witness)))

		i = insttest.Open(t, m.dir)
		readOne(t, i, s, insttest.People(1, 1)[0].Ref)
		size := mirrored(t, i)
		before, sets := contents(t, i, size), insttest.Count(t, i, "log_set_block")
		must(t, i.Close())

		settings := filepath.Join(m.dir, "azekura.json")
		honest, err := os.ReadFile(settings)
		must(t, err)
		putBack := kept(t, filepath.Join(m.dir, "signer"))
		alone := func(s client.Settings) client.Settings {
			s.Witnesses, s.Need = s.Witnesses[:1], 1
			return s
		}
		m.trust(t, alone)
		i = insttest.Open(t, m.dir)
		if s, err = i.Access.AtSocket(token); err != nil {
			t.Fatal(err)
		}
		life(t, i, s, 2, 20)
		forged := mirrored(t, i)
		must(t, i.Close())
		// A mirror of the thief's own has it all in one run of events, forged and true.
		m.trust(t, func(s client.Settings) client.Settings { s.Witnesses = nil; return s })
		own := m.newWitness(t, "thief.invalid", true)
		i = insttest.Open(t, m.dir)
		forgedOwn := mirrored(t, i)
		must(t, i.Close())
		lost := func() {
			putBack()
			must(t, os.WriteFile(settings, honest, 0o600))
			pastTheLog(t, m.dir, empty(t))
		}
		refill := func(from string, file []byte) installation.Refilled {
			t.Helper()
			done, err := installation.Refill(t.Context(), m.dir, from, m.identities, file, nil)
			must(t, err)
			pastTheLog(t, m.dir, func(bare *installation.Installation) {
				if n := int64(insttest.Count(t, bare, "log_event")); n != max(done.To, done.Recorded+1) {
					t.Errorf("the table holds %d events: %+v", n, done)
				}
			})
			return done
		}

		t.Run("an early mirror, a quorum", func(t *testing.T) {
			lost()
			if done := refill(earlyMirror, nil); done.To != early || done.Missing != size-early || done.Unvouched != 0 {
				t.Errorf("%+v: the mirror holds %d of %d events", done, early, size)
			}
		})
		t.Run("an early mirror, no witness", func(t *testing.T) {
			lost()
			m.trust(t, func(s client.Settings) client.Settings { s.Witnesses, s.Need = nil, 0; return s })
			if done := refill(earlyMirror, nil); done.To != 0 || done.Unvouched != early {
				t.Errorf("%+v of a mirror of %d events that nobody vouches for", done, early)
			}
		})
		t.Run("the thief's mirror", func(t *testing.T) {
			lost()
			if done := refill(own, nil); done.To != size || done.Unvouched != forgedOwn-size {
				t.Errorf("%+v: %d events were signed here, %d are in the thief's mirror", done, size, forgedOwn)
			}
			pastTheLog(t, m.dir, func(bare *installation.Installation) {
				if n := insttest.Count(t, bare, "log_set_block"); n != sets {
					t.Errorf("%d blocks of sets, %d were there", n, sets)
				}
			})
		})
		t.Run("two approvers", func(t *testing.T) {
			lost()
			proposed, err := installation.ProposeRefill(t.Context(), m.dir, m.url, "operator", time.Hour)
			must(t, err)
			one, err := approval.Sign(proposed, note.Signer(two[0]), time.Now())
			must(t, err)
			if _, err := installation.Refill(t.Context(), m.dir, m.url, m.identities, one, nil); !errors.Is(err, approval.ErrNotApproved) {
				t.Errorf("one approver: %v", err)
			}
			both := two.approve(t, proposed, nil)
			if _, err := installation.Refill(t.Context(), m.dir, earlyMirror, m.identities, both, nil); !errors.Is(err, approval.ErrNotApproved) {
				t.Errorf("approved for another mirror: %v", err)
			}
			if done := refill(m.url, both); done.To != forged || done.Unvouched != 0 {
				t.Errorf("%+v of %d events", done, forged)
			}
		})
		t.Run("left out", func(t *testing.T) {
			lost()
			if done := refill(m.url, nil); done.To != size || done.Unvouched != forged-size || done.Missing != 0 {
				t.Errorf("%+v: %d events were signed here, %d are in the mirror", done, size, forged)
			}
			if _, err := installation.ProposeRefill(t.Context(), m.dir, earlyMirror, "operator", time.Hour); err == nil {
				t.Error("what is vouched for is proposed")
			}
		})
		// The mirror's witness cosigned the thief's head, so it goes.
		m.trust(t, func(s client.Settings) client.Settings { s.Witnesses = s.Witnesses[1:]; return s })
		i = insttest.Open(t, m.dir)
		if after := contents(t, i, size); after["events"] != before["events"] || after["blocks"] != before["blocks"] {
			t.Errorf("the refilled tables differ:\n%v\n%v", before, after)
		}
		verified(t, i)
		if e := insttest.Events(t, i); e[size].Purpose != "refill" || e[size].Action != auditlog.System {
			t.Errorf("event %d is %+v", size, e[size])
		}
	})
}
