// Package register keeps the participants: their fields, versions and blind
// indexes, all sealed.
//
// It promises that every change is a new version and old ones stay; that a
// former name, address or number still finds its person; that nothing lies in
// its tables in the clear, and no row without an event in the audit log. It
// seals and stores, but it can't open: that is the gate's alone.
package register

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"

	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/keyring"
	"azekura/register/field"
	"azekura/register/value"

	"github.com/google/uuid"
)

//go:embed schema.sql
var schema string

// Migrations make this package's tables.
var Migrations = []db.Migration{{Name: "register/1-first", SQL: schema}}

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
}

// Open gives the store of a database.
func Open(d db.DB, ring *keyring.Ring, log *auditlog.Log) *Store {
	return &Store{db: d, ring: ring, log: log, turn: make(turn, 1)}
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
	Fields field.Set
	Packed []byte
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
	fetchColumns = `SELECT v.participant_id, v.version, v.fields, v.packed, coalesce(k.key_no, 0), coalesce(k.epoch, 0), k.wrapped, `
	fetchFrom    = ` FROM register_version v LEFT JOIN keyring_participant k ON k.participant_id = v.participant_id WHERE `
)

var (
	fetchWithSeq = fetchColumns + auditlog.LastSeq("$1", "v.participant_id") + fetchFrom
	fetchRows    = fetchColumns + "0 * $1" + fetchFrom
)

// Fetch reads several participants at once, for an event about each; those that
// don't exist are absent from the answer.
func (s *Store) Fetch(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*Sealed, error) {
	// Taken before the query, so that the query sees at least so many events.
	known := auditlog.Known{AsOf: s.log.Committed(), Valid: true}
	return s.fetch(ctx, fetchWithSeq, ids, known)
}

// FetchRows reads several participants at once, for a job whose set event
// speaks of them all: without what is known of each one's events.
func (s *Store) FetchRows(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*Sealed, error) {
	return s.fetch(ctx, fetchRows, ids, auditlog.Known{})
}

func (s *Store) fetch(ctx context.Context, query string, ids []uuid.UUID, known auditlog.Known) (map[uuid.UUID]*Sealed, error) {
	keys := make([][]byte, len(ids))
	for i := range ids {
		keys[i] = ids[i][:]
	}
	in, args := s.db.In("v.participant_id", 2, keys)
	rows, err := s.db.Query(ctx, query+in, append([]any{s.log.ID()}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("read from the register: %w", err)
	}
	defer rows.Close()
	found := make(map[uuid.UUID]*Sealed, len(ids))
	for rows.Next() {
		var id, packed, wrapped []byte
		var version, fields, no, epoch, seq int64
		if err := rows.Scan(&id, &version, &fields, &packed, &no, &epoch, &wrapped, &seq); err != nil {
			return nil, fmt.Errorf("read from the register: %w", err)
		}
		p := found[uuid.UUID(id)]
		if p == nil {
			known.Seq = seq
			p = &Sealed{Key: keyring.DataKey{ID: uuid.UUID(id), No: no, Epoch: epoch, Wrapped: wrapped}, Known: known}
			found[p.Key.ID] = p
		}
		p.Versions = append(p.Versions, Version{No: version, Fields: field.Set(fields), Packed: packed})
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read from the register: %w", err)
	}
	for _, p := range found {
		slices.SortFunc(p.Versions, func(a, b Version) int { return int(a.No - b.No) })
	}
	return found, nil
}

// Find lists the participants that an index form finds, at most limit of them.
func (s *Store) Find(ctx context.Context, form value.Form, limit int) ([]uuid.UUID, error) {
	token := s.token(form)
	rows, err := s.db.Query(ctx, "SELECT participant_id FROM register_index WHERE token = $1 ORDER BY participant_id LIMIT $2", token[:], limit)
	if err != nil {
		return nil, fmt.Errorf("search the register: %w", err)
	}
	defer rows.Close()
	var ids []uuid.UUID
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("search the register: %w", err)
		}
		ids = append(ids, uuid.UUID(id))
	}
	return ids, rows.Err()
}

