package cases

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"azekura/auditlog"
	"azekura/register/field"
)

// act is the detail of a case's event.
type act struct {
	Act      string   `json:"act"` // one of the names below
	Kind     string   `json:"kind,omitempty"`
	Staff    string   `json:"staff,omitempty"` // who has the case from now on
	Office   string   `json:"office,omitempty"`
	Document string   `json:"document,omitempty"`
	Word     bool     `json:"word,omitempty"`
	Level    int      `json:"level,omitempty"`
	Task     string   `json:"task,omitempty"`
	Due      int32    `json:"due,omitempty"`
	No       int      `json:"no,omitempty"` // of a task or a note, from 1
	Outcome  string   `json:"outcome,omitempty"`
	Fields   string   `json:"fields,omitempty"` // that are to be read in it
	For      []string `json:"for,omitempty"`    // the searches that are made in it
	Touch    bool     `json:"touch,omitempty"`  // who opened it, or opened it again, touched their key for it
	// Before is the case's event before this one, in the same log.
	Before *int64 `json:"before,omitempty"`
}

// The acts.
const (
	actOpen     = "open"
	actAssign   = "assign"
	actIdentify = "identify"
	actWait     = "wait"
	actResume   = "resume"
	actTask     = "task"
	actDone     = "done"
	actNote     = "note"
	actNotes    = "notes" // notes are read
	actClose    = "close"
	actReopen   = "reopen"
)

// state is what the events up to a place make.
type state struct {
	files map[int64]*file           // those that aren't closed, or are closed and not yet written
	mine  map[string]map[int64]bool // the same by staff member
	names map[string]string         // one copy of each staff member's and office's code
	dirty map[int64]bool            // changed since they were written
	sum   sum                       // over the open cases as they were written last
	count int64                     // of them
	day   int64                     // which day wrong counts
	wrong map[string]int            // wrong answers of the day by staff member
}

func newState() *state {
	return &state{files: map[int64]*file{}, mine: map[string]map[int64]bool{}, names: map[string]string{}, dirty: map[int64]bool{}, wrong: map[string]int{}}
}

func (st *state) name(s string) string {
	if known, ok := st.names[s]; ok {
		return known
	}
	st.names[s] = s
	return s
}

func (st *state) give(f *file, staff, office string) {
	if st.mine[f.Staff] != nil {
		delete(st.mine[f.Staff], f.No)
	}
	f.Staff, f.Office = st.name(staff), st.name(office)
	if st.mine[f.Staff] == nil {
		st.mine[f.Staff] = map[int64]bool{}
	}
	st.mine[f.Staff][f.No] = true
}

func (st *state) put(f *file) {
	st.files[f.No] = f
	st.give(f, f.Staff, f.Office)
}

func (st *state) drop(f *file) {
	delete(st.files, f.No)
	if st.mine[f.Staff] != nil {
		delete(st.mine[f.Staff], f.No)
		if len(st.mine[f.Staff]) == 0 {
			delete(st.mine, f.Staff)
		}
	}
}

// dayOf is the day of a moment in Japan.
func dayOf(us int64) int64 {
	return (us + int64(9*time.Hour/time.Microsecond)) / int64(24*time.Hour/time.Microsecond)
}

var errUnknownAct = errors.New("it does something to a case that this program doesn't know of; a newer version wrote it")

// The bytes by which a line is told from others without being parsed: no line of
// these actions is without them.
var (
	markCase    = []byte(`"action":"case"`)
	markChecked = []byte(`"action":"checked"`)
	markSystem  = []byte(`"action":"system"`)
)

// line takes one line of the log.
func (st *state) line(line []byte, reopened func(no int64) (*file, error)) error {
	if !bytes.Contains(line, markCase) && !bytes.Contains(line, markChecked) && !bytes.Contains(line, markSystem) {
		return nil
	}
	e, err := auditlog.ParseLine(line)
	if err != nil {
		return err
	}
	return st.event(&e, reopened)
}

// event takes one event. reopened gives a closed case that isn't in memory any more.
func (st *state) event(e *auditlog.Event, reopened func(no int64) (*file, error)) error {
	switch e.Action {
	case auditlog.Checked:
		st.checked(e)
	case auditlog.System:
		// What was lost may have closed any of them, or given it to somebody else.
		if before := auditlog.Follows(e); before != nil && before.Lost() {
			for _, f := range st.files {
				f.State, st.dirty[f.No] = Closed, true
			}
		}
	case auditlog.Case:
		return st.act(e, reopened)
	}
	return nil
}

