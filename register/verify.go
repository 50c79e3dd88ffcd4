package register

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/keyring"
	"azekura/register/field"

	"github.com/google/uuid"
)

// Verified is what Verify found.
type Verified struct {
	OK           bool                 `json:"ok"`
	Participants int64                `json:"participants" doc:"without canaries"`
	Versions     int64                `json:"versions"`
	Changes      int64                `json:"changes" doc:"change events held against their rows"`
	Members      int64                `json:"members" doc:"members of imports' set events held against their rows"`
	Tokens       int64                `json:"tokens" doc:"index rows held against the values that they were made of"`
	Problems     []auditlog.Tampering `json:"problems,omitempty" doc:"what isn't as it was written, at most 1,000"`
	More         int64                `json:"more,omitempty" doc:"further problems"`
	wrong        map[uuid.UUID]bool   // whose record can't be believed
}

// maxProblems bounds the list: where a thousand rows are wrong, nobody reads on.
const maxProblems = 1000

// Found adds a problem.
func (v *Verified) Found(table, key, kind string, args ...any) {
	v.OK = false
	if id, err := uuid.Parse(key); err == nil {
		if v.wrong == nil {
			v.wrong = map[uuid.UUID]bool{}
		}
		v.wrong[id] = true
	}
	if len(v.Problems) < maxProblems {
		v.Problems = append(v.Problems, auditlog.Tampering{Table: table, Key: key, Kind: fmt.Sprintf(kind, args...)})
	} else {
		v.More++
	}
}

// Verify holds every version's row and every data key against the log, in one
// snapshot and without opening a value: each row's MAC; each participant's
// versions from 1 on; each change event and its row; each member of an import's
// set event and its rows; each data key and its shredding. What the log itself
// says is for auditlog.Verify to vouch for. Each problem is an alarm.
func (s *Store) Verify(ctx context.Context, openMembers func(setID, block int64, sealed []byte) ([]byte, error), progress func(done int64)) (Verified, error) {
	// Shredded before the snapshot: the key must be gone in it.
	gone := s.shredded.all()
	snap, err := s.db.Snapshot(ctx)
	if err != nil {
		return Verified{}, fmt.Errorf("verify the register: %w", err)
	}
	v := &verifier{store: s, q: snap, gone: gone, open: openMembers, progress: progress, sums: map[int64]sum{}}
	v.OK = true
	err = v.rows(ctx)
	if err == nil {
		err = v.imports(ctx)
	}
	if cerr := snap.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return Verified{}, fmt.Errorf("verify the register: %w", err)
	}
	for _, p := range v.Problems {
		if err := s.log.Raise(ctx, p); err != nil {
			return v.Verified, err
		}
	}
	return v.Verified, nil
}

type verifier struct {
	Verified
	store    *Store
	q        *db.Snapshot
	gone     map[uuid.UUID]bool
	open     func(setID, block int64, sealed []byte) ([]byte, error)
	progress func(done int64)
	sums     map[int64]sum // by import: what the rows say less what the events do
}

// sum adds up keyed hashes of members: two lists have the same sum only if they
// are the same, in whatever order, but for who holds the key.
type sum [2]uint64

func (v *verifier) count(job int64, m auditlog.Member, times uint64) {
	text := binary.BigEndian.AppendUint32(append(make([]byte, 0, 24), m.ID[:]...), uint32(m.Fields))
	mac := v.store.ring.MAC("member", binary.BigEndian.AppendUint32(text, uint32(m.Version)))
	at := v.sums[job]
	at[0] += times * binary.BigEndian.Uint64(mac[:])
	at[1] += times * binary.BigEndian.Uint64(mac[8:])
	v.sums[job] = at
}

// page is how many rows are held at a time.
const page = 4096

// rows goes through the register in order of participant.
func (v *verifier) rows(ctx context.Context) error {
	after, limit := make([]byte, 16), page
	last := bytes.Repeat([]byte{0xff}, 17) // behind every id
	for {
		list, err := v.versions(ctx, after, limit)
		if err != nil {
			return err
		}
		upTo := last
		if len(list) == limit { // the last one's versions may go on
			at := len(list)
			for at > 0 && list[at-1].id == list[limit-1].id {
				at--
			}
			if list = list[:at]; at == 0 {
				limit *= 2
				continue
			}
			upTo = bytes.Clone(list[at-1].id[:])
		}
		if err := v.page(ctx, list, after, upTo); err != nil {
			return err
		}
		if len(upTo) > 16 {
			return nil
		}
		after, limit = upTo, page
	}
}

