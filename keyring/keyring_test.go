package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azekura/internal/db"
	"azekura/internal/pgtest"
	"azekura/keyring"
	"azekura/keyring/root"
	"azekura/register/field"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

var passphrase = []byte("a passphrase of tests")

func newRoot(t testing.TB) wrapping.Wrapper {
	t.Helper()
	dir := t.TempDir()
	if err := root.CreateFile(dir, root.FileOptions{Passphrase: passphrase, WorkFactor: 10}); err != nil {
		t.Fatal(err)
	}
	w, err := root.OpenFile(dir, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func openDB(t testing.TB, url string) db.DB {
	t.Helper()
	d, err := db.Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if err := db.Migrate(context.Background(), d, time.Now(), keyring.Migrations); err != nil {
		t.Fatal(err)
	}
	return d
}

func newRing(t testing.TB, d db.DB, w wrapping.Wrapper) *keyring.Ring {
	t.Helper()
	if err := keyring.Create(context.Background(), d, w, time.Now()); err != nil {
		t.Fatal(err)
	}
	r, err := keyring.Open(context.Background(), d, w)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func onBoth(t *testing.T, f func(t *testing.T, d db.DB)) {
	t.Run("sqlite", func(t *testing.T) { f(t, openDB(t, filepath.Join(t.TempDir(), "a.db"))) })
	t.Run("postgresql", func(t *testing.T) { f(t, openDB(t, pgtest.URL(t))) })
}

func mustExec(t *testing.T, d db.DB, rows int64, sql string, args ...any) {
	t.Helper()
	if n, err := d.Exec(context.Background(), sql, args...); err != nil || n != rows {
		t.Fatalf("%s: %d rows, %v", sql, n, err)
	}
}

func TestKeysOutliveTheProcess(t *testing.T) {
	onBoth(t, func(t *testing.T, d db.DB) {
		w := newRoot(t)
		first := newRing(t, d, w)
		id := uuid.Must(uuid.NewV7())
		k, _, err := first.NewParticipant(id)
		if err != nil {
			t.Fatal(err)
		}
		again, err := keyring.Open(context.Background(), d, w)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := again.Participant(k); err != nil {
			t.Errorf("the data key, after the keyring was opened again: %v", err)
		}
		if first.Token("name", "x") != again.Token("name", "x") || first.Digest(id, []byte("r")) != again.Digest(id, []byte("r")) {
			t.Error("tokens changed")
		}
	})
}

// TestKeysAreMadeOnce: a second Create would make all that is sealed unreadable.
func TestKeysAreMadeOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, d db.DB) {
		w := newRoot(t)
		before := newRing(t, d, w).Token("name", "x")
		if err := keyring.Create(context.Background(), d, w, time.Now()); err == nil {
			t.Fatal("the keys were made twice")
		}
		r, err := keyring.Open(context.Background(), d, w)
		if err != nil || r.Token("name", "x") != before {
			t.Fatalf("the keys changed: %v", err)
		}
	})
}

func TestNoKeyringSaysSo(t *testing.T) {
	d := openDB(t, filepath.Join(t.TempDir(), "a.db"))
	if _, err := keyring.Open(context.Background(), d, newRoot(t)); err == nil || !strings.Contains(err.Error(), "wasn't made yet") {
		t.Fatalf("got %v", err)
	}
}

func TestAnotherRootSaysSo(t *testing.T) {
	onBoth(t, func(t *testing.T, d db.DB) {
		newRing(t, d, newRoot(t))
		r, err := keyring.Open(context.Background(), d, newRoot(t))
		if r != nil || !errors.Is(err, root.ErrOtherRoot) {
			t.Fatalf("got %v", err)
		}
	})
}

// TestAlteredKeysAreRefused is what a database's administrator could try.
func TestAlteredKeysAreRefused(t *testing.T) {
	domains := []string{"data", "digest", "index", "members"}
	type alteration struct{ name, sql string }
	var alterations []alteration
	for _, to := range domains {
		alterations = append(alterations,
			alteration{"remove " + to, "DELETE FROM keyring_key WHERE domain = '" + to + "'"},
			alteration{"another epoch for " + to, "UPDATE keyring_key SET epoch = 2 WHERE domain = '" + to + "'"},
			alteration{"truncate " + to, "UPDATE keyring_key SET wrapped = substr(wrapped, 1, 20) WHERE domain = '" + to + "'"},
			alteration{"empty " + to, "UPDATE keyring_key SET wrapped = substr(wrapped, 1, 0) WHERE domain = '" + to + "'"})
		for _, from := range domains {
			if from != to {
				alterations = append(alterations, alteration{from + " in place of " + to,
					"UPDATE keyring_key SET wrapped = (SELECT wrapped FROM keyring_key WHERE domain = '" + from + "') WHERE domain = '" + to + "'"})
			}
		}
	}
	onBoth(t, func(t *testing.T, d db.DB) {
		w := newRoot(t)
		for _, a := range alterations {
			if _, err := d.Exec(context.Background(), "DELETE FROM keyring_key"); err != nil {
				t.Fatal(err)
			}
			newRing(t, d, w)
			mustExec(t, d, 1, a.sql)
			if r, err := keyring.Open(context.Background(), d, w); err == nil || r != nil {
				t.Errorf("%s: the keyring opened", a.name)
			}
		}
	})
}

