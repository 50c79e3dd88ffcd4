package canary_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"testing"

	"azekura/gate/canary"
	"azekura/internal/db"
	"azekura/internal/installation"
	"azekura/keyring"
	"azekura/register/field"

	"github.com/google/uuid"
)

// seen is what the database's administrator sees of one participant.
type seen struct {
	id       uuid.UUID
	job      int64 // of the first version
	jobs     map[int64]bool
	place    int // of the first version's row among the table's rows
	versions int
	fields   field.Set
	lengths  [32]int // of the first version's envelopes
	total    int     // bytes of all versions
	digests  int
	keyPlace int
	wrapped  []byte
	epoch    int64
	tokens   []string
	events   int
}

// dump reads all tables as their administrator does, in the order of their rows.
func dump(t *testing.T, i *installation.Installation) []*seen {
	t.Helper()
	place, keyPlace := "rowid", "participant_id"
	if i.DB.Engine() != db.SQLite {
		place, keyPlace = "ctid", "ctid"
	}
	people := map[uuid.UUID]*seen{}
	n := 0
	query(t, i, "SELECT participant_id, job, fields, packed, coalesce(length(digest), 0) FROM register_version ORDER BY "+place, func(scan func(...any) error) error {
		var id, packed []byte
		var job, fields int64
		var digest int
		if err := scan(&id, &job, &fields, &packed, &digest); err != nil {
			return err
		}
		n++
		p := people[uuid.UUID(id)]
		if p == nil {
			p = &seen{id: uuid.UUID(id), job: job, jobs: map[int64]bool{}, place: n, fields: field.Set(fields)}
			people[p.id] = p
			if err := keyring.Unpack(packed, func(f field.Field, sealed []byte) { p.lengths[f] = len(sealed) }); err != nil {
				return err
			}
		}
		p.jobs[job] = true
		p.versions, p.total, p.digests = p.versions+1, p.total+len(packed), p.digests+digest
		return nil
	})
	n = 0
	query(t, i, "SELECT participant_id, epoch, wrapped FROM keyring_participant ORDER BY "+keyPlace, func(scan func(...any) error) error {
		var id, wrapped []byte
		var epoch int64
		if err := scan(&id, &epoch, &wrapped); err != nil {
			return err
		}
		n++
		p := people[uuid.UUID(id)]
		p.keyPlace, p.epoch, p.wrapped = n, epoch, bytes.Clone(wrapped)
		return nil
	})
	for _, table := range []string{"register_index_0", "register_index_1"} {
		query(t, i, "SELECT token, participant_id FROM "+table, func(scan func(...any) error) error {
			var token, id []byte
			err := scan(&token, &id)
			p := people[uuid.UUID(id)]
			p.tokens = append(p.tokens, string(token))
			return err
		})
	}
	query(t, i, "SELECT participant_id FROM log_event WHERE participant_id IS NOT NULL", func(scan func(...any) error) error {
		var id []byte
		err := scan(&id)
		people[uuid.UUID(id)].events++
		return err
	})
	list := make([]*seen, 0, len(people))
	for _, p := range people {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *seen) int { return cmp.Compare(a.place, b.place) })
	return list
}

