package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// target is what a figure has to reach; the zero value is none.
type target struct {
	Least float64 `json:"least,omitempty"`
	Most  float64 `json:"most,omitempty"`
}

func (t target) none() bool { return t == target{} }

func (t target) reached(got float64) bool {
	return (t.Least == 0 || got >= t.Least) && (t.Most == 0 || got <= t.Most)
}

func (t target) String() string {
	switch {
	case t.Least > 0:
		return "≥ " + number(t.Least)
	case t.Most > 0:
		return "≤ " + number(t.Most)
	}
	return "–"
}

// figure is one line of the report: a quantity and its yardstick, run by run.
type figure struct {
	Stage string    `json:"stage"`
	Name  string    `json:"name"`
	Unit  string    `json:"unit"`
	Runs  []float64 `json:"runs"`
	Got   float64   `json:"got"` // the runs' median

	Yardstick string    `json:"yardstick,omitempty"` // its name
	Beside    []float64 `json:"yardstick_runs,omitempty"`
	Stick     float64   `json:"yardstick_got,omitempty"` // its runs' median
	Ratio     float64   `json:"ratio,omitempty"`         // the median of each run's own

	Target      target `json:"target,omitzero"`
	RatioTarget target `json:"ratio_target,omitzero"`
	// AnySize means that the target holds at a small scale too.
	AnySize bool   `json:"any_size"`
	Reached string `json:"reached"`
}

// stick names a yardstick.
type stick struct {
	name   string
	target target // of the ratio
}

// figure finds or makes a figure, and adds a run of it. beside is the
// yardstick's, or 0 where there is none.
func (b *bench) figure(stage, name, unit string, t target, s stick, got, beside float64) *figure {
	at := slices.IndexFunc(b.figures, func(f *figure) bool { return f.Stage == stage && f.Name == name })
	if at < 0 {
		at = len(b.figures)
		b.figures = append(b.figures, &figure{Stage: stage, Name: name, Unit: unit, Yardstick: s.name, Target: t, RatioTarget: s.target})
	}
	f := b.figures[at]
	f.Runs = append(f.Runs, got)
	if beside > 0 {
		f.Beside = append(f.Beside, beside)
	}
	return f
}

// finish works out the medians and whether the targets are reached.
func (f *figure) finish(full bool) {
	f.Got, f.Stick = median(f.Runs), median(f.Beside)
	var ratios []float64
	for i := range f.Beside {
		ratios = append(ratios, f.Runs[i]/f.Beside[i])
	}
	f.Ratio = median(ratios)
	f.Reached = f.verdict(full)
}

func (f *figure) verdict(full bool) string {
	ratio := f.RatioTarget.none() || f.RatioTarget.reached(f.Ratio)
	switch {
	case f.Target.none() && f.RatioTarget.none():
		return "–"
	case !full && !f.AnySize:
		return "at full scale only"
	case f.Target.reached(f.Got) && ratio:
		return "yes"
	case f.Target.reached(f.Got) && !f.Target.none():
		return "no: the ratio isn't"
	case ratio && !f.RatioTarget.none():
		return "no, the ratio is"
	}
	return "no"
}

// spread is the least and the greatest run.
func (f *figure) spread() string {
	if len(f.Runs) < 2 {
		return ""
	}
	return number(slices.Min(f.Runs)) + "–" + number(slices.Max(f.Runs))
}

func (f *figure) aim() string {
	if f.RatioTarget.none() {
		return f.Target.String()
	}
	ratio := strings.Replace(f.RatioTarget.String(), " ", " × ", 1)
	if f.Target.none() {
		return ratio
	}
	return f.Target.String() + ", " + ratio
}

// median of none is 0.
func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// number writes three digits that count, and commas.
func number(v float64) string {
	switch {
	case v != 0 && v < 10:
		return strconv.FormatFloat(v, 'g', 3, 64)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
