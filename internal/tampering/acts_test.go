package tampering

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"azekura/internal/db"
	"azekura/internal/jobs"

	"golang.org/x/mod/sumdb/tlog"
)

// forgedToken is a token that nobody was given.
const forgedToken = "azs_Zm9yZ2VkZm9yZ2VkZm9yZ2VkZm9yZ2VkZm9yZ2VkZm8"

// line is an event as it is stored.
func (o *office) line(index int64) (line string) {
	o.Helper()
	var raw []byte
	o.ok(o.raw.QueryRow(o.Context(), "SELECT line FROM log_event WHERE idx = $1", []any{index}, &raw))
	return string(raw)
}

// granted is the index of the event that grants something, or ends a session.
func (o *office) granted(detail string) (index int64) {
	o.Helper()
	for index = range int64(300) {
		if strings.Contains(o.line(index), detail) {
			return index
		}
	}
	o.Fatalf("no event has %s", detail)
	return 0
}

func (o *office) setLine(index int64, line string) {
	o.Helper()
	o.exec("UPDATE log_event SET line = $1 WHERE idx = $2", []byte(line), index)
}

func (o *office) swap(a, b int64) {
	o.Helper()
	x, y := o.line(a), o.line(b)
	o.setLine(a, y)
	o.setLine(b, x)
}

func acts() []act {
	var list []act
	list = append(list, events()...)
	list = append(list, tiles()...)
	list = append(list, grants()...)
	list = append(list, versions()...)
	list = append(list, indexRows()...)
	list = append(list, jobRows()...)
	list = append(list, caseRows()...)
	list = append(list, members()...)
	list = append(list, keys()...)
	return append(list, whole()...)
}

func events() []act {
	of := []string{"log_event"}
	return []act{
		{on: "events", what: "edit", tables: of, by: []string{byLog}, says: "event 100 ",
			do: func(o *office, _ int) {
				o.setLine(100, strings.Replace(o.line(100), `"staff":"s-1"`, `"staff":"s-2"`, 1))
			}},
		{on: "events", what: "edit a column", tables: of, by: []string{byLog}, says: "event 100: the column session_id",
			do: func(o *office, _ int) { o.exec("UPDATE log_event SET session_id = 5 WHERE idx = 100") }},
		{on: "events", what: "delete", tables: of, by: []string{byLog}, says: "event 101 is missing",
			do: func(o *office, _ int) { o.exec("DELETE FROM log_event WHERE idx = 101") }},
		{on: "events", what: "insert", tables: of, by: []string{byLog}, says: "event 2000000 lies beyond the head",
			do: func(o *office, _ int) {
				o.exec(`INSERT INTO log_event (log_id, idx, time_us, action, session_id, session_seq, participant_seq, fields, line)
					SELECT log_id, 2000000, time_us, action, session_id, session_seq, participant_seq, fields, line FROM log_event WHERE idx = 100`)
			}},
		{on: "events", what: "swap", tables: of, by: []string{byLog}, says: "event 100: the column idx",
			do: func(o *office, _ int) { o.swap(100, 101) }},
		{on: "events", what: "put an older line back", tables: of, by: []string{byLog}, says: "event 120: the column idx",
			do: func(o *office, _ int) { o.setLine(120, o.line(90)) }},
	}
}

func tiles() []act {
	return []act{
		{on: "tiles", what: "edit", tables: []string{"log_tile"}, by: []string{byLog}, says: "tile 0 of level 0",
			do: func(o *office, _ int) {
				o.exec("UPDATE log_tile SET hashes = (SELECT e.line FROM log_event e WHERE e.idx = 5)")
			}},
		{on: "tiles", what: "delete", tables: []string{"log_tile"}, by: []string{byLog}, says: "tile 0 of level 0 is missing",
			do: func(o *office, _ int) { o.exec("DELETE FROM log_tile WHERE n = 0 AND level = 0") }},
		{on: "tiles", what: "insert", tables: []string{"log_tile"}, by: []string{byLog}, says: "tile 9 of level 0 lies beyond the head",
			do: func(o *office, _ int) {
				o.exec("INSERT INTO log_tile (log_id, level, n, hashes) SELECT log_id, level, 9, hashes FROM log_tile WHERE n = 0 AND level = 0")
			}},
		{on: "head", what: "edit the root", tables: []string{"log_head"}, by: []string{byLog}, says: "the database's head has another root than was signed",
			do: func(o *office, _ int) {
				o.exec("UPDATE log_head SET root = $1", make([]byte, 32))
			}},
		{on: "head", what: "delete", tables: []string{"log_head"}, by: []string{byLog}, says: "the log's head isn't in the database",
			do: func(o *office, _ int) { o.exec("DELETE FROM log_head") }},
		{on: "head", what: "put an older one back", tables: []string{"log_head"}, by: []string{byLog}, says: "beyond the head",
			do: func(o *office, _ int) { o.exec("UPDATE log_head SET size = $1, root = $2, mac = $3", o.early[:]...) }},
	}
}

