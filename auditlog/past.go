package auditlog

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"azekura/internal/slotfile"

	"golang.org/x/mod/sumdb/note"
)

// A chain of logs: one that was frozen, or whose end is lost, is continued by the
// next, which has an origin, a key and numbers of its own. Its first event says
// what came before; the signer's folder says the same, outside the database.

// How a log follows another.
const (
	// Continue follows a log that was frozen: its last event says so.
	Continue = "continue"
	// GapKind follows a log of which events that were signed are lost.
	GapKind = "gap"
)

// The purposes of the events that make a chain.
const (
	PurposeFreeze   = "freeze"
	PurposeContinue = "continue"
	PurposeGap      = "gap"
	PurposeRotate   = "rotate-signer"
)

// Past is a log that others continue.
type Past struct {
	Kind   string `json:"kind"` // of what follows it: Continue or GapKind
	LogID  int64  `json:"log_id"`
	Origin string `json:"origin"`
	Key    string `json:"key"` // that signed its last head
	// Size and Root are what the database holds of it and what counts: all of
	// it, or what is left before a gap.
	Size int64 `json:"size"`
	Root Hash  `json:"root"`
	// Signed is the size of its last signed head, and Checkpoint that head.
	// Before a gap it is greater than Size; or, where nobody knows how much was
	// signed, Unknown is true.
	Signed     int64  `json:"signed"`
	Checkpoint string `json:"checkpoint"`
	Unknown    bool   `json:"unknown,omitempty"`
	// Keys are those that signed it before Key, the oldest first.
	Keys []KeyPeriod `json:"keys,omitempty"`
}

// Equal tells whether the same is said of the same log.
func (p *Past) Equal(q *Past) bool {
	a, b := *p, *q
	a.Keys, b.Keys = nil, nil
	return reflect.DeepEqual(a, b) && slices.Equal(p.Keys, q.Keys)
}

// Lost tells whether events are missing at its end.
func (p *Past) Lost() bool { return p.Kind == GapKind }

func (p *Past) check() error {
	size, root, err := OpenCheckpoint([]byte(p.Checkpoint), p.Origin, p.Key)
	if err != nil {
		return fmt.Errorf("the log before, %s: %w", p.Origin, err)
	}
	right := size == p.Signed && p.LogID >= 0
	switch p.Kind {
	case Continue:
		right = right && p.Size == size && p.Root == root && !p.Unknown
	case GapKind:
		right = right && (p.Size < size || p.Unknown && p.Size >= size)
	default:
		right = false
	}
	if !right {
		return fmt.Errorf("what is said of the log before, %s, doesn't agree with its signed head", p.Origin)
	}
	return nil
}

// link is the detail of a log's first event, where it follows another.
type link struct {
	Previous *Past `json:"previous"`
}

// Follows reads what a log's first event says of the one before it, or nil.
func Follows(e *Event) *Past {
	if e.Action != System || e.Purpose != PurposeContinue && e.Purpose != PurposeGap {
		return nil
	}
	var l link
	if json.Unmarshal(e.Detail, &l) != nil {
		return nil
	}
	return l.Previous
}

// NextOrigin is the name of the log after one of a name: the name and a number,
// since a witness holds each log to growing from its beginning.
func NextOrigin(origin string, next int64) string {
	if at := strings.LastIndex(origin, "/"); at > 0 {
		if n, err := strconv.ParseInt(origin[at+1:], 10, 64); err == nil && n == next-1 {
			origin = origin[:at]
		}
	}
	return origin + "/" + strconv.FormatInt(next, 10)
}

// The files of a signer's folder that tell its place in the chain.
const (
	fileLogID = "log_id" // absent in a first log's
	filePast  = "past"   // the logs before, the oldest first
	fileKeys  = "keys"   // its own keys before this one
)

const maxPast = 10_000

