package auditlog_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"azekura/auditlog"
	"azekura/internal/db"
)

// TestDatabaseAheadOfSigner is a crash between the commit and the signer's
// sync: the signer catches up.
func TestDatabaseAheadOfSigner(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		in.record(t, 300)
		state := filepath.Join(in.dir, "state")
		copyFile(t, state, state+".old")
		in.record(t, 500)
		in.stop(t)
		copyFile(t, state+".old", state)

		// Before that, those events are known to be unsigned.
		d, err := db.Open(t.Context(), in.url)
		ok(t, err)
		defer d.Close()
		s, err := auditlog.OpenSigner(in.dir)
		ok(t, err)
		size, root := s.Head()
		ok(t, s.Close())
		r, err := auditlog.Verify(t.Context(), d, 1, size, root, auditlog.VerifyOptions{})
		if err != nil || !r.OK || size != 300 || r.Unsigned != 500 || r.Events != 800 {
			t.Fatalf("%+v, %v", r, err)
		}

		in.start(t)
		if size, _ := in.signer.Head(); size != 800 {
			t.Fatalf("the signer stands at %d", size)
		}
		in.record(t, 10)
		in.mustVerify(t)
		in.mustBeNumbered(t)
	})
}

// TestDatabasePutBack restores an earlier copy under a signer that went on.
func TestDatabasePutBack(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		in.record(t, 700)
		putBack := in.backup(t)
		in.record(t, 300)
		in.stop(t)
		putBack()
		err := in.tryStart()
		if !errors.Is(err, auditlog.ErrBehindSigner) || !strings.Contains(err.Error(), "1000 events were signed, the database holds 700") {
			t.Fatal(err)
		}
		if !strings.Contains(err.Error(), "doc/operations.md") {
			t.Errorf("no word on what to do: %v", err)
		}
	})
}

// backup returns a function that puts the database back as it is now. On
// PostgreSQL the log alone is cut.
func (in *installation) backup(t *testing.T) (putBack func()) {
	if in.d.Engine() == db.SQLite {
		in.stop(t) // closing moves everything into the one file
		copyFile(t, in.url, in.url+".copy")
		in.start(t)
		return func() { copyFile(t, in.url+".copy", in.url) }
	}
	var root []byte
	var size int64
	ok(t, in.d.QueryRow(t.Context(), "SELECT size, root FROM log_head", nil, &size, &root))
	return func() {
		d, err := db.Open(t.Context(), in.url)
		ok(t, err)
		defer d.Close()
		mustExec(t, d, "UPDATE log_head SET size = $1, root = $2", size, root)
		mustExec(t, d, "DELETE FROM log_event WHERE idx >= $1", size)
		mustExec(t, d, "DELETE FROM log_tile WHERE (n + 1) * 256 > $1", size)
	}
}

// TestContradictingDatabase alters what a restart looks at.
func TestContradictingDatabase(t *testing.T) {
	for name, alter := range map[string]string{
		"the last line":  "UPDATE log_event SET line = (SELECT line FROM log_event WHERE idx = 998) WHERE idx = 999",
		"the last row":   "DELETE FROM log_event WHERE idx = 999",
		"a tile":         "UPDATE log_tile SET hashes = (SELECT hashes FROM log_tile WHERE n = 0) WHERE n = 1",
		"no tile":        "DELETE FROM log_tile WHERE n = 1",
		"the head":       "UPDATE log_head SET root = (SELECT substr(hashes, 1, 32) FROM log_tile WHERE n = 0)",
		"no root at all": "UPDATE log_head SET root = substr(root, 1, 3)",
		"a longer head":  "UPDATE log_head SET size = 1001",
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, in *installation) {
				in.record(t, 1000)
				mustExec(t, in.d, alter)
				in.stop(t)
				if err := in.tryStart(); !errors.Is(err, auditlog.ErrSigner) {
					t.Fatalf("it started, or said %v", err)
				}
			})
		})
	}
}

