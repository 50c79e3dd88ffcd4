package drill

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"azekura/api"
	"azekura/register/field"
	"azekura/register/value"

	"github.com/google/uuid"
)

const (
	maxLine     = 64 << 10
	maxAttempts = 16
)

// Unmatched are the attacker's lines that can't be so, by what is wrong with them.
type Unmatched struct {
	Lines     int64 `json:"lines"`
	Malformed int64 `json:"malformed"` // not of PROTOCOL.md's form
	Unknown   int64 `json:"unknown"`   // of a participant or a ref that isn't in the register
	Different int64 `json:"different"` // with values that aren't theirs
}

// tally is what the attacker says that it obtained.
type tally struct {
	stolen    []field.Set // by place in the register
	attempts  []Attempt
	unmatched Unmatched
}

// tallyLine is a line of PROTOCOL.md.
type tallyLine struct {
	Attempt     string      `json:"attempt"`
	Participant string      `json:"participant"`
	Ref         string      `json:"ref"`
	Fields      []string    `json:"fields"`
	None        []string    `json:"none"`
	Values      *api.Values `json:"values"`
	Mask        *maskLine   `json:"mask"`
	Tried       *int64      `json:"tried"`
	Stopped     string      `json:"stopped"`
	PC          string      `json:"pc"`
	At          *time.Time  `json:"at"`
}

type maskLine struct {
	Name    string `json:"name"`
	Birth   string `json:"birth"`
	Address string `json:"address"`
}

var (
	errMalformed = errors.New("malformed")
	errUnknown   = errors.New("unknown")
	errDifferent = errors.New("different")
	errCanary    = errors.New("a canary")
)

// readTally reads an attacker's file, of which nothing is believed that the
// truth contradicts.
func (t *truth) readTally(r io.Reader) (*tally, error) {
	a := &tally{stolen: make([]field.Set, len(t.people))}
	in := bufio.NewReaderSize(r, maxLine+1)
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			if err := rest(in); err != nil {
				return nil, err
			}
			a.count(errMalformed)
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return nil, fmt.Errorf("read what the attacker wrote down: %w", err)
		}
		if len(bytes.TrimSpace(line)) > 0 {
			a.count(a.take(t, line))
		}
		if err != nil {
			return a, nil
		}
	}
}

