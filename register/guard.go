package register

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/keyring"

	"github.com/google/uuid"
)

// ErrTampered means that a row isn't what this program wrote there, or is gone
// without an event that says so. Nothing is opened on it, and an alarm says which.
var ErrTampered = errors.New("a row of the register isn't what was written there, so nothing is opened on it; azekura log alarms names it")

// tampered is the error about one such row.
func tampered(table, key, kind string, args ...any) error {
	return &auditlog.Tampered{Tampering: auditlog.Tampering{Table: table, Key: key, Kind: fmt.Sprintf(kind, args...)}, Is: ErrTampered}
}

// What is wrong with a row.
const (
	kindAltered   = "the row of version %d was altered, or inserted by somebody else"
	kindGone      = "the row of version %d is gone, which event %d wrote"
	kindGap       = "the row of version %d is gone"
	kindNobody    = "all rows of this participant are gone"
	kindReplaced  = "the row of version %d isn't that of event %d, which wrote it"
	kindKeyGone   = "the data key is missing and no event says that it was destroyed"
	KindKeyBack   = "the data key was destroyed, and its row was put back"
	kindNoVersion = "a data key of nobody: its participant has no version"
)

// The sources of a version: job is an import's id, or for a change -1 - index.
func changeJob(index int64) int64      { return -1 - index }
func changeOf(job int64) (int64, bool) { return -1 - job, job < 0 }

// mac is the gate's word for a version's row: over whose it is, what wrote it,
// which fields it sets and all that it holds.
func (s *Store) mac(id uuid.UUID, v *Version) keyring.Token {
	text := make([]byte, 0, 64+len(v.Packed))
	text = append(text, id[:]...)
	text = binary.BigEndian.AppendUint64(text, uint64(v.No))
	text = binary.BigEndian.AppendUint64(text, uint64(v.Job))
	text = binary.BigEndian.AppendUint64(text, uint64(v.Fields))
	text = append(text, byte(len(v.Digest)))
	text = append(text, v.Digest...)
	return s.ring.MAC("version", append(text, v.Packed...))
}

func (s *Store) genuine(id uuid.UUID, v *Version) bool {
	want := s.mac(id, v)
	return hmac.Equal(want[:], v.MAC)
}

// guard says what is wrong with a participant's rows, or nothing. change is the
// line of their newest change, if there is one.
func (s *Store) guard(p *Sealed, change []byte, wasShredded bool) error {
	id := p.Key.ID
	is := func(table, kind string, args ...any) error { return tampered(table, id.String(), kind, args...) }
	for i := range p.Versions {
		// A version holds what it sets: without one between, what it set would
		// stand as it was before.
		if no := int64(i) + 1; p.Versions[i].No != no {
			return is("register_version", kindGap, no)
		}
		if !s.genuine(id, &p.Versions[i]) {
			return is("register_version", kindAltered, p.Versions[i].No)
		}
	}
	if change != nil {
		e, err := auditlog.ParseLine(change)
		if err != nil || e.Action != auditlog.Change || e.Participant != id || len(e.Fields) == 0 {
			return is("log_event", "the newest change isn't a line that this log writes, or is somebody else's")
		}
		no := e.Fields[0].Version
		switch at := p.version(no); {
		case s.lost.change(&e):
			// An older backup, or what was written since in its stead.
		case at == nil:
			return is("register_version", kindGone, no, e.Index)
		case at.Job != changeJob(e.Index):
			return is("register_version", kindReplaced, no, e.Index)
		}
	}
	switch {
	case p.Key.Wrapped != nil && wasShredded:
		return is("keyring_participant", KindKeyBack)
	case p.Key.Wrapped == nil && !s.shredded.has(id):
		return is("keyring_participant", kindKeyGone)
	}
	return nil
}

// Missing answers for a participant who has no row: nil where there never was one,
// as far as can be told. indexed says that the index named them.
func (s *Store) Missing(ctx context.Context, id uuid.UUID, indexed bool) error {
	if !indexed {
		var spoken int64
		err := s.db.QueryRow(ctx, "SELECT participant_seq FROM log_event WHERE log_id = $1 AND participant_id = $2 ORDER BY participant_seq DESC LIMIT 1",
			[]any{s.log.ID(), bytes.Clone(id[:])}, &spoken)
		if errors.Is(err, db.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read from the register: %w", err)
		}
	}
	return s.raise(ctx, tampered("register_version", id.String(), kindNobody))
}

func (s *Sealed) version(no int64) *Version {
	for i := range s.Versions {
		if s.Versions[i].No == no {
			return &s.Versions[i]
		}
	}
	return nil
}

// shredded are the participants whose data keys were destroyed, as the log says.
// One whose shredding is under way, or whose outcome isn't known, may still have
// its key.
type shredded struct {
	mu  sync.RWMutex
	ids map[uuid.UUID]bool // true: for certain
}

func (s *shredded) set(id uuid.UUID, certain bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids == nil {
		s.ids = map[uuid.UUID]bool{}
	}
	s.ids[id] = s.ids[id] || certain
}

func (s *shredded) has(id uuid.UUID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.ids[id]
	return ok
}

// Shredded tells whether a participant was shredded for certain by now.
func (s *Store) Shredded(id uuid.UUID) bool {
	s.shredded.mu.RLock()
	defer s.shredded.mu.RUnlock()
	return s.shredded.ids[id]
}

// certain lists those of ids that were shredded for certain by now.
func (s *shredded) certain(ids []uuid.UUID) map[uuid.UUID]bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.ids) == 0 {
		return nil
	}
	list := map[uuid.UUID]bool{}
	for _, id := range ids {
		if s.ids[id] {
			list[id] = true
		}
	}
	return list
}

