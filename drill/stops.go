package drill

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
)

// at is how a way went at one PC, as the attacker says.
type at struct{ began, stopped time.Time }

// maxPCs bounds the PCs of one way that are told apart.
const maxPCs = 1000

// timed takes a line's time.
func (a *Attempt) timed(l *tallyLine) error {
	if l.At == nil {
		return nil
	}
	if !bedName.MatchString(l.PC) || len(a.pcs) >= maxPCs {
		return errMalformed
	}
	if a.pcs == nil {
		a.pcs = map[string]*at{}
	}
	one := a.pcs[l.PC]
	if one == nil {
		one = &at{began: *l.At}
		a.pcs[l.PC] = one
	}
	if one.stopped = (time.Time{}); l.Stopped != "" {
		one.stopped = *l.At
	}
	return nil
}

// settle says how long it took to stop a way: the longest at any of its PCs. What
// stopped it is what gave it nothing more; a containment of the PC is apart.
func (a *Attempt) settle(contained map[string]time.Time) {
	for device, one := range a.pcs {
		a.PCs++
		if !one.stopped.IsZero() {
			a.PCsStopped++
			a.SecondsToStop = longest(a.SecondsToStop, one.stopped.Sub(one.began))
		}
		if since, is := contained[device]; is && !since.Before(one.began) {
			a.PCsContained++
			a.SecondsToContain = longest(a.SecondsToContain, since.Sub(one.began))
		}
	}
}

func longest(so *float64, far time.Duration) *float64 {
	s := math.Round(far.Seconds()*1000) / 1000
	if so != nil {
		s = max(s, *so)
	}
	return &s
}

// Stop is a containment of an infected PC, of its staff member or of its sessions.
type Stop struct {
	Device  string  `json:"device"`
	What    string  `json:"what"`
	By      string  `json:"by"`
	Seconds float64 `json:"seconds"` // since the attacker was first there, by the drill's clock
	// Office is the part of that in the office's hours, in which alone a quiet
	// attacker can act.
	Office float64 `json:"seconds_in_office_hours"`

	since time.Time
}

// stops finds out which of the infected PCs are contained.
func (d *days) stops(ctx context.Context) (list []Stop, err error) {
	if err := d.operator.Do(ctx, http.MethodGet, "/operator/contained", nil, &d.contained); err != nil {
		return nil, fmt.Errorf("ask what is contained: %w", err)
	}
	for _, one := range d.infections {
		m := d.team[one.Staff]
		for _, c := range d.contained {
			if c.StepUp || !slices.Contains([]string{"device " + m.device, "staff " + m.staff}, c.String()) {
				continue
			}
			since := d.midnight(one.Day).Add(one.At)
			d.beds.mu.Lock()
			if first, ok := d.beds.first[m.device]; ok {
				since = first
			}
			d.beds.mu.Unlock()
			list = append(list, Stop{m.device, c.String(), c.By, c.Since.Sub(since).Seconds(), d.open(since, c.Since).Seconds(), c.Since})
		}
	}
	slices.SortFunc(list, func(a, b Stop) int { return strings.Compare(a.Device+a.What, b.Device+b.What) })
	return list, nil
}

// open is how much of the office's hours lies between two moments.
func (d *days) open(from, to time.Time) (sum time.Duration) {
	for day := range d.Days {
		opens := d.midnight(day).Add(time.Duration(d.model.Opens) * time.Minute)
		closes := d.midnight(day).Add(time.Duration(d.model.Closes) * time.Minute)
		if opens.Before(from) {
			opens = from
		}
		if closes.After(to) {
			closes = to
		}
		sum += max(0, closes.Sub(opens))
	}
	return sum
}
