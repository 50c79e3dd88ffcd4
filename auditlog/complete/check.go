package complete

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Result is what a proof proves: that between the event From and the event To,
// without To, the subject's events are those numbered First to Last (0 and 0:
// none), and no others.
type Result struct {
	Origin      string  `json:"origin"`
	Size        int64   `json:"size"` // of the head
	Subject     Subject `json:"subject"`
	From        int64   `json:"from"`
	To          int64   `json:"to"`
	FirstDay    string  `json:"first_day"`
	LastDay     string  `json:"last_day"`
	Days        int64   `json:"days"`
	Events      int64   `json:"events"`
	First       int64   `json:"first"`
	Last        int64   `json:"last"`
	Sets        int64   `json:"sets"` // that hold the subject; these needn't be all
	FromOutset  bool    `json:"from_outset"`
	subjectKey  []byte
	head        tree
	day         Daily // the day under way
	due, until  int64 // the next number that the day must show, and its last
	lastIndex   int64
	setsReached bool
}

// maxRecord bounds a line of a proof's file: an event's line is shorter than 64
// KiB, and each byte may take six.
const maxRecord = 1 << 19

// Check reads a proof's file and checks it against the log's public keys. each,
// when given, hears of every event's line once it is checked.
func Check(file io.Reader, keys []note.Verifier, each func(index int64, line string) error) (Result, error) {
	r := Result{lastIndex: -1}
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 64<<10), maxRecord)
	ended := false
	for n := 1; lines.Scan(); n++ {
		var rec Record
		if err := json.Unmarshal(lines.Bytes(), &rec); err != nil {
			return Result{}, fmt.Errorf("line %d of the proof can't be read", n)
		}
		var err error
		switch {
		case ended:
			err = errors.New("it goes on behind its end")
		case n == 1 && rec.Head != nil:
			err = r.begin(rec.Head, keys)
		case n == 1:
			err = errors.New("it doesn't begin with a head")
		case rec.Day != nil && !r.setsReached:
			err = r.nextDay(rec.Day)
		case rec.Event != nil && !r.setsReached:
			err = r.event(rec.Event, each)
		case rec.Set != nil:
			err = r.set(rec.Set, each)
		case rec.End != nil:
			ended, err = true, r.end(rec.End)
		default:
			err = errors.New("it has a record that isn't due there")
		}
		if err != nil {
			return Result{}, fmt.Errorf("the proof is refused at its line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return Result{}, fmt.Errorf("read the proof: %w", err)
	}
	if !ended {
		return Result{}, errors.New("the proof is refused: it has no end")
	}
	return r, nil
}

func (r *Result) begin(h *Head, keys []note.Verifier) (err error) {
	if h.Version != 1 {
		return errors.New("it is of another version")
	}
	if r.head, err = openHead(h.Checkpoint, keys); err != nil {
		return err
	}
	r.Subject, r.Origin, r.Size = h.Subject, r.head.origin, r.head.size
	r.subjectKey, err = h.Subject.key()
	return err
}

// nextDay takes a daily event, which must begin where the one before ended.
func (r *Result) nextDay(d *Day) error {
	if err := r.dayDone(); err != nil {
		return err
	}
	l, err := r.head.holds(&d.Event)
	if err != nil {
		return err
	}
	var daily Daily
	if l.Action != "system" || l.Purpose != "daily" || json.Unmarshal(l.Detail, &daily) != nil {
		return fmt.Errorf("event %d isn't a daily root", l.Index)
	}
	switch {
	case daily.From < 0 || daily.To <= daily.From || daily.To > l.Index || daily.Count < 0 || daily.Count > maxSize || len(daily.Salt) != 16:
		return fmt.Errorf("the daily root of event %d is one that no log writes", l.Index)
	case r.Days > 0 && (daily.From != r.day.To || daily.Day <= r.day.Day):
		return fmt.Errorf("between event %d and event %d a day is missing", r.day.To, daily.From)
	}
	token := TokenOf([16]byte(daily.Salt), r.subjectKey[0], r.subjectKey[1:])
	if d.Self == nil {
		if err := d.absent(&daily, token); err != nil {
			return fmt.Errorf("that the subject had no event on %s isn't shown: %w", daily.Day, err)
		}
	} else if err := r.present(d.Self, &daily, token); err != nil {
		return err
	}
	if r.Days++; r.Days == 1 {
		r.From, r.FirstDay = daily.From, daily.Day
	}
	r.day, r.To, r.LastDay = daily, daily.To, daily.Day
	return nil
}

// present takes the subject's own entry: its numbers go on where they stood.
func (r *Result) present(p *Place, daily *Daily, token Token) error {
	found, err := p.in(daily)
	if err != nil || found != token {
		return fmt.Errorf("the list of %s doesn't hold the subject as the proof says", daily.Day)
	}
	if r.Last != 0 && p.First != r.Last+1 {
		return fmt.Errorf("on %s the subject's numbers begin with %d, and %d was the last: something is missing, or numbered twice", daily.Day, p.First, r.Last)
	}
	if daily.From == 0 && p.First != 1 || r.From == 0 && r.Days > 0 && r.Last == 0 && p.First != 1 {
		return fmt.Errorf("from the log's outset the subject's numbers begin with %d, not 1", p.First)
	}
	if r.First == 0 {
		r.First = p.First
	}
	r.due, r.until, r.Last = p.First, p.Last, p.Last
	return nil
}

// event takes the subject's next event.
func (r *Result) event(e *Event, each func(int64, string) error) error {
	l, err := r.head.holds(e)
	if err != nil {
		return err
	}
	id, number := l.Participant, l.ParticipantSeq
	if r.Subject.Kind == Session {
		id, number = l.Session, l.SessionSeq
	}
	switch {
	case id != r.Subject.ID:
		return fmt.Errorf("event %d isn't the subject's", e.Index)
	case r.due == 0 || number != r.due || number > r.until:
		return fmt.Errorf("event %d has the number %d where %d is due", e.Index, number, r.due)
	case e.Index < r.day.From || e.Index >= r.day.To || e.Index <= r.lastIndex:
		return fmt.Errorf("event %d stands outside its day, or out of order", e.Index)
	}
	r.due, r.lastIndex = r.due+1, e.Index
	r.Events++
	if each != nil {
		return each(e.Index, e.Line)
	}
	return nil
}

// dayDone refuses a day of which an event is still due.
func (r *Result) dayDone() error {
	if r.due != 0 && r.due <= r.until {
		return fmt.Errorf("the subject's event with the number %d is missing", r.due)
	}
	r.due, r.until = 0, 0
	return nil
}

// set takes a set event that holds the participant.
func (r *Result) set(s *Set, each func(int64, string) error) error {
	if !r.setsReached {
		if err := r.dayDone(); err != nil {
			return err
		}
		r.setsReached, r.lastIndex = true, -1
	}
	l, err := r.head.holds(&s.Event)
	if err != nil {
		return err
	}
	if r.Subject.Kind != Participant || l.Set == nil || s.Index < r.From || s.Index >= r.To || s.Index <= r.lastIndex {
		return fmt.Errorf("event %d isn't a set event that belongs here", s.Index)
	}
	root, err := hash(l.Set.Root)
	if err != nil || len(s.Member) != 24 || string(s.Member[:16]) != string(r.subjectKey[1:]) || s.Place < 0 || s.Place >= l.Set.Count || l.Set.Count > maxSize ||
		tlog.CheckRecord(s.MemberPath, l.Set.Count, root, s.Place, tlog.RecordHash(s.Member)) != nil {
		return fmt.Errorf("the set of event %d doesn't hold the subject as the proof says", s.Index)
	}
	r.lastIndex = s.Index
	r.Sets++
	if each != nil {
		return each(s.Index, s.Line)
	}
	return nil
}

func (r *Result) end(e *End) error {
	if err := r.dayDone(); err != nil {
		return err
	}
	if r.Days == 0 {
		return errors.New("it shows no day")
	}
	if e.Events != r.Events || e.Sets != r.Sets {
		return errors.New("it doesn't hold as many events as it says")
	}
	r.FromOutset = r.From == 0
	return nil
}
