package installation_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/auditlog/complete"
	"azekura/internal/db"
	"azekura/internal/installation"
	"azekura/internal/insttest"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"
)

// TestDailyRootsAreMade: whoever serves makes the roots of days that are over, those
// that went by while nothing ran too, once each.
func TestDailyRootsAreMade(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		dir := insttest.New(t, engine)
		since(t, dir, 3)
		if got := serve(t, dir, 3); len(got) != 3 || got[0].From != 0 || got[1].From != got[0].To || got[2].From != got[1].To {
			t.Errorf("the daily roots are %+v", got)
		}
		// The next process finds them made. It has looked when it has closed.
		if got := serve(t, dir, 3); len(got) != 3 {
			t.Errorf("%d daily roots after a restart", len(got))
		}
	})
}

// since begins an installation's log anew, some days ago, with work on each day.
func since(t *testing.T, dir string, days int) {
	t.Helper()
	config, err := installation.ReadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	url := config.Database
	if url == "" {
		url = filepath.Join(dir, "azekura.db")
	}
	d, err := db.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, table := range []string{"log_event", "log_tile", "log_head"} {
		if _, err := d.Exec(t.Context(), "DELETE FROM "+table); err != nil {
			t.Fatal(err)
		}
	}
	place := filepath.Join(dir, "signer")
	if err := os.RemoveAll(place); err != nil {
		t.Fatal(err)
	}
	if err := auditlog.CreateSigner(place, config.Origin); err != nil {
		t.Fatal(err)
	}
	signer, err := auditlog.OpenSigner(place)
	if err != nil {
		t.Fatal(err)
	}
	defer signer.Close()
	now := time.Now().AddDate(0, 0, -days)
	log, err := auditlog.Open(t.Context(), d, auditlog.Options{ID: config.LogID, Signer: signer, Now: func() time.Time { return now }, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for range days {
		_, err := log.RecordOne(t.Context(), auditlog.Event{Action: auditlog.Read, Outcome: "ok", Session: 17, Participant: uuid.Must(uuid.NewV7())})
		if err != nil {
			t.Fatal(err)
		}
		now = now.AddDate(0, 0, 1)
	}
}

// serve opens the installation as a server does until it has so many daily roots,
// and returns those that it has when it closes.
func serve(t *testing.T, dir string, want int) (list []complete.Daily) {
	t.Helper()
	i, err := insttest.OpenDir(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	i.Trouble = func(err error) { t.Error(err) }
	if err := i.StartJobs(t.Context()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); len(list) < want; {
		if time.Now().After(deadline) {
			t.Fatalf("%d daily roots were made", len(list))
		}
		list = list[:0]
		for _, e := range insttest.Events(t, i) {
			if e.Purpose == auditlog.PurposeDaily {
				var d complete.Daily
				if err := json.Unmarshal(e.Detail, &d); err != nil {
					t.Fatal(err)
				}
				list = append(list, d)
			}
		}
	}
	if n, err := i.Log.Daily(t.Context()); err != nil || n != 0 {
		t.Errorf("%d more were due: %v", n, err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestCompleteOverFreezing: each log of a chain proves its own days, the one on
// which it was frozen too.
func TestCompleteOverFreezing(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 5)
		o.read(t, 12)
		subject := complete.Subject{Kind: complete.Session, ID: o.session.ID().String()}
		o.stop(t)
		p := enrol(t, o.dir)
		file, err := installation.ProposeFreeze(t.Context(), o.dir, "year 2026", "op-1", time.Hour)
		if _, err := installation.Freeze(t.Context(), o.dir, p.approve(t, file, err)); err != nil {
			t.Fatal(err)
		}
		o.start(t)
		o.read(t, 3)
		past := o.Log.Past()[0]
		key, err := note.NewVerifier(past.Key)
		if err != nil {
			t.Fatal(err)
		}
		var proof bytes.Buffer
		if _, err := o.Log.ProveComplete(t.Context(), subject, auditlog.CompleteOptions{Log: past.LogID}, &proof); err != nil {
			t.Fatal(err)
		}
		r, err := complete.Check(&proof, []note.Verifier{key}, nil)
		if err != nil || r.Events != 13 || r.Last != 13 || !r.FromOutset || r.Origin != past.Origin { // its grant, and its reads
			t.Errorf("%+v, %v", r, err)
		}
		if _, err := o.Log.ProveComplete(t.Context(), subject, auditlog.CompleteOptions{}, &bytes.Buffer{}); !errors.Is(err, auditlog.ErrNoDays) {
			t.Errorf("the new log's day isn't over: %v", err)
		}
		if _, err := o.Log.History(7); !errors.Is(err, auditlog.ErrNoLog) {
			t.Errorf("a log that isn't there: %v", err)
		}
		o.stop(t)
	})
}