// TestSecondLog takes the lead from a running log.
func TestSecondLog(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		in.record(t, 100)
		first := in.log
		second, err := in.lead()
		ok(t, err)
		in.log = second
		if _, err := first.RecordOne(t.Context(), event(person(1), 1)); !errors.Is(err, auditlog.ErrStopped) {
			t.Errorf("the first log still records: %v", err)
		}
		if _, err := first.RecordOne(t.Context(), event(person(1), 1)); !errors.Is(err, auditlog.ErrStopped) || !errors.Is(first.Err(), auditlog.ErrStopped) {
			t.Errorf("the first log doesn't stay stopped: %v", err)
		}
		if err := first.Close(); !errors.Is(err, auditlog.ErrStopped) {
			t.Errorf("closing it says %v", err)
		}
		in.record(t, 10)
		in.mustVerify(t)
		if in.log.Committed() != 110 {
			t.Errorf("%d events", in.log.Committed())
		}
	})
}

// TestLeadChangesUnderLoad takes the lead again and again while others record:
// every receipt that went out is in the log.
func TestLeadChangesUnderLoad(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		for range 5 {
			log := in.log
			receipts := make(chan auditlog.Receipt, 100_000)
			within(t, "a log that lost its lead", func() {
				inParallel(9, func(i int) {
					if i == 8 {
						for len(receipts) < 20 && log.Err() == nil {
							_ = log.Committed()
						}
						second, err := in.lead()
						if err != nil {
							t.Error(err)
							return
						}
						in.log = second
						return
					}
					for {
						r, err := log.RecordOne(t.Context(), event(person(i), auditlog.Session(i+1)))
						if err != nil {
							if !errors.Is(err, auditlog.ErrStopped) {
								t.Error(err)
							}
							return
						}
						receipts <- r
					}
				})
			})
			log.Close()
			close(receipts)
			for r := range receipts {
				if e := in.line(t, r.Index()); e.Time != r.Time() {
					t.Fatalf("event %d isn't the receipt's", r.Index())
				}
			}
		}
		in.mustVerify(t)
		in.mustBeNumbered(t)
	})
}

func TestSignerIsForOneProcess(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		if s, err := auditlog.OpenSigner(in.dir); err == nil || !strings.Contains(err.Error(), "another process holds") {
			t.Fatalf("%v, %v", s, err)
		}
	})
}

// TestDamagedSigner damages each slot of the state in turn, then both.
func TestDamagedSigner(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		in.record(t, 64)
		in.record(t, 64)
		in.stop(t)
		state := filepath.Join(in.dir, "state")
		whole, err := os.ReadFile(state)
		ok(t, err)
		half := len(whole) / 2
		for name, damage := range map[string]func(slot []byte){
			"zeros":    func(slot []byte) { clear(slot) },
			"torn":     func(slot []byte) { clear(slot[100:]) },
			"one bit":  func(slot []byte) { slot[40] ^= 1 },
			"checksum": func(slot []byte) { slot[0] ^= 1 },
		} {
			for slot := range 2 {
				damaged := append([]byte(nil), whole...)
				damage(damaged[slot*half : (slot+1)*half])
				ok(t, os.WriteFile(state, damaged, 0o600))
				in.start(t)
				in.mustVerify(t)
				in.stop(t)
			}
			damaged := append([]byte(nil), whole...)
			damage(damaged[:half])
			damage(damaged[half:])
			ok(t, os.WriteFile(state, damaged, 0o600))
			if err := in.tryStart(); err == nil || !strings.Contains(err.Error(), "damaged in both its slots") {
				t.Errorf("%s: %v", name, err)
			}
			ok(t, os.WriteFile(state, whole, 0o600))
		}
		ok(t, os.WriteFile(state, nil, 0o600))
		if err := in.tryStart(); err == nil {
			t.Error("a signer without a state started")
		}
	})
}
