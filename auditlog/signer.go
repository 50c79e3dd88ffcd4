package auditlog

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
)

// Signer signs the log's heads. It is the part that a database's administrator
// doesn't have: its key and its state, the last head that it signed, lie in a
// folder outside the database. It grows the tree itself, from leaf hashes, so
// what it signs always extends what it signed before.
type Signer struct {
	origin string
	key    note.Signer
	vkey   string

	mu    sync.Mutex
	file  *os.File
	slot  int64
	state signerState
	tree  *tree
}

// signerState is what a slot of the state file holds. Two slots are written in
// turn, so a torn write leaves the one before.
type signerState struct {
	Turn       int64    `json:"turn"`
	Size       int64    `json:"size"`
	Edge       [][]byte `json:"edge"` // roots of the perfect subtrees, left to right
	Checkpoint []byte   `json:"checkpoint"`
}

// slotSize holds a state of any size: 63 hashes and a note.
const slotSize = 8 << 10

// ErrHeld means that another process has the signer open.
var ErrHeld = errors.New("another process holds the signer's state; stop it first, or go through the running server")

// ErrSigner means that the signer refused a head: the database contradicts
// what was signed before, and nothing may be opened on it.
var ErrSigner = errors.New("the signer refuses the log's head")

// CreateSigner makes a key and an empty state in a new folder. The origin
// names the log for ever (C2SP tlog-checkpoint).
func CreateSigner(dir, origin string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return fmt.Errorf("make the signer's key: %w", err)
	}
	for name, text := range map[string]string{"key": skey, "vkey": vkey, "origin": origin} {
		if err := writeNew(filepath.Join(dir, name), []byte(text+"\n")); err != nil {
			return err
		}
	}
	// The file has its full size from the start, so that signing needs no
	// new disk space and a full disk can't stop it half way.
	if err := writeNew(filepath.Join(dir, "state"), make([]byte, 2*slotSize)); err != nil {
		return err
	}
	s, err := openSigner(dir)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Extend(nil, 0, s.tree.root()); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the files' names as durable as their contents.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// OpenSigner opens a signer's folder, for one process at a time.
func OpenSigner(dir string) (*Signer, error) {
	s, err := openSigner(dir)
	if err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// openSigner opens the files and leaves the state out, which CreateSigner has
// yet to write.
func openSigner(dir string) (*Signer, error) {
	text := map[string]string{}
	for _, name := range []string{"key", "vkey", "origin"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("open the signer: %w", err)
		}
		text[name] = string(bytes.TrimSpace(b))
	}
	key, err := note.NewSigner(text["key"])
	if err != nil {
		return nil, fmt.Errorf("read the signer's key: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "state"), os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open the signer's state: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(ErrHeld, f.Close())
	}
	return &Signer{origin: text["origin"], key: key, vkey: text["vkey"], file: f, tree: newTree()}, nil
}

func (s *Signer) load() error {
	found := false
	for slot := range int64(2) {
		raw := make([]byte, slotSize)
		if _, err := s.file.ReadAt(raw, slot*slotSize); err != nil {
			return fmt.Errorf("read the signer's state: %w", err)
		}
		sum, body := raw[:sha256.Size], raw[sha256.Size:]
		body = bytes.TrimRight(body, "\x00")
		var state signerState
		if got := sha256.Sum256(body); !bytes.Equal(sum, got[:]) || json.Unmarshal(body, &state) != nil {
			continue
		}
		if !found || state.Turn > s.state.Turn {
			s.state, s.slot, found = state, slot, true
		}
	}
	if !found {
		// An empty file is no new signer: a power cut can empty one.
		return errors.New("the signer's state is damaged in both its slots; it must be restored from a copy, or a new log started")
	}
	rng, err := ranges.NewRange(0, uint64(s.state.Size), s.state.Edge)
	if err != nil {
		return fmt.Errorf("read the signer's state: %w", err)
	}
	s.tree.rng = rng
	return nil
}

// Extend appends leaves to the last signed head and signs the result, which
// must have this size and root. The state is synced before it returns; after
// an error the signer stands where it stood.
func (s *Signer) Extend(leaves []Hash, size int64, root Hash) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := &tree{rng: s.tree.clone().rng}
	for _, leaf := range leaves {
		_ = next.rng.Append(append([]byte(nil), leaf[:]...), nil)
	}
	if next.size() != size || next.root() != root {
		return fmt.Errorf("%w: at %d events the database's root isn't the one that follows from the last signed head", ErrSigner, size)
	}
	checkpoint, err := note.Sign(&note.Note{Text: string(log.Checkpoint{Origin: s.origin, Size: uint64(size), Hash: root[:]}.Marshal())}, s.key)
	if err != nil {
		return fmt.Errorf("sign the log's head: %w", err)
	}
	state := signerState{Turn: s.state.Turn + 1, Size: size, Edge: next.rng.Hashes(), Checkpoint: checkpoint}
	if err := s.store(state); err != nil {
		return fmt.Errorf("sync the signer's state: %w", err)
	}
	s.state, s.slot, s.tree = state, s.slot^1, next
	return nil
}

