package drill

import (
	"errors"
	"testing"
	"time"

	"azekura/drill/workday"
)

// TestHonestOpeningsCountOnce: however often and wherever one is refused.
func TestHonestOpeningsCountOnce(t *testing.T) {
	h := Honest{Openings: 20_000, Hindered: map[string]int64{}}
	passed, both, lost, check := &matter{opening: true}, &matter{opening: true}, &matter{}, &matter{Caller: workday.Caller{What: workday.CheckOnly}}
	h.refused(passed, true)
	h.refused(passed, true) // by a colleague whose PC is infected too
	h.refused(both, true)
	h.refused(both, false)
	h.unserved(both)
	h.unserved(lost)
	h.unserved(check)
	h.rates()
	if h.Refused != 2 || h.AtInfected != 2 || h.AtClean != 1 || h.NeverDone != 1 || h.Openings != 20_001 || h.PerTenK != 1 || h.RawPerTenK != 1 {
		t.Errorf("%+v", h)
	}
}

func TestUnservedAtTheEnd(t *testing.T) {
	g := gather{sum: Honest{Hindered: map[string]int64{}}}
	lines := []line{{waiting: []*matter{{called: true, opening: true}, {}}}, {}}
	g.sum.Openings = 1
	g.close(lines)
	if h := g.sum; h.NeverDone != 2 || h.Openings != 2 || h.Callers != 1 || h.PerTenK != 10_000 {
		t.Errorf("%+v", h)
	}
}

// TestTimesToStop: by what the attacker says of each PC, and the log of containments.
func TestTimesToStop(t *testing.T) {
	tr, _ := small(t, 1)
	a := &tally{}
	from := time.Date(2026, 1, 5, 16, 0, 0, 0, workday.Japan)
	for _, line := range []string{
		`{"attempt":"sweep","tried":0,"pc":"pc-1","at":"2026-01-05T16:00:00+09:00"}`,
		`{"attempt":"sweep","tried":9,"pc":"pc-1","at":"2026-01-05T16:00:01.5+09:00","stopped":"case"}`,
		`{"attempt":"sweep","tried":9,"pc":"pc-2","at":"2026-01-05T16:00:00+09:00"}`,
		`{"attempt":"sweep","tried":9,"pc":"pc-2","at":"2026-01-05T16:00:05+09:00","stopped":"case"}`,
		`{"attempt":"sweep","tried":9,"pc":"pc-2","at":"2026-01-05T16:00:06+09:00"}`, // it got something again
	} {
		if err := a.take(tr, []byte(line)); err != nil {
			t.Fatal(line, err)
		}
	}
	one := &a.attempts[0]
	one.settle(map[string]time.Time{"pc-1": from.Add(2 * time.Second), "pc-2": from.Add(-time.Second), "pc-3": from})
	if one.PCs != 2 || one.PCsStopped != 1 || *one.SecondsToStop != 1.5 || one.PCsContained != 1 || *one.SecondsToContain != 2 {
		t.Errorf("%+v", one)
	}
	for _, bad := range []string{`{"tried":0,"pc":"pc-1"}`, `{"tried":0,"at":"2026-01-05T16:00:00Z"}`, `{"tried":0,"pc":"PC 1","at":"2026-01-05T16:00:00Z"}`,
		`{"participant":"` + pseudonym(0).String() + `","fields":["name"],"pc":"pc-1","at":"2026-01-05T16:00:00Z"}`} {
		if err := a.take(tr, []byte(bad)); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// TestOfficeHours: what lies between two moments of the office's days.
func TestOfficeHours(t *testing.T) {
	first := time.Date(2026, 1, 5, 0, 0, 0, 0, workday.Japan)
	d := &days{drill: &drill{Options: Options{Days: 2}}, model: workday.Default(), first: first}
	if got := d.open(first.Add(16*time.Hour), first.Add(33*time.Hour)); got != 75*time.Minute+30*time.Minute {
		t.Errorf("%s", got)
	}
}

func TestPoliciesOfARefusal(t *testing.T) {
	for detail, want := range map[string]string{"denied: policy night: Records are opened. 夜。 policy day-off: None. 休。": "night day-off",
		"denied: no policy permits this. x It takes a case": nonePermits, "denied: the policy x can't be evaluated, which refuses.": unevaluated, "the case isn't about them": ""} {
		if by, is := byPolicy(detail); by != want || is != (want != "") {
			t.Errorf("%q is by %q", detail, by)
		}
	}
}
