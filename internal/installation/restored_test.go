package installation_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azekura/access"
	"azekura/auditlog"
	"azekura/internal/backup"
	"azekura/internal/installation"
	"azekura/internal/insttest"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/tlog"
)

// linesOf are log 1's lines.
func linesOf(t *testing.T, i *installation.Installation) (list []string) {
	t.Helper()
	rows, err := i.DB.Query(t.Context(), "SELECT line FROM log_event WHERE log_id = 1 ORDER BY idx")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line []byte
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		list = append(list, string(line))
	}
	return list
}

func rootOf(t *testing.T, lines []string) tlog.Hash {
	t.Helper()
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) (list []tlog.Hash, err error) {
		for _, n := range at {
			list = append(list, stored[n])
		}
		return list, nil
	})
	for n, line := range lines {
		more, err := tlog.StoredHashesForRecordHash(int64(n), tlog.RecordHash([]byte(line)), reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
	}
	root, err := tlog.TreeHash(int64(len(lines)), reader)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// forgeGrant puts a session of the forger's own behind the log's last event, as
// who writes the database can, and moves the head over it.
func forgeGrant(t *testing.T, i *installation.Installation, token string) {
	t.Helper()
	lines := linesOf(t, i)
	var grant string
	for _, line := range lines {
		if strings.Contains(line, `"grants":"session"`) {
			grant = line
		}
	}
	e, err := auditlog.ParseLine([]byte(grant))
	if err != nil {
		t.Fatal(err)
	}
	var d map[string]any
	if err := json.Unmarshal(e.Detail, &d); err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(token))
	forged := grant
	for old, with := range map[string]string{
		d["token"].(string):                base64.StdEncoding.EncodeToString(hash[:]),
		fmt.Sprintf(`"index":%d`, e.Index): fmt.Sprintf(`"index":%d`, len(lines)),
		d["expires"].(string):              time.Now().Add(11 * time.Hour).UTC().Format(time.RFC3339Nano),
		e.Session.String():                 "z0000000000000abc",
	} {
		forged = strings.Replace(forged, old, with, 1)
	}
	f, err := auditlog.ParseLine([]byte(forged))
	if err != nil {
		t.Fatal(err)
	}
	root := rootOf(t, append(lines, forged))
	_, err = i.DB.Exec(t.Context(), "INSERT INTO log_event (log_id, idx, time_us, action, session_id, session_seq, participant_seq, fields, line) VALUES (1, $1, $2, $3, $4, $5, 0, 0, $6)",
		f.Index, f.Time, int64(f.Action), int64(f.Session), f.SessionSeq, []byte(forged))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.DB.Exec(t.Context(), "UPDATE log_head SET size = $1, root = $2 WHERE log_id = 1", int64(len(lines)+1), root[:]); err != nil {
		t.Fatal(err)
	}
}

// TestRestoredTailForged: what somebody puts behind the restored head before it is
// confirmed isn't signed by the confirmation.
func TestRestoredTailForged(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 20)
		o.read(t, 5)
		identity, to := keyPair(t)
		raw := backupOf(t, o.Installation, to)
		o.stop(t)
		dir, done := restore(t, raw, engine, identity)
		pastTheLog(t, dir, func(bare *installation.Installation) { forgeGrant(t, bare, "azs_forged") })
		if _, err := installation.ProposeConfirm(t.Context(), dir, "op-1", time.Hour); !errors.Is(err, auditlog.ErrSigner) {
			t.Error("a forged tail was proposed:", err)
		}
		if err := installation.Confirm(t.Context(), dir, done.Log.Size, nil); !errors.Is(err, auditlog.ErrSigner) {
			t.Error("a forged tail was confirmed:", err)
		}
		if i, err := insttest.OpenDir(t.Context(), dir); err == nil {
			_, err := i.Access.AtSocket("azs_forged")
			t.Errorf("it opens; the forged session: %v, refused: %v", err, errors.Is(err, access.ErrNoSession))
			i.Close()
		}
	})
}

