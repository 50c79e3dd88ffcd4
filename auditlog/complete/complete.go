// Package complete checks a proof that a log withholds nothing: that between two
// of its days the events of one participant, or of one session, are those listed
// and no others. It trusts no server, no database and no other code of this
// module; it imports the standard library and x/mod's tlog and note, and can be
// read in one sitting. A test holds it to that.
//
// How: each participant's and each session's events are numbered 1, 2, 3, … Once
// a day the log records an event of purpose "daily": over the events from one
// index up to another, an RFC 6962 root over a sorted list that has, for each
// participant and session that had events there, the first and the last number. A
// proof shows, for each such day without a break, either the subject's place in
// that list, or the two neighbours between which it would stand; and every event
// between the first number and the last. All of it leads to one signed head.
//
// In the list a subject stands by a token, a salted hash of its id. The salt is in
// the daily event, so the root tells nothing to who sees only hashes, and a
// neighbour's token tells nobody's id; it can be tried against an id that one
// knows already.
//
// What it promises: an event that was dropped from the proof, a number given
// twice, a day left out, or a list without the subject's entry is refused.
//
// What it can't tell: whether the sequencer numbered what it never recorded; what
// came after the last day shown, today for one; and set events, which hold many
// participants and number none of them. A proof for a participant brings the set
// events that hold them, each with its member's own proof, and nothing proves that
// these are all.
package complete

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The kinds of subjects.
const (
	Participant = "participant"
	Session     = "session"
)

// Subject is whose events a proof is about.
type Subject struct {
	Kind string `json:"kind"`
	ID   string `json:"id"` // as lines have it: a UUID, or z and 16 hexadecimal digits
}

// key is the subject as a token is made of it: what tells kinds apart, and the id.
func (s Subject) key() ([]byte, error) {
	digits, first := strings.ReplaceAll(s.ID, "-", ""), byte('p')
	if s.Kind == Session {
		digits, first = strings.TrimPrefix(s.ID, "z"), 'z'
	}
	id, err := hex.DecodeString(digits)
	if err != nil || s.Kind != Session && (s.Kind != Participant || len(id) != 16) || s.Kind == Session && len(id) != 8 {
		return nil, errors.New("the proof's subject is neither a participant nor a session")
	}
	return append([]byte{first}, id...), nil
}

// Token is where a subject stands in a day's list: 16 bytes of a salted hash.
type Token [16]byte

// TokenOf makes a token. id is the 16 bytes of a participant or the 8 of a session.
func TokenOf(salt [16]byte, kind byte, id []byte) (t Token) {
	const label = "azekura daily 1\x00"
	var b [len(label) + 16 + 1 + 16]byte
	n := copy(b[:], label)
	n += copy(b[n:], salt[:])
	b[n] = kind
	n += 1 + copy(b[n+1:], id)
	sum := sha256.Sum256(b[:n])
	copy(t[:], sum[:])
	return t
}

// Leaf is an entry of a day's list.
type Leaf struct {
	Token       Token
	First, Last int64
}

