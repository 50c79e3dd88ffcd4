package auditlog

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"azekura/register/field"

	"github.com/google/uuid"
)

// errLine is deliberately bare: the caller names the index, and a line that
// someone altered isn't repeated.
var errLine = errors.New("not a line that this log writes")

// ParseLine reads a line back. It accepts only what line writes, byte for
// byte: keys in that order, nothing added.
func ParseLine(line []byte) (Event, error) {
	var e Event
	s := scanner{rest: string(line)}
	s.want(`{"v":1,"log":`)
	e.Log = s.integer()
	s.want(`,"index":`)
	e.Index = s.integer()
	s.want(`,"time":"`)
	e.Time = s.time()
	s.want(`","action":"`)
	action, known := parseAction(s.until('"'))
	s.bad = s.bad || !known
	e.Action = action
	for _, text := range []struct {
		key string
		to  *string
	}{{"outcome", &e.Outcome}, {"purpose", &e.Purpose}, {"case", &e.Case}, {"staff", &e.Staff}, {"role", &e.Role}, {"device", &e.Device}} {
		*text.to = s.text(text.key)
	}
	if s.maybe(`,"session":"z`) {
		e.Session = Session(s.hex16())
		s.want(`,"session_seq":`)
		e.SessionSeq = s.integer()
	}
	if s.maybe(`,"participant":"`) {
		id, err := uuid.Parse(s.until('"'))
		s.bad = s.bad || err != nil
		e.Participant = id
		s.want(`,"participant_seq":`)
		e.ParticipantSeq = s.integer()
	}
	if s.maybe(`,"fields":{`) {
		e.Fields = s.fields()
	}
	if s.maybe(`,"set":{"id":"`) {
		e.Set = s.set()
	}
	e.Request = s.text("request")
	if s.maybe(`,"detail":`) {
		e.Detail = s.value()
	}
	s.want(`,"salt":"`)
	s.decode(base64.RawURLEncoding, e.salt[:], s.until('"'))
	s.want(`}`)
	if s.bad || s.rest != "" {
		return Event{}, errLine
	}
	return e, nil
}

// scanner reads a line from its start; once bad, it stays bad.
type scanner struct {
	rest string
	bad  bool
}

func (s *scanner) maybe(prefix string) bool {
	if s.bad || !strings.HasPrefix(s.rest, prefix) {
		return false
	}
	s.rest = s.rest[len(prefix):]
	return true
}

func (s *scanner) want(prefix string) {
	if !s.maybe(prefix) {
		s.bad = true
	}
}

func (s *scanner) until(end byte) string {
	i := strings.IndexByte(s.rest, end)
	if s.bad || i < 0 {
		s.bad = true
		return ""
	}
	text := s.rest[:i]
	s.rest = s.rest[i+1:]
	return text
}

func (s *scanner) integer() int64 {
	i := 0
	for i < len(s.rest) && s.rest[i] >= '0' && s.rest[i] <= '9' {
		i++
	}
	n, err := strconv.ParseInt(s.rest[:i], 10, 64)
	if err != nil || i > 1 && s.rest[0] == '0' {
		s.bad = true
		return 0
	}
	s.rest = s.rest[i:]
	return n
}

func (s *scanner) hex16() int64 {
	text := s.until('"')
	n, err := strconv.ParseUint(text, 16, 63)
	if err != nil || len(text) != 16 || strings.ToLower(text) != text {
		s.bad = true
	}
	return int64(n)
}

func (s *scanner) time() int64 {
	if s.bad || len(s.rest) < len(timeLayout) {
		s.bad = true
		return 0
	}
	text := s.rest[:len(timeLayout)]
	t, err := time.Parse(timeLayout, text)
	if err != nil {
		s.bad = true
		return 0
	}
	s.rest = s.rest[len(timeLayout):]
	return t.UnixMicro()
}

// text is a key's string, or nothing where the key is absent.
func (s *scanner) text(key string) string {
	if s.bad || !strings.HasPrefix(s.rest, `,"`) || !strings.HasPrefix(s.rest[2:], key) || !strings.HasPrefix(s.rest[2+len(key):], `":"`) {
		return ""
	}
	s.rest = s.rest[2+len(key)+2:]
	if i := strings.IndexAny(s.rest[1:], `"\`); i > 0 && s.rest[1+i] == '"' {
		text := s.rest[1 : 1+i]
		s.rest = s.rest[i+2:]
		return text
	}
	var text string
	if json.Unmarshal(s.value(), &text) != nil || text == "" {
		s.bad = true
	}
	return text
}

// value is one JSON value of any kind.
func (s *scanner) value() json.RawMessage {
	if s.bad {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(s.rest))
	var raw json.RawMessage
	if d.Decode(&raw) != nil {
		s.bad = true
		return nil
	}
	s.rest = s.rest[d.InputOffset():]
	return raw
}

func (s *scanner) fields() []FieldVersion {
	list := make([]FieldVersion, 0, 4)
	for {
		s.want(`"`)
		f, ok := fieldByName(s.until('"'))
		s.want(`:`)
		list = append(list, FieldVersion{f, s.integer()})
		s.bad = s.bad || !ok
		if s.bad || s.maybe(`}`) {
			return list
		}
		s.want(`,`)
	}
}

func fieldByName(name string) (field.Field, bool) {
	switch name {
	case "existence":
		return field.Existence, true
	case "mask":
		return field.Mask, true
	}
	f, err := field.Parse(name)
	return f, err == nil
}

func (s *scanner) set() *SetInfo {
	info := &SetInfo{ID: s.hex16()}
	s.want(`,"count":`)
	info.Count = s.integer()
	s.want(`,"root":"`)
	s.decode(base64.StdEncoding, info.Root[:], s.until('"'))
	info.Job = s.text("job")
	info.Opens = s.maybe(`,"opens":true`)
	if !info.Opens {
		s.want(`,"opens":false`)
	}
	s.want(`,"fields":"`)
	for _, name := range strings.Split(s.until('"'), ",") {
		if f, ok := fieldByName(name); ok {
			info.Union |= field.SetOf(f)
		} else if name != "" {
			s.bad = true
		}
	}
	s.want(`}`)
	return info
}

func (s *scanner) decode(enc *base64.Encoding, into []byte, text string) {
	raw, err := enc.Strict().DecodeString(text)
	if err != nil || len(raw) != len(into) {
		s.bad = true
		return
	}
	copy(into, raw)
}
