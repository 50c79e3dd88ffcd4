package register

import (
	"bytes"
	"context"

	"azekura/internal/db"
	"azekura/keyring"

	"github.com/google/uuid"
)

// The inserts, as columns.
var (
	insertKeys     = &db.Insert{Table: "keyring_participant", Columns: []string{"participant_id", "key_no", "epoch", "wrapped"}}
	insertVersions = &db.Insert{Table: "register_version", Columns: []string{"participant_id", "version", "job", "fields", "digest", "packed", "mac"}}
	insertSeen     = &db.Insert{Table: "register_unchanged", Columns: []string{"import_id", "token"}, Suffix: "ON CONFLICT DO NOTHING"}
)

// rows gathers what one transaction inserts.
type rows struct {
	keys struct {
		id, wrapped [][]byte
		no, epoch   []int64
	}
	versions struct {
		id, digest, packed, mac [][]byte
		no, job, fieldSet       []int64
	}
	index     map[int64]*indexRows // by epoch
	unchanged struct {
		job   []int64
		token [][]byte
	}
}

func (r *rows) addKey(k keyring.DataKey) {
	r.keys.id = append(r.keys.id, k.ID[:])
	r.keys.wrapped = append(r.keys.wrapped, k.Wrapped)
	r.keys.no = append(r.keys.no, k.No)
	r.keys.epoch = append(r.keys.epoch, k.Epoch)
}

func (r *rows) addVersion(id uuid.UUID, v Version, mac keyring.Token) {
	r.versions.id = append(r.versions.id, bytes.Clone(id[:]))
	r.versions.no = append(r.versions.no, v.No)
	r.versions.job = append(r.versions.job, v.Job)
	r.versions.fieldSet = append(r.versions.fieldSet, int64(v.Fields))
	r.versions.digest = append(r.versions.digest, v.Digest)
	r.versions.packed = append(r.versions.packed, v.Packed)
	r.versions.mac = append(r.versions.mac, bytes.Clone(mac[:]))
}

func (r *rows) addUnchanged(job int64, ref keyring.Token) {
	r.unchanged.job = append(r.unchanged.job, job)
	r.unchanged.token = append(r.unchanged.token, bytes.Clone(ref[:]))
}

// insert writes the rows. fresh says that every participant is new, so that
// no token of theirs can be there already and COPY serves.
func (r *rows) insert(ctx context.Context, to db.Querier, fresh bool) error {
	if len(r.keys.id) > 0 {
		if err := to.Insert(ctx, insertKeys, r.keys.id, r.keys.no, r.keys.epoch, r.keys.wrapped); err != nil {
			return err
		}
	}
	if len(r.versions.id) > 0 {
		if err := to.Insert(ctx, insertVersions, r.versions.id, r.versions.no, r.versions.job,
			r.versions.fieldSet, r.versions.digest, r.versions.packed, r.versions.mac); err != nil {
			return err
		}
	}
	if len(r.unchanged.job) > 0 {
		if err := to.Insert(ctx, insertSeen, r.unchanged.job, r.unchanged.token); err != nil {
			return err
		}
	}
	for _, list := range r.index {
		if err := list.insert(ctx, to, fresh); err != nil {
			return err
		}
	}
	return nil
}
