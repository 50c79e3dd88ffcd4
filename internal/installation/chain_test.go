package installation_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azekura/access"
	"azekura/approval"
	"azekura/auditlog"
	"azekura/gate"
	"azekura/incident"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/register/field"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// people are an installation's two approvers.
type people []note.Signer

// enrol makes two approvers; the installation must be closed.
func enrol(t *testing.T, dir string) people {
	t.Helper()
	var list people
	for _, name := range []string{"hanako", "jiro"} {
		key, vkey := insttest.Approver(t, name)
		if _, err := installation.AddApprover(t.Context(), dir, vkey, nil); err != nil {
			t.Fatal(err)
		}
		list = append(list, key)
	}
	return list
}

// approve has both sign.
func (p people) approve(t *testing.T, file []byte, err error) []byte {
	t.Helper()
	for _, key := range p {
		if err == nil {
			file, err = approval.Sign(file, key, time.Now())
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// office is an installation with people in it, and a session.
type office struct {
	*installation.Installation
	dir     string
	session access.Session
	token   string
}

func newOffice(t *testing.T, engine string, n int64) *office {
	t.Helper()
	o := &office{dir: insttest.New(t, engine)}
	o.Installation = insttest.Open(t, o.dir)
	insttest.Import(t, o.Installation, insttest.CSV(t, 41, n))
	o.session, o.token = insttest.Session(t, o.Installation, "s-1", "caseworker", "d-1")
	return o
}

func (o *office) stop(t *testing.T) {
	t.Helper()
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
}

// start opens it again; its session goes on, or has ended.
func (o *office) start(t *testing.T) (live bool) {
	t.Helper()
	o.Installation = insttest.Open(t, o.dir)
	s, err := o.Access.AtSocket(o.token)
	if err != nil && !errors.Is(err, access.ErrNoSession) {
		t.Fatal(err)
	}
	o.session = s
	return err == nil
}

// read reads n people's names, one after another.
func (o *office) read(t *testing.T, n int) {
	t.Helper()
	ids := everybody(t, o.Installation)
	for at := range n {
		_, err := o.Gate.Read(t.Context(), o.session, gate.ReadRequest{Who: gate.Who{Participant: ids[at%len(ids)]}, Why: insttest.Why, Fields: field.SetOf(field.Name)})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// exposure is what device d-1 saw.
func (o *office) exposure(t *testing.T, since time.Time) *incident.Exposure {
	t.Helper()
	sessions, err := o.Access.Of(t.Context(), "", "d-1")
	if err != nil {
		t.Fatal(err)
	}
	e, err := incident.Compute(t.Context(), incident.Source{DB: o.DB, LogID: o.Log.ID(), Earlier: o.Log.Past(), Signed: o.Signer.Head, OpenMembers: o.Gate.OpenMembers},
		incident.Query{Sessions: sessions, Since: since}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestFreeze: a log ends and goes on in the next; staff, sessions, exposure and
// verification go over both, and the old one's proofs still check.
func TestFreeze(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 20)
		o.read(t, 7)
		o.stop(t)
		p := enrol(t, o.dir)
		var proofs []func(t *testing.T)
		for n, why := range []string{"year 2026", "year 2027"} {
			o.start(t)
			proofs = append(proofs, proof(t, o.Installation, int64(2+n)))
			before := o.Log.Committed()
			o.stop(t)
			file, err := installation.ProposeFreeze(t.Context(), o.dir, why, "op-1", time.Hour)
			file = p.approve(t, file, err)
			c, err := installation.Freeze(t.Context(), o.dir, file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := installation.Freeze(t.Context(), o.dir, file); !errors.Is(err, approval.ErrNotApproved) {
				t.Fatal("an approval was used twice:", err)
			}
			if c.LogID != int64(2+n) || !strings.HasSuffix(c.Origin, []string{"/2", "/3"}[n]) || strings.Count(c.Origin, "/") != 2 {
				t.Errorf("%d %s", c.LogID, c.Origin)
			}
			if !o.start(t) {
				t.Fatal("the session ended with the log")
			}
			if o.Log.ID() != c.LogID || len(o.Log.Past()) != n+1 || o.Log.Past()[n].Size != before+3 { // its last day's root, who follows, and its freezing
				t.Errorf("%+v", o.Log.Past())
			}
			o.read(t, 7+n)
			mustVerify(t, o.Installation)
			if staff := o.Access.Staff(); len(staff) != 1 {
				t.Errorf("%d staff", len(staff))
			}
			e := o.exposure(t, time.Time{})
			if want := []int64{14, 22}[n]; !e.Complete || e.Openings != want || len(e.Earlier) != n+1 {
				t.Errorf("%d openings, complete %v: %v", e.Openings, e.Complete, e.Gaps)
			}
			o.stop(t)
		}
		for _, check := range proofs {
			check(t)
		}
		o.start(t)
		if n := len(insttest.Look(t, o.Installation, o.session).People); n != 20 {
			t.Errorf("%d people", n)
		}
	})
}

// TestFreezeByRule: what the settings say is done at the next start, and the event
// says by what.
func TestFreezeByRule(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 5)
		o.stop(t)
		replaceInConfig(t, o.dir, `"log_id"`, `"freeze": {"events": 10}, "log_id"`)
		o.start(t)
		if o.Log.ID() != 1 {
			t.Fatal("a log of fewer events was frozen")
		}
		o.read(t, 5)
		o.stop(t)
		if !o.start(t) || o.Log.ID() != 2 {
			t.Fatalf("log %d", o.Log.ID())
		}
		o.read(t, 1)
		mustVerify(t, o.Installation)
		var line []byte
		past := o.Log.Past()[0]
		if err := o.DB.QueryRow(t.Context(), "SELECT line FROM log_event WHERE log_id = 1 AND idx = $1", []any{past.Size - 1}, &line); err != nil {
			t.Fatal(err)
		}
		if e, err := auditlog.ParseLine(line); err != nil || e.Purpose != "freeze" || !strings.Contains(string(e.Detail), "by rule: it has") {
			t.Errorf("%v %s", err, e.Detail)
		}
	})
}

// proof takes a proof of an event under the head of now, and returns what checks
// it with what a sceptic had then.
func proof(t *testing.T, i *installation.Installation, index int64) func(t *testing.T) {
	t.Helper()
	checkpoint, origin, vkey := i.Log.Checkpoint(), i.Signer.Origin(), i.Signer.VerifierKey()
	size, _ := i.Signer.Head()
	var line []byte
	var leaves []tlog.Hash
	for n := range size {
		if err := i.DB.QueryRow(t.Context(), "SELECT line FROM log_event WHERE log_id = $1 AND idx = $2", []any{i.Log.ID(), n}, &line); err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, tlog.RecordHash(line))
	}
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) (list []tlog.Hash, err error) {
		for _, n := range at {
			list = append(list, stored[n])
		}
		return list, nil
	})
	for n, leaf := range leaves {
		more, err := tlog.StoredHashesForRecordHash(int64(n), leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
	}
	p, err := tlog.ProveRecord(size, index, reader)
	if err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T) {
		t.Helper()
		size, root, err := auditlog.OpenCheckpoint(checkpoint, origin, vkey)
		if err == nil {
			err = tlog.CheckRecord(p, size, root, index, leaves[index])
		}
		if err != nil {
			t.Error("an old proof doesn't check any more:", err)
		}
	}
}

