package auditlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"azekura/internal/db"

	"golang.org/x/mod/sumdb/tlog"
)

// Refiller appends to a log's tables events that they have lost, as a mirror
// gives them back. Each Append is one transaction, so a refill that was killed
// goes on where the tables stand. It signs nothing: who calls it has held every line
// against a leaf hash that a signed head vouches for.
type Refiller struct{ log *Log }

// OpenRefill takes the lead of a log's tables as they stand; empty ones are a log
// without events.
func OpenRefill(ctx context.Context, d db.DB, logID int64, signer *Signer) (*Refiller, error) {
	l := &Log{id: logID, db: d, signer: signer}
	if err := l.lead(ctx); err != nil {
		return nil, err
	}
	size, root, err := l.head(ctx)
	if err != nil {
		return nil, err
	}
	if l.tree, err = loadTree(ctx, d, logID, size); err != nil {
		return nil, err
	}
	if l.tree.root() != root {
		return nil, fmt.Errorf("%w: the head's root isn't that of the %d events; a refill goes on from events that are whole", ErrSigner, size)
	}
	return &Refiller{l}, nil
}

// Head is how far the tables reach.
func (r *Refiller) Head() (size int64, root Hash) { return r.log.tree.size(), r.log.tree.root() }

// Append appends events, at most 2,048.
func (r *Refiller) Append(ctx context.Context, lines [][]byte) error {
	if len(lines) == 0 || len(lines) > maxBatch {
		return errors.New("a refill appends 1 to 2,048 events at once")
	}
	l := r.log
	b := &batch{tree: l.tree.clone()}
	for _, line := range lines {
		e, err := ParseLine(line)
		if err != nil || e.Index != b.tree.size() || e.Log != l.id {
			return fmt.Errorf("%w: what the mirror gives for event %d isn't that event's line", ErrSigner, b.tree.size())
		}
		b.tree.append(tlog.RecordHash(line))
		b.events.add(&e, line)
	}
	if err := l.db.Apply(ctx, b.stmts(l)); err != nil {
		return fmt.Errorf("append events %d to %d: %w", l.tree.size(), b.tree.size()-1, err)
	}
	b.tree.full = nil
	l.tree = b.tree
	return nil
}

// Blocks adds blocks of a set's members that the tables lack, from one number on;
// counts says how many members each has. One that is there must be the same.
func (r *Refiller) Blocks(ctx context.Context, setID, from int64, sealed [][]byte, counts []int64) error {
	have := map[int64]bool{}
	rows, err := r.log.db.Query(ctx, "SELECT block, sealed FROM log_set_block WHERE log_id = $1 AND set_id = $2 AND block >= $3 AND block < $4",
		r.log.id, setID, from, from+int64(len(sealed)))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var block int64
		var there []byte
		if err := rows.Scan(&block, &there); err != nil {
			return err
		}
		if !bytes.Equal(there, sealed[block-from]) {
			return fmt.Errorf("%w: block %d of a set isn't what the mirror holds", ErrSigner, block)
		}
		have[block] = true
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close()
	w := SetWriter{Info: SetInfo{ID: setID}}
	for i := range sealed {
		if block := from + int64(i); !have[block] {
			w.rows.block, w.rows.count, w.rows.sealed = append(w.rows.block, block), append(w.rows.count, counts[i]), append(w.rows.sealed, sealed[i])
		}
	}
	return w.Store(ctx, r.log.db, r.log.id)
}
