package installation_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"azekura/access"
	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/db"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/keyring/rotation"
	"azekura/population"
	"azekura/register/field"
	"azekura/witness"
	"azekura/witness/client"

	"filippo.io/age"
)

// mirroring is an installation whose log a witness cosigns and mirrors.
type mirroring struct {
	dir, witness, url string
	identities        []age.Identity
}

func newMirroring(t *testing.T, engine string) *mirroring {
	t.Helper()
	m := &mirroring{dir: insttest.New(t, engine), witness: filepath.Join(t.TempDir(), "witness")}
	must(t, witness.Create(m.witness, "mirror.invalid", false))
	config, err := installation.ReadConfig(m.dir)
	must(t, err)
	vkey, err := os.ReadFile(filepath.Join(m.dir, "signer", "vkey"))
	must(t, err)
	_, err = witness.AddLog(m.witness, witness.LogSettings{Origin: config.Origin, Keys: []string{strings.TrimSpace(string(vkey))}, Mirror: true})
	must(t, err)
	w, err := witness.Open(m.witness)
	must(t, err)
	server := httptest.NewServer(w.Handler(func(err error) { t.Error(err) }))
	t.Cleanup(func() {
		server.Close()
		must(t, w.Close())
	})
	m.url = server.URL
	_, err = installation.ChangeWitnesses(m.dir, func(s client.Settings) (client.Settings, error) {
		s.MirrorAfter = client.Duration(20 * time.Millisecond)
		return s.Trust(client.Witness{URL: m.url, Keys: w.Keys, Mirror: true}), nil
	})
	must(t, err)
	key, err := os.Open(filepath.Join(m.dir, "incident.key"))
	must(t, err)
	defer key.Close()
	m.identities, err = age.ParseIdentities(key)
	must(t, err)
	return m
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mirrored waits until all that is signed is in the mirror.
func mirrored(t *testing.T, i *installation.Installation) int64 {
	t.Helper()
	size, _ := i.Signer.Head()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if s := i.Witnesses.Status(); len(s.Mirrors) == 1 && s.Mirrors[0].Size >= size {
			return size
		} else if time.Now().After(end) {
			t.Fatalf("the mirror doesn't come to hold %d events: %+v", size, s)
		}
	}
}

var logTables = []string{"log_head", "log_event", "log_tile", "log_set_block"}

// otherTables are those that a backup brings back with the log's.
var otherTables = []string{"register_version", "register_index_0", "register_index_1", "register_import", "register_unchanged", "register_reject", "keyring_participant"}

// contents are the log's tables, row by row, up to a size; without the head's
// epoch, which each start raises.
func contents(t *testing.T, i *installation.Installation, size int64) map[string]string {
	t.Helper()
	sums := map[string]string{}
	for name, q := range map[string]struct {
		sql  string
		n    int
		args []any
	}{
		"events": {"SELECT idx, time_us, action, session_id, session_seq, participant_seq, fields, log_id, participant_id, line FROM log_event WHERE idx < $1 ORDER BY log_id, idx", 8, []any{size}},
		"tiles":  {"SELECT level, n, log_id, hashes FROM log_tile WHERE n < $1 ORDER BY log_id, level, n", 3, []any{size / 256}},
		"blocks": {"SELECT set_id, block, count, log_id, sealed FROM log_set_block ORDER BY log_id, set_id, block", 4, nil},
	} {
		rows, err := i.DB.Query(t.Context(), q.sql, q.args...)
		must(t, err)
		sum, count := sha256.New(), 0
		for ; rows.Next(); count++ {
			numbers := make([]int64, q.n)
			var blobs [2][]byte
			var dest []any
			for n := range numbers {
				dest = append(dest, &numbers[n])
			}
			dest = append(dest, &blobs[0])
			if name == "events" {
				dest = append(dest, &blobs[1])
			}
			must(t, rows.Scan(dest...))
			fmt.Fprintf(sum, "%d %x %x\n", numbers, blobs[0], blobs[1])
		}
		must(t, rows.Err())
		rows.Close()
		sums[name] = fmt.Sprintf("%d rows, %s", count, hex.EncodeToString(sum.Sum(nil)))
	}
	return sums
}