// grants are what staff, devices and sessions are made from: they have no rows of
// their own.
func grants() []act {
	of := []string{"log_event"}
	all := []string{byWatch, byLog, byStart}
	var list []act
	for _, c := range []struct{ on, detail string }{
		{"staff", `"grants":"staff","staff":"s-1"`}, {"devices", `"grants":"device","device":"d-1"`}, {"sessions", `"grants":"session"`}, {"closed sessions", `"contains":"session"`},
	} {
		list = append(list,
			act{on: c.on, what: "edit", tables: of, by: []string{byWatch, byStart}, says: "the events that grant aren't what was signed",
				do: func(o *office, _ int) {
					at := o.granted(c.detail)
					line := o.line(at)
					for from, to := range map[string]string{`"s-1"`: `"s-7"`, `"d-1"`: `"d-7"`, `"token":"`: `"token":"A`, `"contains":"session"`: `"contains":"nothing"`} {
						if changed := strings.Replace(line, from, to, 1); changed != line {
							line = changed
							break
						}
					}
					o.setLine(at, line)
				}},
			act{on: c.on, what: "delete", tables: of, by: all, says: "is missing",
				do: func(o *office, _ int) { o.exec("DELETE FROM log_event WHERE idx = $1", o.granted(c.detail)) }},
			act{on: c.on, what: "hide behind another action", tables: of, by: all, says: "the column action isn't what the line says",
				do: func(o *office, _ int) {
					o.exec("UPDATE log_event SET action = 1 WHERE idx = $1", o.granted(c.detail))
				}})
	}
	hash := sha256.Sum256([]byte(forgedToken))
	return append(list,
		act{on: "sessions", what: "insert in place of a read", tables: of, by: []string{byWatch, byStart}, says: "the events that grant aren't what was signed",
			do: func(o *office, _ int) {
				o.setLine(100, forgedGrant(100, hash[:]))
				o.exec("UPDATE log_event SET action = 9 WHERE idx = 100")
			}},
		act{on: "sessions", what: "insert behind the head", tables: of, by: []string{byLog}, says: "lies beyond the head",
			do: func(o *office, _ int) {
				o.exec(`INSERT INTO log_event (log_id, idx, time_us, action, session_id, session_seq, participant_seq, fields, line)
					VALUES (1, 2000001, 0, 9, 77, 1, 0, 0, $1)`, []byte(forgedGrant(2000001, hash[:])))
			}},
		act{on: "sessions", what: "append and move the head", tables: []string{"log_event", "log_head"}, stopped: true, by: []string{byStart, byLog}, says: "somebody else",
			do: func(o *office, _ int) { o.appendEvent(hash[:]) }},
		act{on: "sessions", what: "swap", tables: of, by: []string{byWatch, byLog, byStart}, says: "the column",
			do: func(o *office, _ int) {
				o.swap(o.granted(`"grants":"session"`), o.granted(`"contains":"session"`))
			}},
		act{on: "sessions", what: "put the old tables back", by: []string{noEffect}, says: "nothing is granted",
			do: func(o *office, _ int) {
				o.exec("CREATE TABLE access_session (log_id BIGINT, session_id BIGINT, staff_id TEXT, device_id TEXT, token_hash BYTEA, opened_us BIGINT, expires_us BIGINT, closed_us BIGINT, idx BIGINT)")
				o.exec("INSERT INTO access_session VALUES (1, 77, 's-1', 'd-1', $1, 0, 9000000000000000, 0, 5)", hash[:])
			}})
}