// TestDataKeysOfTheTable stores, reads and destroys data keys as the register
// does.
func TestDataKeysOfTheTable(t *testing.T) {
	insert := &db.Insert{Table: "keyring_participant", Columns: []string{"participant_id", "key_no", "epoch", "wrapped"}}
	onBoth(t, func(t *testing.T, d db.DB) {
		ctx := context.Background()
		r := newRing(t, d, newRoot(t))
		var ids, wrapped [][]byte
		var nos, epochs []int64
		for range 100 {
			k, _, err := r.NewParticipant(uuid.Must(uuid.NewV7()))
			if err != nil {
				t.Fatal(err)
			}
			ids, nos, epochs, wrapped = append(ids, k.ID[:]), append(nos, k.No), append(epochs, k.Epoch), append(wrapped, k.Wrapped)
		}
		if err := d.Insert(ctx, insert, ids, nos, epochs, wrapped); err != nil {
			t.Fatal(err)
		}
		if err := d.Insert(ctx, insert, ids[:1], nos[:1], epochs[:1], wrapped[1:2]); err == nil {
			t.Error("a participant has two data keys")
		}
		read := func(id []byte) (keyring.DataKey, error) {
			k := keyring.DataKey{ID: uuid.UUID(id)}
			err := d.QueryRow(ctx, "SELECT key_no, epoch, wrapped FROM keyring_participant WHERE participant_id = $1", []any{id}, &k.No, &k.Epoch, &k.Wrapped)
			return k, err
		}
		for i, id := range ids {
			k, err := read(id)
			if err != nil || !bytes.Equal(k.Wrapped, wrapped[i]) {
				t.Fatalf("read back: %v", err)
			}
			if _, err := r.Participant(k); err != nil {
				t.Fatal(err)
			}
			k.ID = uuid.UUID(ids[(i+1)%len(ids)])
			if _, err := r.Participant(k); err == nil {
				t.Fatal("one participant's data key served another")
			}
		}
		mustExec(t, d, 1, "DELETE FROM keyring_participant WHERE participant_id = $1", ids[0])
		if _, err := read(ids[0]); !errors.Is(err, db.ErrNoRows) {
			t.Errorf("a shredded participant's key: %v", err)
		}
	})
}

// TestNothingIsStoredInTheClear looks for the keys in what the database holds.
func TestNothingIsStoredInTheClear(t *testing.T) {
	d := openDB(t, filepath.Join(t.TempDir(), "a.db"))
	spy := &spy{Wrapper: newRoot(t)}
	newRing(t, d, spy)
	rows, err := d.Query(context.Background(), "SELECT wrapped FROM keyring_key")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var wrapped []byte
		if err := rows.Scan(&wrapped); err != nil {
			t.Fatal(err)
		}
		for _, key := range spy.wrapped {
			if bytes.Contains(wrapped, key) {
				t.Error("a domain key lies in the database")
			}
		}
	}
	if err := rows.Err(); err != nil || n != 4 || len(spy.wrapped) != 4 {
		t.Fatalf("%d rows, %d keys, %v", n, len(spy.wrapped), err)
	}
}

// spy keeps a copy of what a real root key wraps.
type spy struct {
	wrapping.Wrapper
	wrapped [][]byte
}

func (s *spy) Encrypt(ctx context.Context, key []byte, o ...wrapping.Option) (*wrapping.BlobInfo, error) {
	s.wrapped = append(s.wrapped, bytes.Clone(key))
	return s.Wrapper.Encrypt(ctx, key, o...)
}

// TestTokens: the same text in the same index under the same keys gives the
// same token, and nothing else does.
func TestTokens(t *testing.T) {
	d := openDB(t, filepath.Join(t.TempDir(), "a.db"))
	one := newRing(t, d, newRoot(t))
	other := newRing(t, openDB(t, filepath.Join(t.TempDir(), "b.db")), newRoot(t))
	indexes := rapid.SampledFrom([]string{"number", "name", "kana", "name birth", "phone", ""})
	rapid.Check(t, func(t *rapid.T) {
		index1, index2 := indexes.Draw(t, "index"), indexes.Draw(t, "other index")
		text1, text2 := rapid.StringN(0, 3, -1).Draw(t, "text"), rapid.StringN(0, 3, -1).Draw(t, "other text")
		same := index1 == index2 && text1 == text2
		if (one.Token(index1, text1) == one.Token(index2, text2)) != same {
			t.Fatalf("same %v, tokens say otherwise", same)
		}
		if one.Token(index1, text1) == other.Token(index1, text1) {
			t.Fatal("two installations make the same token")
		}
	})
}

