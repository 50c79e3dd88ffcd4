package auditlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"azekura/register/field"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

// examples is an event of each action, and of each kind of value.
func examples() []Event {
	person := ID{0x01, 0x90, 0xd2, 0xa5, 0x7b, 0x3c, 0x7d, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}
	var list []Event
	for a := Read; int(a) < len(actionNames); a++ {
		e := Event{Action: a, Outcome: "ok", Purpose: "enquiry", Case: "C-2015-0061", Staff: "s-01", Role: "caseworker", Device: "d-01",
			Session: 0x11, SessionSeq: 12, Request: "q-1"}
		switch a {
		case Read, Show, Change:
			e.Participant, e.ParticipantSeq = person, 3
			e.Fields = []FieldVersion{{field.Name, 1}, {field.Birth, 2}, {field.Existence, 0}, {field.Mask, 1 << 31}}
		case Check, Checked, Shred:
			e.Participant, e.ParticipantSeq = person, 4
			e.Fields = []FieldVersion{{field.Phone, 1}}
		case Set:
			e.Set = &SetInfo{ID: 0x1234, Count: 2500, Root: Hash(sha256.Sum256([]byte("root"))), Job: "import", Opens: true,
				Union: field.SetOf(append(field.All(), field.Award)...)}
		case Deny:
			e.Outcome, e.Detail = "denied", json.RawMessage(`{"why":"<role>","n":[1,2.5,null,true,"}\",\"salt\":"]}`)
		case Alarm:
			e = Event{Action: Alarm, Outcome: "found", Detail: json.RawMessage(`{"table":"register_version","key":"0190d2a5-7b3c-7d00-8000-000000000001","kind":"altered"}`)}
		case System:
			e = Event{Action: System, Purpose: "\"quoted\" \\ <tag> & 監査\u2028\x01", Detail: json.RawMessage(`7`)}
		}
		list = append(list, e)
	}
	for i := range list {
		list[i].Log, list[i].Index, list[i].Time = 1, int64(i)+1<<32, 1433116799999999+int64(i)
		for n := range list[i].salt {
			list[i].salt[n] = byte(i*16 + n)
		}
	}
	return list
}

// TestLinesStayTheSame holds the format: a line that an older version wrote is
// hashed for ever.
func TestLinesStayTheSame(t *testing.T) {
	var got []byte
	for _, e := range examples() {
		got = append(e.line(got), '\n')
	}
	const golden = "testdata/lines.golden"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("lines differ from %s:\n%s", golden, got)
	}
	for _, line := range bytes.Split(bytes.TrimSpace(want), []byte("\n")) {
		if !json.Valid(line) {
			t.Errorf("not JSON: %s", line)
		}
		e, err := ParseLine(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if again := e.line(nil); !bytes.Equal(again, line) {
			t.Errorf("%s\nread back is\n%s", line, again)
		}
	}
}

// TestLineEndIsNotHashed: the entry of the log (C2SP tlog-tiles) is the line
// without a line end, so its leaf is SHA-256 over a zero byte and the line.
func TestLineEndIsNotHashed(t *testing.T) {
	e := examples()[0]
	line := e.line(nil)
	if bytes.ContainsAny(line, "\r\n") {
		t.Fatal("a line end within an entry")
	}
	if tlog.RecordHash(line) != Hash(sha256.Sum256(append([]byte{0}, line...))) {
		t.Fatal("not RFC 6962's leaf hash")
	}
	if _, err := ParseLine(append(line, '\n')); err == nil {
		t.Error("a line with its end is accepted")
	}
}

func TestEveryFieldCanBeNamed(t *testing.T) {
	for f := range field.Field(32) {
		if named := !strings.HasPrefix(f.String(), "field("); named != knownFields.Has(f) {
			t.Errorf("field %d, %s: named %v, known to events %v", f, f, named, !named)
		}
	}
}

