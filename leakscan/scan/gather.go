package scan

import (
	"cmp"
	"fmt"
	"slices"

	"azekura/leakscan"
	"azekura/register/field"
	"azekura/register/normal"
)

// gather orders the findings by participant.
func gather(index *leakscan.Index, files []done) (*Result, error) {
	r := &Result{index: index, files: files, places: placesOf(files)}
	sum := index.Sum()
	r.Summary = Summary{Version: 1, Case: index.Case(), Index: fmt.Sprintf("%x", sum[:]), Rules: normal.Version, Indexed: index.People(),
		People: map[string]int{}, Coverage: map[State]int{}, Bytes: map[State]int64{}}
	people := r.count()
	for i := range files {
		for _, p := range files[i].Parts {
			r.Summary.Expected += expectedHits(p.Numbers, index.People())
		}
		r.cover(&files[i], people[i])
	}
	return r, nil
}

// placesOf takes the findings out of the files, in order of participant, fields,
// grade and place.
func placesOf(files []done) []place {
	n := 0
	for i := range files {
		for _, p := range files[i].Parts {
			n += len(p.Found)
		}
	}
	all, order := make([]place, 0, n), make([]spot, 0, n)
	for i := range files {
		for n := range files[i].Parts {
			p := &files[i].Parts[n]
			for k := range p.Found {
				order = append(order, spot{p.Found[k].Person, uint32(len(all))})
				all = append(all, place{p.Found[k], int32(i), int32(n)})
			}
			p.Found = nil
		}
	}
	places := make([]place, n)
	for i, s := range byPerson(order) {
		places[i] = all[s.at]
	}
	for one := range perPerson(places) {
		if len(one) > 1 {
			slices.SortFunc(one, byFields)
		}
	}
	return places
}

func byFields(a, b place) int {
	switch {
	case a.Fields != b.Fields:
		return cmp.Compare(a.Fields, b.Fields)
	case a.Grade != b.Grade:
		return cmp.Compare(a.Grade, b.Grade)
	case a.file != b.file:
		return cmp.Compare(a.file, b.file)
	case a.part != b.part:
		return cmp.Compare(a.part, b.part)
	case a.Row != b.Row:
		return cmp.Compare(a.Row, b.Row)
	}
	return cmp.Compare(a.Col, b.Col)
}

// perPerson goes through findings in order of participant, one's at a time.
func perPerson(places []place) func(yield func([]place) bool) {
	return func(yield func([]place) bool) {
		for from := 0; from < len(places); {
			to := from + 1
			for to < len(places) && places[to].Person == places[from].Person {
				to++
			}
			if !yield(places[from:to]) {
				return
			}
			from = to
		}
	}
}

// spot is whose finding is where: what is sorted in the findings' stead, which are
// seven times as long.
type spot struct{ person, at uint32 }

// byPerson sorts by participant, and leaves one's findings in their order: by 11
// bits at a time, the lowest first.
func byPerson(list []spot) []spot {
	const digit = 11
	highest := uint32(0)
	for _, s := range list {
		highest = max(highest, s.person)
	}
	other := make([]spot, len(list))
	for shift := 0; shift < 32 && highest>>shift != 0; shift += digit {
		var at [1 << digit]uint32
		for _, s := range list {
			at[s.person>>shift&(1<<digit-1)]++
		}
		sum := uint32(0)
		for i, n := range at {
			at[i] = sum
			sum += n
		}
		for _, s := range list {
			to := &at[s.person>>shift&(1<<digit-1)]
			other[*to] = s
			*to++
		}
		list, other = other, list
	}
	return list
}

func (r *Result) cover(d *done, people int) {
	for i, e := range d.Ledger {
		r.Summary.Coverage[e.State]++
		if i == 0 {
			r.Summary.Bytes[e.State] += e.To - e.From
			r.Summary.ByFile = append(r.Summary.ByFile, FileSummary{d.Path, people, e.State})
		}
	}
}

// count sums up by person: grades, combinations, and how many each file has.
func (r *Result) count() (inFile []int) {
	inFile = make([]int, len(r.files))
	last := make([]int64, len(r.files)) // whose finding a file had last, and 1
	var byGrade [grades + 1]int
	combinations := map[field.Set]int{}
	for one := range perPerson(r.places) {
		best, fields := one[0].Grade, field.Set(0)
		for i := range one {
			p := &one[i]
			best = min(best, p.Grade)
			if p.Grade <= Likely {
				fields |= p.Fields
			}
			if person := int64(p.Person) + 1; last[p.file] != person {
				last[p.file] = person
				inFile[p.file]++
			}
		}
		byGrade[min(best, grades)]++
		if best <= Likely {
			combinations[fields]++
		}
	}
	for g, n := range byGrade {
		if n > 0 {
			r.Summary.People[Grade(g).String()] = n
		}
	}
	for fields, n := range combinations {
		r.Summary.Combinations = append(r.Summary.Combinations, Combination{fields.String(), n})
	}
	slices.SortFunc(r.Summary.Combinations, func(a, b Combination) int {
		return cmp.Or(cmp.Compare(b.People, a.People), cmp.Compare(a.Fields, b.Fields))
	})
	return inFile
}
