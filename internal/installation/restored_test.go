package installation_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"azekura/access"
	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/internal/insttest"

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
			_, err := i.Access.Authenticate("azs_forged")
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