// appendEvent puts a grant behind the last event, and a head over it that has the
// right root.
func (o *office) appendEvent(hash []byte) {
	o.Helper()
	size, err := o.count("log_event")
	o.ok(err)
	line := forgedGrant(size, hash)
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) (list []tlog.Hash, err error) {
		for _, i := range indexes {
			list = append(list, hashes[i])
		}
		return list, nil
	})
	for n := range size + 1 {
		entry := line
		if n < size {
			entry = o.line(n)
		}
		stored, err := tlog.StoredHashes(n, []byte(entry), reader)
		o.ok(err)
		hashes = append(hashes, stored...)
	}
	root, err := tlog.TreeHash(size+1, reader)
	o.ok(err)
	o.exec(`INSERT INTO log_event (log_id, idx, time_us, action, session_id, session_seq, participant_seq, fields, line)
		VALUES (1, $1, 1778198400000000, 9, 77, 1, 0, 0, $2)`, size, []byte(line))
	o.exec("UPDATE log_head SET size = $1, root = $2", size+1, root[:])
}

func forgedGrant(index int64, hash []byte) string {
	return fmt.Sprintf(`{"v":1,"log":1,"index":%d,"time":"2026-05-08T00:00:00.000000Z","action":"grant","outcome":"ok","staff":"s-1","device":"d-1",`+
		`"session":"z000000000000004d","session_seq":1,"detail":{"grants":"session","expires":"2100-01-01T00:00:00Z","token":"%s"},"salt":"AAECAwQFBgcICQoLDA0ODw"}`,
		index, base64.StdEncoding.EncodeToString(hash))
}

func versions() []act {
	of := []string{"register_version"}
	return []act{
		{on: "versions", what: "edit the values", tables: of, person: 20, by: []string{byRead, byVerify}, says: "register_version",
			do: func(o *office, p int) {
				o.exec("UPDATE register_version SET packed = substr(packed, 1, length(packed) - 1) WHERE participant_id = $1", o.ids[p][:])
			}},
		{on: "versions", what: "edit the mask", tables: of, person: 21, by: []string{byRead, byVerify}, says: "the row of version 1 was altered",
			do: func(o *office, p int) {
				o.exec("UPDATE register_version SET fields = fields + 1 WHERE participant_id = $1", o.ids[p][:])
			}},
		{on: "versions", what: "edit the digest", tables: of, person: 22, by: []string{byRead, byVerify}, says: "the row of version 1 was altered",
			do: func(o *office, p int) {
				o.exec("UPDATE register_version SET digest = mac WHERE participant_id = $1", o.ids[p][:])
			}},
		{on: "versions", what: "delete a change", tables: of, person: 1, by: []string{byRead, byVerify}, says: "the row of version 2 is gone, which event",
			do: func(o *office, p int) {
				o.exec("DELETE FROM register_version WHERE participant_id = $1 AND version = 2", o.ids[p][:])
			}},
		{on: "versions", what: "delete one between", tables: of, person: 3, by: []string{byRead, byVerify}, says: "the row of version 2 is gone",
			do: func(o *office, p int) {
				o.exec("DELETE FROM register_version WHERE participant_id = $1 AND version = 2", o.ids[p][:])
			}},
		{on: "versions", what: "delete all of one whom the log names", tables: of, person: 3, by: []string{byRead, byVerify}, says: "",
			do: func(o *office, p int) {
				o.exec("DELETE FROM register_version WHERE participant_id = $1", o.ids[p][:])
			}},
		{on: "versions", what: "delete an imported person's", tables: of, person: 23, by: []string{byRead, byVerify}, says: "",
			do: func(o *office, p int) {
				o.exec("DELETE FROM register_version WHERE participant_id = $1", o.ids[p][:])
			}},
		{on: "versions", what: "insert", tables: of, person: 24, by: []string{byRead, byVerify}, says: "the row of version 2 was altered, or inserted",
			do: func(o *office, p int) {
				o.exec(`INSERT INTO register_version (participant_id, version, job, fields, digest, packed, mac)
					SELECT participant_id, 2, job, fields, digest, packed, mac FROM register_version WHERE participant_id = $1`, o.ids[p][:])
			}},
		{on: "versions", what: "swap two people's", tables: of, person: 25, by: []string{byRead, byVerify}, says: "the row of version 1 was altered",
			do: func(o *office, p int) {
				o.exec("UPDATE register_version SET version = version + 100 WHERE participant_id = $1", o.ids[p][:])
				o.exec(`INSERT INTO register_version (participant_id, version, job, fields, digest, packed, mac)
					SELECT $1, version, job, fields, digest, packed, mac FROM register_version WHERE participant_id = $2`, o.ids[p][:], o.ids[p+1][:])
				o.exec("DELETE FROM register_version WHERE participant_id = $1 AND version > 100", o.ids[p][:])
			}},
		{on: "versions", what: "put an older one back", tables: of, person: 3, by: []string{byRead, byVerify}, says: "the row of version 3",
			do: func(o *office, p int) {
				o.exec("DELETE FROM register_version WHERE participant_id = $1 AND version = 3", o.ids[p][:])
				o.exec(`INSERT INTO register_version (participant_id, version, job, fields, digest, packed, mac)
					SELECT participant_id, 3, job, fields, digest, packed, mac FROM register_version WHERE participant_id = $1 AND version = 2`, o.ids[p][:])
			}},
		{on: "versions", what: "truncate", tables: of, by: []string{byVerify}, says: "",
			do: func(o *office, _ int) { o.exec("DELETE FROM register_version") }},
		{on: "imports", what: "move one on", tables: []string{"register_import"}, by: []string{byImport}, says: "register_import",
			do: func(o *office, _ int) { o.exec("UPDATE register_import SET at_row = at_row + 1") }},
	}
}