func query(t *testing.T, i *installation.Installation, text string, each func(scan func(...any) error) error) {
	t.Helper()
	rows, err := i.DB.Query(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// moment is the time and the counter in an id.
func moment(id uuid.UUID) float64 {
	ms := binary.BigEndian.Uint64(id[:8]) >> 16
	return float64(ms)*4096 + float64(uint16(id[6]&0xf)<<8|uint16(id[7]))
}

// shapes are combinations of lengths by which a canary that was copied of somebody
// would be told: how often each occurs within the job is a feature.
var shapes = [][]field.Field{
	{field.Name, field.Kana, field.Romaji}, {field.Romaji, field.Email}, {field.Kana, field.Account}, {field.Address}, {field.Phone, field.Email},
	{field.Name, field.Kana, field.Romaji, field.Email, field.Account}, {field.Award, field.Account, field.Kana},
	{field.Name, field.Kana, field.Romaji, field.Address, field.Email, field.Account, field.Phone, field.Award},
}

func (p *seen) shape(of []field.Field) string {
	text := fmt.Sprint(p.job)
	for _, f := range of {
		text += fmt.Sprint(" ", p.lengths[f])
	}
	return text
}

// features are the dump as numbers. known leaves out who is known to be nobody's
// canary, for honest work touched or changed them, and says how many those are.
func features(list []*seen, marks canary.Marks) (samples []sample, known int) {
	shapeCount := map[string]int{}
	holders := map[string][]*seen{} // of each token
	first, last := map[int64]int{}, map[int64]int{}
	for at, p := range list {
		for _, of := range shapes {
			shapeCount[p.shape(of)]++
		}
		for _, token := range p.tokens {
			holders[token] = append(holders[token], p)
		}
		if _, ok := first[p.job]; !ok {
			first[p.job] = at
		}
		last[p.job] = at
	}
	byID := slices.Clone(list)
	slices.SortFunc(byID, func(a, b *seen) int { return bytes.Compare(a.id[:], b.id[:]) })
	rank := map[uuid.UUID]int{}
	for at, p := range byID {
		rank[p.id] = at
	}
	for at, p := range list {
		if p.events > 0 || len(p.jobs) > 1 {
			known++
			continue
		}
		x := append(p.own(), float64(rank[p.id]-at), float64(rank[p.id]), float64(at-first[p.job]), float64(last[p.job]-at), float64((at-first[p.job])%8))
		x = append(x, beside(byID, rank[p.id], func(o *seen) float64 { return moment(o.id) - moment(p.id) })...)
		x = append(x, beside(list, at, func(o *seen) float64 { return float64(o.place - p.place) })...)
		x = append(x, beside(list, at, func(o *seen) float64 { return float64(o.keyPlace - p.keyPlace) })...)
		x = append(x, beside(list, at, func(o *seen) float64 { return float64(o.total - p.total) })...)
		x = append(x, beside(list, at, func(o *seen) float64 { return float64(bits.OnesCount32(uint32(o.fields ^ p.fields))) })...)
		x = append(x, p.shared(holders)...)
		for _, of := range shapes {
			n := shapeCount[p.shape(of)]
			x = append(x, float64(min(n, 8)), weight(n == 1), weight(n == 2))
		}
		samples = append(samples, sample{x, marks.Is(p.id)})
	}
	return samples, known
}

// shared is with how many others a participant shares tokens, how many, and how far off
// the nearest of them stands; 0 where nobody does.
func (p *seen) shared(holders map[string][]*seen) []float64 {
	tokens, most, near := 0, 0, 0.0
	others := map[*seen]int{}
	for _, token := range p.tokens {
		if n := len(holders[token]); n > 1 {
			tokens, most = tokens+1, max(most, n)
		}
		for _, o := range holders[token] {
			if o != p {
				others[o]++
				if away := 1 / math.Abs(float64(o.place-p.place)); away > near {
					near = away
				}
			}
		}
	}
	closest := 0
	for _, n := range others {
		closest = max(closest, n)
	}
	return []float64{float64(len(p.tokens)), float64(tokens), float64(most), float64(len(others)), float64(closest), near, weight(near > 1.0/64)}
}

// own are a participant's own rows.
func (p *seen) own() []float64 {
	x := []float64{float64(len(p.jobs)), float64(p.versions), float64(p.total), float64(p.digests), float64(p.epoch), float64(len(p.wrapped)), float64(p.place), float64(p.keyPlace)}
	for f := range field.Field(len(p.lengths)) {
		x = append(x, weight(p.fields.Has(f)), float64(p.lengths[f]))
	}
	ones := 0
	for at, b := range p.id {
		ones += bits.OnesCount8(b)
		if at >= 6 {
			x = append(x, float64(b))
		}
	}
	x = append(x, float64(ones))
	for _, b := range p.wrapped[:8] {
		x = append(x, float64(b))
	}
	return x
}

// beside compares a participant with those before and behind it.
func beside(list []*seen, at int, with func(*seen) float64) []float64 {
	x := []float64{0, 0}
	if at > 0 {
		x[0] = with(list[at-1])
	}
	if at+1 < len(list) {
		x[1] = with(list[at+1])
	}
	return x
}
