// Package register keeps the participants: their fields, versions and blind
// indexes, all sealed.
//
// It promises that every change is a new version and old ones stay; that a
// former name, address or number still finds its person; that nothing lies in
// its tables in the clear, and no row without an event in the audit log. It
// seals and stores, but it can't open: that is the gate's alone.
package register

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"slices"

	"azekura/auditlog"
	"azekura/gate/canary"
	"azekura/internal/db"
	"azekura/keyring"
	"azekura/register/field"

	"github.com/google/uuid"
)

//go:embed schema.sql
var schema string

//go:embed authority.sql
var guardedSchema string

// Migrations make this package's tables.
var Migrations = []db.Migration{{Name: "register/1-first", SQL: schema}, {Name: "register/2-authority", SQL: guardedSchema},
	{Name: "register/3-two-indexes", SQL: twoIndexes}, {Name: "register/4-density", SQL: densitySchema}}

//go:embed two-indexes.sql
var twoIndexes string

//go:embed density.sql
var densitySchema string

var (
	// ErrNotFound means that nobody is found by what was asked.
	ErrNotFound = errors.New("no participant is found by that")
	// ErrConflict means that another change came first.
	ErrConflict = errors.New("another change of the same participant came first; look at it and try again")
	// ErrRemains means that a participant is shredded, and that the deleted key
	// couldn't be cleared out of the database's files.
	ErrRemains = errors.New("the data key is deleted and that is recorded, but its old bytes may still lie in the database's files")
)

// Store is the register's tables.
type Store struct {
	db   db.DB
	ring *keyring.Ring
	log  *auditlog.Log
	turn turn

	canaries canary.Marks
	displace func(ctx context.Context, ids []uuid.UUID) error // set by the gate

	shredded shredded
	lost     lost // in a refill, once opened never changed
	guarded  bool // every version's row carries a MAC
}

// Open gives the store of a database.
func Open(d db.DB, ring *keyring.Ring, log *auditlog.Log) *Store {
	return &Store{db: d, ring: ring, log: log, turn: make(turn, 1), canaries: canary.New(ring)}
}

// turn lets one change of the register happen at a time, from looking up who has
// a ref or a number to the commit that gives it away: a blind index can't be
// unique by itself, since former values stay in it. One process leads a log and
// so writes its register; several would need a table of claims.
type turn chan struct{}

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) give() { <-t }

// Sealed is what the tables hold of one participant.
type Sealed struct {
	Key      keyring.DataKey // Wrapped is nil once the participant is shredded
	Versions []Version       // oldest first
	Known    auditlog.Known  // of the participant's events
}

// Version is one version's row.
type Version struct {
	No     int64
	Job    int64 // the import that wrote it, or for a change -1 - its event's index
	Fields field.Set
	Digest []byte // of an imported version that ends its row
	Packed []byte
	MAC    []byte
}

// Latest is the newest version's number.
func (s *Sealed) Latest() int64 { return s.Versions[len(s.Versions)-1].No }

// At finds which version set a field, as seen from a version of the record; 0
// means that the field was never set.
func (s *Sealed) At(f field.Field, version int64) int64 {
	for i := len(s.Versions) - 1; i >= 0; i-- {
		if v := s.Versions[i]; v.No <= version && v.Fields.Has(f) {
			return v.No
		}
	}
	return 0
}

// Envelope is a field's sealed value as set in a version.
func (s *Sealed) Envelope(f field.Field, version int64) ([]byte, error) {
	var envelope []byte
	for _, v := range s.Versions {
		if v.No != version {
			continue
		}
		if err := keyring.Unpack(v.Packed, func(g field.Field, sealed []byte) {
			if g == f {
				envelope = sealed
			}
		}); err != nil {
			return nil, err
		}
	}
	if envelope == nil {
		return nil, fmt.Errorf("version %d of the record has no %s", version, f)
	}
	return envelope, nil
}

const (
	fetchColumns = `SELECT v.participant_id, v.version, v.job, v.fields, v.digest, v.packed, v.mac, coalesce(k.key_no, 0), coalesce(k.epoch, 0), k.wrapped,
		(SELECT e.line FROM log_event e WHERE e.participant_id = v.participant_id AND e.action = 7 ORDER BY e.log_id DESC, e.idx DESC LIMIT 1), `
	fetchFrom = ` FROM register_version v LEFT JOIN keyring_participant k ON k.participant_id = v.participant_id WHERE `
)

var (
	fetchWithSeq = fetchColumns + auditlog.LastSeq("$1", "v.participant_id") + fetchFrom
	fetchRows    = fetchColumns + "0 * $1" + fetchFrom
)

// Fetched is what a fetch found: participants, and in their place what is wrong
// with the rows of those whose rows can't be believed. Who doesn't exist is in
// neither.
type Fetched struct {
	Sealed map[uuid.UUID]*Sealed
	Wrong  map[uuid.UUID]error
}

// all is the participants, or the first thing that is wrong.
func (f Fetched) all(err error) (map[uuid.UUID]*Sealed, error) {
	for _, wrong := range f.Wrong {
		err = errors.Join(err, wrong)
	}
	if err != nil {
		return nil, err
	}
	return f.Sealed, nil
}