// TestConfirmedIsKept: what two people signed is in the event, though the confirming
// was cut off before the event was recorded.
func TestConfirmedIsKept(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 5)
		o.stop(t)
		p := enrol(t, o.dir)
		o.start(t)
		identity, to := keyPair(t)
		raw := backupOf(t, o.Installation, to)
		o.stop(t)
		for _, cut := range []bool{false, true} {
			dir, done := restore(t, raw, engine, identity)
			file, err := installation.ProposeConfirm(t.Context(), dir, "op-1", time.Hour)
			file = p.approve(t, file, err)
			if cut {
				signer, err := auditlog.OpenSigner(dir + "/signer")
				if err == nil {
					err = errors.Join(signer.Confirm(string(file)), signer.Close())
				}
				if err != nil {
					t.Fatal(err)
				}
			} else if err := installation.Confirm(t.Context(), dir, done.Log.Size, file); err != nil {
				t.Fatal(err)
			}
			i := insttest.Open(t, dir)
			events := insttest.Events(t, i)
			var d struct{ Approval string }
			last := events[len(events)-1]
			if err := json.Unmarshal(last.Detail, &d); err != nil || last.Purpose != "restore" || !bytes.Equal([]byte(d.Approval), file) {
				t.Errorf("cut off %v: the event doesn't hold what was signed: %v %s", cut, err, last.Purpose)
			}
			if by, err := i.Signer.ConfirmedBy(); err != nil || by != "" {
				t.Error("the note wasn't put away", err)
			}
			mustVerify(t, i)
		}
	})
}

// TestAfterLossForged: what is left is held against what the signer knows, and not
// against the database's own root.
func TestAfterLossForged(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 20)
		o.stop(t)
		p := enrol(t, o.dir)
		o.start(t)
		o.read(t, 6)
		identity, to := keyPair(t)
		raw := backupOf(t, o.Installation, to)
		o.read(t, 1)
		o.stop(t)
		behind(t, o.dir, raw, identity)
		file, err := installation.ProposeAfterLoss(t.Context(), o.dir, "op-1", time.Hour)
		file = p.approve(t, file, err)
		if !bytes.Contains(file, []byte("are what was signed")) && !bytes.Contains(file, []byte("are, nothing here proves")) {
			t.Errorf("the words don't say how much is proven:\n%s", file)
		}
		var at int
		var line string
		pastTheLog(t, o.dir, func(bare *installation.Installation) {
			lines := linesOf(t, bare)
			for n, l := range lines[:8] { // under the first perfect subtree
				if strings.Contains(l, `"action":"grant"`) {
					at, line = n, l
				}
			}
			set := func(line string, lines []string) {
				root := rootOf(t, lines)
				if _, err := bare.DB.Exec(t.Context(), "UPDATE log_event SET line = $1 WHERE log_id = 1 AND idx = $2", []byte(line), int64(at)); err != nil {
					t.Fatal(err)
				}
				if _, err := bare.DB.Exec(t.Context(), "UPDATE log_head SET root = $1 WHERE log_id = 1", root[:]); err != nil {
					t.Fatal(err)
				}
			}
			lines[at] = strings.Replace(line, `"outcome":"ok"`, `"outcome":"no"`, 1)
			if lines[at] == line {
				t.Fatal("nothing forged")
			}
			set(lines[at], lines)
		})
		if _, err := installation.ProposeAfterLoss(t.Context(), o.dir, "op-1", time.Hour); !errors.Is(err, auditlog.ErrSigner) {
			t.Error("a forged event was proposed to be kept:", err)
		}
		if _, err := installation.AfterLoss(t.Context(), o.dir, file, nil); err == nil {
			t.Error("a forged event was kept")
		}
	})
}

// TestAfterLossOfRestored: where the signer was restored, what is left must have the
// root that the backup's signed head has.
func TestAfterLossOfRestored(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 5)
		o.stop(t)
		enrol(t, o.dir)
		o.start(t)
		o.read(t, 3)
		identity, to := keyPair(t)
		raw := backupOf(t, o.Installation, to)
		o.stop(t)
		dir, _ := restore(t, raw, engine, identity)
		pastTheLog(t, dir, func(bare *installation.Installation) {
			lines := linesOf(t, bare)
			at := len(lines) - 1
			line := lines[at]
			if lines[at] = strings.Replace(line, `"outcome":"ok"`, `"outcome":"no"`, 1); lines[at] == line {
				t.Fatal("nothing forged")
			}
			root := rootOf(t, lines)
			if _, err := bare.DB.Exec(t.Context(), "UPDATE log_event SET line = $1 WHERE log_id = 1 AND idx = $2", []byte(lines[at]), int64(at)); err != nil {
				t.Fatal(err)
			}
			if _, err := bare.DB.Exec(t.Context(), "UPDATE log_head SET root = $1 WHERE log_id = 1", root[:]); err != nil {
				t.Fatal(err)
			}
		})
		if _, err := installation.ProposeAfterLoss(t.Context(), dir, "op-1", time.Hour); !errors.Is(err, auditlog.ErrSigner) {
			t.Error("a forged event was proposed to be kept:", err)
		}
		// Behind the signed head nothing but the sequencer's word tells.
		dir, _ = restore(t, raw, engine, identity)
		pastTheLog(t, dir, func(bare *installation.Installation) { forgeGrant(t, bare, "azs_forged") })
		if _, err := installation.ProposeAfterLoss(t.Context(), dir, "op-1", time.Hour); !errors.Is(err, auditlog.ErrSigner) {
			t.Error("a forged tail was proposed to be kept:", err)
		}
	})
}