// TestAfterLoss: where signed events are gone for good, two people begin a log
// whose first event names them; reads go on, no session does, and the exposure of
// that time says that it isn't complete.
func TestAfterLoss(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 20)
		o.read(t, 5)
		identity, to := keyPair(t)
		o.stop(t)
		p := enrol(t, o.dir)
		if _, err := installation.ProposeAfterLoss(t.Context(), o.dir, "op-1", time.Hour); err == nil {
			t.Error("a loss was proposed where nothing is lost")
		}
		o.start(t)
		raw := backupOf(t, o.Installation, to)
		held := o.Log.Committed()
		o.read(t, 9)
		signed := o.Log.Committed()
		o.stop(t)
		behind(t, o.dir, raw, identity)

		file, err := installation.ProposeAfterLoss(t.Context(), o.dir, "op-1", time.Hour)
		if err != nil || !bytes.Contains(file, []byte("were signed, and are lost for good")) {
			t.Fatal(err, string(file))
		}
		one, err := approval.Sign(file, p[0], time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for name, f := range map[string][]byte{"nobody": file, "one person": one} {
			if _, err := installation.AfterLoss(t.Context(), o.dir, f, nil); !errors.Is(err, approval.ErrNotApproved) {
				t.Fatalf("%s was enough: %v", name, err)
			}
		}
		c, err := installation.AfterLoss(t.Context(), o.dir, p.approve(t, file, nil), nil)
		if err != nil || c.LogID != 2 {
			t.Fatal(err, c.LogID)
		}
		if o.start(t) {
			t.Error("a session outlived the gap in which it may have been closed")
		}
		past := o.Log.Past()[0]
		if !past.Lost() || past.Size != held || past.Signed != signed || past.Unknown {
			t.Errorf("%+v, and %d were held, %d signed", past, held, signed)
		}
		first := firstEvent(t, o.Installation)
		if said := auditlog.Follows(&first); first.Purpose != "gap" || said == nil || !said.Equal(&past) || !strings.Contains(string(first.Detail), "azekura approval 1") {
			t.Errorf("%+v %s", first, first.Detail)
		}
		o.session, o.token = insttest.Session(t, o.Installation, "s-1", "caseworker", "d-1")
		began := time.Now()
		o.read(t, 3)
		mustVerify(t, o.Installation)
		if e := o.exposure(t, time.Time{}); e.Complete || e.Openings != 8 || len(e.Gaps) != 1 || e.Gaps[0] != (incident.Gap{Kind: incident.Lost, Log: 1, From: held, To: signed - 1}) {
			t.Errorf("%d openings: %+v", e.Openings, e.Gaps)
		}
		if e := o.exposure(t, began.Add(-time.Second)); !e.Complete && e.Since.After(time.UnixMicro(first.Time)) {
			t.Errorf("an exposure that begins after the gap: %+v", e.Gaps)
		}
	})
}

