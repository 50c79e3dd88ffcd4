package installation_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/internal/insttest"
)

// TestLastLineForged: the line that would end the log is held against the tree, also
// where its tile is full, so that no opening makes its hash anew.
func TestLastLineForged(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 5)
		o.read(t, int(256-o.Log.Committed()))
		o.stop(t)
		set := func(line string) {
			pastTheLog(t, o.dir, func(bare *installation.Installation) {
				n, err := bare.DB.Exec(t.Context(), "UPDATE log_event SET line = $1 WHERE log_id = 1 AND idx = 255", []byte(line))
				if err != nil || n != 1 {
					t.Fatal(n, err)
				}
			})
		}
		var line string
		pastTheLog(t, o.dir, func(bare *installation.Installation) {
			lines := linesOf(t, bare)
			if len(lines) != 256 {
				t.Fatalf("%d events", len(lines))
			}
			line = lines[255]
		})
		set(strings.Replace(line, `"outcome":"ok"`, `"outcome":"no"`, 1))
		if _, err := insttest.OpenDir(t.Context(), o.dir); !errors.Is(err, auditlog.ErrSigner) {
			t.Error("a forged last line was believed:", err)
		}
		set(line)
		if !o.start(t) {
			t.Error("the session ended")
		}
	})
}

// TestFreezeYearForged: a log's year is its first event's, and not the column's.
func TestFreezeYearForged(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 1)
		o.stop(t)
		replaceInConfig(t, o.dir, `"log_id"`, `"freeze": {"yearly": true}, "log_id"`)
		pastTheLog(t, o.dir, func(bare *installation.Installation) {
			execute(t, bare, "UPDATE log_event SET time_us = 1000000 WHERE idx = 0")
		})
		if o.start(t); o.Log.ID() != 1 {
			t.Error("an altered column ended the log")
		}
	})
}

// TestFreezeAfterRotateCutOff: a change of keys that was cut off is finished before
// the log is frozen.
func TestFreezeAfterRotateCutOff(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 1)
		o.stop(t)
		p := enrol(t, o.dir)
		o.start(t)
		old := o.Signer.VerifierKey()
		next, err := o.Signer.NextKey()
		if err == nil {
			err = o.Signer.BeginRotation()
		}
		if err != nil {
			t.Fatal(err)
		}
		detail, err := json.Marshal(map[string]string{"key": old, "next": next})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Log.RecordOne(t.Context(), auditlog.Event{Action: auditlog.System, Outcome: "ok", Purpose: "rotate-signer", Detail: detail}); err != nil {
			t.Fatal(err)
		}
		o.stop(t)
		file, err := installation.ProposeFreeze(t.Context(), o.dir, "a test", "op-1", time.Hour)
		if _, err := installation.Freeze(t.Context(), o.dir, p.approve(t, file, err)); err != nil {
			t.Fatal(err)
		}
		if o.start(t); o.Log.ID() != 2 || o.Log.Past()[0].Key != next {
			t.Errorf("log %d follows one of key %s", o.Log.ID(), o.Log.Past()[0].Key)
		}
		if _, err := os.Stat(filepath.Join(o.dir, "signer.1", "rotating")); !errors.Is(err, os.ErrNotExist) {
			t.Error("the change of keys isn't finished:", err)
		}
		mustVerify(t, o.Installation)
	})
}
