package incident

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/width"
)

// WriteTable writes the figures for people to read, its times in the given zone
// (UTC if nil): who, how many, by field, by combination, and how far the answer
// can be relied upon.
func (e *Exposure) WriteTable(w io.Writer, in Language, zone *time.Location) error {
	t := table{language: in, words: in.words(), zone: cmp.Or(zone, time.UTC)}
	t.head(e)
	t.figures(e.Figures)
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

// row is a label and what stands right of it.
type row struct {
	label, value string
}

func (t *table) head(e *Exposure) {
	w := t.words
	fmt.Fprintf(&t.text, "%s: %s\n", w.title, cmp.Or(e.Label, "-"))
	rows := []row{{w.participants, grouped(e.Participants)}, {w.openings, grouped(e.Openings)}, {w.sessions, grouped(e.Sessions)}}
	if e.Sets > 0 {
		rows = append(rows, row{w.sets, grouped(e.Sets)})
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
	rows := []row{{t.words.field, t.words.people}}
	byCount := func(a, b string) int { return cmp.Or(cmp.Compare(f.Fields[b], f.Fields[a]), cmp.Compare(a, b)) }
	for _, name := range slices.SortedFunc(maps.Keys(f.Fields), byCount) {
		rows = append(rows, row{t.language.fieldName(name), grouped(f.Fields[name])})
	}
	t.rows(rows)
	rows = []row{{t.words.combination, t.words.people}}
	for _, c := range f.Combinations {
		names := make([]string, len(c.Fields))
		for i, name := range c.Fields {
			names[i] = t.language.fieldName(name)
		}
		rows = append(rows, row{strings.Join(names, t.words.join), grouped(c.Participants)})
	}
	t.rows(rows)
}

func (t *table) standing(e *Exposure) {
	w := t.words
	fmt.Fprintf(&t.text, "\n"+w.head+"\n", grouped(e.Head.Size), base64.StdEncoding.EncodeToString(e.Head.Root[:]))
	if e.Complete {
		fmt.Fprintln(&t.text, w.complete)
		return
	}
	fmt.Fprintln(&t.text, w.incomplete)
	for _, g := range e.Gaps {
		fmt.Fprintf(&t.text, "  %s\n", g.in(t.language))
	}
	if e.UnlistedGaps > 0 {
		fmt.Fprintf(&t.text, "  "+w.more+"\n", grouped(e.UnlistedGaps))
	}
}

// rows writes a paragraph of rows, the values flush right.
func (t *table) rows(rows []row) {
	left, right := 0, 0
	for _, r := range rows {
		left, right = max(left, cells(r.label)), max(right, cells(r.value))
	}
	t.text.WriteByte('\n')
	for _, r := range rows {
		gap := left - cells(r.label) + 2 + right - cells(r.value)
		fmt.Fprintf(&t.text, "  %s%s%s\n", r.label, strings.Repeat(" ", gap), r.value)
	}
}

// cells is a text's width on a terminal, where Japanese characters take two.
func cells(text string) int {
	n := 0
	for _, r := range text {
		switch width.LookupRune(r).Kind() {
		case width.EastAsianWide, width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

// grouped writes a number with a comma every three digits.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
