package drill

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"azekura/api"
	"azekura/drill/workday"
	"azekura/incident"
)

// Report is what a drill found. Its JSON names are a format of their own, which
// others read.
type Report struct {
	Scenario     string           `json:"scenario"`
	Seed         uint64           `json:"seed"`
	Participants int64            `json:"participants"` // in the register
	Seconds      float64          `json:"seconds"`      // that the theft lasted
	Attempts     []Attempt        `json:"attempts"`
	Stolen       incident.Figures `json:"stolen"`  // as the attacker wrote down
	Exposed      incident.Figures `json:"exposed"` // as Azekura computes it
	OwnWork      OwnWork          `json:"own_work"`
	Missed       int64            `json:"missed"` // people of whom something was stolen that isn't exposed: must be 0
	Over         int64            `json:"over"`   // people of whom more is exposed than was stolen or own work
	Log          Log              `json:"log"`
	Reference    Reference        `json:"reference"`
	// Unmatched are lines of the attacker's that can't be so; there are none if
	// it plays fair.
	Unmatched *Unmatched `json:"unmatched,omitempty"`

	// Days is there where the drill lasted days.
	Days *Days `json:"days,omitempty"`

	missed  []string      // their pseudonyms
	answer  time.Duration // from "who was affected?" to the list
	problem string        // of the log
	device  string        // the first that was infected
}

// Attempt is one way of stealing.
type Attempt struct {
	Name      string `json:"name"`
	Tried     int64  `json:"tried"`      // requests
	Released  int64  `json:"released"`   // answers about somebody
	StoppedBy string `json:"stopped_by"` // "" if it ended by itself
	// SecondsToStop is how long it took from the first request at a PC until nothing
	// more was released there, and SecondsToContain until the PC was contained: the
	// longest of all its PCs, by the drill's clock, as the attacker says when; nil where
	// it doesn't, or where nothing did.
	SecondsToStop    *float64 `json:"seconds_to_stop"`
	SecondsToContain *float64 `json:"seconds_to_contain,omitempty"`
	PCs              int      `json:"pcs,omitempty"`
	PCsStopped       int      `json:"pcs_stopped,omitempty"`
	PCsContained     int      `json:"pcs_contained,omitempty"`
	// Participants are whom it got something of; NotTested says why it wasn't tried.
	Participants int64  `json:"participants,omitempty"`
	NotTested    string `json:"not_tested,omitempty"`

	people []uint64       // a bit for each place in the register
	pcs    map[string]*at // at which it was tried
}

// Days are what the drill of days has besides.
type Days struct {
	Days     int           `json:"days"`
	Staff    int           `json:"staff"`
	Devices  int           `json:"devices"`
	Infected int           `json:"infected"`
	Known    int           `json:"known_from_elsewhere"`
	Model    workday.Model `json:"model"`
	Honest   Honest        `json:"honest"`
	// Beyond are the participants of whom the attacker got something that no honest
	// case on an infected PC showed; Limit is how many they may be.
	Beyond    int64  `json:"stolen_beyond_own_work"`
	Limit     int64  `json:"limit"`
	Contained []Stop `json:"contained"`
	// Policies are there where an agency's own were in force.
	Policies *Policies `json:"policies,omitempty"`
}

// Limit is how many participants may be stolen in June 2015.
const Limit = 1000

// OwnWork is the honest work of the infected PC's user, in the session that the
// attacker used.
type OwnWork struct {
	Participants int64 `json:"participants"`
}

// Log is the audit log's state.
type Log struct {
	Events   int64  `json:"events"`
	Verified bool   `json:"verified"`
	Head     string `json:"head"` // the root, in base64
}

func (d *drill) report(t theft, stolen *tally, said *answer, log api.Verified) *Report {
	own := d.ownWork()
	v := compare(stolen.stolen, said.exposed, own)
	r := &Report{Scenario: June2015, Seed: d.Seed, Participants: d.People, Seconds: math.Round(t.lasted.Seconds()*1000) / 1000,
		Attempts: stolen.attempts, Stolen: combinations(stolen.stolen), Exposed: said.figures,
		OwnWork: OwnWork{v.own}, Missed: int64(len(v.missed)), Over: v.over + said.strange,
		Log: Log{Events: log.Size, Verified: log.OK, Head: log.Root}, Reference: The2015(), answer: said.took, problem: log.Problem, device: InfectedDevice}
	for i := range r.Attempts {
		if a := &r.Attempts[i]; a.StoppedBy == "" {
			a.StoppedBy = t.stoppedBy
		}
	}
	if d.days != nil {
		r.device = d.days.devices()[0]
		r.Days = d.days.report(stolen.stolen, own, said.stops)
		contained := map[string]time.Time{}
		for _, s := range said.stops {
			contained[s.Device] = s.since
		}
		for i := range r.Attempts {
			r.Attempts[i].settle(contained)
		}
		r.Attempts = append(r.Attempts, d.days.apart(r.Attempts)...)
	}
	if r.Attempts == nil {
		r.Attempts = []Attempt{}
	}
	if stolen.unmatched.Lines > 0 {
		r.Unmatched = &stolen.unmatched
	}
	for _, i := range v.missed {
		r.missed = append(r.missed, d.truth.people[i].id.String())
	}
	return r
}

// listed is how many pseudonyms an error names.
const listed = 100

// Err is why the drill failed, if it did.
func (r *Report) Err() error {
	if r.Missed > 0 {
		names := r.missed[:min(listed, len(r.missed))]
		more := ""
		if n := len(r.missed) - len(names); n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		return fmt.Errorf("the attacker obtained what the exposure lacks, of %d people: %s%s", r.Missed, strings.Join(names, ", "), more)
	}
	if !r.Log.Verified {
		return fmt.Errorf("the audit log isn't what was signed: %s", r.problem)
	}
	return nil
}

// JSON is the report as one indented object.
func (r *Report) JSON() ([]byte, error) {
	raw, err := json.MarshalIndent(r, "", "  ")
	return append(raw, '\n'), err
}
