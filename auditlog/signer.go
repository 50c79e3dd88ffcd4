package auditlog

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"azekura/internal/slotfile"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
)

// Signer signs the log's heads. It is the part that a database's administrator
// doesn't have: its key and its state, the last head that it signed, lie in a
// folder outside the database. It grows the tree itself, from leaf hashes, so
// what it signs always extends what it signed before.
type Signer struct {
	dir    string
	origin string
	logID  int64
	past   []Past

	mu    sync.Mutex
	key   note.Signer
	vkey  string
	keys  []KeyPeriod // before vkey
	file  *slotfile.File
	state signerState
	tree  *tree

	signed chan struct{}
}

// signerState is what the state file holds: 63 hashes and a note at the most.
type signerState struct {
	Size       int64    `json:"size"`
	Edge       [][]byte `json:"edge"` // roots of the perfect subtrees, left to right
	Checkpoint []byte   `json:"checkpoint"`
	// Restored is set in a state that was made from a backup: it may be older
	// than what was signed last.
	Restored *Restored `json:"restored,omitempty"`
	// Authority is absent from a state that was made from a backup, and HeadKey
	// too from one for a log that follows others, or by an earlier version of
	// this program, until its log is opened.
	Authority *Authority `json:"authority,omitempty"`
	HeadKey   []byte     `json:"head_key,omitempty"` // for the sequencer's word on a head
}

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
		if err := slotfile.WriteNew(filepath.Join(dir, name), []byte(text+"\n")); err != nil {
			return err
		}
	}
	s, err := openSigner(dir)
	if err != nil {
		return err
	}
	if len(s.past) == 0 {
		s.state.Authority, s.state.HeadKey = &Authority{}, newHeadKey()
	}
	first, err := s.next(newTree(), s.state.Authority)
	if err != nil {
		return err
	}
	body, err := json.Marshal(first)
	if err != nil {
		return err
	}
	return slotfile.Create(filepath.Join(dir, "state"), body)
}

// AwaitSigner waits until no process has a signer's folder open. One that is killed
// has it open no more.
func AwaitSigner(ctx context.Context, dir string) error {
	return slotfile.Await(ctx, filepath.Join(dir, "state"))
}

// OpenSigner opens a signer's folder, for one process at a time.
func OpenSigner(dir string) (*Signer, error) {
	file, body, err := slotfile.Open(filepath.Join(dir, "state"))
	switch {
	case errors.Is(err, slotfile.ErrHeld):
		return nil, ErrHeld
	case errors.Is(err, slotfile.ErrDamaged):
		return nil, errors.New("the signer's state is damaged in both its slots; it must be restored from a copy, or a new log started")
	case err != nil:
		return nil, fmt.Errorf("open the signer's state: %w", err)
	}
	// The key is read behind the lock: who holds it may be changing the key.
	s, err := openSigner(dir)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	s.file = file
	if err := s.load(body); err != nil {
		return nil, errors.Join(fmt.Errorf("read the signer's state: %w", err), s.Close())
	}
	return s, nil
}

// openSigner reads the key and leaves the state out, which CreateSigner has yet
// to write.
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
	s := &Signer{dir: dir, origin: text["origin"], key: key, tree: newTree(), signed: make(chan struct{}, 1)}
	return s, s.place(text["key"], text["vkey"])
}

// place reads what else the folder says: which log this is, what came before it,
// and which keys. The private key counts; its public half is written again where
// a change of keys was cut short.
func (s *Signer) place(skey, vkey string) (err error) {
	if s.vkey, err = verifierKey(skey); err != nil {
		return err
	}
	if s.vkey != vkey {
		if err := slotfile.Replace(filepath.Join(s.dir, "vkey"), []byte(s.vkey+"\n")); err != nil {
			return err
		}
	}
	if s.logID, err = readLogID(s.dir); err != nil {
		return err
	}
	if s.past, err = readPast(s.dir); err != nil {
		return err
	}
	s.keys, err = readList[KeyPeriod](s.dir, fileKeys)
	return err
}

