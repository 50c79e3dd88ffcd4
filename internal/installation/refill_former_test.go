package installation_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/witness"
)

// mirroredOf waits until the mirror holds so much of a log.
func (m *mirroring) mirroredOf(t *testing.T, origin string, size int64) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		answer, err := http.Get(m.url + "/logs/" + witness.LogName(origin) + "/mirror")
		must(t, err)
		var held witness.Held
		must(t, json.NewDecoder(answer.Body).Decode(&held))
		must(t, answer.Body.Close())
		if held.Size == size {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the mirror holds %d of %d events of %s", held.Size, size, origin)
		}
	}
}

// TestRefillFormers: a log is frozen twice, with nobody there to mirror its last
// events; the mirror comes to have them, and a destroyed database has all three logs
// back. A former log's mirror is believed as far as the log that follows says.
func TestRefillFormers(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		m := newMirroring(t, engine)
		p := enrol(t, m.dir)
		i := insttest.Open(t, m.dir)
		s, token := insttest.Session(t, i, "s-1", "caseworker", "d-1")
		life(t, i, s, 1, 20)
		must(t, i.Close())
		var all []string
		for _, why := range []string{"2026", "2027"} {
			file, err := installation.ProposeFreeze(t.Context(), m.dir, why, "op-1", time.Hour)
			_, err = installation.Freeze(t.Context(), m.dir, p.approve(t, file, err))
			must(t, err)
			i = insttest.Open(t, m.dir)
			if s, err = i.Access.AtSocket(token); err != nil {
				t.Fatal(err)
			}
			readOne(t, i, s, insttest.People(1, 1)[0].Ref)
			mirrored(t, i)
			for _, past := range i.Log.Past() {
				m.mirroredOf(t, past.Origin, past.Size)
			}
			all = append(all, fmt.Sprint(contents(t, i, i.Log.Committed())))
			must(t, i.Close())
		}

		pastTheLog(t, m.dir, empty(t))
		done, err := installation.Refill(t.Context(), m.dir, m.url, m.identities, nil, nil)
		must(t, err)
		if len(done.Formers) != 2 || done.Formers[0].From != 0 || done.Formers[1].Log != 2 || done.Lacks() || done.Recorded < 0 || len(done.Changes) != 0 {
			t.Errorf("%+v", done)
		}
		i = insttest.Open(t, m.dir)
		if now := fmt.Sprint(contents(t, i, done.To)); now != all[1] {
			t.Errorf("the refilled tables differ:\n%v\n%v", all[1], now)
		}
		for _, past := range i.Log.Past() {
			r, err := auditlog.Verify(t.Context(), i.DB, past.LogID, past.Size, past.Root, auditlog.VerifyOptions{OpenMembers: i.Gate.OpenMembers})
			if must(t, err); !r.OK {
				t.Errorf("log %d doesn't verify: %+v", past.LogID, r)
			}
		}
		verified(t, i)
		if s, err = i.Access.AtSocket(token); err != nil {
			t.Fatal("the session of the first log is lost:", err)
		}
		readOne(t, i, s, insttest.People(1, 1)[0].Ref)
		again, err := tryRefill(t, i, m, m.url)
		must(t, err)
		if again.From != again.To || len(again.Formers) != 0 || again.Recorded != -1 {
			t.Errorf("a second refill did something: %+v", again)
		}

		// Another installation's log of the same place in the chain isn't this one's.
		other := newMirroring(t, "sqlite")
		j := insttest.Open(t, other.dir)
		life(t, j, insttest.Caseworker(t, j), 1, 20)
		mirrored(t, j)
		must(t, j.Close())
		theirs, err := installation.ReadConfig(other.dir)
		must(t, err)
		pastTheLog(t, m.dir, empty(t))
		if done, err := installation.Refill(t.Context(), m.dir, filepath.Join(witness.LogDir(other.witness, theirs.Origin), witness.MirrorDir), m.identities, nil, nil); err == nil {
			t.Errorf("another log's mirror was taken: %+v", done)
		}
	})
}

// TestRefillGap: a former log was broken off by a loss that two people took for
// good. Its mirror holds more than the log that follows counts, and stays so.
func TestRefillGap(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		m := newMirroring(t, engine)
		p := enrol(t, m.dir)
		i := insttest.Open(t, m.dir)
		life(t, i, insttest.Caseworker(t, i), 1, 20)
		for _, table := range logTables {
			execute(t, i, "CREATE TABLE kept_"+table+" AS SELECT * FROM "+table)
		}
		readOne(t, i, insttest.Caseworker(t, i), insttest.People(1, 1)[0].Ref)
		held := mirrored(t, i)
		must(t, i.Close())
		pastTheLog(t, m.dir, func(bare *installation.Installation) {
			for _, table := range logTables {
				execute(t, bare, "DELETE FROM "+table, "INSERT INTO "+table+" SELECT * FROM kept_"+table, "DROP TABLE kept_"+table)
			}
		})
		file, err := installation.ProposeAfterLoss(t.Context(), m.dir, "op-1", time.Hour)
		config, err := installation.AfterLoss(t.Context(), m.dir, p.approve(t, file, err), nil)
		must(t, err)
		vkey, err := os.ReadFile(filepath.Join(m.dir, "signer", "vkey"))
		must(t, err)
		_, err = witness.AddLog(m.witness, witness.LogSettings{Origin: config.Origin, Keys: []string{strings.TrimSpace(string(vkey))}, Mirror: true})
		must(t, err)
		i = insttest.Open(t, m.dir)
		past := i.Log.Past()[0]
		mirrored(t, i)
		must(t, i.Close())

		pastTheLog(t, m.dir, empty(t))
		done, err := installation.Refill(t.Context(), m.dir, m.url, m.identities, nil, nil)
		must(t, err)
		if len(done.Formers) != 1 || done.Formers[0].To != past.Size || done.Formers[0].Unvouched != held-past.Size || past.Size >= held {
			t.Errorf("%+v: the gap begins at %d, the mirror holds %d", done, past.Size, held)
		}
		i = insttest.Open(t, m.dir)
		verified(t, i)
		var n int64
		must(t, i.DB.QueryRow(t.Context(), "SELECT count(*) FROM log_event WHERE log_id = $1", []any{past.LogID}, &n))
		if n != past.Size {
			t.Errorf("%d events are back, of %d", n, past.Size)
		}
	})
}
