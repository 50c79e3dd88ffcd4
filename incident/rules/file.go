package rules

import (
	"bytes"
	_ "embed" // the rules that are shipped
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"azekura/access"
	"azekura/auditlog"
)

// What a rule does, and how bad its sign is.
const (
	Note    = "note"
	StepUp  = "step-up"
	Contain = "contain"
	End     = "end" // contains the session alone
)

// Severities, the mildest first.
var Severities = []string{"low", "medium", "high", "critical"}

// Rule is one of the file's.
type Rule struct {
	Name     string   `json:"name"`
	Says     string   `json:"says"` // the sign in words, for people
	Severity string   `json:"severity"`
	Actions  []string `json:"actions"`
	Outcomes []string `json:"outcomes,omitempty"`
	Canary   bool     `json:"canary,omitempty"`
	Outside  *Hours   `json:"outside,omitempty"`
	Mark     string   `json:"mark,omitempty"`     // near, former, crossed or beyond: what the gate says of what was named
	Policy   string   `json:"policy,omitempty"`   // of a denial: the policy that refused
	Novel    bool     `json:"novel,omitempty"`    // of a read: its office never opened that field for that purpose
	Mended   bool     `json:"mended,omitempty"`   // not what was made good (auditlog.Mends, ByTouch)
	Distinct bool     `json:"distinct,omitempty"` // each participant once, or where mended each case
	Count    int      `json:"count"`
	Within   int64    `json:"within"` // seconds
	Per      string   `json:"per"`    // session, device or staff
	Action   string   `json:"action"`
}

// policyID is the form of a policy's id.
var policyID = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)

// Hours are those of a day's work, the first inside and the last outside.
type Hours struct {
	From      int `json:"from"`
	To        int `json:"to"`
	UTCOffset int `json:"utc_offset"` // hours
}

func (h *Hours) outside(us int64) bool {
	hour := time.UnixMicro(us).UTC().Add(time.Duration(h.UTCOffset) * time.Hour).Hour()
	return hour < h.From || hour >= h.To
}

// The bounds of a file: whoever writes one can't make the log's judge slow, nor
// its memory large.
const (
	maxFile   = 64 << 10
	maxRules  = 32
	maxCount  = 200
	maxWithin = 30 * 24 * 3600
	maxTexts  = 32
)

//go:embed rules.json
var shipped []byte

// Shipped are the rules of this version.
func Shipped() []Rule {
	list, err := Parse(shipped)
	if err != nil { // a test parses it
		panic(err)
	}
	return list
}

// heldAgainstWork are rules that count what honest work does too, and whose limits
// the drills' days of honest work (drill/workday) stay far below. Who touches when they
// are asked is denied once in the five minutes for which a touch is fresh, so 12 times
// an hour at most.
var heldAgainstWork = []string{"no-case", "touch-not-given", "case-without-touch", "fields-without-touch", "case-crossed", "case-crossed-on-and-on", "beyond-touch", "misses", "misses-on-and-on"}

// ofAddresses are rules that ask who roams for one touch, and end a session that two use.
var ofAddresses = []string{"key-moved", "key-at-two-addresses"}

// quiet are rules that write an alarm and do nothing else, so honest work isn't hurt by
// them; and one that asks for a touch once a staff member names ten neighbours within an
// hour. Odd hours aren't among them: which they are is each agency's own, and its
// policies refuse by them.
var quiet = []string{"new-to-the-office", "retired-number", "number-sequence"}

// InForce are those of them that an installation goes by: the ones of canaries, those
// that were held against honest work, those of keys' addresses, and the quiet ones. Those of budgets and wrong answers
// haven't been held against it; the cases limit wrong answers themselves.
func InForce() []Rule {
	return slices.DeleteFunc(Shipped(), func(r Rule) bool {
		return !r.Canary && !slices.Contains(heldAgainstWork, r.Name) && !slices.Contains(ofAddresses, r.Name) && !slices.Contains(quiet, r.Name)
	})
}

var plainName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// watchable are the actions that a rule may count. Containment isn't among them, nor
// are alarms but for those of a key's address: a rule's sign must not be another's.
var watchable = []auditlog.Action{auditlog.Read, auditlog.Check, auditlog.Checked, auditlog.Search, auditlog.Show, auditlog.Deny, auditlog.Change, auditlog.Case, auditlog.Alarm}

// addressed are the outcomes of alarms that a rule may count.
var addressed = []string{access.KeyMoved, access.KeyInterleaved}