func firstEvent(t *testing.T, i *installation.Installation) auditlog.Event {
	t.Helper()
	var line []byte
	if err := i.DB.QueryRow(t.Context(), "SELECT line FROM log_event WHERE log_id = $1 AND idx = 0", []any{i.Log.ID()}, &line); err != nil {
		t.Fatal(err)
	}
	e, err := auditlog.ParseLine(line)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestAfterLostMachine: of a machine that is lost with its signer nobody knows how
// much was signed after the backup; the new log says that too.
func TestAfterLostMachine(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 20)
		o.read(t, 5)
		o.stop(t)
		p := enrol(t, o.dir)
		o.start(t)
		identity, to := keyPair(t)
		raw := backupOf(t, o.Installation, to)
		o.read(t, 4)
		o.stop(t)
		var done installation.Restored
		o.dir, done = restore(t, raw, engine, identity)
		// One person can't say that nothing is lost.
		if err := installation.Confirm(t.Context(), o.dir, done.Log.Size, nil); !errors.Is(err, approval.ErrNotApproved) {
			t.Fatal(err)
		}
		file, err := installation.ProposeAfterLoss(t.Context(), o.dir, "op-1", time.Hour)
		if _, err := installation.AfterLoss(t.Context(), o.dir, p.approve(t, file, err), nil); err != nil {
			t.Fatal(err)
		}
		if o.start(t) {
			t.Error("a session goes on")
		}
		if past := o.Log.Past()[0]; !past.Unknown || past.Size != done.Log.Size {
			t.Errorf("%+v", past)
		}
		mustVerify(t, o.Installation)
		if e := o.exposure(t, time.Time{}); e.Complete || e.Gaps[0].To != 0 {
			t.Errorf("%+v", e.Gaps)
		}
		o.session, o.token = insttest.Session(t, o.Installation, "s-1", "caseworker", "d-1")
		o.read(t, 2)
		// Its own backup restores with both logs.
		raw = backupOf(t, o.Installation, to)
		o.stop(t)
		o.dir, done = restore(t, raw, engine, identity)
		if len(done.Earlier) != 1 || !done.Earlier[0].Lost {
			t.Errorf("%+v", done.Earlier)
		}
		file, err = installation.ProposeConfirm(t.Context(), o.dir, "op-1", time.Hour)
		if err := installation.Confirm(t.Context(), o.dir, done.Log.Size, p.approve(t, file, err)); err != nil {
			t.Fatal(err)
		}
		if !o.start(t) {
			t.Error("the session didn't come back with the backup")
		}
		mustVerify(t, o.Installation)
	})
}

