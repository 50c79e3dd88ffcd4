package policy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A text says more than policies: comment lines that begin with //! name holidays,
// and what the policies must answer. They are part of what two people sign.
//
//	//! holiday 2026-11-23
//	//! allow caseworker-case: kind=letter purpose=letter
//	//! refuse night: time=06:59
//
// A test says what is other than in honest work (Usual), and may name the policy that
// must be among those that decide.
const directive = "//!"

// Bounds of a text's own lines.
const (
	maxTests    = 400
	maxHolidays = 400
	maxLine     = 400 // bytes
)

// test is one of a text's own.
type test struct {
	line    int
	allow   bool
	by      string // "" is any
	request Request
}

// Usual is a request of honest work: what a test or a question doesn't say is so.
func Usual() Request {
	return Request{Role: "caseworker", Office: "office", Action: "read", Purpose: "enquiry", Fields: []string{"name"}, Case: true,
		Kind: "call", State: "open", Assigned: true, Level: 1, CaseTouch: true, Bound: true, Declared: true, CaseOffice: "office", Minute: 10 * 60, Workday: true}
}

// read takes a text's own lines.
func (s *Set) read(text []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, MaxText+1)
	for no := 1; lines.Scan(); no++ {
		line, ours := strings.CutPrefix(strings.TrimSpace(lines.Text()), directive)
		if !ours {
			continue
		}
		if err := s.say(no, strings.TrimSpace(line)); err != nil {
			return fmt.Errorf("%w: line %d: %w", ErrInvalid, no, err)
		}
	}
	return lines.Err()
}

func (s *Set) say(no int, line string) error {
	if len(line) > maxLine {
		return fmt.Errorf("it is longer than %d bytes", maxLine)
	}
	if day, ok := strings.CutPrefix(line, "holiday "); ok {
		day, _, _ = strings.Cut(strings.TrimSpace(day), " ") // its name may follow
		if _, err := time.Parse(time.DateOnly, day); err != nil {
			return errors.New("a holiday is written 2026-11-23, and its name may follow")
		}
		if s.holidays[day] = true; len(s.holidays) > maxHolidays {
			return fmt.Errorf("there are more than %d holidays", maxHolidays)
		}
		return nil
	}
	head, rest, _ := strings.Cut(line, ":")
	verb, by, _ := strings.Cut(head, " ")
	by = strings.TrimSpace(by)
	if verb != "allow" && verb != "refuse" || by != "" && s.words[id(by)] == (Words{}) {
		return errors.New("a line //! is a holiday, or begins with allow or refuse and the id of a policy of this text, then a colon")
	}
	t := test{line: no, allow: verb == "allow", by: by, request: Usual()}
	for _, word := range strings.Fields(rest) {
		if err := t.request.Say(word); err != nil {
			return err
		}
	}
	if s.tests = append(s.tests, t); len(s.tests) > maxTests {
		return fmt.Errorf("there are more than %d tests", maxTests)
	}
	return nil
}

// Say has a request be other in one thing, written key=value.
func (r *Request) Say(word string) error {
	key, value, ok := strings.Cut(word, "=")
	text := map[string]*string{"role": &r.Role, "office": &r.Office, "action": &r.Action, "purpose": &r.Purpose, "state": &r.State, "case-office": &r.CaseOffice}
	yes := map[string]*bool{"assigned": &r.Assigned, "workday": &r.Workday, "case-touch": &r.CaseTouch, "bound": &r.Bound, "declared": &r.Declared, "touch": &r.Touch}
	var err error
	switch {
	case !ok || value == "" || len(value) > maxLine:
		err = errors.New("nothing is said")
	case text[key] != nil:
		*text[key] = value
	case yes[key] != nil:
		if *yes[key] = value == "yes"; value != "yes" && value != "no" {
			err = errors.New("it is yes or no")
		}
	case key == "fields":
		r.Fields = strings.Split(value, ",")
	case key == "kind" && value == "none":
		r.Case, r.Kind, r.State, r.Assigned, r.CaseOffice, r.Level, r.CaseTouch, r.Bound, r.Declared = false, "", "", false, "", 0, false, false, false
	case key == "kind":
		r.Case, r.Kind = true, value
	case key == "level":
		if r.Level, err = strconv.Atoi(value); err == nil && (r.Level < 0 || r.Level > 3) {
			err = errors.New("it is 0 to 3")
		}
	case key == "time":
		var at time.Time
		at, err = time.Parse("15:04", value)
		r.Minute = at.Hour()*60 + at.Minute()
	default:
		err = errors.New("there is no such thing")
	}
	if err != nil {
		return fmt.Errorf("%w: %q: %w; write role, office, action, purpose, fields (a,b), kind (none is no case), state, assigned, case-touch, bound, declared, touch (yes, no), level, case-office, time (10:00) or workday (yes, no), then = and the value", ErrInvalid, word, err)
	}
	return nil
}

// Tests tells how many tests a text has of its own.
func (s *Set) Tests() int { return len(s.tests) }

// Test runs a text's own tests, and says of each that fails what was answered.
func (s *Set) Test() (failed []string) {
	for _, t := range s.tests {
		d := s.ask(t.request)
		named := t.by == ""
		var by []string
		for _, w := range d.Policies {
			by = append(by, w.ID)
			named = named || w.ID == t.by
		}
		if d.Allowed != t.allow || !named || len(d.Failed) > 0 {
			failed = append(failed, fmt.Sprintf("line %d: %s by [%s], failed [%s]", t.line, d.Verdict(), strings.Join(by, " "), strings.Join(d.Failed, " ")))
		}
	}
	return failed
}

// Verdict is allow or refuse.
func (d Decision) Verdict() string {
	if d.Allowed {
		return "allow"
	}
	return "refuse"
}

// japan has had one time since 1951.
var japan = time.FixedZone("JST", 9*60*60)

// At has a request be made at a moment: by Japan's clock, and the text's holidays.
func (s *Set) At(r Request, now time.Time) Request {
	now = now.In(japan)
	r.Minute = now.Hour()*60 + now.Minute()
	day := now.Weekday()
	r.Workday = day != time.Saturday && day != time.Sunday && !s.holidays[now.Format(time.DateOnly)]
	return r
}

// Day is the beginning of a day in Japan.
func Day(day string) (time.Time, error) {
	at, err := time.ParseInLocation(time.DateOnly, day, japan)
	if err != nil {
		return at, fmt.Errorf("%q isn't a day; write 2026-10-01", day)
	}
	return at, nil
}
