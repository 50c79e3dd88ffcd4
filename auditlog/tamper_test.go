package auditlog_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"azekura/auditlog"
	"azekura/internal/db"

	"golang.org/x/mod/sumdb/tlog"
)

// hand alters a log with a database administrator's rights.
type hand struct {
	t  testing.TB
	tx db.Tx
}

func (h hand) exec(sql string, args ...any) {
	h.t.Helper()
	n, err := h.tx.Exec(h.t.Context(), sql, args...)
	ok(h.t, err)
	if n == 0 {
		h.t.Fatalf("%s: no row", sql)
	}
}

func (h hand) line(index int) (line []byte) {
	h.t.Helper()
	ok(h.t, h.tx.QueryRow(h.t.Context(), "SELECT line FROM log_event WHERE log_id = 1 AND idx = $1", []any{int64(index)}, &line))
	return line
}

// forge gives an event another staff member, which no column repeats.
func (h hand) forge(index int) {
	h.t.Helper()
	line := bytes.Replace(h.line(index), []byte(`"staff":"s-01"`), []byte(`"staff":"s-02"`), 1)
	h.exec("UPDATE log_event SET line = $1 WHERE log_id = 1 AND idx = $2", line, int64(index))
}

func (h hand) column(index int, name, value string) {
	h.t.Helper()
	h.exec(fmt.Sprintf("UPDATE log_event SET %s = %s WHERE log_id = 1 AND idx = %d", name, value, index))
}

// retile makes a tile agree again with an event.
func (h hand) retile(level, n, entry int, hash tlog.Hash) tlog.Hash {
	h.t.Helper()
	var hashes []byte
	ok(h.t, h.tx.QueryRow(h.t.Context(), "SELECT hashes FROM log_tile WHERE log_id = 1 AND level = $1 AND n = $2",
		[]any{int64(level), int64(n)}, &hashes))
	copy(hashes[entry*32:], hash[:])
	h.exec("UPDATE log_tile SET hashes = $1 WHERE log_id = 1 AND level = $2 AND n = $3", hashes, int64(level), int64(n))
	list := make([]tlog.Hash, 256)
	for i := range list {
		list[i] = tlog.Hash(hashes[i*32 : i*32+32])
	}
	for ; len(list) > 1; list = list[:len(list)/2] {
		for i := range len(list) / 2 {
			list[i] = tlog.NodeHash(list[2*i], list[2*i+1])
		}
	}
	return list[0]
}

// move gives an event another index, in its row alone.
func (h hand) move(from, to int) {
	h.t.Helper()
	h.exec("UPDATE log_event SET idx = $1 WHERE log_id = 1 AND idx = $2", int64(to), int64(from))
}

// tampering is one way to alter a log, and what must be said of it. end is
// first+1 if it is 0.
type tampering struct {
	name       string
	do         func(h hand)
	first, end int64
	says       string
}

