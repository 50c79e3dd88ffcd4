package witness

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"unicode"

	"azekura/internal/slotfile"

	cosign "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// The files of a witness's folder.
const (
	settingsFile = "witness.json"
	keyFile      = "key"
	vkeyFile     = "vkey"
	logsDir      = "logs"
	logFile      = "log.json"
	stateFile    = "state"
	lockFile     = "lock"
)

var (
	// ErrNone means that the folder holds no witness.
	ErrNone = errors.New("no witness here; make one with azekura witness init")
	// ErrUnknownLog means that the witness wasn't told of this log.
	ErrUnknownLog = errors.New("this witness knows no log of that origin")
)

// Settings are what witness.json holds.
type Settings struct {
	Version int    `json:"version"`
	Name    string `json:"name"`
}

// LogSettings are what a witness was told of a log.
type LogSettings struct {
	Origin string   `json:"origin"`
	Keys   []string `json:"keys"` // vkeys; any of them may sign
	Mirror bool     `json:"mirror,omitempty"`
	// Alone says that only the witness's own people name further keys and logs.
	Alone bool `json:"alone,omitempty"`
	// Retired are keys that handed on, by the log's own word.
	Retired []Retired `json:"retired,omitempty"`
	// Follows counts the keys and logs since the one that people named.
	Follows int `json:"follows,omitempty"`
}

// Retired is a key that named the next: it signs no head of more events.
type Retired struct {
	Key   string `json:"key"`
	Until int64  `json:"until"`
}

// Create makes a witness's folder with an Ed25519 key, and with an ML-DSA-44 key
// as well if that is asked for. The name is the key's, a URL without its scheme
// by custom (C2SP tlog-cosignature).
func Create(dir, name string, mldsa bool) error {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || r == '+' || !unicode.IsPrint(r) }) {
		return errors.New("a witness's name has no blanks and no plus; witness.example.org/w1, for example")
	}
	if err := os.MkdirAll(filepath.Join(dir, logsDir), 0o700); err != nil {
		return fmt.Errorf("make the witness's folder: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, keyFile)); err == nil {
		return errors.New("a witness is in this folder already; its key isn't overwritten")
	}
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return fmt.Errorf("make the witness's key: %w", err)
	}
	if vkey, err = cosign.VKeyToCosignatureV1(vkey); err != nil {
		return fmt.Errorf("make the witness's key: %w", err)
	}
	keys, vkeys := skey+"\n", vkey+"\n"
	if mldsa {
		skey, vkey, err := cosign.GenerateMLDSAKey(name)
		if err != nil {
			return fmt.Errorf("make the witness's ML-DSA key: %w", err)
		}
		keys, vkeys = keys+skey+"\n", vkeys+vkey+"\n"
	}
	settings, err := json.MarshalIndent(Settings{Version: 1, Name: name}, "", "  ")
	if err != nil {
		return err
	}
	for _, f := range []struct{ name, text string }{{keyFile, keys}, {vkeyFile, vkeys}, {lockFile, ""}, {settingsFile, string(settings) + "\n"}} {
		if err := slotfile.Replace(filepath.Join(dir, f.name), []byte(f.text)); err != nil {
			return fmt.Errorf("make the witness's folder: %w", err)
		}
	}
	return nil
}

// LogDir is where a witness keeps what belongs to a log.
func LogDir(dir, origin string) string { return filepath.Join(dir, logsDir, LogName(origin)) }

// LogName is an origin in the paths of a witness: SHA-256, hexadecimal.
func LogName(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return hex.EncodeToString(sum[:])
}

// AddLog tells a witness of a log, or adds to what it knows of one: a further key,
// or that it mirrors it. A running witness sees it at the next request.
func AddLog(dir string, add LogSettings) (LogSettings, error) {
	if _, err := readSettings(dir); err != nil {
		return add, err
	}
	if _, err := verifiers(add.Keys); err != nil {
		return add, err
	}
	if add.Origin == "" || strings.ContainsAny(add.Origin, "\n\r") {
		return add, errors.New("a log's origin is one line of text")
	}
	home := LogDir(dir, add.Origin)
	settingLogs.Lock()
	defer settingLogs.Unlock()
	known, err := readLog(home)
	if err == nil {
		add.Mirror, add.Alone, add.Retired = add.Mirror || known.Mirror, add.Alone || known.Alone, known.Retired
		for _, key := range add.Keys {
			if !contains(known.Keys, key) {
				known.Keys = append(known.Keys, key)
			}
		}
		add.Keys = known.Keys
	} else if !errors.Is(err, os.ErrNotExist) {
		return add, err
	}
	return add, writeLog(home, add)
}

// settingLogs is for the one who reads settings and writes them.
var settingLogs sync.Mutex

func writeLog(home string, s LogSettings) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	// The settings come last: without them the log isn't there.
	first, err := json.Marshal(head{Root: emptyRoot[:]})
	if err == nil {
		err = slotfile.Create(filepath.Join(home, stateFile), first)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make the log's state: %w", err)
	}
	return errors.Join(slotfile.Replace(filepath.Join(home, logFile), append(raw, '\n')), slotfile.SyncDir(filepath.Dir(home)))
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

