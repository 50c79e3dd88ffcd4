package cases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"azekura/auditlog"
	"azekura/register/field"

	"github.com/google/uuid"
)

// Info describes a case. It holds codes and pseudonyms. A closed one names nobody:
// whose cases they had would tell a thief on a PC who is in the register.
type Info struct {
	Code    string    `json:"code"`
	Kind    string    `json:"kind"`
	State   string    `json:"state"`
	Touched bool      `json:"touched" doc:"whether who opened it touched their key for it"`
	Fields  []string  `json:"fields,omitempty" doc:"that are to be read in it"`
	Bound   bool      `json:"bound" doc:"whether that touch was for a search, and no other is made in it"`
	Outcome string    `json:"outcome,omitempty"`
	Staff   string    `json:"staff" doc:"whom the case is assigned to"`
	Office  string    `json:"office"`
	Opened  time.Time `json:"opened"`
	Event   int64     `json:"event" doc:"index of the case's newest event in the audit log"`
	People  []Person  `json:"people,omitempty"`
	Tasks   []Task    `json:"tasks,omitempty"`
}

// Person is a participant in a case.
type Person struct {
	Participant string   `json:"participant"`
	About       bool     `json:"about" doc:"whether the case is about them; else they were only checked"`
	Level       int      `json:"level" doc:"how well they are identified, 0 to 3"`
	Checked     []string `json:"checked,omitempty" doc:"what they said that was right"`
	Documents   []string `json:"documents,omitempty"`
	Wrong       int      `json:"wrong,omitempty" doc:"answers that weren't right"`
	Notes       int      `json:"notes,omitempty"`
}

// Task is something to do.
type Task struct {
	No   int    `json:"no"`
	Kind string `json:"kind"`
	Due  string `json:"due" doc:"a day in Japan"`
	Done bool   `json:"done"`
}

// Step is one event of a case's history.
type Step struct {
	Event int64     `json:"event"`
	Time  time.Time `json:"time"`
	Staff string    `json:"staff"`
	Act   string    `json:"act"`
	To    string    `json:"to,omitempty" doc:"whom the case was given to"`
	What  string    `json:"what,omitempty"`
}

func (f *file) info() Info {
	i := Info{Code: codeOf(f.No), Kind: f.Kind.String(), State: f.State.String(), Touched: f.Touched, Bound: f.Touched && len(f.For) > 0, Staff: f.Staff, Office: f.Office,
		Opened: time.UnixMicro(f.Opened).UTC(), Event: f.Event}
	if f.Outcome > 0 && int(f.Outcome) <= len(Outcomes) {
		i.Outcome = Outcomes[f.Outcome-1]
	}
	i.Fields = field.Set(f.Need).Names()
	people := f.People
	if f.State == Closed {
		people = nil
	}
	for _, p := range people {
		person := Person{Participant: p.ID.String(), About: p.About, Level: p.level(), Wrong: int(p.Wrong), Notes: int(p.Notes)}
		person.Checked = field.Set(p.Yes).Names()
		for at, name := range Documents {
			if p.Docs&(1<<at) != 0 {
				person.Documents = append(person.Documents, name)
			}
		}
		i.People = append(i.People, person)
	}
	for n, t := range f.Tasks {
		i.Tasks = append(i.Tasks, Task{No: n + 1, Kind: TaskKinds[t.Kind], Due: time.Unix(int64(t.Due)*86400, 0).UTC().Format(time.DateOnly), Done: t.Done})
	}
	return i
}

func (r *Room) info(no int64) (Info, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if f := r.state.files[no]; f != nil {
		return f.info(), nil
	}
	return Info{}, ErrNotFound
}

// List lists the cases that are open, waiting or closed a short while ago: those
// of the session's staff member, or for a supervisor who asks for it those of the
// office; the oldest first, at most limit.
func (r *Room) List(ctx context.Context, b By, office bool, limit int) ([]Info, error) {
	if err := r.live(b); err != nil {
		return nil, err
	}
	if office && b.Session.Role() != "supervisor" {
		return nil, r.deny(ctx, b, 0, "list", refuse("role", "a supervisor sees the cases of an office"))
	}
	r.mu.RLock()
	var found []*file
	if office {
		for _, f := range r.state.files {
			if f.Office == b.Session.Office() {
				found = append(found, f.clone())
			}
		}
	} else {
		for no := range r.state.mine[b.Session.Staff()] {
			found = append(found, r.state.files[no].clone())
		}
	}
	r.mu.RUnlock()
	slices.SortFunc(found, func(a, b *file) int { return int(a.Opened - b.Opened) })
	list := make([]Info, 0, min(len(found), limit))
	for _, f := range found[:min(len(found), limit)] {
		list = append(list, f.info())
	}
	return list, nil
}

// maxSteps bounds a history.
const maxSteps = 200

// Show describes a case and tells its history, the newest event first, out of the
// log: each event names the one before it, and is held against the signed head.
func (r *Room) Show(ctx context.Context, b By, code string) (Info, []Step, error) {
	if err := r.live(b); err != nil {
		return Info{}, nil, err
	}
	no, err := parseCode(code)
	if err != nil {
		return Info{}, nil, err
	}
	f, err := r.find(ctx, no)
	if err != nil {
		return Info{}, nil, err
	}
	if err := f.mayTouch(b); err != nil {
		return Info{}, nil, r.deny(ctx, b, no, "show", err)
	}
	steps, err := r.history(ctx, f)
	return f.info(), steps, err
}

func (r *Room) history(ctx context.Context, f *file) ([]Step, error) {
	steps := []Step{}
	if f.Log != r.log.ID() { // the log before this one holds it
		return steps, nil
	}
	for at := &f.Event; at != nil && len(steps) < maxSteps; {
		e, err := r.log.Event(ctx, *at)
		if err != nil {
			return nil, fmt.Errorf("read the case's history: %w", err)
		}
		var a act
		if e.Action != auditlog.Case || e.Case != codeOf(f.No) || json.Unmarshal(e.Detail, &a) != nil {
			return nil, errors.New("read the case's history: an event isn't the case's; run azekura log verify")
		}
		s := Step{Event: e.Index, Time: time.UnixMicro(e.Time).UTC(), Staff: e.Staff, Act: a.Act, To: a.Staff, What: a.Kind + a.Document + a.Task + a.Outcome}
		if e.Participant != (uuid.UUID{}) && s.What == "" && f.State != Closed {
			s.What = e.Participant.String()
		}
		steps = append(steps, s)
		if a.Before != nil && *a.Before >= *at {
			break
		}
		at = a.Before
	}
	return steps, nil
}