// small are for a log of 1,000 events: full tiles 0 to 2, then 232 events
// without one.
var small = []tampering{
	{"a line", func(h hand) { h.forge(5) }, 5, 0, "event 5 isn't what was signed"},
	{"a line at a tile's end", func(h hand) { h.forge(255) }, 255, 0, "event 255 isn't what was signed"},
	{"the first of three lines", func(h hand) { h.forge(700); h.forge(257); h.forge(600) }, 257, 0, "event 257 isn't what was signed"},
	{"a line, and a row deleted behind it", func(h hand) { h.forge(5); h.exec("DELETE FROM log_event WHERE idx = 400") }, 5, 0, "event 5 isn't"},
	{"a line behind the last full tile", func(h hand) { h.forge(900) }, 896, 960, "one of the events 896 to 959"},
	{"rubbish for a line", func(h hand) { h.exec("UPDATE log_event SET line = $1 WHERE idx = 7", []byte("{}")) }, 7, 0, "event 7 isn't a line"},
	{"an empty line", func(h hand) { h.exec("UPDATE log_event SET line = $1 WHERE idx = 999", []byte{}) }, 999, 0, "event 999 isn't a line"},
	{"time_us", func(h hand) { h.column(300, "time_us", "time_us + 1") }, 300, 0, "column time_us"},
	{"action", func(h hand) { h.column(300, "action", "2") }, 300, 0, "column action"},
	{"session_id", func(h hand) { h.column(300, "session_id", "7") }, 300, 0, "column session_id"},
	{"session_seq", func(h hand) { h.column(300, "session_seq", "7") }, 300, 0, "column session_seq"},
	{"participant_id", func(h hand) {
		h.column(300, "participant_id", "(SELECT participant_id FROM log_event WHERE idx = 301)")
	}, 300, 0, "column participant_id"},
	{"participant_id removed", func(h hand) { h.column(300, "participant_id", "NULL") }, 300, 0, "column participant_id"},
	{"participant_seq", func(h hand) { h.column(300, "participant_seq", "7") }, 300, 0, "column participant_seq"},
	{"fields", func(h hand) { h.column(300, "fields", "0") }, 300, 0, "column fields"},
	{"log_id", func(h hand) { h.column(300, "log_id", "2") }, 300, 0, "event 300 is missing"},
	{"two lines swapped", func(h hand) {
		ten, twenty := h.line(10), h.line(20)
		h.exec("UPDATE log_event SET line = $1 WHERE idx = 10", twenty)
		h.exec("UPDATE log_event SET line = $1 WHERE idx = 20", ten)
	}, 10, 0, "event 10: the column idx"},
	{"two rows swapped", func(h hand) { h.move(10, 5000); h.move(20, 10); h.move(5000, 20) }, 10, 0, "event 10: the column idx"},
	{"a row deleted", func(h hand) { h.exec("DELETE FROM log_event WHERE idx = 400") }, 400, 0, "event 400 is missing"},
	{"some rows deleted", func(h hand) { h.exec("DELETE FROM log_event WHERE idx >= 400 AND idx < 410") }, 400, 0, "events 400 to 409 are missing"},
	{"a row deleted, those behind moved up", func(h hand) {
		h.exec("DELETE FROM log_event WHERE idx = 997")
		h.move(998, 997)
		h.move(999, 998)
	}, 997, 0, "event 997: the column idx"},
	{"the last rows deleted", func(h hand) { h.exec("DELETE FROM log_event WHERE idx >= 990") }, 990, 0, "events 990 to 999 are missing"},
	{"cut off, head and all", func(h hand) {
		h.exec("DELETE FROM log_event WHERE idx >= 700")
		h.exec("DELETE FROM log_tile WHERE n >= 2")
		h.exec("UPDATE log_head SET size = 700")
	}, 700, 0, "events 700 to 999 are missing"},
	{"everything deleted", func(h hand) {
		h.exec("DELETE FROM log_event")
		h.exec("DELETE FROM log_tile")
		h.exec("DELETE FROM log_head")
	}, 0, 0, "events 0 to 999 are missing"},
	{"a row added behind the end", func(h hand) {
		h.exec(`INSERT INTO log_event SELECT log_id, 1000, time_us, action, session_id, session_seq, participant_seq, fields, participant_id, line
			FROM log_event WHERE idx = 999`)
	}, 1000, 0, "event 1000 lies beyond the head"},
	{"a row added before the start", func(h hand) {
		h.exec(`INSERT INTO log_event SELECT log_id, -1, time_us, action, session_id, session_seq, participant_seq, fields, participant_id, line
			FROM log_event WHERE idx = 0`)
	}, -1, -1, "a row has the index -1"},
	{"a tile", func(h hand) { h.retile(0, 1, 3, tlog.Hash{1}) }, -1, -1, "tile 1 of level 0 isn't what its events give; the events are right"},
	{"a tile cut short", func(h hand) { h.exec("UPDATE log_tile SET hashes = $1 WHERE n = 1", []byte{1}) }, -1, -1, "tile 1 of level 0 isn't"},
	{"a tile deleted", func(h hand) { h.exec("DELETE FROM log_tile WHERE n = 2") }, -1, -1, "tile 2 of level 0 is missing; the events are right"},
	{"a tile added", func(h hand) {
		h.exec("INSERT INTO log_tile (log_id, level, n, hashes) SELECT 1, 1, 0, hashes FROM log_tile WHERE n = 0")
	}, -1, -1, "tile 0 of level 1 lies beyond the head"},
	{"a line and its tile", func(h hand) { h.forge(300); h.retile(0, 1, 44, tlog.RecordHash(h.line(300))) }, 0, 512, "one of the events 0 to 511"},
	{"a line in an honest tile, and another tile", func(h hand) { h.forge(700); h.retile(0, 0, 0, tlog.Hash{1}) }, 700, 0, "event 700 isn't"},
	{"the head's root", func(h hand) { h.exec("UPDATE log_head SET root = $1", make([]byte, 32)) }, -1, -1, "another root than was signed; the events are right"},
	{"the head's size, less", func(h hand) { h.exec("UPDATE log_head SET size = 900") }, -1, -1, "the database's head says 900 events"},
	{"the head's size, more", func(h hand) { h.exec("UPDATE log_head SET size = 1001") }, 1000, 0, "event 1000 is missing"},
}