// Parse reads a rule file, and refuses what it doesn't know.
func Parse(file []byte) ([]Rule, error) {
	if len(file) > maxFile {
		return nil, fmt.Errorf("a rule file holds %d bytes at most", maxFile)
	}
	var f struct {
		Comment []string `json:"comment"`
		Rules   []Rule   `json:"rules"`
	}
	d := json.NewDecoder(bytes.NewReader(file))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("read the rule file: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the rule file goes on after its end")
	}
	if len(f.Rules) == 0 || len(f.Rules) > maxRules {
		return nil, fmt.Errorf("a rule file holds 1 to %d rules", maxRules)
	}
	for n := range f.Rules {
		r := &f.Rules[n]
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("rule %d: %w", n+1, err)
		}
		if slices.ContainsFunc(f.Rules[:n], func(o Rule) bool { return o.Name == r.Name }) {
			return nil, fmt.Errorf("rule %d: another has its name", n+1)
		}
	}
	return f.Rules, nil
}

func (r *Rule) check() error {
	switch {
	case !plainName.MatchString(r.Name):
		return errors.New("its name is of small letters, digits and hyphens, up to 40")
	case r.Says == "" || len(r.Says) > 200 || slices.ContainsFunc([]rune(r.Says), unicode.IsControl):
		return errors.New("what it says is one line of up to 200 bytes")
	case !slices.Contains(Severities, r.Severity):
		return fmt.Errorf("its severity is one of %v", Severities)
	case !slices.Contains([]string{Note, StepUp, End, Contain}, r.Action):
		return errors.New("its action is note, step-up, end or contain")
	case !slices.Contains([]string{"session", "device", "staff"}, r.Per):
		return errors.New("it counts per session, device or staff")
	case r.Count < 1 || r.Count > maxCount || r.Within < 1 || r.Within > maxWithin:
		return fmt.Errorf("it counts 1 to %d events within 1 to %d seconds", maxCount, maxWithin)
	case len(r.Outcomes) > maxTexts:
		return fmt.Errorf("it names %d outcomes at most", maxTexts)
	case len(r.Actions) == 0 || len(r.Actions) > maxTexts:
		return errors.New("it names the actions that it counts")
	}
	for _, name := range r.Actions {
		if !slices.ContainsFunc(watchable, func(a auditlog.Action) bool { return a.String() == name }) {
			return fmt.Errorf("it can count these actions: %v", watchable)
		}
	}
	known := func(outcome string) bool { return slices.Contains(addressed, outcome) }
	if slices.Contains(r.Actions, auditlog.Alarm.String()) && (len(r.Outcomes) == 0 || !all(r.Outcomes, known)) {
		return fmt.Errorf("of alarms it can count these outcomes: %v", addressed)
	}
	if !slices.Contains([]string{"", "near", "former", "crossed", "beyond"}, r.Mark) {
		return errors.New("its mark is near, former, crossed or beyond")
	}
	if r.Policy != "" && (!slices.Equal(r.Actions, []string{auditlog.Deny.String()}) || !policyID.MatchString(r.Policy)) {
		return errors.New("a policy's rule counts denials, and names it by its id")
	}
	if r.Mended && !slices.Contains(r.Actions, auditlog.Deny.String()) {
		return errors.New("what is made good is a denial")
	}
	if r.Novel && !slices.Equal(r.Actions, []string{auditlog.Read.String()}) {
		return errors.New("what is new to an office is a read")
	}
	if h := r.Outside; h != nil && (h.From < 0 || h.To > 24 || h.From >= h.To || h.UTCOffset < -12 || h.UTCOffset > 14) {
		return errors.New("its hours are from 0 to 24, in order, at an offset of -12 to 14 hours")
	}
	return nil
}

func all(list []string, is func(string) bool) bool {
	return !slices.ContainsFunc(list, func(one string) bool { return !is(one) })
}

// counts tells whether an event is one that the rule counts.
func (r *Rule) counts(e *auditlog.Event, canary bool) bool {
	return e.Session != 0 && (!r.Canary || canary) && slices.Contains(r.Actions, e.Action.String()) &&
		(len(r.Outcomes) == 0 || slices.Contains(r.Outcomes, e.Outcome)) && (r.Outside == nil || r.Outside.outside(e.Time)) &&
		(r.Mark == "" || bytes.Contains(e.Detail, []byte(`"`+r.Mark+`":true`))) &&
		(r.Policy == "" || e.Outcome == "policy" && refusedBy(e, r.Policy))
}

// mends are the cases in which an event makes good what was refused: by a reading in it
// for which the key was touched, or by the same search in a case that was opened for it so.
func mends(e *auditlog.Event) []string {
	if e.Action == auditlog.Read && bytes.Contains(e.Detail, []byte(auditlog.ByTouch)) {
		return []string{e.Case}
	}
	if e.Action == auditlog.Search {
		if _, rooms, is := bytes.Cut(e.Detail, []byte(auditlog.Mends)); is {
			rooms, _, _ = bytes.Cut(rooms, []byte{'"'})
			return strings.Split(string(rooms), ",")
		}
	}
	return nil
}

// refusedBy tells whether a policy was among those that refused.
func refusedBy(e *auditlog.Event, policy string) bool {
	var denial struct {
		Policies []string `json:"policies"`
	}
	return json.Unmarshal(e.Detail, &denial) == nil && slices.Contains(denial.Policies, policy)
}