// TestRestoreBesideServer: a restore that is refused before it changed anything
// leaves nothing behind, and what serves goes on.
func TestRestoreBesideServer(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 5)
		identity, to := keyPair(t)
		raw := backupOf(t, o.Installation, to)
		again := func(only bool, dir, url string) error {
			_, err := installation.Restore(t.Context(), bytes.NewReader(raw), installation.RestoreOptions{Dir: dir, Database: url, DatabaseOnly: only, Identities: []age.Identity{identity}})
			return err
		}
		url := o.Config.Database
		if err := again(true, o.dir, ""); !errors.Is(err, auditlog.ErrHeld) {
			t.Fatal("beside a server:", err)
		}
		if err := again(false, o.dir, url); err == nil || !strings.Contains(err.Error(), "isn't empty") {
			t.Fatal("over a server:", err)
		}
		o.read(t, 3)
		o.stop(t)
		if err := again(true, o.dir, ""); err == nil || !strings.Contains(err.Error(), "isn't empty") {
			t.Fatal("over a database:", err)
		}
		if err := again(false, o.dir, url); err == nil {
			t.Fatal("over an installation")
		}
		if !o.start(t) {
			t.Fatal("the session ended")
		}
		o.read(t, 2)
		o.stop(t)
		// A mark whose removal a power cut undid.
		mark := filepath.Join(o.dir, "restoring")
		id := headerOf(t, raw, identity)
		for _, text := range []string{id + "\n", id + " database-only\n"} {
			if err := os.WriteFile(mark, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := insttest.OpenDir(t.Context(), o.dir); !errors.Is(err, installation.ErrRestoring) {
				t.Fatal(err)
			}
			err := again(false, o.dir, url)
			if whole := !strings.Contains(text, "only"); (err == nil) != whole {
				t.Fatal(text, err)
			}
		}
		if err := os.Remove(mark); err != nil {
			t.Fatal(err)
		}
		if !o.start(t) {
			t.Fatal("the session ended")
		}
		o.read(t, 2)
		mustVerify(t, o.Installation)
	})
}

func headerOf(t *testing.T, raw []byte, identity age.Identity) string {
	t.Helper()
	r, err := backup.Open(bytes.NewReader(raw), identity)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return r.Header.ID
}

// TestRestoreForeignKey: beside a signer a backup of another key's log is refused.
func TestRestoreForeignKey(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		identity, to := keyPair(t)
		var dirs [2]string
		var raws [2][]byte
		for n := range dirs {
			i := insttest.Open(t, insttest.New(t, engine))
			dirs[n], raws[n] = i.Dir, backupOf(t, i, to)
			if n == 1 {
				replaceInConfig(t, dirs[0], originOf(t, dirs[0]), i.Config.Origin)
			}
			if err := i.Close(); err != nil {
				t.Fatal(err)
			}
		}
		_, err := installation.Restore(t.Context(), bytes.NewReader(raws[1]), installation.RestoreOptions{Dir: dirs[0], DatabaseOnly: true, Identities: []age.Identity{identity}})
		if err == nil || !strings.Contains(err.Error(), "another key") {
			t.Error("another key's backup was taken:", err)
		}
	})
}

func originOf(t *testing.T, dir string) string {
	t.Helper()
	c, err := installation.ReadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c.Origin
}

// TestFreezeReason: a reason can't add a line to the words that people read.
func TestFreezeReason(t *testing.T) {
	o := newOffice(t, "sqlite", 1)
	o.stop(t)
	for _, why := range []string{"", "the year is over\nBoth keys were checked.", "a\rb", "a\u0085b", strings.Repeat("x", 201)} {
		if _, err := installation.ProposeFreeze(t.Context(), o.dir, why, "op-1", time.Hour); err == nil || !strings.Contains(err.Error(), "one line") {
			t.Errorf("%q: %v", why, err)
		}
	}
}
