package opening_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/internal/pgtest"
	"azekura/keyring"
	"azekura/keyring/internal/core"
	"azekura/keyring/opening"
	"azekura/keyring/root"
	"azekura/register/field"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

var passphrase = []byte("a passphrase of tests")

// bench is an installation without its rooms: a database, a log, a keyring.
type bench struct {
	db   db.DB
	dir  string
	log  *auditlog.Log
	ring *keyring.Ring
}

func newBench(t testing.TB, url string, o root.FileOptions) bench {
	t.Helper()
	ctx := context.Background()
	d, err := db.Open(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(ctx, d, time.Now(), slices.Concat(auditlog.Migrations, keyring.Migrations)); err != nil {
		t.Fatal(err)
	}
	b := bench{db: d, dir: t.TempDir()}
	signer := filepath.Join(b.dir, "signer")
	if err := auditlog.CreateSigner(signer, "azekura.invalid/test"); err != nil {
		t.Fatal(err)
	}
	s, err := auditlog.OpenSigner(signer)
	if err != nil {
		t.Fatal(err)
	}
	if b.log, err = auditlog.Open(ctx, d, auditlog.Options{ID: 1, Signer: s, Now: time.Now, Rand: rand.Reader}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.log.Close(); err != nil {
			t.Error(err)
		}
		s.Close()
		d.Close()
	})
	o.Passphrase, o.WorkFactor = passphrase, 10
	if err := root.CreateFile(b.dir, o); err != nil {
		t.Fatal(err)
	}
	w, err := root.OpenFile(b.dir, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	if err := keyring.Create(ctx, d, w, time.Now()); err != nil {
		t.Fatal(err)
	}
	if b.ring, err = keyring.Open(ctx, d, w); err != nil {
		t.Fatal(err)
	}
	return b
}

func onBoth(t *testing.T, f func(t *testing.T, b bench)) {
	t.Run("sqlite", func(t *testing.T) {
		f(t, newBench(t, filepath.Join(t.TempDir(), "a.db"), root.FileOptions{}))
	})
	t.Run("postgresql", func(t *testing.T) { f(t, newBench(t, pgtest.URL(t), root.FileOptions{})) })
}

func onSQLite(t testing.TB) bench {
	return newBench(t, filepath.Join(t.TempDir(), "a.db"), root.FileOptions{})
}

// receipt records an event and gives its receipt: the real log's, for there is
// no other.
func (b bench) receipt(t interface {
	Helper()
	Fatal(...any)
}, e auditlog.Event) auditlog.Receipt {
	t.Helper()
	r, err := b.log.RecordOne(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func read(id uuid.UUID, version int64, fields ...field.Field) auditlog.Event {
	return event(auditlog.Read, id, version, fields...)
}

func event(a auditlog.Action, id uuid.UUID, version int64, fields ...field.Field) auditlog.Event {
	e := auditlog.Event{Action: a, Outcome: "ok", Purpose: "enquiry", Case: "C-1", Staff: "s-01", Role: "caseworker", Device: "d-01", Session: 1, Participant: id}
	for _, f := range fields {
		e.Fields = append(e.Fields, auditlog.FieldVersion{Field: f, Version: version})
	}
	return e
}

var record = map[field.Field]string{
	field.Number: "1234567890", field.Name: "高炉 花子", field.Kana: "コウロ ハナコ", field.Romaji: "KORO HANAKO", field.Birth: "1948-03-09", field.Sex: "2",
	field.Address: "630-8211 奈良県奈良市雑司町 406-1", field.Phone: "0742000000", field.Email: "hanako@example.invalid",
	field.Account: "0001|001|1|1234567|コウロ ハナコ", field.Ref: "A-0000-0001",
}

// sealed seals the record in one version, of a new participant or of k.
func (b bench) sealed(t testing.TB, k *keyring.DataKey, version int64) map[field.Field][]byte {
	t.Helper()
	var s keyring.Sealing
	var err error
	if k.ID == (uuid.UUID{}) {
		*k, s, err = b.ring.NewParticipant(uuid.Must(uuid.NewV7()))
	} else {
		s, err = b.ring.Participant(*k)
	}
	if err != nil {
		t.Fatal(err)
	}
	var packed []byte
	for _, f := range field.All() {
		if packed, err = s.Append(packed, f, version, record[f]); err != nil {
			t.Fatal(err)
		}
	}
	envelopes := map[field.Field][]byte{}
	if err := keyring.Unpack(packed, func(f field.Field, e []byte) { envelopes[f] = e }); err != nil {
		t.Fatal(err)
	}
	return envelopes
}

func values(version int64, envelopes map[field.Field][]byte, fields ...field.Field) []opening.Value {
	var list []opening.Value
	for _, f := range fields {
		list = append(list, opening.Value{Field: f, Version: version, Sealed: envelopes[f]})
	}
	return list
}

func mustStayShut(t *testing.T, what string, values []opening.Value, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
	for _, v := range values {
		if v.Plain != "" {
			t.Errorf("%s: the %s was opened", what, v.Field)
		}
	}
}

func TestWhatIsSealedOpensAgainstItsReceipt(t *testing.T) {
	onBoth(t, func(t *testing.T, b bench) {
		var k keyring.DataKey
		vs := values(1, b.sealed(t, &k, 1), field.All()...)
		if err := opening.New(b.ring).Open(b.receipt(t, read(k.ID, 1, field.All()...)), k, vs); err != nil {
			t.Fatal(err)
		}
		got := map[field.Field]string{}
		for _, v := range vs {
			got[v.Field] = v.Plain
		}
		if diff := cmp.Diff(record, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestNoReceiptNoOpening(t *testing.T) {
	b := onSQLite(t)
	o := opening.New(b.ring)
	var k, other keyring.DataKey
	envelopes := b.sealed(t, &k, 1)
	b.sealed(t, &other, 1)
	empty := k
	empty.ID = uuid.UUID{}
	name := func(e auditlog.Event) auditlog.Receipt { return b.receipt(t, e) }

	for _, c := range []struct {
		what    string
		receipt auditlog.Receipt
		key     keyring.DataKey
		version int64
	}{
		{"the zero receipt", auditlog.Receipt{}, k, 1},
		{"the zero receipt, for nobody", auditlog.Receipt{}, empty, 1},
		{"another participant's", name(read(other.ID, 1, field.Name)), k, 1},
		{"nobody's", name(read(uuid.UUID{}, 1, field.Name)), empty, 1},
		{"another field's", name(read(k.ID, 1, field.Kana)), k, 1},
		{"a later version's", name(read(k.ID, 2, field.Name)), k, 1},
		{"an earlier version's", name(read(k.ID, 1, field.Name)), k, 2},
		{"one without fields", name(read(k.ID, 1)), k, 1},
		{"a refusal's", name(event(auditlog.Deny, k.ID, 1, field.Name)), k, 1},
		{"a change's", name(event(auditlog.Change, k.ID, 1, field.Name)), k, 1},
		{"a search's", name(event(auditlog.Search, k.ID, 1, field.Name)), k, 1},
		{"the answer to a check's", name(event(auditlog.Checked, k.ID, 1, field.Name)), k, 1},
		{"a showing's, of what was set since", name(event(auditlog.Show, k.ID, 1, field.Mask)), k, 2},
		{"a showing's of existence", name(event(auditlog.Show, k.ID, 1, field.Existence)), k, 1},
	} {
		vs := values(c.version, envelopes, field.Name)
		mustStayShut(t, c.what, vs, o.Open(c.receipt, c.key, vs), auditlog.ErrNoReceipt)
	}
}

// TestOneUncoveredValueShutsAll, wherever it stands.
func TestOneUncoveredValueShutsAll(t *testing.T) {
	b := onSQLite(t)
	var k keyring.DataKey
	envelopes := b.sealed(t, &k, 1)
	receipt := b.receipt(t, read(k.ID, 1, field.Name, field.Birth))
	for _, order := range [][]field.Field{{field.Account, field.Name, field.Birth}, {field.Name, field.Account, field.Birth}, {field.Name, field.Birth, field.Account}} {
		vs := values(1, envelopes, order...)
		mustStayShut(t, fmt.Sprint(order), vs, opening.New(b.ring).Open(receipt, k, vs), auditlog.ErrNoReceipt)
	}
}

// TestOpenedIsASubsetOfLogged: whatever is logged and whatever is asked, only
// what the log's event names is opened.
func TestOpenedIsASubsetOfLogged(t *testing.T) {
	b := onSQLite(t)
	o := opening.New(b.ring)
	var keys [2]keyring.DataKey
	envelopes := [2]map[int64]map[field.Field][]byte{{}, {}}
	for p := range keys {
		for version := int64(1); version <= 2; version++ {
			envelopes[p][version] = b.sealed(t, &keys[p], version)
		}
	}
	pick := rapid.Custom(func(t *rapid.T) []auditlog.FieldVersion {
		return rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) auditlog.FieldVersion {
			return auditlog.FieldVersion{Field: field.Field(rapid.IntRange(0, 10).Draw(t, "field")), Version: rapid.Int64Range(1, 2).Draw(t, "version")}
		}), 1, 6, func(fv auditlog.FieldVersion) field.Field { return fv.Field }).Draw(t, "fields")
	})
	rapid.Check(t, func(t *rapid.T) {
		logged, asked := pick.Draw(t, "logged"), pick.Draw(t, "asked")
		if rapid.Bool().Draw(t, "asked is a part of logged") {
			asked = logged[:rapid.IntRange(1, len(logged)).Draw(t, "part")]
		}
		whose, from := rapid.IntRange(0, 1).Draw(t, "logged of"), rapid.IntRange(0, 1).Draw(t, "asked of")
		e := read(keys[whose].ID, 1)
		e.Fields = logged
		receipt := b.receipt(t, e)

		covered := whose == from
		var vs []opening.Value
		for _, fv := range asked {
			covered = covered && slices.Contains(logged, fv)
			vs = append(vs, opening.Value{Field: fv.Field, Version: fv.Version, Sealed: envelopes[from][fv.Version][fv.Field]})
		}
		err := o.Open(receipt, keys[from], vs)
		if covered != (err == nil) || err != nil && !errors.Is(err, auditlog.ErrNoReceipt) {
			t.Fatalf("covered %v, but %v", covered, err)
		}
		for _, v := range vs {
			if want := record[v.Field]; covered && v.Plain != want || !covered && v.Plain != "" {
				t.Fatalf("covered %v, the %s opened as %q", covered, v.Field, v.Plain)
			}
		}
	})
}

// TestShowingOpensWhatTheMaskIsMadeOf, as it stood then.
func TestShowingOpensWhatTheMaskIsMadeOf(t *testing.T) {
	b := onSQLite(t)
	o := opening.New(b.ring)
	var k keyring.DataKey
	one, two := b.sealed(t, &k, 1), b.sealed(t, &k, 2)
	receipt := b.receipt(t, event(auditlog.Show, k.ID, 2, field.Existence, field.Mask))
	for _, vs := range [][]opening.Value{values(1, one, field.Name, field.Birth), values(2, two, field.Address, field.Number)} {
		if err := o.Open(receipt, k, vs); err != nil || vs[0].Plain == "" || vs[1].Plain == "" {
			t.Errorf("%v, %v", vs, err)
		}
	}
	vs := values(2, two, field.Account)
	mustStayShut(t, "account", vs, o.Open(receipt, k, vs), auditlog.ErrNoReceipt)
}

// TestMovedEnvelopesStayShut gives receipts for the place where an envelope
// was put, so that its binding alone can refuse it.
func TestMovedEnvelopesStayShut(t *testing.T) {
	b := onSQLite(t)
	o := opening.New(b.ring)
	var k, other keyring.DataKey
	one, two := b.sealed(t, &k, 1), b.sealed(t, &k, 2)
	theirs := b.sealed(t, &other, 1)
	next, stranger := k, k
	next.No++
	stranger.Wrapped = other.Wrapped
	epoch := k
	epoch.Epoch++

	for _, c := range []struct {
		what   string
		key    keyring.DataKey
		sealed []byte
	}{
		{"another participant's name", k, theirs[field.Name]},
		{"another field", k, one[field.Kana]},
		{"another version", k, two[field.Name]},
		{"a later key's number", next, one[field.Name]},
		{"another participant's data key", stranger, theirs[field.Name]},
		{"members of a set", k, b.ring.SealMembers(1, 0, []byte("members"))},
		{"the wrapped key itself", k, k.Wrapped},
	} {
		vs := []opening.Value{{Field: field.Name, Version: 1, Sealed: c.sealed}}
		mustStayShut(t, c.what, vs, o.Open(b.receipt(t, read(k.ID, 1, field.Name)), c.key, vs), core.ErrOpen)
	}
	vs := values(1, one, field.Name)
	if err := o.Open(b.receipt(t, read(k.ID, 1, field.Name)), epoch, vs); err == nil || vs[0].Plain != "" {
		t.Errorf("an epoch that isn't in the keyring: %v", err)
	}
}

// TestAnotherInstallationsKeyringOpensNothing.
func TestAnotherInstallationsKeyringOpensNothing(t *testing.T) {
	b, other := onSQLite(t), onSQLite(t)
	var k keyring.DataKey
	vs := values(1, b.sealed(t, &k, 1), field.Name)
	mustStayShut(t, "another keyring", vs, opening.New(other.ring).Open(b.receipt(t, read(k.ID, 1, field.Name)), k, vs), core.ErrOpen)
}

// TestAlteredEnvelopesStayShut changes, cuts and lengthens, and finds the
// values before the altered one shut as well.
func TestAlteredEnvelopesStayShut(t *testing.T) {
	b := onSQLite(t)
	o := opening.New(b.ring)
	var k keyring.DataKey
	envelopes := b.sealed(t, &k, 1)
	receipt := b.receipt(t, read(k.ID, 1, field.All()...))
	rapid.Check(t, func(rt *rapid.T) {
		f := field.Field(rapid.IntRange(1, 10).Draw(rt, "field"))
		altered := slices.Clone(envelopes[f])
		switch at := rapid.IntRange(0, len(altered)-1).Draw(rt, "at"); rapid.IntRange(0, 2).Draw(rt, "how") {
		case 0:
			altered[at] ^= rapid.ByteRange(1, 255).Draw(rt, "by")
		case 1:
			altered = altered[:at]
		default:
			altered = append(altered, rapid.Byte().Draw(rt, "more"))
		}
		vs := []opening.Value{{Field: field.Number, Version: 1, Sealed: envelopes[field.Number]}, {Field: f, Version: 1, Sealed: altered}}
		if err := o.Open(receipt, k, vs); !errors.Is(err, core.ErrOpen) || vs[0].Plain != "" || vs[1].Plain != "" {
			rt.Fatalf("%v, opened %q and %q", err, vs[0].Plain, vs[1].Plain)
		}
		shut := k
		shut.Wrapped = slices.Clone(k.Wrapped)
		shut.Wrapped[rapid.IntRange(0, len(k.Wrapped)-1).Draw(rt, "key at")] ^= 1
		vs = values(1, envelopes, field.Name)
		if err := o.Open(receipt, shut, vs); !errors.Is(err, core.ErrOpen) || vs[0].Plain != "" {
			rt.Fatalf("an altered data key: %v", err)
		}
	})
}

func TestShreddedStaysShut(t *testing.T) {
	b := onSQLite(t)
	var k keyring.DataKey
	vs := values(1, b.sealed(t, &k, 1), field.Name)
	k.Wrapped = nil // its row is gone
	mustStayShut(t, "shredded", vs, opening.New(b.ring).Open(b.receipt(t, read(k.ID, 1, field.Name)), k, vs), keyring.ErrShredded)
	if _, err := b.ring.Participant(k); err == nil {
		t.Error("a shredded participant's values can be sealed")
	}
}

// TestLogThatCantRecordOpensNothing: no event, no receipt.
func TestLogThatCantRecordOpensNothing(t *testing.T) {
	b := onSQLite(t)
	var k keyring.DataKey
	vs := values(1, b.sealed(t, &k, 1), field.Name)
	if err := b.log.Close(); err != nil {
		t.Fatal(err)
	}
	receipt, err := b.log.RecordOne(context.Background(), read(k.ID, 1, field.Name))
	if err == nil {
		t.Fatal("a closed log recorded")
	}
	mustStayShut(t, "unlogged", vs, opening.New(b.ring).Open(receipt, k, vs), auditlog.ErrNoReceipt)
}

// TestASetsReceiptOpensItsMembers and no one else.
func TestASetsReceiptOpensItsMembers(t *testing.T) {
	onBoth(t, func(t *testing.T, b bench) {
		ctx := context.Background()
		o := opening.New(b.ring)
		const count = auditlog.BlockMembers + 10 // two blocks
		keys := make([]keyring.DataKey, count)
		for i := range keys {
			keys[i].ID = uuid.Must(uuid.NewV7())
		}
		// Three are real: the first, the last, and one that isn't a member.
		envelopes := map[int]map[field.Field][]byte{}
		for _, i := range []int{0, count - 1} {
			keys[i] = keyring.DataKey{}
			envelopes[i] = b.sealed(t, &keys[i], 3)
		}
		var outsider keyring.DataKey
		theirs := b.sealed(t, &outsider, 3)

		setID, err := b.log.NewSetID()
		if err != nil {
			t.Fatal(err)
		}
		w := auditlog.NewSet(setID, "run 2015-06", true, b.ring.SealMembers)
		for _, k := range keys {
			w.Add(auditlog.Member{ID: k.ID, Fields: field.SetOf(field.Name, field.Account), Version: 3})
		}
		if err := w.Finish(ctx, b.db, b.log.ID()); err != nil {
			t.Fatal(err)
		}
		receipts, err := b.log.Record(ctx, auditlog.Entry{Events: []auditlog.Event{{Action: auditlog.Set, Outcome: "ok", Purpose: "payment", Staff: "s-01", Set: &w.Info}}, Set: w})
		if err != nil {
			t.Fatal(err)
		}

		seen := 0
		if err := auditlog.EachBlock(ctx, b.db, b.log.ID(), setID, func(block int64, sealed []byte) error {
			encoded, err := o.Members(setID, block, sealed)
			if err != nil {
				return err
			}
			if _, err := o.Members(setID, block+1, sealed); !errors.Is(err, core.ErrOpen) {
				t.Errorf("a block opened in another's place: %v", err)
			}
			members, each, err := receipts[0].Members(int(block), encoded)
			if err != nil {
				return err
			}
			for i, m := range members {
				at := seen + i
				if m.ID != keys[at].ID {
					t.Fatalf("member %d is another", at)
				}
				if envelopes[at] == nil {
					continue
				}
				vs := values(3, envelopes[at], field.Name, field.Account)
				if err := o.Open(each[i], keys[at], vs); err != nil || vs[0].Plain != record[field.Name] {
					t.Errorf("member %d: %v", at, err)
				}
				for what, bad := range map[string][]opening.Value{"a field beyond the set's": values(3, envelopes[at], field.Birth), "a version set since": values(4, envelopes[at], field.Name)} {
					mustStayShut(t, what, bad, o.Open(each[i], keys[at], bad), auditlog.ErrNoReceipt)
				}
				vs = values(3, theirs, field.Name)
				mustStayShut(t, "no member", vs, o.Open(each[i], outsider, vs), auditlog.ErrNoReceipt)
				vs = values(3, envelopes[at], field.Name)
				mustStayShut(t, "the set's own receipt", vs, o.Open(receipts[0], keys[at], vs), auditlog.ErrNoReceipt)
			}
			seen += len(members)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if seen != count {
			t.Errorf("%d members of %d", seen, count)
		}
	})
}

// TestRecoveredRootOpensOldValues is the day on which the passphrase is lost.
func TestRecoveredRootOpensOldValues(t *testing.T) {
	safe, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, filepath.Join(t.TempDir(), "a.db"), root.FileOptions{Recovery: safe.Recipient().String()})
	var k keyring.DataKey
	vs := values(1, b.sealed(t, &k, 1), field.Name)

	renewed := []byte("another passphrase of tests")
	if err := root.Recover(b.dir, strings.NewReader(safe.String()), root.FileOptions{Passphrase: renewed, WorkFactor: 10}); err != nil {
		t.Fatal(err)
	}
	if _, err := root.OpenFile(b.dir, passphrase); !errors.Is(err, root.ErrPassphrase) {
		t.Errorf("the lost passphrase: %v", err)
	}
	w, err := root.OpenFile(b.dir, renewed)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(context.Background(), b.db, w)
	if err != nil {
		t.Fatal(err)
	}
	if err := opening.New(ring).Open(b.receipt(t, read(k.ID, 1, field.Name)), k, vs); err != nil || vs[0].Plain != record[field.Name] {
		t.Fatalf("%q, %v", vs[0].Plain, err)
	}
}

// FuzzOpenPacked: a row that somebody altered opens nothing that wasn't sealed
// there. The input is what to change of a row, since each process of the fuzzer
// has its own keys.
func FuzzOpenPacked(f *testing.F) {
	b := onSQLite(f)
	o := opening.New(b.ring)
	k, s, err := b.ring.NewParticipant(uuid.Must(uuid.NewV7()))
	if err != nil {
		f.Fatal(err)
	}
	var packed []byte
	for _, name := range field.All() {
		if packed, err = s.Append(packed, name, 1, record[name]); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(make([]byte, len(packed)))
	f.Add(make([]byte, len(packed)-1))
	f.Add(append([]byte{byte(field.Account)}, make([]byte, len(packed))...))
	receipt := b.receipt(f, read(k.ID, 1, field.All()...))
	f.Fuzz(func(t *testing.T, change []byte) {
		row := slices.Clone(change)
		for i := range min(len(row), len(packed)) {
			row[i] ^= packed[i]
		}
		_ = keyring.Unpack(row, func(name field.Field, sealed []byte) {
			vs := []opening.Value{{Field: name, Version: 1, Sealed: sealed}}
			if err := o.Open(receipt, k, vs); err == nil && vs[0].Plain != record[name] {
				t.Errorf("%s opened as %q", name, vs[0].Plain)
			} else if err != nil && vs[0].Plain != "" {
				t.Errorf("%s: opened in spite of %v", name, err)
			}
		})
	})
}

func BenchmarkSealRecord(b *testing.B) {
	i := onSQLite(b)
	bytes := 0
	for _, v := range record {
		bytes += len(v)
	}
	b.SetBytes(int64(bytes))
	for b.Loop() {
		_, s, err := i.ring.NewParticipant(uuid.UUID{1})
		if err != nil {
			b.Fatal(err)
		}
		packed := make([]byte, 0, 1024)
		for _, f := range field.All() {
			if packed, err = s.Append(packed, f, 1, record[f]); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkOpenThree(b *testing.B) {
	i := onSQLite(b)
	o := opening.New(i.ring)
	var k keyring.DataKey
	envelopes := i.sealed(b, &k, 1)
	receipt := i.receipt(b, read(k.ID, 1, field.Name, field.Birth, field.Address))
	for b.Loop() {
		if err := o.Open(receipt, k, values(1, envelopes, field.Name, field.Birth, field.Address)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkToken(b *testing.B) {
	i := onSQLite(b)
	for b.Loop() {
		i.ring.Token("number", "1234567890")
	}
}

func BenchmarkDigest(b *testing.B) {
	i := onSQLite(b)
	row := make([]byte, 300)
	for b.Loop() {
		i.ring.Digest(uuid.UUID{1}, row)
	}
}