// token is an index form's blind token. Each kind of form has a key of its own.
func (s *Store) token(form value.Form) keyring.Token {
	return s.ring.Token(form.Kind.String(), form.Text)
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

// The inserts, as columns.
var (
	insertKeys     = &db.Insert{Table: "keyring_participant", Columns: []string{"participant_id", "key_no", "epoch", "wrapped"}}
	insertVersions = &db.Insert{Table: "register_version", Columns: []string{"participant_id", "version", "created_us", "job", "fields", "digest", "packed"}}
	insertIndex    = &db.Insert{Table: "register_index", Columns: []string{"token", "participant_id"}, Suffix: "ON CONFLICT DO NOTHING"}
	insertSeen     = &db.Insert{Table: "register_unchanged", Columns: []string{"import_id", "token"}, Suffix: "ON CONFLICT DO NOTHING"}
	insertNewIndex = &db.Insert{Table: "register_index", Columns: []string{"token", "participant_id"}}
)

// rows gathers what one transaction inserts.
type rows struct {
	keys struct {
		id, wrapped [][]byte
		no, epoch   []int64
	}
	versions struct {
		id, digest, packed         [][]byte
		no, created, job, fieldSet []int64
	}
	index     []indexRow
	unchanged struct {
		job   []int64
		token [][]byte
	}
}

type indexRow struct {
	token keyring.Token
	id    uuid.UUID
}

func (r *rows) addKey(k keyring.DataKey) {
	r.keys.id = append(r.keys.id, k.ID[:])
	r.keys.wrapped = append(r.keys.wrapped, k.Wrapped)
	r.keys.no = append(r.keys.no, k.No)
	r.keys.epoch = append(r.keys.epoch, k.Epoch)
}

func (r *rows) addVersion(id uuid.UUID, v Version, created, job int64, digest []byte) {
	r.versions.id = append(r.versions.id, bytes.Clone(id[:]))
	r.versions.no = append(r.versions.no, v.No)
	r.versions.created = append(r.versions.created, created)
	r.versions.job = append(r.versions.job, job)
	r.versions.fieldSet = append(r.versions.fieldSet, int64(v.Fields))
	r.versions.digest = append(r.versions.digest, digest)
	r.versions.packed = append(r.versions.packed, v.Packed)
}

func (r *rows) addUnchanged(job int64, ref keyring.Token) {
	r.unchanged.job = append(r.unchanged.job, job)
	r.unchanged.token = append(r.unchanged.token, bytes.Clone(ref[:]))
}

// insert writes the rows. Index tokens go in sorted, so that neighbours in the
// tree are written together. fresh says that every participant is new, so that
// no token of theirs can be there already and COPY serves.
func (r *rows) insert(ctx context.Context, to db.Querier, fresh bool) error {
	if len(r.keys.id) > 0 {
		if err := to.Insert(ctx, insertKeys, r.keys.id, r.keys.no, r.keys.epoch, r.keys.wrapped); err != nil {
			return err
		}
	}
	if len(r.versions.id) > 0 {
		if err := to.Insert(ctx, insertVersions, r.versions.id, r.versions.no, r.versions.created, r.versions.job,
			r.versions.fieldSet, r.versions.digest, r.versions.packed); err != nil {
			return err
		}
	}
	if len(r.unchanged.job) > 0 {
		if err := to.Insert(ctx, insertSeen, r.unchanged.job, r.unchanged.token); err != nil {
			return err
		}
	}
	slices.SortFunc(r.index, func(a, b indexRow) int {
		if c := bytes.Compare(a.token[:], b.token[:]); c != 0 {
			return c
		}
		return bytes.Compare(a.id[:], b.id[:])
	})
	r.index = slices.Compact(r.index)
	tokens, ids := make([][]byte, len(r.index)), make([][]byte, len(r.index))
	for i := range r.index {
		tokens[i], ids[i] = r.index[i].token[:], r.index[i].id[:]
	}
	if len(tokens) == 0 {
		return nil
	}
	into := insertIndex
	if fresh {
		into = insertNewIndex
	}
	return to.Insert(ctx, into, tokens, ids)
}