// Fetch reads several participants at once, for an event about each.
func (s *Store) Fetch(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*Sealed, error) {
	f, err := s.FetchEach(ctx, ids)
	return f.all(err)
}

// FetchEach is Fetch for callers each of whom wants one of them: what is wrong
// with one's rows is no other's matter.
func (s *Store) FetchEach(ctx context.Context, ids []uuid.UUID) (Fetched, error) {
	// Taken before the query, so that the query sees at least so many events.
	known := auditlog.Known{AsOf: s.log.Committed(), Valid: true}
	return s.fetch(ctx, fetchWithSeq, ids, known)
}

// FetchRows reads several participants at once, for a job whose set event
// speaks of them all: without what is known of each one's events.
func (s *Store) FetchRows(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*Sealed, error) {
	f, err := s.fetch(ctx, fetchRows, ids, auditlog.Known{})
	return f.all(err)
}

// fetch reads and guards. Its caller holds no transaction, since an alarm is an
// event.
func (s *Store) fetch(ctx context.Context, query string, ids []uuid.UUID, known auditlog.Known) (Fetched, error) {
	wasShredded := s.shredded.certain(ids)
	found, changes, err := s.read(ctx, query, ids, known)
	if err != nil {
		return Fetched{}, fmt.Errorf("read from the register: %w", err)
	}
	f := Fetched{Sealed: found}
	for id, p := range found {
		slices.SortFunc(p.Versions, func(a, b Version) int { return int(a.No - b.No) })
		if wrong := s.guard(p, changes[id], wasShredded[id]); wrong != nil {
			if f.Wrong == nil {
				f.Wrong = map[uuid.UUID]error{}
			}
			f.Wrong[id] = s.raise(ctx, wrong)
			delete(found, id)
		}
	}
	return f, nil
}

// Tampered records an alarm about a row and returns the error that refuses it.
func (s *Store) Tampered(ctx context.Context, table, key, kind string) error {
	return s.raise(ctx, tampered(table, key, "%s", kind))
}

// raise records the alarm that an error speaks of, if it does.
func (s *Store) raise(ctx context.Context, wrong error) error {
	var t *auditlog.Tampered
	if errors.As(wrong, &t) {
		if err := s.log.Raise(ctx, t.Tampering); err != nil {
			return errors.Join(wrong, err)
		}
	}
	return wrong
}

func (s *Store) read(ctx context.Context, query string, ids []uuid.UUID, known auditlog.Known) (found map[uuid.UUID]*Sealed, changes map[uuid.UUID][]byte, err error) {
	keys := make([][]byte, len(ids))
	for i := range ids {
		keys[i] = ids[i][:]
	}
	in, args := s.db.In("v.participant_id", 2, keys)
	rows, err := s.db.Query(ctx, query+in, append([]any{s.log.ID()}, args...)...)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	found, changes = make(map[uuid.UUID]*Sealed, len(ids)), map[uuid.UUID][]byte{}
	for rows.Next() {
		var id, wrapped, change []byte
		var fields, no, epoch, seq int64
		var v Version
		if err := rows.Scan(&id, &v.No, &v.Job, &fields, &v.Digest, &v.Packed, &v.MAC, &no, &epoch, &wrapped, &change, &seq); err != nil {
			return nil, nil, err
		}
		p := found[uuid.UUID(id)]
		if p == nil {
			known.Seq = seq
			p = &Sealed{Key: keyring.DataKey{ID: uuid.UUID(id), No: no, Epoch: epoch, Wrapped: wrapped}, Known: known}
			found[p.Key.ID] = p
			if change != nil {
				changes[p.Key.ID] = change
			}
		}
		v.Fields = fieldSet(fields)
		p.Versions = append(p.Versions, v)
	}
	return found, changes, rows.Err()
}

// fieldSet is a row's mask. One that no set has makes a set that no row was
// written with, so that its MAC fails.
func fieldSet(mask int64) field.Set {
	if mask < 0 || mask > math.MaxUint32 {
		return 0
	}
	return field.Set(mask)
}

// Count is the number of participants whose data key exists.
func (s *Store) Count(ctx context.Context) (n int64, err error) {
	err = s.db.QueryRow(ctx, "SELECT count(*) FROM keyring_participant", nil, &n)
	return n, err
}

// EachID calls f with the participants in order of id, starting after one, in
// groups of at most a thousand; f gets each with its newest version.
func (s *Store) EachID(ctx context.Context, f func(ids []uuid.UUID, versions []int64) error) error {
	after := make([]byte, 16)
	for {
		ids, versions, err := s.idsAfter(ctx, after)
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := f(ids, versions); err != nil {
			return err
		}
		after = ids[len(ids)-1][:]
	}
}

func (s *Store) idsAfter(ctx context.Context, after []byte) (ids []uuid.UUID, versions []int64, err error) {
	rows, err := s.db.Query(ctx, `SELECT participant_id, max(version) FROM register_version WHERE participant_id > $1
		GROUP BY participant_id ORDER BY participant_id LIMIT 1000`, after)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id []byte
		var version int64
		if err := rows.Scan(&id, &version); err != nil {
			return nil, nil, err
		}
		ids, versions = append(ids, uuid.UUID(id)), append(versions, version)
	}
	return ids, versions, rows.Err()
}