// jobRows are rows that direct work.
func jobRows() []act {
	return []act{
		{on: "jobs", what: "insert", by: []string{byJob}, says: "the row of a job was altered, or inserted by somebody else",
			do: func(o *office, _ int) {
				o.queue(`{"import_id":1,"path":"/etc/passwd","options":{}}`)
			}},
		{on: "jobs", what: "copy and edit", by: []string{byJob}, says: "the row of a job was altered, or inserted by somebody else",
			do: func(o *office, _ int) {
				o.queue(strings.Replace(o.jobArgs(), `"path"`, `"path":"/etc/passwd","was"`, 1))
			}},
	}
}

// queue puts a job's row past the program.
func (o *office) queue(args string) {
	o.Helper()
	o.forged = len(o.alarmsOn("river_job"))
	o.ok(jobs.Queue(o.Context(), o.raw, []jobs.Job{{Kind: "participants-import", Args: []byte(args), Queue: "default", Priority: 1}}))
}

// jobArgs are the arguments of a job that was worked, its MAC among them.
func (o *office) jobArgs() (args string) {
	o.Helper()
	column := "args::text"
	if o.i.DB.Engine() == db.SQLite {
		column = "json(args)"
	}
	o.ok(o.raw.QueryRow(o.Context(), "SELECT "+column+" FROM river_job ORDER BY id LIMIT 1", nil, &args))
	return args
}

// caseRows are what open cases are made from at a start, with the log's lines after.
func caseRows() []act {
	of := []string{"case_file", "case_snapshot"}
	by := []string{byCases}
	return []act{
		{on: "cases", what: "edit", tables: of, stopped: true, by: by, says: "case_",
			do: func(o *office, _ int) { o.exec("UPDATE case_file SET idx = idx + 1") }},
		{on: "cases", what: "delete", tables: of, stopped: true, by: by, says: "case_snapshot",
			do: func(o *office, _ int) { o.exec("DELETE FROM case_file") }},
		{on: "cases", what: "insert", tables: of, stopped: true, by: by, says: "case_",
			do: func(o *office, _ int) {
				o.exec("INSERT INTO case_file (log_id, case_no, state, idx, body, mac) SELECT log_id, 7, state, idx, body, mac FROM case_file")
			}},
		{on: "cases", what: "move the snapshot on", tables: of, stopped: true, by: by, says: "case_snapshot",
			do: func(o *office, _ int) { o.exec("UPDATE case_snapshot SET at_size = at_size + 1") }},
	}
}

func indexRows() []act {
	return []act{
		{on: "index", what: "redirect", tables: []string{"index"}, person: 40, by: []string{byRead}, says: "an index row finds this participant by a ref that was never theirs",
			do: func(o *office, p int) {
				token := o.i.Ring.Indexes()[0].Token("ref", o.people[p].Ref)
				o.exec("UPDATE "+o.index+" SET participant_id = $1 WHERE token = $2", o.ids[p+1][:], token[:])
			}},
		{on: "index", what: "delete", tables: []string{"index"}, person: 42, by: []string{byVerify}, says: "a row of the index is gone",
			do: func(o *office, p int) { o.exec("DELETE FROM "+o.index+" WHERE participant_id = $1", o.ids[p][:]) }},
		{on: "index", what: "insert", tables: []string{"index"}, person: 43, by: []string{byVerify}, says: "a row of the index finds this participant by what was never theirs",
			do: func(o *office, p int) {
				o.exec("INSERT INTO "+o.index+" SELECT token, $1 FROM "+o.index+" WHERE participant_id = $2", o.ids[p][:], o.ids[p+1][:])
			}},
	}
}

