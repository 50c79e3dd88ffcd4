package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"azekura/auditlog"
)

// Purpose is that of the event that sets the text in force.
const Purpose = "policy"

// MaxInForce bounds a text that is set: its event holds it twice, once as people read
// and signed it.
const MaxInForce = 12 << 10

// ErrChanged means that other policies came into force while something was asked.
var ErrChanged = errors.New("other policies came into force meanwhile; ask again")

// setting is the detail of the event.
type setting struct {
	Hash     string `json:"hash"`
	Text     string `json:"text"`
	Approval string `json:"approval,omitempty"`
}

// Text is what is in force from an event on.
type Text struct {
	Hash  string    `json:"hash"`
	Text  string    `json:"text"`
	Log   int64     `json:"log"`
	Event int64     `json:"event" doc:"index of the event that set it"`
	Since time.Time `json:"since"`
	// Wrong is why nothing is opened by it.
	Wrong string `json:"wrong,omitempty" doc:"why the text doesn't load; nothing is opened then"`

	set *Set
}

// InForce holds the text that the log says is in force. Before the first one is set
// nothing is asked here: the role, the case and the budgets decide alone.
type InForce struct{ now atomic.Pointer[Text] }

// Replay takes an event of authority in, at the start and as each is committed, before
// the receipts of its batch go out. A text that doesn't load refuses everything.
func (f *InForce) Replay(e auditlog.Event) error {
	if e.Action != auditlog.System || e.Purpose != Purpose || e.Outcome != "ok" {
		return nil
	}
	t := &Text{Log: e.Log, Event: e.Index, Since: time.UnixMicro(e.Time).UTC()}
	var s setting
	err := json.Unmarshal(e.Detail, &s)
	if err == nil {
		t.Hash, t.Text = s.Hash, s.Text
		t.set, err = Load([]byte(s.Text))
	}
	if err == nil && t.set.Hash() != s.Hash {
		// The schema is part of the hash: what people signed meant something else.
		err = fmt.Errorf("%w: the text, or what policies may ask about, isn't what was signed; set it anew", ErrInvalid)
	}
	if err != nil {
		t.set, t.Wrong = nil, err.Error()
	}
	f.now.Store(t)
	return nil // a start goes on, so that another text can be set
}

// Heed is Replay for the log's hearers.
func (f *InForce) Heed(e auditlog.Event) { _ = f.Replay(e) }

// Now is the text in force, or nil.
func (f *InForce) Now() *Text { return f.now.Load() }

// Still refuses what was decided by another text than the one in force.
func (f *InForce) Still(by *Text) error {
	if f.now.Load() != by {
		return ErrChanged
	}
	return nil
}

// Decide asks the text. Nil, where none was ever set, allows.
func (t *Text) Decide(r Request, now time.Time) Decision {
	switch {
	case t == nil:
		return Decision{Allowed: true}
	case t.set == nil:
		return Decision{Failed: []string{"text"}, Missing: []Missing{{En: "policies that load; whoever runs this installation must set them anew", Ja: "読み込める方針（管理者による再設定が必要です）"}}}
	}
	return t.set.Decide(t.set.At(r, now))
}

// Event is the event that sets a text, which must load and pass its own tests.
func Event(text []byte, approval string) (auditlog.Event, error) {
	s, err := Fit(text)
	if err != nil {
		return auditlog.Event{}, err
	}
	var detail bytes.Buffer
	enc := json.NewEncoder(&detail)
	enc.SetEscapeHTML(false) // policies are full of && and <
	if err := enc.Encode(setting{s.Hash(), string(text), approval}); err != nil {
		return auditlog.Event{}, err
	}
	return auditlog.Event{Action: auditlog.System, Outcome: "ok", Purpose: Purpose, Detail: bytes.TrimSpace(detail.Bytes())}, nil
}

// Fit loads a text that could be set.
func Fit(text []byte) (*Set, error) {
	if len(text) > MaxInForce {
		return nil, fmt.Errorf("%w: a text in force has up to %d bytes, since its event holds it", ErrInvalid, MaxInForce)
	}
	if !utf8.Valid(text) || bytes.ContainsAny(text, "\t\r") || bytes.HasSuffix(text, []byte("\n\n")) || !bytes.HasSuffix(text, []byte("\n")) {
		return nil, fmt.Errorf("%w: write it in UTF-8, without tabs and carriage returns, to the end of its last line", ErrInvalid)
	}
	s, err := Load(text)
	if err != nil {
		return nil, err
	}
	if s.Tests() == 0 {
		return nil, fmt.Errorf("%w: the text has no tests of its own; write lines such as //! refuse night: time=06:59", ErrInvalid)
	}
	if failed := s.Test(); len(failed) > 0 {
		return nil, fmt.Errorf("%w: %d of its own tests fail; the first: %s", ErrInvalid, len(failed), failed[0])
	}
	return s, nil
}
