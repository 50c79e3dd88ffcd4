package auditlog

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"azekura/register/field"
)

// errLine is deliberately bare: the caller names the index, and a line that
// someone altered isn't repeated.
var errLine = errors.New("not a line that this log writes")

// ParseLine reads a line back. It accepts only what line writes, byte for
// byte: keys in that order, nothing added, no other spelling of a value.
func ParseLine(line []byte) (Event, error) {
	var e Event
	if !e.parse(line, string(line)) {
		return Event{}, errLine
	}
	return e, nil
}

// parse fills e. Its texts are parts of copied, the line once more; without it
// they are checked and left out, which is what verifying a million lines wants.
// Fields reuses what e held.
func (e *Event) parse(line []byte, copied string) bool {
	*e = Event{Fields: e.Fields[:0]}
	s := scanner{rest: line, copied: copied}
	s.want(`{"v":1,"log":`)
	e.Log = s.integer()
	s.want(`,"index":`)
	e.Index = s.integer()
	s.want(`,"time":"`)
	e.Time = s.time()
	s.want(`","action":"`)
	action, known := parseAction(string(s.until('"')))
	s.bad = s.bad || !known
	e.Action = action
	yes := bytes.HasPrefix(s.rest, outcomeYes)
	e.Outcome = s.text(`,"outcome":"`)
	if yes { // without its texts too an event must tell what it opened
		e.Outcome = "yes"
	}
	e.Purpose = s.text(`,"purpose":"`)
	e.Case = s.text(`,"case":"`)
	e.Staff = s.text(`,"staff":"`)
	e.Role = s.text(`,"role":"`)
	e.Device = s.text(`,"device":"`)
	if s.maybe(`,"session":"z`) {
		e.Session = Session(s.hex16())
		s.bad = s.bad || e.Session == 0
		s.want(`,"session_seq":`)
		e.SessionSeq = s.integer()
	}
	if s.maybe(`,"participant":"`) {
		e.Participant = s.uuid()
		s.want(`,"participant_seq":`)
		e.ParticipantSeq = s.integer()
	}
	if s.maybe(`,"fields":{`) {
		e.Fields = s.fields(e.Fields)
	}
	if s.maybe(`,"set":{"id":"`) {
		e.Set = s.set()
	}
	e.Request = s.text(`,"request":"`)
	if s.maybe(`,"detail":`) {
		e.Detail = s.value()
	}
	s.want(`,"salt":"`)
	s.decode(base64.RawURLEncoding, e.salt[:], s.until('"'))
	s.want(`}`)
	return !s.bad && len(s.rest) == 0
}

var outcomeYes = []byte(`,"outcome":"yes"`)

// scanner reads a line from its start; once bad, it stays bad.
type scanner struct {
	rest   []byte
	copied string
	bad    bool
}

func (s *scanner) maybe(prefix string) bool {
	if s.bad || len(s.rest) < len(prefix) || string(s.rest[:len(prefix)]) != prefix {
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

// take is the next n bytes.
func (s *scanner) take(n int) []byte {
	if s.bad || len(s.rest) < n {
		s.bad = true
		return nil
	}
	text := s.rest[:n]
	s.rest = s.rest[n:]
	return text
}

func (s *scanner) until(end byte) []byte {
	i := bytes.IndexByte(s.rest, end)
	if s.bad || i < 0 {
		s.bad = true
		return nil
	}
	text := s.rest[:i]
	s.rest = s.rest[i+1:]
	return text
}

func (s *scanner) integer() int64 {
	n, i := int64(0), 0
	for ; i < len(s.rest) && s.rest[i] >= '0' && s.rest[i] <= '9'; i++ {
		if n > (math.MaxInt64-9)/10 { // no number here comes near
			s.bad = true
			return 0
		}
		n = n*10 + int64(s.rest[i]-'0')
	}
	if i == 0 || i > 1 && s.rest[0] == '0' {
		s.bad = true
		return 0
	}
	s.rest = s.rest[i:]
	return n
}

func (s *scanner) hex16() int64 {
	text := s.until('"')
	var raw [8]byte
	if len(text) != 16 || !decodeHex(raw[:], text) || raw[0] > 0x7f {
		s.bad = true
		return 0
	}
	var n int64
	for _, b := range raw {
		n = n<<8 | int64(b)
	}
	return n
}

// hexDigit is a digit's value and one, so that zero is no digit. Only small
// letters are written.
var hexDigit = func() (t [256]byte) {
	for i, c := range "0123456789abcdef" {
		t[c] = byte(i + 1)
	}
	return t
}()

func decodeHex(into, text []byte) bool {
	for i := range into {
		high, low := hexDigit[text[2*i]], hexDigit[text[2*i+1]]
		if high == 0 || low == 0 {
			return false
		}
		into[i] = (high-1)<<4 | (low - 1)
	}
	return true
}

func (s *scanner) uuid() (id ID) {
	t := s.take(37)
	if s.bad || t[8] != '-' || t[13] != '-' || t[18] != '-' || t[23] != '-' || t[36] != '"' ||
		!decodeHex(id[0:4], t) || !decodeHex(id[4:6], t[9:]) || !decodeHex(id[6:8], t[14:]) ||
		!decodeHex(id[8:10], t[19:]) || !decodeHex(id[10:16], t[24:]) || id == (ID{}) {
		s.bad = true
	}
	return id
}

// time reads timeLayout; time.Parse would take more spellings, and longer.
func (s *scanner) time() int64 {
	t := s.take(len(timeLayout))
	if s.bad || t[4] != '-' || t[7] != '-' || t[10] != 'T' || t[13] != ':' || t[16] != ':' || t[19] != '.' || t[26] != 'Z' {
		s.bad = true
		return 0
	}
	digits := func(from, to int) int {
		n := 0
		for _, c := range t[from:to] {
			if c < '0' || c > '9' {
				s.bad = true
			}
			n = n*10 + int(c-'0')
		}
		return n
	}
	year, month, day := digits(0, 4), digits(5, 7), digits(8, 10)
	hour, minute, second, micro := digits(11, 13), digits(14, 16), digits(17, 19), digits(20, 26)
	at := time.Date(year, time.Month(month), day, hour, minute, second, micro*1000, time.UTC)
	if at.Day() != day || at.Month() != time.Month(month) || hour > 23 || minute > 59 || second > 59 {
		s.bad = true // 30 February would be 2 March
	}
	return at.UnixMicro()
}

// plain are the bytes that a string holds as they are.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x7f; c++ {
		t[c] = !strings.ContainsRune(`"\<>&`, rune(c))
	}
	return t
}()

