package runs

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"azekura/access"
	"azekura/access/budget"
	"azekura/auditlog"
	"azekura/drill/workday"
	"azekura/incident/rules"
)

func small(judges ...func() auditlog.Judge) Setup {
	return Setup{Model: workday.Default(), People: 3000, Days: 2, Staff: 8, Infected: 4, Known: 40, Between: 3 * time.Minute, Fast: 200, Canaries: 0.02, Spares: 6,
		Judges: func() (list []auditlog.Judge) {
			for _, j := range judges {
				list = append(list, j())
			}
			return list
		}}
}

func book() auditlog.Judge { return budget.New() }

func many(t *testing.T, s Setup, n int) []Outcome {
	t.Helper()
	list, err := Many(t.Context(), s, 1, n, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func watch() auditlog.Judge { return rules.New(rules.InForce(), IsCanary) }

// TestJudgesDecide: without a judge nobody is contained, and the thief reads of whom it
// knows from elsewhere as often as its PCs' users open cases; the rules contain who does,
// whoever they know, and who guesses, and leave the others alone. Where cases are bound the
// thief reads at most of whom its PCs' users were about to when they were contained.
func TestJudgesDecide(t *testing.T) {
	for _, o := range many(t, small(), 2) {
		if o.Stolen < 5 || o.Stolen > 40 || o.AtInfected != o.Refused || o.Contained != 0 {
			t.Errorf("nobody judged: %+v", o)
		}
	}
	greedy := small()
	greedy.Rides, greedy.Known, greedy.Between, greedy.Fast = true, 3000, 5*time.Second, 0
	bounded := greedy
	bounded.Judges = small(book, watch).Judges
	if free, held := many(t, greedy, 1)[0], many(t, bounded, 1)[0]; free.Stolen < 150 || held.Stolen > 2*int64(greedy.Infected) || held.Contained != greedy.Infected || held.AtClean != 0 {
		t.Errorf("who knows everybody: %+v; with rules: %+v", free, held)
	}
	bound := small(book, watch)
	bound.Bound = true
	if o := many(t, bound, 1)[0]; o.Stolen > int64(o.Contained) || o.Contained < 2 || o.AtClean != 0 {
		t.Errorf("with cases that are bound: %+v", o)
	}
	for i, o := range many(t, small(book, watch), 3) {
		if o.Stolen > 2*4 || o.Contained < 2 || o.AtClean != 0 || o.NeverDone != 0 || o.Slowest <= 0 || o.AtInfected != o.Refused {
			t.Errorf("with rules: %+v", o)
		}
		if again := Run(small(book, watch), uint64(1+i), workday.Monday(time.Date(2015, 5, 8, 0, 0, 0, 0, workday.Japan))); again != o {
			t.Errorf("the same seed twice: %+v, %+v", o, again)
		}
	}
}

// strict contains a PC at its first denial.
type strict struct{ done map[string]int }

func (s *strict) Name() string { return "strict" }
func (s *strict) Judge(events []auditlog.Event) (v auditlog.Verdict) {
	if e := &events[0]; e.Action == auditlog.Deny && s.done[e.Device] == 0 {
		v.Add = append(v.Add, access.ContainEvent(access.Target{Kind: access.TheDevice, ID: e.Device}, "a test", "strict"))
	}
	return v
}
func (s *strict) Note(e *auditlog.Event) {
	if e.Action == auditlog.Contain {
		s.done[e.Device]++
	}
}
func (s *strict) Settle(bool)          {}
func (s *strict) Save(io.Writer) error { return errors.New("not here") }
func (s *strict) Load(io.Reader) error { return errors.New("not here") }

// TestContainmentStops: whom a judge contains is refused once and does nothing more there:
// colleagues serve the others.
func TestContainmentStops(t *testing.T) {
	s := small(func() auditlog.Judge { return &strict{map[string]int{}} })
	s.Known, s.Model.Hasty, s.Model.Last = 3000, 0, 0 // an honest slip is a denial too
	list := many(t, s, 1)
	if o := list[0]; o.Contained != 3 || o.Slowest > time.Millisecond || o.Refused < 1 || o.Refused > 3 || o.AtInfected != o.Refused || o.NeverDone != 0 || o.Stolen != 0 {
		t.Errorf("%+v", o)
	}
}

func TestQuantile(t *testing.T) {
	list := make([]Outcome, 1000)
	for i := range list {
		list[i].Stolen = int64(1000 - i)
	}
	for share, want := range map[float64]int64{0: 1, 0.5: 500, 0.999: 999, 1: 1000} {
		if got := Quantile(list, share, stolen); got != want {
			t.Errorf("the %v quantile is %d", share, got)
		}
	}
}

func TestCurve(t *testing.T) {
	s := small(book)
	s.Days, s.Staff = 1, 6
	points, err := Curve(t.Context(), s, 1, func(int, int) {})
	if err != nil || len(points) != 10 || points[4].Stolen <= points[0].Stolen || points[9].Stolen <= points[4].Stolen {
		t.Fatalf("%+v (%v)", points, err)
	}
	var picture, table strings.Builder
	if err := errors.Join(SVG(&picture, points, 1000), WriteCurve(&table, points), Write(&table, s, many(t, s, 2))); err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(strings.NewReader(picture.String())); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(picture.String()+table.String(), "%!") {
		t.Error(table.String())
	}
}
