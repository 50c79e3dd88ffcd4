package drill

import (
	"fmt"
	"slices"
	"strings"

	"azekura/incident"
	"azekura/internal/screen"
	"azekura/register/field"
)

func (d *days) report(stolen, own []field.Set, stops []Stop) *Days {
	r := &Days{Days: d.Days, Staff: d.Staff, Devices: d.Devices, Infected: d.Infected, Known: len(d.known), Model: d.model,
		Honest: d.gather.sum, Limit: Limit, Contained: stops}
	if r.Contained == nil {
		r.Contained = []Stop{}
	}
	for i := range stolen {
		if stolen[i]&^own[i] != 0 {
			r.Beyond++
		}
	}
	return r
}

// ways are those of June 2015 that the attacker needn't have tried, and why.
var ways = []Attempt{
	{Name: "shared-folders", NotTested: "there are no sealed extracts yet"},
	{Name: "tables-edited", NotTested: "here; doc/tampering.md lists each edit and the test that makes it"},
}

// apart are the ways that the drill itself walks, and those that nobody did.
func (d *days) apart(tried []Attempt) []Attempt {
	list := slices.Clone(d.ways)
	if !slices.ContainsFunc(tried, func(a Attempt) bool { return a.Name == "token-with-key" }) {
		list = append(list, Attempt{Name: "token-with-key", NotTested: "the attacker didn't try it"})
	}
	return append(list, ways...)
}

// ofDays writes the part of the table that only a drill of days has.
func (t *table) ofDays(r *Report) {
	d := r.Days
	if d == nil {
		return
	}
	w := t.words
	verdict := w.within
	if d.Beyond > d.Limit {
		verdict = w.above
	}
	fmt.Fprintf(&t.text, "\n"+w.beyond+"\n", screen.Grouped(d.Beyond), fmt.Sprintf(verdict, screen.Grouped(d.Limit)))
	if d.Beyond > d.Limit {
		fmt.Fprintf(&t.text, "  "+w.most+"\n", most(r.Attempts))
	}
	if len(d.Contained) == 0 {
		fmt.Fprintf(&t.text, w.nobody+"\n", d.Infected)
	}
	for _, s := range d.Contained {
		fmt.Fprintf(&t.text, "  "+w.stopped+"\n", s.Device, s.What, lasted(s.Seconds), lasted(s.Office), s.By)
	}
	t.honest(&d.Honest)
	if len(d.Honest.Hindered) > 0 {
		fmt.Fprintf(&t.text, "  "+w.hindered+"\n", counted(d.Honest.Hindered))
	}
	if p := d.Policies; p != nil {
		fmt.Fprintf(&t.text, w.policies+"\n", p.Hash[:12], p.Tests, counted(p.Thief), counted(p.Honest))
	}
	fmt.Fprintf(&t.text, w.model+"\n", d.Staff, d.Devices, d.Infected, d.Days, screen.Grouped(int64(d.Known)), d.Model)
}

// counted lists what was counted, by name.
func counted(by map[string]int64) string {
	list := []string{}
	for name, n := range by {
		list = append(list, fmt.Sprintf("%s %s", name, screen.Grouped(n)))
	}
	slices.Sort(list)
	if len(list) == 0 {
		return "0"
	}
	return strings.Join(list, ", ")
}

// honest says what of the honest work was refused: where, and what was never done.
func (t *table) honest(h *Honest) {
	w := t.words
	fmt.Fprintf(&t.text, w.honest+"\n", screen.Grouped(h.Callers), screen.Grouped(h.Openings))
	for _, row := range []struct {
		what string
		n    int64
	}{{w.atClean, h.AtClean}, {w.atInfected, h.AtInfected}, {w.neverDone, h.NeverDone}} {
		fmt.Fprintf(&t.text, "  "+row.what+"\n", screen.Grouped(row.n))
	}
	fmt.Fprintf(&t.text, "  "+w.bar+"\n", h.PerTenK, screen.Grouped(h.Refused), h.RawPerTenK)
	fmt.Fprintf(&t.text, "  "+w.relief+"\n", screen.Grouped(h.Touches), screen.Grouped(h.Further), screen.Grouped(h.Slips), screen.Grouped(h.Touched), screen.Grouped(h.PassedOn), h.Longest, screen.Grouped(h.Moved))
}

// lasted is a time, in seconds where it is short.
func lasted(s float64) string {
	if s < 600 {
		return seconds(s) + " s"
	}
	return seconds(s/3600) + " h"
}

// most names the ways that got the most people.
func most(list []Attempt) string {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Attempt) int { return int(b.Participants - a.Participants) })
	var names []string
	for _, a := range list[:min(3, len(list))] {
		if a.Participants > 0 {
			names = append(names, a.Name+" "+screen.Grouped(a.Participants))
		}
	}
	return strings.Join(names, ", ")
}

// way is the line of one attempt.
func (t *table) way(a *Attempt) {
	w := t.words
	if a.NotTested != "" {
		fmt.Fprintf(&t.text, "  "+w.notTested+"\n", a.Name, a.NotTested)
		return
	}
	end := w.byItself
	switch a.StoppedBy {
	case "":
	case byEnd:
		end = fmt.Sprintf(w.endedBy, w.byEnd)
	default:
		end = fmt.Sprintf(w.endedBy, a.StoppedBy)
	}
	if a.SecondsToStop != nil {
		end += fmt.Sprintf(w.after, lasted(*a.SecondsToStop), a.PCsStopped, a.PCs)
	}
	if a.SecondsToContain != nil {
		end += fmt.Sprintf(w.containedAfter, lasted(*a.SecondsToContain), a.PCsContained)
	}
	fmt.Fprintf(&t.text, w.tried+"\n", a.Name, screen.Grouped(a.Tried), screen.Grouped(a.Released), end)
}

// title is the table's first line.
func (r *Report) title(in incident.Language) string {
	w := wordsOf(in)
	if r.Days != nil {
		return fmt.Sprintf(w.titleDays, r.Days.Infected, r.Days.Staff, r.Days.Days, r.Seed)
	}
	return fmt.Sprintf(w.title, seconds(r.Seconds), r.Seed)
}