// text is a key's string, or nothing where the key is absent.
func (s *scanner) text(prefix string) string {
	if !s.maybe(prefix) {
		return ""
	}
	for i := 0; i < len(s.rest); i++ {
		switch {
		case plain[s.rest[i]]:
		case s.rest[i] == '"' && i > 0:
			text := s.copy(i)
			s.rest = s.rest[i+1:]
			return text
		default:
			return s.quoted()
		}
	}
	s.bad = true
	return ""
}

// copy is the next n bytes as a part of the copied line.
func (s *scanner) copy(n int) string {
	if s.copied == "" {
		return ""
	}
	at := len(s.copied) - len(s.rest)
	return s.copied[at : at+n]
}

// quoted is a string that isn't all plain, from behind its first quote.
func (s *scanner) quoted() string {
	end := endOfString(s.rest)
	if end < 0 {
		s.bad = true
		return ""
	}
	raw := append([]byte{'"'}, s.rest[:end]...)
	s.rest = s.rest[end:]
	var text string
	if json.Unmarshal(raw, &text) != nil || text == "" || !bytes.Equal(appendString(nil, text), raw) {
		s.bad = true
	}
	return text
}

// endOfString is where the string ends in whose inside text begins, its last
// quote included, or -1.
func endOfString(text []byte) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// value is one JSON value of any kind, as compactDetail leaves it.
func (s *scanner) value() json.RawMessage {
	depth, end := 0, -1
	for i := 0; i < len(s.rest) && end < 0; i++ {
		switch c := s.rest[i]; {
		case c == '"':
			length := endOfString(s.rest[i+1:])
			if length < 0 {
				s.bad = true
				return nil
			}
			i += length
		case c == '{' || c == '[':
			depth++
		case depth == 0 && (c == ',' || c == '}'):
			end = i
		case c == '}' || c == ']':
			depth--
		}
	}
	raw := bytes.Clone(s.take(max(end, 0)))
	if compacted, err := compactDetail(raw); err != nil || !bytes.Equal(compacted, raw) {
		s.bad = true
	}
	return raw
}

// compactDetail is the one spelling of a detail that a line holds.
func compactDetail(detail []byte) ([]byte, error) {
	var b bytes.Buffer
	if !utf8.Valid(detail) || json.Compact(&b, detail) != nil {
		return nil, errors.New("an event's detail must be JSON")
	}
	return b.Bytes(), nil
}

func (s *scanner) fields(list []FieldVersion) []FieldVersion {
	var seen field.Set
	for {
		s.want(`"`)
		f, ok := fieldByName[string(s.until('"'))]
		s.want(`:`)
		list = append(list, FieldVersion{f, s.integer()})
		s.bad = s.bad || !ok || seen.Has(f)
		seen |= field.SetOf(f)
		if s.bad || s.maybe(`}`) {
			return list
		}
		s.want(`,`)
	}
}

// knownFields are those that an event may name.
var knownFields = field.SetOf(append(field.All(), field.Award, field.Existence, field.Mask)...)

var fieldByName = func() map[string]field.Field {
	names := map[string]field.Field{}
	for _, f := range knownFields.Fields() {
		names[f.String()] = f
	}
	return names
}()

func (s *scanner) set() *SetInfo {
	info := &SetInfo{ID: s.hex16()}
	s.want(`,"count":`)
	info.Count = s.integer()
	s.want(`,"root":"`)
	s.decode(base64.StdEncoding, info.Root[:], s.until('"'))
	info.Job = s.text(`,"job":"`)
	info.Opens = s.maybe(`,"opens":true`)
	if !info.Opens {
		s.want(`,"opens":false`)
	}
	info.Inside = s.maybe(`,"inside":true`)
	s.bad = s.bad || info.Inside && info.Opens
	s.want(`,"fields":"`)
	names := string(s.until('"'))
	for _, name := range strings.Split(names, ",") {
		if f, ok := fieldByName[name]; ok {
			info.Union |= field.SetOf(f)
		}
	}
	s.want(`}`)
	s.bad = s.bad || info.ID == 0 || info.Union.String() != names
	return info
}

// decode takes base64 of one length; a length that is right leaves no room for
// the line ends that the decoder would pass over.
func (s *scanner) decode(enc *base64.Encoding, into, text []byte) {
	var raw [48]byte
	if s.bad || len(text) != enc.EncodedLen(len(into)) {
		s.bad = true
		return
	}
	n, err := enc.Strict().Decode(raw[:], text)
	if err != nil || n != len(into) {
		s.bad = true
		return
	}
	copy(into, raw[:n])
}