// big are for a log with a tile of the second level: 65536 + 3*256 + 100.
var big = []tampering{
	{"a line", func(h hand) { h.forge(40000) }, 40000, 0, "event 40000 isn't what was signed"},
	{"a line and its tile", func(h hand) { h.forge(70); h.retile(0, 0, 70, tlog.RecordHash(h.line(70))) }, 0, 256, "one of the events 0 to 255"},
	{"a line and the tile above its own", func(h hand) { h.forge(70); h.retile(1, 0, 200, tlog.Hash{1}) }, 70, 0, "event 70 isn't what was signed"},
	{"a line and all its tiles", func(h hand) {
		h.forge(70)
		h.retile(1, 0, 0, h.retile(0, 0, 70, tlog.RecordHash(h.line(70))))
	}, 0, 65536, "one of the events 0 to 65535"},
	{"an upper tile", func(h hand) { h.retile(1, 0, 9, tlog.Hash{1}) }, -1, -1, "tile 0 of level 1 isn't what its events give; the events are right"},
	{"a tile lost", func(h hand) { h.exec("DELETE FROM log_tile WHERE level = 0 AND n = 77") }, -1, -1, "tile 77 of level 0 is missing"},
	{"a row deleted", func(h hand) { h.exec("DELETE FROM log_event WHERE idx = 65536") }, 65536, 0, "event 65536 is missing"},
}

func TestTampering(t *testing.T) {
	for _, log := range []struct {
		name   string
		events int
		table  []tampering
	}{{"1000 events", 1000, small}, {"66404 events", 65536 + 3*256 + 100, big}} {
		if raced && log.events > 1000 {
			continue
		}
		t.Run(log.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, in *installation) {
				in.record(t, log.events)
				in.mustVerify(t)
				for _, c := range log.table {
					t.Run(c.name, func(t *testing.T) { in.tamper(t, c) })
				}
				in.mustVerify(t)
			})
		})
	}
}

// tamper does it in a transaction that never commits, and verifies there.
func (in *installation) tamper(t *testing.T, c tampering) {
	tx, err := in.d.Begin(t.Context())
	ok(t, err)
	defer tx.Rollback()
	c.do(hand{t, tx})
	size, root := in.signer.Head()
	r, err := auditlog.Verify(t.Context(), tx, 1, size, root, auditlog.VerifyOptions{Workers: 1, Edge: in.signer.Edge()})
	ok(t, err)
	end := c.end
	if end == 0 {
		end = c.first + 1
	}
	if r.OK || r.FirstBad != c.first || r.BadEnd != end || !strings.Contains(r.Problem, c.says) {
		t.Errorf("want %d to %d, %q\ngot %+v", c.first, end, c.says, r)
	}
	if size > 1000 && !soak {
		return
	}
	// Without the signer's help the answer may be wider, but never wrong.
	r, err = auditlog.Verify(t.Context(), tx, 1, size, root, auditlog.VerifyOptions{Workers: 1})
	ok(t, err)
	if r.OK || (c.first < 0) != (r.FirstBad < 0) || c.first >= 0 && (r.FirstBad > c.first || r.BadEnd < end) && !strings.Contains(r.Problem, "can't be told") {
		t.Errorf("without the edge: want at least %d to %d\ngot %+v", c.first, end, r)
	}
}
