package auditlog

import (
	"context"
	"errors"
	"fmt"

	"azekura/internal/db"

	"golang.org/x/mod/sumdb/tlog"
)

// head is a size and the root that something signed gives for it.
type head struct {
	size int64
	root Hash
}

// heads are the roots that the signer knows for sizes up to one: those over the
// first of its last head's perfect subtrees, and the last heads of earlier keys.
func (s *Signer) heads(upTo int64) ([]head, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []head
	t := newTree()
	size := int64(0)
	for bit, at := 62, 0; bit >= 0; bit-- {
		if s.state.Size>>bit&1 == 0 {
			continue
		}
		begin := uint64(size)
		size += 1 << bit
		if size > upTo {
			break
		}
		block, err := ranges.NewRange(begin, uint64(size), s.state.Edge[at:at+1])
		if err == nil {
			err = t.rng.AppendRange(block, nil)
		}
		if err != nil {
			return nil, fmt.Errorf("read the signer's subtrees: %w", err)
		}
		list = append(list, head{size, t.root()})
		at++
	}
	for _, k := range s.keys {
		if k.Until > upTo {
			continue
		}
		size, root, err := OpenCheckpoint([]byte(k.Checkpoint), s.origin, k.Key)
		if err != nil {
			return nil, err
		}
		list = append(list, head{size, root})
	}
	return list, nil
}

// Proven is how many of a log's first events the signer can hold against what was
// signed, where the rows of no more than held are left. Of those behind nothing
// here tells whether they are what was signed.
func (s *Signer) Proven(held int64) (int64, error) {
	list, err := s.heads(held)
	proven := int64(0)
	for _, h := range list {
		proven = max(proven, h.size)
	}
	return proven, err
}

// CheckHeld reads the lines that are left of a log whose end is lost. They must
// give the root that is believed from then on, and every root on the way that the
// signer knows.
func CheckHeld(ctx context.Context, q db.Querier, logID, held int64, root Hash, signer *Signer) error {
	known, err := signer.heads(held)
	if err != nil {
		return err
	}
	want := map[int64][]Hash{held: {root}}
	for _, h := range known {
		want[h.size] = append(want[h.size], h.root)
	}
	return eachHeld(ctx, q, logID, held, want, nil)
}

// eachHeld hands each the events of authority of a log's first held, and compares
// the roots on the way with those that are known. What each was given counts only if
// the answer is nil.
func eachHeld(ctx context.Context, q db.Querier, logID, held int64, want map[int64][]Hash, each func(Event) error) error {
	t := newTree()
	check := func() error {
		for _, h := range want[t.size()] {
			if t.root() != h {
				return fmt.Errorf("%w: the first %d events aren't those that were signed; put back a better copy of the database first", ErrSigner, t.size())
			}
		}
		return nil
	}
	if err := check(); err != nil {
		return err
	}
	return eachLine(ctx, q, logID, 0, held, func(index int64, line []byte) error {
		leaf, err := leafOf(index, line)
		if err != nil {
			return err
		}
		if each != nil && leaf.Authority {
			e, err := ParseLine(line)
			if err == nil {
				err = each(e)
			}
			if err != nil {
				return err
			}
		}
		t.append(leaf.Hash)
		t.full = nil
		return check()
	})
}

// HeldAuthority calls f with the events of authority that are left of a log whose
// end is lost, as far as the signer can hold them against what was signed, and
// with all of those logs that it continues. It takes no lead. What f made of them
// counts only if the answer is nil; it is ErrBehindSigner where the end of a log that
// others continue is lost.
func HeldAuthority(ctx context.Context, q db.Querier, logID int64, signer *Signer, f func(Event) error) error {
	held, err := heldOf(ctx, q, logID)
	if err != nil {
		return err
	}
	known, err := signer.heads(held)
	if err != nil {
		return err
	}
	for _, p := range signer.Past() {
		left, err := heldOf(ctx, q, p.LogID)
		if err != nil {
			return err
		}
		if left < p.Size {
			return fmt.Errorf("%w: of the earlier log %d it holds %d events, and must hold %d", ErrBehindSigner, p.LogID, left, p.Size)
		}
		if err := eachHeld(ctx, q, p.LogID, p.Size, map[int64][]Hash{p.Size: {p.Root}}, f); err != nil {
			return err
		}
	}
	proven, want := int64(0), map[int64][]Hash{}
	for _, h := range known {
		proven = max(proven, h.size)
		want[h.size] = append(want[h.size], h.root)
	}
	return eachHeld(ctx, q, logID, proven, want, f)
}

// heldOf is how many events the database says that it holds of a log.
func heldOf(ctx context.Context, q db.Querier, logID int64) (int64, error) {
	held, _, err := HeadOf(ctx, q, logID)
	if errors.Is(err, db.ErrNoRows) {
		return 0, nil
	}
	return held, err
}

// Event reads an event under the signed head, its line held against the tree's
// root: a line in a full tile is in no tree that an opening makes anew.
func (l *Log) Event(ctx context.Context, index int64) (e Event, err error) {
	size, root := l.signer.Head()
	hashes, err := l.Hashes(ctx, size)
	if err != nil {
		return e, err
	}
	proof, err := tlog.ProveRecord(size, index, hashes)
	if err != nil {
		return e, fmt.Errorf("%w: event %d can't be held against the signed head: %w; run azekura log verify", ErrSigner, index, err)
	}
	err = eachLine(ctx, l.db, l.id, index, index+1, func(_ int64, line []byte) (err error) {
		if tlog.CheckRecord(proof, size, root, index, tlog.RecordHash(line)) != nil {
			return fmt.Errorf("%w: event %d isn't the one that was signed; run azekura log verify", ErrSigner, index)
		}
		e, err = ParseLine(line)
		return err
	})
	return e, err
}