// life is what happens on an installation: imports, reads, sets, changes.
func life(t *testing.T, i *installation.Installation, s access.Session, seed uint64, people int64) {
	t.Helper()
	list := insttest.People(seed, int(people))
	insttest.Import(t, i, insttest.CSV(t, seed, people))
	all := field.SetOf(field.Name, field.Birth)
	_, err := i.Gate.OpenSet(t.Context(), s, gate.SetRequest{Why: insttest.Why, Job: "look", Fields: all}, insttest.Members(t.Context(), i, all),
		func(gate.Opened) error { return nil })
	must(t, err)
	for n := range 150 {
		readOne(t, i, s, list[n%len(list)].Ref)
	}
}

func readOne(t *testing.T, i *installation.Installation, s access.Session, ref string) {
	t.Helper()
	_, err := i.Gate.Read(t.Context(), s, gate.ReadRequest{Who: gate.Who{Ref: ref}, Why: insttest.Why, Fields: field.SetOf(field.Name)})
	must(t, err)
}

func execute(t *testing.T, i *installation.Installation, sql ...string) {
	t.Helper()
	for _, one := range sql {
		if _, err := i.DB.Exec(t.Context(), one); err != nil {
			t.Fatalf("%s: %v", one, err)
		}
	}
}

// pastTheLog has something done to an installation's database, with all rights.
func pastTheLog(t *testing.T, dir string, f func(bare *installation.Installation)) {
	t.Helper()
	config, err := installation.ReadConfig(dir)
	must(t, err)
	url := config.Database
	if url == "" {
		url = filepath.Join(dir, "azekura.db")
	}
	d, err := db.Open(t.Context(), url)
	must(t, err)
	f(&installation.Installation{DB: d})
	must(t, d.Close())
}

// empty empties the log's tables.
func empty(t *testing.T) func(*installation.Installation) {
	return func(bare *installation.Installation) {
		for _, table := range logTables {
			execute(t, bare, "DELETE FROM "+table)
		}
	}
}

// TestRefillDestroyed empties the log's tables and has them back from the mirror,
// byte for byte; a refill that is cut off goes on.
func TestRefillDestroyed(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		m := newMirroring(t, engine)
		i := insttest.Open(t, m.dir)
		s, token := insttest.Session(t, i, "s-1", "caseworker", "d-1")
		life(t, i, s, 1, int64(insttest.Soak(1500, 200_000)))
		size := mirrored(t, i)
		before := contents(t, i, size)
		must(t, i.Close())

		pastTheLog(t, m.dir, empty(t))
		if _, err := insttest.OpenDir(t.Context(), m.dir); !errors.Is(err, auditlog.ErrBehindSigner) {
			t.Fatalf("an empty log: %v", err)
		}

		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if _, err := installation.Refill(ctx, m.dir, m.url, m.identities, nil, func(done, _ int64) { cancel() }); err == nil {
			t.Fatal("there was one chunk, so nothing was cut off")
		}
		done, err := installation.Refill(t.Context(), m.dir, m.url, m.identities, nil, nil)
		must(t, err)
		if done.From == 0 || done.To != size || done.Missing != 0 || done.Recorded != size || len(done.Changes) != 0 {
			t.Errorf("%+v, and %d events were mirrored", done, size)
		}
		i = insttest.Open(t, m.dir)
		if after := contents(t, i, size); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("the refilled tables differ:\n%v\n%v", before, after)
		}
		verified(t, i)
		if s, err = i.Access.AtSocket(token); err != nil {
			t.Fatal(err)
		}
		readOne(t, i, s, insttest.People(1, 1)[0].Ref)
		if e := insttest.Events(t, i); e[size].Purpose != "refill" || e[size].Action != auditlog.System {
			t.Errorf("event %d is %+v", size, e[size])
		}
		again, err := tryRefill(t, i, m, m.url)
		must(t, err)
		if again.From != again.To {
			t.Errorf("a second refill appended: %+v", again)
		}
	})
}

