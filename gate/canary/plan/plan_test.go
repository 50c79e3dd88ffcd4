package plan_test

import (
	"math"
	"strings"
	"testing"

	"azekura/gate/canary/plan"
	"azekura/internal/insttest"
)

// TestClosed holds the closed form against the geometric distribution, written out.
func TestClosed(t *testing.T) {
	for _, d := range []float64{0.2, 0.05, 0.02, 0.01, 0.0001} {
		miss := 1 / (1 + d)
		at := func(q float64) int64 { return int64(math.Ceil(math.Log(1-q)/math.Log(miss))) - 1 }
		if got, want := plan.Closed(d, 1), (plan.Quantiles{Median: at(0.5), Thousand: at(0.999)}); got != want {
			t.Errorf("density %g: %+v, and %+v by logarithms", d, got, want)
		}
	}
	// The mean of 331 readers is 331 times one's, and their sum is close to it.
	if got := plan.Closed(0.001, 331); math.Abs(float64(got.Median)-331_000) > 2000 || got.Thousand < got.Median {
		t.Errorf("331 readers: %+v", got)
	}
}

// TestPlayed: with gaps in the refs every reader is stopped as the closed form says,
// and without gaps the sequential one isn't.
func TestPlayed(t *testing.T) {
	o := plan.Options{Density: 0.05, People: 10_000, Readers: 1, Gaps: 0.1, Runs: insttest.Soak(4000, 100_000), Seed: 2}
	p, err := plan.Make(o)
	if err != nil {
		t.Fatal(err)
	}
	want := p.Rows[0].People
	near := func(a, b int64, share float64) bool { return math.Abs(float64(a-b)) <= 2+share*float64(b) }
	for _, r := range p.Rows[1:] {
		t.Logf("%s: %+v", r.Reader, r.People)
		if !near(r.People.Median, want.Median, 0.25) || !near(r.People.Thousand, want.Thousand, 0.35) {
			t.Errorf("%s: %+v, computed %+v", r.Reader, r.People, want)
		}
	}
	o.Gaps = 0
	if p, err = plan.Make(o); err != nil {
		t.Fatal(err)
	}
	for _, r := range p.Rows[1:] {
		if far := r.People.Median > 20*want.Median; far != (strings.HasPrefix(r.Reader, "sequential")) {
			t.Errorf("without gaps, %s: %+v", r.Reader, r.People)
		}
	}
	for _, bad := range []plan.Options{{}, {Density: 0.3, People: 1000, Readers: 1, Runs: 1000}, {Density: math.NaN(), People: 1000, Readers: 1, Runs: 1000}} {
		if _, err := plan.Make(bad); err == nil {
			t.Errorf("%+v is planned", bad)
		}
	}
}
