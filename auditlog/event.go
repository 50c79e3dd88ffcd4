package auditlog

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"azekura/register/field"

	"github.com/google/uuid"
)

// ID is a participant's pseudonym, a UUIDv7; the zero ID is nobody.
type ID = uuid.UUID

// Session is a sitting of one staff member at one device; 0 is no session.
type Session int64

// String is the form that events and screens show.
func (s Session) String() string { return fmt.Sprintf("z%016x", uint64(s)) }

// ParseSession reads the form that String writes.
func ParseSession(text string) (Session, error) {
	if len(text) == 17 && text[0] == 'z' {
		if n, err := strconv.ParseUint(text[1:], 16, 63); err == nil && n > 0 {
			return Session(n), nil
		}
	}
	return 0, errors.New("a session is written z and 16 hexadecimal digits; azekura session list shows them")
}

// Action is what an event records. The numbers are stored: never renumber.
type Action uint8

// The actions.
const (
	Read    Action = iota + 1 // fields of one participant, opened
	Check                     // one field, about to be compared with what a caller said
	Checked                   // the comparison's answer
	Search                    // a search, before its candidates are shown
	Show                      // one candidate's existence and mask, opened
	Deny                      // a refusal
	Change                    // a new version of fields
	Set                       // a set event: a job's many members
	Grant                     // staff, device or session made
	Contain                   // a session, device or staff member stopped
	Shred                     // a participant's data key destroyed
	System                    // an installation's own acts
	Index                     // fields opened inside the gate to index a change; nothing leaves it
	Alarm                     // a row found altered, added or gone
	Export                    // events handed to an auditor in another form
	Case                      // a case opened, assigned, identified, noted, closed
)

var actionNames = [...]string{Read: "read", Check: "check", Checked: "checked", Search: "search", Show: "show", Deny: "deny",
	Change: "change", Set: "set", Grant: "grant", Contain: "contain", Shred: "shred", System: "system", Index: "index", Alarm: "alarm", Export: "export", Case: "case"}

// String is the action's name in a line.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return "action(" + strconv.Itoa(int(a)) + ")"
}

func parseAction(name string) (Action, bool) {
	for a, n := range actionNames {
		if n == name && n != "" {
			return Action(a), true
		}
	}
	return 0, false
}

// FieldVersion is a field and the version of the record that last set it.
type FieldVersion struct {
	Field   field.Field
	Version int64
}

// Event is what a submitter says happened. It holds no personal data: staff,
// device, purpose and case are codes, the participant is a pseudonym.
type Event struct {
	Action      Action
	Outcome     string // ok, denied, yes, no, none, …
	Purpose     string
	Case        string
	Staff       string
	Role        string
	Device      string
	Session     Session
	Participant ID
	Fields      []FieldVersion
	Request     string          // the request's id
	Set         *SetInfo        // of a set event
	Detail      json.RawMessage // what else a reader of this action needs; no personal data

	// Known lets the submitter, who has just read the participant's rows,
	// save the sequencer a look-up of the last sequence number.
	Known Known

	// The sequencer fills these.
	Log            int64
	Index          int64
	Time           int64 // microseconds, UTC
	ParticipantSeq int64 // 1, 2, 3, … per participant; 0 where there is none
	SessionSeq     int64 // likewise per session
	salt           [16]byte
}

// Known is a participant's last sequence number as read at a moment when the
// log had AsOf events or more.
type Known struct {
	Seq, AsOf int64
	Valid     bool
}

// SetInfo describes the members of a set event.
type SetInfo struct {
	ID    int64  // names the sealed member rows
	Count int64  // members
	Root  Hash   // RFC 6962 tree over the members
	Job   string // the job that needs them
	Opens bool   // whether the members are opened, or only written
	// Inside says that they are opened inside the gate, as for a change's index,
	// and that nothing leaves it. Then Opens is false.
	Inside bool
	Union  field.Set
}

// maxLine bounds a line: C2SP tlog-tiles holds an entry in 64 KiB.
const maxLine = 64<<10 - 1

// ErrTooLong means that an event's line would pass the limit.
var ErrTooLong = errors.New("the event is longer than a log entry may be (64 KiB)")

// Opened is what the event lets a person see of its participant: the basis of
// exposure. A check that is asked, a change and a shredding tell that the person
// is in the register; a check that is answered with yes tells the field as well,
// for who asked now knows that what they said is so. A set event opens its fields
// for each member, unless they stay inside the gate. Whoever named the person by a
// ref and was answered knows that it is theirs, and whoever was shown them by a search
// that what they searched for is.
func (e *Event) Opened() field.Set {
	switch e.Action {
	case Read, Show:
		return e.fieldSet() | e.named() | e.said()
	case Check, Change, Shred:
		return field.SetOf(field.Existence) | e.named()
	case Checked:
		if e.Outcome == "yes" {
			return e.fieldSet()
		}
	case Set:
		if e.Set != nil && e.Set.Opens {
			return e.Set.Union
		}
	}
	return 0
}

// ByRef stands in the detail of an event whose participant was named by a ref.
const ByRef = `"by":"ref"`

// Said is the key, in the detail of who a search shows, of the fields that it was for.
const Said = `"said":"`

func (e *Event) said() field.Set {
	_, list, is := bytes.Cut(e.Detail, []byte(Said))
	list, _, closed := bytes.Cut(list, []byte{'"'})
	if !is || !closed || len(list) > 200 {
		return 0
	}
	set, err := field.ParseSet(string(list))
	if err != nil {
		return 0
	}
	return set
}

// Mends is the key, in the detail of a search in a case that was opened for it by touch,
// of the cases, with commas between, which had refused it before.
const Mends = `"mends":"`

// ByTouch stands in the detail of an opening for which the key was touched.
const ByTouch = `"touch":true`