func tryRefill(t *testing.T, i *installation.Installation, m *mirroring, from string) (installation.Refilled, error) {
	t.Helper()
	mirrored(t, i)
	must(t, i.Close())
	return installation.Refill(t.Context(), m.dir, from, m.identities, nil, nil)
}

func verified(t *testing.T, i *installation.Installation) {
	t.Helper()
	size, root := i.Signer.Head()
	r, err := auditlog.Verify(t.Context(), i.DB, i.Log.ID(), size, root, auditlog.VerifyOptions{Edge: i.Signer.Edge(), OpenMembers: i.Gate.OpenMembers})
	must(t, err)
	if !r.OK {
		t.Errorf("the log doesn't verify: %+v", r)
	}
}

// TestRefillOlderBackup puts the whole database back to an earlier state, has the
// log back from the mirror's folder, and is told what the register has lost.
func TestRefillOlderBackup(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		m := newMirroring(t, engine)
		i := insttest.Open(t, m.dir)
		s, token := insttest.Session(t, i, "s-1", "caseworker", "d-1")
		life(t, i, s, 1, 100)
		old, _ := i.Signer.Head()
		tables := slices.Concat(logTables, otherTables)
		for _, table := range tables {
			execute(t, i, "CREATE TABLE kept_"+table+" AS SELECT * FROM "+table)
		}
		list := insttest.People(1, 3)
		changed, err := i.Gate.Change(t.Context(), s, gate.ChangeRequest{Who: gate.Who{Ref: list[0].Ref}, Why: insttest.Why, Values: map[field.Field]string{field.Phone: "03-0000-0000"}})
		must(t, err)
		shredded, err := i.Gate.Shred(t.Context(), s, gate.Who{Ref: list[1].Ref}, insttest.Why)
		must(t, err)
		life(t, i, s, 2, 100)
		size := mirrored(t, i)
		before := contents(t, i, size)
		must(t, i.Close())

		pastTheLog(t, m.dir, func(bare *installation.Installation) {
			for _, table := range tables {
				execute(t, bare, "DELETE FROM "+table, "INSERT INTO "+table+" SELECT * FROM kept_"+table, "DROP TABLE kept_"+table)
			}
		})
		done, err := installation.Refill(t.Context(), m.dir, m.witness, m.identities, nil, nil)
		must(t, err)
		if done.From != old || done.To != size || done.Missing != 0 {
			t.Errorf("%+v: %d events were in the backup, %d in the mirror", done, old, size)
		}
		var said []string
		for _, c := range done.Changes {
			said = append(said, fmt.Sprintf("%d %s", c.Event, c.Action))
		}
		want := []string{fmt.Sprintf("%d change", changed.Event), fmt.Sprintf("%d shred", shredded.Event), fmt.Sprintf("%d set", shredded.Event+1)} // life begins with an import
		if !slices.Equal(said, want) {
			t.Errorf("the register has lost %v, and is told %v: %+v", want, said, done.Changes)
		}
		i = insttest.Open(t, m.dir)
		if after := contents(t, i, size); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("the refilled tables differ:\n%v\n%v", before, after)
		}
		verified(t, i)
		if s, err = i.Access.AtSocket(token); err != nil {
			t.Fatal(err)
		}
		readOne(t, i, s, list[2].Ref)
		m.mended(t, i, s, list)
		v, err := i.Gate.VerifyRegister(t.Context(), nil)
		must(t, err)
		if alarms, err := i.Log.Alarms(t.Context()); err != nil || !v.OK || len(alarms) > 0 {
			t.Errorf("%+v, alarms %+v: %v", v, alarms, err)
		}
		// What was lost is named once, however often the log is refilled.
		events := i.Log.Committed()
		again, err := tryRefill(t, i, m, m.url)
		must(t, err)
		if again.To != again.From || again.Recorded != -1 {
			t.Errorf("%+v of %d events", again, events)
		}
	})
}