type versionRow struct {
	id uuid.UUID
	Version
}

func (v *verifier) versions(ctx context.Context, after []byte, limit int) ([]versionRow, error) {
	rows, err := v.q.Query(ctx, `SELECT participant_id, version, job, fields, digest, packed, mac FROM register_version
		WHERE participant_id > $1 ORDER BY participant_id, version LIMIT $2`, after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []versionRow
	for rows.Next() {
		var r versionRow
		var id []byte
		var fields int64
		if err := rows.Scan(&id, &r.No, &r.Job, &fields, &r.Digest, &r.Packed, &r.MAC); err != nil {
			return nil, err
		}
		if r.id, err = uuid.FromBytes(id); err != nil {
			v.Found("register_version", "-", "a row's participant has an id of %d bytes", len(id))
			continue
		}
		r.Fields = fieldSet(fields)
		list = append(list, r)
	}
	return list, rows.Err()
}

// page holds participants' versions against their changes and keys.
func (v *verifier) page(ctx context.Context, list []versionRow, after, upTo []byte) error {
	changes, err := v.changes(ctx, after, upTo)
	if err != nil {
		return err
	}
	keys, err := v.keys(ctx, after, upTo)
	if err != nil {
		return err
	}
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].id == list[0].id {
			n++
		}
		id := list[0].id
		v.participant(list[:n], changes[id], keys[id])
		delete(changes, id)
		delete(keys, id)
		list = list[n:]
	}
	for id, events := range changes {
		for _, e := range events {
			if v.store.lost.change(&e) {
				continue
			}
			v.Found("register_version", id.String(), kindGone, e.Fields[0].Version, e.Index)
		}
	}
	for id := range keys {
		v.Found("keyring_participant", id.String(), kindNoVersion)
	}
	if v.progress != nil {
		v.progress(v.Participants)
	}
	return nil
}

func (v *verifier) changes(ctx context.Context, after, upTo []byte) (map[uuid.UUID][]auditlog.Event, error) {
	rows, err := v.q.Query(ctx, "SELECT line FROM log_event WHERE action = 7 AND participant_id > $1 AND participant_id <= $2", after, upTo)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := map[uuid.UUID][]auditlog.Event{}
	for rows.Next() {
		var line []byte
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		e, err := auditlog.ParseLine(line)
		if err != nil || e.Action != auditlog.Change || len(e.Fields) == 0 {
			v.Found("log_event", "-", "the row of a change holds another line; azekura log verify names it")
			continue
		}
		list[e.Participant] = append(list[e.Participant], e)
		v.Changes++
	}
	return list, rows.Err()
}

func (v *verifier) keys(ctx context.Context, after, upTo []byte) (map[uuid.UUID]bool, error) {
	rows, err := v.q.Query(ctx, "SELECT participant_id, key_no, epoch, wrapped FROM keyring_participant WHERE participant_id > $1 AND participant_id <= $2", after, upTo)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := map[uuid.UUID]bool{}
	for rows.Next() {
		var id []byte
		var k keyring.DataKey
		if err := rows.Scan(&id, &k.No, &k.Epoch, &k.Wrapped); err != nil {
			return nil, err
		}
		if k.ID, err = uuid.FromBytes(id); err != nil {
			v.Found("keyring_participant", "-", "a row's participant has an id of %d bytes", len(id))
			continue
		}
		list[k.ID] = true
		if _, err := v.store.ring.Participant(k); err != nil {
			v.Found("keyring_participant", k.ID.String(), "the data key's row was altered, or is another's")
		}
	}
	return list, rows.Err()
}

func (v *verifier) participant(list []versionRow, changes []auditlog.Event, key bool) {
	id := list[0].id
	if !v.store.canaries.Is(id) {
		v.Participants++
	}
	imported := map[int64]auditlog.Member{}
	want := int64(1)
	for i := range list {
		r := &list[i]
		v.Versions++
		if r.No != want {
			v.Found("register_version", id.String(), kindGap, want)
		}
		want = r.No + 1
		if !v.store.genuine(id, &r.Version) {
			v.Found("register_version", id.String(), kindAltered, r.No)
		}
		if index, change := changeOf(r.Job); change {
			at := slices.IndexFunc(changes, func(e auditlog.Event) bool {
				return e.Index == index && e.Fields[0].Version == r.No && fieldsOf(&e) == r.Fields
			})
			if at < 0 {
				v.Found("register_version", id.String(), "no event of the log wrote the row of version %d", r.No)
				continue
			}
			changes = slices.Delete(changes, at, at+1)
			continue
		}
		m := imported[r.Job]
		imported[r.Job] = auditlog.Member{ID: id, Fields: m.Fields | r.Fields, Version: max(m.Version, r.No)}
	}
	for job, m := range imported {
		v.count(job, m, 1)
	}
	for _, e := range changes {
		if v.store.lost.change(&e) {
			continue
		}
		v.Found("register_version", id.String(), kindGone, e.Fields[0].Version, e.Index)
	}
	switch {
	case key && v.gone[id]:
		v.Found("keyring_participant", id.String(), KindKeyBack)
	case !key && !v.store.shredded.has(id):
		v.Found("keyring_participant", id.String(), kindKeyGone)
	}
}

