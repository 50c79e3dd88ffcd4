package db_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"azekura/internal/db"
	"azekura/internal/pgtest"

	"github.com/google/go-cmp/cmp"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// onBoth is the conformance suite's frame: what is said of one engine holds for
// the other.
func onBoth(t *testing.T, test func(t *testing.T, d db.DB)) {
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		t.Run(string(engine), func(t *testing.T) {
			d := open(t, databaseURL(t, engine))
			exec(t, d, "CREATE TABLE item (id BIGINT NOT NULL PRIMARY KEY, key BYTEA, n BIGINT, word TEXT)")
			test(t, d)
		})
	}
}

func databaseURL(t testing.TB, engine db.Engine) string {
	if engine == db.PostgreSQL {
		return pgtest.URL(t)
	}
	return filepath.Join(t.TempDir(), "azekura.db")
}

func open(t testing.TB, url string) db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), url)
	ok(t, err)
	t.Cleanup(func() { ok(t, d.Close()) })
	return d
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exec(t testing.TB, q db.Querier, sql string, args ...any) int64 {
	t.Helper()
	n, err := q.Exec(t.Context(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func count(t testing.TB, q db.Querier, where string, args ...any) (n int64) {
	t.Helper()
	ok(t, q.QueryRow(t.Context(), "SELECT count(*) FROM item WHERE "+where, args, &n))
	return n
}

// within fails a test that hangs; it judges nobody's speed.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		panic("this hangs: " + what)
	}
}

func begin(t testing.TB, d db.DB) db.Tx {
	t.Helper()
	tx, err := d.Begin(t.Context())
	ok(t, err)
	return tx
}

// onEach runs a test on the database itself and in a transaction.
func onEach(t *testing.T, test func(t *testing.T, q db.Querier)) {
	onBoth(t, func(t *testing.T, d db.DB) {
		t.Run("db", func(t *testing.T) { test(t, d) })
		exec(t, d, "DELETE FROM item")
		t.Run("tx", func(t *testing.T) {
			tx := begin(t, d)
			defer tx.Rollback()
			test(t, tx)
		})
	})
}

func TestExecAndQuery(t *testing.T) {
	onEach(t, func(t *testing.T, q db.Querier) {
		ctx := t.Context()
		if n := exec(t, q, "INSERT INTO item (id, key, n, word) VALUES ($1, $2, $3, $4)", int64(1), []byte{0, 1, 255}, int64(-1<<63), "監査"); n != 1 {
			t.Errorf("%d rows", n)
		}
		// Placeholders out of order and repeated, and NULLs.
		exec(t, q, "INSERT INTO item (id, key, n, word) VALUES ($3, $2, $1, $4)", nil, nil, int64(2), "")
		if n := exec(t, q, "UPDATE item SET n = $2 WHERE id = $1 AND id < $3 AND $1 < $3", int64(2), int64(7), int64(3)); n != 1 {
			t.Errorf("%d rows", n)
		}
		if n := exec(t, q, "UPDATE item SET n = 0 WHERE id = $1", int64(99)); n != 0 {
			t.Errorf("%d rows", n)
		}
		type row struct {
			ID   int64
			Key  []byte
			N    int64
			Word string
		}
		var got []row
		rows, err := q.Query(ctx, "SELECT id, key, n, word FROM item ORDER BY id")
		ok(t, err)
		for rows.Next() {
			var r row
			ok(t, rows.Scan(&r.ID, &r.Key, &r.N, &r.Word))
			got = append(got, r)
		}
		ok(t, rows.Err())
		rows.Close()
		rows.Close()
		if diff := cmp.Diff([]row{{1, []byte{0, 1, 255}, -1 << 63, "監査"}, {2, nil, 7, ""}}, got); diff != "" {
			t.Error(diff)
		}
		var none int64
		if err := q.QueryRow(ctx, "SELECT id FROM item WHERE id = $1", []any{int64(99)}, &none); !errors.Is(err, db.ErrNoRows) {
			t.Errorf("got %v", err)
		}
		// Rows left early hold nobody up.
		for range 20 {
			rows, err := q.Query(ctx, "SELECT id FROM item ORDER BY id")
			ok(t, err)
			rows.Next()
			rows.Close()
		}
		if _, err := q.Exec(ctx, "SELECT nonsense FROM nowhere"); err == nil {
			t.Error("nonsense was run")
		}
	})
}

// TestInsert goes through all the ways that rows take: some, as many as one
// statement has, and those for which PostgreSQL has COPY.
func TestInsert(t *testing.T) {
	onEach(t, func(t *testing.T, q db.Querier) {
		into := &db.Insert{Table: "item", Columns: []string{"id", "key", "n", "word"}}
		first := int64(0)
		for _, rows := range []int{0, 1, 2, 63, 64, 65, 511, 512, 1500} {
			ids, keys, ns, words := make([]int64, rows), make([][]byte, rows), make([]int64, rows), make([]string, rows)
			for i := range rows {
				ids[i], ns[i], words[i] = first+int64(i), int64(-i), strings.Repeat("あ\n\t\\", i%3)
				switch i % 3 {
				case 1:
					keys[i] = []byte{}
				case 2:
					keys[i] = bytes.Repeat([]byte{0}, i)
				}
			}
			ok(t, q.Insert(t.Context(), into, ids, keys, ns, words))
			if n := count(t, q, "id >= $1", first); n != int64(rows) {
				t.Fatalf("%d rows of %d", n, rows)
			}
			if n := count(t, q, "id >= $1 AND key IS NULL", first); n != int64((rows+2)/3) {
				t.Errorf("%d of %d NULLs", n, (rows+2)/3)
			}
			for _, i := range []int{1, 2, rows - 1} {
				if i < 0 || i >= rows {
					continue
				}
				var key []byte
				var n int64
				var word string
				ok(t, q.QueryRow(t.Context(), "SELECT key, n, word FROM item WHERE id = $1", []any{ids[i]}, &key, &n, &word))
				if !bytes.Equal(key, keys[i]) || n != ns[i] || word != words[i] {
					t.Errorf("row %d of %d: %x %d %q", i, rows, key, n, word)
				}
			}
			first += int64(rows)
		}
		// Another insert of as many columns into the same table.
		ok(t, q.Insert(t.Context(), &db.Insert{Table: "item", Columns: []string{"id", "n", "key", "word"}},
			[]int64{-1}, []int64{5}, [][]byte{{5}}, []string{"x"}))
		if n := count(t, q, "id = -1 AND n = 5"); n != 1 {
			t.Error("the columns were taken for another insert's")
		}
		// A suffix, with few rows and many.
		quiet := &db.Insert{Table: "item", Columns: []string{"id"}, Suffix: "ON CONFLICT DO NOTHING"}
		for _, rows := range []int{3, 700} {
			ids := make([]int64, rows)
			for i := range ids {
				ids[i] = int64(i) - 2
			}
			ok(t, q.Insert(t.Context(), quiet, ids))
		}
		if n := count(t, q, "id < 0"); n != 2 {
			t.Errorf("%d rows below 0", n)
		}
		for name, columns := range map[string][]any{
			"too few columns":       {[]int64{1}},
			"columns of two sizes":  {[]int64{1, 2}, [][]byte{{1}}, []int64{1}, []string{""}},
			"a column of one value": {[]int64{1}, [][]byte{{1}}, int64(1), []string{""}},
		} {
			if err := q.Insert(t.Context(), into, columns...); err == nil {
				t.Errorf("%s: taken", name)
			}
		}
	})
}

func TestIn(t *testing.T) {
	onEach(t, func(t *testing.T, q db.Querier) {
		for i := range 400 {
			exec(t, q, "INSERT INTO item (id, key, n) VALUES ($1, $2, $3)", int64(i), []byte{byte(i >> 8), byte(i)}, int64(i%2))
		}
		exec(t, q, "INSERT INTO item (id, n) VALUES (1000, 0)") // key is NULL
		for _, n := range []int{0, 1, 2, 3, 64, 300} {
			keys := [][]byte{}
			for i := range n {
				keys = append(keys, []byte{byte(i >> 8), byte(i)})
			}
			keys = slices.Grow(keys, 1000)
			in, args := q.In("key", 2, keys)
			if got := count(t, q, "n = $1 AND "+in, append([]any{int64(0)}, args...)...); got != int64((n+1)/2) {
				t.Errorf("%d keys: %d rows", n, got)
			}
		}
		in, args := q.In("key", 1, nil)
		if got := count(t, q, in, args...); got != 0 {
			t.Errorf("no keys: %d rows", got)
		}
	})
}

func TestApply(t *testing.T) {
	insert := &db.Insert{Table: "item", Columns: []string{"id"}, Suffix: "ON CONFLICT DO NOTHING"}
	one := db.Stmt{SQL: "INSERT INTO item (id, n) VALUES ($1, $2)", Args: []any{int64(1), int64(1)}, Must: 1}
	broken := errors.New("any other error")
	cases := map[string]struct {
		stmts []db.Stmt
		want  error
		rows  int64
	}{
		"nothing":             {nil, nil, 0},
		"all kinds":           {[]db.Stmt{one, {SQL: "UPDATE item SET n = n + 1 WHERE id = $1", Args: []any{int64(1)}, Must: 1}, {Insert: insert, Args: []any{[]int64{5, 6}}, Must: 2}}, nil, 3},
		"no rows to insert":   {[]db.Stmt{one, {Insert: insert, Args: []any{[]int64(nil)}}}, nil, 1},
		"none must not":       {[]db.Stmt{one, {SQL: "DELETE FROM item WHERE id = 99"}}, nil, 1},
		"refused first":       {[]db.Stmt{{SQL: "UPDATE item SET n = 1 WHERE id = 99", Must: 1}, one}, db.ErrRefused, 0},
		"refused last":        {[]db.Stmt{one, {SQL: "UPDATE item SET n = 1 WHERE id = 99", Must: 1}}, db.ErrRefused, 0},
		"too many":            {[]db.Stmt{one, {Insert: insert, Args: []any{[]int64{2, 3}}}, {SQL: "DELETE FROM item", Must: 2}}, db.ErrRefused, 0},
		"a short insert":      {[]db.Stmt{one, {Insert: insert, Args: []any{[]int64{1, 2}}, Must: 2}}, db.ErrRefused, 0},
		"an error":            {[]db.Stmt{one, one}, broken, 0},
		"no such table":       {[]db.Stmt{one, {SQL: "DELETE FROM nowhere"}}, broken, 0},
		"columns that differ": {[]db.Stmt{one, {Insert: insert, Args: []any{[]int64{1}, []int64{2}}}}, broken, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, d db.DB) {
				check := func(err error) {
					t.Helper()
					switch {
					case c.want == broken:
						if err == nil || errors.Is(err, db.ErrRefused) || errors.Is(err, db.ErrUnknown) {
							t.Errorf("got %v", err)
						}
					case !errors.Is(err, c.want):
						t.Errorf("got %v", err)
					}
				}
				within(t, name, func() {
					check(d.Apply(t.Context(), c.stmts))
					if n := count(t, d, "true"); n != c.rows {
						t.Errorf("%d rows of %d", n, c.rows)
					}
					exec(t, d, "DELETE FROM item")
					tx := begin(t, d)
					defer tx.Rollback()
					exec(t, tx, "INSERT INTO item (id) VALUES (100)")
					err := tx.Apply(t.Context(), c.stmts)
					check(err)
					if err != nil {
						tx.Rollback()
					} else {
						ok(t, tx.Commit(t.Context()))
						c.rows++
					}
				})
				if n := count(t, d, "true"); n != c.rows {
					t.Errorf("in a transaction: %d rows of %d", n, c.rows)
				}
				if c.want == nil {
					c.rows-- // for the other engine
				}
				exec(t, d, "INSERT INTO item (id) VALUES (200)")
			})
		})
	}
}

