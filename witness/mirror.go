package witness

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"azekura/internal/slotfile"
)

// MirrorDir is the folder of a mirrored log under LogDir; its state file tells
// how far it reaches.
const MirrorDir = "mirror"

// mirror keeps a log's uploads. Files come first, each synced with its name, and
// then the state that counts them; so a kill leaves at most files that nothing
// counts, and the next upload replaces them.
type mirror struct {
	dir string

	mu   sync.Mutex
	file *slotfile.File
	tree Tree
	// under is the chunk of which some parts are here and the last isn't.
	under Upload
}

type mirrorState struct {
	Size int64    `json:"size"`
	Edge [][]byte `json:"edge"`
}

// Held is how far a mirror reaches.
type Held struct {
	Size int64 `json:"size"` // events whose lines, leaf hashes and sets are here
}

// mirror opens a log's mirror, if it has one.
func (w *Witness) mirror(name string) (*watched, error) {
	l, err := w.find(name)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mirror != nil {
		return l, nil
	}
	if !l.settings.Mirror {
		if err := l.reload(); err != nil {
			return nil, err
		}
	}
	if !l.settings.Mirror {
		return nil, ErrUnknownLog
	}
	l.mirror, err = openMirror(filepath.Join(l.home, MirrorDir))
	return l, err
}

func openMirror(dir string) (*mirror, error) {
	path := filepath.Join(dir, stateFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the mirror's folder: %w", err)
		}
		if err := slotfile.Create(path, []byte(`{"size":0}`)); err != nil {
			return nil, fmt.Errorf("make the mirror's state: %w", err)
		}
	}
	file, raw, err := slotfile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the mirror's state: %w", err)
	}
	m := &mirror{dir: dir, file: file}
	if m.tree, err = parseMirror(raw); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return m, nil
}

func parseMirror(raw []byte) (Tree, error) {
	var s mirrorState
	if err := json.Unmarshal(raw, &s); err != nil {
		return Tree{}, fmt.Errorf("read the mirror's state: %w", err)
	}
	return NewTree(s.Size, s.Edge)
}

// mirrored is how many events a mirror holds, whoever has it open.
func mirrored(home string) (int64, error) {
	raw, err := slotfile.Read(filepath.Join(home, MirrorDir, stateFile))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	t, err := parseMirror(raw)
	return t.Size(), err
}

func (m *mirror) close() error {
	if m == nil {
		return nil
	}
	return m.file.Close()
}

// Mirrored is how far the mirror of a log reaches.
func (w *Witness) Mirrored(name string) (Held, error) {
	l, err := w.mirror(name)
	if err != nil {
		return Held{}, err
	}
	l.mirror.mu.Lock()
	defer l.mirror.mu.Unlock()
	return Held{l.mirror.tree.Size()}, nil
}

// Take takes an upload, synced before it returns. Conflict says from which event
// on the mirror wants a chunk, from its first part.
func (w *Witness) Take(name string, raw []byte) (Held, error) {
	u, signed, err := ParseUpload(raw)
	if err != nil {
		return Held{}, err
	}
	l, err := w.mirror(name)
	if err != nil {
		return Held{}, err
	}
	l.mu.Lock()
	err = VerifyUpload(signed, l.keys)
	if errors.Is(err, ErrSignature) {
		if err = l.reload(); err == nil {
			err = VerifyUpload(signed, l.keys)
		}
	}
	keys, origin := l.keys, l.settings.Origin
	l.mu.Unlock()
	if err != nil {
		return Held{}, err
	}
	if u.Origin != origin {
		return Held{}, ErrUpload
	}
	m := l.mirror
	m.mu.Lock()
	defer m.mu.Unlock()
	if u.From != m.tree.Size() || u.Part > 0 && !m.follows(u) {
		return Held{}, Conflict{m.tree.Size()}
	}
	after := m.tree
	if u.Last() {
		if after, _, err = u.Led(m.tree, keys, w.own); err != nil {
			return Held{}, err
		}
	}
	if err := m.keep(u, raw); err != nil {
		return Held{}, fmt.Errorf("keep an upload: %w", err)
	}
	if !u.Last() {
		m.under = Upload{From: u.From, To: u.To, Part: u.Part, Parts: u.Parts}
		return Held{m.tree.Size()}, nil
	}
	return Held{after.Size()}, m.count(after)
}

// follows tells whether an upload is the next part of the chunk under way, or the
// last one again.
func (m *mirror) follows(u Upload) bool {
	return m.under.From == u.From && m.under.To == u.To && m.under.Parts == u.Parts && (u.Part == m.under.Part+1 || u.Part == m.under.Part)
}

func (m *mirror) keep(u Upload, raw []byte) error {
	path := filepath.Join(m.dir, Place(u.From, u.Part))
	if err := os.Mkdir(filepath.Dir(path), 0o700); err == nil {
		if err := slotfile.SyncDir(m.dir); err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrExist) {
		return err
	}
	return slotfile.Replace(path, raw)
}

func (m *mirror) count(after Tree) error {
	raw, err := json.Marshal(mirrorState{Size: after.Size(), Edge: after.Edge()})
	if err == nil {
		err = m.file.Store(raw)
	}
	if err != nil {
		return fmt.Errorf("sync the mirror's state: %w", err)
	}
	m.tree, m.under = after, Upload{}
	return nil
}

// Upload opens an upload that was taken, as it came.
func (w *Witness) Upload(name string, from int64, part int) (*os.File, error) {
	l, err := w.mirror(name)
	if err != nil {
		return nil, err
	}
	l.mirror.mu.Lock()
	size := l.mirror.tree.Size()
	l.mirror.mu.Unlock()
	if from >= size { // of a chunk that isn't whole yet
		return nil, os.ErrNotExist
	}
	return os.Open(filepath.Join(l.mirror.dir, Place(from, part)))
}
