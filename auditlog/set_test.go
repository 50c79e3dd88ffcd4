package auditlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/register/field"

	"golang.org/x/mod/sumdb/tlog"
)

// seal stands for the keyring: it tells blocks apart, and hides nothing.
func seal(setID, block int64, members []byte) []byte {
	return append(fmt.Appendf(nil, "%d/%d:", setID, block), members...)
}

func unseal(setID, block int64, sealed []byte) ([]byte, error) {
	members, found := bytes.CutPrefix(sealed, fmt.Appendf(nil, "%d/%d:", setID, block))
	if !found {
		return nil, errors.New("another block's seal")
	}
	return members, nil
}

// set records a set event over n members, in a transaction of its own.
func (in *installation) set(t testing.TB, n int, opens bool) (*auditlog.SetWriter, auditlog.Receipt) {
	t.Helper()
	id, err := in.log.NewSetID()
	ok(t, err)
	w := auditlog.NewSet(id, "job", opens, seal)
	tx, err := in.d.Begin(t.Context())
	ok(t, err)
	for i := range n {
		w.Add(auditlog.Member{ID: person(i), Fields: field.SetOf(field.Name, field.Field(i%11)), Version: int64(1 + i%3)})
		if i%2000 == 0 {
			ok(t, w.Store(t.Context(), tx, in.log.ID()))
		}
	}
	ok(t, w.Finish(t.Context(), tx, in.log.ID()))
	receipts, err := in.log.Record(t.Context(), auditlog.Entry{Events: []auditlog.Event{
		{Action: auditlog.Set, Outcome: "ok", Purpose: "import", Staff: "s-01", Session: 3, Set: &w.Info}}, Set: w, Tx: tx})
	ok(t, err)
	return w, receipts[0]
}

func (in *installation) verifySets(t testing.TB, q db.Querier) auditlog.Report {
	t.Helper()
	size, root := in.signer.Head()
	r, err := auditlog.Verify(t.Context(), q, 1, size, root, auditlog.VerifyOptions{Workers: 1, OpenMembers: unseal})
	ok(t, err)
	return r
}

// TestSets holds roots against x/mod's at sizes around the blocks' ends, and
// opens members by receipts.
func TestSets(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		total := int64(0)
		for _, n := range []int{1, 2, 3, 1023, 1024, 1025, 2047, 2048, 5000} {
			w, receipt := in.set(t, n, true)
			total += int64(n)
			if w.Info.Count != int64(n) {
				t.Fatalf("%d of %d members", w.Info.Count, n)
			}
			check, block, seen := auditlog.NewCheckSet(), 0, 0
			var stored []tlog.Hash
			ok(t, auditlog.EachBlock(t.Context(), in.d, 1, w.Info.ID, func(b int64, sealed []byte) error {
				encoded, err := unseal(w.Info.ID, b, sealed)
				ok(t, err)
				check.Add(encoded)
				members, receipts, err := receipt.Members(block, encoded)
				ok(t, err)
				for i, m := range members {
					if m.ID != person(seen) || m.Version != int64(1+seen%3) {
						t.Fatalf("member %d is %+v", seen, m)
					}
					ok(t, receipts[i].Covers(m.ID, field.Name, m.Version))
					if receipts[i].Covers(person(seen+1), field.Name, 1) == nil || receipts[i].Covers(m.ID, field.Name, m.Version+1) == nil ||
						receipts[i].Covers(m.ID, field.Award, 1) == nil || receipt.Covers(m.ID, field.Name, 1) == nil {
						t.Fatal("a member's receipt covers more")
					}
					hashes, err := tlog.StoredHashes(int64(seen), encoded[24*i:24*i+24], hashReader(stored))
					ok(t, err)
					stored = append(stored, hashes...)
					seen++
				}
				if _, _, err := receipt.Members(block+1, encoded); !errors.Is(err, auditlog.ErrNoReceipt) {
					t.Errorf("a block in another's place: %v", err)
				}
				encoded[20] ^= 1
				if _, _, err := receipt.Members(block, encoded); !errors.Is(err, auditlog.ErrNoReceipt) {
					t.Errorf("an altered block: %v", err)
				}
				block++
				return nil
			}))
			root, err := tlog.TreeHash(int64(n), hashReader(stored))
			ok(t, err)
			if root != w.Info.Root || !check.Agrees(&w.Info) || seen != n {
				t.Fatalf("%d members: another root", n)
			}
		}
		w, receipt := in.set(t, 10, false)
		ok(t, auditlog.EachBlock(t.Context(), in.d, 1, w.Info.ID, func(b int64, sealed []byte) error {
			encoded, _ := unseal(w.Info.ID, b, sealed)
			if _, _, err := receipt.Members(0, encoded); !errors.Is(err, auditlog.ErrNoReceipt) {
				t.Errorf("a set that is only written opens: %v", err)
			}
			return nil
		}))
		if r := in.verifySets(t, in.d); !r.OK || r.Sets != 10 || r.Members != total+10 {
			t.Errorf("%+v", r)
		}
		in.mustVerify(t)
	})
}

type hashReader []tlog.Hash

func (r hashReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	list := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		list[i] = r[index]
	}
	return list, nil
}

func TestEmptySetIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		if err := auditlog.NewSet(5, "job", true, seal).Finish(t.Context(), in.d, 1); err == nil {
			t.Error("a set without a member was finished")
		}
	})
}

// TestCheckSetRefuses what differs in any way.
func TestCheckSetRefuses(t *testing.T) {
	w := auditlog.NewSet(5, "job", true, seal)
	var encoded []byte
	w2 := auditlog.NewSet(5, "job", true, func(_, _ int64, b []byte) []byte { encoded = bytes.Clone(b); return b })
	for _, w := range []*auditlog.SetWriter{w, w2} {
		for i := range 3 {
			w.Add(auditlog.Member{ID: person(i), Fields: field.SetOf(field.Name), Version: 1})
		}
		ok(t, w.Finish(t.Context(), nowhere{}, 1))
	}
	for name, c := range map[string]struct {
		blocks [][]byte
		info   func(i *auditlog.SetInfo)
		agrees bool
	}{
		"as it is":        {[][]byte{encoded}, func(*auditlog.SetInfo) {}, true},
		"in parts":        {[][]byte{encoded[:24], encoded[24:]}, func(*auditlog.SetInfo) {}, true},
		"one short":       {[][]byte{encoded[:48]}, func(*auditlog.SetInfo) {}, false},
		"one twice":       {[][]byte{encoded, encoded[:24]}, func(*auditlog.SetInfo) {}, false},
		"in other order":  {[][]byte{encoded[24:], encoded[:24]}, func(*auditlog.SetInfo) {}, false},
		"a broken length": {[][]byte{encoded, encoded[:5]}, func(*auditlog.SetInfo) {}, false},
		"another count":   {[][]byte{encoded}, func(i *auditlog.SetInfo) { i.Count = 2 }, false},
		"another root":    {[][]byte{encoded}, func(i *auditlog.SetInfo) { i.Root[0] ^= 1 }, false},
		"fewer fields":    {[][]byte{encoded}, func(i *auditlog.SetInfo) { i.Union = 0 }, false},
		"nothing":         {nil, func(i *auditlog.SetInfo) { i.Count = 0 }, false},
	} {
		check, info := auditlog.NewCheckSet(), w.Info
		c.info(&info)
		for _, block := range c.blocks {
			check.Add(block)
		}
		if check.Agrees(&info) != c.agrees {
			t.Errorf("%s: agrees %v", name, !c.agrees)
		}
	}
}

// nowhere takes inserts.
type nowhere struct{ db.Querier }

func (nowhere) Insert(context.Context, *db.Insert, ...any) error { return nil }

// TestSetTampering alters stored blocks, which no line repeats.
func TestSetTampering(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		in.record(t, 5)
		w, _ := in.set(t, 3000, true)
		in.record(t, 5)
		for _, c := range []struct{ name, sql, says string }{
			{"first block gone", "DELETE FROM log_set_block WHERE block = 0", "block 0 of its members is missing"},
			{"a block gone", "DELETE FROM log_set_block WHERE block = 1", "block 1 of its members is missing"},
			{"last block gone", "DELETE FROM log_set_block WHERE block = 2", "block 2 of its members is missing"},
			{"all gone", "DELETE FROM log_set_block", "block 0 of its members is missing"},
			{"a block added", "INSERT INTO log_set_block SELECT log_id, set_id, 3, count, sealed FROM log_set_block WHERE block = 2", "block 3 doesn't hold"},
			{"a count", "UPDATE log_set_block SET count = 1023 WHERE block = 1", "block 1 doesn't hold"},
			{"the last count", "UPDATE log_set_block SET count = 953 WHERE block = 2", "block 2 doesn't hold"},
		} {
			tx, err := in.d.Begin(t.Context())
			ok(t, err)
			mustExec(t, tx, c.sql)
			size, root := in.signer.Head()
			for _, open := range []func(int64, int64, []byte) ([]byte, error){nil, unseal} {
				r, err := auditlog.Verify(t.Context(), tx, 1, size, root, auditlog.VerifyOptions{Workers: 1, OpenMembers: open})
				ok(t, err)
				if r.OK || r.FirstBad != 5 || !strings.Contains(r.Problem, c.says) {
					t.Errorf("%s: %+v", c.name, r)
				}
			}
			tx.Rollback()
		}
		// What only the key tells.
		var sealed []byte
		ok(t, in.d.QueryRow(t.Context(), "SELECT sealed FROM log_set_block WHERE block = 1", nil, &sealed))
		random := rand.New(rand.NewSource(seed(t)))
		altered := bytes.Clone(sealed)
		altered[len(altered)-1-random.Intn(1000)] ^= 1
		short := sealed[:len(sealed)-24]
		for says, block := range map[string][]byte{
			"its members aren't those":  altered,
			"doesn't hold the number":   short,
			"of its members doesn't op": []byte("rubbish"),
		} {
			tx, err := in.d.Begin(t.Context())
			ok(t, err)
			mustExec(t, tx, "UPDATE log_set_block SET sealed = $1 WHERE set_id = $2 AND block = 1", block, w.Info.ID)
			if r := in.verifySets(t, tx); r.OK || r.FirstBad != 5 || !strings.Contains(r.Problem, says) {
				t.Errorf("%s: %+v", says, r)
			}
			tx.Rollback()
		}
		in.mustVerify(t)
	})
}