func members() []act {
	of := []string{"log_set_block"}
	return []act{
		{on: "set members", what: "edit", tables: of, by: []string{byLog}, says: "of its members doesn't open",
			do: func(o *office, _ int) {
				o.exec("UPDATE log_set_block SET sealed = substr(sealed, 1, length(sealed) - 1)")
			}},
		{on: "set members", what: "delete, truncate", tables: of, by: []string{byLog}, says: "block 0 of its members is missing",
			do: func(o *office, _ int) { o.exec("DELETE FROM log_set_block") }},
		{on: "set members", what: "insert", tables: of, by: []string{byLog}, says: "block 1 doesn't hold the number of members",
			do: func(o *office, _ int) {
				o.exec("INSERT INTO log_set_block (log_id, set_id, block, count, sealed) SELECT log_id, set_id, 1, count, sealed FROM log_set_block")
			}},
		{on: "set members", what: "edit the count", tables: of, by: []string{byLog}, says: "doesn't hold the number of members",
			do: func(o *office, _ int) { o.exec("UPDATE log_set_block SET count = count - 1") }},
	}
}

func keys() []act {
	of := []string{"keyring_participant"}
	return []act{
		{on: "data keys", what: "delete", tables: of, person: 30, by: []string{byRead, byVerify}, says: "the data key is missing and no event says that it was destroyed",
			do: func(o *office, p int) {
				o.exec("DELETE FROM keyring_participant WHERE participant_id = $1", o.ids[p][:])
			}},
		{on: "data keys", what: "edit", tables: of, person: 31, by: []string{byRead, byVerify}, says: "the data key's row was altered",
			do: func(o *office, p int) {
				o.exec("UPDATE keyring_participant SET key_no = 2 WHERE participant_id = $1", o.ids[p][:])
			}},
		{on: "data keys", what: "swap", tables: of, person: 32, by: []string{byRead, byVerify}, says: "the data key's row was altered",
			do: func(o *office, p int) {
				o.exec("UPDATE keyring_participant SET wrapped = (SELECT k.wrapped FROM keyring_participant k WHERE k.participant_id = $1) WHERE participant_id = $2",
					o.ids[p+1][:], o.ids[p][:])
			}},
		{on: "data keys", what: "put back after shredding", tables: of, person: people - 1, by: []string{byVerify}, says: "the data key was destroyed, and its row was put back",
			do: func(o *office, _ int) {
				o.exec("INSERT INTO keyring_participant (key_no, epoch, participant_id, wrapped) VALUES ($1, $2, $3, $4)", o.key[:]...)
			}},
		{on: "domain keys", what: "delete", tables: []string{"keyring_key"}, stopped: true, by: []string{byStart}, says: "the keyring",
			do: func(o *office, _ int) { o.exec("DELETE FROM keyring_key WHERE domain = 'digest'") }},
		{on: "domain keys", what: "swap", tables: []string{"keyring_key"}, stopped: true, by: []string{byStart}, says: "unwrap the members key",
			do: func(o *office, _ int) {
				o.exec("UPDATE keyring_key SET wrapped = (SELECT k.wrapped FROM keyring_key k WHERE k.domain = 'digest') WHERE domain = 'members'")
			}},
	}
}

func whole() []act {
	log := []string{"log_event", "log_head", "log_tile"}
	return []act{
		{on: "the log", what: "truncate", tables: log, stopped: true, by: []string{byStart, byLog}, says: "",
			do: func(o *office, _ int) { o.exec("DELETE FROM log_event") }},
		{on: "the log", what: "restore an older copy", tables: log, stopped: true, by: []string{byStart}, says: "the database is behind its signer",
			do: func(o *office, _ int) {
				o.exec("DELETE FROM log_event WHERE idx >= $1", o.early[0])
				o.exec("DELETE FROM log_tile WHERE 256 * (n + 1) > $1", o.early[0])
				o.exec("UPDATE log_head SET size = $1, root = $2, mac = $3", o.early[:]...)
			}},
	}
}