func (s *Signer) load(body []byte) error {
	if err := json.Unmarshal(body, &s.state); err != nil {
		return err
	}
	rng, err := ranges.NewRange(0, uint64(s.state.Size), s.state.Edge)
	if err != nil {
		return err
	}
	s.tree.rng = rng
	return nil
}

// next is the state over a tree and its events of authority.
func (s *Signer) next(t *tree, sum *Authority) (signerState, error) {
	size, root := t.size(), t.root()
	checkpoint, err := note.Sign(&note.Note{Text: string(log.Checkpoint{Origin: s.origin, Size: uint64(size), Hash: root[:]}.Marshal())}, s.key)
	if err != nil {
		return signerState{}, fmt.Errorf("sign the log's head: %w", err)
	}
	state := s.state // what isn't about the head stays
	state.Size, state.Edge, state.Checkpoint, state.Authority = size, t.rng.Hashes(), checkpoint, sum
	return state, nil
}

// Extend appends leaves to the last signed head and signs the result, which
// must have this size and root. The state is synced before it returns; after
// an error the signer stands where it stood.
func (s *Signer) Extend(leaves []Leaf, size int64, root Hash) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.extend(leaves, size, root)
}

func (s *Signer) extend(leaves []Leaf, size int64, root Hash) error {
	if r := s.state.Restored; r != nil && !r.Confirmed {
		return fmt.Errorf("%w at %d events", ErrRestored, s.state.Size)
	}
	if s.state.Authority == nil {
		return fmt.Errorf("%w: its state doesn't say yet which events grant", ErrSigner)
	}
	next, sum := &tree{rng: s.tree.clone().rng}, *s.state.Authority
	for _, leaf := range leaves {
		_ = next.rng.Append(bytes.Clone(leaf.Hash[:]), nil)
		if leaf.Authority {
			sum.Add(leaf.Hash)
		}
	}
	if next.size() != size || next.root() != root {
		return fmt.Errorf("%w: at %d events the database's root isn't the one that follows from the last signed head", ErrSigner, size)
	}
	state, err := s.next(next, &sum)
	if err != nil {
		return err
	}
	if err := s.keep(state, next); err != nil {
		return err
	}
	select {
	case s.signed <- struct{}{}:
	default:
	}
	return nil
}

// keep makes a state the signer's, once it is on the disk.
func (s *Signer) keep(state signerState, t *tree) error {
	if err := s.store(state); err != nil {
		return fmt.Errorf("sync the signer's state: %w", err)
	}
	s.state, s.tree = state, t
	return nil
}

func (s *Signer) store(state signerState) error {
	body, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return s.file.Store(body)
}

// Signed has something to receive whenever a head was signed since the last
// time, for the one who carries heads to witnesses.
func (s *Signer) Signed() <-chan struct{} { return s.signed }

// Head is the last head that was signed.
func (s *Signer) Head() (size int64, root Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tree.size(), s.tree.root()
}

// Authority is the last signed head with the sum of its events of authority.
func (s *Signer) Authority() (size int64, root Hash, sum Authority) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Authority != nil {
		sum = *s.state.Authority
	}
	return s.tree.size(), s.tree.root(), sum
}

// whole tells whether the state says all that a log's opening needs.
func (s *Signer) whole() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Authority != nil && len(s.state.HeadKey) > 0
}

// complete adds what a state lacks.
func (s *Signer) complete(sum Authority) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state
	state.Authority = &sum
	if len(state.HeadKey) == 0 {
		state.HeadKey = newHeadKey()
	}
	return s.keep(state, s.tree)
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
func (s *Signer) VerifierKey() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.vkey
}

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
	if len(cp.Hash) != hashSize || cp.Size > 1<<56 { // from 2^62 on x/mod's tlog never comes to an end
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
