package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is everything that a run found.
type report struct {
	Began   time.Time         `json:"began"`
	Took    float64           `json:"seconds"`
	Machine machine           `json:"machine"`
	Scale   scale             `json:"scale"`
	Runs    int               `json:"runs"`
	Cluster map[string]string `json:"postgresql_settings,omitempty"`
	Figures []*figure         `json:"figures"`
}

func (b *bench) report() report {
	r := report{Began: b.began.UTC(), Took: time.Since(b.began).Seconds(), Machine: b.machine, Scale: b.scale, Runs: b.runs, Figures: b.figures}
	if b.server != nil {
		r.Cluster = clusterSettings
	}
	for _, f := range r.Figures {
		f.finish(b.scale.full)
	}
	order := append(stageNames(), yardsticks)
	slices.SortStableFunc(r.Figures, func(x, y *figure) int {
		return slices.Index(order, x.Stage) - slices.Index(order, y.Stage)
	})
	return r
}

func (r report) write(w io.Writer, o options) error {
	switch {
	case o.asJSON:
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(r)
	case o.asMarkdown:
		return r.writeMarkdown(w)
	}
	return r.writeTable(w)
}

var columns = []string{"figure", "unit", "target", "got", "runs", "yardstick", "its figure", "ratio", "reached"}

func (f *figure) cells() []string {
	cells := []string{f.Stage + ": " + f.Name, f.Unit, f.aim(), number(f.Got), f.spread(), f.Yardstick, "", "", f.Reached}
	if f.Stick > 0 {
		cells[6], cells[7] = number(f.Stick), number(f.Ratio)
	}
	return cells
}

func (r report) heading() string {
	return fmt.Sprintf("%s. Scale %s, medians of %d runs, %s, in %.0f s.", r.Machine, r.Scale.Name, r.Runs, r.Began.Format("2006-01-02 15:04 UTC"), r.Took)
}

func (r report) writeTable(out io.Writer) error {
	fmt.Fprintf(out, "\n%s\n\n", r.heading())
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(columns, "\t"))
	for _, f := range r.Figures {
		fmt.Fprintln(w, strings.Join(f.cells(), "\t"))
	}
	return w.Flush()
}

func (r report) writeMarkdown(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s\n\n| %s |\n|%s\n", r.heading(), strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, f := range r.Figures {
		if err == nil {
			_, err = fmt.Fprintf(w, "| %s |\n", strings.Join(f.cells(), " | "))
		}
	}
	return err
}