func readSettings(dir string) (Settings, error) {
	var s Settings
	raw, err := os.ReadFile(filepath.Join(dir, settingsFile))
	if errors.Is(err, os.ErrNotExist) {
		return s, fmt.Errorf("%s: %w", dir, ErrNone)
	}
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil {
		return s, fmt.Errorf("read the witness's settings: %w", err)
	}
	if s.Version != 1 {
		return s, fmt.Errorf("the witness's settings are of version %d; this program knows version 1", s.Version)
	}
	return s, nil
}

func readLog(home string) (LogSettings, error) {
	var s LogSettings
	raw, err := os.ReadFile(filepath.Join(home, logFile))
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil {
		return s, fmt.Errorf("read a log's settings: %w", err)
	}
	return s, nil
}

func verifiers(vkeys []string) ([]note.Verifier, error) {
	if len(vkeys) == 0 {
		return nil, errors.New("a log needs a public key, its vkey")
	}
	list := make([]note.Verifier, len(vkeys))
	for i, vkey := range vkeys {
		var err error
		if list[i], err = cosign.NewVerifier(vkey); err != nil {
			return nil, fmt.Errorf("read a log's public key: %w", err)
		}
	}
	return list, nil
}

// Witness cosigns. Its methods are safe for many callers.
type Witness struct {
	dir     string
	Name    string
	Keys    []string // vkeys
	signers []note.Signer
	own     []note.Verifier
	lock    *os.File

	mu   sync.Mutex
	logs map[string]*watched // by LogName

	uploads chan struct{} // bounds the memory that uploads take
}

// maxUploads is how many uploads a mirror takes at once, 16 MiB each.
const maxUploads = 4

// Open opens a witness's folder, for one process at a time.
func Open(dir string) (*Witness, error) {
	settings, err := readSettings(dir)
	if err != nil {
		return nil, err
	}
	w := &Witness{dir: dir, Name: settings.Name, logs: map[string]*watched{}, uploads: make(chan struct{}, maxUploads)}
	raw, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, fmt.Errorf("read the witness's key: %w", err)
	}
	for skey := range strings.FieldsSeq(string(raw)) {
		signer, err := cosign.NewSignerForCosignatureV1(skey)
		if err != nil {
			return nil, fmt.Errorf("read the witness's key: %w", err)
		}
		w.signers, w.own = append(w.signers, signer), append(w.own, signer.Verifier())
	}
	if len(w.signers) == 0 {
		return nil, errors.New("the witness's key file holds no key")
	}
	if w.Keys, err = ReadKeys(dir); err != nil {
		return nil, err
	}
	if w.lock, err = lockFolder(dir); err != nil {
		return nil, err
	}
	return w, nil
}

// ReadKeys reads a witness's public keys, as vkeys.
func ReadKeys(dir string) ([]string, error) {
	raw, err := os.ReadFile(filepath.Join(dir, vkeyFile))
	if err != nil {
		return nil, fmt.Errorf("read the witness's public key: %w", err)
	}
	return strings.Fields(string(raw)), nil
}

// Close lets another process open the folder.
func (w *Witness) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	errs := []error{w.lock.Close()}
	for _, l := range w.logs {
		errs = append(errs, l.close())
	}
	w.logs = map[string]*watched{}
	return errors.Join(errs...)
}

// find opens a log's state at its first request.
func (w *Witness) find(name string) (*watched, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l := w.logs[name]; l != nil {
		return l, nil
	}
	home := filepath.Join(w.dir, logsDir, name)
	settings, err := readLog(home)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrUnknownLog
	}
	if err != nil {
		return nil, err
	}
	l, err := openLog(home, settings)
	if err != nil {
		return nil, err
	}
	w.logs[name] = l
	return l, nil
}

// Heads are the logs and what was cosigned last of each, whoever has the folder
// open.
func Heads(dir string) ([]Head, error) {
	if _, err := readSettings(dir); err != nil {
		return nil, err
	}
	found, err := fs.Glob(os.DirFS(dir), logsDir+"/*/"+logFile)
	if err != nil {
		return nil, err
	}
	var list []Head
	for _, name := range found {
		home := filepath.Join(dir, path.Dir(name))
		settings, err := readLog(home)
		if err != nil {
			return nil, err
		}
		at, err := readHead(home)
		if err != nil {
			return nil, fmt.Errorf("read the state of %s: %w", settings.Origin, err)
		}
		h := Head{LogSettings: settings, Size: at.Size, Root: at.root().String()}
		if settings.Mirror {
			if h.Mirrored, err = mirrored(home); err != nil {
				return nil, fmt.Errorf("read the mirror of %s: %w", settings.Origin, err)
			}
		}
		list = append(list, h)
	}
	return list, nil
}

// Head is what a witness tells of a log.
type Head struct {
	LogSettings
	Size     int64  `json:"size"`
	Root     string `json:"root"`
	Mirrored int64  `json:"mirrored,omitempty"` // events that the mirror holds
}
