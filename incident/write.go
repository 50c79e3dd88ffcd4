package incident

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"azekura/register/field"

	"github.com/google/uuid"
)

// WriteJSON writes the figures, without the participants, as one indented
// object. Times are UTC; the head's root is in base64, as checkpoints have it.
func (e *Exposure) WriteJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(e)
}

// csvHeader names the columns of WriteCSV.
var csvHeader = []string{"participant", "fields", "openings", "first", "last"}

// csvTime has microseconds always, so that texts sort as times do.
const csvTime = "2006-01-02T15:04:05.000000Z"

// WriteCSV writes a line for each participant, by id: the fields seen of them,
// separated by spaces, how often, and when first and last, in UTC. An answer that
// is not complete can't say so here: look at Complete first. Where a leak scan was
// named, two columns say what was found in files and how sure that is, and who was
// found only follows, by id.
func (e *Exposure) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	header := csvHeader
	if e.found != nil {
		header = append(slices.Clone(header), "in_files", "grade")
	}
	if err := out.Write(header); err != nil {
		return err
	}
	names := map[field.Set]string{}
	line := make([]string, len(header))
	err := e.Each(func(id uuid.UUID, fields field.Set, first, last time.Time, openings int64) error {
		if names[fields] == "" {
			names[fields] = inert(strings.ReplaceAll(fields.String(), ",", " "))
		}
		line[0], line[1], line[2] = inert(id.String()), names[fields], strconv.FormatInt(openings, 10)
		line[3], line[4] = inert(first.Format(csvTime)), inert(last.Format(csvTime))
		e.foundCells(line, id)
		return out.Write(line)
	})
	if err != nil {
		return err
	}
	for _, id := range e.onlyFound() {
		line[0], line[1], line[2], line[3], line[4] = inert(id.String()), "", "0", "", ""
		e.foundCells(line, id)
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// foundCells fills the last two columns, where there are any.
func (e *Exposure) foundCells(line []string, id uuid.UUID) {
	if e.found == nil {
		return
	}
	fields, grade := "", ""
	if p, ok := e.found[id]; ok {
		fields, grade = strings.ReplaceAll(p.fields.String(), ",", " "), foundGrades[p.grade]
	}
	line[5], line[6] = inert(fields), grade
}

// inert keeps a spreadsheet from taking a cell for a formula. None of ours
// begins like one; this holds whatever a column comes to hold.
func inert(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}