// TestTokensFromManyGoroutines: the pool of HMACs mixes nothing up.
func TestTokensFromManyGoroutines(t *testing.T) {
	r := newRing(t, openDB(t, filepath.Join(t.TempDir(), "a.db")), newRoot(t))
	want := make([]keyring.Token, 500)
	for i := range want {
		want[i] = r.Token("number", fmt.Sprint(i))
	}
	done := make(chan []keyring.Token)
	for range 8 {
		go func() {
			got := make([]keyring.Token, len(want))
			for i := range got {
				got[i] = r.Token("number", fmt.Sprint(i))
			}
			done <- got
		}()
	}
	for range 8 {
		if diff := cmp.Diff(want, <-done); diff != "" {
			t.Fatal(diff)
		}
	}
}

// TestDigests: equal records of one participant, and only those, are equal.
func TestDigests(t *testing.T) {
	r := newRing(t, openDB(t, filepath.Join(t.TempDir(), "a.db")), newRoot(t))
	rapid.Check(t, func(t *rapid.T) {
		id1, id2 := uuid.UUID{rapid.Byte().Draw(t, "id") % 2}, uuid.UUID{rapid.Byte().Draw(t, "other id") % 2}
		a, b := rapid.SliceOfN(rapid.Byte(), 0, 2).Draw(t, "record"), rapid.SliceOfN(rapid.Byte(), 0, 2).Draw(t, "other record")
		if same := id1 == id2 && bytes.Equal(a, b); (r.Digest(id1, a) == r.Digest(id2, b)) != same {
			t.Fatalf("same %v, digests say otherwise", same)
		}
	})
}

type part struct {
	Field  field.Field
	Sealed []byte
}

func unpack(packed []byte) (parts []part, err error) {
	err = keyring.Unpack(packed, func(f field.Field, sealed []byte) { parts = append(parts, part{f, sealed}) })
	return parts, err
}

// TestUnpackGivesWhatWasAppended, in its order.
func TestUnpackGivesWhatWasAppended(t *testing.T) {
	r := newRing(t, openDB(t, filepath.Join(t.TempDir(), "a.db")), newRoot(t))
	_, s, err := r.NewParticipant(uuid.Must(uuid.NewV7()))
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOf(rapid.String()).Draw(t, "values")
		var packed []byte
		for i, v := range values {
			if packed, err = s.Append(packed, field.Field(i%11), 1, v); err != nil {
				t.Fatal(err)
			}
		}
		parts, err := unpack(packed)
		if err != nil || len(parts) != len(values) {
			t.Fatalf("%d parts of %d, %v", len(parts), len(values), err)
		}
		for i, p := range parts {
			if p.Field != field.Field(i%11) || len(p.Sealed) != len(values[i])+28 {
				t.Fatalf("part %d is %s of %d bytes", i, p.Field, len(p.Sealed))
			}
		}
	})
}

func TestTooLongAValueIsRefused(t *testing.T) {
	r := newRing(t, openDB(t, filepath.Join(t.TempDir(), "a.db")), newRoot(t))
	_, s, err := r.NewParticipant(uuid.Must(uuid.NewV7()))
	if err != nil {
		t.Fatal(err)
	}
	const most = 1<<16 - 1 - 28
	packed, err := s.Append(nil, field.Address, 1, strings.Repeat("x", most))
	if err != nil {
		t.Fatal(err)
	}
	if parts, err := unpack(packed); err != nil || len(parts) != 1 || len(parts[0].Sealed) != most+28 {
		t.Errorf("the longest value: %d parts, %v", len(parts), err)
	}
	if packed, err := s.Append(packed, field.Address, 1, strings.Repeat("x", most+1)); err == nil || packed != nil || !strings.Contains(err.Error(), "address") {
		t.Errorf("a longer one: %v", err)
	}
}

// FuzzUnpack: any bytes are refused or are exactly their parts.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte{0, 0, 0})
	f.Add([]byte{1, 0, 2, 'a', 'b', 2, 0, 0})
	f.Add([]byte{1, 0xff, 0xff, 'a'})
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, packed []byte) {
		parts, err := unpack(packed)
		var again []byte
		for _, p := range parts {
			again = append(again, byte(p.Field), byte(len(p.Sealed)>>8), byte(len(p.Sealed)))
			again = append(again, p.Sealed...)
		}
		if err == nil && !bytes.Equal(again, packed) || err != nil && !bytes.HasPrefix(packed, again) {
			t.Errorf("%x became %x, %v", packed, again, err)
		}
	})
}