// mended does again what the refill said was lost: the first is changed, the second
// is shredded and stays so, the last import is made, and the index key is changed.
func (m *mirroring) mended(t *testing.T, i *installation.Installation, s access.Session, list []population.Person) {
	t.Helper()
	read := func(ref string) (gate.Answer, error) {
		return i.Gate.Read(t.Context(), s, gate.ReadRequest{Who: gate.Who{Ref: ref}, Why: insttest.Why, Fields: field.SetOf(field.Phone)})
	}
	if a, err := read(list[0].Ref); err != nil || a.Values[field.Phone] == "0300000000" {
		t.Errorf("who was changed reads %+v, %v", a, err)
	}
	_, err := i.Gate.Change(t.Context(), s, gate.ChangeRequest{Who: gate.Who{Ref: list[0].Ref}, Why: insttest.Why, Values: map[field.Field]string{field.Phone: "03-0000-0000"}})
	must(t, err)
	a, err := read(list[0].Ref)
	if must(t, err); a.Values[field.Phone] != "0300000000" {
		t.Errorf("who was changed again reads %+v", a)
	}
	if _, err := read(list[1].Ref); err == nil {
		t.Error("who was shredded is read")
	}
	insttest.Import(t, i, insttest.CSV(t, 2, 100))
	at, err := i.Rotator.Start(t.Context(), rotation.Index)
	must(t, err)
	must(t, i.Rotator.Run(t.Context(), at.ID))
	// The import changes those who are there, and makes who was shredded anew.
	if n := insttest.Count(t, i, "keyring_participant"); n != 100 {
		t.Errorf("%d data keys", n)
	}
}

// TestRefillRefuses a mirror that was altered, another log's, and another key; and
// writes nothing then.
func TestRefillRefuses(t *testing.T) {
	m := newMirroring(t, "sqlite")
	i := insttest.Open(t, m.dir)
	s := insttest.Caseworker(t, i)
	life(t, i, s, 1, 50)
	mirrored(t, i)
	must(t, i.Close())
	config, err := installation.ReadConfig(m.dir)
	must(t, err)
	files, err := filepath.Glob(filepath.Join(witness.LogDir(m.witness, config.Origin), witness.MirrorDir, "*", "*"))
	must(t, err)
	pastTheLog(t, m.dir, empty(t))
	stranger, err := age.GenerateX25519Identity()
	must(t, err)
	refused := func(name, from string, ids []age.Identity) {
		t.Helper()
		if _, err := installation.Refill(t.Context(), m.dir, from, ids, nil, nil); err == nil {
			t.Errorf("%s: refilled", name)
		} else if strings.Contains(err.Error(), m.dir) {
			t.Errorf("%s: %v", name, err)
		}
		pastTheLog(t, m.dir, func(bare *installation.Installation) {
			if n := insttest.Count(t, bare, "log_event"); n != 0 {
				t.Errorf("%s: %d events were written", name, n)
			}
		})
	}
	refused("another key", m.url, []age.Identity{stranger})
	refused("no mirror", t.TempDir(), m.identities)
	for _, name := range files {
		raw, err := os.ReadFile(name)
		must(t, err)
		for _, at := range []int{10, len(raw) / 2, len(raw) - 1} {
			bad := bytes.Clone(raw)
			bad[at] ^= 1
			must(t, os.WriteFile(name, bad, 0o600))
			if name == files[0] {
				refused(fmt.Sprintf("a byte altered at %d", at), m.url, m.identities)
			}
		}
		must(t, os.WriteFile(name, raw, 0o600))
	}
	// Another log's mirror, told to be this one's.
	other := newMirroring(t, "sqlite")
	j := insttest.Open(t, other.dir)
	life(t, j, insttest.Caseworker(t, j), 1, 50)
	mirrored(t, j)
	must(t, j.Close())
	theirs, err := installation.ReadConfig(other.dir)
	must(t, err)
	refused("another log's", filepath.Join(witness.LogDir(other.witness, theirs.Origin), witness.MirrorDir), m.identities)
	done, err := installation.Refill(t.Context(), m.dir, m.url, m.identities, nil, nil)
	must(t, err)
	if done.Missing != 0 {
		t.Errorf("%+v", done)
	}
}

// TestRefillOlderKeys puts a database back to before its data key was changed, and
// has the log back: the installation opens under the keys of then, says which they
// are, and they can be changed again.
func TestRefillOlderKeys(t *testing.T) {
	for _, kind := range []string{rotation.Data, rotation.Index} {
		t.Run(kind, func(t *testing.T) {
			insttest.Each(t, func(t *testing.T, engine string) { refillOlderKeys(t, engine, kind) })
		})
	}
}

