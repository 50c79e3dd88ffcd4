package auditlog_test

import (
	"context"
	"errors"
	"testing"

	"azekura/auditlog"
	"azekura/internal/db"
)

// ledger is a table for rows that commit with events.
func (in *installation) ledger(t testing.TB) {
	t.Helper()
	_, err := in.d.Exec(t.Context(), "CREATE TABLE ledger (idx BIGINT NOT NULL PRIMARY KEY, note TEXT NOT NULL)")
	ok(t, err)
}

// with is an entry whose transaction has written a row, and whose Finish writes
// another at the event's index.
func (in *installation) with(t testing.TB, note string, n int64) auditlog.Entry {
	t.Helper()
	tx, err := in.d.Begin(t.Context())
	ok(t, err)
	_, err = tx.Exec(t.Context(), "INSERT INTO ledger (idx, note) VALUES ($1, $2)", -n, note)
	ok(t, err)
	return auditlog.Entry{Events: []auditlog.Event{event(person(int(n)), 1)}, Tx: tx,
		Finish: func(ctx context.Context, tx db.Tx, events []auditlog.Event) error {
			_, err := tx.Exec(ctx, "INSERT INTO ledger (idx, note) VALUES ($1, $2)", events[0].Index, note)
			return err
		}}
}

func TestRowsCommitWithTheirEvent(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		in.ledger(t)
		receipts, err := in.log.Record(t.Context(), in.with(t, "kept", 7))
		ok(t, err)
		if n := in.count(t, "SELECT count(*) FROM ledger WHERE note = 'kept' AND idx IN (-7, $1)", receipts[0].Index()); n != 2 {
			t.Fatalf("%d rows of 2", n)
		}
		in.mustVerify(t)
	})
}

var errNoDatabase = errors.New("made to fail")

// TestFailedRowsHurtNobodyElse has entries of every bad kind among good ones.
func TestFailedRowsHurtNobodyElse(t *testing.T) {
	bad := map[string]func(t *testing.T, in *installation) auditlog.Entry{
		"Finish fails": func(t *testing.T, in *installation) auditlog.Entry {
			en := in.with(t, "bad", 1)
			en.Finish = func(context.Context, db.Tx, []auditlog.Event) error { return errNoDatabase }
			return en
		},
		"Finish breaks the transaction and hides it": func(t *testing.T, in *installation) auditlog.Entry {
			en := in.with(t, "bad", 1)
			en.Finish = func(ctx context.Context, tx db.Tx, _ []auditlog.Event) error {
				_, _ = tx.Exec(ctx, "INSERT INTO ledger (idx, note) VALUES (-1, 'twice')")
				return nil
			}
			return en
		},
		"a transaction that is broken already": func(t *testing.T, in *installation) auditlog.Entry {
			en := in.with(t, "bad", 1)
			if _, err := en.Tx.Exec(t.Context(), "INSERT INTO nowhere VALUES (1)"); err == nil {
				t.Fatal("that table isn't there")
			}
			return en
		},
		"a transaction that is over": func(t *testing.T, in *installation) auditlog.Entry {
			en := in.with(t, "bad", 1)
			en.Tx.Rollback()
			return en
		},
		"a transaction that can't commit": func(t *testing.T, in *installation) auditlog.Entry {
			en := in.with(t, "bad", 1)
			mustExec(t, en.Tx, "CREATE TABLE parent (id BIGINT PRIMARY KEY)")
			mustExec(t, en.Tx, "CREATE TABLE child (id BIGINT REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)")
			if in.d.Engine() == db.SQLite { // which doesn't mind orphans here
				en.Tx.Rollback()
				return en
			}
			mustExec(t, en.Tx, "INSERT INTO child VALUES (1)")
			return en
		},
	}
	for name, make := range bad {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, in *installation) {
				in.ledger(t)
				before := in.log.Committed()
				const neighbours = 20
				within(t, name, func() {
					entry := make(t, in)
					inParallel(neighbours+1, func(i int) {
						if i < neighbours {
							if _, err := in.log.RecordOne(t.Context(), event(person(i), 2)); err != nil {
								t.Errorf("a neighbour: %v", err)
							}
							return
						}
						receipts, err := in.log.Record(t.Context(), entry)
						if !errors.Is(err, auditlog.ErrNotRecorded) || receipts != nil {
							t.Errorf("got %v and %d receipts", err, len(receipts))
						}
					})
				})
				if n := in.log.Committed() - before; n != neighbours {
					t.Errorf("%d events for %d neighbours", n, neighbours)
				}
				if n := in.count(t, "SELECT count(*) FROM ledger"); n != 0 {
					t.Errorf("%d rows stayed", n)
				}
				in.mustVerify(t)
				in.mustBeNumbered(t)
			})
		})
	}
}

func mustExec(t testing.TB, q db.Querier, sql string, args ...any) {
	t.Helper()
	if _, err := q.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// TestBulkBesideMany has jobs that hold a transaction, one after another and
// more than the pool has connections, beside fifty who record.
func TestBulkBesideMany(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		in.ledger(t)
		const bulk, plain, each = 12, 50, 20
		within(t, "recorders beside holders of a transaction", func() {
			inParallel(bulk+plain, func(i int) {
				for n := range each {
					var err error
					if i < bulk {
						_, err = in.log.Record(t.Context(), in.with(t, "bulk", int64(1+i*each+n)))
					} else {
						_, err = in.log.RecordOne(t.Context(), event(person(i), auditlog.Session(i)))
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		})
		if n := in.count(t, "SELECT count(*) FROM ledger"); n != 2*bulk*each {
			t.Errorf("%d rows of %d", n, 2*bulk*each)
		}
		if n := in.log.Committed(); n != (bulk+plain)*each {
			t.Errorf("%d events of %d", n, (bulk+plain)*each)
		}
		in.mustVerify(t)
		in.mustBeNumbered(t)
	})
}

// TestManyTransactionsWait has many holders queue at once while the sequencer
// must look a new session's number up: none may wait for another's connection.
func TestManyTransactionsWait(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		in.ledger(t)
		within(t, "holders of transactions and new sessions", func() {
			inParallel(40, func(i int) {
				en := in.with(t, "many", int64(i+1))
				en.Events[0].Session = auditlog.Session(1000 + i)
				if _, err := in.log.Record(t.Context(), en); err != nil {
					t.Error(err)
				}
			})
		})
		in.mustVerify(t)
	})
}

// TestRefusedEntryGivesItsTransactionUp refuses entries before they queue; on
// SQLite a transaction that stays open would stop everyone.
func TestRefusedEntryGivesItsTransactionUp(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		in.ledger(t)
		within(t, "writing after refused entries", func() {
			for range 20 {
				en := in.with(t, "refused", 1)
				en.Events = nil
				if _, err := in.log.Record(t.Context(), en); err == nil {
					t.Error("an entry without events was recorded")
				}
				en = in.with(t, "refused", 1)
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if _, err := in.log.Record(ctx, en); !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			}
			ok(t, in.log.Close())
			en := in.with(t, "late", 1)
			if _, err := in.log.Record(t.Context(), en); !errors.Is(err, auditlog.ErrStopped) {
				t.Errorf("after Close: %v", err)
			}
			mustExec(t, in.d, "INSERT INTO ledger (idx, note) VALUES (1, 'free')")
		})
		if n := in.count(t, "SELECT count(*) FROM ledger"); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}
