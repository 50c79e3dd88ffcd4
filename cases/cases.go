// Package cases keeps the cases: why a record may be opened. A case has a kind, a
// state, the staff member whom it is assigned to, the participants whom it is
// about and how they were identified; tasks, notes and a history.
//
// It promises that every act is an event of the audit log before it counts, and
// that what a case permits is made from the log alone: the open cases are held in
// memory, rebuilt at the start from a snapshot and the events after it, which
// together must give the signed root. So a row that somebody edits, deletes, or
// puts back to what it was before a case was closed, grants nothing; it is found,
// is an alarm, and the cases are made from all events instead. How many wrong
// answers a case and a staff member had is rebuilt the same way.
//
// A case may be bound to a search, by its hash: whoever touched their key for it meant
// that one, and no other is made in the case (seek.go).
//
// It doesn't decide what is opened: the gate asks it (Ask, About), and the gate
// alone opens notes. Closed cases lie in rows, for the eye and to be opened again;
// a case that is opened again begins with nothing identified.
package cases

import (
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"azekura/access"
	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/keyring"
	"azekura/register/field"

	"github.com/google/uuid"
)

//go:embed schema.sql
var schema string

// Migrations make this package's tables.
var Migrations = []db.Migration{{Name: "cases/1-first", SQL: schema}}

var (
	// ErrDenied means that the case doesn't let this staff member do that.
	ErrDenied = errors.New("the case doesn't permit that")
	// ErrNotFound means that there is no case of that code.
	ErrNotFound = errors.New("there is no case of that code; azekura case list shows yours, azekura case open makes one")
	// ErrInvalid means that an argument isn't of the form it must have.
	ErrInvalid = errors.New("invalid")
	// ErrTampered means that a case's row isn't what was written there.
	ErrTampered = errors.New("a row of the cases isn't what was written there, so nothing rests on it; azekura log alarms names it")
)

// Kind is what a case came of. The numbers are stored: never renumber.
type Kind uint8

// The kinds.
const (
	Call Kind = iota + 1
	Visit
	Letter
	Application
	Death
	Merge
	Representative
	Review
)

// kindInfo is what goes with a kind.
type kindInfo struct {
	name     string
	purposes []string // for which a case of this kind is a reason
	people   int      // how many participants it can be about
}

var kinds = [...]kindInfo{
	Call:           {"call", []string{"enquiry", "change"}, 1},
	Visit:          {"visit", []string{"visit", "enquiry", "application", "change"}, 1},
	Letter:         {"letter", []string{"letter", "enquiry", "change"}, 1},
	Application:    {"application", []string{"application", "enquiry", "change"}, 1},
	Death:          {"death", []string{"death", "enquiry", "change"}, 2},
	Merge:          {"merge", []string{"review", "change"}, 2},
	Representative: {"representative", []string{"enquiry", "application", "change"}, 2},
	Review:         {"review", []string{"review", "audit"}, 1},
}

// KindNames are the kinds as they are written.
func KindNames() (names []string) {
	for _, k := range kinds[1:] {
		names = append(names, k.name)
	}
	return names
}

// String is the kind's name.
func (k Kind) String() string {
	if k == 0 || int(k) >= len(kinds) {
		return "unknown"
	}
	return kinds[k].name
}

// ParseKind reads a kind's name.
func ParseKind(name string) (Kind, error) {
	if i := slices.Index(KindNames(), name); i >= 0 {
		return Kind(i + 1), nil
	}
	return 0, fmt.Errorf("%w: a case is a %s", ErrInvalid, strings.Join(KindNames(), ", "))
}

// State is where a case is. The numbers are stored: never renumber.
type State uint8

// The states. Nothing is opened for a case that waits or is closed.
const (
	Open State = iota + 1
	Waiting
	Closed
)

// String is the state's name.
func (s State) String() string { return [...]string{"unknown", "open", "waiting", "closed"}[s%4] }

// Documents are what was seen at a visit, or came with an application.
var Documents = []string{"my-number-card", "driving-licence", "passport", "residence-card", "pension-book", "power-of-attorney", "court-order", "family-register"}