func TestTransactions(t *testing.T) {
	onBoth(t, func(t *testing.T, d db.DB) {
		within(t, "transactions one after another", func() {
			tx := begin(t, d)
			exec(t, tx, "INSERT INTO item (id) VALUES (1)")
			if count(t, tx, "true") != 1 || count(t, d, "true") != 0 {
				t.Error("a transaction's row is seen by the wrong side")
			}
			ok(t, tx.Commit(t.Context()))
			tx.Rollback() // does nothing
			if err := tx.Commit(t.Context()); err == nil {
				t.Error("committed twice")
			}
			if count(t, d, "true") != 1 {
				t.Error("the row is gone")
			}

			tx = begin(t, d)
			exec(t, tx, "INSERT INTO item (id) VALUES (2)")
			tx.Rollback()
			tx.Rollback()
			if err := tx.Commit(t.Context()); err == nil {
				t.Error("committed after a rollback")
			}
			// On SQLite the connection is somebody else's by now.
			other := begin(t, d)
			if _, err := tx.Exec(t.Context(), "INSERT INTO item (id) VALUES (3)"); err == nil {
				t.Error("a statement ran behind its transaction's end")
			}
			if rows, err := tx.Query(t.Context(), "SELECT id FROM item"); err == nil {
				rows.Close()
				t.Error("a query ran behind its transaction's end")
			}
			if err := tx.Insert(t.Context(), &db.Insert{Table: "item", Columns: []string{"id"}}, []int64{4}); err == nil {
				t.Error("an insert ran behind its transaction's end")
			}
			tx.Rollback()
			exec(t, other, "INSERT INTO item (id) VALUES (5)")
			ok(t, other.Commit(t.Context()))
		})
		if count(t, d, "true") != 2 || count(t, d, "id = 5") != 1 {
			t.Error("other rows than 1 and 5")
		}
	})
}

