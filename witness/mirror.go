package witness

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"azekura/internal/slotfile"

	"golang.org/x/mod/sumdb/note"
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
	// parked are the bytes of under's parts before its last one here, last those of
	// that one. With unswept, files may lie there that belong to no chunk under way.
	parked, last int64
	unswept      bool
}

// maxParked bounds the bytes of a chunk's parts that wait for its last one, which
// alone shows that they belong to a head that was cosigned. It holds the blocks of
// a set of some 170 million members.
var maxParked int64 = 4 << 30

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
	m := &mirror{dir: dir, file: file, unswept: true}
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
	m, keys, err := w.signed(name, u, signed)
	if err != nil {
		return Held{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.wants(u); err != nil {
		return Held{}, err
	}
	parked, err := m.park(u, int64(len(raw)))
	if err != nil {
		return Held{}, err
	}
	after := m.tree
	if u.Last() {
		var head []byte
		if after, head, err = u.Led(m.tree, keys); err != nil {
			return Held{}, err
		}
		if !w.cosigned(head) {
			return Held{}, ErrUpload
		}
	}
	if err := m.keep(u, raw); err != nil {
		return Held{}, fmt.Errorf("keep an upload: %w", err)
	}
	m.parked, m.last = parked, int64(len(raw))
	if !u.Last() {
		m.under = Upload{From: u.From, To: u.To, Part: u.Part, Parts: u.Parts}
		return Held{m.tree.Size()}, nil
	}
	return Held{after.Size()}, m.count(after)
}

// cosigned tells whether a head bears this witness's own cosignature.
func (w *Witness) cosigned(head []byte) bool {
	c, err := ParseCheckpoint(head)
	if err == nil {
		_, err = c.Verified(head, w.own)
	}
	return err == nil
}

// signed finds the mirror that an upload is for, if the log signed the upload's note.
func (w *Witness) signed(name string, u Upload, signed []byte) (*mirror, []note.Verifier, error) {
	l, err := w.mirror(name)
	if err != nil {
		return nil, nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	err = VerifyUpload(signed, l.keys)
	if errors.Is(err, ErrSignature) {
		if err = l.reload(); err == nil {
			err = VerifyUpload(signed, l.keys)
		}
	}
	if err == nil && u.Origin != l.settings.Origin {
		err = ErrUpload
	}
	return l.mirror, l.keys, err
}

// Expects tells from its note alone whether an upload is the log's own and the next
// one, before the rest is read: what was taken once can't be sent again to hold
// others up.
func (w *Witness) Expects(name string, signed []byte) error {
	u, err := parseNote(signed)
	if err != nil {
		return err
	}
	m, _, err := w.signed(name, u, signed)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wants(u)
}

// wants refuses what isn't the next part.
func (m *mirror) wants(u Upload) error {
	if u.From != m.tree.Size() || u.Part > 0 && !m.follows(u) {
		return Conflict{m.tree.Size()}
	}
	return nil
}

// ErrParked refuses a chunk that grows too large before its last part.
var ErrParked = errors.New("the parts of a chunk that wait for its last one are too many for a mirror")

// park counts the bytes of the parts before one, refuses it where it makes them too
// many, and with a first part takes away what an earlier try left.
func (m *mirror) park(u Upload, n int64) (before int64, err error) {
	before = m.parked
	switch {
	case u.Part == 0:
		before = 0
		if m.unswept {
			if err := m.sweep(u.From); err != nil {
				return 0, fmt.Errorf("take away parts of a chunk that never ended: %w", err)
			}
		}
	case u.Part != m.under.Part: // and not the last one again
		before += m.last
	}
	if before+n > maxParked {
		return 0, ErrParked
	}
	return before, nil
}

// sweep removes the files of a chunk that begins anew.
func (m *mirror) sweep(from int64) error {
	m.under = Upload{}
	folder, first := filepath.Split(filepath.Join(m.dir, Place(from, 0)))
	own := strings.TrimSuffix(first, filepath.Ext(first)) + "."
	files, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), own) {
			if err := os.Remove(filepath.Join(folder, f.Name())); err != nil {
				return err
			}
		}
	}
	m.unswept = false
	return nil
}

// follows tells whether an upload is the next part of the chunk under way, or the
// last one again.
func (m *mirror) follows(u Upload) bool {
	return m.under.From == u.From && m.under.To == u.To && m.under.Parts == u.Parts && (u.Part == m.under.Part+1 || u.Part == m.under.Part)
}

func (m *mirror) keep(u Upload, raw []byte) error {
	m.unswept = true
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
	m.tree, m.under, m.parked, m.last, m.unswept = after, Upload{}, 0, 0, false
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
