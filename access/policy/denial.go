package policy

import "time"

// Denial is what the log's event of a refusal holds: all that was asked, and what the
// policies said, so that it can be asked again of other policies.
type Denial struct {
	Asked    string   `json:"asked"`
	Text     string   `json:"text"` // the hash of the text in force
	Policies []string `json:"policies,omitempty"`
	Failed   []string `json:"failed,omitempty"`
	Missing  []string `json:"missing,omitempty"`
	Request  Request  `json:"request"`
	// Beyond says that fields were asked for which the case isn't for, and that nobody
	// touched a key for them: rules count it.
	Beyond bool `json:"beyond,omitempty"`
}

// Denial records a refusal.
func (t *Text) Denial(r Request, d Decision, now time.Time) Denial {
	if t.set != nil {
		r = t.set.At(r, now)
	}
	out := Denial{Asked: r.Action, Text: t.Hash, Failed: d.Failed, Request: r,
		Beyond: r.Action == "read" && r.Purpose != "notes" && r.CaseTouch && !r.Declared && !r.Touch}
	for _, p := range d.Policies {
		out.Policies = append(out.Policies, p.ID)
	}
	for _, m := range d.Missing {
		out.Missing = append(out.Missing, m.En)
	}
	return out
}
