package drill

// Reference is the case that is re-enacted, as public reports have it.
type Reference struct {
	Case         string             `json:"case"`
	Participants int64              `json:"participants"`
	Cases        int64              `json:"cases"`
	Combinations []ReferenceCount   `json:"combinations"`
	Days         map[string]int     `json:"days"` // since the first infection
	Affected     ReferenceAffected  `json:"who_was_affected"`
	Aftermath    map[string]float64 `json:"aftermath"`
}

// ReferenceCount is how many cases leaked these fields together, about.
type ReferenceCount struct {
	Fields []string `json:"fields"`
	Cases  int64    `json:"cases"`
}

// ReferenceAffected is how the agency came to say who was affected.
type ReferenceAffected struct {
	Took       string `json:"took"`
	How        string `json:"how"`
	Errors     int64  `json:"errors"`
	ToldWrong  int64  `json:"victims_told_that_theirs_did_not_leak"`
	LogAnswers bool   `json:"answered_by_a_log"`
}

// The2015 are the figures of the Japan Pension Service.
func The2015() Reference {
	return Reference{
		Case:         "Japan Pension Service, May and June 2015",
		Participants: 1_014_653,
		Cases:        1_250_000,
		Combinations: []ReferenceCount{
			{[]string{"number", "name"}, 31_000},
			{[]string{"number", "name", "birth"}, 1_167_000},
			{[]string{"number", "name", "birth", "address"}, 52_000},
		},
		Days: map[string]int{"files_leave": 13, "found_outside_by_the_police": 20, "internet_access_cut": 21, "public_told": 24},
		Affected: ReferenceAffected{
			Took:   "weeks",
			How:    "typed and copied by hand into the list behind the counters' warning flag",
			Errors: 100_286, ToldWrong: 2_449,
		},
		Aftermath: map[string]float64{"new_pension_numbers": 958_373, "yen": 1_300_000_000, "hotline_operators": 1_000},
	}
}