// store writes the slot that isn't the newest, and syncs. The file's size and
// place don't change, so its data is all there is to sync.
func (s *Signer) store(state signerState) error {
	body, err := json.Marshal(state)
	if err != nil {
		return err
	}
	raw := make([]byte, slotSize)
	if len(body) > slotSize-sha256.Size {
		return errors.New("the state is larger than its slot")
	}
	sum := sha256.Sum256(body)
	copy(raw[copy(raw, sum[:]):], body)
	if _, err := s.file.WriteAt(raw, (s.slot^1)*slotSize); err != nil {
		return err
	}
	return syscall.Fdatasync(int(s.file.Fd()))
}

// Head is the last head that was signed.
func (s *Signer) Head() (size int64, root Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tree.size(), s.tree.root()
}

// Edge are the roots of the last head's perfect subtrees, left to right, for
// Verify.
func (s *Signer) Edge() []Hash {
	s.mu.Lock()
	defer s.mu.Unlock()
	edge := make([]Hash, len(s.state.Edge))
	for i, hash := range s.state.Edge {
		edge[i] = Hash(hash)
	}
	return edge
}

// Checkpoint is the signed note over the last head.
func (s *Signer) Checkpoint() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Checkpoint
}

// Origin names the log.
func (s *Signer) Origin() string { return s.origin }

// VerifierKey is the signer's public key as a vkey (C2SP signed-note).
func (s *Signer) VerifierKey() string { return s.vkey }

// Close lets another process open the state.
func (s *Signer) Close() error { return s.file.Close() }

// OpenCheckpoint checks a signed head against a log's origin and vkey. It takes
// what a signer writes and witnesses add to, and no other spelling: no
// extension lines, no second signature by the log, no zeros before the size.
// The libraries pass over some of these (x/mod's note ignores a damaged second
// signature, formats takes leading zeros).
func OpenCheckpoint(checkpoint []byte, origin, vkey string) (size int64, root Hash, err error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return 0, Hash{}, fmt.Errorf("read the log's public key: %w", err)
	}
	cp, _, n, err := log.ParseCheckpoint(checkpoint, origin, verifier)
	if err != nil {
		return 0, Hash{}, fmt.Errorf("check the log's signed head: %w", err)
	}
	if len(cp.Hash) != hashSize || cp.Size > math.MaxInt64 {
		return 0, Hash{}, errors.New("the log's signed head has a root or a size that no log of this kind has")
	}
	if n.Text != string(cp.Marshal()) {
		return 0, Hash{}, errors.New("the log's signed head isn't written as its signer writes it")
	}
	own := 0
	for line := range bytes.Lines(checkpoint[len(n.Text):]) {
		if bytes.HasPrefix(line, []byte("— "+origin+" ")) {
			own++
		}
	}
	if own != 1 {
		return 0, Hash{}, errors.New("the log's signed head must have one signature by the log")
	}
	return int64(cp.Size), Hash(cp.Hash), nil
}
