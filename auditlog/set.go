package auditlog

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"azekura/internal/db"
	"azekura/register/field"

	"github.com/transparency-dev/merkle/compact"
	"golang.org/x/mod/sumdb/tlog"
)

// Member is one participant in a set event: these fields, as they stood in
// this version of the record.
type Member struct {
	ID      ID
	Fields  field.Set
	Version int64
}

const (
	// BlockMembers is the number of members in a block; a power of two, so
	// that a block is a subtree of the set's tree.
	BlockMembers = 1024
	memberSize   = 16 + 4 + 4
)

// Sealer seals a block of members for storage. The keyring has one.
type Sealer func(setID, block int64, members []byte) []byte

// SetWriter gathers the members of one set event. Its memory is one block, and
// 32 bytes for each block before.
type SetWriter struct {
	Info SetInfo

	seal   Sealer
	buffer []byte
	tree   *compact.Range
	blocks [][32]byte
	rows   setRows
}

type setRows struct {
	block, count []int64
	sealed       [][]byte
}

// NewSet starts a set event for a job; id must be new (Log.NewSetID).
func NewSet(id int64, job string, opens bool, seal Sealer) *SetWriter {
	return &SetWriter{Info: SetInfo{ID: id, Job: job, Opens: opens}, seal: seal, tree: ranges.NewEmptyRange(0)}
}

// Add adds a member.
func (w *SetWriter) Add(m Member) {
	w.buffer = append(w.buffer, m.ID[:]...)
	w.buffer = binary.BigEndian.AppendUint32(w.buffer, uint32(m.Fields))
	w.buffer = binary.BigEndian.AppendUint32(w.buffer, uint32(m.Version))
	w.Info.Count++
	w.Info.Union |= m.Fields
	if len(w.buffer) == BlockMembers*memberSize {
		w.flush()
	}
}

func (w *SetWriter) flush() {
	if len(w.buffer) == 0 {
		return
	}
	leaves := make([]byte, 0, BlockMembers*hashSize)
	for at := 0; at < len(w.buffer); at += memberSize {
		leaf := tlog.RecordHash(w.buffer[at : at+memberSize])
		leaves = append(leaves, leaf[:]...)
	}
	begin := w.tree.End()
	if len(leaves) == BlockMembers*hashSize {
		root := subtree(leaves)
		// A whole block adjoins the whole blocks before it.
		block, _ := ranges.NewRange(begin, begin+BlockMembers, [][]byte{root[:]})
		_ = w.tree.AppendRange(block, nil)
	} else {
		for at := 0; at < len(leaves); at += hashSize {
			_ = w.tree.Append(leaves[at:at+hashSize:at+hashSize], nil)
		}
	}
	n := int64(len(w.blocks))
	w.blocks = append(w.blocks, sha256.Sum256(w.buffer))
	w.rows.block = append(w.rows.block, n)
	w.rows.count = append(w.rows.count, int64(len(w.buffer)/memberSize))
	w.rows.sealed = append(w.rows.sealed, w.seal(w.Info.ID, n, w.buffer))
	w.buffer = w.buffer[:0]
}

var setBlocks = &db.Insert{Table: "log_set_block", Columns: []string{"log_id", "set_id", "block", "count", "sealed"}}

// Store writes the blocks gathered so far; call it now and then in a long set.
func (w *SetWriter) Store(ctx context.Context, to db.Querier, logID int64) error {
	n := len(w.rows.block)
	if n == 0 {
		return nil
	}
	err := to.Insert(ctx, setBlocks, repeat(logID, n), repeat(w.Info.ID, n), w.rows.block, w.rows.count, w.rows.sealed)
	w.rows = setRows{}
	return err
}

// Finish writes what is left and fixes the root; the event's entry then takes
// the writer.
func (w *SetWriter) Finish(ctx context.Context, to db.Querier, logID int64) error {
	if w.Info.Count == 0 {
		return errors.New("a set event needs a member")
	}
	w.flush()
	root, err := w.tree.GetRootHash(nil)
	if err != nil {
		return fmt.Errorf("root of the set: %w", err)
	}
	w.Info.Root = Hash(root)
	return w.Store(ctx, to, logID)
}

func repeat(n int64, times int) []int64 {
	list := make([]int64, times)
	for i := range list {
		list[i] = n
	}
	return list
}

// DecodeMembers reads a block of members.
func DecodeMembers(encoded []byte) ([]Member, error) {
	if len(encoded)%memberSize != 0 {
		return nil, errors.New("a block of a set's members has a broken length")
	}
	members := make([]Member, len(encoded)/memberSize)
	for i := range members {
		row := encoded[i*memberSize:]
		members[i] = Member{ID: ID(row[:16]), Fields: field.Set(binary.BigEndian.Uint32(row[16:])),
			Version: int64(binary.BigEndian.Uint32(row[20:]))}
	}
	return members, nil
}

// EachBlock calls f with each sealed block of a set, in order.
func EachBlock(ctx context.Context, q db.Querier, logID, setID int64, f func(block int64, sealed []byte) error) error {
	rows, err := q.Query(ctx, "SELECT block, sealed FROM log_set_block WHERE log_id = $1 AND set_id = $2 ORDER BY block", logID, setID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var block int64
		var sealed []byte
		if err := rows.Scan(&block, &sealed); err != nil {
			return err
		}
		if err := f(block, sealed); err != nil {
			return err
		}
	}
	return rows.Err()
}

// CheckSet recomputes a set's root from its opened blocks, which must come in
// order, and refuses if the event's count, root or fields say otherwise.
type CheckSet struct {
	tree  *compact.Range
	union field.Set
	bad   bool
}

// NewCheckSet starts one.
func NewCheckSet() *CheckSet { return &CheckSet{tree: ranges.NewEmptyRange(0)} }

// Add takes the next block.
func (c *CheckSet) Add(encoded []byte) {
	c.bad = c.bad || len(encoded)%memberSize != 0
	for at := 0; at+memberSize <= len(encoded); at += memberSize {
		c.union |= field.Set(binary.BigEndian.Uint32(encoded[at+16:]))
		leaf := tlog.RecordHash(encoded[at : at+memberSize])
		_ = c.tree.Append(leaf[:], nil)
	}
}

// Agrees tells whether what was added is the set of the event.
func (c *CheckSet) Agrees(info *SetInfo) bool {
	if c.bad || int64(c.tree.End()) != info.Count || info.Count == 0 || c.union != info.Union {
		return false
	}
	root, err := c.tree.GetRootHash(nil)
	return err == nil && Hash(root) == info.Root
}