func readPast(dir string) ([]Past, error) {
	list, err := readList[Past](dir, filePast)
	if err == nil && len(list) > maxPast {
		err = fmt.Errorf("the signer's file %s is too long", filePast)
	}
	if err != nil {
		return nil, err
	}
	for i := range list {
		if err := list[i].check(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func readLogID(dir string) (int64, error) {
	raw, err := os.ReadFile(filepath.Join(dir, fileLogID))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the signer's log: %w", err)
	}
	id, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	if err != nil || id < 1 {
		return 0, errors.New("the signer's file log_id doesn't hold a log's number")
	}
	return id, nil
}

// PrepareNext makes the name and the key of a log that is to follow, in a folder
// of its own, or finds them there, and returns the public key. Nothing is signed
// with it until CreateNext.
func PrepareNext(dir, origin string, id int64) (vkey string, err error) {
	if found, err := os.ReadFile(filepath.Join(dir, "vkey")); err == nil && len(found) > 0 {
		of, err := os.ReadFile(filepath.Join(dir, "origin"))
		if err != nil || strings.TrimSpace(string(of)) != origin {
			return "", fmt.Errorf("%s holds another log's signer than %s; look at it, and move it away", dir, origin)
		}
		return strings.TrimSpace(string(found)), nil
	}
	// Nothing was signed where the public key, which comes last, isn't.
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return "", fmt.Errorf("make the signer's key: %w", err)
	}
	for _, f := range [][2]string{{fileLogID, strconv.FormatInt(id, 10)}, {"origin", origin}, {"key", skey}, {"vkey", vkey}} {
		if err := slotfile.WriteNew(filepath.Join(dir, f[0]), []byte(f[1]+"\n")); err != nil {
			return "", err
		}
	}
	return vkey, nil
}

// CreateNext makes what PrepareNext prepared the signer of a log that follows
// others, the last of which is the one before it. Where it is made already it
// must follow the same.
func CreateNext(dir string, past []Past) error {
	s, err := openSigner(dir)
	if err != nil {
		return err
	}
	if len(past) == 0 || past[len(past)-1].LogID >= s.logID || past[len(past)-1].Origin == s.origin {
		return errors.New("a log follows one of another name and a lower number")
	}
	for i := range past {
		if err := past[i].check(); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
		if !slices.EqualFunc(s.past, past, func(a, b Past) bool { return a.Equal(&b) }) {
			return fmt.Errorf("%s follows another log than it should; look at it, and move it away", dir)
		}
		return nil
	}
	if err := writeList(dir, filePast, past); err != nil {
		return err
	}
	// What grants is summed up when the log is opened, over those before it too.
	first, err := s.next(newTree(), nil)
	if err != nil {
		return err
	}
	body, err := json.Marshal(first)
	if err != nil {
		return err
	}
	return slotfile.Create(filepath.Join(dir, "state"), body)
}

// Named reads which log a signer's folder is of, without opening it; id is 0
// where it doesn't say, which only a first log's doesn't.
func Named(dir string) (id int64, origin string, err error) {
	raw, err := os.ReadFile(filepath.Join(dir, "origin"))
	if err != nil {
		return 0, "", fmt.Errorf("open the signer: %w", err)
	}
	id, err = readLogID(dir)
	return id, strings.TrimSpace(string(raw)), err
}

// Past are the logs that this one continues, the oldest first.
func (s *Signer) Past() []Past { return slices.Clone(s.past) }

// LogID is the number of the signer's log, or 0 where its folder doesn't say,
// which only a first log's doesn't.
func (s *Signer) LogID() int64 { return s.logID }

// Past are the logs that this one continues, the oldest first.
func (l *Log) Past() []Past { return l.signer.Past() }

// Chain lists the ids of the logs before this one, the oldest first, and its own.
func (l *Log) Chain() []int64 {
	var ids []int64
	for _, p := range l.signer.past {
		ids = append(ids, p.LogID)
	}
	return append(ids, l.id)
}
