package auditlog

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"azekura/internal/slotfile"

	"golang.org/x/mod/sumdb/note"
)

// KeyPeriod is a key that signed a log's heads before the one that does now. Its
// last head covers the event that names the next key, so whoever trusts one key
// can find the next: by that event's proof under this head.
type KeyPeriod struct {
	Key        string `json:"key"`
	Until      int64  `json:"until"` // size of the last head under it
	Checkpoint string `json:"checkpoint"`
}

const (
	fileNext     = "key.next" // the key that is to follow
	fileRotating = "rotating" // the log's size when the change began
)

// readList reads a list in a file of the signer's folder; without the file it is
// empty.
func readList[T any](dir, name string) (list []T, err error) {
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("read the signer's file %s: %w", name, err)
	}
	return list, nil
}

func writeList[T any](dir, name string, list []T) error {
	raw, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	return slotfile.Replace(filepath.Join(dir, name), append(raw, '\n'))
}

// Keys are the keys that signed before the one of VerifierKey, the oldest first.
func (s *Signer) Keys() []KeyPeriod {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.keys)
}

// verifierKey is the public half of a key as note.GenerateKey writes it, so that
// one file says which key signs.
func verifierKey(skey string) (string, error) {
	bad := errors.New("the signer's key isn't a signed-note key")
	parts := strings.SplitN(skey, "+", 5) // PRIVATE+KEY+name+hash+data
	if len(parts) != 5 {
		return "", bad
	}
	data, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(data) != 1+ed25519.SeedSize || data[0] != 1 { // 1 is Ed25519 (C2SP signed-note)
		return "", bad
	}
	return note.NewEd25519VerifierKey(parts[2], ed25519.NewKeyFromSeed(data[1:]).Public().(ed25519.PublicKey))
}

// NextKey makes the key that is to follow, or finds it where it is made already,
// and returns its public half. Nothing is signed with it until AdoptKey.
func (s *Signer) NextKey() (vkey string, err error) {
	path := filepath.Join(s.dir, fileNext)
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		var skey string
		if skey, _, err = note.GenerateKey(rand.Reader, s.origin); err != nil {
			return "", fmt.Errorf("make the signer's next key: %w", err)
		}
		raw = []byte(skey + "\n")
		err = slotfile.Replace(path, raw)
	}
	if err != nil {
		return "", fmt.Errorf("make the signer's next key: %w", err)
	}
	return verifierKey(strings.TrimSpace(string(raw)))
}

// BeginRotation notes, before the event is recorded, from which event on it may
// be found, so that a start after a crash can finish or forget the change.
func (s *Signer) BeginRotation() error {
	size, _ := s.Head()
	return slotfile.Replace(filepath.Join(s.dir, fileRotating), fmt.Appendf(nil, "%d\n", size))
}

// Rotating tells whether a change of keys was begun and not finished, and from
// which event on its event may be.
func (s *Signer) Rotating() (from int64, begun bool) {
	raw, err := os.ReadFile(filepath.Join(s.dir, fileRotating))
	if err != nil {
		return 0, false
	}
	_, err = fmt.Sscan(string(raw), &from)
	return from, err == nil && from >= 0
}

// ForgetRotation drops a change whose event was never recorded. The key that
// was to follow stays, for the next try.
func (s *Signer) ForgetRotation() error {
	err := os.Remove(filepath.Join(s.dir, fileRotating))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// AdoptKey lets a key sign from now on that the log names, once the old one has
// signed a head over the event that does. A crash in its middle leaves either key
// in force, and AdoptKey to be called again with the same.
func (s *Signer) AdoptKey(vkey string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.vkey != vkey {
		if err := s.switchKey(vkey); err != nil {
			return fmt.Errorf("change the signer's key: %w", err)
		}
	}
	if err := s.extend(nil, s.tree.size(), s.tree.root()); err != nil {
		return err
	}
	return s.ForgetRotation()
}

func (s *Signer) switchKey(vkey string) error {
	next := filepath.Join(s.dir, fileNext)
	raw, err := os.ReadFile(next)
	if err != nil {
		return err
	}
	skey := strings.TrimSpace(string(raw))
	key, err := note.NewSigner(skey)
	if err != nil {
		return errors.New("the next key is damaged")
	}
	if is, err := verifierKey(skey); err != nil || is != vkey {
		return fmt.Errorf("the log names another key than the one in %s", next)
	}
	keys := s.keys
	if n := len(keys); n > 0 && keys[n-1].Key == s.vkey { // of a try that was cut short
		keys = keys[:n-1]
	}
	keys = append(slices.Clone(keys), KeyPeriod{Key: s.vkey, Until: s.tree.size(), Checkpoint: string(s.state.Checkpoint)})
	if err := writeList(s.dir, fileKeys, keys); err != nil {
		return err
	}
	if err := os.Rename(next, filepath.Join(s.dir, "key")); err != nil { // from here on the new one signs
		return err
	}
	s.key, s.vkey, s.keys = key, vkey, keys
	return errors.Join(slotfile.Replace(filepath.Join(s.dir, "vkey"), []byte(vkey+"\n")), slotfile.SyncDir(s.dir))
}
