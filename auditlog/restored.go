package auditlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"azekura/internal/db"
	"azekura/internal/slotfile"
)

var (
	// ErrRestored means that the signer's state came out of a backup, and that
	// nobody has said yet whether more was signed after it.
	ErrRestored = errors.New("the signer's state came out of a backup")
	// ErrFrozen means that a log takes no more events: the next one does.
	ErrFrozen = errors.New("the log is frozen; it goes on in the next one")
)

// Restored is what a signer's state says that was made from a backup.
type Restored struct {
	Size      int64 `json:"size"`      // of the signed head in the backup
	Confirmed bool  `json:"confirmed"` // that nothing was signed after it
}

func unconfirmedError(s *Signer) error {
	size, _ := s.Head()
	return fmt.Errorf("%w, which holds %d signed events, and whether more were signed after it isn't known here; nothing is opened on it. "+
		"If the old signer's folder still exists, put it in the place of this one. If nothing was recorded after the backup, say so: azekura log confirm. "+
		"If something may have been: azekura log refill from a mirror, or azekura log new --after-loss, by two people. See doc/operations.md, “A lost machine”",
		ErrRestored, size)
}

// RestoreSigner makes the state of a signer whose other files are in dir, from a
// signed head and the log that a backup held. It signs nothing until somebody
// confirms that nothing newer was signed (Confirm).
func RestoreSigner(ctx context.Context, q db.Querier, dir string, logID int64, checkpoint []byte) error {
	if err := os.Remove(filepath.Join(dir, "state")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	s, err := openSigner(dir)
	if err != nil {
		return err
	}
	size, root, err := OpenCheckpoint(checkpoint, s.origin, s.vkey)
	if err != nil {
		return err
	}
	t, err := loadTree(ctx, q, logID, size)
	if err != nil {
		return err
	}
	if t.root() != root {
		return fmt.Errorf("%w: the first %d events aren't those under the backup's signed head", ErrSigner, size)
	}
	state := signerState{Size: size, Edge: t.rng.Hashes(), Checkpoint: bytes.Clone(checkpoint), Restored: &Restored{Size: size}, HeadKey: newHeadKey()}
	body, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return slotfile.Create(filepath.Join(dir, "state"), body)
}

// Restored tells whether the state came out of a backup and isn't done with, and
// whether it still waits to be confirmed.
func (s *Signer) Restored() (restored, unconfirmed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.state.Restored
	return r != nil, r != nil && !r.Confirmed
}

// fileConfirmed keeps what two people signed, until the log holds it. It is
// longer than a state may be.
const fileConfirmed = "confirmed"

// Confirm lets a restored signer sign again: nothing was signed after its head.
// note is what says so, if anything does; ConfirmedBy gives it until EndRestored.
func (s *Signer) Confirm(note string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Restored == nil || s.state.Restored.Confirmed {
		return nil
	}
	if err := slotfile.Replace(filepath.Join(s.dir, fileConfirmed), []byte(note)); err != nil {
		return fmt.Errorf("keep who confirmed the restore: %w", err)
	}
	state := s.state
	state.Restored = &Restored{Size: state.Restored.Size, Confirmed: true}
	return s.keep(state, s.tree)
}

// ConfirmedBy is the note of Confirm, or empty.
func (s *Signer) ConfirmedBy() (string, error) {
	raw, err := os.ReadFile(filepath.Join(s.dir, fileConfirmed))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return string(raw), err
}

// EndRestored forgets that the state was restored, once the log says so.
func (s *Signer) EndRestored() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Restored == nil {
		return nil
	}
	state := s.state
	state.Restored = nil
	if err := s.keep(state, s.tree); err != nil {
		return err
	}
	err := os.Remove(filepath.Join(s.dir, fileConfirmed))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func freezes(events []Event) bool {
	for i := range events {
		if events[i].Action == System && events[i].Purpose == PurposeFreeze {
			return true
		}
	}
	return false
}

// Frozen tells whether the log takes no more events.
func (l *Log) Frozen() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.frozen
}

// HeadOf is the head that the database holds of a log.
func HeadOf(ctx context.Context, q db.Querier, logID int64) (size int64, root Hash, err error) {
	var raw []byte
	err = q.QueryRow(ctx, "SELECT size, root FROM log_head WHERE log_id = $1", []any{logID}, &size, &raw)
	if err != nil {
		return 0, root, fmt.Errorf("read the log's head: %w", err)
	}
	if len(raw) != hashSize {
		return 0, root, fmt.Errorf("%w: the head's root has %d bytes", ErrSigner, len(raw))
	}
	return size, Hash(raw), nil
}