// Outcomes are how a case ended.
var Outcomes = []string{"done", "answered", "not-identified", "withdrawn", "passed-on", "mistake"}

// TaskKinds are what may be left to do. A task has no text: that is a note.
var TaskKinds = []string{"call-back", "send-form", "wait-for-reply", "check-document", "ask-supervisor", "correct-record", "other"}

const (
	maxTasks  = 32
	maxNotes  = 200
	maxPeople = 8 // whom a case may check
	// MaxNote is the longest note, in bytes.
	MaxNote = 4000
)

// codeAlphabet is Crockford's base 32: no I, L, O, U to mistake.
const codeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

var ours = regexp.MustCompile(`^C-[0-7][0-9A-HJKMNP-TV-Z]{12}$`)

// IsCode tells whether a code is of the form that this installation gives out. A
// case of such a code must exist, whatever the policy.
func IsCode(code string) bool { return ours.MatchString(code) }

// codeOf writes a case's number, 63 bits: 13 characters.
func codeOf(no int64) string {
	var b [13]byte
	for i := range b {
		b[i] = codeAlphabet[no>>(5*(12-i))&31]
	}
	return "C-" + string(b[:])
}

func parseCode(code string) (int64, error) {
	if !IsCode(code) {
		return 0, fmt.Errorf("%w: a case's code is C- and 13 letters and digits", ErrInvalid)
	}
	no := int64(0)
	for _, c := range code[2:] {
		no = no<<5 | int64(strings.IndexRune(codeAlphabet, c))
	}
	return no, nil
}

// person is a participant in a case: one whom it checked, or is about.
type person struct {
	ID    uuid.UUID `json:"id"`
	Yes   uint16    `json:"yes,omitempty"`  // fields that were checked and were right
	Docs  uint8     `json:"docs,omitempty"` // documents seen: by place in Documents
	Wrong uint16    `json:"wrong,omitempty"`
	About bool      `json:"about,omitempty"`
	Word  bool      `json:"word,omitempty"` // a supervisor's own word, in a review
	Notes int32     `json:"notes,omitempty"`
}

// level is how well the participant is known to be who they are said to be: 1 by
// two right answers of which one is the number or the date of birth, 2 by three,
// or by one and a document; 3 by two and a document.
func (p *person) level() int {
	yes := field.Set(p.Yes)
	if yes.Has(field.Name) {
		yes &^= field.SetOf(field.Kana) // it follows from the name
	}
	n := yes.Len()
	key := yes&(field.SetOf(field.Number)|field.SetOf(field.Birth)) != 0
	switch {
	case p.Word:
		return 2
	case p.Docs != 0 && n >= 2 && key:
		return 3
	case p.Docs != 0 && n >= 1 && key, n >= 3 && key:
		return 2
	case n >= 2 && key:
		return 1
	}
	return 0
}

// counted are the fields that tell who somebody is.
var counted = field.SetOf(field.Number, field.Name, field.Kana, field.Birth, field.Address, field.Phone, field.Email, field.Account)

type task struct {
	Kind uint8 `json:"kind"` // by place in TaskKinds
	Due  int32 `json:"due"`  // days since 1970, in Japan
	Done bool  `json:"done,omitempty"`
}

// file is a case as memory and its row hold it.
type file struct {
	No     int64 `json:"no"`
	Opened int64 `json:"opened"` // microseconds, UTC
	Log    int64 `json:"log"`    // of the newest event
	Event  int64 `json:"event"`
	Kind   Kind  `json:"kind"`
	State  State `json:"state"`
	// Touched says that who opened it touched their key for that.
	Touched bool     `json:"touched,omitempty"`
	Need    uint16   `json:"need,omitempty"` // the fields that are to be read in it
	For     []string `json:"for,omitempty"`  // the searches that are made in it, once the key was touched for that
	Staff   string   `json:"staff"`
	Office  string   `json:"office"`
	People  []person `json:"people,omitempty"`
	Tasks   []task   `json:"tasks,omitempty"`
	// Since is the event from which on answers count: that which opened the case,
	// or opened it again.
	SinceLog int64 `json:"since_log"`
	Since    int64 `json:"since"`
	Outcome  uint8 `json:"outcome,omitempty"` // of a closed one, by place in Outcomes, from 1

	word   keyring.Token // what the snapshot's sum has of it
	summed bool
}

