package incident

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"azekura/register/field"

	"github.com/google/uuid"
)

// ErrFound refuses what isn't a leak scan's result.
var ErrFound = errors.New("this isn't the result of a leak scan")

// mostFound bounds a line of the findings: one names at most twenty places.
const mostFound = 4 << 20

// Found is who a leak scan found in files: a source of exposure beside the log's.
// What a thief carried away is in it whether or not the log knows of a session
// that opened it.
type Found struct {
	people map[uuid.UUID]foundPerson
	// Unread are ranges and files that the scan couldn't read, by what became of
	// them: whoever isn't found may be in these.
	Unread map[string]int64
}

// foundPerson is what was found of one.
type foundPerson struct {
	fields field.Set
	grade  uint8 // its place in the list of grades
}

// foundGrades are the scan's, from the surest down, and counted says how many of
// them count as found. The others say that it may be somebody.
var foundGrades = []string{"A", "B", "C", "D", "ambiguous", "conflict"}

const counted = 3

// ReadFound reads a leak scan's findings and its ledger. Findings that are too
// weak to count (D, ambiguous, conflict) are told by their number only.
func ReadFound(findings, ledger io.Reader) (*Found, error) {
	f := &Found{people: map[uuid.UUID]foundPerson{}, Unread: map[string]int64{}}
	var line struct {
		Participant uuid.UUID `json:"participant"`
		Fields      []string  `json:"fields"`
		Grade       string    `json:"grade"`
	}
	err := eachLine(findings, func(raw []byte) error {
		line.Participant, line.Fields, line.Grade = uuid.Nil, line.Fields[:0], ""
		if err := json.Unmarshal(raw, &line); err != nil || line.Participant == uuid.Nil {
			return errors.New("a line isn't a finding")
		}
		return f.add(line.Participant, line.Fields, line.Grade)
	})
	if err != nil {
		return nil, fmt.Errorf("%w: read its findings: %w", ErrFound, err)
	}
	var entry struct {
		State string `json:"state"`
	}
	err = eachLine(ledger, func(raw []byte) error {
		entry.State = ""
		if err := json.Unmarshal(raw, &entry); err != nil {
			return errors.New("a line isn't an entry")
		}
		switch entry.State {
		case "parsed":
		case "partial", "encrypted", "unsupported", "failed":
			f.Unread[entry.State]++
		default:
			return errors.New("a line has a state that isn't known")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: read its ledger: %w", ErrFound, err)
	}
	return f, nil
}

func (f *Found) add(id uuid.UUID, names []string, letter string) error {
	grade := slices.Index(foundGrades, letter)
	if grade < 0 {
		return errors.New("a line has a grade that isn't known")
	}
	was, known := f.people[id]
	if !known || uint8(grade) < was.grade {
		was.grade = uint8(grade)
	}
	if grade < counted {
		for _, name := range names {
			one, err := field.Parse(name)
			if err != nil {
				return errors.New("a line has a field that isn't known")
			}
			was.fields |= field.SetOf(one)
		}
	}
	f.people[id] = was
	return nil
}

func eachLine(r io.Reader, each func([]byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 1<<16), mostFound)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if err := each(lines.Bytes()); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

// InFiles says how what was found in files stands to what the log says was opened.
type InFiles struct {
	Figures                   // of who was found, at the grades A to C
	Grades   map[string]int64 `json:"grades" doc:"participants by the surest grade of each"`
	Both     int64            `json:"both" doc:"found, and opened by these sessions"`
	Only     int64            `json:"only_in_files" doc:"found, though these sessions didn't open them"`
	Beyond   int64            `json:"beyond" doc:"of both, those of whom files hold a field that these sessions didn't open"`
	Together Figures          `json:"together" doc:"opened or found"`
	Unread   map[string]int64 `json:"unread" doc:"files and ranges that the scan couldn't read; who isn't found may be in them"`
}

// join puts the found beside the opened.
func (e *Exposure) join(f *Found, nobody func(uuid.UUID) bool) {
	in := &InFiles{Grades: map[string]int64{}, Unread: f.Unread}
	found, together := map[field.Set]int64{}, map[field.Set]int64{}
	opened := map[uuid.UUID]field.Set{}
	for i := range e.people.list {
		opened[e.people.list[i].id] = e.people.list[i].fields
	}
	e.found = map[uuid.UUID]foundPerson{}
	for id, p := range f.people {
		if nobody != nil && nobody(id) {
			continue
		}
		in.Grades[foundGrades[p.grade]]++
		if p.grade >= counted {
			continue
		}
		e.found[id] = p
		found[p.fields]++
		was, both := opened[id]
		switch {
		case !both:
			in.Only++
			together[p.fields]++
		case !was.Contains(p.fields):
			in.Beyond++
			fallthrough
		default:
			in.Both++
		}
	}
	for id, fields := range opened {
		together[fields|e.found[id].fields]++
	}
	in.Figures, in.Together = Count(found), Count(together)
	e.Files = in
}

// onlyFound lists who was found and not opened, by id.
func (e *Exposure) onlyFound() []uuid.UUID {
	opened := map[uuid.UUID]bool{}
	for i := range e.people.list {
		opened[e.people.list[i].id] = true
	}
	var list []uuid.UUID
	for id := range e.found {
		if !opened[id] {
			list = append(list, id)
		}
	}
	slices.SortFunc(list, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return list
}
