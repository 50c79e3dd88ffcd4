package installation_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"
	"azekura/register/field"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// keyPair is an age identity for a test, and its recipient.
func keyPair(t *testing.T) (*age.X25519Identity, []string) {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return identity, []string{identity.Recipient().String()}
}

func backupOf(t *testing.T, i *installation.Installation, to []string) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := i.Backup(t.Context(), &b, to, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func database(t *testing.T, engine string) string {
	if engine == "postgresql" {
		return pgtest.URL(t)
	}
	return ""
}

// restore restores a backup into a new place on an engine.
func restore(t *testing.T, raw []byte, engine string, identity age.Identity) (dir string, done installation.Restored) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "restored [1]")
	done, err := installation.Restore(t.Context(), bytes.NewReader(raw),
		installation.RestoreOptions{Dir: dir, Database: database(t, engine), Identities: []age.Identity{identity}})
	if err != nil {
		t.Fatal(err)
	}
	return dir, done
}

func mustVerify(t *testing.T, i *installation.Installation) {
	t.Helper()
	size, root := i.Signer.Head()
	r, err := auditlog.Verify(t.Context(), i.DB, i.Log.ID(), size, root, auditlog.VerifyOptions{OpenMembers: i.Gate.OpenMembers, Edge: i.Signer.Edge()})
	if err != nil || !r.OK {
		t.Fatalf("the log doesn't verify: %v, %+v", err, r)
	}
	list, err := auditlog.VerifyPast(t.Context(), i.DB, i.Log.ID(), i.Log.Past(), auditlog.VerifyOptions{OpenMembers: i.Gate.OpenMembers})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if !e.Report.OK {
			t.Fatalf("log %d doesn't verify: %+v", e.LogID, e.Report)
		}
	}
}

// TestBackupRestores: either engine's backup makes the same installation on either
// engine, which signs nothing until somebody confirms that it is the newest.
func TestBackupRestores(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		dir := insttest.New(t, engine)
		i := insttest.Open(t, dir)
		insttest.Import(t, i, insttest.NDJSON(t, 31, 300))
		session, token := insttest.Session(t, i, "s-1", "caseworker", "d-1")
		want := insttest.Look(t, i, session)
		identity, to := keyPair(t)
		raw := backupOf(t, i, to)
		events := insttest.Events(t, i)
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
		for _, other := range []string{"sqlite", "postgresql"} {
			t.Run("to "+other, func(t *testing.T) {
				to, done := restore(t, raw, other, identity)
				if done.Log.Size != int64(len(events)) || !done.Log.OK || done.Log.Sets < 2 {
					t.Errorf("%+v", done.Log)
				}
				if _, err := insttest.OpenDir(t.Context(), to); !errors.Is(err, auditlog.ErrRestored) {
					t.Fatal("a restored installation opens without anybody's word:", err)
				}
				if err := installation.Confirm(t.Context(), to, done.Log.Size-1, nil); err == nil {
					t.Fatal("another size was confirmed")
				}
				if err := installation.Confirm(t.Context(), to, done.Log.Size, nil); err != nil {
					t.Fatal(err)
				}
				again := insttest.Open(t, to)
				if diff := cmp.Diff(events, insttest.Events(t, again)[:len(events)], cmp.AllowUnexported(auditlog.Event{})); diff != "" {
					t.Error("the events differ:", diff)
				}
				if last := insttest.Events(t, again)[len(events)]; last.Action != auditlog.System || last.Purpose != "restore" {
					t.Errorf("%+v", last)
				}
				live, err := again.Access.AtSocket(token)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, insttest.Look(t, again, live)); diff != "" {
					t.Error("the register differs:", diff)
				}
				mustVerify(t, again)
			})
		}
	})
}