// TestRotateSigner: another key signs from then on; heads and proofs of before check
// with the key of their time, and the change is under both.
func TestRotateSigner(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 20)
		o.read(t, 5)
		check := proof(t, o.Installation, 3)
		old, origin := o.Signer.VerifierKey(), o.Signer.Origin()
		o.stop(t)
		p := enrol(t, o.dir)
		file, err := installation.ProposeRotate(t.Context(), o.dir, "op-1", time.Hour)
		file = p.approve(t, file, err)
		vkey, err := installation.RotateSigner(t.Context(), o.dir, file)
		if err != nil || vkey == old {
			t.Fatal(err, vkey)
		}
		if _, err := installation.RotateSigner(t.Context(), o.dir, file); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("an approval was used twice:", err)
		}
		if !o.start(t) {
			t.Error("the session ended")
		}
		o.read(t, 5)
		mustVerify(t, o.Installation)
		if o.Signer.VerifierKey() != vkey {
			t.Error("the signer has another key")
		}
		if _, _, err := auditlog.OpenCheckpoint(o.Log.Checkpoint(), origin, vkey); err != nil {
			t.Error(err)
		}
		if _, _, err := auditlog.OpenCheckpoint(o.Log.Checkpoint(), origin, old); err == nil {
			t.Error("the old key signs on")
		}
		check(t)
		keys := o.Signer.Keys()
		if len(keys) != 1 || keys[0].Key != old {
			t.Fatalf("%+v", keys)
		}
		size, _, err := auditlog.OpenCheckpoint([]byte(keys[0].Checkpoint), origin, old)
		if err != nil || size != keys[0].Until {
			t.Error(err, size)
		}
		// The event that names the new key is under the old one's last head.
		var found bool
		for _, e := range insttest.Events(t, o.Installation)[:size] {
			var d struct{ Next string }
			found = found || e.Purpose == "rotate-signer" && json.Unmarshal(e.Detail, &d) == nil && d.Next == vkey
		}
		if !found {
			t.Error("no event under the old key names the new one")
		}
	})
}