// all are those who were shredded for certain by now.
func (s *shredded) all() map[uuid.UUID]bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make(map[uuid.UUID]bool, len(s.ids))
	for id, certain := range s.ids {
		if certain {
			list[id] = true
		}
	}
	return list
}

// Guarded is the purpose of the system event after which every version's row
// carries a MAC; what init makes says so from its first event on.
const Guarded = "guard-register"

// Replay takes an event of authority into the store, at the start and in the
// log's order: who was shredded, and whether the versions' rows carry MACs.
func (s *Store) Replay(e auditlog.Event) error {
	switch {
	case e.Action == auditlog.Shred:
		s.shredded.set(e.Participant, true)
	case e.Action == auditlog.System && e.Purpose == Refill:
		return s.lost.replay(e)
	case e.Action == auditlog.System && e.Purpose == Guarded:
		s.guarded = true
	case e.Action == auditlog.System && (e.Purpose == "continue" || e.Purpose == "gap"):
		// The log before this one, which said so, may be lost as a whole; and what
		// continues logs has always written MACs.
		s.guarded = true
	case e.Action == auditlog.System && e.Purpose == "init":
		var made struct {
			Guards string `json:"guards"`
		}
		if err := json.Unmarshal(e.Detail, &made); err != nil {
			return fmt.Errorf("read how the installation was made: %w", err)
		}
		s.guarded = made.Guards == Guarded
	}
	return nil
}

// Guard makes the MACs of rows that an earlier version of this program wrote, once
// in an installation's life: from the event that says so a row without is refused.
func (s *Store) Guard(ctx context.Context) error {
	if s.guarded {
		return nil
	}
	for {
		n, err := s.guardSome(ctx)
		if err != nil {
			return fmt.Errorf("make the MACs of the versions; start once as the tables' owner: %w", err)
		}
		if n == 0 {
			break
		}
	}
	if err := s.guardImports(ctx); err != nil {
		return fmt.Errorf("make the MACs of the imports; start once as the tables' owner: %w", err)
	}
	if _, err := s.log.RecordOne(ctx, auditlog.Event{Action: auditlog.System, Outcome: "ok", Purpose: Guarded}); err != nil {
		return err
	}
	s.guarded = true
	return nil
}

func (s *Store) guardSome(ctx context.Context) (int, error) {
	rows, err := s.db.Query(ctx, "SELECT participant_id, version, job, fields, digest, packed FROM register_version WHERE mac IS NULL LIMIT 1000")
	if err != nil {
		return 0, err
	}
	var list []versionRow
	if err := eachVersion(rows, func(id uuid.UUID, v Version) { list = append(list, versionRow{id, v}) }); err != nil {
		return 0, err
	}
	var stmts []db.Stmt
	for i := range list {
		r := &list[i]
		if r.Job == 0 { // as a change's row was written once
			if r.Job, err = s.changed(ctx, r.id, r.No); err != nil {
				return 0, err
			}
		}
		mac := s.mac(r.id, &r.Version)
		stmts = append(stmts, db.Stmt{SQL: "UPDATE register_version SET mac = $1, job = $2 WHERE participant_id = $3 AND version = $4",
			Args: []any{mac[:], r.Job, bytes.Clone(r.id[:]), r.No}, Must: 1})
	}
	if len(stmts) == 0 {
		return 0, nil
	}
	return len(stmts), s.db.Apply(ctx, stmts)
}

// guardImports does it for the imports.
func (s *Store) guardImports(ctx context.Context) error {
	rows, err := s.db.Query(ctx, `SELECT import_id, sha256, bytes, finished_us, at_byte, at_row, created, updated, unchanged, rejected FROM register_import WHERE mac IS NULL`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var list []Import
	for rows.Next() {
		var i Import
		var finished int64
		if err := rows.Scan(&i.ID, &i.sha256, &i.Bytes, &finished, &i.Done, &i.Rows, &i.Created, &i.Updated, &i.Unchanged, &i.Rejected); err != nil {
			return err
		}
		i.Finished = finished != 0
		list = append(list, i)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close()
	for n := range list {
		if _, err := s.db.Exec(ctx, "UPDATE register_import SET mac = $1 WHERE import_id = $2", s.importMAC(&list[n]), list[n].ID); err != nil {
			return err
		}
	}
	return nil
}

// changed finds the change that wrote a version, or 0: an import may have that id.
func (s *Store) changed(ctx context.Context, id uuid.UUID, no int64) (job int64, err error) {
	rows, err := s.db.Query(ctx, "SELECT line FROM log_event WHERE participant_id = $1 AND action = 7", bytes.Clone(id[:]))
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var line []byte
		if err := rows.Scan(&line); err != nil {
			return 0, err
		}
		if e, err := auditlog.ParseLine(line); err == nil && len(e.Fields) > 0 && e.Fields[0].Version == no {
			job = changeJob(e.Index)
		}
	}
	return job, rows.Err()
}

// eachVersion reads rows of register_version without their MACs.
func eachVersion(rows db.Rows, f func(id uuid.UUID, v Version)) error {
	defer rows.Close()
	for rows.Next() {
		var v Version
		var id []byte
		var fields int64
		if err := rows.Scan(&id, &v.No, &v.Job, &fields, &v.Digest, &v.Packed); err != nil {
			return err
		}
		v.Fields = fieldSet(fields)
		f(uuid.UUID(id), v)
	}
	return rows.Err()
}
