package incident

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"azekura/internal/screen"
)

// WriteTable writes the figures for people to read, its times in the given zone
// (UTC if nil): who, how many, by field, by combination, and how far the answer
// can be relied upon.
func (e *Exposure) WriteTable(w io.Writer, in Language, zone *time.Location) error {
	t := table{language: in, words: in.words(), zone: cmp.Or(zone, time.UTC)}
	t.head(e)
	t.figures(e.Figures)
	t.files(e.Files)
	t.standing(e)
	_, err := w.Write(t.text.Bytes())
	return err
}

type table struct {
	language Language
	words    *words
	zone     *time.Location
	text     bytes.Buffer
}

// row is two columns.
type row struct {
	left, right string
}

func (t *table) head(e *Exposure) {
	w := t.words
	fmt.Fprintf(&t.text, "%s: %s\n", w.title, cmp.Or(e.Label, "-"))
	rows := []row{{w.participants, screen.Grouped(e.Participants)}, {w.openings, screen.Grouped(e.Openings)}, {w.sessions, screen.Grouped(e.Sessions)}}
	if e.Sets > 0 {
		rows = append(rows, row{w.sets, screen.Grouped(e.Sets)})
	}
	for _, at := range []struct {
		label string
		time  time.Time
	}{{w.since, e.Since}, {w.until, e.Until}, {w.first, e.First}, {w.last, e.Last}} {
		if !at.time.IsZero() {
			rows = append(rows, row{at.label, at.time.In(t.zone).Format(w.clock)})
		}
	}
	t.rows(rows)
}

func (t *table) figures(f Figures) {
	if f.Participants == 0 {
		return
	}
	rows := []row{{t.words.people, t.words.field}}
	byCount := func(a, b string) int { return cmp.Or(cmp.Compare(f.Fields[b], f.Fields[a]), cmp.Compare(a, b)) }
	for _, name := range slices.SortedFunc(maps.Keys(f.Fields), byCount) {
		rows = append(rows, row{screen.Grouped(f.Fields[name]), t.language.FieldName(name)})
	}
	t.counts(rows)
	rows = []row{{t.words.people, t.words.combination}}
	rest := f.Combinations
	for ; len(rest) > 0 && len(rows) <= tableCombinations; rest = rest[1:] {
		names := make([]string, len(rest[0].Fields))
		for i, name := range rest[0].Fields {
			names[i] = t.language.FieldName(name)
		}
		rows = append(rows, row{screen.Grouped(rest[0].Participants), strings.Join(names, t.words.join)})
	}
	t.counts(rows)
	if len(rest) > 0 {
		var participants int64
		for _, c := range rest {
			participants += c.Participants
		}
		fmt.Fprintf(&t.text, "  "+t.words.rest+"\n", screen.Grouped(int64(len(rest))), screen.Grouped(participants))
	}
}

// files says what a leak scan found, where one was named.
func (t *table) files(f *InFiles) {
	if f == nil {
		return
	}
	w := t.words
	fmt.Fprintf(&t.text, "\n%s\n", w.inFiles)
	rows := []row{{w.found, screen.Grouped(f.Participants)}, {w.both, screen.Grouped(f.Both)}, {w.beyond, screen.Grouped(f.Beyond)}, {w.only, screen.Grouped(f.Only)},
		{w.together, screen.Grouped(f.Together.Participants)}}
	for _, grade := range foundGrades {
		if n := f.Grades[grade]; n > 0 {
			rows = append(rows, row{w.grade + " " + grade, screen.Grouped(n)})
		}
	}
	t.rows(rows)
	t.figures(f.Figures)
	if n := f.Unread["partial"] + f.Unread["encrypted"] + f.Unread["unsupported"] + f.Unread["failed"]; n > 0 {
		fmt.Fprintf(&t.text, "\n"+w.unread+"\n", screen.Grouped(n))
	}
}

// tableCombinations is how many a reader takes in; the JSON form has them all.
const tableCombinations = 20

func (t *table) standing(e *Exposure) {
	w := t.words
	fmt.Fprintf(&t.text, "\n"+w.head+"\n", screen.Grouped(e.Head.Size), base64.StdEncoding.EncodeToString(e.Head.Root[:]))
	if e.Complete {
		fmt.Fprintln(&t.text, w.complete)
		return
	}
	fmt.Fprintln(&t.text, w.incomplete)
	for _, g := range e.Gaps {
		fmt.Fprintf(&t.text, "  %s\n", g.in(t.language))
	}
	if e.UnlistedGaps > 0 {
		fmt.Fprintf(&t.text, "  "+w.more+"\n", screen.Grouped(e.UnlistedGaps))
	}
}

// rows writes a paragraph of labels and values, the values flush right.
func (t *table) rows(rows []row) {
	left, right := columns(rows)
	t.text.WriteByte('\n')
	for _, r := range rows {
		gap := left - screen.Cells(r.left) + 2 + right - screen.Cells(r.right)
		fmt.Fprintf(&t.text, "  %s%s%s\n", r.left, strings.Repeat(" ", gap), r.right)
	}
}

// counts writes a paragraph of numbers and what they count. The numbers stand
// first, since a combination may be longer than a screen is wide.
func (t *table) counts(rows []row) {
	left, _ := columns(rows)
	t.text.WriteByte('\n')
	for _, r := range rows {
		fmt.Fprintf(&t.text, "  %s%s  %s\n", strings.Repeat(" ", left-screen.Cells(r.left)), r.left, r.right)
	}
}

func columns(rows []row) (left, right int) {
	for _, r := range rows {
		left, right = max(left, screen.Cells(r.left)), max(right, screen.Cells(r.right))
	}
	return left, right
}