// TestFailedTransactionTakesNoMore: after an error there is only the rollback,
// on both engines.
func TestFailedTransactionTakesNoMore(t *testing.T) {
	onBoth(t, func(t *testing.T, d db.DB) {
		tx := begin(t, d)
		defer tx.Rollback()
		exec(t, tx, "INSERT INTO item (id) VALUES (1)")
		if _, err := tx.Exec(t.Context(), "INSERT INTO item (id) VALUES (1)"); err == nil {
			t.Fatal("one key twice")
		}
		if _, err := tx.Exec(t.Context(), "INSERT INTO item (id) VALUES (2)"); err == nil {
			t.Error("a statement ran in a transaction that had failed")
		}
		if err := tx.Commit(t.Context()); err == nil {
			t.Error("it committed")
		}
		if n := count(t, d, "true"); n != 0 {
			t.Errorf("%d rows", n)
		}
		exec(t, d, "INSERT INTO item (id) VALUES (3)")
	})
}

// TestCommitThatFails leaves the writer free. SQLite checks foreign keys only
// where a connection asks for it.
func TestCommitThatFails(t *testing.T) {
	onBoth(t, func(t *testing.T, d db.DB) {
		if d.Engine() == db.SQLite {
			exec(t, d, "PRAGMA foreign_keys = 1") // without effect: it's within a transaction
		}
		exec(t, d, "CREATE TABLE child (id BIGINT REFERENCES item (id) DEFERRABLE INITIALLY DEFERRED)")
		within(t, "writing after a commit that failed", func() {
			for range 5 {
				tx := begin(t, d)
				exec(t, tx, "INSERT INTO child (id) VALUES (77)")
				err := tx.Commit(t.Context())
				if d.Engine() == db.PostgreSQL && (err == nil || errors.Is(err, db.ErrUnknown)) {
					t.Errorf("got %v", err)
				}
				tx.Rollback()
			}
			exec(t, d, "INSERT INTO item (id) VALUES (1)")
		})
	})
}