// TestRotateCutOff: a change of keys that was cut off anywhere is finished at the
// next start, if the log names the key, or forgotten.
func TestRotateCutOff(t *testing.T) {
	o := newOffice(t, "sqlite", 5)
	o.stop(t)
	enrol(t, o.dir)
	signer, err := auditlog.OpenSigner(filepath.Join(o.dir, "signer"))
	if err != nil {
		t.Fatal(err)
	}
	old := signer.VerifierKey()
	next, err := signer.NextKey()
	if err == nil {
		err = signer.BeginRotation()
	}
	if err = errors.Join(err, signer.Close()); err != nil {
		t.Fatal(err)
	}
	o.start(t) // the event isn't there: forgotten
	if _, begun := o.Signer.Rotating(); begun || o.Signer.VerifierKey() != old {
		t.Fatal("a change that no event names went on")
	}
	if err := o.Signer.BeginRotation(); err != nil {
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
	o.start(t) // the event is there: finished
	if _, begun := o.Signer.Rotating(); begun || o.Signer.VerifierKey() != next {
		t.Fatal("a change that the log names wasn't finished")
	}
	mustVerify(t, o.Installation)
	o.read(t, 2)
	// Cut off behind the key's renaming: the new one signs, the rest is as it was.
	for name, text := range map[string]string{"vkey": old + "\n", "rotating": "0\n"} {
		if err := os.WriteFile(filepath.Join(o.dir, "signer", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o.stop(t)
	o.start(t)
	if o.Signer.VerifierKey() != next {
		t.Error("the public key isn't the private one's")
	}
	if _, begun := o.Signer.Rotating(); begun || len(o.Signer.Keys()) != 1 {
		t.Error("the change wasn't finished once, and once alone")
	}
	mustVerify(t, o.Installation)
}

// TestFurtherApprover: the first two are enrolled at once, a third by two people.
func TestFurtherApprover(t *testing.T) {
	o := newOffice(t, "sqlite", 5)
	o.stop(t)
	p := enrol(t, o.dir)
	_, third := insttest.Approver(t, "saburo")
	if _, err := installation.AddApprover(t.Context(), o.dir, third, nil); err == nil {
		t.Fatal("one person enrolled a third approver")
	}
	_, fourth := insttest.Approver(t, "shiro")
	file, err := installation.ProposeApprover(t.Context(), o.dir, third, "op-1", time.Hour)
	file = p.approve(t, file, err)
	if _, err := installation.AddApprover(t.Context(), o.dir, fourth, file); !errors.Is(err, approval.ErrNotApproved) {
		t.Error("an approval of one enrolled another:", err)
	}
	if recorded, err := installation.AddApprover(t.Context(), o.dir, third, file); err != nil || !recorded {
		t.Fatal(err)
	}
	o.start(t)
	if n := len(o.Config.Approvers); n != 3 {
		t.Errorf("%d approvers", n)
	}
	events := insttest.Events(t, o.Installation)
	if e := events[len(events)-1]; e.Purpose != "approver" || !strings.Contains(string(e.Detail), third) {
		t.Errorf("%+v", e)
	}
}

// TestChainTampered alters a frozen log, and what the next one says of it, with
// full rights on the database: either is found, and named.
func TestChainTampered(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 5)
		o.read(t, 4)
		o.stop(t)
		p := enrol(t, o.dir)
		file, err := installation.ProposeFreeze(t.Context(), o.dir, "a test", "op-1", time.Hour)
		if _, err := installation.Freeze(t.Context(), o.dir, p.approve(t, file, err)); err != nil {
			t.Fatal(err)
		}
		o.start(t)
		o.read(t, 2)
		for name, c := range map[string]struct {
			log, index int64
			says       string
		}{
			"an old read":               {1, 5, "in the earlier log 1"},
			"the freezing":              {1, o.Log.Past()[0].Size - 1, "in the earlier log 1"},
			"the next's first event":    {2, 0, "event"},
			"a read of the current log": {2, 1, "event"},
		} {
			var line []byte
			where := "WHERE log_id = $1 AND idx = $2"
			if err := o.DB.QueryRow(t.Context(), "SELECT line FROM log_event "+where, []any{c.log, c.index}, &line); err != nil {
				t.Fatal(err)
			}
			set := func(line []byte) {
				t.Helper()
				if n, err := o.DB.Exec(t.Context(), "UPDATE log_event SET line = $3 "+where, c.log, c.index, line); err != nil || n != 1 {
					t.Fatal(n, err)
				}
			}
			forged := bytes.Clone(line)
			forged[len(forged)-5] ^= 1 // in the salt
			set(forged)
			report, _, err := auditlog.VerifyAll(t.Context(), o.DB, o.Log.ID(), o.Signer, auditlog.VerifyOptions{})
			if err != nil || report.OK || !strings.Contains(report.Problem, c.says) {
				t.Errorf("%s altered: %v, %+v", name, err, report)
			}
			set(line)
			mustVerify(t, o.Installation)
		}
		// The signer's folder says what came before; without it nothing that was
		// granted then is believed.
		o.stop(t)
		past := filepath.Join(o.dir, "signer", "past")
		if err := os.Rename(past, past+".away"); err != nil {
			t.Fatal(err)
		}
		if _, err := insttest.OpenDir(t.Context(), o.dir); !errors.Is(err, auditlog.ErrAuthority) {
			t.Error("opened without knowing of the log before:", err)
		}
		if err := os.Rename(past+".away", past); err != nil {
			t.Fatal(err)
		}
		if !o.start(t) {
			t.Error("the session ended")
		}
	})
}