func (f *file) person(id uuid.UUID) *person {
	for i := range f.People {
		if f.People[i].ID == id {
			return &f.People[i]
		}
	}
	return nil
}

func (f *file) about() (n int) {
	for i := range f.People {
		if f.People[i].About {
			n++
		}
	}
	return n
}

// free tells whether the case can still be about somebody more.
func (f *file) free() bool { return f.about() < kinds[f.Kind].people }

func (f *file) clone() *file {
	c := *f
	c.People, c.Tasks = slices.Clone(f.People), slices.Clone(f.Tasks)
	return &c
}

// stripes let acts of different cases commit together, and those of one after
// another.
const stripes = 256

// Room holds the cases. Its methods are safe for many callers.
type Room struct {
	db     db.DB
	ring   *keyring.Ring
	log    *auditlog.Log
	access *access.Directory
	rand   io.Reader
	chain  int64 // the first log of the chain, in each row's key

	turns [stripes]sync.Mutex
	// flow is held for reading from before an event is recorded until memory has
	// it, and for writing when memory must be what the log says, to the event.
	flow    sync.RWMutex
	writing sync.Mutex  // one snapshot at a time
	unsure  atomic.Bool // an event may be in the log of which memory doesn't know

	mu       sync.RWMutex
	at       auditlog.Place // of the last snapshot
	state    *state
	pending  map[try]int
	back     [stripes]*file // closed cases that are being opened again, by turn
	required bool
}

// New makes a room that knows no case; Load fills it.
func New(d db.DB, ring *keyring.Ring, log *auditlog.Log, dir *access.Directory, rand io.Reader) *Room {
	r := &Room{db: d, ring: ring, log: log, access: dir, rand: rand, chain: log.ID(), state: newState(), pending: map[try]int{}}
	if past := log.Signer().Past(); len(past) > 0 {
		r.chain = past[0].LogID
	}
	return r
}

// PurposeRequired is of the system event from which on every opening takes a case
// that exists.
const PurposeRequired = "require-cases"

// Replay hears of the events of authority, in the log's order, at the start.
func (r *Room) Replay(e auditlog.Event) error {
	if e.Action == auditlog.System && e.Purpose == PurposeRequired {
		r.required = true
	}
	return nil
}

// Required tells whether every opening takes a case that exists.
func (r *Room) Required() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.required
}

// RecordRequired makes it so in a log that isn't served.
func RecordRequired(ctx context.Context, log *auditlog.Log) error {
	event := auditlog.Event{Action: auditlog.System, Outcome: "ok", Purpose: PurposeRequired}
	if _, err := log.RecordOne(context.WithoutCancel(ctx), event); err != nil {
		return fmt.Errorf("record that cases are required: %w", err)
	}
	return nil
}

// Require makes it so, for good.
func (r *Room) Require(ctx context.Context) error {
	if r.Required() {
		return nil
	}
	if err := RecordRequired(ctx, r.log); err != nil {
		return err
	}
	r.mu.Lock()
	r.required = true
	r.mu.Unlock()
	return nil
}

// newNo draws a number that no case has.
func (r *Room) newNo(ctx context.Context) (int64, error) {
	for {
		var raw [8]byte
		if _, err := io.ReadFull(r.rand, raw[:]); err != nil {
			return 0, err
		}
		no := int64(binary.BigEndian.Uint64(raw[:]) >> 1)
		r.mu.RLock()
		taken := r.state.files[no] != nil
		r.mu.RUnlock()
		if taken {
			continue
		}
		old, err := r.row(ctx, no)
		if err != nil || old == nil {
			return no, err
		}
	}
}

// turn is the lock of one case's acts.
func (r *Room) turn(no int64) *sync.Mutex { return &r.turns[uint64(no)%stripes] }