// Append writes the 32 bytes that are hashed, as RFC 6962 hashes a leaf.
func (l Leaf) Append(b []byte) []byte {
	b = append(b, l.Token[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(l.First))
	return binary.BigEndian.AppendUint64(b, uint64(l.Last))
}

// Daily is the detail of a daily event: Count entries over the events from From
// up to To, without To.
type Daily struct {
	Day   string    `json:"day"` // UTC
	From  int64     `json:"from"`
	To    int64     `json:"to"`
	Count int64     `json:"count"`
	Root  tlog.Hash `json:"root"`
	Salt  []byte    `json:"salt"`
}

// The records of a proof's file, one a line.
type (
	// Record is one of them.
	Record struct {
		Head  *Head  `json:"head,omitempty"`
		Day   *Day   `json:"day,omitempty"`
		Event *Event `json:"event,omitempty"`
		Set   *Set   `json:"set,omitempty"`
		End   *End   `json:"end,omitempty"`
	}
	// Head comes first.
	Head struct {
		Version    int     `json:"version"`
		Subject    Subject `json:"subject"`
		Checkpoint string  `json:"checkpoint"` // a signed note
	}
	// Event is an event with its inclusion proof.
	Event struct {
		Index int64       `json:"index"`
		Line  string      `json:"line"`
		Path  []tlog.Hash `json:"path"`
	}
	// Day is a daily event, and where the subject stands in its list: itself, or
	// the neighbours between which it would.
	Day struct {
		Event
		Self  *Place `json:"self,omitempty"`
		Left  *Place `json:"left,omitempty"`
		Right *Place `json:"right,omitempty"`
	}
	// Place is an entry of the list, with its inclusion proof.
	Place struct {
		Place int64       `json:"place"`
		Token []byte      `json:"token"`
		First int64       `json:"first"`
		Last  int64       `json:"last"`
		Path  []tlog.Hash `json:"path"`
	}
	// Set is a set event that holds the participant: its member of 24 bytes, and
	// that member's inclusion proof in the set.
	Set struct {
		Event
		Place      int64       `json:"place"`
		Member     []byte      `json:"member"`
		MemberPath []tlog.Hash `json:"member_path"`
	}
	// End comes last.
	End struct {
		Events int64 `json:"events"`
		Sets   int64 `json:"sets"`
	}
)

// line is what the checker reads of an event's line.
type line struct {
	Index          int64           `json:"index"`
	Action         string          `json:"action"`
	Purpose        string          `json:"purpose"`
	Session        string          `json:"session"`
	SessionSeq     int64           `json:"session_seq"`
	Participant    string          `json:"participant"`
	ParticipantSeq int64           `json:"participant_seq"`
	Detail         json.RawMessage `json:"detail"`
	Set            *struct {
		Count int64  `json:"count"`
		Root  string `json:"root"`
	} `json:"set"`
}

// tree is the signed head.
type tree struct {
	origin string
	size   int64
	root   tlog.Hash
}

// openHead checks the checkpoint's signature (C2SP tlog-checkpoint).
func openHead(checkpoint string, keys []note.Verifier) (tree, error) {
	n, err := note.Open([]byte(checkpoint), note.VerifierList(keys...))
	if err != nil {
		return tree{}, fmt.Errorf("the head isn't signed by a key that was given: %w", err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 || lines[0] != n.Sigs[0].Name {
		return tree{}, errors.New("the head isn't one of the log whose key signed it")
	}
	t := tree{origin: lines[0]}
	if t.size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || t.size < 0 || t.size > maxSize || strconv.FormatInt(t.size, 10) != lines[1] {
		return tree{}, errors.New("the head's size isn't a number")
	}
	if t.root, err = hash(lines[2]); err != nil {
		return tree{}, errors.New("the head's root isn't a hash")
	}
	return t, nil
}

func hash(text string) (h tlog.Hash, err error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != len(h) {
		return h, errors.New("not a hash")
	}
	copy(h[:], raw)
	return h, nil
}

// maxSize bounds what has a number of entries: a log, a day's list, a set. None is
// so large, and from 2^62 on x/mod's tlog never comes to an end.
const maxSize = 1 << 56

// holds checks that an event is in the tree, and reads its line.
func (t tree) holds(e *Event) (l line, err error) {
	if e.Index < 0 || e.Index >= t.size || tlog.CheckRecord(e.Path, t.size, t.root, e.Index, tlog.RecordHash([]byte(e.Line))) != nil {
		return l, fmt.Errorf("event %d isn't in the signed log as the proof has it", e.Index)
	}
	if err := json.Unmarshal([]byte(e.Line), &l); err != nil || l.Index != e.Index {
		return l, fmt.Errorf("event %d isn't an event of such a log", e.Index)
	}
	return l, nil
}

// in checks that an entry is in a day's list.
func (p *Place) in(d *Daily) (Token, error) {
	var t Token
	leaf := Leaf{First: p.First, Last: p.Last}
	if copy(leaf.Token[:], p.Token); len(p.Token) != len(t) || p.Place < 0 || p.Place >= d.Count || d.Count > maxSize || p.First < 1 || p.Last < p.First ||
		tlog.CheckRecord(p.Path, d.Count, d.Root, p.Place, tlog.RecordHash(leaf.Append(nil))) != nil {
		return t, errors.New("an entry isn't in the day's list")
	}
	return leaf.Token, nil
}

// absent checks that a token stands between two neighbours, or before the first
// entry, or after the last, or in an empty list.
func (d *Day) absent(of *Daily, token Token) error {
	if of.Count == 0 && d.Left == nil && d.Right == nil {
		if empty, _ := tlog.TreeHash(0, nil); of.Root != empty {
			return errors.New("its list isn't empty")
		}
		return nil
	}
	next := int64(0)
	if d.Left != nil {
		left, err := d.Left.in(of)
		if err != nil || bytes.Compare(left[:], token[:]) >= 0 {
			return errors.New("its left neighbour doesn't stand before the subject")
		}
		next = d.Left.Place + 1
	}
	if d.Right == nil {
		if next != of.Count {
			return errors.New("its list goes on where the proof ends it")
		}
		return nil
	}
	right, err := d.Right.in(of)
	if err != nil || bytes.Compare(right[:], token[:]) <= 0 || d.Right.Place != next {
		return errors.New("its right neighbour doesn't stand next behind the subject")
	}
	return nil
}