func (e *Event) named() field.Set {
	if bytes.Contains(e.Detail, []byte(ByRef)) {
		return field.SetOf(field.Ref)
	}
	return 0
}

func (e *Event) fieldSet() field.Set {
	var s field.Set
	for _, fv := range e.Fields {
		s |= field.SetOf(fv.Field)
	}
	return s
}

// check refuses an event that can't become a line, or one that ParseLine
// wouldn't read back, and brings its detail into the one spelling that a line
// holds.
func (e *Event) check() error {
	n := 32 * len(e.Fields)
	for _, text := range [...]string{e.Outcome, e.Purpose, e.Case, e.Staff, e.Role, e.Device, e.Request} {
		if !utf8.ValidString(text) {
			return errors.New("an event's texts must be UTF-8")
		}
		n += len(text)
	}
	if e.Set != nil {
		n += len(e.Set.Job)
		if !utf8.ValidString(e.Set.Job) {
			return errors.New("an event's texts must be UTF-8")
		}
	}
	if 6*n+len(e.Detail)+1024 > maxLine { // a byte takes six at most when it is escaped
		return ErrTooLong
	}
	if len(e.Detail) > 0 {
		var err error
		if e.Detail, err = compactDetail(e.Detail); err != nil {
			return err
		}
	}
	if e.Session < 0 {
		return errors.New("no session has a number below 1")
	}
	var seen field.Set
	for _, fv := range e.Fields {
		one := field.SetOf(fv.Field)
		if one == 0 || !knownFields.Contains(one) || seen.Contains(one) || fv.Version < 0 {
			return errors.New("an event's fields must be known, each named once, in a version of 0 or more")
		}
		seen |= one
	}
	return nil
}

// line fixes the event's bytes: one JSON object, keys in one order, absent
// ones left out, no line end (the entry that is hashed is the line without
// one).
func (e *Event) line(b []byte) []byte {
	b = append(b, `{"v":1,"log":`...)
	b = strconv.AppendInt(b, e.Log, 10)
	b = append(b, `,"index":`...)
	b = strconv.AppendInt(b, e.Index, 10)
	b = append(b, `,"time":"`...)
	b = time.UnixMicro(e.Time).UTC().AppendFormat(b, timeLayout)
	b = append(b, `","action":"`...)
	b = append(b, e.Action.String()...)
	b = append(b, '"')
	b = appendText(b, "outcome", e.Outcome)
	b = appendText(b, "purpose", e.Purpose)
	b = appendText(b, "case", e.Case)
	b = appendText(b, "staff", e.Staff)
	b = appendText(b, "role", e.Role)
	b = appendText(b, "device", e.Device)
	if e.Session != 0 {
		b = append(b, `,"session":"z`...)
		b = appendHex16(b, uint64(e.Session))
		b = append(b, `","session_seq":`...)
		b = strconv.AppendInt(b, e.SessionSeq, 10)
	}
	if e.Participant != (ID{}) {
		b = append(b, `,"participant":"`...)
		var text [36]byte
		encodeUUID(&text, e.Participant)
		b = append(b, text[:]...)
		b = append(b, `","participant_seq":`...)
		b = strconv.AppendInt(b, e.ParticipantSeq, 10)
	}
	if len(e.Fields) > 0 {
		b = append(b, `,"fields":{`...)
		for i, fv := range e.Fields {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(append(b, '"'), fv.Field.String()...), `":`...)
			b = strconv.AppendInt(b, fv.Version, 10)
		}
		b = append(b, '}')
	}
	if e.Set != nil {
		b = e.Set.append(b)
	}
	b = appendText(b, "request", e.Request)
	if len(e.Detail) > 0 {
		b = append(append(b, `,"detail":`...), e.Detail...)
	}
	b = append(b, `,"salt":"`...)
	b = base64.RawURLEncoding.AppendEncode(b, e.salt[:])
	return append(b, `"}`...)
}

const timeLayout = "2006-01-02T15:04:05.000000Z"

func (s *SetInfo) append(b []byte) []byte {
	b = append(b, `,"set":{"id":"`...)
	b = appendHex16(b, uint64(s.ID))
	b = append(b, `","count":`...)
	b = strconv.AppendInt(b, s.Count, 10)
	b = append(b, `,"root":"`...)
	b = base64.StdEncoding.AppendEncode(b, s.Root[:])
	b = append(b, `"`...)
	b = appendText(b, "job", s.Job)
	b = append(b, `,"opens":`...)
	b = strconv.AppendBool(b, s.Opens)
	if s.Inside {
		b = append(b, `,"inside":true`...)
	}
	b = append(b, `,"fields":"`...)
	b = append(b, s.Union.String()...)
	return append(b, `"}`...)
}

func appendText(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	b = append(append(append(b, `,"`...), key...), `":`...)
	return appendString(b, value)
}

func appendString(b []byte, value string) []byte {
	for i := range len(value) {
		if !plain[value[i]] {
			quoted, err := json.Marshal(value)
			if err != nil { // json.Marshal accepts every string
				panic(err)
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), value...), '"')
}

func appendHex16(b []byte, n uint64) []byte {
	var raw [8]byte
	for i := range raw {
		raw[i] = byte(n >> (56 - 8*i))
	}
	return hex.AppendEncode(b, raw[:])
}

func encodeUUID(text *[36]byte, id ID) {
	hex.Encode(text[0:8], id[0:4])
	text[8] = '-'
	hex.Encode(text[9:13], id[4:6])
	text[13] = '-'
	hex.Encode(text[14:18], id[6:8])
	text[18] = '-'
	hex.Encode(text[19:23], id[8:10])
	text[23] = '-'
	hex.Encode(text[24:36], id[10:16])
}
