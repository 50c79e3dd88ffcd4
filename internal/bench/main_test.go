package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestEveryFigure runs all of it, tiny, on both engines: every stage gives its
// figures, every yardstick stands beside them, and nothing is left behind.
func TestEveryFigure(t *testing.T) {
	scales["small"] = scales["tiny"]
	dir := t.TempDir()
	// User postgres must be able to enter the cluster's folder.
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var out, progress strings.Builder
	if err := run(context.Background(), []string{"-json", "-dir", dir}, &out, &progress); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	t.Log(progress.String())
	var r report
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
		t.Fatal(err)
	}
	for _, stage := range append(stageNames(), yardsticks) {
		if !slices.ContainsFunc(r.Figures, func(f *figure) bool { return f.Stage == stage }) {
			t.Errorf("no figure of %s", stage)
		}
	}
	for _, f := range r.Figures {
		if f.Got <= 0 && f.Unit != "ms" && f.Unit != "%" { // CPU is counted in hundredths of a second
			t.Errorf("%s: %s is %v %s", f.Stage, f.Name, f.Got, f.Unit)
		}
		if f.Yardstick != "" && f.Ratio <= 0 {
			t.Errorf("%s: %s has no ratio to %s", f.Stage, f.Name, f.Yardstick)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	for _, o := range []options{{}, {asMarkdown: true}} {
		var text strings.Builder
		if err := r.write(&text, o); err != nil || strings.Count(text.String(), "\n") < len(r.Figures) {
			t.Errorf("%v, and the report is\n%s", err, text.String())
		}
	}
}

// TestVerdicts holds what a reader takes from the last column.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		f    figure
		full bool
		want string
	}{
		{figure{Got: 5}, true, "–"},
		{figure{Got: 5, Target: target{Least: 5}}, true, "yes"},
		{figure{Got: 4, Target: target{Least: 5}}, true, "no"},
		{figure{Got: 4, Target: target{Most: 5}}, true, "yes"},
		{figure{Got: 6, Target: target{Most: 5}}, true, "no"},
		{figure{Got: -1, Target: target{Most: 5}}, true, "yes"},
		{figure{Got: 5, Target: target{Least: 5}}, false, "at full scale only"},
		{figure{Got: 5, Target: target{Least: 5}, AnySize: true}, false, "yes"},
		{figure{Got: 5, Ratio: 2, Target: target{Least: 5}, RatioTarget: target{Least: 2}}, true, "yes"},
		{figure{Got: 4, Ratio: 2, Target: target{Least: 5}, RatioTarget: target{Least: 2}}, true, "no, the ratio is"},
		{figure{Got: 5, Ratio: 1, Target: target{Least: 5}, RatioTarget: target{Least: 2}}, true, "no: the ratio isn't"},
		{figure{Got: 4, Ratio: 1, Target: target{Least: 5}, RatioTarget: target{Least: 2}}, true, "no"},
		{figure{Got: 4, Ratio: 0.6, RatioTarget: target{Least: 0.6}}, true, "yes"},
		{figure{Got: 4, Ratio: 0.5, RatioTarget: target{Least: 0.6}}, true, "no"},
	} {
		if got := c.f.verdict(c.full); got != c.want {
			t.Errorf("%+v at full scale %t: %q, want %q", c.f, c.full, got, c.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for want, list := range map[float64][]float64{0: nil, 3: {5, 1, 3}, 2: {1, 3}} {
		if got := median(list); got != want {
			t.Errorf("%v: %v, want %v", list, got, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0.0", 0.1234: "0.123", 9.5: "9.5", 45.67: "45.7", 999: "999", 15000.4: "15,000", 1234567: "1,234,567"} {
		if got := number(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}

// TestArguments: what can't be run is refused at once.
func TestArguments(t *testing.T) {
	for _, args := range []string{"-scale huge", "-only gate,nothing", "-engine oracle", "-runs -1", "more"} {
		if _, err := parse(strings.Fields(args), new(strings.Builder)); err == nil {
			t.Errorf("%s is taken", args)
		}
	}
}