func drawEvent(t *rapid.T) Event {
	text := rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[a-z0-9._-]{1,12}`), rapid.String())
	var e Event
	e.Action = Action(rapid.IntRange(1, len(actionNames)-1).Draw(t, "action"))
	for _, to := range []*string{&e.Outcome, &e.Purpose, &e.Case, &e.Staff, &e.Role, &e.Device, &e.Request} {
		*to = text.Draw(t, "text")
	}
	e.Session = Session(rapid.Int64Range(0, 1<<62).Draw(t, "session"))
	if e.Session != 0 {
		e.SessionSeq = rapid.Int64Range(1, 1<<40).Draw(t, "session_seq")
	}
	if rapid.Bool().Draw(t, "somebody") {
		copy(e.Participant[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "participant"))
		if e.Participant != (ID{}) {
			e.ParticipantSeq = rapid.Int64Range(1, 1<<40).Draw(t, "participant_seq")
		}
	}
	for _, f := range rapid.SliceOfDistinct(rapid.SampledFrom(knownFields.Fields()), rapid.ID).Draw(t, "fields") {
		e.Fields = append(e.Fields, FieldVersion{f, rapid.Int64Range(0, 1<<40).Draw(t, "version")})
	}
	if e.Action == Set {
		e.Set = &SetInfo{ID: rapid.Int64Range(1, 1<<62).Draw(t, "id"), Count: rapid.Int64Range(1, 1<<40).Draw(t, "count"),
			Job: text.Draw(t, "job"), Opens: rapid.Bool().Draw(t, "opens"),
			Union: field.Set(rapid.Uint32().Draw(t, "union")) & knownFields}
		copy(e.Set.Root[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "root"))
	}
	if rapid.Bool().Draw(t, "more") {
		value := rapid.MapOf(text, rapid.OneOf(rapid.Map(text, func(s string) any { return s }), rapid.Map(rapid.Float64(), func(f float64) any { return f }))).Draw(t, "detail")
		e.Detail, _ = json.MarshalIndent(value, " ", rapid.SampledFrom([]string{"", " ", "\t"}).Draw(t, "indent"))
	}
	e.Log = rapid.Int64Range(0, 1<<60).Draw(t, "log")
	e.Index = rapid.Int64Range(0, 1<<60).Draw(t, "index")
	e.Time = rapid.Int64Range(-62135596800000000, 253402300799999999).Draw(t, "time")
	copy(e.salt[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "salt"))
	return e
}

// TestWhatIsRecordedReadsBack: an event that check lets in becomes a line that
// ParseLine takes, and says the same.
func TestWhatIsRecordedReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEvent(t)
		if err := e.check(); err != nil {
			for _, text := range []string{e.Outcome, e.Purpose, e.Case, e.Staff, e.Role, e.Device, e.Request} {
				if !utf8.ValidString(text) {
					return
				}
			}
			t.Fatal(err)
		}
		line := e.line(nil)
		if len(line) > maxLine || !json.Valid(line) || bytes.ContainsAny(line, "\r\n") {
			t.Fatalf("%d bytes: %s", len(line), line)
		}
		back, err := ParseLine(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if again := back.line(nil); !bytes.Equal(again, line) {
			t.Fatalf("%s\nread back is\n%s", line, again)
		}
		if back.Time != e.Time || back.Opened() != e.Opened() || back.Participant != e.Participant || back.Purpose != e.Purpose || !bytes.Equal(back.Detail, e.Detail) {
			t.Fatalf("%+v\nread back is\n%+v", e, back)
		}
	})
}

// FuzzParseLine: whatever it takes is spelled as line spells it.
func FuzzParseLine(f *testing.F) {
	for _, e := range examples() {
		f.Add(e.line(nil))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := ParseLine(line)
		if err != nil {
			return
		}
		if again := e.line(nil); !bytes.Equal(again, line) {
			t.Fatalf("%q is taken, and read back is\n%q", line, again)
		}
		if !json.Valid(line) || !utf8.Valid(line) {
			t.Fatalf("%q isn't JSON in UTF-8", line)
		}
	})
}

// TestOtherSpellingsAreRefused changes a line in ways that JSON allows.
func TestOtherSpellingsAreRefused(t *testing.T) {
	lines := map[Action]string{}
	for _, e := range examples() {
		lines[e.Action] = string(e.line(nil))
	}
	for _, c := range []struct {
		of       Action
		old, new string
	}{
		{Read, `{"v":1,`, `{ "v":1,`},
		{Read, `"log":1,`, `"log":01,`},
		{Read, `"log":1,`, `"log":+1,`},
		{Read, `"log":1,`, `"log":-1,`},
		{Read, `"log":1,`, `"log":99999999999999999999,`},
		{Read, `.999999Z`, `.999999+00:00`},
		{Read, `.999999Z`, `,999999Z`},
		{Read, `2015-05-31`, `2015-02-30`},
		{Read, `2015-05-31`, `2015-13-01`},
		{Read, `2015-05-31`, `2015-00-31`},
		{Read, `T23:59:59`, `T24:59:59`},
		{Read, `T23:59:59`, `T23:59:60`},
		{Read, `"action":"read"`, `"action":"READ"`},
		{Read, `"action":"read"`, `"action":""`},
		{Read, `"outcome":"ok"`, `"outcome":""`},
		{Read, `"outcome":"ok"`, `"outcome":"\u006fk"`},
		{Read, `"outcome":"ok"`, `"outcome":"<ok"`},
		{Read, `"outcome":"ok"`, `"outcome":"o/\/k"`},
		{Read, `"outcome":"ok"`, "\"outcome\":\"\u2028\""},
		{Read, `"outcome":"ok"`, "\"outcome\":\"\xff\""},
		{Read, `"outcome":"ok"`, `"outcome":"\ufffd"`},
		{Read, `"outcome":"ok","purpose":"enquiry"`, `"purpose":"enquiry","outcome":"ok"`},
		{Read, `"purpose":"enquiry"`, `"purpose":"enquiry","purpose":"enquiry"`},
		{Read, `"session":"z0000000000000011"`, `"session":"z0000000000000000"`},
		{Read, `"session":"z0000000000000011"`, `"session":"z000000000000001A"`},
		{Read, `"session":"z0000000000000011"`, `"session":"zf000000000000011"`},
		{Read, `"session":"z0000000000000011"`, `"session":"z11"`},
		{Read, `0190d2a5-7b3c-7d00`, `0190D2A5-7b3c-7d00`},
		{Read, `0190d2a5-7b3c-7d00-8000-000000000001`, `00000000-0000-0000-0000-000000000000`},
		{Read, `0190d2a5-7b3c-7d00-8000-000000000001`, `0190d2a57b3c7d008000000000000001`},
		{Read, `"birth":2`, `"name":2`},
		{Read, `"birth":2`, `"born":2`},
		{Read, `"birth":2`, `"birth":2,`},
		{Read, `"request":"q-1"`, `"request":"q-1","more":1`},
		{Read, `"}`, `=="}`},
		{Read, `"salt":"`, `"salt":"A`},
		{Set, `"id":"0000000000001234"`, `"id":"0000000000000000"`},
		{Set, `"fields":"number,name`, `"fields":"name,number`},
		{Set, `"fields":"number,name`, `"fields":"number,,name`},
		{Set, `"fields":"number,name`, `"fields":"number,number,name`},
		{Set, `"opens":true`, `"opens":1`},
		{Deny, `"detail":{`, `"detail": {`},
		{Deny, `"n":[1`, `"n":[ 1`},
		{Deny, `"n":[1`, `"n":[01`},
		{Deny, `"n":[1`, `"n":[[1`},
		{System, `"detail":7`, `"detail":`},
		{System, `"detail":7`, `"detail":7 `},
		{System, `"detail":7`, `"detail":{"a":7`},
	} {
		if strings.Count(lines[c.of], c.old) < 1 {
			t.Errorf("%s isn't in %s", c.old, lines[c.of])
		}
		at := strings.LastIndex(lines[c.of], c.old)
		line := lines[c.of][:at] + c.new + lines[c.of][at+len(c.old):]
		if _, err := ParseLine([]byte(line)); err == nil {
			t.Errorf("taken: %s", line)
		}
	}
}
