package witness

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"azekura/internal/slotfile"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// maxNote bounds a checkpoint with its log's signatures, so that it fits the
// state's slot.
const maxNote = 5 << 10

// head is the state of a log: the last head that was cosigned.
type head struct {
	Size int64  `json:"size"`
	Root []byte `json:"root"`
	Note string `json:"note,omitempty"` // with the log's signatures
}

func (h head) root() tlog.Hash { return tlog.Hash(h.Root) }

func parseHead(raw []byte) (head, error) {
	var h head
	if err := json.Unmarshal(raw, &h); err != nil {
		return h, err
	}
	if len(h.Root) != tlog.HashSize || h.Size < 0 {
		return h, errors.New("the state has no root, or no size")
	}
	return h, nil
}

func readHead(home string) (head, error) {
	raw, err := slotfile.Read(filepath.Join(home, stateFile))
	if err != nil {
		return head{}, err
	}
	return parseHead(raw)
}

// watched is a log under a witness's eyes. One request at a time is at it: the
// old size is compared and the new one stored as one step.
type watched struct {
	home string

	mu       sync.Mutex
	settings LogSettings
	read     time.Time // the settings' file's, when they were read
	keys     []note.Verifier
	file     *slotfile.File
	head     head
	mirror   *mirror
}

func openLog(home string, settings LogSettings) (*watched, error) {
	keys, err := verifiers(settings.Keys)
	if err != nil {
		return nil, err
	}
	file, raw, err := slotfile.Open(filepath.Join(home, stateFile))
	if err != nil {
		return nil, fmt.Errorf("open the state of %s: %w", settings.Origin, err)
	}
	l := &watched{home: home, settings: settings, keys: keys, file: file}
	if l.head, err = parseHead(raw); err != nil {
		return nil, errors.Join(fmt.Errorf("read the state of %s: %w", settings.Origin, err), file.Close())
	}
	return l, nil
}

func (l *watched) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.file.Close(), l.mirror.close())
}

// reload reads the settings again, for what was added since.
func (l *watched) reload() error {
	info, err := os.Stat(filepath.Join(l.home, logFile)) // before it is read: a change behind it is seen the next time
	if err != nil {
		return err
	}
	settings, err := readLog(l.home)
	if err != nil {
		return err
	}
	keys, err := verifiers(settings.Keys)
	if err != nil {
		return err
	}
	l.settings, l.keys, l.read = settings, keys, info.ModTime()
	return nil
}

// verified is Checkpoint.Verified with the log's keys, read anew where they have
// changed. A key that handed on still speaks for the heads until then, and so can
// be told what came after; for more it can't.
func (l *watched) verified(c Checkpoint, signed []byte) ([]byte, error) {
	if info, err := os.Stat(filepath.Join(l.home, logFile)); err != nil || !info.ModTime().Equal(l.read) {
		if err := l.reload(); err != nil {
			return nil, err
		}
	}
	kept, err := c.Verified(signed, l.keys)
	if errors.Is(err, ErrSignature) {
		kept, err = l.byRetired(c, signed)
	}
	return kept, err
}

// Conflict says that the last head that was cosigned has another size than the
// request says.
type Conflict struct{ Size int64 }

func (c Conflict) Error() string {
	return fmt.Sprintf("the last head that was cosigned has the size %d", c.Size)
}

// ErrFork means that a head has the size of the one that was cosigned, and
// another root: the log has two histories.
var ErrFork = errors.New("at this size another root was cosigned")

// Cosign checks a request as C2SP tlog-witness has it and returns the note
// signature lines of the witness's keys, once the new head is synced.
func (w *Witness) Cosign(r Request) ([]byte, error) {
	l, err := w.find(LogName(r.Checkpoint.Origin))
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	kept, err := l.verified(r.Checkpoint, r.Note)
	if err != nil {
		return nil, err
	}
	if err := l.advance(r, kept); err != nil {
		return nil, err
	}
	return w.sign(r.Checkpoint.Text)
}

func (l *watched) advance(r Request, kept []byte) error {
	c := r.Checkpoint
	switch {
	case r.Old > c.Size:
		return malformed("the old size is greater than the checkpoint's")
	case len(kept) > maxNote:
		return malformed("the checkpoint is longer than this witness remembers")
	case r.Old != l.head.Size:
		return Conflict{l.head.Size}
	case r.Old == c.Size && c.Root != l.head.root():
		return ErrFork
	}
	if err := Extends(r.Proof, c, l.head.Size, l.head.root()); err != nil {
		return err
	}
	if c.Size == l.head.Size && l.head.Note != "" {
		return nil
	}
	next := head{Size: c.Size, Root: c.Root[:], Note: string(kept)}
	raw, err := json.Marshal(next)
	if err == nil {
		err = l.file.Store(raw)
	}
	if err != nil {
		return fmt.Errorf("sync the state of %s: %w", c.Origin, err)
	}
	l.head = next
	return nil
}

// sign makes the signature lines over a note's text.
func (w *Witness) sign(text string) ([]byte, error) {
	signed, err := note.Sign(&note.Note{Text: text}, w.signers...)
	if err != nil {
		return nil, fmt.Errorf("cosign: %w", err)
	}
	return signed[len(text)+1:], nil
}

// Checkpoint is the last head of a log that was cosigned, with the log's
// signatures and fresh ones of the witness.
func (w *Witness) Checkpoint(name string) ([]byte, error) {
	l, err := w.find(name)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	kept := l.head.Note
	l.mu.Unlock()
	if kept == "" {
		return nil, ErrUnknownLog
	}
	c, err := ParseCheckpoint([]byte(kept))
	if err != nil {
		return nil, err
	}
	lines, err := w.sign(c.Text)
	return append([]byte(kept), lines...), err
}