// TestBackupWhileServing takes a backup in the middle of reads, changes and grants.
// It restores well on its own; what came after it, the signer that was there knows.
func TestBackupWhileServing(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		dir := insttest.New(t, engine)
		i := insttest.Open(t, dir)
		insttest.Import(t, i, insttest.CSV(t, 32, 200))
		session := insttest.Caseworker(t, i)
		ids := everybody(t, i)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for n := range 4 {
			wg.Go(func() {
				for at := n; ctx.Err() == nil; at++ {
					who := gate.Who{Participant: ids[at%len(ids)]}
					if _, err := i.Gate.Read(t.Context(), session, gate.ReadRequest{Who: who, Why: insttest.Why, Fields: field.SetOf(field.Name)}); err != nil {
						t.Error(err)
						return
					}
					if at%7 == 0 {
						if _, err := i.Access.AddStaff(t.Context(), fmt.Sprintf("s-%d-%d", n, at), "auditor", "o-1"); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		identity, to := keyPair(t)
		for range insttest.Soak(2, 20) {
			before := i.Log.Committed()
			raw := backupOf(t, i, to)
			restored, done := restore(t, raw, engine, identity)
			if done.Log.Size < before || done.Log.Size > i.Log.Committed() {
				t.Errorf("the backup holds %d events; %d were there before it", done.Log.Size, before)
			}
			if err := installation.Confirm(t.Context(), restored, done.Log.Size, nil); err != nil {
				t.Fatal(err)
			}
			again := insttest.Open(t, restored)
			mustVerify(t, again)
			if n := len(insttest.Look(t, again, insttest.Caseworker(t, again)).People); n != 200 {
				t.Errorf("%d people", n)
			}
		}
		raw := backupOf(t, i, to)
		later := i.Log.Committed() + 20
		for i.Log.Committed() < later && !t.Failed() {
		}
		stop()
		wg.Wait()
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
		behind(t, dir, raw, identity)
	})
}

// behind puts a backup's tables beside the signer that knows more: what follows is
// a refusal that names the choices.
func behind(t *testing.T, dir string, raw []byte, identity age.Identity) {
	t.Helper()
	c, err := installation.ReadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	if c.Database != "" {
		replaceInConfig(t, dir, c.Database, pgtest.URL(t))
	} else {
		for _, f := range insttest.Files(t, dir, "azekura.db*") {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Who tries a command first hasn't filled the database with empty tables.
	if _, err := insttest.OpenDir(t.Context(), dir); !errors.Is(err, installation.ErrNoTables) {
		t.Fatal("an empty database:", err)
	}
	if _, _, err := installation.VerifyLog(t.Context(), dir, nil); !errors.Is(err, installation.ErrNoTables) {
		t.Fatal("an empty database is verified:", err)
	}
	if _, err := installation.Refill(t.Context(), dir, t.TempDir(), nil, nil, nil); !errors.Is(err, installation.ErrNoTables) {
		t.Fatal("an empty database is refilled:", err)
	}
	if _, err := installation.Restore(t.Context(), bytes.NewReader(raw), installation.RestoreOptions{Dir: dir, DatabaseOnly: true, Identities: []age.Identity{identity}}); err != nil {
		t.Fatal(err)
	}
	_, err = insttest.OpenDir(t.Context(), dir)
	if !errors.Is(err, auditlog.ErrBehindSigner) || !strings.Contains(err.Error(), "log refill") || !strings.Contains(err.Error(), "--after-loss") {
		t.Fatal("a database behind its signer:", err)
	}
}

func replaceInConfig(t *testing.T, dir, old, with string) {
	t.Helper()
	path := filepath.Join(dir, "azekura.json")
	raw, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(raw, []byte(old)) {
		t.Fatal("the settings don't hold what is to be replaced", err)
	}
	if err := os.WriteFile(path, bytes.Replace(raw, []byte(old), []byte(with), 1), 0o600); err != nil {
		t.Fatal(err)
	}
}

func everybody(t *testing.T, i *installation.Installation) (all []uuid.UUID) {
	t.Helper()
	err := i.Register.EachID(t.Context(), func(ids []uuid.UUID, _ []int64) error {
		all = append(all, ids...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestBackupDamaged: a backup that was cut, altered or is for somebody else makes
// no installation, and the whole one, tried again in the same place, does.
func TestBackupDamaged(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		i := insttest.Open(t, insttest.New(t, engine))
		insttest.Import(t, i, insttest.CSV(t, 33, 400))
		identity, to := keyPair(t)
		raw := backupOf(t, i, to)
		r := insttest.Random(t)
		dir, url := filepath.Join(t.TempDir(), "place"), database(t, engine)
		o := installation.RestoreOptions{Dir: dir, Database: url, Identities: []age.Identity{identity}}
		cuts := []int{0, 10, len(raw) - 1}
		for range insttest.Soak(4, 60) {
			cuts = append(cuts, r.IntN(len(raw)))
		}
		for _, at := range cuts {
			altered := slices.Clone(raw)
			altered[min(at, len(raw)-1)] ^= 1
			for what, b := range map[string][]byte{"cut": raw[:at], "altered": altered} {
				if _, err := installation.Restore(t.Context(), bytes.NewReader(b), o); err == nil {
					t.Fatalf("a backup %s at byte %d of %d was restored", what, at, len(raw))
				}
				if _, err := insttest.OpenDir(t.Context(), dir); err == nil {
					t.Fatalf("a backup %s at byte %d made an installation", what, at)
				}
			}
		}
		stranger, _ := keyPair(t)
		if _, err := installation.Restore(t.Context(), bytes.NewReader(raw), installation.RestoreOptions{Dir: dir, Identities: []age.Identity{stranger}}); err == nil {
			t.Error("a stranger's identity opened a backup")
		}
		if _, err := installation.Restore(t.Context(), bytes.NewReader(raw), o); err != nil {
			t.Fatal("the whole backup, in the place where the others failed:", err)
		}
		// A place that holds something is never written over.
		if _, err := installation.Restore(t.Context(), bytes.NewReader(raw), o); err == nil || !strings.Contains(err.Error(), "empty") {
			t.Error("restored over an installation:", err)
		}
		o.Dir = filepath.Join(t.TempDir(), "other")
		if url != "" {
			if _, err := installation.Restore(t.Context(), bytes.NewReader(raw), o); err == nil || !strings.Contains(err.Error(), "isn't empty") {
				t.Error("restored over a database:", err)
			}
		}
	})
}

// TestRehearse: a rehearsal opens a sample, leaves nothing behind, and never lets
// the log's own key sign.
func TestRehearse(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		insttest.Import(t, i, insttest.CSV(t, 34, 300))
		identity, to := keyPair(t)
		raw := backupOf(t, i, to)
		scratch := t.TempDir()
		done, err := installation.Rehearse(t.Context(), bytes.NewReader(raw), installation.RehearseOptions{Scratch: scratch, Sample: 50,
			Identity: []byte(identity.String() + "\n"), Passphrase: insttest.Passphrase})
		if err != nil {
			t.Fatal(err)
		}
		if done.Opened != 50 || done.ByRecovery || done.Log.Size != i.Log.Committed() {
			t.Errorf("%+v", done)
		}
		if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
			t.Error("a rehearsal left something:", err, left)
		}
		if err := i.RecordRehearsal(t.Context(), done.Note()); err != nil {
			t.Fatal(err)
		}
		events := insttest.Events(t, i)
		if last := events[len(events)-1]; last.Outcome != "rehearsed" || last.Purpose != "restore" {
			t.Errorf("%+v", last)
		}
		mustVerify(t, i)
	})
}

// TestBackupAsTheApplication: the role that serves reads all that a backup takes,
// and a restore makes the tables the owner's again.
func TestBackupAsTheApplication(t *testing.T) {
	owner, application := roles(t)
	dir := filepath.Join(t.TempDir(), "installation")
	ask := func() ([]byte, error) { return bytes.Clone(passphrase), nil }
	if _, err := installation.Create(t.Context(), dir, installation.CreateOptions{Database: application, Owner: owner, Passphrase: passphrase, WorkFactor: 10}); err != nil {
		t.Fatal(err)
	}
	i, err := installation.Open(t.Context(), dir, ask)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.StartJobs(t.Context()); err != nil {
		t.Fatal(err)
	}
	insttest.Import(t, i, insttest.CSV(t, 35, 50))
	identity, to := keyPair(t)
	raw := backupOf(t, i, to)
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	owner, application = roles(t)
	o := installation.RestoreOptions{Dir: filepath.Join(t.TempDir(), "restored [1]"), Database: application, Owner: owner, Identities: []age.Identity{identity}}
	done, err := installation.Restore(t.Context(), bytes.NewReader(raw), o)
	if err != nil || !done.Header.Jobs {
		t.Fatal(err, done.Header.Jobs)
	}
	if err := installation.Confirm(t.Context(), o.Dir, done.Log.Size, nil); err != nil {
		t.Fatal(err)
	}
	if i, err = installation.Open(t.Context(), o.Dir, ask); err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if n := len(insttest.Look(t, i, insttest.Caseworker(t, i)).People); n != 50 {
		t.Errorf("%d people", n)
	}
	if _, err := i.DB.Exec(t.Context(), "DELETE FROM log_event"); err == nil {
		t.Error("the role that serves deletes from the restored log")
	}
}

// TestBackupCarriesJobs: an import that was under way goes on where the backup is
// restored, on either engine.
func TestBackupCarriesJobs(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		dir, file := insttest.New(t, engine), insttest.File(t, insttest.CSV(t, 36, 9000))
		i := insttest.Open(t, dir)
		if err := i.StartJobs(t.Context()); err != nil {
			t.Fatal(err)
		}
		startImport(t, i, file)
		if err := i.Close(); err != nil { // the job is where it was
			t.Fatal(err)
		}
		i = insttest.Open(t, dir)
		identity, to := keyPair(t)
		raw := backupOf(t, i, to)
		other := map[string]string{"sqlite": "postgresql", "postgresql": "sqlite"}[engine]
		at, done := restore(t, raw, other, identity)
		if done.End.Jobs != 1 {
			t.Errorf("%d jobs", done.End.Jobs)
		}
		if err := installation.Confirm(t.Context(), at, done.Log.Size, nil); err != nil {
			t.Fatal(err)
		}
		again := insttest.Open(t, at)
		if err := again.StartJobs(t.Context()); err != nil {
			t.Fatal(err)
		}
		if end, err := wait(t.Context(), again); err != nil || end.Created != 9000 {
			t.Fatalf("%v %+v", err, end)
		}
	})
}