// rest reads over the rest of a line that is too long.
func rest(in *bufio.Reader) error {
	for {
		switch _, err := in.ReadSlice('\n'); {
		case err == nil, errors.Is(err, io.EOF):
			return nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

func (a *tally) count(err error) {
	switch {
	case err == nil:
		return
	case errors.Is(err, errUnknown):
		a.unmatched.Unknown++
	case errors.Is(err, errDifferent):
		a.unmatched.Different++
	default:
		a.unmatched.Malformed++
	}
	a.unmatched.Lines++
}

func (a *tally) take(t *truth, text []byte) error {
	var l tallyLine
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil || d.More() {
		return errMalformed
	}
	attempt, err := a.attempt(l.Attempt)
	if err != nil {
		return err
	}
	if (l.Stopped != "" || l.PC != "" || l.At != nil) && l.Tried == nil || (l.PC == "") != (l.At == nil) {
		return errMalformed
	}
	if l.Participant == "" && l.Tried != nil && *l.Tried >= 0 {
		if l.Stopped != "" && !attemptName.MatchString(l.Stopped) {
			return errMalformed
		}
		attempt.Tried = max(attempt.Tried, *l.Tried)
		if l.Stopped != "" {
			attempt.StoppedBy = l.Stopped
		}
		return attempt.timed(&l)
	}
	told, err := l.told()
	if err != nil {
		return err
	}
	i, err := t.whose(&l)
	if errors.Is(err, errCanary) {
		attempt.Released++
		attempt.Tried = max(attempt.Tried, attempt.Released)
		return nil // nobody's data
	}
	if err != nil {
		return err
	}
	if !t.agrees(&t.people[i], &l) {
		return errDifferent
	}
	a.stolen[i] |= told
	attempt.took(i, len(t.people))
	attempt.Released++
	attempt.Tried = max(attempt.Tried, attempt.Released)
	return nil
}

// took notes a person as obtained by this way.
func (a *Attempt) took(i int32, people int) {
	if a.people == nil {
		a.people = make([]uint64, (people+63)/64)
	}
	if word, bit := &a.people[i/64], uint64(1)<<(i%64); *word&bit == 0 {
		*word |= bit
		a.Participants++
	}
}

var attemptName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

func (a *tally) attempt(name string) (*Attempt, error) {
	if name == "" {
		name = "attacker"
	}
	for i := range a.attempts {
		if a.attempts[i].Name == name {
			return &a.attempts[i], nil
		}
	}
	if !attemptName.MatchString(name) || len(a.attempts) == maxAttempts {
		return nil, errMalformed
	}
	a.attempts = append(a.attempts, Attempt{Name: name})
	return &a.attempts[len(a.attempts)-1], nil
}

// told is what the answer told: fields, and that there are none of others.
func (l *tallyLine) told() (field.Set, error) {
	var told field.Set
	for _, name := range l.Fields {
		f, ok := pseudoField(name)
		if !ok {
			return 0, errMalformed
		}
		told |= field.SetOf(f)
	}
	for _, name := range l.None {
		f, err := field.Parse(name)
		if err != nil || told.Has(f) {
			return 0, errMalformed
		}
		told |= field.SetOf(f)
	}
	if told == 0 {
		return 0, errMalformed
	}
	return told, nil
}

// pseudoField reads also the names that no read asks for.
func pseudoField(name string) (field.Field, bool) {
	for _, f := range []field.Field{field.Existence, field.Mask} {
		if f.String() == name {
			return f, true
		}
	}
	f, err := field.Parse(name)
	return f, err == nil
}

func (t *truth) whose(l *tallyLine) (int32, error) {
	id, err := uuid.Parse(l.Participant)
	if err != nil {
		return 0, errMalformed
	}
	i, ok := t.byID[id]
	if !ok && t.canary != nil && t.canary(id) {
		return 0, errCanary
	}
	if !ok {
		return 0, errUnknown
	}
	if l.Ref != "" {
		if of, ok := t.byRef[l.Ref]; !ok {
			return 0, errUnknown
		} else if of != i {
			return 0, errDifferent
		}
	}
	return i, nil
}

// agrees says whether all that a line shows is so.
func (t *truth) agrees(k *known, l *tallyLine) bool {
	if l.Values != nil {
		for f, text := range texts(l.Values) {
			if text != "" && t.hash(text) != k.values[f] {
				return false
			}
		}
	}
	for _, name := range l.None {
		if f, err := field.Parse(name); err != nil || k.values[f] != 0 {
			return false
		}
	}
	if l.Mask != nil {
		for m, text := range [...]string{l.Mask.Name, l.Mask.Birth, l.Mask.Address} {
			if text != "" && t.hash(text) != k.masks[m] {
				return false
			}
		}
	}
	return true
}

// texts are an answer's values as the register holds them.
func texts(v *api.Values) map[field.Field]string {
	m := map[field.Field]string{field.Number: v.Number, field.Name: v.Name, field.Kana: v.Kana, field.Romaji: v.Romaji, field.Birth: v.Birth,
		field.Sex: v.Sex, field.Phone: v.Phone, field.Email: v.Email, field.Ref: v.Ref}
	if v.Address != nil {
		m[field.Address] = value.JoinAddress(v.Address.PostalCode, v.Address.Text)
	}
	if v.Account != nil {
		m[field.Account] = value.JoinAccount(v.Account.Bank, v.Account.Branch, v.Account.Type, v.Account.Number, v.Account.Holder)
	}
	return m
}