func fieldsOf(e *auditlog.Event) (set field.Set) {
	for _, f := range e.Fields {
		set |= field.SetOf(f.Field)
	}
	return set
}

type importSet struct {
	log, index int64
	info       auditlog.SetInfo
	job        int64
}

// imports holds the members of imports' set events against the rows' sums, and
// names whom an import that doesn't add up is about.
func (v *verifier) imports(ctx context.Context) error {
	sets, err := v.importSets(ctx)
	if err != nil {
		return err
	}
	for _, set := range sets {
		if err := v.eachMember(ctx, set, true, func(m auditlog.Member) {
			v.Members++
			v.count(set.job, m, ^uint64(0))
		}); err != nil {
			return err
		}
	}
	for job, left := range v.sums {
		if left != (sum{}) {
			if err := v.blame(ctx, job, sets); err != nil {
				return err
			}
		}
	}
	return nil
}

// blame compares one import's members with its rows, one by one. It takes 40
// bytes a member.
func (v *verifier) blame(ctx context.Context, job int64, sets []importSet) error {
	members, lost := map[uuid.UUID]auditlog.Member{}, v.store.lost.imports[job]
	for _, set := range sets {
		if set.job != job {
			continue
		}
		if err := v.eachMember(ctx, set, false, func(m auditlog.Member) { members[m.ID] = m }); err != nil {
			return err
		}
	}
	rows, err := v.q.Query(ctx, "SELECT participant_id, max(version) FROM register_version WHERE job = $1 GROUP BY participant_id", job)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var raw []byte
		var last int64
		if err := rows.Scan(&raw, &last); err != nil {
			return err
		}
		id, err := uuid.FromBytes(raw)
		if err != nil {
			continue // named already
		}
		m, known := members[id]
		switch delete(members, id); {
		case !known:
			v.Found("register_version", id.String(), "no set event of the import that the row of version %d names has this participant", last)
		case m.Version != last && !lost:
			v.Found("register_version", id.String(), "an import's set event says version %d, and the import's last row is version %d", m.Version, last)
		}
	}
	if lost {
		return rows.Err()
	}
	for id, m := range members {
		v.Found("register_version", id.String(), "the row of version %d is gone, which an import wrote", m.Version)
	}
	return rows.Err()
}

const importJob = "import "

func (v *verifier) importSets(ctx context.Context) ([]importSet, error) {
	rows, err := v.q.Query(ctx, "SELECT line FROM log_event WHERE action = 8 ORDER BY log_id, idx")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []importSet
	for rows.Next() {
		var line []byte
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		e, err := auditlog.ParseLine(line)
		if err != nil || e.Set == nil {
			v.Found("log_event", "-", "the row of a set event holds another line; azekura log verify names it")
			continue
		}
		name, isImport := strings.CutPrefix(e.Set.Job, importJob)
		job, err := strconv.ParseUint(name, 16, 63)
		if isImport && err == nil && !e.Set.Opens {
			list = append(list, importSet{e.Log, e.Index, *e.Set, int64(job)})
		}
	}
	return list, rows.Err()
}

// eachMember opens a set's members; say is whether to name what is wrong.
func (v *verifier) eachMember(ctx context.Context, set importSet, say bool, f func(auditlog.Member)) error {
	check := auditlog.NewCheckSet()
	err := auditlog.EachBlock(ctx, v.q, set.log, set.info.ID, func(block int64, sealed []byte) error {
		encoded, err := v.open(set.info.ID, block, sealed)
		if err != nil {
			return nil // the set doesn't agree with its event then
		}
		check.Add(encoded)
		members, err := auditlog.DecodeMembers(encoded)
		for _, m := range members {
			f(m)
		}
		return err
	})
	if err == nil && say && !check.Agrees(&set.info) {
		v.Found("log_set_block", strconv.FormatInt(set.index, 10), "the members of set event %d aren't those that it was made for", set.index)
	}
	return err
}