// TestWriters has many add to one number, each in its own way.
func TestWriters(t *testing.T) {
	onBoth(t, func(t *testing.T, d db.DB) {
		exec(t, d, "INSERT INTO item (id, n) VALUES (1, 0)")
		const callers, each = 30, 10
		add := db.Stmt{SQL: "UPDATE item SET n = n + 1 WHERE id = $1", Args: []any{int64(1)}, Must: 1}
		within(t, "many writers", func() {
			var wg sync.WaitGroup
			for c := range callers {
				wg.Go(func() {
					for range each {
						var err error
						switch c % 3 {
						case 0:
							_, err = d.Exec(t.Context(), add.SQL, add.Args...)
						case 1:
							err = d.Apply(t.Context(), []db.Stmt{add})
						case 2:
							var tx db.Tx
							if tx, err = d.Begin(t.Context()); err == nil {
								if err = tx.Apply(t.Context(), []db.Stmt{add}); err == nil {
									err = tx.Commit(t.Context())
								}
								tx.Rollback()
							}
						}
						if err != nil {
							t.Error(err)
						}
						var n int64
						if err := d.QueryRow(t.Context(), "SELECT n FROM item WHERE id = 1", nil, &n); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
		})
		if n := count(t, d, "n = $1", int64(callers*each)); n != 1 {
			t.Error("an addition was lost")
		}
	})
}

// TestGivingUp ends the wait for a turn or a connection; those behind get on.
func TestGivingUp(t *testing.T) {
	onBoth(t, func(t *testing.T, d db.DB) {
		within(t, "callers who give up", func() {
			var held []db.Tx
			for { // until Begin would wait
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				tx, err := d.Begin(ctx)
				cancel()
				if err != nil {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
					break
				}
				held = append(held, tx)
			}
			if d.Engine() == db.SQLite && len(held) != 1 {
				t.Errorf("%d writers", len(held))
			}
			// However many transactions are open, reading goes on, and on
			// PostgreSQL so does a batch.
			count(t, d, "true")
			if d.Engine() == db.PostgreSQL {
				ok(t, d.Apply(t.Context(), []db.Stmt{{SQL: "INSERT INTO item (id) VALUES (1)"}}))
			}
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(time.Duration(i)*time.Millisecond, cancel)
					if tx, err := d.Begin(ctx); err == nil {
						tx.Rollback()
					} else if !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
				})
			}
			time.Sleep(5 * time.Millisecond)
			for _, tx := range held {
				tx.Rollback()
			}
			wg.Wait()
			exec(t, d, "INSERT INTO item (id) VALUES (2)")
		})
	})
}
