package scan

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"

	"azekura/leakscan"
	"azekura/register/field"
	"azekura/register/normal"

	"github.com/google/uuid"
)

// settleColumns decides what a number alone is: likely in a column whose hits are
// far beyond chance, a candidate elsewhere. By chance a random ten-digit number is
// somebody's N times in 10^10; the probability of so many hits among so many
// numbers is bounded by Chernoff's, and must be below one in 10^9.
func settleColumns(p placed, people int64) {
	for i := range p.found {
		f := &p.found[i]
		if f.Grade != numberAlone {
			continue
		}
		f.Grade = Candidate
		if c := p.columns[f.Col]; c != nil && beyondChance(c.Hits, c.Numbers, people) {
			f.Grade = Likely
		}
	}
}

func beyondChance(hits, numbers, people int64) bool {
	k, expected := float64(hits), expectedHits(numbers, people)
	return hits >= 2 && k > expected && expected > 0 && k*math.Log(k/expected)-k+expected > math.Log(1e9)
}

func numbersOf(p placed) (n int64) {
	for _, c := range p.columns {
		n += c.Numbers
	}
	return n
}

func expectedHits(numbers, people int64) float64 { return float64(numbers) * float64(people) / 1e10 }

// Evidence is one place.
type Evidence struct {
	File     string   `json:"file"` // its SHA-256
	Path     string   `json:"path"`
	Place    string   `json:"place"`
	Encoding string   `json:"encoding,omitempty"`
	Grade    string   `json:"grade"`
	Anchors  []string `json:"anchors"`
	Tier     string   `json:"tier,omitempty"` // of the name
	Shared   uint32   `json:"shared,omitempty"`
}

// Line is one participant and field set.
type Line struct {
	Participant uuid.UUID  `json:"participant"`
	Fields      []string   `json:"fields"`
	Past        []string   `json:"past,omitempty"`
	Grade       string     `json:"grade"` // the best of its places
	Places      int        `json:"places"`
	Evidence    []Evidence `json:"evidence"`
}

// mostEvidence bounds the places that a line names; all are counted.
const mostEvidence = 20

// Summary is what a scan found, in figures.
type Summary struct {
	Version      int             `json:"version"`
	Case         string          `json:"case"`
	Index        string          `json:"index"`
	Rules        int             `json:"rules"` // normal.Version
	Indexed      int64           `json:"indexed"`
	People       map[string]int  `json:"people"`       // by the best grade of each
	Combinations []Combination   `json:"combinations"` // people by the fields found of them, conflicts and candidates left out
	Coverage     map[State]int   `json:"coverage"`     // entries of the ledger
	Bytes        map[State]int64 `json:"bytes"`        // of files, not of what they hold
	ByFile       []FileSummary   `json:"files"`
	Expected     float64         `json:"expected_by_chance"` // hits of ten-digit numbers that chance gives
}

// Combination is a set of fields and how many people it was found of.
type Combination struct {
	Fields string `json:"fields"`
	People int    `json:"people"`
}

// FileSummary is what one file gave.
type FileSummary struct {
	Path   string `json:"path"`
	People int    `json:"people"`
	State  State  `json:"state"`
}

// place is a finding with where it was.
type place struct {
	Finding
	file, part int32
}

// Result is all that a scan found.
type Result struct {
	Summary Summary
	index   *leakscan.Index
	files   []done
	places  []place
}

// Each calls f with every participant and field set, in order.
func (r *Result) Each(f func(Line) error) error {
	for from := 0; from < len(r.places); {
		to := from
		for to < len(r.places) && r.places[to].Person == r.places[from].Person && r.places[to].Fields == r.places[from].Fields {
			to++
		}
		if err := f(r.line(r.places[from:to])); err != nil {
			return err
		}
		from = to
	}
	return nil
}

func (r *Result) line(same []place) Line {
	l := Line{Fields: names(same[0].Fields), Grade: same[0].Grade.String(), Places: len(same)}
	if row, ok := r.index.Person(same[0].Person); ok {
		l.Participant = row.ID()
	}
	past := same[0].Past
	for i, p := range same {
		past &= p.Past
		if i < mostEvidence {
			l.Evidence = append(l.Evidence, r.evidence(p))
		}
	}
	l.Past = names(past)
	return l
}

func (r *Result) evidence(p place) Evidence {
	d := &r.files[p.file]
	part := d.Parts[p.part]
	e := Evidence{File: d.Ledger[0].SHA256, Path: part.Path, Place: fmt.Sprintf("R%dC%d", p.Row, p.Col), Encoding: part.Encoding, Grade: p.Grade.String()}
	for k := range leakscan.Kinds {
		if p.Kinds>>k&1 != 0 {
			e.Anchors = append(e.Anchors, leakscan.Kind(k).String())
		}
	}
	if p.Tier != normal.Different {
		e.Tier = p.Tier.String()
	}
	if p.Grade == Ambiguous {
		e.Shared = p.Shared
	}
	return e
}

func names(s field.Set) []string {
	list := []string{}
	for _, f := range s.Fields() {
		list = append(list, f.String())
	}
	return list
}

// Ledger lists what became of every range of every file.
func (r *Result) Ledger(f func(Entry) error) error {
	for i := range r.files {
		for _, e := range r.files[i].Ledger {
			if err := f(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// WriteFindings writes a line of JSON for each participant and field set.
func (r *Result) WriteFindings(w io.Writer) error {
	return writeLines(w, func(put func(any) error) error { return r.Each(func(l Line) error { return put(l) }) })
}

// WriteLedger writes a line of JSON for each entry.
func (r *Result) WriteLedger(w io.Writer) error {
	return writeLines(w, func(put func(any) error) error { return r.Ledger(func(e Entry) error { return put(e) }) })
}

func writeLines(w io.Writer, each func(put func(any) error) error) error {
	out := bufio.NewWriterSize(w, 1<<16)
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	err := each(func(v any) error {
		line.Reset()
		if err := enc.Encode(v); err != nil {
			return err
		}
		_, err := out.Write(line.Bytes())
		return err
	})
	if err != nil {
		return err
	}
	return out.Flush()
}