func refillOlderKeys(t *testing.T, engine, kind string) {
	m := newMirroring(t, engine)
	i := insttest.Open(t, m.dir)
	s, token := insttest.Session(t, i, "s-1", "caseworker", "d-1")
	life(t, i, s, 1, 20)
	tables := slices.Concat(logTables, otherTables, []string{"keyring_key", "keyring_rotation"})
	for _, table := range tables {
		execute(t, i, "CREATE TABLE kept_"+table+" AS SELECT * FROM "+table)
	}
	rotate := func() {
		t.Helper()
		at, err := i.Rotator.Start(t.Context(), kind)
		must(t, err)
		must(t, i.Rotator.Run(t.Context(), at.ID))
	}
	rotate()
	mirrored(t, i)
	must(t, i.Close())
	pastTheLog(t, m.dir, func(bare *installation.Installation) {
		for _, table := range tables {
			execute(t, bare, "DELETE FROM "+table, "INSERT INTO "+table+" SELECT * FROM kept_"+table, "DROP TABLE kept_"+table)
		}
	})
	done, err := installation.Refill(t.Context(), m.dir, m.witness, m.identities, nil, nil)
	must(t, err)
	if len(done.Changes) != 1 || !strings.Contains(done.Changes[0].What, "the keys are those of the backup") {
		t.Errorf("%+v", done.Changes)
	}
	i = insttest.Open(t, m.dir)
	s, err = i.Access.AtSocket(token)
	must(t, err)
	ref := insttest.People(1, 1)[0].Ref
	readOne(t, i, s, ref)
	rotate()
	readOne(t, i, s, ref)
	if alarms, err := i.Log.Alarms(t.Context()); err != nil || len(alarms) > 0 {
		t.Errorf("alarms %+v: %v", alarms, err)
	}
	must(t, i.Close())
	must(t, insttest.Open(t, m.dir).Close())
}

// TestAfterLossOfKeys: the data and index keys were changed in the stretch that is
// lost. What two people sign names the keys that are stored; they count then, and can
// be changed again.
func TestAfterLossOfKeys(t *testing.T) {
	for _, kind := range []string{rotation.Data, rotation.Index} {
		t.Run(kind, func(t *testing.T) {
			insttest.Each(t, func(t *testing.T, engine string) {
				o := newOffice(t, engine, 20)
				rotate := func() {
					t.Helper()
					at, err := o.Rotator.Start(t.Context(), kind)
					must(t, err)
					must(t, o.Rotator.Run(t.Context(), at.ID))
				}
				o.stop(t)
				p := enrol(t, o.dir)
				o.start(t)
				for _, table := range logTables {
					execute(t, o.Installation, "CREATE TABLE kept_"+table+" AS SELECT * FROM "+table)
				}
				rotate()
				o.stop(t)
				pastTheLog(t, o.dir, func(bare *installation.Installation) {
					for _, table := range logTables {
						execute(t, bare, "DELETE FROM "+table, "INSERT INTO "+table+" SELECT * FROM kept_"+table, "DROP TABLE kept_"+table)
					}
				})
				file, err := installation.ProposeAfterLoss(t.Context(), o.dir, "op-1", time.Hour)
				if must(t, err); !bytes.Contains(file, []byte("keys that are stored")) {
					t.Errorf("what is proposed says nothing of the keys:\n%s", file)
				}
				_, err = installation.AfterLoss(t.Context(), o.dir, p.approve(t, file, nil), nil)
				must(t, err)
				o.start(t)
				o.session, o.token = insttest.Session(t, o.Installation, "s-1", "caseworker", "d-1")
				o.read(t, 3)
				rotate()
				o.read(t, 3)
				if alarms, err := o.Log.Alarms(t.Context()); err != nil || len(alarms) > 0 {
					t.Errorf("alarms %+v: %v", alarms, err)
				}
				o.stop(t)
				o.start(t)
				o.read(t, 1)
			})
		})
	}
}