// checked counts an answer.
func (st *state) checked(e *auditlog.Event) {
	if day := dayOf(e.Time); day != st.day {
		st.day = day
		clear(st.wrong)
	}
	if e.Outcome != "yes" {
		st.wrong[st.name(e.Staff)]++
	}
	if !IsCode(e.Case) || len(e.Fields) != 1 {
		return
	}
	no, _ := parseCode(e.Case)
	f := st.files[no]
	if f == nil || e.Log < f.SinceLog || e.Log == f.SinceLog && e.Index < f.Since {
		return
	}
	p := f.person(e.Participant)
	if p == nil {
		f.People = append(f.People, person{ID: e.Participant})
		p = &f.People[len(f.People)-1]
	}
	if one := field.SetOf(e.Fields[0].Field); e.Outcome == "yes" {
		p.Yes |= uint16(one & counted)
	} else {
		p.Wrong++
	}
	st.dirty[no] = true
}

func (st *state) act(e *auditlog.Event, reopened func(no int64) (*file, error)) error {
	var a act
	if err := json.Unmarshal(e.Detail, &a); err != nil {
		return fmt.Errorf("read what it does to its case: %w", err)
	}
	no, err := parseCode(e.Case)
	if err != nil {
		return err
	}
	f := st.files[no]
	switch {
	case a.Act == actOpen:
		kind, err := ParseKind(a.Kind)
		if err != nil {
			return errUnknownAct
		}
		var need field.Set
		if a.Fields != "" {
			if need, err = field.ParseSet(a.Fields); err != nil {
				return errUnknownAct
			}
		}
		f = &file{No: no, Need: uint16(need), For: a.For, Opened: e.Time, Kind: kind, State: Open, Touched: a.Touch, Staff: a.Staff, Office: a.Office, SinceLog: e.Log, Since: e.Index}
		st.put(f)
	case f == nil && a.Act == actReopen:
		if f, err = reopened(no); err != nil {
			return err
		}
		st.put(f)
	case f == nil: // closed, and written: nothing is told of it but a reading of its notes
		return nil
	}
	if err := st.change(f, &a, e); err != nil {
		return err
	}
	f.Log, f.Event, st.dirty[no] = e.Log, e.Index, true
	return nil
}

func (st *state) change(f *file, a *act, e *auditlog.Event) error {
	switch a.Act {
	case actOpen, actNotes:
	case actAssign:
		st.give(f, a.Staff, a.Office)
	case actIdentify:
		p := f.person(e.Participant)
		if p == nil {
			f.People = append(f.People, person{ID: e.Participant})
			p = &f.People[len(f.People)-1]
		}
		p.About, p.Word = true, p.Word || a.Word
		if at := slices.Index(Documents, a.Document); at >= 0 {
			p.Docs |= 1 << at
		} else if a.Document != "" {
			return errUnknownAct
		}
	case actWait:
		f.State = Waiting
	case actResume:
		f.State = Open
	case actTask:
		kind := slices.Index(TaskKinds, a.Task)
		if kind < 0 || a.No != len(f.Tasks)+1 {
			return errUnknownAct
		}
		f.Tasks = append(f.Tasks, task{Kind: uint8(kind), Due: a.Due})
	case actDone:
		if a.No < 1 || a.No > len(f.Tasks) {
			return errUnknownAct
		}
		f.Tasks[a.No-1].Done = true
	case actNote:
		if p := f.person(e.Participant); p != nil {
			p.Notes = max(p.Notes, int32(a.No))
		}
	case actClose:
		f.State, f.Outcome = Closed, uint8(slices.Index(Outcomes, a.Outcome)+1)
	case actReopen:
		st.give(f, a.Staff, a.Office)
		f.State, f.Outcome, f.Touched, f.SinceLog, f.Since = Open, 0, a.Touch, e.Log, e.Index
		for i := range f.People { // whom it is about stays; who they are is asked anew
			p := &f.People[i]
			p.Yes, p.Docs, p.Wrong, p.Word = 0, 0, 0, false
		}
		f.People = slices.DeleteFunc(f.People, func(p person) bool { return !p.About })
	default:
		return errUnknownAct
	}
	return nil
}
