package incident

import (
	"cmp"
	"slices"

	"azekura/register/field"
)

// Figures are the numbers that a leak is told in: how many participants, how
// many by field, how many by exact combination of fields. The figures of what
// was stolen and of what was exposed are made alike, so that they compare.
type Figures struct {
	Participants int64            `json:"participants"`
	Fields       map[string]int64 `json:"fields" doc:"participants of whom this field was seen, alone or with others"`
	Combinations []Combination    `json:"combinations" doc:"participants by all that was seen of them, the most frequent first"`
}

// Combination is a set of fields and the participants of whom these, and no
// others, were seen.
type Combination struct {
	Fields       []string `json:"fields"`
	Participants int64    `json:"participants"`
}

// Count makes figures from the number of participants of whom each set of fields
// was seen.
func Count(seen map[field.Set]int64) Figures {
	f := Figures{Fields: map[string]int64{}, Combinations: []Combination{}}
	for set, n := range seen {
		if n == 0 {
			continue
		}
		f.Participants += n
		c := Combination{Fields: []string{}, Participants: n}
		for _, one := range set.Fields() {
			c.Fields = append(c.Fields, one.String())
			f.Fields[one.String()] += n
		}
		f.Combinations = append(f.Combinations, c)
	}
	slices.SortFunc(f.Combinations, func(a, b Combination) int {
		return cmp.Or(cmp.Compare(b.Participants, a.Participants), slices.Compare(a.Fields, b.Fields))
	})
	return f
}
